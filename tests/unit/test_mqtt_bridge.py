import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import pytest

from ttlock_agent.errors import JournalError
from ttlock_agent.mqtt.bridge import JOURNAL_PAUSE_S, IncomingRequest, RequestBridge
from ttlock_agent.mqtt.incoming import Incoming
from ttlock_agent.mqtt.topics import Topics

TOPICS = Topics(agent_id="house-12")
SECRET = "004711"


class World:
    """Everything around the bridge, writing one account of what happened."""

    def __init__(self) -> None:
        self.account: list[str] = []
        self.incoming: asyncio.Queue[Incoming] = asyncio.Queue()
        self.requests: list[IncomingRequest] = []
        self.errors: list[Exception] = []

    def now(self) -> datetime:
        return datetime(2026, 12, 1, tzinfo=UTC)

    def monotonic(self) -> float:
        return 0

    async def sleep(self, seconds: float) -> None:
        self.account.append(f"sleep {seconds:.0f}")

    def redeliver(self) -> None:
        self.account.append("redeliver")

    async def messages(self) -> AsyncIterator[Incoming]:
        while True:
            yield await self.incoming.get()
            self.incoming.task_done()

    async def handle(self, request: IncomingRequest) -> None:
        self.account.append(f"handle {request.verb}")
        self.requests.append(request)
        if self.errors:
            raise self.errors.pop(0)

    async def arrive(self, *messages: Incoming) -> None:
        for message in messages:
            self.incoming.put_nowait(message)
        await self.incoming.join()

    def message(self, topic: str, **changes: Any) -> Incoming:
        options: dict[str, Any] = {
            "topic": topic,
            "payload": f'{{"passcode": "{SECRET}"}}'.encode(),
            "qos": 1,
            "is_retained": False,
            "is_duplicate": False,
            "response_topic": None,
            "correlation_data": None,
            "send_ack": lambda: self.account.append("ack"),
        }
        return Incoming(**(options | changes))


@asynccontextmanager
async def running(run: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    task = asyncio.ensure_future(run())
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@asynccontextmanager
async def bridge(world: World, **options: Any) -> AsyncIterator[None]:
    built = RequestBridge(
        world.messages(), world.handle, topics=TOPICS, connection=world, clock=world, **options
    )
    async with running(built.run):
        yield


async def test_a_request_is_acknowledged_after_the_handler() -> None:
    world = World()
    async with bridge(world):
        await world.arrive(
            world.message(
                TOPICS.request("passcode.add"),
                payload=b"\xff\x00",
                is_retained=True,
                correlation_data=b"c",
            )
        )
    assert world.account == ["handle passcode.add", "ack"]
    assert world.requests == [
        IncomingRequest(
            verb="passcode.add", payload=b"\xff\x00", is_retained=True, correlation_data=b"c"
        )
    ]


async def test_requests_are_handled_one_after_the_other() -> None:
    world = World()
    async with bridge(world):
        await world.arrive(*(world.message(TOPICS.request(verb)) for verb in ("a.b", "c.d")))
    assert world.account == ["handle a.b", "ack", "handle c.d", "ack"]


async def test_other_topics_are_acknowledged_and_ignored() -> None:
    world = World()
    async with bridge(world):
        await world.arrive(
            world.message(TOPICS.response("a.b")), world.message(f"{TOPICS.root}/request/NO-VERB")
        )
    assert world.account == ["ack", "ack"]


async def test_a_request_the_journal_did_not_take_is_asked_for_again_later() -> None:
    world = World()
    world.errors = [JournalError("disk full")]
    async with bridge(world):
        await world.arrive(world.message(TOPICS.request("a.b")))
        await world.arrive(world.message(TOPICS.request("a.b"), is_duplicate=True))
    assert world.account == [
        "handle a.b", f"sleep {JOURNAL_PAUSE_S:.0f}", "redeliver", "handle a.b", "ack",
    ]  # fmt: skip


async def test_a_defect_stops_neither_the_bridge_nor_returns_for_ever(log_guard: Any) -> None:
    world = World()
    world.errors = [KeyError(SECRET)]
    async with bridge(world):
        await world.arrive(world.message(TOPICS.request("a.b")))
        await world.arrive(world.message(TOPICS.request("c.d")))
    assert world.account == ["handle a.b", "ack", "handle c.d", "ack"]
    (entry,) = [entry for entry in log_guard.entries if entry["event"] == "mqtt_request_defect"]
    assert entry["error"] == "KeyError"
    assert entry["at"].startswith("test_mqtt_bridge.py:")


@pytest.mark.parametrize(
    ("prefix", "topic", "passed_on"),
    [
        ("replies", "replies/x", "replies/x"),
        ("replies", "replies/+", None),
        ("replies", "homeassistant/x", None),
        (None, "replies/x", None),
        ("replies", None, None),
    ],
)
async def test_answers_go_to_a_response_topic_below_the_prefix_only(
    prefix: str | None, topic: str | None, passed_on: str | None
) -> None:
    world = World()
    async with bridge(world, response_prefix=prefix):
        await world.arrive(world.message(TOPICS.request("a.b"), response_topic=topic))
    assert world.requests[0].response_topic == passed_on


def test_what_is_secret_is_hidden() -> None:
    request = IncomingRequest(
        verb="a.b", payload=SECRET.encode(), is_retained=False, correlation_data=SECRET.encode()
    )
    assert SECRET not in repr(request)
