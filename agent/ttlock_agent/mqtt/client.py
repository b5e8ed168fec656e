"""The only code that touches paho: one client, one protocol version, one network thread.

paho calls back on its own thread. Each callback here turns what it is told into a plain event and
hands that to the loop by ``call_soon_threadsafe``, which keeps the order; it does nothing else,
except for what must be said first on a fresh connection.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from paho.mqtt import client as paho  # noqa: TID251 - this is the place where paho is spoken to
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion  # noqa: TID251
from paho.mqtt.packettypes import PacketTypes  # noqa: TID251
from paho.mqtt.properties import Properties  # noqa: TID251
from paho.mqtt.reasoncodes import ReasonCode  # noqa: TID251
from paho.mqtt.subscribeoptions import SubscribeOptions  # noqa: TID251

from ttlock_agent.limits import time_limit
from ttlock_agent.publication import Publication

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
from .incoming import Incoming
from .protocol_choice import MqttVersion
from .settings import MqttSettings
from .topics import OFFLINE, ONLINE

SESSION_EXPIRY_S = 24 * 3600
"""Requests wait a day for an agent that is away; older ones have mostly met their deadline."""

RECEIVE_MAXIMUM = 16
"""Messages that may be under way unacknowledged; journalling takes milliseconds, so few will do."""

MAX_MESSAGE_BYTES = 2 * 1024 * 1024
"""Bounds memory: far above any request, so that an oversized one still gets a named refusal."""

MAX_IN_FLIGHT = 10
"""paho does not read the broker's receive maximum, so we stay below what brokers usually grant."""

STOP_REPEAT_S = 0.2
"""See ``BrokerClient.stop``."""

_PROTOCOLS = {
    MqttVersion.V5: MQTTProtocolVersion.MQTTv5,
    MqttVersion.V3_1_1: MQTTProtocolVersion.MQTTv311,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconnectDelay:
    """Seconds between attempts to connect: doubled from the least to the most."""

    min_s: float = 1
    max_s: float = 120


class _Paho(paho.Client):
    """Reports the end of the network thread, which paho keeps to itself."""

    def __init__(self, on_thread_end: Callable[[str | None], None], **options: Any) -> None:
        super().__init__(CallbackAPIVersion.VERSION2, **options)
        self._on_thread_end = on_thread_end
        self.network_thread: threading.Thread | None = None

    def loop_forever(
        self, timeout: float = 1.0, retry_first_connection: bool = False
    ) -> MQTTErrorCode:
        """Body of the thread that ``loop_start`` starts."""
        self.network_thread = threading.current_thread()
        defect = None
        try:
            return super().loop_forever(timeout, retry_first_connection)
        except Exception as error:  # noqa: BLE001 - the thread ends here, and its owner is told
            # Whatever a broken peer sent may stand in the text of the exception.
            defect = type(error).__name__
            return MQTTErrorCode.MQTT_ERR_UNKNOWN
        finally:
            self._on_thread_end(defect)


class BrokerClient:
    """One paho client; reconnects by itself until ``stop``.

    ``emit`` is called in the loop that was running when this was made.
    """

    def __init__(
        self,
        settings: MqttSettings,
        *,
        ssl_context: ssl.SSLContext | None,
        version: MqttVersion,
        subscriptions: Sequence[str],
        delay: ReconnectDelay,
        emit: Callable[[NetworkEvent], None],
    ) -> None:
        self.version = version
        self._settings = settings
        self._subscriptions = subscriptions
        self._loop = asyncio.get_running_loop()
        self._emit_in_loop = emit
        self._ended = asyncio.Event()
        # Written by the network thread only.
        self._was_answered = False
        self._connection_number = 0
        self._online_mid: int | None = None
        self._paho = self._make_paho(ssl_context, delay)

    def start(self) -> None:
        """Start the network thread, which connects."""
        options: dict[str, Any] = {}
        if self.version is MqttVersion.V5:
            properties = _properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = SESSION_EXPIRY_S
            properties.ReceiveMaximum = RECEIVE_MAXIMUM
            properties.MaximumPacketSize = MAX_MESSAGE_BYTES
            options = {"clean_start": False, "properties": properties}
        settings = self._settings
        self._paho.connect_async(
            settings.host, settings.port, keepalive=settings.keepalive_s, **options
        )
        self._paho.loop_start()

    async def stop(self) -> None:
        """Disconnect and wait for the end of the network thread (seconds, if it is connecting).

        To be called once; nothing else is to be called afterwards.
        """
        while not self._ended.is_set():
            # paho loses a disconnect that comes while it opens its socket, hence the repetition.
            self._paho.disconnect()
            try:
                async with time_limit(STOP_REPEAT_S):
                    await self._ended.wait()
            except TimeoutError:
                continue
        if self._paho.network_thread is not None:
            self._paho.network_thread.join()  # at its very last instruction
        # paho closes its sockets when it is freed, and it refers to us: do not leave a cycle.
        del self._paho

    def publish(self, publication: Publication) -> int:
        """Hand a publication to the network thread; returns its id for ``Acknowledged``.

        paho sends it again after a reconnect, until the broker acknowledges it.
        """
        properties = None
        if self.version is MqttVersion.V5:
            properties = _properties(PacketTypes.PUBLISH)
            if publication.expiry_s is not None:
                properties.MessageExpiryInterval = publication.expiry_s
            if publication.correlation_data is not None:
                properties.CorrelationData = publication.correlation_data
        info = self._paho.publish(
            publication.topic,
            publication.payload,
            publication.qos,
            publication.retain,
            properties,
        )
        return info.mid

    def _make_paho(self, ssl_context: ssl.SSLContext | None, delay: ReconnectDelay) -> _Paho:
        settings = self._settings
        client = _Paho(
            self._on_thread_end,
            client_id=settings.client_id,
            clean_session=None if self.version is MqttVersion.V5 else False,
            protocol=_PROTOCOLS[self.version],
            manual_ack=True,
        )
        # paho only calculates with the delays: fractions are fine, whatever its annotation says.
        client.reconnect_delay_set(delay.min_s, delay.max_s)  # type: ignore[arg-type]
        client.max_inflight_messages_set(MAX_IN_FLIGHT)
        client.will_set(settings.topics.status, OFFLINE, qos=1, retain=True)
        if settings.username is not None:
            client.username_pw_set(settings.username, settings.password)
        if ssl_context is not None:
            client.tls_set_context(ssl_context)
        client.on_pre_connect = self._on_pre_connect
        client.on_socket_open = self._on_socket_open
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        return client

    # From here on: the network thread.

    def _emit(self, event: NetworkEvent) -> None:
        self._loop.call_soon_threadsafe(self._emit_in_loop, event)

    def _on_thread_end(self, defect: str | None) -> None:
        self._emit(ThreadEnded(defect))
        self._loop.call_soon_threadsafe(self._ended.set)  # last: nothing is emitted after `stop`

    def _on_pre_connect(self, _client: paho.Client, _userdata: Any) -> None:
        self._was_answered = False
        self._connection_number += 1

    def _on_socket_open(self, _client: paho.Client, _userdata: Any, opened: Any) -> None:
        # An acknowledgement and an answer leave as two small packets; the kernel would hold the
        # second back until the broker's kernel confirms the first, which takes 40 ms.
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._emit(Opened())

    def _on_connect(
        self,
        client: paho.Client,
        _userdata: Any,
        flags: paho.ConnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self._was_answered = True
        if reason.is_failure:
            self._emit(Refused(reason.value, str(reason)))
            return
        # Said here, on the network thread, so that nothing can be said earlier. The subscription
        # goes first: whoever reads "online" may send a request at once.
        if self._subscriptions:
            client.subscribe([self._subscription(topic) for topic in self._subscriptions])
        status = self._settings.topics.status
        self._online_mid = client.publish(status, ONLINE, qos=1, retain=True).mid
        self._emit(Accepted(flags.session_present))

    def _subscription(self, topic_filter: str) -> Any:
        if self.version is MqttVersion.V5:
            options = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)
            return topic_filter, options
        return topic_filter, 1

    def _on_connect_fail(self, _client: paho.Client, _userdata: Any) -> None:
        # paho calls this inside its `except` clause and does not pass the exception on.
        self._emit(Unreachable(_unreachable_sentence(self._settings, sys.exception())))

    def _on_disconnect(
        self,
        _client: paho.Client,
        _userdata: Any,
        _flags: paho.DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self._emit(Closed(self._was_answered, str(reason)))

    def _on_subscribe(
        self,
        _client: paho.Client,
        _userdata: Any,
        _mid: int,
        reasons: list[ReasonCode],
        _properties: Properties | None,
    ) -> None:
        for reason in reasons:
            if reason.is_failure:
                self._emit(Restricted(f"the broker does not let us subscribe: {reason}"))

    def _on_message(self, client: paho.Client, _userdata: Any, message: paho.MQTTMessage) -> None:
        number, mid, qos = self._connection_number, message.mid, message.qos

        def send_ack() -> None:
            # Message ids mean something within one connection only.
            if number == self._connection_number:
                client.ack(mid, qos)

        try:
            topic = message.topic
        except UnicodeDecodeError:
            send_ack()  # against the standard, so it is nobody's request
            self._emit(Dropped("the topic is not UTF-8"))
            return
        if len(message.payload) > MAX_MESSAGE_BYTES:
            send_ack()  # at 5 the broker itself drops these; at 3.1.1 it knows no maximum
            self._emit(Dropped(f"the payload has {len(message.payload)} bytes"))
            return
        self._emit(
            Received(
                Incoming(
                    topic=topic,
                    payload=bytes(message.payload),
                    qos=qos,
                    is_retained=message.retain,
                    is_duplicate=message.dup,
                    response_topic=getattr(message.properties, "ResponseTopic", None),
                    correlation_data=getattr(message.properties, "CorrelationData", None),
                    send_ack=send_ack,
                )
            )
        )

    def _on_publish(
        self,
        _client: paho.Client,
        _userdata: Any,
        mid: int,
        reason: ReasonCode,
        _properties: Properties,
    ) -> None:
        if mid != self._online_mid:
            self._emit(Acknowledged(mid, str(reason) if reason.is_failure else None))
            return
        # The broker reads in order, so by now it has our subscriptions as well.
        self._online_mid = None
        if reason.is_failure:
            self._emit(Restricted(f"the broker does not let us publish our status: {reason}"))
        self._emit(Ready())


def _unreachable_sentence(settings: MqttSettings, error: BaseException | None) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            why = f"its certificate is not trusted ({error.verify_message})"
        case ssl.SSLError():
            why = f"TLS failed ({error.reason or 'no details'})"
        case socket.gaierror():
            why = "the host name cannot be resolved"
        case ConnectionRefusedError():
            why = "nothing listens there"
        case TimeoutError():
            why = "it did not answer in time"
        case _:
            why = getattr(error, "strerror", None) or "the network failed"
    return f"no connection to the broker at {settings.host}:{settings.port}: {why}"


def _properties(packet_type: int) -> Properties:
    return Properties(packet_type)  # type: ignore[no-untyped-call]  # paho left this one out
