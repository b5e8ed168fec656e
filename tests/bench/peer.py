"""Somebody else on the broker: a booking system, which waits for its answers."""

from __future__ import annotations

import queue
import socket
import threading
import time
from typing import Self

import msgspec
from paho.mqtt import client as paho  # noqa: TID251 - the other end of what is measured
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion  # noqa: TID251

LIMIT_S = 30.0


class Peer:
    """One client of the broker; blocking."""

    def __init__(self, port: int, *, listens_to: str) -> None:
        self.arrived: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()
        subscribed = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.on_connect = lambda *_: self._client.subscribe(listens_to, qos=1)
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.on_message = lambda _client, _data, message: self.arrived.put(
            (time.perf_counter(), message.payload)
        )
        # Else the kernel holds each small packet back for up to 40 ms, and there is no floor.
        self._client.on_socket_open = lambda _client, _data, sock: sock.setsockopt(
            socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
        )
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert subscribed.wait(LIMIT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, topic: str, body: dict[str, object]) -> float:
        """Publish, and return when that was."""
        at = time.perf_counter()
        self._client.publish(topic, msgspec.json.encode(body), qos=1)
        return at

    def answers(self, count: int) -> list[tuple[float, dict[str, object]]]:
        """Return the next ones, and when each arrived."""
        found = [self.arrived.get(timeout=LIMIT_S) for _ in range(count)]
        return [(at, msgspec.json.decode(payload)) for at, payload in found]


class Echo(Peer):
    """Answers whatever it hears."""

    def __init__(self, port: int, *, listens_to: str, answers_on: str) -> None:
        super().__init__(port, listens_to=listens_to)
        self._client.on_message = lambda client, _data, message: client.publish(
            answers_on, message.payload, qos=1
        )
