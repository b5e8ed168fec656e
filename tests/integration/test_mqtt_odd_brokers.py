"""Peers that real brokers only rarely are: a scripted server for each oddity."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from ttlock_agent.demo.broker import HOST
from ttlock_agent.mqtt.client import BrokerClient
from ttlock_agent.mqtt.errors import BrokerUnavailable
from ttlock_agent.mqtt.protocol_choice import MqttVersion
from ttlock_agent.mqtt.state import ConnectionState, ConnectionStatus
from ttlock_agent.publication import Publication

CONNECT, PUBLISH, PUBACK, SUBSCRIBE, DISCONNECT = 1, 3, 4, 8, 14
DUP = 8
ACCEPTED_3_1_1 = b"\x20\x02\x00\x00"
ACCEPTED_5 = b"\x20\x03\x00\x00\x00"
VERSION_REFUSED_3_1_1 = b"\x20\x02\x00\x01"
VERSION_REFUSED_5 = b"\x20\x03\x00\x84\x00"


class Link:
    """One client's connection, in MQTT packets of less than 128 bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.version = 0

    async def read(self) -> tuple[int, int, bytes]:
        """Type, flags and body of the next packet; learns the version from a CONNECT."""
        head, length = await self._reader.readexactly(2)
        body = await self._reader.readexactly(length)
        if head >> 4 == CONNECT:
            self.version = body[6]
        return head >> 4, head & 15, body

    def write(self, packet: bytes) -> None:
        self._writer.write(packet)

    async def accept(self) -> None:
        await self.read()
        self.write(ACCEPTED_5 if self.version == 5 else ACCEPTED_3_1_1)

    def acknowledge_publish(self, body: bytes) -> None:
        topic_length = int.from_bytes(body[:2])
        mid = body[2 + topic_length : 4 + topic_length]
        self.write(b"\x40\x02" + mid)

    async def acknowledge_all(self) -> None:
        """Acknowledge what comes, at 3.1.1 or 5, until the client goes."""
        while True:
            kind, _, body = await self.read()
            if kind == SUBSCRIBE:
                granted = b"\x00\x01" if self.version == 5 else b"\x01"
                self.write(bytes([0x90, 2 + len(granted)]) + body[:2] + granted)
            elif kind == PUBLISH:
                self.acknowledge_publish(body)

    async def serve_start(self) -> None:
        """Accept, and acknowledge the subscription and `online`, at 3.1.1."""
        await self.accept()
        kind, _, body = await self.read()
        assert kind == SUBSCRIBE
        self.write(b"\x90\x03" + body[:2] + b"\x01")
        kind, _, body = await self.read()
        assert kind == PUBLISH
        assert body.endswith(b"online")
        self.acknowledge_publish(body)


@asynccontextmanager
async def serving(script: Callable[[Link], Awaitable[None]]) -> AsyncIterator[int]:
    """Run ``script`` for each client, then close on it; gives the port."""
    failures: list[BaseException] = []

    async def on_client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await script(Link(reader, writer))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client went first
        except Exception as error:
            failures.append(error)
        finally:
            writer.close()

    server = await asyncio.start_server(on_client, HOST, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()
    assert failures == []


def accepts_only_3_1_1(answer_to_5: Callable[[Link], Awaitable[None]]) -> Any:
    async def script(link: Link) -> None:
        kind, _, _ = await link.read()
        assert kind == CONNECT
        if link.version == 5:
            await answer_to_5(link)
            return
        link.write(ACCEPTED_3_1_1)
        await link.acknowledge_all()

    return script


async def refuse_as_3_1_1(link: Link) -> None:
    link.write(VERSION_REFUSED_3_1_1)


async def refuse_as_5(link: Link) -> None:
    link.write(VERSION_REFUSED_5)


async def close_at_once(_: Link) -> None:
    return


async def stay_silent(link: Link) -> None:
    await link.read()


@pytest.mark.parametrize("answer_to_5", [refuse_as_3_1_1, refuse_as_5, close_at_once, stay_silent])
async def test_the_agent_steps_down_and_remembers_it(
    answer_to_5: Callable[[Link], Awaitable[None]], start_agent: Any
) -> None:
    versions = []

    async def count_and_answer(link: Link) -> None:
        versions.append(link.version)
        await answer_to_5(link)

    async with (
        serving(accepts_only_3_1_1(count_and_answer)) as port,
        start_agent(port) as agent,
    ):
        await agent.connection.wait_connected()
        assert agent.connection.state.version is MqttVersion.V3_1_1
        tried_5 = len(versions)
        agent.connection.redeliver()
        await agent.state(lambda state: not state.is_connected)
        await agent.connection.wait_connected()
        assert len(versions) == tried_5


async def test_a_broker_of_5_that_restarts_is_not_taken_for_an_old_one(start_agent: Any) -> None:
    connects, goes_down = 0, asyncio.Event()

    async def script(link: Link) -> None:
        nonlocal connects
        connects += 1
        if 2 <= connects <= 4:
            await link.read()
            return
        await link.accept()
        serving_on = asyncio.create_task(link.acknowledge_all())
        if connects == 1:
            await goes_down.wait()
            serving_on.cancel()
        await asyncio.gather(serving_on, return_exceptions=True)

    async with serving(script) as port, start_agent(port) as agent:
        await agent.connection.wait_connected()
        goes_down.set()
        await agent.state(lambda state: "without an answer" in (state.error or ""))
        await agent.connection.wait_connected()
        assert connects == 5
        assert {state.version for state in agent.states} == {MqttVersion.V5}


async def test_what_is_no_broker_is_named_and_tried_again(start_agent: Any) -> None:
    connects = asyncio.Semaphore(0)

    async def script(link: Link) -> None:
        connects.release()
        link.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await link.read()

    async with serving(script) as port, start_agent(port) as agent:
        state = await agent.state(lambda state: "without an answer" in (state.error or ""))
        assert state.status is ConnectionStatus.CONNECTING
        for _ in range(4):
            await connects.acquire()


async def test_a_defect_on_the_network_thread_is_named_and_survived(
    start_agent: Any, mosquitto: Any, connect_peer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Older releases of paho raise there on some malformed packets."""
    good = BrokerClient._on_message
    calls = []

    def bad(client: BrokerClient, *args: Any) -> None:
        calls.append(args)
        if len(calls) == 1:
            raise KeyError("hunter-2")
        good(client, *args)

    monkeypatch.setattr(BrokerClient, "_on_message", bad)
    async with start_agent(mosquitto.port) as agent:
        await agent.connection.wait_connected()
        connect_peer(mosquitto).publish(agent.topics.request("a.b"), b"1")
        incoming = await agent.receive()
        assert incoming.is_duplicate
        errors = [state.error for state in agent.states if state.error]
        assert errors[0] == "the network thread failed with KeyError"


async def test_publish_waits_for_the_acknowledgement_over_a_lost_connection(
    start_agent: Any,
) -> None:
    arrived, release, again = asyncio.Event(), asyncio.Event(), asyncio.Event()
    connects = 0

    async def script(link: Link) -> None:
        nonlocal connects
        connects += 1
        await link.serve_start()
        kind, flags, body = await link.read()
        assert kind == PUBLISH
        assert body.endswith(b"hello")
        arrived.set()
        if connects == 1:
            assert not flags & DUP
            await release.wait()
            return  # closes without an acknowledgement
        assert flags & DUP
        again.set()
        link.acknowledge_publish(body)
        kind, _, body = await link.read()
        assert body.endswith(b"offline")
        link.acknowledge_publish(body)
        kind, _, _ = await link.read()
        assert kind == DISCONNECT

    async with (
        serving(script) as port,
        start_agent(port, first_version=MqttVersion.V3_1_1) as agent,
    ):
        await agent.connection.wait_connected()
        publishing = asyncio.create_task(
            agent.connection.publish(Publication(agent.topics.info, b"hello"))
        )
        await arrived.wait()
        assert not publishing.done()
        release.set()
        await agent.state(lambda state: "was lost" in (state.error or ""))
        assert not publishing.done()
        await publishing
        assert again.is_set()


async def test_a_publication_that_is_never_acknowledged_ends_with_the_connection(
    start_agent: Any,
) -> None:
    arrived = asyncio.Event()

    async def script(link: Link) -> None:
        await link.serve_start()
        await link.read()
        arrived.set()
        await link.acknowledge_all()

    async with (
        serving(script) as port,
        start_agent(port, first_version=MqttVersion.V3_1_1) as agent,
    ):
        await agent.connection.wait_connected()
        publishing = asyncio.create_task(
            agent.connection.publish(Publication(agent.topics.info, b"hello"))
        )
        await arrived.wait()
        await agent.stop()
        with pytest.raises(BrokerUnavailable):
            await publishing


async def test_an_ack_of_an_earlier_connection_says_nothing_on_the_next(start_agent: Any) -> None:
    """A broker that lost our session gives the same id to another message."""
    acknowledged: list[int] = []
    connects, old_taken = 0, asyncio.Event()

    async def script(link: Link) -> None:
        nonlocal connects
        connects += 1
        await link.serve_start()
        topic = b"ttlock/house-12/request/a.b"
        head = bytes([0x32, 2 + len(topic) + 2 + 1]) + len(topic).to_bytes(2) + topic
        link.write(head + b"\x00\x01" + str(connects).encode())
        if connects == 1:
            await old_taken.wait()
            return
        while True:
            kind, _, body = await link.read()
            if kind == PUBACK:
                acknowledged.append(int.from_bytes(body[:2]))
            elif kind == PUBLISH:
                link.acknowledge_publish(body)

    async with (
        serving(script) as port,
        start_agent(port, first_version=MqttVersion.V3_1_1) as agent,
    ):
        old = await agent.receive()
        old_taken.set()
        new = await agent.receive()
        assert (old.payload, new.payload) == (b"1", b"2")
        await old.ack()
        await agent.connection.wait_connected()
        await agent.connection.publish(Publication(agent.topics.info, b""))
        assert acknowledged == []
        await new.ack()
        await agent.connection.publish(Publication(agent.topics.info, b""))
        assert acknowledged == [1]


async def test_a_refused_subscription_is_named_on_a_working_connection(start_agent: Any) -> None:
    async def script(link: Link) -> None:
        await link.accept()
        _, _, body = await link.read()
        link.write(b"\x90\x03" + body[:2] + b"\x80")
        await link.acknowledge_all()

    def is_restricted(state: ConnectionState) -> bool:
        return state.is_connected and state.error is not None

    async with (
        serving(script) as port,
        start_agent(port, first_version=MqttVersion.V3_1_1) as agent,
    ):
        state = await agent.state(is_restricted)
        assert "subscribe" in (state.error or "")
        await agent.connection.publish(Publication(agent.topics.info, b""))


async def test_qos_0_does_not_wait(start_agent: Any) -> None:
    said = asyncio.Event()

    async def script(link: Link) -> None:
        await link.serve_start()
        _, flags, body = await link.read()
        assert flags == 0
        assert body.endswith(b"hello")
        said.set()
        await link.acknowledge_all()

    async with (
        serving(script) as port,
        start_agent(port, first_version=MqttVersion.V3_1_1) as agent,
    ):
        await agent.connection.wait_connected()
        await agent.connection.publish(Publication(agent.topics.info, b"hello", qos=0))
        await said.wait()
