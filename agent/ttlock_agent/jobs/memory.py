"""What the agent has learnt of its locks: kept in the journal, shown over MQTT without digits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from typing import Any, Final

import msgspec

from ttlock_agent.clock import Clock
from ttlock_agent.jobs.drift import longer_history
from ttlock_agent.jobs.events import event
from ttlock_agent.jobs.heard import Heard
from ttlock_agent.jobs.model import Known, WantedPasscode
from ttlock_agent.jobs.passcodes import Held, held
from ttlock_agent.jobs.store import Journal
from ttlock_agent.lock.visit import ClockReading, Listing, LockProfile
from ttlock_agent.mqtt.topics import Topics
from ttlock_agent.publication import Publication
from ttlock_protocol.localtime import from_lock
from ttlock_protocol.messages.auth import PERMANENT_FROM
from ttlock_protocol.messages.pages import Unreadable
from ttlock_protocol.messages.passcodes import PasscodeRecord

LISTING: Final = "passcodes"
CLOCK: Final = "clock"
CLOCK_HISTORY: Final = "clock_history"
STATE: Final = "state"
STRANGERS: Final = "strangers"
USAGE: Final = "usage"


class LockMemory:
    """Keeps and shows what locks said."""

    def __init__(
        self, journal: Journal, topics: Topics, clock: Clock, heard: Heard | None = None
    ) -> None:
        """``heard`` is what the locks say by themselves; shown beside what sessions read."""
        self._journal = journal
        self._topics = topics
        self._clock = clock
        self._heard = heard or Heard(clock)

    async def keep_listing(
        self, profile: LockProfile, listing: Listing, listed_at: datetime
    ) -> None:
        """Keep a complete listing."""
        wanted = await self._journal.wanted(profile.id)
        entries = describe_listing(listing, wanted, profile.zone, listed_at)
        await self._journal.remember_lock(profile.id, LISTING, entries, listed_at)

    async def strangers(self, lock: str) -> set[str]:
        """Return the names of the unknown passcodes that were told of."""
        known = await self._journal.last_known(lock, STRANGERS)
        return set() if known is None else set(known.value)

    async def keep_strangers(
        self,
        profile: LockProfile,
        names: Sequence[str],
        as_of: datetime,
        events: Sequence[Publication],
    ) -> None:
        """Keep which unknown passcodes were told of, and tell of new ones: the end of a review."""
        await self._journal.remember(profile.id, {STRANGERS: list(names)}, as_of, events=events)

    async def reviewed(self, lock: str) -> Known | None:
        """Return the last review that came to its end, with all the jobs that followed from it."""
        return await self._journal.last_known(lock, STRANGERS)

    async def listed(self, lock: str) -> Known | None:
        """Return the last complete listing, whether or not what it showed was acted on."""
        return await self._journal.last_known(lock, LISTING)

    @property
    def topics(self) -> Topics:
        """Where things are told."""
        return self._topics

    def event(self, lock: str, event_id: str, event_type: str, **more: Any) -> Publication:
        """Return what tells that something happened just now."""
        return event(self._topics, lock, event_id, event_type, self._clock.now(), **more)

    async def keep_clock(
        self, profile: LockProfile, before: ClockReading, after: ClockReading | None
    ) -> None:
        """Keep how far the clock was off, and after it was set, still is."""
        last = before if after is None else after
        value = {
            "clock_error_s": last.error_s,
            "clock_error_before_s": before.error_s,
            "was_set": after is not None,
        }
        history = await self.clock_history(profile.id)
        longer = longer_history(history, before, was_set=after is not None)
        await self._journal.remember(
            profile.id, {CLOCK: value, CLOCK_HISTORY: longer}, last.read_at
        )

    async def clock_history(self, lock: str) -> list[dict[str, Any]]:
        """Return how far the clock was off at earlier visits, the oldest first."""
        known = await self._journal.last_known(lock, CLOCK_HISTORY)
        return [] if known is None else list(known.value)

    async def keep_state(self, profile: LockProfile, state: dict[str, Any]) -> None:
        """Keep battery and bolt."""
        await self._journal.remember_lock(profile.id, STATE, state, self._clock.now())

    async def show(self, profile: LockProfile) -> None:
        """Queue what is known for publication, each with the moment it was true."""
        await self._post(
            {
                self._topics.lock_state(profile.id): await self._state(profile.id),
                self._topics.lock_passcodes(profile.id): await self.passcodes(profile.id),
            }
        )

    async def show_state(self, lock: str) -> None:
        """Queue what is known but for the passcodes."""
        await self._post({self._topics.lock_state(lock): await self._state(lock)})

    async def _post(self, bodies: Mapping[str, dict[str, Any]]) -> None:
        await self._journal.post(
            [
                Publication(topic, msgspec.json.encode(body), retain=True)
                for topic, body in bodies.items()
                if body
            ]
        )

    async def passcodes(self, lock: str) -> dict[str, Any]:
        """Return the last listing, without digits; empty when there was none."""
        known = await self._journal.last_known(lock, LISTING)
        return {} if known is None else {"passcodes": known.value, "as_of": _text(known.as_of)}

    async def _state(self, lock: str) -> dict[str, Any]:
        clock = await self._journal.last_known(lock, CLOCK)
        body = {} if clock is None else clock.value | {"clock_as_of": _text(clock.as_of)}
        body |= self._heard.facts(lock, await self._journal.last_known(lock, STATE))
        usage = await self._journal.last_known(lock, USAGE)
        return body if usage is None else body | {"usage": usage.value}


def is_stale(known: Known | None, now: datetime, interval: timedelta) -> bool:
    """Whether something is not known, or so long already that it is looked up again.

    What is known from the future was learnt before this machine's clock was set back.
    """
    return known is None or not timedelta() <= now - known.as_of < interval


def describe_listing(
    listing: Listing, wanted: Sequence[WantedPasscode], zone: tzinfo, now: datetime
) -> list[dict[str, Any]]:
    """Return the records of ``listing``, read ``now``, as JSON without their digits.

    ``label`` and ``request`` are those of the wish that a record fulfils; a record without them
    belongs to nobody the agent knows.
    """
    by_digits = {wish.digits: wish for wish in wanted if wish.is_wanted}
    return [
        {"kind": "unreadable"}
        if isinstance(record, Unreadable)
        else _describe(record, by_digits.get(record.passcode), zone, now)
        for record in listing
    ]


def _describe(
    record: PasscodeRecord, wish: WantedPasscode | None, zone: tzinfo, now: datetime
) -> dict[str, Any]:
    body: dict[str, Any] = {
        "kind": record.passcode_type.name.lower(),
        "length": len(record.passcode),
        "is_known": wish is not None,
    }
    if record.valid_from != PERMANENT_FROM:
        body["valid_from"] = _text(from_lock(record.valid_from, zone))
    if record.valid_until is not None:
        body["valid_until"] = _text(from_lock(record.valid_until, zone))
    if wish is not None:
        body |= {
            "label": wish.label,
            "owner": wish.owner,
            "job": wish.job_id,
            "is_as_wanted": held((record,), wish, zone, now) is Held.AS_WANTED,
        }
    return body


def _text(at: datetime) -> str:
    return at.isoformat(timespec="seconds")
