"""What resets and restores leave in the journal's memory of a lock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from ttlock_agent.backup.restore import Key
from ttlock_agent.clock import Clock
from ttlock_agent.jobs.model import Job
from ttlock_agent.jobs.store import Journal

_RESTORE: Final = "restore"
_ROOM: Final = "room"
_RESET: Final = "reset"


class RestoreNotes:
    """What was missing when a restore began, and how much fits into its lock."""

    def __init__(self, journal: Journal, job: Job, now: datetime) -> None:
        self._journal = journal
        self._job = job
        self._now = now

    async def keep_first(self, keys: Sequence[Key]) -> frozenset[Key]:
        """Keep ``keys``, unless this job kept some before."""
        known = await self._journal.last_known(self._job.lock, _RESTORE)
        if known is not None and known.value["job"] == self._job.id:
            return frozenset((item, number) for item, number in known.value["missing"])
        note = {"job": self._job.id, "missing": [list(key) for key in keys]}
        await self._journal.remember_lock(self._job.lock, _RESTORE, note, self._now)
        return frozenset(keys)

    async def room(self, mac_digits: str) -> dict[str, int]:
        """Return how much the lock with this address held when it was full."""
        known = await self._journal.last_known(self._job.lock, _ROOM)
        if known is None or known.value["mac_digits"] != mac_digits:
            return {}
        return dict(known.value["room"])

    async def keep_room(self, mac_digits: str, room: Mapping[str, int]) -> None:
        """Keep how much it held."""
        before = await self.room(mac_digits)
        note = {"mac_digits": mac_digits, "room": before | dict(room)}
        await self._journal.remember_lock(self._job.lock, _ROOM, note, self._now)


class ResetNotes:
    """By which backup a lock was reset and not restored yet: it is all that there is of it."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock

    async def keep(self, lock: str, backup: str) -> None:
        """Note that ``lock`` is reset, and lives in ``backup`` only."""
        await self._journal.remember_lock(lock, _RESET, backup, self._clock.now())

    async def is_needed(self, lock: str, backup: str) -> bool:
        """Whether ``lock`` lives in ``backup`` only."""
        known = await self._journal.last_known(lock, _RESET)
        return known is not None and known.value == backup

    async def clear(self, lock: str, backup: str) -> None:
        """Note that all of ``backup`` that can be is back in ``lock``."""
        if await self.is_needed(lock, backup):
            await self._journal.remember_lock(lock, _RESET, None, self._clock.now())
