"""Pauses, deadlines, and clocks that jump."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from agent_rig import Door, Rig, minute, rig_at
from ttlock_agent.jobs.backoff import FIRST_PAUSE_S, LONGEST_PAUSE_S, pause_s
from ttlock_agent.jobs.model import Job, JobState, Move, NewJob, WaitReason, accepted_job
from ttlock_agent.jobs.waiting import LONGEST_SLEEP_S, Alarm, is_due, may_join
from virtual_helpers import NOW, ManualClock, settle

NEW = NewJob(source="mqtt", request_id="a", verb="clock.read", lock="front-door", params=b"{}")


def paused(seconds: float | None, reason: WaitReason | None = WaitReason.BACK_OFF) -> Job:
    until = None if seconds is None else NOW + timedelta(seconds=seconds)
    return replace(accepted_job(NEW, "job", NOW), reason=reason, not_before_at=until)


@pytest.mark.parametrize(
    ("job", "due", "joins"),
    [
        (paused(None), True, True),
        (paused(0), True, True),
        (paused(-1), True, True),
        (paused(10), False, True),
        (paused(2 * LONGEST_PAUSE_S), False, True),
        (paused(2 * LONGEST_PAUSE_S + 1), True, True),  # the clock was set back since
        (paused(10, WaitReason.NOT_YET), False, False),
        (paused(1e6, WaitReason.NOT_YET), False, False),
        (paused(10, None), False, False),
        (paused(None, WaitReason.PARTS), False, False),
    ],
)
def test_whose_pause_is_over(job: Job, due: bool, joins: bool) -> None:
    assert (is_due(job, NOW), may_join(job, NOW)) == (due, joins)


def test_pauses_double_up_to_a_limit_and_are_spread() -> None:
    middle = [pause_s(attempts, lambda: 0.5) for attempts in range(1, 12)]
    assert middle[:4] == [FIRST_PAUSE_S * factor for factor in (1, 2, 4, 8)]
    assert middle[-1] == LONGEST_PAUSE_S
    assert pause_s(3, lambda: 0.0) < middle[2] < pause_s(3, lambda: 0.999)
    assert pause_s(10_000, lambda: 0.5) == LONGEST_PAUSE_S


async def test_an_alarm_wakes_in_time_at_a_ring_and_after_a_minute_in_any_case() -> None:
    clock = ManualClock()
    alarm = Alarm(clock)
    for at, pause in ((NOW + timedelta(seconds=5), 5.0), (None, LONGEST_SLEEP_S)):
        sleeping = asyncio.ensure_future(alarm.wait_until(at))
        await clock.advance(pause - 1)
        assert not sleeping.done()
        await clock.advance(1)
        assert sleeping.done()
    sleeping = asyncio.ensure_future(alarm.wait_until(None))
    await settle()
    alarm.ring()
    await settle()
    assert sleeping.done()
    alarm.ring()
    await asyncio.wait_for(alarm.wait_until(None), 5)  # rung before anybody slept: not lost


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    door = Door(ManualClock())
    door.is_in_range = False
    async with rig_at(tmp_path, door) as made:
        made.tasks.pop(1).cancel()  # the deadlines are looked at by hand here
        yield made


async def test_a_deadline_ends_a_job_with_the_reason_it_waited_for(rig: Rig) -> None:
    soon = await rig.add("482913", deadline_at=minute(NOW, minutes=1))
    later = await rig.add("771204", deadline_at=minute(NOW, minutes=9))
    await rig.until(later, lambda job: job.not_before_at is not None)
    assert await rig.deadlines.expire() == minute(NOW, minutes=1)
    await rig.clock.advance(60)
    assert await rig.deadlines.expire() == minute(NOW, minutes=9)
    ended = await rig.journal.job(soon.id)
    assert ended is not None
    assert (ended.state, ended.error and ended.error.code) == (JobState.EXPIRED, "expired")
    assert ended.error is not None
    assert "not heard" in ended.error.message
    (answer,) = [each for each in await rig.answers() if each["status"] == "failed"]
    assert (answer["job"], answer["error"]["code"]) == (soon.id, "expired")
    assert answer["error"]["retryable"] is False


async def test_what_may_have_been_done_is_not_called_expired(rig: Rig) -> None:
    job = await rig.add("482913", deadline_at=minute(NOW, minutes=1))
    await rig.until(job, lambda job: job.not_before_at is not None)
    for move in (
        Move(to=JobState.WORKING, is_sent=True),
        Move(to=JobState.UNKNOWN, reason=WaitReason.READ_BACK_PENDING,
             not_before_at=NOW + timedelta(hours=1)),
    ):  # fmt: skip
        await rig.journal.move(job.id, move)
    await rig.clock.advance(60)
    await rig.deadlines.expire()
    ended = await rig.journal.job(job.id)
    assert ended is not None
    assert ended.state is JobState.OUTCOME_UNKNOWN
    assert ended.error is not None
    assert ended.error.code == "outcome_unknown"
    assert [wish.digits for wish in await rig.journal.wanted("front-door")] == ["482913"]


async def test_a_job_in_the_middle_of_its_visit_is_looked_at_again_soon(rig: Rig) -> None:
    job = await rig.add("482913", deadline_at=minute(NOW, minutes=1))
    await rig.until(job, lambda job: job.not_before_at is not None)
    radio = rig.tasks.pop(0)
    radio.cancel()
    await asyncio.gather(radio, return_exceptions=True)
    await rig.journal.move(job.id, Move(to=JobState.WORKING))
    await rig.clock.advance(60)
    assert await rig.deadlines.expire() == rig.clock.now() + timedelta(seconds=2)
    left = await rig.journal.job(job.id)
    assert left is not None
    assert left.state is JobState.WORKING
