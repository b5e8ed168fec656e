"""A simulated broker: keeps what is not acknowledged, in both directions, and says it again.

It outlives the agent's process. The agent's end of it takes the place of ``MqttConnection``.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ttlock_agent.mqtt.errors import BrokerUnavailable
from ttlock_agent.mqtt.incoming import Incoming, IncomingQueue
from ttlock_agent.mqtt.protocol_choice import MqttVersion
from ttlock_agent.mqtt.state import ConnectionState, ConnectionStatus
from ttlock_agent.mqtt.topics import Topics
from ttlock_agent.publication import Publication

from .simulated import Life, PiClock

TOPICS = Topics(agent_id="house-12")
FINAL = {"done", "failed", "rejected"}
RECONNECT_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A message the agent published, and when it arrived (seconds of true time)."""

    topic: str
    body: dict[str, Any]
    at_s: float


@dataclass(eq=False, slots=True)
class Asked:
    """A request on its way to the agent."""

    verb: str
    payload: bytes = field(repr=False)
    deliveries: int = 0


class Broker:
    """``luck`` says how often to deliver a message at once (1, mostly), and after which pauses."""

    def __init__(self) -> None:
        self.kept: list[Asked] = []
        self.said: list[Said] = []
        self.on_said: Callable[[Said], None] = lambda _said: None
        self.is_up = asyncio.Event()
        self.is_up.set()
        self.pauses: Callable[[], Sequence[float]] = lambda: (0.0,)
        """For each delivery of one message, how much later than at once it comes."""
        self.loses_confirmation: Callable[[], bool] = lambda: False
        """Whether the connection breaks after a publication arrived, before the agent knows."""
        self._connection: Connection | None = None

    def ask(self, verb: str, **body: Any) -> None:
        """Have a caller publish a request."""
        asked = Asked(verb, json.dumps(body).encode())
        self.kept.append(asked)
        if self._connection is not None:
            self._deliver(self._connection, asked)

    def answers(self, request_id: str) -> list[dict[str, Any]]:
        """Every final answer to a request, repeats included."""
        return [body for body in self._bodies() if body["id"] == request_id]

    def final_ids(self) -> set[str]:
        """The requests that were answered for good."""
        return {body["id"] for body in self._bodies()}

    def _bodies(self) -> list[dict[str, Any]]:
        prefix = f"{TOPICS.root}/response/"
        return [
            said.body
            for said in self.said
            if said.topic.startswith(prefix) and said.body["status"] in FINAL
        ]

    def drop(self) -> None:
        """Break the connection."""
        if self._connection is not None:
            self._connection.lose()

    def go_down(self) -> None:
        """Be away until ``is_up`` is set again."""
        self.is_up.clear()
        self.drop()

    # The agent's end.

    def connected(self, connection: Connection) -> None:
        self._connection = connection
        for asked in list(self.kept):
            self._deliver(connection, asked)

    def disconnected(self, connection: Connection) -> None:
        if self._connection is connection:
            self._connection = None

    def published(self, publication: Publication) -> None:
        text = publication.payload.decode()
        body = json.loads(text) if text.startswith("{") else {"text": text}
        said = Said(topic=publication.topic, body=body, at_s=asyncio.get_running_loop().time())
        self.said.append(said)
        self.on_said(said)

    def acknowledged(self, asked: Asked) -> None:
        if asked in self.kept:
            self.kept.remove(asked)

    def _deliver(self, connection: Connection, asked: Asked) -> None:
        for pause in self.pauses():
            asyncio.get_running_loop().call_later(pause, connection.hear, asked, connection.number)


class Connection:
    """What the agent takes for its ``MqttConnection``."""

    def __init__(
        self,
        broker: Broker,
        life: Life,
        _settings: object,
        *,
        clock: PiClock,
        subscriptions: Sequence[str],
        on_state: Callable[[ConnectionState], None],
    ) -> None:
        assert subscriptions == (TOPICS.request_filter,)
        self._broker = broker
        self._life = life
        self._clock = clock
        self._on_state = on_state
        self._up = asyncio.Event()
        self._lost = asyncio.Event()
        self.incoming = IncomingQueue(on_drained=self.redeliver)
        self.number = 0
        self.state = self._state(ConnectionStatus.CONNECTING)

    async def run(self) -> None:
        try:
            while True:
                await self._broker.is_up.wait()
                self.number += 1
                self._lost.clear()
                self._set(ConnectionStatus.CONNECTED)
                self._up.set()
                self._broker.connected(self)
                await self._lost.wait()
                await asyncio.sleep(RECONNECT_S)
        finally:
            self.lose()

    def lose(self) -> None:
        self._up.clear()
        self._lost.set()
        self._broker.disconnected(self)
        self.incoming.connection_lost()
        self._set(ConnectionStatus.CONNECTING)

    def redeliver(self) -> None:
        self.incoming.leave_to_broker()
        self.lose()

    async def wait_connected(self) -> None:
        await self._up.wait()

    async def publish(self, publication: Publication) -> None:
        if not self._up.is_set():
            raise BrokerUnavailable("there is no connection to the broker")
        while True:
            await self._up.wait()
            await self._life.go_on("before publish")
            self._broker.published(publication)
            await self._life.go_on("after publish")
            if not self._broker.loses_confirmation():
                return
            self.lose()

    def hear(self, asked: Asked, number: int) -> None:
        """Take a message that was sent on connection ``number``."""
        if number != self.number or not self._up.is_set() or self._life.is_over:
            return
        asked.deliveries += 1
        self.incoming.offer(
            Incoming(
                topic=f"{TOPICS.root}/request/{asked.verb}",
                payload=asked.payload,
                qos=1,
                is_retained=False,
                is_duplicate=asked.deliveries > 1,
                response_topic=None,
                correlation_data=None,
                send_ack=partial(self._acknowledge, asked, number),
            )
        )

    def _acknowledge(self, asked: Asked, number: int) -> None:
        if number != self.number or not self._up.is_set():
            return  # the connection it came on is gone
        if self._life.step("before ack"):
            self._broker.acknowledged(asked)
            self._life.step("after ack")

    def _set(self, status: ConnectionStatus) -> None:
        if status is not self.state.status:
            self.state = self._state(status)
            self._on_state(self.state)

    def _state(self, status: ConnectionStatus) -> ConnectionState:
        return ConnectionState(status=status, version=MqttVersion.V5, since=self._clock.now())
