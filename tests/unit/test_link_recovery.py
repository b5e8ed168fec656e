"""The ladder: which remedy when, how often, and what is said to whom."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from ttlock_agent.errors import AdapterProblem, LinkError
from ttlock_agent.link.bluez_errors import unavailable
from ttlock_agent.link.bluez_recovery import (
    POWER_CYCLE_EVERY_S,
    RESTART_EVERY_S,
    RecoveryCounts,
    RecoveryLadder,
    Rung,
)

MAC = "AA:BB:CC:11:22:33"


class StoppedClock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def now(self) -> datetime:
        return datetime(2026, 11, 20, tzinfo=UTC)

    def monotonic(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds


class Remedies:
    def __init__(self) -> None:
        self.done: list[str] = []
        self.error: LinkError | None = None
        self.has_helper = False

    async def clear_scan(self) -> None:
        await self._do("clear_scan")

    async def drop_device(self, address: str) -> None:
        await self._do(f"drop_device {address}")

    async def power_cycle(self) -> None:
        await self._do("power_cycle")

    async def restart_service(self) -> bool:
        if self.has_helper:
            self.done.append("restart_service")
        return self.has_helper

    async def _do(self, what: str) -> None:
        self.done.append(what)
        if self.error is not None:
            raise self.error


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock()


@pytest.fixture
def remedies() -> Remedies:
    return Remedies()


@pytest.fixture
def ladder(remedies: Remedies, clock: StoppedClock) -> RecoveryLadder:
    return RecoveryLadder(remedies, clock=clock)


async def climb(ladder: RecoveryLadder, times: int, *, may_interrupt: bool = True) -> list[Rung]:
    return [await ladder.failed(MAC, may_interrupt=may_interrupt) for _ in range(times)]


async def test_rungs_are_climbed_in_order(ladder: RecoveryLadder, remedies: Remedies) -> None:
    remedies.has_helper = True
    assert await climb(ladder, 6) == [*Rung, Rung.CLEAR_SCAN]
    assert remedies.done == [
        "clear_scan",
        f"drop_device {MAC}",
        "power_cycle",
        "restart_service",
        "clear_scan",
    ]
    assert ladder.counts == RecoveryCounts(
        clear_scan=2, drop_device=1, power_cycle=1, restart_service=1, tell_operator=1
    )


async def test_without_a_helper_the_operator_is_told_at_once(
    ladder: RecoveryLadder, remedies: Remedies
) -> None:
    assert (await climb(ladder, 4))[2:] == [Rung.POWER_CYCLE, Rung.TELL_OPERATOR]
    assert ladder.counts.restart_service == 0
    assert ladder.needs_operator


async def test_the_service_is_restarted_at_most_once_an_hour(
    ladder: RecoveryLadder, remedies: Remedies, clock: StoppedClock
) -> None:
    remedies.has_helper = True
    assert Rung.RESTART_SERVICE in await climb(ladder, 5)
    clock.now_s += RESTART_EVERY_S - 1
    assert Rung.RESTART_SERVICE not in await climb(ladder, 4)
    clock.now_s += 1
    assert Rung.RESTART_SERVICE in await climb(ladder, 4)


async def test_without_a_lock_there_is_no_device_to_drop(
    ladder: RecoveryLadder, remedies: Remedies
) -> None:
    rungs = [await ladder.failed(None, may_interrupt=True) for _ in range(3)]
    assert rungs == [Rung.CLEAR_SCAN, Rung.POWER_CYCLE, Rung.TELL_OPERATOR]


async def test_success_starts_from_the_ground(ladder: RecoveryLadder) -> None:
    await climb(ladder, 2)
    ladder.worked()
    assert await climb(ladder, 1) == [Rung.CLEAR_SCAN]


async def test_the_power_is_cycled_at_most_once_in_ten_minutes(
    ladder: RecoveryLadder, clock: StoppedClock
) -> None:
    assert Rung.POWER_CYCLE in await climb(ladder, 4)
    clock.now_s += POWER_CYCLE_EVERY_S - 1
    assert await climb(ladder, 3) == [Rung.CLEAR_SCAN, Rung.DROP_DEVICE, Rung.TELL_OPERATOR]
    clock.now_s += 1
    assert await climb(ladder, 3) == [Rung.CLEAR_SCAN, Rung.DROP_DEVICE, Rung.POWER_CYCLE]


async def test_success_does_not_allow_another_power_cycle(ladder: RecoveryLadder) -> None:
    await climb(ladder, 3)
    ladder.worked()
    assert Rung.POWER_CYCLE not in await climb(ladder, 4)


async def test_nothing_is_restarted_under_other_connections(
    ladder: RecoveryLadder, remedies: Remedies
) -> None:
    remedies.has_helper = True
    assert await climb(ladder, 3, may_interrupt=False) == [
        Rung.CLEAR_SCAN,
        Rung.DROP_DEVICE,
        Rung.TELL_OPERATOR,
    ]


async def test_the_operator_is_told_once_until_it_works_again(ladder: RecoveryLadder) -> None:
    with capture_logs() as logs:
        await climb(ladder, 8)
    assert [each["log_level"] for each in logs].count("error") == 1
    assert ladder.needs_operator
    with capture_logs() as logs:
        ladder.worked()
        ladder.worked()
    assert [each["event"] for each in logs] == ["adapter_recovered"]
    assert not ladder.needs_operator


async def test_a_remedy_that_fails_is_counted_and_the_next_is_tried(
    ladder: RecoveryLadder, remedies: Remedies
) -> None:
    remedies.error = unavailable(AdapterProblem.NO_DAEMON)
    await climb(ladder, 3)
    assert ladder.counts == RecoveryCounts(clear_scan=1, drop_device=1, power_cycle=1, failed=3)
