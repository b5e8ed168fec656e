"""What a lock's battery is asked for in a day, and who may still connect when that is used up."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from agent_rig import LOCK, TOPICS, Door, Rig, rig_at, start_rig
from ttlock_agent.jobs.model import Job, JobState, WaitReason
from ttlock_agent.jobs.signal import Days, described, with_connection, with_failure
from ttlock_agent.lock.visit import Budget
from virtual_helpers import ManualClock

TWICE = Budget(connections_per_day=2)


async def usage(rig: Rig) -> dict[str, Any]:
    found: dict[str, Any] = (await rig.facts())["usage"]
    return found


def is_held(job: Job) -> bool:
    return job.reason is WaitReason.BUDGET_USED_UP


async def visited(rig: Rig, number: int) -> None:
    await rig.final(await rig.ask("clock.read", id=f"visit-{number}"))
    await rig.visits(number)


async def test_connections_are_counted_by_the_locks_own_day(tmp_path: Path) -> None:
    async with rig_at(tmp_path) as rig:
        await visited(rig, 1)
        await rig.clock.advance(60)
        await visited(rig, 2)
        assert await usage(rig) == {"day": "2026-03-14", "connections": 2, "connected_s": 0.0}
        # 23:30 in UTC is the next day at the door.
        await rig.clock.advance(15.5 * 3600)
        await visited(rig, 3)
        assert await usage(rig) == {"day": "2026-03-15", "connections": 1, "connected_s": 0.0}
        states = [
            json.loads(entry.publication.payload)
            for entry in await rig.journal.outbox(limit=1000)
            if entry.publication.topic == TOPICS.lock_state(LOCK)
        ]
        assert states[-1]["usage"]["connections"] == 1


async def test_a_lock_out_of_reach_costs_its_battery_nothing(tmp_path: Path) -> None:
    async with rig_at(tmp_path) as rig:
        rig.door.is_in_range = False
        job = await rig.add("482913")
        await rig.until(job, lambda job: job.attempts == 1)
        await rig.visits(1)
        assert await usage(rig) is None


async def test_when_it_is_used_up_jobs_wait_for_tomorrow(tmp_path: Path) -> None:
    async with rig_at(tmp_path, budget=TWICE) as rig:
        await visited(rig, 1)
        await visited(rig, 2)
        job = await rig.until(await rig.add("482913"), is_held)
        assert job.state is JobState.WAITING
        for _ in range(10):
            await rig.clock.advance(60)
        assert rig.door.connections == 2
        await rig.clock.advance(15 * 3600)
        assert (await rig.later(job)).state is JobState.PROVED
        assert (await rig.trail(job)).count("waiting") == 1


async def test_the_count_outlives_the_agent(tmp_path: Path) -> None:
    door = Door(ManualClock())
    for number in (1, 2):
        rig = await start_rig(tmp_path, door, budget=TWICE)
        await rig.final(await rig.ask("clock.read", id=f"visit-{number}"))
        await rig.visits(1)
        await rig.stop()
    async with rig_at(tmp_path, door, budget=TWICE) as rig:
        await rig.until(await rig.add("482913"), is_held)
        assert door.connections == 2


async def test_a_guest_at_the_door_takes_the_others_along(tmp_path: Path) -> None:
    async with rig_at(tmp_path, budget=TWICE) as rig:
        await visited(rig, 1)
        await visited(rig, 2)
        waiting = await rig.until(await rig.add("482913"), is_held)
        guest = await rig.final(await rig.add("771204", priority="guest_at_the_door"))
        assert guest.state is JobState.PROVED
        assert (await rig.final(waiting)).state is JobState.PROVED
        assert rig.door.connections == 3


async def test_a_near_deadline_is_worth_the_battery(tmp_path: Path) -> None:
    async with rig_at(tmp_path, budget=TWICE) as rig:
        await visited(rig, 1)
        await visited(rig, 2)
        later = rig.clock.now() + timedelta(hours=2)
        job = await rig.until(await rig.add("482913", deadline_at=later), is_held)
        await rig.clock.advance(3540)
        assert is_held(await rig.until(job, lambda _: True))
        assert (await rig.later(job)).state is JobState.PROVED


async def test_seconds_count_as_well(tmp_path: Path) -> None:
    async with rig_at(tmp_path, budget=Budget(connected_s_per_day=3.0)) as rig:

        async def dawdle(_number: int) -> None:
            await rig.clock.advance(3)

        rig.door.after_write = dawdle
        await visited(rig, 1)
        assert (await usage(rig))["connected_s"] > 3
        await rig.until(await rig.add("482913"), is_held)


async def test_how_the_lock_is_reached_is_counted_day_by_day(tmp_path: Path) -> None:
    async with rig_at(tmp_path) as rig:
        await visited(rig, 1)
        await visited(rig, 2)
        rig.door.is_in_range = False
        job = await rig.ask("clock.read", id="out-of-range")
        await rig.until(job, lambda job: job.attempts == 1)
        await rig.visits(3)
        rig.door.is_in_range = True
        await rig.final(job)
        await rig.visits(4)
        days = (await rig.facts())["signal"]
        assert days == [
            {
                "day": "2026-03-14",
                "tried": 4,
                "connected": 3,
                "lost": 0,
                "failed": {"lock_not_seen": 1},
                "rssi_min_dbm": -60,
                "rssi_median_dbm": -60,
            }
        ]


async def test_a_connection_that_breaks_is_counted_as_lost(tmp_path: Path) -> None:
    async def cut(_number: int) -> None:
        if rig.door.link is not None and rig.door.arrived:  # the greeting is through
            rig.door.link.cut()

    async with rig_at(tmp_path) as rig:
        rig.door.before_write = cut
        job = await rig.ask("clock.read")
        await rig.until(job, lambda job: job.attempts == 1)
        await rig.visits(1)
        (day,) = (await rig.facts())["signal"]
        assert (day["tried"], day["connected"], day["lost"]) == (1, 1, 1)


def test_a_days_median_counts_each_connection() -> None:
    days: Days = []
    for dbm in (-90, -60, -61, -62, -89):
        days = with_connection(days, "2026-03-14", dbm)
    days = with_failure(days, "2026-03-15", "lock_not_seen")
    first, second = described(days)
    assert (first["rssi_min_dbm"], first["rssi_median_dbm"]) == (-90, -62)
    assert (second["tried"], second["connected"], second["rssi_median_dbm"]) == (1, 0, None)


def test_no_more_than_a_month_is_kept() -> None:
    days: Days = []
    for number in range(100):
        days = with_connection(days, f"day {number}", -60)
    assert [day["day"] for day in days] == [f"day {number}" for number in range(70, 100)]
