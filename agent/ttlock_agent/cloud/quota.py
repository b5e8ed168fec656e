"""Counting calls, so that the account's month does not end early.

The cloud gives each developer account so many calls a month (5,000 or 30,000 have been seen),
shared by everything behind one client id, and starts anew on the first day in Beijing.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone

import msgspec

from ttlock_agent.cloud.errors import QuotaExhausted
from ttlock_agent.cloud.ports import StateStore

BEIJING = timezone(timedelta(hours=8))

# The owner may have bought more calls meanwhile: one call in six hours finds out.
REFUSED_PAUSE = timedelta(hours=6)


# A clock that jumps must find the count of its month again when it comes back: so not only one.
MONTHS_KEPT = 3


class QuotaBudget:
    """The calls this agent may make in a month.

    The count is saved before each call, so a crash never forgets one.
    """

    def __init__(self, *, monthly_limit: int, store: StateStore) -> None:
        self.monthly_limit = monthly_limit
        self._store = store
        self._calls: dict[str, int] | None = None  # by month, the one used last at the end
        self._refused_at: datetime | None = None
        self._turn = asyncio.Lock()

    async def spend(self, now: datetime) -> None:
        """Count one call that is about to be made; raises ``QuotaExhausted`` when none is left."""
        if self._refused_at is not None:
            again_at = _again_at(self._refused_at)
            # A clock that went back behind the refusal must not stretch the pause.
            if self._refused_at <= now < again_at:
                raise QuotaExhausted(_REFUSED, resets_at=again_at)
            self._refused_at = None
        async with self._turn:
            calls = await self._load()
            month = _month(now)
            spent = calls.get(month, 0)
            if spent >= self.monthly_limit:
                raise QuotaExhausted(
                    f"The budget of {self.monthly_limit} cloud calls for this month is spent.",
                    resets_at=next_month(now),
                )
            others = [(name, count) for name, count in calls.items() if name != month]
            self._calls = dict([*others[1 - MONTHS_KEPT :], (month, spent + 1)])
            await self._store.save(msgspec.json.encode(self._calls))

    def refused(self, now: datetime) -> QuotaExhausted:
        """Note that the cloud itself said no; gives the error to raise."""
        self._refused_at = now
        return QuotaExhausted(_REFUSED, resets_at=_again_at(now))

    async def spent(self, now: datetime) -> int:
        """Calls made in the current month."""
        async with self._turn:
            return (await self._load()).get(_month(now), 0)

    async def remaining(self, now: datetime) -> int:
        """Calls left in the current month."""
        return max(0, self.monthly_limit - await self.spent(now))

    async def _load(self) -> dict[str, int]:
        if self._calls is None:
            saved = await self._store.load()
            try:
                self._calls = msgspec.json.decode(saved, type=dict[str, int]) if saved else {}
            except (msgspec.MsgspecError, ValueError):
                # A lost count costs at worst some calls too many, which the cloud then refuses.
                self._calls = {}
        return self._calls


_REFUSED = "The cloud says that this month's calls are used up."


def _month(now: datetime) -> str:
    return now.astimezone(BEIJING).strftime("%Y-%m")


def _again_at(refused_at: datetime) -> datetime:
    return min(refused_at + REFUSED_PAUSE, next_month(refused_at))


def next_month(now: datetime) -> datetime:
    """First moment of the month after ``now`` in Beijing, in UTC."""
    local = now.astimezone(BEIJING)
    year, month = (local.year + 1, 1) if local.month == 12 else (local.year, local.month + 1)
    return datetime(year, month, 1, tzinfo=BEIJING).astimezone(UTC)
