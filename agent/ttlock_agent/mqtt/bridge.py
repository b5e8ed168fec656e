"""Glue between the broker connection and the jobs: requests in, publications out, no policy.

Both directions are at-least-once. A request is acknowledged when its handler is done with it, that
is once it is in the journal or answered with a refusal. A publication leaves the outbox once the
broker has acknowledged it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

import structlog

from ttlock_agent.clock import Clock
from ttlock_agent.errors import JournalError
from ttlock_agent.limits import stop_if_told, time_limit
from ttlock_agent.logs import where
from ttlock_agent.publication import Publication

from .connection import Publisher
from .errors import BrokerUnavailable, PublishRefused
from .incoming import Incoming
from .topics import Topics, is_below

JOURNAL_PAUSE_S = 30.0
"""A journal that fails (a full disk, mostly) is not repaired sooner; meanwhile the broker keeps."""

REFUSED_PAUSE_S = 60.0
"""A broker that refuses a topic needs a person to change its access list."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class IncomingRequest:
    """What a caller asks for. The payload is whatever was sent: any bytes of any length.

    ``response_topic`` is set only if answers may go there; else they go to ``response/<verb>``.
    """

    verb: str
    payload: bytes = field(repr=False)
    is_retained: bool
    correlation_data: bytes | None = field(default=None, repr=False)
    response_topic: str | None = None


class Redeliverer(Protocol):
    """Port: makes the broker deliver again what is not acknowledged."""

    def redeliver(self) -> None:
        """Ask for it; the messages arrive later."""
        ...


class OutboxEntry(Protocol):
    """One publication that is kept until it is done with."""

    @property
    def id(self) -> int:
        """Grows with each entry."""
        ...

    @property
    def publication(self) -> Publication:
        """What to say."""
        ...

    @property
    def queued_at(self) -> datetime:
        """When it was decided to say it; its expiry counts from here."""
        ...


class Outbox(Protocol):
    """Port: publications on their way out; the job journal has one."""

    async def outbox(self, *, after: int = 0) -> Sequence[OutboxEntry]:
        """The next entries behind the entry ``after``, oldest first; empty at the end."""
        ...

    async def outbox_done(self, *entry_ids: int) -> None:
        """Forget these: the broker has them."""
        ...


class RequestBridge:
    """Hands each request to ``handler``, one after the other, and acknowledges it afterwards.

    The handler answers bad requests itself and raises ``JournalError`` if it could not keep a good
    one: that stays unacknowledged, and the broker is asked for it again after a pause. A response
    topic of MQTT 5 is passed on only below ``response_prefix``.
    """

    def __init__(
        self,
        incoming: AsyncIterator[Incoming],
        handler: Callable[[IncomingRequest], Awaitable[None]],
        *,
        topics: Topics,
        connection: Redeliverer,
        clock: Clock,
        response_prefix: str | None = None,
    ) -> None:
        self._incoming = incoming
        self._handler = handler
        self._topics = topics
        self._connection = connection
        self._clock = clock
        self._response_prefix = response_prefix or ""

    async def run(self) -> None:
        """Serve until cancelled."""
        async for incoming in self._incoming:
            verb = self._topics.parse_request(incoming.topic)
            if verb is None:
                # Some brokers replay retained messages of topics nobody here subscribed to.
                log.info("mqtt_message_ignored", topic=incoming.topic)
                await incoming.ack()
            elif await self._handle(verb, incoming):
                await incoming.ack()
            else:
                await self._clock.sleep(JOURNAL_PAUSE_S)
                self._connection.redeliver()

    async def _handle(self, verb: str, incoming: Incoming) -> bool:
        """Whether the broker may forget the request."""
        request = IncomingRequest(
            verb=verb,
            payload=incoming.payload,
            is_retained=incoming.is_retained,
            correlation_data=incoming.correlation_data,
            response_topic=self._response_topic(incoming),
        )
        try:
            await self._handler(request)
        except JournalError as error:
            log.warning("mqtt_request_not_kept", verb=verb, code=error.code, hint=error.hint)
            return False
        except Exception as error:  # noqa: BLE001 - a defect of ours; kept, it would strike for ever
            # No traceback: it may quote the payload.
            log.error("mqtt_request_defect", verb=verb, **where(error))  # noqa: TRY400
        return True

    def _response_topic(self, incoming: Incoming) -> str | None:
        topic = incoming.response_topic
        if topic is None or is_below(topic, self._response_prefix):
            return topic
        log.warning("mqtt_response_topic_ignored", request=incoming.topic)
        return None


class OutboxPublisher:
    """Publishes the outbox in order, whenever there is a connection and whenever ``wake`` is set.

    A publication is done with when the broker has acknowledged it, and is sent again otherwise. One
    that the broker refuses waits, and with it the later ones for the same topic; the others go on.
    """

    def __init__(
        self,
        outbox: Outbox,
        publisher: Publisher,
        *,
        clock: Clock,
        wake: asyncio.Event,
        refused_pause_s: float = REFUSED_PAUSE_S,
    ) -> None:
        self._outbox = outbox
        self._publisher = publisher
        self._clock = clock
        self._wake = wake
        self._refused_pause_s = refused_pause_s

    async def run(self) -> None:
        """Publish until cancelled; a journal that fails is waited for."""
        while True:
            await self._publisher.wait_connected()
            # Cleared before reading, so that what is added during a pass causes another one.
            self._wake.clear()
            try:
                is_all_done = await self._drain()
            except BrokerUnavailable:
                continue
            except JournalError as error:
                stop_if_told()
                log.error("outbox_unusable", code=error.code, hint=error.hint)  # noqa: TRY400
                await self._clock.sleep(JOURNAL_PAUSE_S)
                continue
            with contextlib.suppress(TimeoutError):
                async with time_limit(None if is_all_done else self._refused_pause_s):
                    await self._wake.wait()

    async def _drain(self) -> bool:
        """One pass; False if something was refused and has to wait."""
        refused_topics: set[str] = set()
        after = 0
        while entries := await self._outbox.outbox(after=after):
            done: list[int] = []
            try:
                for entry in entries:
                    after = entry.id
                    if entry.publication.topic in refused_topics:
                        continue
                    try:
                        await self._publisher.publish(self._aged(entry))
                    except PublishRefused:
                        refused_topics.add(entry.publication.topic)
                    else:
                        done.append(entry.id)
            finally:
                # One commit a page: after a crash in between, some are said twice, none is lost.
                if done:
                    await self._outbox.outbox_done(*done)
        return not refused_topics

    def _aged(self, entry: OutboxEntry) -> Publication:
        """The publication with what is left of its expiry.

        An overdue one still goes out, for whoever listens right now: a clock that was set in the
        meantime, as on a Pi after a power cut, must not swallow answers.
        """
        expiry_s = entry.publication.expiry_s
        if expiry_s is None:
            return entry.publication
        age_s = int((self._clock.now() - entry.queued_at).total_seconds())
        return replace(entry.publication, expiry_s=min(max(expiry_s - age_s, 1), expiry_s))
