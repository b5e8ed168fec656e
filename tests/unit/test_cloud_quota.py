"""The call budget through months, restarts and clocks that jump."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttlock_agent.cloud.errors import QuotaExhausted
from ttlock_agent.cloud.ports import MemoryStore
from ttlock_agent.cloud.quota import REFUSED_PAUSE, QuotaBudget, next_month

NOW = datetime(2026, 12, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (datetime(2026, 1, 31, 15, 59, 59, tzinfo=UTC), datetime(2026, 1, 31, 16, tzinfo=UTC)),
        (datetime(2026, 1, 31, 16, tzinfo=UTC), datetime(2026, 2, 28, 16, tzinfo=UTC)),
        (datetime(2026, 12, 31, 16, tzinfo=UTC), datetime(2027, 1, 31, 16, tzinfo=UTC)),
    ],
)
def test_months_end_in_beijing(now: datetime, expected: datetime) -> None:
    assert next_month(now) == expected


async def test_a_month_has_its_own_count() -> None:
    budget = QuotaBudget(monthly_limit=2, store=MemoryStore())
    await budget.spend(NOW)
    await budget.spend(NOW)
    with pytest.raises(QuotaExhausted):
        await budget.spend(NOW)
    january = next_month(NOW)
    assert (await budget.spent(NOW), await budget.spent(january)) == (2, 0)
    await budget.spend(january)
    assert await budget.remaining(january) == 1


@pytest.mark.parametrize(
    "wrong", [datetime(1970, 1, 1, tzinfo=UTC), datetime(2037, 1, 1, tzinfo=UTC)]
)
async def test_a_clock_that_jumps_and_returns_finds_its_count(wrong: datetime) -> None:
    store = MemoryStore()
    await QuotaBudget(monthly_limit=5, store=store).spend(NOW)
    await QuotaBudget(monthly_limit=5, store=store).spend(wrong)
    budget = QuotaBudget(monthly_limit=5, store=store)
    assert await budget.spent(NOW) == 1
    await budget.spend(NOW)
    assert await budget.spent(NOW) == 2


async def test_the_count_is_kept_before_the_call_and_stays_small() -> None:
    store = MemoryStore()
    budget = QuotaBudget(monthly_limit=5, store=store)
    moment = NOW
    for _ in range(30):
        await budget.spend(moment)
        assert await QuotaBudget(monthly_limit=5, store=store).spent(moment) == 1
        moment = next_month(moment)
    assert store.value is not None
    assert len(store.value) < 100


async def test_calls_at_once_are_all_counted() -> None:
    class SlowStore(MemoryStore):
        async def load(self) -> bytes | None:
            value = self.value
            await asyncio.sleep(0)
            return value

    budget = QuotaBudget(monthly_limit=50, store=SlowStore(b'{"2026-12": 3}'))
    await asyncio.gather(*(budget.spend(NOW) for _ in range(10)))
    assert await budget.spent(NOW) == 13


async def test_after_the_clouds_no_one_call_in_six_hours() -> None:
    budget = QuotaBudget(monthly_limit=50, store=MemoryStore())
    assert budget.refused(NOW).resets_at == NOW + REFUSED_PAUSE
    with pytest.raises(QuotaExhausted):
        await budget.spend(NOW + REFUSED_PAUSE - timedelta(seconds=1))
    await budget.spend(NOW + REFUSED_PAUSE)
    assert await budget.spent(NOW) == 1


async def test_a_clock_set_back_does_not_stretch_the_pause() -> None:
    budget = QuotaBudget(monthly_limit=50, store=MemoryStore())
    budget.refused(datetime(2037, 1, 1, tzinfo=UTC))
    await budget.spend(NOW)
    assert await budget.spent(NOW) == 1


@given(saved=st.binary(max_size=30))
def test_any_saved_bytes_are_survived(saved: bytes) -> None:
    async def spend() -> None:
        await QuotaBudget(monthly_limit=10**30, store=MemoryStore(saved)).spend(NOW)

    asyncio.run(spend())
