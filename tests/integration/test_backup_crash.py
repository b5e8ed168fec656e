"""The agent dies at any moment of backup, reset, enrolment and restore; the next one goes on.

A death is a copy of the state directory as it is on disk at that moment: what SIGKILL leaves. The
lock lives on. Moments are the pieces of each frame and the transactions of the journal, before and
after. ``TTLOCK_CRASH_POINTS=all`` tries every one of them, else a sample whose seed is printed.
"""

import asyncio
import os
import random
import shutil
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import time
from functools import partial
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import msgspec
import pytest

from agent_rig import LOCK, Door, no_hook
from backup_rig import (
    CARDS,
    FINGERS,
    MAC_DIGITS,
    OPENERS,
    BenchRig,
    bench_at,
    furnished_door,
)
from death_rig import Death
from ttlock_agent.backup.content import Content, SavedHours
from ttlock_agent.backup.vendor import Hours
from ttlock_agent.control.messages import Call, Line, Progress, Result
from ttlock_agent.errors import JobRejected, Rejection
from ttlock_agent.jobs.model import Job, JobState
from ttlock_agent.lock.visit import visit_lock
from ttlock_protocol.messages.cards import AddCard, GetCards
from ttlock_protocol.messages.passage import AddPassageEntry, GetPassageEntries
from ttlock_protocol.messages.passcodes import AddPasscode, GetPasscodes, RecoverPasscode
from ttlock_protocol.virtual import Fault, FaultAction, FaultPoint
from ttlock_protocol.virtual.memory import StoredSchedule
from virtual_helpers import ManualClock

HOURS = tuple(
    StoredSchedule(credential=CARDS[1], weekday=day, starts_at=time(8), ends_at=time(18))
    for day in (1, 5)
)
SAMPLE = 10
SEED = 20261121
Point = tuple[str, int]
PATIENCE_S = 30
READING = {AddPasscode: GetPasscodes, RecoverPasscode: GetPasscodes}
READING |= {AddCard: GetCards, AddPassageEntry: GetPassageEntries}


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A door to begin with, what is asked, and what must be true in the end."""

    door: Callable[[], Door]
    play: Callable[[BenchRig, str], Awaitable[Job]]
    check: Callable[[BenchRig], Awaitable[None]]
    faults: tuple[Fault, ...] = ()


def paired_empty() -> Door:
    return Door(ManualClock())


def wiped() -> Door:
    door = furnished_door()
    door.lock._body.memory = door.lock.memory.wiped()
    return door


async def ask(rig: BenchRig, verb: str, **params: Any) -> Job:
    """Give a command as the command line does: under an id of its own each time.

    It joins the job that still runs, if there is one.
    """
    body = {"id": f"cli-{uuid4().hex}", "lock": LOCK, **params}
    call = Call(verb=verb, request=msgspec.Raw(msgspec.json.encode(body)))
    answers = cast("AsyncGenerator[Line]", rig.service.on_control(call))
    async with aclosing(answers) as lines:
        line = await anext(lines)
    assert isinstance(line, Result | Progress)
    job = await rig.journal.job(line.body["job"])
    assert job is not None
    return await rig.final(job)


async def reset(rig: BenchRig, backup: str) -> Job:
    """Reset; a lock that is reset already has no keys, and its last job says how that came."""
    try:
        rehearsal = await ask(rig, "lock.reset", backup=backup, dry_run=True)
        if rehearsal.result is not None:
            word = rehearsal.result["confirm"]
            return await ask(rig, "lock.reset", backup=backup, mac_digits=MAC_DIGITS, confirm=word)
        assert rehearsal.error is not None
        assert rehearsal.error.code == "keys_rejected"
    except JobRejected as refusal:
        assert refusal.reason is Rejection.NO_KEYS  # noqa: PT017 - one of two ways to hear it
    rehearsals = (JobState.DONE, JobState.FAILED)
    for job in await rig.journal.recent(10, lock=LOCK):
        if job.verb == "lock.reset" and job.state not in rehearsals:
            return await rig.final(job)
    raise AssertionError("no reset, and no keys either")


async def create(rig: BenchRig, _backup: str) -> Job:
    return await ask(rig, "backup.create", with_keys=True)


async def enrol(rig: BenchRig, _backup: str) -> Job:
    return await ask(rig, "lock.enrol", gives_up_app=True)


async def restore(rig: BenchRig, backup: str) -> Job:
    return await ask(rig, "lock.restore", backup=backup)


async def is_backed_up(rig: BenchRig) -> None:
    """Every file on the shelf opens, and one with keys holds all of the lock."""
    contents = [
        (await rig.shelf.open(each["backup"], None)).content for each in await rig.shelf.all()
    ]
    whole = [content for content in contents if content.keys is not None]
    assert whole
    memory = rig.door.lock.memory
    for content in whole:
        assert [each.record for each in content.passcodes] == [e.record for e in memory.passcodes]
        assert [each.number for each in content.cards] == list(CARDS)


async def is_wiped(rig: BenchRig) -> None:
    assert rig.door.lock.memory.administrator is None
    assert rig.door.lock.memory.passcodes == ()
    assert LOCK not in rig.locks.profiles
    assert await rig.keyring.get(LOCK) is None


async def is_ours(rig: BenchRig) -> None:
    """The keys in the vault are those of the lock."""
    assert rig.door.lock.memory.administrator is not None
    keys = await rig.keyring.get(LOCK)
    assert keys is not None
    async with visit_lock(rig.door, rig.locks.profile_with(LOCK, keys), rig.clock) as visit:
        await visit.be_admin()


async def is_furnished(rig: BenchRig) -> None:
    memory, before = rig.door.lock.memory, furnished_door().lock.memory
    assert sorted(rig.door.digits) == sorted(each.passcode for each in before.passcodes)
    assert sorted(each.card_number for each in memory.cards) == sorted(CARDS)
    assert memory.passage == before.passage
    assert memory.settings == before.settings
    assert memory.admin_passcode == before.admin_passcode
    assert memory.schedules == HOURS
    assert [rig.door.opens(digits) for digits in OPENERS] == [True] * len(OPENERS)
    assert_no_blind_repeat(rig.door)


def assert_no_blind_repeat(door: Door) -> None:
    """Between two requests to add the same thing, the lock was read."""
    unread: set[Any] = set()
    for request in door.arrived:
        unread -= {each for each in unread if READING[type(each)] is type(request)}
        if type(request) in READING:
            assert request not in unread, f"{type(request).__name__} twice without a reading"
            unread.add(request)


def lost(request: str) -> Fault:
    return Fault(action=FaultAction.LOSE, at=FaultPoint.ANSWER, request=request, nth=1)


def dropped(request: str) -> Fault:
    return Fault(action=FaultAction.DROP, at=FaultPoint.ANSWER, request=request, nth=1)


RESET = Scenario(door=furnished_door, play=reset, check=is_wiped)
ENROL = Scenario(door=wiped, play=enrol, check=is_ours)
RESTORE = Scenario(door=paired_empty, play=restore, check=is_furnished)
SCENARIOS = {
    "backup": Scenario(door=furnished_door, play=create, check=is_backed_up),
    "reset": RESET,
    "reset, answer lost": replace(RESET, faults=(lost("Reset"),)),
    "enrol": ENROL,
    "enrol, answer to the secrets lost": replace(ENROL, faults=(lost("AddAdmin"),)),
    "enrol, link dropped at the commit": replace(ENROL, faults=(dropped("FinishPairing"),)),
    "restore": RESTORE,
    "restore, answers lost": replace(
        RESTORE,
        faults=(
            lost("AddPasscode"),
            dropped("AddCard"),
            lost("AddPassageEntry"),
            dropped("AddSchedule"),
        ),
    ),
}


class _Cloud:
    """Knows the weekly hours of a card, and takes what it is told."""

    def has(self, lock: str) -> bool:
        return lock == LOCK

    async def card_hours(self, _lock: str, _address: str | None) -> Hours:
        return {
            CARDS[0]: (),
            CARDS[1]: tuple(
                SavedHours(weekday=each.weekday, starts_at=each.starts_at, ends_at=each.ends_at)
                for each in HOURS
            ),
        }

    async def finger_names(self, _lock: str, _address: str | None) -> dict[str, str]:
        return {}

    async def register(self, _lock: str, content: Content, _address: str | None) -> dict[str, Any]:
        return {"registered": len(content.passcodes)}


@pytest.fixture
async def template(tmp_path: Path) -> tuple[Path, str]:
    """An agent that has made a backup, and the id of that."""
    directory = tmp_path / "template"
    async with bench_at(directory, cloud=_Cloud()) as rig:
        return directory, await rig.backup()


def door_of(scenario: Scenario) -> Door:
    door = scenario.door()
    door.set_faults(*scenario.faults)
    return door


async def points_of(scenario: Scenario, directory: Path, backup: str) -> list[Point]:
    """Return every moment of a run in which nobody dies."""
    counts = {"journal": 0}

    async def count(write: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        counts["journal"] += 1
        return await write(*args)

    async with bench_at(directory, door_of(scenario)) as rig:
        database = rig.journal._database
        database.write = partial(count, database.write)  # type: ignore[method-assign]
        job = await scenario.play(rig, backup)
        assert job.state is JobState.PROVED, job
        await scenario.check(rig)
        pieces = rig.door.writes
    names = {"before piece": pieces, "after piece": pieces}
    names |= {"before step": counts["journal"], "after step": counts["journal"]}
    return [(name, number) for name, last in names.items() for number in range(1, last + 1)]


async def die_at(
    point: Point, scenario: Scenario, directory: Path, backup: str
) -> tuple[Door, Path]:
    """Run until ``point``; return the lock and what is left of the agent."""
    image = directory.with_name(f"{directory.name}-image")
    async with bench_at(directory, door_of(scenario)) as rig:
        death = Death(point, rig, image)
        rig.door.before_write = partial(death.at_piece, "before piece")
        rig.door.after_write = partial(death.at_piece, "after piece")
        database = rig.journal._database
        real_write = database.write
        database.write = partial(death.at_step, real_write)  # type: ignore[method-assign]
        playing = asyncio.ensure_future(scenario.play(rig, backup))
        dying = asyncio.ensure_future(death.has_struck.wait())
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.wait({playing, dying}, return_when=asyncio.FIRST_COMPLETED)
        if not death.has_struck.is_set():
            playing.result()
            death.strike()  # this time it took fewer steps: dead at the very end
        for task in (playing, dying, *rig.tasks):
            task.cancel()
        await asyncio.gather(playing, dying, *rig.tasks, return_exceptions=True)
        rig.tasks = []
        database.write = real_write  # type: ignore[method-assign]
        rig.door.before_write = rig.door.after_write = no_hook
    return rig.door, image


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", SCENARIOS)
async def test_death_at_any_moment_leaves_one_command_that_goes_on(
    tmp_path: Path, template: tuple[Path, str], name: str
) -> None:
    scenario, (state, backup) = SCENARIOS[name], template
    points = await points_of(scenario, shutil.copytree(state, tmp_path / "whole"), backup)
    is_all = os.environ.get("TTLOCK_CRASH_POINTS") == "all"
    chosen = points if is_all else random.Random(SEED).sample(points, SAMPLE)
    print(f"{name}: {len(chosen)} of {len(points)} moments, seed {SEED}")
    for number, point in enumerate(chosen):
        directory = shutil.copytree(state, tmp_path / str(number))
        door, image = await die_at(point, scenario, directory, backup)
        try:
            async with bench_at(image, door) as rig:
                job = await scenario.play(rig, backup)
                assert job.state is JobState.PROVED, job
                assert await rig.journal.open_jobs() == []
                await scenario.check(rig)
                opened = await rig.shelf.open(backup, None)
                assert len(opened.content.fingerprints) == len(FINGERS)
        except BaseException as error:
            error.add_note(f"{name}: died {point[0]} {point[1]}")
            raise
        for spent in (directory, image):
            shutil.rmtree(spent)
