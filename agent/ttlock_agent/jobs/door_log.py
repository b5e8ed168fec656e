"""Reads what is new in a lock's operation log, by a cursor of our own, and tells it once.

The lock's own bookmark is never moved: the owner's app and the gateway share it. What happened
before the agent met the lock is history: it is read, as evidence, and not told. That a lock is new
is no reason to read it: each record costs a round trip, and somebody waits for a passcode.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

import structlog

from ttlock_agent.clock import Clock
from ttlock_agent.jobs.events import event
from ttlock_agent.jobs.memory import is_stale
from ttlock_agent.jobs.model import WantedPasscode
from ttlock_agent.jobs.records import EVENT_OF_TYPE, OTHER, describe_record, recorded_at
from ttlock_agent.jobs.store import Journal
from ttlock_agent.lock.visit import LockProfile, Visit
from ttlock_agent.mqtt.topics import Topics
from ttlock_agent.publication import Publication
from ttlock_protocol.errors import CommandRefused
from ttlock_protocol.messages.log import OLDEST, GetLog, LogRecord, LogType
from ttlock_protocol.messages.pages import Unreadable
from ttlock_protocol.procedures import needed_auth, read_log

log = structlog.get_logger()

LOG: Final = "log"
USES: Final = "uses"
MAX_NEW_RECORDS: Final = 100
"""Each costs a round trip; the history of a lock that is new to the agent takes a few visits."""
MAX_USES: Final = 500
"""As many as a lock keeps records."""

_OPENED: Final = frozenset({LogType.PASSCODE_UNLOCK})
_REFUSED: Final = frozenset(
    {LogType.WRONG_PASSCODE, LogType.PASSCODE_OUT_OF_WINDOW, LogType.PASSCODE_BLACKLISTED}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What is new in a log, as far as it calls for an act. The digits are hidden."""

    wrong: frozenset[str] = field(default=frozenset(), repr=False)
    """Typed, and not in the lock."""
    out_of_window: frozenset[str] = field(default=frozenset(), repr=False)
    """In the lock, and by its clock not valid."""
    is_all: bool = True
    """Nothing is left unread."""


NO_NEWS: Final = News()


@dataclass(frozen=True, slots=True)
class _Position:
    """How far a log was read; while it is history, what was recorded from ``met_at`` on is not."""

    cursor: int
    is_history: bool
    met_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """When the log last told of a passcode; ``refusal`` is the word of the last refusal."""

    opened_at: str | None = None
    refused_at: str | None = None
    refusal: str | None = None


class DoorLog:
    """Knows how far each lock's log was read, and what it says of single passcodes."""

    def __init__(self, journal: Journal, topics: Topics, clock: Clock) -> None:
        self._journal = journal
        self._topics = topics
        self._clock = clock

    async def is_due(self, profile: LockProfile) -> bool:
        """Whether the log was read too long ago to leave it at that while connected anyway.

        Of a lock that is new it is only noted that it was met.
        """
        known = await self._journal.last_known(profile.id, LOG)
        if known is None:
            position = self._beginning()
            await self._journal.remember(
                profile.id, {LOG: self._kept(profile, position)}, position.met_at
            )
            return False
        return is_stale(known, self._clock.now(), profile.reproof_interval)

    async def read(self, visit: Visit, profile: LockProfile) -> News:
        """Read what is new, keep how far that was, and tell of it, in one transaction."""
        position = await self._position(profile)
        request = GetLog(cursor=position.cursor)
        try:
            part = await visit.run(
                read_log(cursor=position.cursor, limit=MAX_NEW_RECORDS),
                auth=needed_auth(request, profile.keys, profile.quirks),
            )
        except CommandRefused as error:
            log.info("log_refused", lock=profile.id, refusal=error.refusal.name.lower())
            return NO_NEWS
        now = self._clock.now()
        first = part.next_cursor - len(part.records)
        new = [
            (number, record)
            for number, record in enumerate(part.records, start=first)
            if not position.is_history or _is_since(position.met_at, record, profile, now)
        ]
        wishes = {wish.digits: wish for wish in await self._journal.wanted(profile.id)}
        is_all = len(part.records) < MAX_NEW_RECORDS
        reached = replace(
            position, cursor=part.next_cursor, is_history=position.is_history and not is_all
        )
        await self._journal.remember(
            profile.id,
            {
                LOG: self._kept(profile, reached),
                USES: await self._uses(profile, part.records),
            },
            now,
            events=self._events(profile, new, wishes),
        )
        return _news([record for _, record in new], is_all=is_all)

    async def use_of(self, lock: str, digits: str) -> Use:
        """Return what the log says of one passcode, as far as it was read."""
        known = await self._journal.last_known(lock, USES)
        uses: Mapping[str, Any] = {} if known is None else known.value
        return Use(**uses.get(self._journal.mark(lock, digits), {}))

    async def _position(self, profile: LockProfile) -> _Position:
        known = await self._journal.last_known(profile.id, LOG)
        if known is None or known.value["keys"] != self._keys_mark(profile):
            # A lock that got new keys was reset, and began its log anew.
            return self._beginning()
        met_at = known.value.get("met_at")  # not kept by older agents
        return _Position(
            cursor=known.value["cursor"],
            is_history=known.value["is_history"],
            met_at=self._clock.now() if met_at is None else datetime.fromisoformat(met_at),
        )

    def _beginning(self) -> _Position:
        # Records are stamped in whole seconds.
        met_at = self._clock.now().replace(microsecond=0)
        return _Position(OLDEST, is_history=True, met_at=met_at)

    def _kept(self, profile: LockProfile, position: _Position) -> dict[str, Any]:
        return {
            "cursor": position.cursor,
            "is_history": position.is_history,
            "met_at": position.met_at.isoformat(),
            "keys": self._keys_mark(profile),
        }

    def _keys_mark(self, profile: LockProfile) -> str:
        return self._journal.mark(profile.id, profile.keys.aes_key.hex())

    def _events(
        self,
        profile: LockProfile,
        numbered: Sequence[tuple[int, LogRecord | Unreadable]],
        wishes: Mapping[str, WantedPasscode],
    ) -> list[Publication]:
        now = self._clock.now()
        return [self._event(profile, number, record, wishes, now) for number, record in numbered]

    def _event(
        self,
        profile: LockProfile,
        number: int,
        record: LogRecord | Unreadable,
        wishes: Mapping[str, WantedPasscode],
        now: datetime,
    ) -> Publication:
        body = describe_record(record, wishes, profile.zone) | {"record": number}
        event_id, at, event_type = f"log-{number}", None, OTHER
        if isinstance(record, LogRecord):
            at = recorded_at(record, profile.zone, near=now)
            event_type = EVENT_OF_TYPE.get(record.log_type, OTHER)
            # Numbers start again one day; with time and type the id stays one of its own.
            shown = "" if record.recorded_at is None else f"-{record.recorded_at:%Y%m%dT%H%M%S}"
            event_id = f"{event_id}{shown}-{int(record.log_type)}"
        body.pop("at", None)
        return event(self._topics, profile.id, event_id, event_type, at or now, **body)

    async def _uses(
        self, profile: LockProfile, records: Sequence[LogRecord | Unreadable]
    ) -> dict[str, Any]:
        known = await self._journal.last_known(profile.id, USES)
        uses: dict[str, Any] = {} if known is None else dict(known.value)
        for record in records:
            if isinstance(record, Unreadable) or record.passcode is None:
                continue
            at = recorded_at(record, profile.zone)
            text = None if at is None else at.isoformat(timespec="seconds")
            name = self._journal.mark(profile.id, record.passcode)
            # Put last, so that the oldest ones are the first to be dropped.
            use = uses.pop(name, {})
            if record.log_type in _OPENED:
                uses[name] = use | {"opened_at": text}
            elif record.log_type in _REFUSED:
                word = record.log_type.name.lower()
                uses[name] = use | {"refused_at": text, "refusal": word}
            elif use:
                uses[name] = use
        return dict(list(uses.items())[-MAX_USES:])


def _is_since(
    met_at: datetime, record: LogRecord | Unreadable, profile: LockProfile, now: datetime
) -> bool:
    """Whether ``record`` tells of something after the agent met the lock."""
    if isinstance(record, Unreadable):
        return False
    at = recorded_at(record, profile.zone, near=now)
    return at is not None and at >= met_at


def _news(records: Sequence[LogRecord | Unreadable], *, is_all: bool) -> News:
    """Return what calls for an act."""

    def typed(log_type: LogType) -> frozenset[str]:
        return frozenset(
            record.passcode
            for record in records
            if isinstance(record, LogRecord)
            and record.log_type == log_type
            and record.passcode is not None
        )

    return News(
        wrong=typed(LogType.WRONG_PASSCODE),
        out_of_window=typed(LogType.PASSCODE_OUT_OF_WINDOW),
        is_all=is_all,
    )
