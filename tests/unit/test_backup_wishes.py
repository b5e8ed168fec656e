"""A restore beside what the agent was asked for since: neither undoes the other's work."""

# ruff: noqa: DTZ001 - lock-local times are naive
import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from agent_rig import LOCK, PATIENCE_S
from backup_rig import OPENERS, BenchRig, bench_at
from ttlock_agent.backup import wishes
from ttlock_agent.jobs.model import JobState

GUEST = "482913"
STAY = {"valid_from": "2026-03-14T08:00:00+01:00", "valid_until": "2026-03-20T11:00:00+01:00"}
LONGER = STAY | {"valid_until": "2026-03-24T11:00:00+01:00"}


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[BenchRig]:
    async with bench_at(tmp_path) as rig:
        yield rig


async def put(rig: BenchRig, digits: str, **params: Any) -> None:
    """Have the agent write a passcode as a booking system does."""
    job = await rig.final(await rig.add(digits, id=f"b-{next(rig.ids)}", **params))
    assert job.state is JobState.PROVED, job.error


async def reset_by_button(rig: BenchRig) -> None:
    """Reset the lock behind the agent's back, and make it the agent's again."""
    rig.door.lock._body.memory = rig.door.lock.memory.wiped()
    job = await rig.do("lock.enrol", gives_up_app=True)
    assert job.state is JobState.PROVED, job.error


async def restore(rig: BenchRig, backup: str) -> dict[str, Any]:
    """Restore, and return the report."""
    job = await rig.do("lock.restore", backup=backup)
    assert job.state is JobState.PROVED, job.error
    assert job.result is not None
    return job.result


def left_out(report: dict[str, Any]) -> list[str]:
    return [each["reason"] for each in report["not_restorable"]]


def until(rig: BenchRig, digits: str) -> datetime | None:
    (record,) = [each for each in rig.door.held if each.passcode == digits]
    return record.valid_until


async def test_a_guest_who_left_after_the_backup_stays_out(rig: BenchRig) -> None:
    await put(rig, GUEST, **STAY)
    backup = await rig.backup()
    assert (await rig.final(await rig.delete(GUEST))).state is JobState.PROVED
    await reset_by_button(rig)
    rehearsal = await rig.do("lock.restore", backup=backup, dry_run=True)
    assert rehearsal.result is not None
    assert left_out(rehearsal.result) == [wishes.REMOVED]
    assert left_out(await restore(rig, backup)) == [wishes.REMOVED]
    assert set(rig.door.digits) == set(OPENERS)


async def test_a_removal_still_under_way_holds_as_well(rig: BenchRig) -> None:
    await put(rig, GUEST, **STAY)
    backup = await rig.backup()
    rig.door.is_in_range = False
    removal = await rig.delete(GUEST)
    await rig.until(removal, lambda job: job.state is JobState.WAITING)
    rig.door.is_in_range = True
    await reset_by_button(rig)
    assert wishes.REMOVED in left_out(await restore(rig, backup))
    assert (await rig.final(removal)).state is JobState.PROVED
    assert GUEST not in rig.door.digits


async def test_a_guest_who_came_after_the_backup_gets_in_without_anybody_asking(
    rig: BenchRig,
) -> None:
    backup = await rig.backup()
    await put(rig, GUEST, **STAY)
    await reset_by_button(rig)
    await restore(rig, backup)
    await holds(rig, GUEST)
    assert rig.door.opens(GUEST)


async def test_a_stay_that_was_prolonged_after_the_backup_stays_prolonged(rig: BenchRig) -> None:
    await put(rig, GUEST, **STAY)
    backup = await rig.backup()
    await put(rig, GUEST, **LONGER)
    assert left_out(await restore(rig, backup)) == [wishes.CHANGED]
    assert until(rig, GUEST) == datetime(2026, 3, 24, 11)
    await reset_by_button(rig)
    assert left_out(await restore(rig, backup)) == [wishes.CHANGED]
    await holds(rig, GUEST)
    assert until(rig, GUEST) == datetime(2026, 3, 24, 11)


async def test_what_the_agent_is_to_delete_is_not_put_back(rig: BenchRig) -> None:
    await put(rig, GUEST, **STAY)
    backup = await rig.backup()
    await reset_by_button(rig)
    profile = rig.locks.profiles[LOCK]
    rig.locks.profiles[LOCK] = replace(profile, removes_unknown=True)
    rehearsal = await rig.do("lock.reset", backup=backup, dry_run=True)
    assert rehearsal.error is not None
    assert left_out(await restore(rig, backup)) == [wishes.UNKNOWN] * len(OPENERS)
    assert rig.door.digits == [GUEST]


async def holds(rig: BenchRig, digits: str) -> None:
    """Wait, without moving time, until the lock holds a passcode."""
    async with asyncio.timeout(PATIENCE_S):
        while digits not in rig.door.digits:
            await rig.journal.counts()
    await rig.rest()


# Clocks.


class Sync:
    """A time service."""

    def __init__(self) -> None:
        self.is_set = False

    async def is_synchronised(self) -> bool | None:
        return self.is_set


async def test_a_machine_that_does_not_know_the_time_sets_no_locks_clock(tmp_path: Path) -> None:
    """After a power cut a Pi begins somewhere in the past, and goes on with its jobs at once."""
    sync = Sync()
    async with bench_at(tmp_path, time_sync=sync) as rig:
        backup = await rig.backup()
        await reset_by_button(rig)
        rig.door.lock.shift_clock(-7 * 3600)
        report = await restore(rig, backup)
        assert rig.door.clock_error_s() < -7 * 3600 + 60
        assert any("machine's own clock" in change for change in report["changed"])
        sync.is_set = True
        report = await restore(rig, backup)
        assert not any("machine's own clock" in change for change in report["changed"])
        assert abs(rig.door.clock_error_s()) < 2


async def test_an_enrolment_leaves_the_clock_until_the_time_is_known(tmp_path: Path) -> None:
    async with bench_at(tmp_path, time_sync=Sync()) as rig:
        rig.door.lock._body.memory = rig.door.lock.memory.wiped()
        rig.door.lock.shift_clock(600)
        job = await rig.do("lock.enrol", gives_up_app=True)
        assert job.result is not None
        assert job.result["is_clock_set"] is False
        assert rig.door.clock_error_s() > 500


async def test_a_chosen_admin_passcode_takes_the_place_of_the_locks_own(rig: BenchRig) -> None:
    wiped = replace(rig.door.lock.memory.wiped(), admin_passcode="0000000")
    rig.door.lock._body.memory = wiped
    await rig.do("lock.enrol", gives_up_app=True)
    assert rig.door.lock.memory.admin_passcode == "0000000"
    rig.door.lock._body.memory = wiped
    await rig.do("lock.enrol", gives_up_app=True, admin_passcode="9182736")
    assert rig.door.lock.memory.admin_passcode == "9182736"
