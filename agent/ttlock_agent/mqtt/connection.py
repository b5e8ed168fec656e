"""The agent's one connection to the broker, as the rest of the agent sees it.

Everything here runs in the event loop; the network thread lives in ``client.py``. The broker keeps
a session for us (fixed client id, one day), so what was not acknowledged comes again, in both
directions: what we say until the broker has it, what it says until our journal has it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from ttlock_agent.clock import Clock
from ttlock_agent.limits import time_limit
from ttlock_agent.publication import Publication

from .client import BrokerClient, ReconnectDelay
from .errors import BrokerUnavailable, PublishRefused
from .events import (
    Accepted,
    Acknowledged,
    Closed,
    Dropped,
    NetworkEvent,
    Opened,
    Ready,
    Received,
    Refused,
    Restricted,
    ThreadEnded,
    Unreachable,
)
from .incoming import IncomingQueue
from .protocol_choice import MqttVersion, ProtocolChoice
from .settings import MqttSettings
from .state import UNSUPPORTED_VERSION, ConnectionState, ConnectionStatus, refusal
from .topics import OFFLINE, ONLINE

LAST_WORD_TIMEOUT_S = 2.0
"""How long an agent on its way out waits for the broker to confirm all it has said."""

RECONNECT_TIMEOUT_S = 20.0
"""The same before the next connection: a broker that saves each change, as ours is told to, takes
seconds for the acknowledgements of a thousand requests, and would deliver the rest once more."""

ANSWER_TIMEOUT_S = 3.0
"""A broker answers a CONNECT within milliseconds; one that does not understand it may never."""

log = structlog.get_logger()


class Publisher(Protocol):
    """Port: where publications go."""

    async def publish(self, publication: Publication) -> None:
        """Return once the broker has it; raises ``BrokerUnavailable`` or ``PublishRefused``."""
        ...

    async def wait_connected(self) -> None:
        """Return as soon as there is a connection."""
        ...


class MqttConnection:
    """Keeps a connection for as long as ``run`` runs, in MQTT 5 or else 3.1.1.

    ``on_state`` is called in the loop with each change of state. Raises ``ConfigError`` if TLS is
    needed and cannot be set up. One task runs ``run``, one iterates over ``incoming``; any number
    may publish.
    """

    def __init__(
        self,
        settings: MqttSettings,
        *,
        clock: Clock,
        subscriptions: Sequence[str] = (),
        on_state: Callable[[ConnectionState], None] = lambda _state: None,
        reconnect_delay: ReconnectDelay | None = None,
        protocol_choice: ProtocolChoice | None = None,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
    ) -> None:
        self._settings = settings
        self._ssl_context = settings.ssl_context()
        self._clock = clock
        self._subscriptions = tuple(subscriptions)
        self._on_state = on_state
        self._delay = reconnect_delay or ReconnectDelay()
        self._choice = protocol_choice or ProtocolChoice()
        self._answer_timeout_s = answer_timeout_s
        self._answer_due: asyncio.TimerHandle | None = None
        self._is_accepted = False
        self._restriction: str | None = None
        self._queue = IncomingQueue(on_drained=self.redeliver)
        self._client: BrokerClient | None = None
        self._replacement: asyncio.Future[float] | None = None
        self._unacknowledged: dict[int, asyncio.Future[None]] = {}
        self._connected = asyncio.Event()
        self._state = ConnectionState(
            status=ConnectionStatus.STOPPED, version=MqttVersion.V5, since=clock.now()
        )

    @property
    def state(self) -> ConnectionState:
        """How the connection is doing right now."""
        return self._state

    @property
    def incoming(self) -> IncomingQueue:
        """Messages on the subscriptions, oldest first; endless, for one consumer."""
        return self._queue

    async def wait_connected(self) -> None:
        """Return as soon as there is a connection."""
        await self._connected.wait()

    async def run(self) -> None:
        """Keep the connection until cancelled; then say `offline` and leave no thread behind."""
        try:
            while True:
                pause_s = await self._run_client()
                await self._clock.sleep(pause_s)
        finally:
            self._set_state(ConnectionStatus.STOPPED, self._state.error)

    async def publish(self, publication: Publication) -> None:
        """Return once the broker has acknowledged the publication (QoS 0: once it is handed over).

        A connection lost in between is waited out: the publication is sent again on the next one.
        Raises ``BrokerUnavailable`` without a connection, ``PublishRefused`` if the broker says no.
        """
        if self._client is None or not self._state.is_connected:
            raise BrokerUnavailable(self._state.error or "there is no connection to the broker")
        await self._publish_with(self._client, publication)

    def redeliver(self) -> None:
        """Make the broker deliver again what is not acknowledged, by connecting anew."""
        if self._client is not None:
            self._queue.leave_to_broker()
            self._replace_client(pause_s=0)

    async def _run_client(self) -> float:
        """Run one client until it has to make way; returns the pause (s) before the next one."""
        self._replacement = asyncio.get_running_loop().create_future()
        client = self._client = BrokerClient(
            self._settings,
            ssl_context=self._ssl_context,
            version=self._choice.version(self._clock.monotonic()),
            subscriptions=self._subscriptions,
            delay=self._delay,
            emit=self._on_event,
        )
        self._set_state(ConnectionStatus.CONNECTING, self._state.error)
        client.start()
        try:
            pause_s = await self._replacement
            await self._say_last(client, ONLINE, limit_s=RECONNECT_TIMEOUT_S)
        except asyncio.CancelledError:
            await self._say_last(client, OFFLINE, limit_s=LAST_WORD_TIMEOUT_S)
            raise
        else:
            return pause_s
        finally:
            await self._retire(client)

    async def _retire(self, client: BrokerClient) -> None:
        self._client = None
        self._is_accepted = False
        self._stop_waiting_for_answer()
        self._set_state(ConnectionStatus.CONNECTING, self._state.error)
        self._queue.connection_lost()
        try:
            await client.stop()
        finally:
            for acknowledged in self._unacknowledged.values():
                if not acknowledged.done():
                    acknowledged.set_exception(
                        BrokerUnavailable("the connection ended before the broker acknowledged")
                    )

    async def _say_last(self, client: BrokerClient, status: bytes, *, limit_s: float) -> None:
        """Publish our status, and with its confirmation know that all before it has been read.

        A broker that is slower than our next connection drops the unread rest of this one, and with
        it our acknowledgements; mosquitto does.
        """
        if not self._is_accepted:
            return
        last_word = Publication(self._settings.topics.status, status, retain=True)
        with contextlib.suppress(TimeoutError, PublishRefused):
            async with time_limit(limit_s):
                await self._publish_with(client, last_word)

    async def _publish_with(self, client: BrokerClient, publication: Publication) -> None:
        acknowledged: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # The answer enters this loop by a callback, so it cannot come before the next `await`.
        mid = client.publish(publication)
        if publication.qos == 0:
            return
        self._unacknowledged[mid] = acknowledged
        try:
            await acknowledged
        except PublishRefused:
            log.warning("mqtt_publish_refused", topic=publication.topic)
            raise
        finally:
            self._unacknowledged.pop(mid, None)

    def _replace_client(self, *, pause_s: float) -> None:
        if self._replacement is not None and not self._replacement.done():
            self._replacement.set_result(pause_s)

    def _on_event(self, event: NetworkEvent) -> None:
        client = self._client
        if client is None:
            return  # the last words of a client on its way out
        match event:
            case Received(incoming):
                self._queue.offer(incoming)
            case Dropped(reason):
                log.warning("mqtt_message_dropped", reason=reason)
            case Acknowledged(mid, refused):
                self._on_acknowledged(mid, refused)
            case Restricted(sentence):
                self._restriction = sentence
                self._set_state(self._state.status, sentence)
            case Ready():
                self._set_state(ConnectionStatus.CONNECTED, self._restriction)
            case ThreadEnded(defect):
                self._is_accepted = False
                self._set_state(
                    ConnectionStatus.CONNECTING, f"the network thread failed with {defect}"
                )
                self._replace_client(pause_s=self._delay.min_s)
            case Opened():
                self._stop_waiting_for_answer()
                self._answer_due = asyncio.get_running_loop().call_later(
                    self._answer_timeout_s, self._on_silence, client
                )
            case _:
                self._stop_waiting_for_answer()
                self._on_connection_event(client, event)

    def _stop_waiting_for_answer(self) -> None:
        if self._answer_due is not None:
            self._answer_due.cancel()
            self._answer_due = None

    def _on_silence(self, client: BrokerClient) -> None:
        self._set_state(ConnectionStatus.CONNECTING, "the broker does not answer")
        self._choice.stayed_silent()
        self._follow_choice(client)

    def _on_connection_event(
        self, client: BrokerClient, event: Accepted | Refused | Closed | Unreachable
    ) -> None:
        if self._replacement is None or self._replacement.done():
            return  # this client is making way already
        now_s = self._clock.monotonic()
        match event:
            case Accepted(session_present):
                self._choice.answered(now_s)
                self._is_accepted = True
                self._restriction = None
                self._set_state(ConnectionStatus.CONNECTING, None)
                log.info(
                    "mqtt_connected", version=str(client.version), session_present=session_present
                )
            case Refused(code=code) if code == UNSUPPORTED_VERSION:
                self._choice.version_refused()
                if client.version is MqttVersion.V3_1_1:
                    self._set_state(*refusal(event, self._settings.username))
            case Refused():
                self._choice.answered(now_s)
                self._set_state(*refusal(event, self._settings.username))
            case Closed(was_answered, reason):
                self._on_closed(was_answered, reason)
            case Unreachable(sentence):
                self._set_state(ConnectionStatus.CONNECTING, sentence)
        self._follow_choice(client)

    def _on_closed(self, was_answered: bool, reason: str) -> None:
        self._is_accepted = False
        self._queue.connection_lost()
        if not was_answered:
            self._choice.closed_early()
            self._set_state(
                ConnectionStatus.CONNECTING, f"the connection ended without an answer: {reason}"
            )
        elif self._state.status in {ConnectionStatus.CONNECTED, ConnectionStatus.CONNECTING}:
            # A refusal is closed as well; its sentence says more.
            self._set_state(ConnectionStatus.CONNECTING, f"the connection was lost: {reason}")

    def _follow_choice(self, client: BrokerClient) -> None:
        """Make way for a client of another version, if that is the better choice by now."""
        if self._state.is_connected:
            return
        version = self._choice.version(self._clock.monotonic())
        if version is client.version:
            return
        log.info("mqtt_version_changed", version=str(version))
        # Stepping down is free; stepping up again after that too has failed must not spin.
        is_step_down = version is MqttVersion.V3_1_1
        self._replace_client(pause_s=0 if is_step_down else self._delay.min_s)

    def _on_acknowledged(self, mid: int, refused: str | None) -> None:
        acknowledged = self._unacknowledged.get(mid)
        if acknowledged is None or acknowledged.done():
            return
        if refused is None:
            acknowledged.set_result(None)
        else:
            acknowledged.set_exception(
                PublishRefused(f"the broker refuses the message: {refused}", reason=refused)
            )

    def _set_state(self, status: ConnectionStatus, error: str | None) -> None:
        version = self._client.version if self._client is not None else self._state.version
        old = self._state
        if (old.status, old.version, old.error) == (status, version, error):
            return
        self._state = ConnectionState(
            status=status,
            version=version,
            since=self._clock.now() if status is not old.status else old.since,
            error=error,
        )
        if self._state.is_connected:
            self._connected.set()
        else:
            self._connected.clear()
        if error is not None and error != old.error:
            log.warning("mqtt_trouble", status=str(status), error=error)
        self._on_state(self._state)
