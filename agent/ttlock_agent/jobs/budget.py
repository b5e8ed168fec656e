"""What a lock's battery may be asked for in a day, and what it was asked for already.

Advertising costs a lock next to nothing; connections and the seconds they last are what its
batteries are spent on. The count is in the journal, and a day is one by the lock's own zone.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import structlog

from ttlock_agent.clock import Clock
from ttlock_agent.errors import AgentError
from ttlock_agent.jobs.memory import USAGE
from ttlock_agent.jobs.model import GUEST_PRIORITY, Job
from ttlock_agent.jobs.signal import SIGNAL, Days, with_connection, with_failure, with_loss
from ttlock_agent.jobs.store import Journal
from ttlock_agent.lock.visit import Budget, LockProfile

log = structlog.get_logger()

URGENT_WITHIN: Final = timedelta(hours=1)
"""A job whose deadline is closer than this is worth the battery."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one day has taken so far."""

    day: str
    connections: int = 0
    connected_s: float = 0.0

    def is_beyond(self, budget: Budget) -> bool:
        """Whether nothing is left of ``budget``."""
        return (
            self.connections >= budget.connections_per_day
            or self.connected_s >= budget.connected_s_per_day
        )


class Budgets:
    """Counts what each lock is asked for."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock

    async def usage(self, profile: LockProfile) -> Usage:
        """Return what today has taken so far."""
        today = self._today(profile)
        known = await self._journal.last_known(profile.id, USAGE)
        if known is None or known.value["day"] != today:
            return Usage(day=today)
        return Usage(**known.value)

    async def is_used_up(self, profile: LockProfile) -> bool:
        """Whether only what is urgent may connect until tomorrow."""
        return (await self.usage(profile)).is_beyond(profile.budget)

    async def connected(self, profile: LockProfile, rssi_dbm: int | None) -> None:
        """Count a connection; at its beginning, so that one which ends in a crash counts."""
        usage = await self.usage(profile)
        days = with_connection(await self._days(profile), usage.day, rssi_dbm)
        await self._keep(profile, replace(usage, connections=usage.connections + 1), days)

    async def not_connected(self, profile: LockProfile, error: AgentError) -> None:
        """Note that no connection came about; that costs a lock nothing."""
        days = with_failure(await self._days(profile), self._today(profile), error.code)
        await self._journal.remember_lock(profile.id, SIGNAL, days, self._clock.now())

    async def disconnected(
        self, profile: LockProfile, connected_s: float, *, is_lost: bool = False
    ) -> None:
        """Count how long a connection lasted, and whether it broke."""
        usage = await self.usage(profile)
        total_s = round(usage.connected_s + connected_s, 1)
        days = with_loss(await self._days(profile), usage.day) if is_lost else None
        await self._keep(profile, replace(usage, connected_s=total_s), days)

    async def _keep(self, profile: LockProfile, usage: Usage, days: Days | None) -> None:
        if usage.is_beyond(profile.budget):
            log.warning("battery_budget_used_up", lock=profile.id, **asdict(usage))
        values: dict[str, object] = {USAGE: asdict(usage)}
        if days is not None:
            values[SIGNAL] = days
        await self._journal.remember(profile.id, values, self._clock.now())

    async def _days(self, profile: LockProfile) -> Days:
        known = await self._journal.last_known(profile.id, SIGNAL)
        return () if known is None else known.value

    def _today(self, profile: LockProfile) -> str:
        return self._clock.now().astimezone(profile.zone).date().isoformat()


def is_urgent(job: Job, now: datetime) -> bool:
    """Whether ``job`` may connect although the budget is used up."""
    if job.priority >= GUEST_PRIORITY:
        return True
    return job.deadline_at is not None and job.deadline_at - now <= URGENT_WITHIN
