"""Passcodes brought into a lock and proved, through everything that can go wrong on the way."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from agent_rig import Door, Rig, minute, no_hook, rig_at
from ttlock_agent.jobs.model import JobState
from ttlock_protocol.errors import Refusal
from ttlock_protocol.messages.auth import PERMANENT_FROM, CheckRandom
from ttlock_protocol.messages.passcodes import (
    DeletePasscode,
    GetPasscodes,
    ModifyPasscode,
    PasscodeType,
)
from ttlock_protocol.virtual import Fault, FaultAction, FaultPoint, StoredPasscode
from ttlock_protocol.virtual.memory import Capacity
from virtual_helpers import ManualClock


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig_at(tmp_path) as rig:
        yield rig


def fault(action: FaultAction, at: FaultPoint, request: str, nth: int | None = 1) -> Fault:
    return Fault(action=action, at=at, request=request, nth=nth)


# The straight road.


async def test_a_passcode_is_written_read_back_and_opens(rig: Rig) -> None:
    job = await rig.final(await rig.add("482913"))
    assert job.state is JobState.PROVED
    assert job.result == {
        "proof_at": rig.clock.now().isoformat(timespec="seconds"),
        "was_there": False,
    }
    assert rig.door.adds == ["482913"]
    assert rig.door.opens("482913")
    assert await rig.trail(job) == ["accepted", "working", "proved"]
    assert [answer["status"] for answer in await rig.answers()] == ["accepted", "done"]


async def test_a_period_is_judged_by_the_locks_own_clock(rig: Rig) -> None:
    start = minute(rig.clock.now(), hours=2)
    job = await rig.final(
        await rig.add("482913", valid_from=start, valid_until=minute(start, hours=3))
    )
    assert job.state is JobState.PROVED
    (held,) = rig.door.held
    assert held.passcode_type == PasscodeType.PERIOD
    assert str(held.valid_from) == "2026-03-14 11:00:00"  # UTC+1 at the door
    assert not rig.door.opens("482913")
    await rig.clock.advance(2 * 3600)
    assert rig.door.opens("482913")


async def test_several_passcodes_share_one_session_and_one_listing(rig: Rig) -> None:
    rig.door.is_in_range = False
    digits = [f"48{n}913" for n in range(5)]
    jobs = [await rig.add(code) for code in digits]
    await rig.until(jobs[0], lambda job: job.state is JobState.WAITING)
    rig.door.is_in_range = True
    assert {job.state for job in await rig.done(*jobs)} == {JobState.PROVED}
    assert rig.door.connections == 1
    assert rig.door.count(GetPasscodes) == len(digits) + 1
    assert sorted(rig.door.digits) == digits


async def test_a_deleted_passcode_is_proved_gone(rig: Rig) -> None:
    await rig.final(await rig.add("482913"))
    job = await rig.final(await rig.delete("482913"))
    assert job.state is JobState.PROVED
    assert job.result is not None
    assert job.result["was_there"]
    assert rig.door.digits == []
    assert await rig.journal.wanted("front-door") == []


async def test_deleting_what_is_not_there_is_proved_as_well(rig: Rig) -> None:
    job = await rig.final(await rig.delete("482913"))
    assert job.state is JobState.PROVED
    assert job.result is not None
    assert not job.result["was_there"]


async def test_the_clock_is_set_before_anything_is_written(tmp_path: Path) -> None:
    async with rig_at(tmp_path, clock_error_s=-7 * 3600) as rig:
        job = await rig.final(await rig.add("482913", valid_until=minute(rig.clock.now(), hours=1)))
        assert job.state is JobState.PROVED
        names = [type(request).__name__ for request in rig.door.arrived]
        assert names.index("SetClock") < names.index("AddPasscode")
        assert rig.door.clock_error_s() == 0
        assert rig.door.opens("482913")


# What the lock holds already.


def stored(
    digits: str, kind: PasscodeType = PasscodeType.PERMANENT, **more: object
) -> StoredPasscode:
    return StoredPasscode(
        passcode_type=kind,
        passcode=digits,
        original_passcode=digits,
        **({"valid_from": PERMANENT_FROM} | more),  # type: ignore[arg-type]
    )


async def test_another_window_is_modified_and_proved(tmp_path: Path) -> None:
    clock = ManualClock()
    there = stored(
        "482913",
        PasscodeType.PERIOD,
        valid_until=minute(clock.now(), days=1).replace(tzinfo=None),
    )
    async with rig_at(tmp_path, Door(clock, stored=[there])) as rig:
        until = minute(clock.now(), days=9)
        job = await rig.final(await rig.add("482913", valid_until=until))
        assert job.state is JobState.PROVED
        assert rig.door.count(ModifyPasscode) == 1
        assert rig.door.count(DeletePasscode) == 0
        (held,) = rig.door.held
        assert held.valid_until is not None
        assert held.valid_until == (until + timedelta(hours=1)).replace(tzinfo=None)


async def test_another_type_is_replaced_and_proved(tmp_path: Path) -> None:
    async with rig_at(tmp_path, passcodes=["482913"]) as rig:
        job = await rig.final(await rig.add("482913", valid_until=minute(rig.clock.now(), days=1)))
        assert job.state is JobState.PROVED
        assert [held.passcode_type for held in rig.door.held] == [PasscodeType.PERIOD]


async def test_a_lock_that_cannot_modify_gets_a_replacement(tmp_path: Path) -> None:
    clock = ManualClock()
    there = stored(
        "482913", PasscodeType.PERIOD, valid_until=minute(clock.now(), days=1).replace(tzinfo=None)
    )
    async with rig_at(tmp_path, Door(clock, stored=[there], features=(0, 1, 4))) as rig:
        until = minute(clock.now(), days=9)
        job = await rig.final(await rig.add("482913", valid_until=until))
        assert (job.state, job.error) == (JobState.PROVED, None)
        assert len(rig.door.held) == 1
        assert rig.door.held[0].valid_until == (until + timedelta(hours=1)).replace(tzinfo=None)


async def test_what_is_there_as_wanted_is_left_alone(tmp_path: Path) -> None:
    async with rig_at(tmp_path, passcodes=["482913"]) as rig:
        job = await rig.final(await rig.add("482913"))
        assert job.state is JobState.PROVED
        assert job.result is not None
        assert job.result["was_there"]
        assert rig.door.digits == ["482913"]


async def test_a_takeover_looks_before_it_writes(tmp_path: Path) -> None:
    async with rig_at(tmp_path, passcodes=["482913"]) as rig:
        there = await rig.add("482913", source="takeover", id="a")
        missing = await rig.add("771204", source="takeover", id="b")
        jobs = await rig.done(there, missing)
        assert [job.state for job in jobs] == [JobState.PROVED] * 2
        assert [job.result["was_there"] for job in jobs if job.result] == [True, False]
        assert rig.door.adds == ["771204"]
        assert rig.findings == {there.id: True, missing.id: False}


async def test_a_full_lock_ends_the_job_with_its_name(tmp_path: Path) -> None:
    async with rig_at(tmp_path, passcodes=["111111"], capacity=Capacity(passcodes=1)) as rig:
        job = await rig.final(await rig.add("482913"))
        assert job.state is JobState.FAILED
        assert job.error is not None
        assert job.error.code == "passcode_memory_full"
        assert rig.door.adds == ["482913"]
        assert rig.door.digits == ["111111"]


async def test_what_is_over_makes_room_even_where_it_is_gone_already(tmp_path: Path) -> None:
    async with rig_at(tmp_path, capacity=Capacity(passcodes=1)) as rig:
        until = minute(rig.clock.now(), minutes=5)
        await rig.final(await rig.add("482913", valid_until=until))
        await rig.clock.advance(3600)
        gone = Refusal.PASSCODE_NOT_FOUND
        rig.door.set_faults(
            Fault(
                action=FaultAction.REFUSE,
                at=FaultPoint.REQUEST,
                request="DeletePasscode",
                refusal=gone,
            )
        )
        crowded_out = await rig.add("771204")
        other = await rig.ask("lock.state")
        jobs = await rig.done(crowded_out, other)
        assert [job.state for job in jobs] == [JobState.FAILED, JobState.DONE]
        assert jobs[0].error is not None
        assert jobs[0].error.code == "passcode_memory_full"
        rig.door.set_faults()
        assert (await rig.final(await rig.add("771204", id="again"))).state is JobState.PROVED


# Lost on the way.


@pytest.mark.parametrize(
    "action", [FaultAction.LOSE, FaultAction.CORRUPT, FaultAction.TEAR], ids=str
)
async def test_a_lost_answer_is_followed_by_a_reading_not_by_a_second_add(
    rig: Rig, action: FaultAction
) -> None:
    rig.door.set_faults(fault(action, FaultPoint.ANSWER, "AddPasscode"))
    job = await rig.final(await rig.add("482913"))
    assert job.state is JobState.PROVED
    assert job.result is not None
    assert not job.result["was_there"]
    assert rig.door.adds == ["482913"]
    assert rig.door.digits == ["482913"]
    assert "unknown" in await rig.trail(job)


async def test_an_answer_lost_with_the_link_is_unknown_until_the_next_visit_proves_it(
    rig: Rig,
) -> None:
    rig.door.set_faults(fault(FaultAction.DROP, FaultPoint.ANSWER, "AddPasscode"))
    job = await rig.add("482913")
    job = await rig.until(job, lambda job: job.not_before_at is not None)
    assert (job.state, job.is_sent) == (JobState.UNKNOWN, True)
    assert job.reason is not None
    assert job.reason.value == "read_back_pending"
    assert (await rig.final(job)).state is JobState.PROVED
    assert rig.door.adds == ["482913"]
    assert rig.door.digits == ["482913"]
    assert rig.door.connections == 2


@pytest.mark.parametrize("action", [FaultAction.LOSE, FaultAction.DROP], ids=str)
async def test_a_request_that_never_arrived_is_sent_again_after_a_reading(
    rig: Rig, action: FaultAction
) -> None:
    rig.door.set_faults(fault(action, FaultPoint.REQUEST, "AddPasscode"))
    job = await rig.final(await rig.add("482913"))
    assert (job.state, job.error) == (JobState.PROVED, None)
    names = [type(request).__name__ for request in rig.door.arrived]
    first, second = (at for at, name in enumerate(names) if name == "AddPasscode")
    assert "GetPasscodes" in names[first:second]
    assert rig.door.digits == ["482913"]


async def test_a_request_that_is_lost_every_time_is_tried_again_later_not_given_up(
    rig: Rig,
) -> None:
    rig.door.set_faults(fault(FaultAction.LOSE, FaultPoint.REQUEST, "AddPasscode", None))
    job = await rig.add("482913")
    job = await rig.until(job, lambda job: job.not_before_at is not None)
    assert not job.is_final
    rig.door.set_faults()
    assert (await rig.final(job)).state is JobState.PROVED
    assert rig.door.digits == ["482913"]


async def test_a_damaged_request_is_sent_again(rig: Rig) -> None:
    rig.door.set_faults(
        fault(FaultAction.CORRUPT, FaultPoint.REQUEST, "AddPasscode"),
        fault(FaultAction.CORRUPT, FaultPoint.REQUEST, "GetClock"),
    )
    job = await rig.final(await rig.add("482913"))
    assert (job.state, job.error) == (JobState.PROVED, None)
    assert rig.door.digits == ["482913"]
    assert rig.door.connections == 1


async def test_nothing_but_damaged_requests_makes_the_job_wait(rig: Rig) -> None:
    rig.door.set_faults(fault(FaultAction.CORRUPT, FaultPoint.REQUEST, "AddPasscode", None))
    job = await rig.add("482913")
    job = await rig.until(job, lambda job: job.not_before_at is not None)
    assert (job.state, job.is_sent) == (JobState.WAITING, False)
    rig.door.set_faults()
    assert (await rig.final(job)).state is JobState.PROVED


@pytest.mark.parametrize(
    ("piece", "state", "reason"),
    [
        (1, JobState.WAITING, "link_lost"),
        (2, JobState.WAITING, "link_lost"),
        (3, JobState.UNKNOWN, "read_back_pending"),  # nobody can tell whether the last one got out
    ],
)
async def test_a_link_cut_in_the_middle_of_the_frame_changes_nothing(
    rig: Rig, piece: int, state: JobState, reason: str
) -> None:
    pieces_of_add = 0

    async def cut(_number: int) -> None:
        nonlocal pieces_of_add
        pieces_of_add += type(rig.door.arrived[-1]).__name__ == "CheckRandom"
        if pieces_of_add == piece:
            assert rig.door.link is not None
            rig.door.link.cut()

    async def arm(_number: int) -> None:
        if rig.door.count(CheckRandom):
            rig.door.before_write = cut

    rig.door.after_write = arm
    job = await rig.add("482913", valid_until=minute(rig.clock.now(), days=1))
    job = await rig.until(job, lambda job: job.not_before_at is not None)
    assert (job.state, job.is_sent) == (state, state is JobState.UNKNOWN)
    assert job.reason is not None
    assert job.reason.value == reason
    assert rig.door.adds == []
    rig.door.before_write = rig.door.after_write = no_hook
    assert (await rig.final(job)).state is JobState.PROVED
    assert rig.door.adds == ["482913"]


@pytest.mark.parametrize(
    "action", [FaultAction.DUPLICATE, FaultAction.INTERLEAVE, FaultAction.SPLIT], ids=str
)
async def test_noise_between_the_frames_changes_nothing(rig: Rig, action: FaultAction) -> None:
    rig.door.set_faults(Fault(action=action, at=FaultPoint.ANSWER))
    jobs = await rig.done(await rig.add("482913"), await rig.add("771204"))
    assert [job.state for job in jobs] == [JobState.PROVED] * 2
    assert rig.door.adds == ["482913", "771204"]
    assert rig.door.digits == ["482913", "771204"]


@pytest.mark.parametrize("action", [FaultAction.DROP, FaultAction.DROP_AFTER], ids=str)
async def test_an_interrupted_listing_is_begun_again(tmp_path: Path, action: FaultAction) -> None:
    async with rig_at(tmp_path, passcodes=["111111", "222222"]) as rig:
        rig.door.set_faults(fault(action, FaultPoint.ANSWER, "GetPasscodes", 2))
        job = await rig.add("482913")
        job = await rig.until(job, lambda job: job.not_before_at is not None)
        assert job.state is JobState.UNKNOWN
        job = await rig.final(job)
        assert job.state is JobState.PROVED
        assert rig.door.adds == ["482913"]
        assert sorted(rig.door.digits) == ["111111", "222222", "482913"]


async def test_a_lost_deletion_is_read_back_too(tmp_path: Path) -> None:
    async with rig_at(tmp_path, passcodes=["482913", "111111"]) as rig:
        rig.door.set_faults(fault(FaultAction.DROP, FaultPoint.ANSWER, "DeletePasscode"))
        job = await rig.final(await rig.delete("482913"))
        assert job.state is JobState.PROVED
        assert rig.door.count(DeletePasscode) == 1
        assert rig.door.digits == ["111111"]


# The order of things about the same digits.


async def test_the_last_word_about_a_passcode_holds_even_when_the_first_one_pauses(
    rig: Rig,
) -> None:
    rig.door.is_in_range = False
    add = await rig.add("482913")
    await rig.until(add, lambda job: job.not_before_at is not None)
    rig.door.is_in_range = True
    delete = await rig.delete("482913")
    assert [job.state for job in await rig.done(delete, add)] == [JobState.PROVED] * 2
    assert rig.door.digits == []
    assert await rig.journal.wanted("front-door") == []


async def test_a_hurry_does_not_overtake_what_was_asked_about_the_same_digits(rig: Rig) -> None:
    rig.door.is_in_range = False
    add = await rig.add("482913")
    await rig.clock.advance(1)
    delete = await rig.delete("482913", priority="guest_at_the_door")
    await rig.until(add, lambda job: job.not_before_at is not None)
    rig.door.is_in_range = True
    await rig.done(add, delete)
    assert rig.door.digits == []


async def test_a_later_job_waits_for_an_earlier_one_that_is_not_clear_yet(rig: Rig) -> None:
    rig.door.set_faults(fault(FaultAction.LOSE, FaultPoint.REQUEST, "AddPasscode", None))
    add = await rig.add("482913")
    delete = await rig.delete("482913")
    await rig.until(delete, lambda job: job.not_before_at is not None)
    assert rig.door.count(DeletePasscode) == 0
    rig.door.set_faults()
    assert [job.state for job in await rig.done(add, delete)] == [JobState.PROVED] * 2
    assert rig.door.digits == []


async def test_a_wish_that_came_later_is_not_overwritten_by_the_proof_of_the_earlier_one(
    rig: Rig,
) -> None:
    later = minute(rig.clock.now(), days=9)

    async def meanwhile(_number: int) -> None:
        if rig.door.adds and rig.door.count(GetPasscodes) == 0:
            rig.door.after_write = no_hook
            await rig.add("482913", id="later", valid_until=later)

    rig.door.after_write = meanwhile
    first = await rig.final(await rig.add("482913", valid_until=minute(later, days=-5)))
    assert first.state is JobState.PROVED
    second = await rig.journal.job_by_request("later")
    assert second is not None
    (wish,) = await rig.journal.wanted("front-door")
    assert (wish.job_id, wish.valid_until) == (second.id, later)
    assert (await rig.final(second)).state is JobState.PROVED
    (wish,) = await rig.journal.wanted("front-door")
    assert wish.proved_at == rig.clock.now()


# Wishes end with the jobs that carried them.


async def test_a_cancelled_job_leaves_no_wish(rig: Rig) -> None:
    rig.door.is_in_range = False
    job = await rig.add("482913")
    await rig.until(job, lambda job: job.not_before_at is not None)
    await rig.ask("job.cancel", id="c", job=job.id)
    assert (await rig.final(job)).state is JobState.CANCELLED
    assert await rig.journal.wanted("front-door") == []


async def test_an_expired_job_leaves_no_wish(rig: Rig) -> None:
    rig.door.is_in_range = False
    job = await rig.add("482913", deadline_at=minute(rig.clock.now(), minutes=2))
    assert (await rig.final(job)).state is JobState.EXPIRED
    assert await rig.journal.wanted("front-door") == []
    assert (await rig.add("4829", id="other")).id  # no collision with what is not wanted any more


async def test_a_refused_job_leaves_no_wish(tmp_path: Path) -> None:
    async with rig_at(tmp_path, capacity=Capacity(passcodes=0)) as rig:
        assert (await rig.final(await rig.add("482913"))).state is JobState.FAILED
        assert await rig.journal.wanted("front-door") == []


# Two things at once.


async def test_a_job_cancelled_in_the_middle_of_a_reading_does_not_take_others_down(
    tmp_path: Path,
) -> None:
    async with rig_at(tmp_path, passcodes=["111111"]) as rig:

        async def cancel(_number: int) -> None:
            if rig.door.count(GetPasscodes) == 1:
                rig.door.after_write = no_hook
                await rig.ask("job.cancel", id="c", job="a")

        rig.door.after_write = cancel
        cancelled = await rig.add("482913", id="a", source="takeover")
        other = await rig.add("771204", id="b", source="takeover")
        jobs = await rig.done(cancelled, other)
        assert [job.state for job in jobs] == [JobState.CANCELLED, JobState.PROVED]
        assert rig.door.adds == ["771204"]


async def test_a_deadline_in_the_middle_of_a_read_back_does_not_take_others_down(
    rig: Rig,
) -> None:
    rig.door.set_faults(fault(FaultAction.DROP, FaultPoint.ANSWER, "AddPasscode"))
    late = await rig.add("482913", deadline_at=minute(rig.clock.now(), minutes=1))
    late = await rig.until(late, lambda job: job.not_before_at is not None)
    assert late.state is JobState.UNKNOWN
    other = await rig.add("771204")

    async def run_out(_number: int) -> None:
        if rig.door.count(GetPasscodes) == 1:
            rig.door.after_write = no_hook
            await rig.clock.advance(120)
            await rig.until(late, lambda job: job.is_final)

    rig.door.after_write = run_out
    jobs = await rig.done(late, other)
    assert [job.state for job in jobs] == [JobState.OUTCOME_UNKNOWN, JobState.PROVED]
    assert sorted(rig.door.digits) == ["482913", "771204"]
