"""Watches what locks advertise, for signs that somebody stands at the door.

Nothing is asked of a lock for this, and no clock is a reason to connect: only what just changed on
the air is. The bit for new records alone is not enough, for it stays set until the owner's app has
read the log.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from ttlock_agent.clock import Clock
from ttlock_agent.errors import LinkError
from ttlock_agent.link import Sighting
from ttlock_agent.lock.visit import LockProfile
from ttlock_protocol.advertisement import Advertisement, parse

log = structlog.get_logger()

APART_S: Final = 3.0
"""Somebody who types a passcode touches many keys, and the bit stays for a dozen seconds."""
LISTEN_AGAIN_S: Final = 30.0
"""Pause after the radio could not be listened to."""


class Sightings(Protocol):
    """The part of a link factory that listens."""

    def sightings(self) -> AsyncIterator[Sighting]:
        """Advertisements of all locks in range, until cancelled."""
        ...


@dataclass(frozen=True, slots=True)
class Sign:
    """Somebody is at a lock, or it has just woken up: it can be reached now."""

    lock: str
    has_news: bool
    """Its log has records that the owner's app has not read."""


class DoorWatch:
    """Listens on one adapter."""

    def __init__(
        self,
        source: Sightings,
        profiles: Mapping[str, LockProfile],
        *,
        clock: Clock,
        on_sign: Callable[[Sign], None],
        on_heard: Callable[[str, Sighting, Advertisement], None] = lambda *_: None,
    ) -> None:
        """``profiles`` are looked at anew for each sighting: locks may be added.

        ``on_heard`` is called for every advertisement of a lock, by its id.
        """
        self._source = source
        self._profiles = profiles
        self._clock = clock
        self._on_sign = on_sign
        self._on_heard = on_heard
        self._last: dict[str, Advertisement] = {}
        self._signed_at_s: dict[str, float] = {}

    async def run(self) -> None:
        """Serve until cancelled."""
        while True:
            try:
                async for sighting in self._source.sightings():
                    self.saw(sighting)
            except LinkError as error:
                log.warning("not_listening", code=error.code, hint=error.hint)
            await self._clock.sleep(LISTEN_AGAIN_S)

    def saw(self, sighting: Sighting) -> None:
        """Take one advertisement; call ``on_sign`` if it is one."""
        now = parse(sighting.manufacturer_data)
        lock = self._lock_at(sighting.address)
        if lock is None or not isinstance(now, Advertisement):
            return
        self._on_heard(lock, sighting, now)
        before = self._last.get(lock)
        self._last[lock] = now
        if not is_sign(before, now):
            return
        last_s = self._signed_at_s.get(lock)
        if last_s is not None and sighting.seen_at_monotonic_s - last_s < APART_S:
            return
        self._signed_at_s[lock] = sighting.seen_at_monotonic_s
        self._on_sign(Sign(lock, now.has_new_records))

    def _lock_at(self, address: str) -> str | None:
        wanted = address.upper()
        for profile in self._profiles.values():
            if profile.address.upper() == wanted:
                return profile.id
        return None


def is_sign(before: Advertisement | None, now: Advertisement) -> bool:
    """Whether something happened at the lock between two advertisements.

    A touch counts for as long as it shows: whoever was touching when we came may fail after that.

    What the first one after the start shows happened a moment ago, or while the agent was away.
    """
    if before is None:
        return now.has_new_records or now.is_touched
    return (
        now.is_touched
        or (now.has_new_records and not before.has_new_records)
        or (before.is_dormant and not now.is_dormant)
    )
