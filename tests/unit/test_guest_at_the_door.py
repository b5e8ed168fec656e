"""Somebody stands at the door: noticed on the air, helped in the same session."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from agent_rig import ADDRESS, LOCK, Door, Rig, minute, rig_at
from ttlock_agent.errors import AdapterProblem, AdapterUnavailable, OutcomeUnknown
from ttlock_agent.jobs.door import LISTEN_AGAIN_S, DoorWatch, Sign, is_sign
from ttlock_agent.jobs.model import GUEST_PRIORITY, JobFailure, JobState, Move, WaitReason
from ttlock_agent.link import Sighting
from ttlock_agent.lock.visit import Budget
from ttlock_protocol.advertisement import Advertisement, build
from ttlock_protocol.messages.clock import SetClock
from ttlock_protocol.messages.passcodes import GetPasscodes
from virtual_helpers import MAC, ManualClock, settle


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig_at(tmp_path) as rig:
        yield rig


def take_away(door: Door, *digits: str) -> None:
    kept = tuple(each for each in door.held if each.passcode not in digits)
    door.lock._body.change(passcodes=kept)


async def quiet(rig: Rig, seconds: float) -> None:
    """Let the lock be heard, the radio make up its mind, and then time pass."""
    rig.door.advertise()
    for _ in range(20):
        await rig.journal.counts()
    await rig.clock.advance(seconds)


async def test_the_guest_fails_once_and_the_second_try_opens(rig: Rig) -> None:
    await rig.final(await rig.add("482913", label="booking 1"))
    await rig.visits(1)
    take_away(rig.door, "482913")
    await quiet(rig, 3600)
    assert not rig.door.opens("482913")
    rig.door.advertise()
    await rig.visits(2)
    assert rig.door.opens("482913")
    (job,) = await rig.journal.recent(1)
    assert (job.source, job.state, job.priority) == ("reproof", JobState.PROVED, GUEST_PRIORITY)
    assert [told["event_type"] for told in await rig.events()] == ["denied", "passcode_missing"]
    assert rig.door.connections == 2


async def test_a_listing_that_is_still_fresh_is_looked_into_when_digits_fail(rig: Rig) -> None:
    """Unproved is reason enough to come; the wrong digits then are the reason to list."""
    await rig.final(await rig.add("482913"))
    await rig.visits(1)
    rig.door.is_in_range = False
    waiting = await rig.add("771204")
    await rig.until(waiting, lambda job: job.attempts == 1)
    rig.door.is_in_range = True
    take_away(rig.door, "482913")
    listings = rig.door.count(GetPasscodes)
    rig.door.opens("482913")
    rig.door.advertise()
    await rig.final(waiting)
    await rig.visits(3)
    assert rig.door.opens("482913")
    assert rig.door.count(GetPasscodes) > listings


async def test_a_log_with_a_long_tail_does_not_hide_the_guest(rig: Rig) -> None:
    """What was typed a moment ago is the last of more records than one visit reads."""
    await rig.final(await rig.add("482913"))
    await rig.visits(1)
    rig.door.is_in_range = False
    waiting = await rig.ask("clock.read")
    await rig.until(waiting, lambda job: job.attempts == 1)
    rig.door.is_in_range = True
    for _ in range(30):
        for _ in range(4):
            rig.door.opens("271828")
        rig.door.opens("1123334")
    take_away(rig.door, "482913")
    assert not rig.door.opens("482913")
    rig.door.advertise()
    await rig.final(waiting)
    await rig.visits(3)
    assert rig.door.opens("482913")


async def test_nobody_comes_while_all_is_proved(rig: Rig) -> None:
    await rig.final(await rig.add("482913"))
    await rig.visits(1)
    await quiet(rig, 600)
    assert rig.door.opens("482913")
    await quiet(rig, 600)
    assert rig.door.connections == 1


async def test_nobody_comes_for_what_was_given_up(rig: Rig) -> None:
    rig.door.is_in_range = False
    job = await rig.add("482913")
    await rig.until(job, lambda job: job.attempts == 1)
    await rig.journal.move(job.id, Move(to=JobState.WORKING, is_sent=True))
    unknown = JobFailure.of(OutcomeUnknown("The deadline passed."))
    await rig.journal.move(job.id, Move(to=JobState.OUTCOME_UNKNOWN, error=unknown))
    await quiet(rig, 60)  # for the radio may have taken it up again in between
    rig.door.is_in_range = True
    for _ in range(3):
        rig.door.opens("482913")
        await quiet(rig, 60)
    assert rig.door.connections == 0


async def test_nobody_comes_because_time_passes(rig: Rig) -> None:
    await rig.final(await rig.add("482913"))
    await rig.visits(1)
    assert rig.door.opens("482913")
    await quiet(rig, 60)
    for _ in range(48):
        await quiet(rig, 3600)
    assert rig.door.connections == 1


async def test_a_used_up_battery_budget_is_respected(tmp_path: Path) -> None:
    async with rig_at(tmp_path, budget=Budget(connections_per_day=1)) as rig:
        await rig.final(await rig.add("482913"))
        await rig.visits(1)
        take_away(rig.door, "482913")
        await quiet(rig, 3600)
        rig.door.opens("482913")
        await quiet(rig, 60)
        assert rig.door.connections == 1


async def test_a_touch_is_the_chance_of_a_job_that_waits(rig: Rig) -> None:
    rig.door.is_in_range = False
    job = await rig.add("482913")
    for attempts in range(1, 9):
        job = await rig.until(job, lambda job, n=attempts: job.attempts == n)  # type: ignore[misc]
        assert job.not_before_at is not None
        if attempts < 8:
            await rig.clock.advance((job.not_before_at - rig.clock.now()).total_seconds())
    assert job.not_before_at - rig.clock.now() > timedelta(minutes=2)
    rig.door.is_in_range = True
    rig.door.lock.touch(rig.clock.now())
    rig.door.advertise()
    job = await rig.until(job, lambda job: job.is_final)  # without moving time
    assert job.state is JobState.PROVED


async def test_a_touched_lock_that_cannot_be_reached_costs_one_attempt(rig: Rig) -> None:
    rig.door.is_in_range = False
    await rig.until(await rig.add("482913", id="x"), lambda job: job.attempts == 1)
    rig.door.lock.touch(rig.clock.now())
    rig.door.advertise()
    job = await rig.until((await rig.journal.recent(1))[0], lambda job: job.attempts == 2)
    assert job.reason is WaitReason.LOCK_NOT_SEEN


async def test_a_clock_within_its_tolerance_is_set_when_it_keeps_somebody_out(rig: Rig) -> None:
    start = minute(rig.clock.now(), hours=2)
    await rig.final(await rig.add("482913", valid_from=start, valid_until=minute(start, days=1)))
    await rig.visits(1)
    rig.door.lock.shift_clock(-20)
    await quiet(rig, (start - rig.clock.now()).total_seconds() + 5)
    assert not rig.door.opens("482913")
    rig.door.advertise()
    await rig.visits(2)
    assert rig.door.clock_error_s() == 0
    assert rig.door.opens("482913")


async def test_a_clock_within_its_tolerance_is_left_alone_otherwise(rig: Rig) -> None:
    await rig.final(await rig.add("482913"))
    await rig.visits(1)
    rig.door.lock.shift_clock(-20)
    await quiet(rig, 3600)
    assert not rig.door.opens("271828")
    rig.door.advertise()
    await rig.visits(2)
    assert rig.door.clock_error_s() == -20
    assert rig.door.count(SetClock) == 0


# What counts as a sign.


def heard(**flags: bool) -> Advertisement:
    return build(mac=MAC, scene=2, battery_percent=90, **flags)


@pytest.mark.parametrize(
    ("before", "now", "is_one"),
    [
        (None, heard(), False),
        (None, heard(has_new_records=True), True),
        (None, heard(is_touched=True), True),
        (heard(), heard(), False),
        (heard(), heard(has_new_records=True), True),
        (heard(has_new_records=True), heard(has_new_records=True), False),
        (heard(has_new_records=True), heard(has_new_records=True, is_touched=True), True),
        (heard(is_touched=True), heard(is_touched=True), True),
        (heard(is_touched=True), heard(), False),
        (heard(is_dormant=True), heard(), True),
        (heard(), heard(is_dormant=True), False),
        (heard(), heard(is_unlocked=True), False),
    ],
)
def test_only_what_just_happened_is_a_sign(
    before: Advertisement | None, now: Advertisement, is_one: bool
) -> None:
    assert is_sign(before, now) is is_one


class Air:
    """A radio that can be made to fail."""

    def __init__(self, *rounds: list[Sighting] | AdapterUnavailable) -> None:
        self.rounds = list(rounds)

    async def sightings(self) -> AsyncIterator[Sighting]:
        if not self.rounds:
            return
        heard_now = self.rounds.pop(0)
        if isinstance(heard_now, AdapterUnavailable):
            raise heard_now
        for sighting in heard_now:
            yield sighting


def sighting(advertisement: Advertisement, at_s: float, address: str = ADDRESS) -> Sighting:
    return Sighting(
        address=address,
        rssi_dbm=-60,
        manufacturer_data=advertisement.encode(),
        seen_at_monotonic_s=at_s,
    )


async def test_listening_goes_on_after_the_adapter_failed(rig: Rig) -> None:
    signs: list[Sign] = []
    clock = ManualClock()
    gone = AdapterUnavailable("It is gone.", reason=AdapterProblem.MISSING)
    touched = heard(is_touched=True)
    air = Air(gone, [sighting(touched, 0.0, "virtual:other"), sighting(touched, 0.0)])
    watch = DoorWatch(air, rig.intake._profiles, clock=clock, on_sign=signs.append)
    running = asyncio.create_task(watch.run())
    await settle()
    assert signs == []
    await clock.advance(LISTEN_AGAIN_S)
    assert signs == [Sign(LOCK, has_news=False)]
    running.cancel()


async def test_typing_is_one_sign(rig: Rig) -> None:
    signs: list[Sign] = []
    watch = DoorWatch(Air(), rig.intake._profiles, clock=ManualClock(), on_sign=signs.append)
    for at_s in (0.0, 1.0, 2.0, 2.9):
        watch.saw(sighting(heard(is_touched=True), at_s))
    assert len(signs) == 1
    watch.saw(sighting(heard(is_touched=True), 3.0))
    assert len(signs) == 2
    watch.saw(Sighting(address=ADDRESS, rssi_dbm=0, manufacturer_data=b"?", seen_at_monotonic_s=9))
    assert len(signs) == 2
