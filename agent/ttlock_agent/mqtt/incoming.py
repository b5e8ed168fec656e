"""Messages from the broker, and the bounded queue in which they wait to be taken."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

log = structlog.get_logger()

MAX_MESSAGES: Final = 1024
"""A season's bookings at once; more are left with the broker."""
MAX_BYTES: Final = 8 * 1024 * 1024
"""Requests are under a KiB; this bounds what a flood of large messages takes from a Pi."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """One message from the broker, which keeps it until ``ack`` (unless ``qos`` is 0).

    ``is_retained``: a replay of something said earlier. ``is_duplicate``: delivered before, and not
    acknowledged then. ``response_topic`` and ``correlation_data`` exist in MQTT 5 only.
    """

    topic: str
    payload: bytes = field(repr=False)
    qos: int
    is_retained: bool
    is_duplicate: bool
    response_topic: str | None
    correlation_data: bytes | None = field(repr=False)
    send_ack: Callable[[], None] = field(repr=False)

    async def ack(self) -> None:
        """Tell the broker to forget the message: only once it is safe with us.

        Does nothing when the connection it came on is gone; the broker then delivers it again.
        """
        self.send_ack()


class IncomingQueue:
    """First in, first out; at most ``max_messages`` and ``max_bytes``; one consumer.

    A message with QoS 1 that finds the queue full is left with the broker, and so is every later
    one of that connection, which keeps the order. ``on_drained`` is called when the consumer has
    caught up after that; a new connection then brings them again. At 3.1.1 nothing else limits what
    a broker sends; at 5 the receive maximum does, though mosquitto 2.0.11 forgets it as soon as the
    first message is acknowledged.
    """

    def __init__(
        self,
        *,
        on_drained: Callable[[], None],
        max_messages: int = MAX_MESSAGES,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._bytes = 0
        self._on_drained = on_drained
        self._waiting: deque[Incoming] = deque()
        self._arrived = asyncio.Event()
        self._is_leaving = False

    def offer(self, incoming: Incoming) -> None:
        """Take a message, or leave it with the broker."""
        is_full = (
            len(self._waiting) >= self._max_messages
            or self._bytes + len(incoming.payload) > self._max_bytes
        )
        if incoming.qos == 0:
            if is_full:  # nothing is promised for QoS 0
                log.warning("mqtt_message_dropped", topic=incoming.topic, reason="queue full")
                return
        elif is_full or self._is_leaving:
            if not self._is_leaving:
                log.warning("mqtt_queue_full", messages=len(self._waiting), size=self._bytes)
            self._is_leaving = True
            return
        self._waiting.append(incoming)
        self._bytes += len(incoming.payload)
        self._arrived.set()

    def leave_to_broker(self) -> None:
        """Forget what the next connection will bring again, and take no more from this one."""
        self._waiting = deque(message for message in self._waiting if message.qos == 0)
        self._bytes = sum(len(message.payload) for message in self._waiting)
        self._is_leaving = True

    def connection_lost(self) -> None:
        """Forget what the next connection will bring again."""
        self.leave_to_broker()
        self._is_leaving = False

    def __aiter__(self) -> IncomingQueue:
        return self

    async def __anext__(self) -> Incoming:
        while not self._waiting:
            if self._is_leaving:
                self._on_drained()
            self._arrived.clear()
            await self._arrived.wait()
        incoming = self._waiting.popleft()
        self._bytes -= len(incoming.payload)
        return incoming
