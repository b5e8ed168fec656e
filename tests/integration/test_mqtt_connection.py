"""The connection against real brokers: mosquitto for everything, amqtt for what is left of it."""

import asyncio
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from paho.mqtt.enums import MQTTProtocolVersion  # noqa: TID251 - the peer's, not ours

from ttlock_agent.demo.broker import BrokerKind, BrokerProcess
from ttlock_agent.mqtt.client import MAX_MESSAGE_BYTES
from ttlock_agent.mqtt.errors import BrokerUnavailable, PublishRefused
from ttlock_agent.mqtt.incoming import MAX_MESSAGES
from ttlock_agent.mqtt.protocol_choice import MqttVersion
from ttlock_agent.mqtt.state import ConnectionState, ConnectionStatus
from ttlock_agent.publication import Publication

VERSIONS = [MqttVersion.V5, MqttVersion.V3_1_1]
PASSWORD = "open-sesame"


def is_connected(state: ConnectionState) -> bool:
    return state.is_connected


def is_trouble(state: ConnectionState) -> bool:
    return state.error is not None


def network_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if "house-12" in t.name]


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_acknowledged_message_is_gone_and_the_others_come_again_in_order(
    version: MqttVersion, mosquitto: BrokerProcess, connect_peer: Any, start_agent: Any
) -> None:
    async with start_agent(mosquitto.port, first_version=version) as agent:
        await agent.connection.wait_connected()
        assert agent.connection.state.version is version
        peer = connect_peer(mosquitto)
        for text in (b"1", b"2", b"3"):
            peer.publish(agent.topics.request("a.b"), text)
        first, second = await agent.receive(), await agent.receive()
        assert (first.payload, second.payload) == (b"1", b"2")
        assert not second.is_duplicate
        await first.ack()
        # Acknowledged after the three were sent: the third has arrived and waits in the queue.
        await agent.connection.publish(Publication(agent.topics.info, b""))
        agent.connection.redeliver()
        again, third = await agent.receive(), await agent.receive()
        assert (again.payload, third.payload) == (b"2", b"3")
        assert again.is_duplicate


async def test_answers_are_not_held_back_for_acknowledgements(
    mosquitto: BrokerProcess, start_agent: Any
) -> None:
    async with start_agent(mosquitto.port) as agent:
        await agent.connection.wait_connected()
        connected = agent.connection._client._paho.socket()
        assert connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize("kind", list(BrokerKind))
async def test_requests_wait_for_an_agent_that_is_away(
    kind: BrokerKind, start_broker: Any, connect_peer: Any, start_agent: Any
) -> None:
    broker = start_broker(kind, needs_user_name=True)
    async with start_agent(broker.port, username="agent") as agent:
        await agent.connection.wait_connected()
    peer = connect_peer(broker, protocol=MQTTProtocolVersion.MQTTv311, username="peer")
    peer.publish(agent.topics.request("a.b"), b"meanwhile")
    async with start_agent(broker.port, username="agent") as agent:
        assert (await agent.receive()).payload == b"meanwhile"


async def test_the_agent_steps_down_for_a_broker_that_stays_silent(
    amqtt: BrokerProcess, connect_peer: Any, start_agent: Any
) -> None:
    async with start_agent(amqtt.port, username="agent") as agent:
        await agent.connection.wait_connected()
        assert agent.states[0].version is MqttVersion.V5
        assert agent.connection.state.version is MqttVersion.V3_1_1
        peer = connect_peer(amqtt, protocol=MQTTProtocolVersion.MQTTv311, username="peer")
        peer.subscribe(agent.topics.response("a.b"))
        peer.publish(agent.topics.request("a.b"), b"question")
        incoming = await agent.receive()
        assert incoming.payload == b"question"
        await incoming.ack()
        await agent.connection.publish(
            Publication(agent.topics.response("a.b"), b"answer", expiry_s=60, correlation_data=b"c")
        )
        assert (await peer.next_message()).payload == b"answer"


async def test_a_killed_broker_is_named_and_found_again(
    mosquitto: BrokerProcess, connect_peer: Any, start_agent: Any
) -> None:
    async with start_agent(mosquitto.port) as agent:
        await agent.connection.wait_connected()
        mosquitto.kill()
        state = await agent.state(lambda state: "nothing listens" in (state.error or ""))
        assert state.status is ConnectionStatus.CONNECTING
        with pytest.raises(BrokerUnavailable, match="nothing listens"):
            await agent.connection.publish(Publication("t", b""))
        mosquitto.start()
        await agent.connection.wait_connected()
        assert agent.connection.state.error is None
        assert agent.connection.state.version is MqttVersion.V5
        connect_peer(mosquitto).publish(agent.topics.request("a.b"), b"1")
        assert (await agent.receive()).payload == b"1"


@pytest.mark.parametrize("version", VERSIONS)
async def test_status_is_online_then_offline_on_a_clean_stop(
    version: MqttVersion, mosquitto: BrokerProcess, connect_peer: Any, start_agent: Any
) -> None:
    peer = connect_peer(mosquitto)
    async with start_agent(mosquitto.port, first_version=version) as agent:
        peer.subscribe(f"{agent.topics.root}/#")
        assert (await peer.next_message()).payload == b"online"
        await agent.connection.wait_connected()
        await agent.connection.publish(Publication(agent.topics.info, b"info"))
        assert (await peer.next_message()).payload == b"info"
    assert agent.connection.state.status is ConnectionStatus.STOPPED
    assert (await peer.next_message()).payload == b"offline"
    late = connect_peer(mosquitto)
    late.subscribe(agent.topics.status)
    retained = await late.next_message()
    assert (retained.payload, retained.retain) == (b"offline", True)


CLIENT = """
import asyncio, sys
from ttlock_agent.clock import SystemClock
from ttlock_agent.mqtt.connection import MqttConnection
from ttlock_agent.mqtt.settings import MqttSettings
settings = MqttSettings(host="127.0.0.1", port=int(sys.argv[1]), agent_id="house-13")
asyncio.run(MqttConnection(settings, clock=SystemClock()).run())
"""


async def test_the_will_speaks_for_a_killed_process(
    mosquitto: BrokerProcess, connect_peer: Any
) -> None:
    peer = connect_peer(mosquitto)
    peer.subscribe("ttlock/house-13/status")
    command = [sys.executable, "-c", CLIENT, str(mosquitto.port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            assert (await peer.next_message()).payload == b"online"
        finally:
            process.send_signal(signal.SIGKILL)
    assert (await peer.next_message()).payload == b"offline"


async def test_retained_requests_are_not_even_sent_at_5(
    mosquitto: BrokerProcess, connect_peer: Any, start_agent: Any
) -> None:
    peer = connect_peer(mosquitto)
    peer.publish("ttlock/house-12/request/a.old", b"old", retain=True)
    async with start_agent(mosquitto.port) as agent:
        await agent.connection.wait_connected()
        peer.publish(agent.topics.request("a.new"), b"new")
        assert (await agent.receive()).payload == b"new"


async def test_retained_requests_are_flagged_at_3_1_1(
    mosquitto: BrokerProcess, connect_peer: Any, start_agent: Any
) -> None:
    peer = connect_peer(mosquitto)
    peer.publish("ttlock/house-12/request/a.old", b"old", retain=True)
    async with start_agent(mosquitto.port, first_version=MqttVersion.V3_1_1) as agent:
        old = await agent.receive()
        assert (old.payload, old.is_retained) == (b"old", True)
        await old.ack()
        peer.publish(agent.topics.request("a.new"), b"new")
        assert not (await agent.receive()).is_retained


async def test_properties_of_5_go_both_ways(
    mosquitto: BrokerProcess, connect_peer: Any, start_agent: Any
) -> None:
    async with start_agent(mosquitto.port) as agent:
        await agent.connection.wait_connected()
        peer = connect_peer(mosquitto)
        peer.subscribe("replies/#")
        peer.publish(
            agent.topics.request("a.b"), b"", ResponseTopic="replies/x", CorrelationData=b"c-1"
        )
        incoming = await agent.receive()
        assert (incoming.response_topic, incoming.correlation_data) == ("replies/x", b"c-1")
        await agent.connection.publish(
            Publication("replies/x", b"", expiry_s=60, correlation_data=b"c-1")
        )
        reply = await peer.next_message()
        assert reply.properties.CorrelationData == b"c-1"
        assert 0 < reply.properties.MessageExpiryInterval <= 60


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_wrong_password_is_named_and_retried(
    version: MqttVersion,
    start_broker: Any,
    mosquitto_access: Callable[..., list[str]],
    start_agent: Any,
    log_guard: Any,
) -> None:
    log_guard.register(PASSWORD)
    acl = ["topic readwrite #"]
    lines = mosquitto_access({"agent": "another-word"}, acl)
    broker = start_broker(BrokerKind.MOSQUITTO, mosquitto_lines=lines)
    options = {"first_version": version, "username": "agent", "password": PASSWORD}
    async with start_agent(broker.port, **options) as agent:
        state = await agent.state(is_trouble)
        assert state.status is ConnectionStatus.CREDENTIALS_REFUSED
        assert "agent" in (state.error or "")
        assert "ot authori" in (state.error or "")
        assert PASSWORD not in repr(agent.states)
        with pytest.raises(BrokerUnavailable, match="refuses the user agent"):
            await agent.connection.publish(Publication("t", b""))
        broker.stop()
        mosquitto_access({"agent": PASSWORD}, acl)
        broker.start()
        await agent.connection.wait_connected()
        assert agent.connection.state.version is version


async def test_missing_credentials_are_named_by_a_3_1_1_broker(
    amqtt: BrokerProcess, start_agent: Any
) -> None:
    async with start_agent(amqtt.port) as agent:
        state = await agent.state(
            lambda state: state.status is ConnectionStatus.CREDENTIALS_REFUSED
        )
        assert state.version is MqttVersion.V3_1_1
        assert "without a user name" in (state.error or "")


async def test_a_refused_publication_is_named_at_5_and_goes_unnoticed_at_3_1_1(
    start_broker: Any, mosquitto_access: Callable[..., list[str]], start_agent: Any
) -> None:
    lines = mosquitto_access({"agent": PASSWORD}, ["user agent", "topic write ttlock/house-12/#"])
    broker = start_broker(BrokerKind.MOSQUITTO, mosquitto_lines=lines)
    options = {"username": "agent", "password": PASSWORD}
    async with start_agent(broker.port, **options) as agent:
        await agent.connection.wait_connected()
        await agent.connection.publish(Publication(agent.topics.info, b""))
        with pytest.raises(PublishRefused) as caught:
            await agent.connection.publish(Publication("elsewhere", b""))
        assert caught.value.reason == "Not authorized"
        await agent.connection.publish(Publication(agent.topics.info, b""))
    async with start_agent(broker.port, first_version=MqttVersion.V3_1_1, **options) as agent:
        await agent.connection.wait_connected()
        await agent.connection.publish(Publication("elsewhere", b""))


def was_logged(log_guard: Any, event: str) -> bool:
    return any(entry["event"] == event for entry in log_guard.entries)


async def take_numbers(agent: Any, count: int) -> list[int]:
    numbers = []
    while len(numbers) < count:
        incoming = await agent.receive()
        numbers.append(int(incoming.payload))
        await incoming.ack()
    return numbers


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_flood_is_limited_and_nothing_of_it_is_lost(
    version: MqttVersion, start_broker: Any, connect_peer: Any, start_agent: Any, log_guard: Any
) -> None:
    # No limit but ours.
    lines = ["allow_anonymous true", "max_inflight_messages 0", "max_queued_messages 0"]
    broker = start_broker(BrokerKind.MOSQUITTO, mosquitto_lines=lines)
    count = MAX_MESSAGES + 50
    async with start_agent(broker.port, first_version=version) as agent:
        await agent.connection.wait_connected()
        peer = connect_peer(broker)
        for number in range(count):
            peer.publish(agent.topics.request("a.b"), str(number).encode())
        # Once this is acknowledged, the broker has sent us all it wants to send unacknowledged.
        await agent.connection.publish(Publication(agent.topics.info, b""))
        assert was_logged(log_guard, "mqtt_queue_full") is (version is MqttVersion.V3_1_1)
        assert await take_numbers(agent, count) == list(range(count))


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_monstrous_message_is_dropped_and_a_big_one_is_not(
    version: MqttVersion,
    mosquitto: BrokerProcess,
    connect_peer: Any,
    start_agent: Any,
    log_guard: Any,
) -> None:
    async with start_agent(mosquitto.port, first_version=version) as agent:
        await agent.connection.wait_connected()
        peer = connect_peer(mosquitto)
        peer.publish(agent.topics.request("a.b"), b"x" * (MAX_MESSAGE_BYTES + 1))
        peer.publish(agent.topics.request("a.b"), b"y" * 1_000_000)
        assert len((await agent.receive()).payload) == 1_000_000
        # At 5 the broker drops it, so that it never gets into our memory.
        assert was_logged(log_guard, "mqtt_message_dropped") is (version is MqttVersion.V3_1_1)


@pytest.mark.parametrize("has_broker", [True, False])
async def test_a_cancelled_connection_leaves_no_thread_and_no_task(
    has_broker: bool, mosquitto: BrokerProcess, start_agent: Any
) -> None:
    if not has_broker:
        mosquitto.stop()
    tasks_before = asyncio.all_tasks()
    async with start_agent(mosquitto.port) as agent:
        await agent.state(is_connected if has_broker else is_trouble)
        assert network_threads()
        pending = None
        if has_broker:
            pending = asyncio.create_task(
                agent.connection.publish(Publication(agent.topics.info, b""))
            )
    assert network_threads() == []
    if pending is not None:
        await asyncio.wait([pending])
    assert asyncio.all_tasks() == tasks_before


async def test_a_stopped_connection_publishes_nothing(
    mosquitto: BrokerProcess, start_agent: Any
) -> None:
    async with start_agent(mosquitto.port) as agent:
        await agent.connection.wait_connected()
    with pytest.raises(BrokerUnavailable):
        await agent.connection.publish(Publication(agent.topics.info, b""))
