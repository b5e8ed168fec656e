"""The lock's clock: measured, set, remembered; and this machine's own, which may be wrong."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from agent_rig import LOCK, PATIENCE_S, Door, Rig, minute, no_hook, rig_at, start_rig
from ttlock_agent.jobs.daylight import Daylight, next_change
from ttlock_agent.jobs.drift import MAX_ENTRIES, drift_s_per_day, longer_history
from ttlock_agent.jobs.housekeeping import Housekeeper
from ttlock_agent.jobs.model import Job, JobState, WaitReason
from ttlock_agent.lock.visit import ClockReading
from ttlock_agent.timesync import CannotTell, SystemTimeSync
from ttlock_protocol.messages.clock import SetClock
from ttlock_protocol.virtual.memory import Capacity
from virtual_helpers import ManualClock


class Switch:
    """A time service that tells what the test wants."""

    def __init__(self, is_synchronised: bool | None) -> None:
        self.told = is_synchronised

    async def is_synchronised(self) -> bool | None:
        return self.told


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig_at(tmp_path) as rig:
        yield rig


def waits_for_time(job: Job) -> bool:
    return job.reason is WaitReason.CLOCK_NOT_SYNCHRONISED


# This machine's clock.


async def test_timed_passcodes_wait_for_the_right_time(tmp_path: Path) -> None:
    time_sync = Switch(False)
    async with rig_at(tmp_path, time_sync=time_sync) as rig:
        end = minute(rig.clock.now(), days=1)
        timed = await rig.add("482913", valid_until=end)
        permanent = await rig.final(await rig.add("771204"))
        assert permanent.state is JobState.PROVED
        timed = await rig.until(timed, waits_for_time)
        assert "not synchronised" in timed.reason.sentence  # type: ignore[union-attr]
        assert rig.door.digits == ["771204"]
        connections = rig.door.connections
        for _ in range(5):
            await rig.clock.advance(60)
        assert rig.door.connections == connections
        time_sync.told = True
        assert (await rig.later(timed)).state is JobState.PROVED
        assert (await rig.trail(timed)).count("waiting") == 1


async def test_a_wrong_time_is_not_given_to_a_lock(tmp_path: Path) -> None:
    time_sync = Switch(False)
    async with rig_at(tmp_path, time_sync=time_sync, clock_error_s=-7200.0) as rig:
        await rig.final(await rig.add("771204"))
        sync = await rig.until(await rig.ask("clock.sync"), waits_for_time)
        assert rig.door.count(SetClock) == 0
        assert abs(rig.door.clock_error_s()) == 7200
        time_sync.told = None
        await rig.later(sync)
        assert rig.door.clock_error_s() == 0


async def test_nothing_is_wiped_by_a_clock_that_is_known_to_be_wrong(rig: Rig) -> None:
    await rig.final(await rig.add("482913", valid_until=minute(rig.clock.now(), days=2)))
    time_sync = Switch(False)
    housekeeper = Housekeeper(rig.journal, rig.clock, time_sync=time_sync)
    rig.clock.jump(3 * 86400)
    await housekeeper.tidy()
    assert len(await rig.journal.wanted(LOCK)) == 1
    time_sync.told = True
    await housekeeper.tidy()
    assert await rig.journal.wanted(LOCK) == []


async def test_no_passcode_makes_room_that_is_over_by_a_wrong_clock_only(tmp_path: Path) -> None:
    time_sync = Switch(True)
    capacity = Capacity(passcodes=1)
    async with rig_at(tmp_path, time_sync=time_sync, capacity=capacity) as rig:
        await rig.final(await rig.add("482913", valid_until=minute(rig.clock.now(), days=2)))
        await rig.visits(1)
        time_sync.told = False
        rig.clock.jump(3 * 86400)
        new = await rig.add("771204")
        new = await rig.until(new, lambda job: job.attempts == 1)
        assert (new.state, rig.door.digits) == (JobState.WAITING, ["482913"])
        time_sync.told = True  # and it was right
        assert (await rig.later(new)).state is JobState.PROVED
        assert rig.door.digits == ["771204"]


async def test_patience_counts_from_when_the_time_is_known(tmp_path: Path) -> None:
    """A Pi that was without power for three days takes requests before its clock is set."""
    time_sync = Switch(False)
    async with rig_at(tmp_path, time_sync=time_sync) as rig:
        rig.door.is_in_range = False
        now = minute(rig.clock.now())
        patient = await rig.add("482913")
        until = await rig.add("771204", deadline_at=now + timedelta(days=1))
        entries = [{"passcode": "660011"}]
        of_set = await rig.ask("passcode.sync", owner="pms", passcodes=entries)
        short = await rig.ask(
            "passcode.sync", id="b", owner="ha", passcodes=[{"passcode": "550022"}],
            deadline_at=now + timedelta(days=1),
        )  # fmt: skip
        await rig.clock.advance(60)
        rig.clock.jump(3 * 86400)
        time_sync.told = True
        assert (await rig.later(until)).state is JobState.EXPIRED
        assert (await rig.later(short)).state is JobState.FAILED
        rig.door.is_in_range = True
        assert (await rig.later(patient)).state is JobState.PROVED
        assert (await rig.later(of_set)).state is JobState.PROVED
        assert sorted(rig.door.digits) == ["482913", "660011"]


async def test_who_stands_at_the_door_is_given_no_more_time(tmp_path: Path) -> None:
    time_sync = Switch(False)
    async with rig_at(tmp_path, time_sync=time_sync) as rig:
        rig.door.is_in_range = False
        unlock = await rig.ask("lock.unlock", source="control")
        await rig.until(unlock, lambda job: job.state is JobState.WAITING)
        await rig.clock.advance(20)
        time_sync.told = True
        await rig.ask("lock.state")  # wakes whoever looks at deadlines
        await rig.clock.advance(11)
        assert (await rig.until(unlock, lambda job: job.is_final)).state is JobState.EXPIRED


async def test_deleting_and_reading_need_no_time(tmp_path: Path) -> None:
    door = Door(ManualClock(), passcodes=["482913"])
    async with rig_at(tmp_path, door, time_sync=Switch(False)) as rig:
        assert (await rig.final(await rig.delete("482913"))).state is JobState.PROVED
        assert (await rig.final(await rig.ask("passcode.list"))).state is JobState.DONE


async def test_a_passcode_that_is_deleted_meanwhile_is_not_added_once_the_time_is_known(
    tmp_path: Path,
) -> None:
    time_sync = Switch(False)
    async with rig_at(tmp_path, time_sync=time_sync) as rig:
        old = await rig.add("482913", valid_until=minute(rig.clock.now(), days=1))
        await rig.until(old, waits_for_time)
        other = await rig.add("771204", valid_until=minute(rig.clock.now(), days=1))
        deleted = await rig.final(await rig.delete("482913"))
        assert deleted.state is JobState.PROVED
        time_sync.told = True
        assert (await rig.later(other)).state is JobState.PROVED
        old = await rig.final(old)
        assert (old.state, rig.door.adds) == (JobState.CANCELLED, ["771204"])
        told = [each for each in await rig.answers() if each["job"] == old.id]
        assert [each.get("result") for each in told] == [None, "cancelled"]
        assert [wish.digits for wish in await rig.journal.wanted(LOCK)] == ["771204"]


async def test_a_guest_is_kept_out_although_a_change_of_his_passcode_waits(tmp_path: Path) -> None:
    time_sync = Switch(False)
    async with rig_at(tmp_path, time_sync=time_sync) as rig:
        await rig.final(await rig.add("482913"))
        longer = await rig.add("482913", id="b", valid_until=minute(rig.clock.now(), days=1))
        await rig.until(longer, waits_for_time)
        assert (await rig.final(await rig.delete("482913"))).state is JobState.PROVED
        time_sync.told = True
        assert (await rig.final(longer)).state is JobState.CANCELLED
        await rig.final(await rig.ask("clock.sync"))
        assert (rig.door.digits, await rig.journal.wanted(LOCK)) == ([], [])


async def test_the_last_of_several_changes_holds_once_the_time_is_known(tmp_path: Path) -> None:
    time_sync = Switch(False)
    async with rig_at(tmp_path, time_sync=time_sync) as rig:
        end = minute(rig.clock.now(), days=1)
        first = await rig.add("482913", id="a", valid_until=end)
        await rig.until(first, waits_for_time)
        permanent = await rig.final(await rig.add("482913", id="b"))
        assert permanent.state is JobState.PROVED
        last = [
            await rig.add("482913", id=f"c-{days}", valid_until=minute(end, days=days))
            for days in (1, 2)
        ]
        await rig.until(last[-1], waits_for_time)
        assert (await rig.final(first)).state is JobState.CANCELLED
        time_sync.told = True
        assert [(await rig.later(job)).state for job in last] == [JobState.PROVED] * 2
        (wish,) = await rig.journal.wanted(LOCK)
        assert wish.valid_until == minute(end, days=2)


async def test_a_later_set_is_not_undone_by_an_earlier_one_that_waited(tmp_path: Path) -> None:
    time_sync = Switch(False)
    async with rig_at(tmp_path, time_sync=time_sync) as rig:
        timed = {"passcode": "482913", "valid_until": minute(rig.clock.now(), days=1)}
        first = await rig.ask("passcode.sync", id="a", owner="pms", passcodes=[timed])
        (part,) = await rig.journal.parts(first.id)
        await rig.until(part, waits_for_time)
        entries = [{"passcode": "771204"}]
        second = await rig.ask("passcode.sync", id="b", owner="pms", passcodes=entries)
        assert (await rig.final(second)).state is JobState.PROVED
        time_sync.told = True
        await rig.final(await rig.ask("clock.sync"))
        assert (await rig.final(first)).state is JobState.CANCELLED
        assert (rig.door.digits, rig.door.adds) == (["771204"], ["771204"])


async def test_a_lock_whose_keys_go_while_its_jobs_are_looked_at_stops_no_radio(
    tmp_path: Path,
) -> None:
    time_sync = Switch(True)
    async with rig_at(tmp_path, time_sync=time_sync) as rig:
        profiles = rig.intake._profiles
        assert isinstance(profiles, dict)
        gone = dict(profiles)

        async def reset() -> bool:
            if asyncio.current_task() is rig.tasks[0]:  # the radio
                profiles.clear()
            return True

        time_sync.is_synchronised = reset  # type: ignore[method-assign]
        job = await rig.add("482913")
        async with asyncio.timeout(PATIENCE_S):
            while profiles:
                await rig.journal.counts()  # lets the journal's thread, and so the radio, go on
        del time_sync.is_synchronised
        assert rig.door.connections == 0
        profiles.update(gone)
        assert (await rig.later(job)).state is JobState.PROVED


@pytest.mark.parametrize("has_arrived", [True, False])
async def test_what_may_be_in_the_lock_is_read_back_and_not_written_again(
    tmp_path: Path, has_arrived: bool
) -> None:
    time_sync = Switch(True)
    async with rig_at(tmp_path, time_sync=time_sync) as rig:
        job = await rig.add("482913", valid_until=minute(rig.clock.now(), days=1))

        async def cut(_number: int) -> None:
            if rig.door.adds and rig.door.link is not None:
                rig.door.after_write = no_hook
                if not has_arrived:
                    rig.door.lock._body.change(passcodes=())
                rig.door.link.cut()

        rig.door.after_write = cut
        job = await rig.until(job, lambda job: job.not_before_at is not None)
        assert job.is_sent
        time_sync.told = False
        assert job.not_before_at is not None
        await rig.clock.advance((job.not_before_at - rig.clock.now()).total_seconds())
        if has_arrived:
            assert (await rig.final(job)).state is JobState.PROVED
            return
        job = await rig.until(job, lambda job: not job.is_sent)
        assert len(rig.door.adds) == 1
        time_sync.told = True
        assert (await rig.later(job)).state is JobState.PROVED


async def test_the_file_of_the_time_service_is_believed(tmp_path: Path) -> None:
    file = tmp_path / "synchronized"
    file.touch()
    assert await SystemTimeSync(ManualClock(), file=file).is_synchronised() is True
    assert await CannotTell().is_synchronised() is None


# The lock's clock.


async def test_a_status_tells_how_the_clock_goes(rig: Rig) -> None:
    facts = await rig.facts()
    assert (facts["clock"], facts["usage"], facts["signal"]) == (None, None, [])
    rig.door.lock.shift_clock(-120)
    await rig.final(await rig.ask("clock.read", id="c-1"))
    for day in range(1, 4):
        await rig.visits(day)
        await rig.clock.advance(86400)
        rig.door.lock.shift_clock(3)
        job = await rig.final(await rig.ask("clock.read", id=f"c-1{day}"))
    assert job.result is not None
    history = job.result["history"]
    assert [entry["clock_error_s"] for entry in history] == [-120.0, 3.0, 6.0, 9.0]
    assert [entry["was_set"] for entry in history] == [True, False, False, False]
    assert job.result["drift_s_per_day"] == 3.0
    told = (await rig.facts())["clock"]
    assert told["clock_error_s"] == 9.0
    assert told["history"] == history


def reading(hours: float, error_s: float | None = 0.0) -> ClockReading:
    at = datetime(2026, 3, 14, 8, 0, tzinfo=UTC) + timedelta(hours=hours)
    return ClockReading(error_s=error_s, read_at=at)


def test_a_history_covers_weeks_however_often_the_lock_is_visited() -> None:
    history: list[dict[str, object]] = []
    for number in range(24 * 60):
        history = longer_history(history, reading(number / 60, number / 60), was_set=False)
    assert len(history) <= 26
    assert drift_s_per_day(history) == pytest.approx(24.0, abs=0.5)
    for number in range(200):
        history = longer_history(history, reading(24 + number, 40.0), was_set=True)
    assert len(history) == MAX_ENTRIES


def test_a_drift_is_not_told_before_it_can_be() -> None:
    history = longer_history([], reading(0, None), was_set=True)
    assert drift_s_per_day(history) is None
    history = longer_history(history, reading(1, 1.0), was_set=False)
    assert drift_s_per_day(history) is None
    history = longer_history(history, reading(25, 3.0), was_set=False)
    assert drift_s_per_day(history) == 2.0


# Daylight saving.

SPRING = datetime(2026, 3, 29, 1, 0, tzinfo=UTC)


def daylight_of(rig: Rig) -> Daylight:
    return Daylight(rig.journal, rig.intake, rig.intake._profiles, rig.clock)


@pytest.mark.parametrize(
    ("zone", "after", "change"),
    [
        ("Europe/Berlin", datetime(2026, 3, 14, tzinfo=UTC), SPRING),
        ("Europe/Berlin", SPRING, datetime(2026, 10, 25, 1, 0, tzinfo=UTC)),
        ("America/New_York", SPRING, datetime(2026, 11, 1, 6, 0, tzinfo=UTC)),
        ("Asia/Tokyo", SPRING, None),
        ("UTC", SPRING, None),
    ],
)
def test_the_next_change_is_found_to_the_second(
    zone: str, after: datetime, change: datetime | None
) -> None:
    until = after + timedelta(days=370)
    assert next_change(ZoneInfo(zone), after, until=until) == change
    assert next_change(ZoneInfo(zone), after, until=after + timedelta(hours=1)) is None


async def test_a_lock_with_timed_passcodes_is_set_when_the_clocks_change(rig: Rig) -> None:
    await rig.final(await rig.add("482913", valid_until=minute(rig.clock.now(), days=30)))
    daylight = daylight_of(rig)
    assert await daylight.follow() == SPRING
    assert [job.verb for job in await rig.journal.recent(9)] == ["passcode.add"]
    await rig.visits(1)
    await rig.clock.advance((SPRING - rig.clock.now()).total_seconds())
    assert rig.door.clock_error_s() == -3600
    await daylight.follow()
    (job,) = await rig.journal.recent(1)
    assert (job.verb, job.source) == ("clock.sync", "daylight")
    assert (await rig.final(job)).state is JobState.PROVED
    assert rig.door.clock_error_s() == 0
    await rig.visits(2)
    await daylight.follow()
    await rig.clock.advance(86400)
    await daylight.follow()
    assert (await rig.journal.recent(1))[0].id == job.id


async def test_a_reading_from_the_future_is_no_reason_to_leave_a_lock(rig: Rig) -> None:
    """This machine's clock was weeks ahead when the lock was visited, and is right again."""
    rig.clock.jump(40 * 86400)
    await rig.final(await rig.add("482913", valid_until=minute(rig.clock.now(), days=30)))
    await rig.visits(1)
    rig.clock.jump((SPRING - rig.clock.now()).total_seconds() + 60)
    await daylight_of(rig).follow()
    (job,) = await rig.journal.recent(1)
    assert job.verb == "clock.sync"


async def test_a_lock_that_was_away_for_a_day_is_tried_again(rig: Rig) -> None:
    await rig.final(await rig.add("482913", valid_until=minute(rig.clock.now(), days=30)))
    await rig.visits(1)
    rig.door.is_in_range = False
    daylight = daylight_of(rig)
    await rig.clock.advance((SPRING - rig.clock.now()).total_seconds())
    await daylight.follow()
    (first,) = await rig.journal.recent(1)
    await rig.clock.advance(86400)
    assert (await rig.later(first)).state is JobState.EXPIRED
    await daylight.follow()
    (second,) = await rig.journal.recent(1)
    assert (second.verb, second.id != first.id) == ("clock.sync", True)
    await daylight.follow()
    assert (await rig.journal.recent(1))[0].id == second.id
    rig.door.is_in_range = True
    assert (await rig.later(second)).state is JobState.PROVED
    assert rig.door.clock_error_s() == 0


async def test_other_locks_are_set_when_they_are_visited_next(rig: Rig) -> None:
    await rig.final(await rig.add("482913"))
    await rig.visits(1)
    await rig.clock.advance((SPRING - rig.clock.now()).total_seconds())
    await daylight_of(rig).follow()
    assert [job.verb for job in await rig.journal.recent(9)] == ["passcode.add"]
    assert rig.door.clock_error_s() == -3600
    await rig.final(await rig.add("771204"))
    assert rig.door.clock_error_s() == 0


async def test_a_lock_that_was_visited_since_needs_no_job(rig: Rig) -> None:
    await rig.clock.advance((SPRING - rig.clock.now()).total_seconds())
    await rig.final(await rig.add("482913", valid_until=minute(rig.clock.now(), days=30)))
    await rig.visits(1)
    await daylight_of(rig).follow()
    assert [job.verb for job in await rig.journal.recent(9)] == ["passcode.add"]
    await rig.clock.advance(86400)
    await daylight_of(rig).follow()
    assert [job.verb for job in await rig.journal.recent(9)] == ["passcode.add"]


async def test_a_change_while_the_agent_was_away_is_made_up_for(tmp_path: Path) -> None:
    door = Door(ManualClock())
    rig = await start_rig(tmp_path, door)
    await rig.final(await rig.add("482913", valid_until=minute(rig.clock.now(), days=30)))
    await rig.visits(1)
    await rig.stop()
    await door.clock.advance((SPRING - door.clock.now()).total_seconds() + 86400)
    async with rig_at(tmp_path, door) as rig:
        await daylight_of(rig).follow()
        (job,) = await rig.journal.recent(1)
        assert (await rig.final(job)).state is JobState.PROVED
        assert rig.door.clock_error_s() == 0
