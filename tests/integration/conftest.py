"""Brokers and peers for every integration test.

Here and not in a helper module, because test modules cannot import each other under pytest's
importlib mode: a test names the fixture it needs.
"""

from __future__ import annotations

import asyncio
import queue
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Self

import pytest
from paho.mqtt import client as paho  # noqa: TID251 - a second opinion on what the agent says
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion  # noqa: TID251
from paho.mqtt.packettypes import PacketTypes  # noqa: TID251
from paho.mqtt.properties import Properties  # noqa: TID251

from ttlock_agent.clock import SystemClock
from ttlock_agent.demo.broker import HOST, BrokerKind, BrokerProcess, available_kinds
from ttlock_agent.mqtt.client import ReconnectDelay
from ttlock_agent.mqtt.connection import MqttConnection
from ttlock_agent.mqtt.incoming import Incoming
from ttlock_agent.mqtt.protocol_choice import MqttVersion, ProtocolChoice
from ttlock_agent.mqtt.settings import MqttSettings
from ttlock_agent.mqtt.state import ConnectionState

PEER_TIMEOUT_S = 10

FAST = ReconnectDelay(min_s=0.05, max_s=0.1)

StartBroker = Callable[..., BrokerProcess]


class Peer:
    """Anybody else on the broker: a booking tool, Home Assistant, a listener."""

    def __init__(
        self,
        broker: BrokerProcess,
        *,
        protocol: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv5,
        username: str | None = None,
        password: str | None = None,
    ) -> None:
        self._messages: queue.Queue[paho.MQTTMessage] = queue.Queue()
        self._subscribed = threading.Event()
        connected = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=protocol)
        self._client.on_connect = lambda *_: connected.set()
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = lambda _client, _data, message: self._messages.put(message)
        self._client.username_pw_set(username, password)
        self._client.connect(broker.host, broker.port)
        self._client.loop_start()
        assert connected.wait(PEER_TIMEOUT_S)

    def subscribe(self, topic_filter: str) -> None:
        """Return once the broker has confirmed it."""
        self._subscribed.clear()
        self._client.subscribe(topic_filter, qos=1)
        assert self._subscribed.wait(PEER_TIMEOUT_S)

    def publish(
        self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False, **properties: Any
    ) -> None:
        """Return once the broker has acknowledged it; properties by their names in paho."""
        packed = Properties(PacketTypes.PUBLISH) if properties else None
        for name, value in properties.items():
            setattr(packed, name, value)
        self._client.publish(topic, payload, qos, retain, packed).wait_for_publish(PEER_TIMEOUT_S)

    async def next_message(self) -> paho.MQTTMessage:
        return await asyncio.to_thread(self._messages.get, timeout=PEER_TIMEOUT_S)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        del self._client  # freed at once, it closes its sockets; in a cycle it may come too late


class Agent:
    """A running ``MqttConnection`` to a port of this machine, subscribed to its requests."""

    def __init__(
        self, port: int, *, first_version: MqttVersion = MqttVersion.V5, **settings: Any
    ) -> None:
        options: dict[str, Any] = {"host": HOST, "port": port, "agent_id": "house-12"}
        self.settings = MqttSettings(**(options | settings))
        self.topics = self.settings.topics
        self.states: list[ConnectionState] = []
        self._changed = asyncio.Event()
        self.connection = MqttConnection(
            self.settings,
            clock=SystemClock(),
            subscriptions=[self.topics.request_filter],
            on_state=self._on_state,
            reconnect_delay=FAST,
            protocol_choice=ProtocolChoice(first_version),
            answer_timeout_s=0.5,
        )

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self.connection.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    def _on_state(self, state: ConnectionState) -> None:
        self.states.append(state)
        self._changed.set()

    async def state(self, wanted: Callable[[ConnectionState], bool]) -> ConnectionState:
        """Wait for a state, from now on or now."""
        while not wanted(self.connection.state):
            self._changed.clear()
            await self._changed.wait()
        return self.connection.state

    async def receive(self) -> Incoming:
        return await anext(self.connection.incoming)


@pytest.fixture
def start_agent() -> type[Agent]:
    """``async with start_agent(port, ...) as agent`` runs a connection of ours."""
    return Agent


@pytest.fixture
def start_broker(tmp_path: Path) -> Iterator[StartBroker]:
    """Start a broker of a kind with the options of ``BrokerProcess``; skip where it is missing."""
    with ExitStack() as stack:

        def start(kind: BrokerKind, **options: Any) -> BrokerProcess:
            if kind not in available_kinds():
                pytest.skip(f"{kind} is not installed")
            directory = tmp_path / f"broker-{len(list(tmp_path.iterdir()))}"
            directory.mkdir()
            return stack.enter_context(BrokerProcess(directory, kind=kind, **options))

        yield start


@pytest.fixture
def mosquitto(start_broker: StartBroker) -> BrokerProcess:
    """A mosquitto that lets everybody in."""
    return start_broker(BrokerKind.MOSQUITTO)


@pytest.fixture
def amqtt(start_broker: StartBroker) -> BrokerProcess:
    """An amqtt, which speaks MQTT 3.1.1 only; clients must give a user name."""
    return start_broker(BrokerKind.AMQTT, needs_user_name=True)


@pytest.fixture
def connect_peer() -> Iterator[Callable[..., Peer]]:
    """Connect a ``Peer`` to a broker; all are disconnected at the end."""
    peers: list[Peer] = []

    def connect(broker: BrokerProcess, **options: Any) -> Peer:
        peers.append(Peer(broker, **options))
        return peers[-1]

    yield connect
    for peer in peers:
        peer.close()


@pytest.fixture
def mosquitto_access(tmp_path: Path) -> Callable[..., list[str]]:
    """Write passwords and an access list; returns lines for mosquitto's configuration."""
    tool = shutil.which("mosquitto_passwd")
    if tool is None:
        pytest.skip("mosquitto_passwd is not installed")
    passwords, access_list = tmp_path / "passwords", tmp_path / "access-list"

    def write(users: dict[str, str], acl: Sequence[str]) -> list[str]:
        passwords.write_text("".join(f"{user}:{word}\n" for user, word in users.items()))
        subprocess.run([tool, "-U", passwords], check=True)
        access_list.write_text("\n".join(acl) + "\n")
        return [
            "allow_anonymous false", f"password_file {passwords}", f"acl_file {access_list}",
        ]  # fmt: skip

    return write
