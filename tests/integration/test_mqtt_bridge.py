"""Request in, answer out, with the outbox in between, while the broker comes and goes."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from paho.mqtt.enums import MQTTProtocolVersion  # noqa: TID251 - the peer's, not ours

from ttlock_agent.clock import SystemClock
from ttlock_agent.demo.broker import BrokerKind, BrokerProcess
from ttlock_agent.mqtt.bridge import IncomingRequest, OutboxPublisher, RequestBridge
from ttlock_agent.publication import Publication


@dataclass(frozen=True)
class Entry:
    id: int
    publication: Publication
    queued_at: datetime


class Jobs:
    """Answers each request with its own payload, through an outbox in memory."""

    def __init__(self, agent: Any) -> None:
        self._agent = agent
        self.wake = asyncio.Event()
        self.entries: dict[int, Entry] = {}
        self.payloads: list[bytes] = []

    async def handle(self, request: IncomingRequest) -> None:
        self.payloads.append(request.payload)
        topic = request.response_topic or self._agent.topics.response(request.verb)
        self.answer(Publication(topic, request.payload, correlation_data=request.correlation_data))

    def answer(self, publication: Publication) -> None:
        number = max(self.entries, default=0) + 1
        self.entries[number] = Entry(number, publication, datetime.now(UTC))
        self.wake.set()

    async def outbox(self, *, after: int = 0) -> Sequence[Entry]:
        return [entry for entry in self.entries.values() if entry.id > after]

    async def outbox_done(self, *entry_ids: int) -> None:
        for entry_id in entry_ids:
            del self.entries[entry_id]


@asynccontextmanager
async def serving(agent: Any) -> AsyncIterator[Jobs]:
    jobs = Jobs(agent)
    bridge = RequestBridge(
        agent.connection.incoming,
        jobs.handle,
        topics=agent.topics,
        connection=agent.connection,
        clock=SystemClock(),
        response_prefix="replies",
    )
    publisher = OutboxPublisher(jobs, agent.connection, clock=SystemClock(), wake=jobs.wake)
    tasks = [asyncio.create_task(bridge.run()), asyncio.create_task(publisher.run())]
    try:
        yield jobs
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("kind", list(BrokerKind))
async def test_a_request_is_answered(
    kind: BrokerKind, start_broker: Any, connect_peer: Any, start_agent: Any
) -> None:
    broker = start_broker(kind, needs_user_name=True)
    peer = connect_peer(broker, protocol=MQTTProtocolVersion.MQTTv311, username="peer")
    async with start_agent(broker.port, username="agent") as agent, serving(agent):
        await agent.connection.wait_connected()
        peer.subscribe(agent.topics.response("a.b"))
        peer.publish(agent.topics.request("a.b"), b"1")
        assert (await peer.next_message()).payload == b"1"


async def test_an_answer_goes_where_it_is_wanted(
    mosquitto: BrokerProcess, connect_peer: Any, start_agent: Any
) -> None:
    peer = connect_peer(mosquitto)
    async with start_agent(mosquitto.port) as agent, serving(agent):
        await agent.connection.wait_connected()
        peer.subscribe("replies/me")
        peer.publish(
            agent.topics.request("a.b"), b"1", ResponseTopic="replies/me", CorrelationData=b"c-1"
        )
        answer = await peer.next_message()
        assert (answer.payload, answer.properties.CorrelationData) == (b"1", b"c-1")


async def test_answers_survive_a_broker_that_is_killed_and_started_again(
    mosquitto: BrokerProcess, connect_peer: Any, start_agent: Any
) -> None:
    async with start_agent(mosquitto.port) as agent, serving(agent) as jobs:
        await agent.connection.wait_connected()
        mosquitto.kill()
        await agent.state(lambda state: not state.is_connected)
        for number in range(3):
            jobs.answer(Publication(f"answers/{number}", b"%d" % number, retain=True))
        mosquitto.start()
        while jobs.entries:
            await asyncio.sleep(0.01)
        peer = connect_peer(mosquitto)
        peer.subscribe("answers/+")
        assert {(await peer.next_message()).payload for _ in range(3)} == {b"0", b"1", b"2"}
        connect_peer(mosquitto).publish(agent.topics.request("a.b"), b"after")
        while jobs.payloads != [b"after"]:
            await asyncio.sleep(0.01)
