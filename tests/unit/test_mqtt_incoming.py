import asyncio

from ttlock_agent.mqtt.incoming import Incoming, IncomingQueue

LIMIT = 3


class Drains:
    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


def message(text: str, *, qos: int = 1) -> Incoming:
    return Incoming(
        topic="t",
        payload=text.encode(),
        qos=qos,
        is_retained=False,
        is_duplicate=False,
        response_topic=None,
        correlation_data=b"hunter-3",
        send_ack=lambda: None,
    )


async def take(queue: IncomingQueue, count: int) -> list[str]:
    return [(await anext(queue)).payload.decode() for _ in range(count)]


def test_payload_is_hidden() -> None:
    assert "hunter" not in repr(message("hunter-2"))


async def test_order_is_kept() -> None:
    queue = IncomingQueue(max_messages=LIMIT, on_drained=Drains())
    for text in "abc":
        queue.offer(message(text))
    assert await take(queue, 3) == ["a", "b", "c"]


async def test_overflow_is_left_with_the_broker_and_asked_for_again_when_drained() -> None:
    drains = Drains()
    queue = IncomingQueue(max_messages=LIMIT, on_drained=drains)
    for text in "abcd":
        queue.offer(message(text))
    assert await take(queue, 1) == ["a"]
    queue.offer(message("e"))  # there is room again, but `d` comes first
    assert await take(queue, 2) == ["b", "c"]
    assert drains.count == 0
    waiting = asyncio.ensure_future(anext(queue))
    await asyncio.sleep(0)
    assert drains.count == 1
    queue.offer(message("f"))  # still the same connection
    queue.connection_lost()
    queue.offer(message("d"))
    assert (await waiting).payload == b"d"
    assert drains.count == 1


async def test_what_is_left_to_the_broker_is_not_taken_twice() -> None:
    queue = IncomingQueue(max_messages=LIMIT, on_drained=Drains())
    queue.offer(message("a"))
    queue.leave_to_broker()
    queue.offer(message("b"))
    queue.connection_lost()
    queue.offer(message("a"))
    queue.offer(message("b"))
    assert await take(queue, 2) == ["a", "b"]


async def test_qos_0_is_dropped_when_full_and_nothing_is_asked_for_again() -> None:
    drains = Drains()
    queue = IncomingQueue(max_messages=LIMIT, on_drained=drains)
    for text in "abcd":
        queue.offer(message(text, qos=0))
    assert await take(queue, 3) == ["a", "b", "c"]
    waiting = asyncio.ensure_future(anext(queue))
    await asyncio.sleep(0)
    assert drains.count == 0
    waiting.cancel()


async def test_a_lost_connection_takes_along_what_will_be_delivered_again() -> None:
    queue = IncomingQueue(max_messages=LIMIT, on_drained=Drains())
    queue.offer(message("again", qos=1))
    queue.offer(message("once", qos=0))
    queue.connection_lost()
    queue.offer(message("new", qos=1))
    assert await take(queue, 2) == ["once", "new"]


async def test_large_messages_fill_the_queue_by_their_bytes() -> None:
    queue = IncomingQueue(max_bytes=10, on_drained=Drains())
    for text in ("1234", "5678", "901"):
        queue.offer(message(text))
    assert await take(queue, 2) == ["1234", "5678"]
    queue.connection_lost()
    queue.offer(message("0123456789"))
    assert await take(queue, 1) == ["0123456789"]
