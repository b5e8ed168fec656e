"""When a lock is visited, what one visit serves, and what a failed one means for its jobs."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from agent_rig import PATIENCE_S, Door, Rig, no_hook, rig_at
from ttlock_agent.errors import (
    AdapterProblem,
    AdapterUnavailable,
    AgentError,
    ConnectFailed,
    JournalError,
    LinkLost,
    LockNotSeen,
    LockTaken,
)
from ttlock_agent.jobs.model import Job, JobState
from ttlock_agent.jobs.radio import JOURNAL_PAUSE_S, MAX_VISIT_S, MISSED_PAUSE_S
from ttlock_protocol.errors import DecodeError
from ttlock_protocol.messages.operate import State
from ttlock_protocol.messages.passcodes import AddPasscode
from ttlock_protocol.virtual import Fault, FaultAction, FaultPoint
from virtual_helpers import KEYS, ManualClock


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig_at(tmp_path) as made:
        yield made


def has_paused(job: Job) -> bool:
    return job.not_before_at is not None


async def fails_with(rig: Rig, error: Exception) -> None:
    async def connect(_address: str, *, timeout_s: float) -> Any:
        raise error

    rig.door.connect = connect  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (LockNotSeen("Nothing."), "lock_not_seen"),
        (LockTaken("Silent."), "lock_busy"),
        (ConnectFailed("Noise."), "connect_failed"),
        (LinkLost("Gone."), "link_lost"),
        (AdapterUnavailable("None.", reason=AdapterProblem.MISSING), "adapter_unavailable"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_job_says_what_it_waits_for(rig: Rig, error: AgentError, reason: str) -> None:
    await fails_with(rig, error)
    job = await rig.until(await rig.add("482913"), has_paused)
    assert job.state is JobState.WAITING
    assert job.reason is not None
    assert (job.reason.value, job.attempts) == (reason, 1)
    assert job.error is not None
    assert (job.error.code, job.error.is_retryable) == (error.code, True)
    await rig.visits(1)
    assert [report.is_reached for report in rig.reports] == [False]


@pytest.mark.parametrize("is_adapter", [False, True])
async def test_a_lock_that_was_missed_is_visited_as_soon_as_it_is_heard(
    rig: Rig, is_adapter: bool
) -> None:
    works = rig.door.connect
    missing = AdapterUnavailable("None.", reason=AdapterProblem.MISSING)
    await fails_with(rig, missing if is_adapter else LockTaken("Silent."))
    job = await rig.until(await rig.add("482913"), has_paused)
    for _ in range(5):  # until its pause is much longer than what follows
        assert job.not_before_at is not None
        await rig.clock.advance((job.not_before_at - rig.clock.now()) / timedelta(seconds=1))
        job = await rig.until(job, lambda now, n=job.attempts: now.attempts > n)
    rig.door.connect = works  # type: ignore[method-assign]
    assert job.not_before_at is not None
    assert job.not_before_at - rig.clock.now() > timedelta(seconds=3 * MISSED_PAUSE_S)
    rig.door.advertise()
    await rig.clock.advance(MISSED_PAUSE_S - 1)
    for _ in range(20):
        await rig.journal.counts()
    assert not rig.door.connections
    await rig.clock.advance(1)
    rig.door.advertise()
    assert (await rig.until(job, lambda now: now.is_final)).state is JobState.PROVED


async def test_a_connection_that_fails_waits_for_its_pause_even_if_the_lock_is_heard(
    rig: Rig,
) -> None:
    await fails_with(rig, ConnectFailed("Noise."))
    job = await rig.until(await rig.add("482913"), lambda now: now.attempts == 1)
    rig.door.advertise()
    for _ in range(20):
        await rig.journal.counts()
    assert len(rig.reports) == 1
    assert (await rig.until(job, has_paused)).attempts == 1


async def test_pauses_grow_with_each_failure_and_end_with_the_lock(rig: Rig) -> None:
    rig.door.is_in_range = False
    job = await rig.until(await rig.add("482913"), has_paused)
    pauses = []
    for attempts in range(1, 5):
        job = await rig.until(job, lambda job, n=attempts: job.attempts == n)
        assert job.not_before_at is not None
        pauses.append(job.not_before_at - rig.clock.now())
        await rig.clock.advance(pauses[-1] / timedelta(seconds=1))
    assert pauses == [timedelta(seconds=seconds) for seconds in (2, 4, 8, 16)]
    rig.door.is_in_range = True
    assert (await rig.final(job)).state is JobState.PROVED


async def test_a_visit_that_takes_place_serves_those_who_pause(rig: Rig) -> None:
    rig.door.is_in_range = False
    first = await rig.until(await rig.add("482913"), has_paused)
    rig.door.is_in_range = True
    second = await rig.ask("clock.read")
    assert (await rig.until(second, lambda job: job.is_final)).state is JobState.DONE
    assert (await rig.until(first, lambda job: job.is_final)).state is JobState.PROVED
    assert rig.door.connections == 1


async def test_what_comes_in_during_a_visit_is_served_in_it(rig: Rig) -> None:
    async def another(_number: int) -> None:
        if rig.door.count(AddPasscode):
            rig.door.after_write = no_hook
            await rig.add("771204")

    rig.door.after_write = another
    assert (await rig.final(await rig.add("482913"))).state is JobState.PROVED
    second = await rig.journal.job_by_request("r-passcode.add-771204")
    assert second is not None
    assert (await rig.until(second, lambda job: job.is_final)).state is JobState.PROVED
    assert rig.door.connections == 1


async def test_a_visit_ends_in_time_for_the_gateway_and_the_owners_phone(rig: Rig) -> None:
    number = 0

    async def more(_number: int) -> None:
        nonlocal number
        if number < rig.door.count(AddPasscode) <= 4:
            number += 1
            await rig.clock.advance(MAX_VISIT_S / 3)
            await rig.add(f"77{number}204")

    rig.door.after_write = more
    await rig.add("482913")
    while len(jobs := await rig.journal.recent(100)) < 5:
        await asyncio.sleep(0)
    assert {job.state for job in await rig.done(*jobs)} == {JobState.PROVED}
    assert rig.door.connections == 2
    assert MAX_VISIT_S <= rig.reports[0].connected_s < 2 * MAX_VISIT_S


@pytest.mark.parametrize(
    ("keys", "code"),
    [
        (replace(KEYS, aes_key=b"\x01" * 16), "keys_rejected"),
        (replace(KEYS, admin_secret=1), "keys_rejected"),
        (replace(KEYS, unlock_key=1), "keys_rejected"),
        (replace(KEYS, admin_secret=0), "cannot_be_asked"),
    ],
    ids=["aes key", "administrator's secret", "unlock key", "no administrator's keys"],
)
async def test_wrong_keys_end_all_jobs_at_once(tmp_path: Path, keys: Any, code: str) -> None:
    async with rig_at(tmp_path, keys=keys) as rig:
        rig.door.is_in_range = False
        jobs = [await rig.add("482913"), await rig.add("771204")]
        await rig.until(jobs[1], has_paused)
        rig.door.is_in_range = True
        for job in await rig.done(*jobs):
            assert (job.state, job.error and job.error.code) == (JobState.FAILED, code)
        assert rig.door.connections == 1
        assert rig.door.adds == []


async def test_a_defect_ends_its_jobs_and_not_the_daemon(rig: Rig, log_guard: Any) -> None:
    await fails_with(rig, ZeroDivisionError("482913"))
    log_guard.register("482913")
    job = await rig.final(await rig.add("482913"))
    assert (job.state, job.error and job.error.code) == (JobState.FAILED, "internal")
    assert [each["event"] for each in log_guard.entries].count("visit_defect") == 1
    del rig.door.connect  # type: ignore[method-assign]
    assert (await rig.final(await rig.add("771204"))).state is JobState.PROVED


async def test_a_refused_reading_fails_alone(rig: Rig) -> None:
    rig.door.set_faults(
        Fault(action=FaultAction.REFUSE, at=FaultPoint.REQUEST, request="GetFeatures")
    )
    refused = await rig.ask("lock.features")
    other = await rig.ask("lock.state")
    jobs = await rig.done(refused, other)
    assert [job.state for job in jobs] == [JobState.FAILED, JobState.DONE]
    assert jobs[0].error is not None
    assert jobs[0].error.code == "lock_refused"


async def test_an_answer_nobody_understands_fails_its_reading_alone(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decode(_data: bytes) -> State:
        raise DecodeError("it is of another length")

    monkeypatch.setattr(State, "decode", decode)
    jobs = await rig.done(await rig.ask("lock.state"), await rig.ask("clock.read"))
    assert [job.state for job in jobs] == [JobState.FAILED, JobState.DONE]
    assert jobs[0].error is not None
    assert jobs[0].error.code == "lock_misunderstood"


async def test_a_journal_that_fails_for_a_while_costs_nothing(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, log_guard: Any
) -> None:
    real, is_failing = rig.journal.move_many, True

    async def move_many(*args: Any, **kwargs: Any) -> list[Job]:
        if is_failing:
            raise JournalError("The disk is full.")
        return await real(*args, **kwargs)

    monkeypatch.setattr(rig.journal, "move_many", move_many)
    job = await rig.add("482913")
    while "journal_unusable" not in [each["event"] for each in log_guard.entries]:
        await asyncio.sleep(0)
    assert rig.door.adds == []
    is_failing = False
    await rig.clock.advance(JOURNAL_PAUSE_S)
    assert (await rig.final(job)).state is JobState.PROVED
    assert rig.door.adds == ["482913"]


async def test_a_radio_that_is_stopped_in_a_visit_stops_although_the_journal_fails(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the visit could not put back must not take the place of the cancellation."""
    is_in_visit = asyncio.Event()

    async def hold(_number: int) -> None:
        is_in_visit.set()
        await asyncio.Event().wait()

    async def fail(*_: Any, **__: Any) -> list[Job]:
        raise JournalError("The disk is full.")

    rig.door.before_write = hold
    await rig.add("482913")
    async with asyncio.timeout(PATIENCE_S):
        await is_in_visit.wait()
    monkeypatch.setattr(rig.journal, "move_many", fail)
    radio = rig.tasks[0]
    radio.cancel()
    done, _ = await asyncio.wait({radio}, timeout=PATIENCE_S)
    assert done
    assert radio.cancelled()


async def test_a_report_tells_what_a_visit_cost(rig: Rig) -> None:
    async def slowly(_number: int) -> None:
        await rig.clock.advance(0.5)

    rig.door.after_write = slowly
    await rig.final(await rig.ask("clock.read"))
    while not rig.reports:
        await asyncio.sleep(0)
    (report,) = rig.reports
    assert (report.is_reached, report.error) == (True, None)
    assert report.round_trips == len(rig.door.arrived)
    assert report.connected_s >= 0.5 * report.round_trips
    assert report.ended_at == rig.clock.now()


async def test_a_clock_set_back_holds_nobody_up(tmp_path: Path) -> None:
    door = Door(ManualClock())
    door.is_in_range = False
    async with rig_at(tmp_path, door) as rig:
        job = await rig.until(await rig.add("482913"), has_paused)
        rig.clock._now -= timedelta(days=30)
        rig.door.is_in_range = True
        # Nobody sleeps longer than a minute, whatever the clock says.
        assert (await rig.later(job)).state is JobState.PROVED
