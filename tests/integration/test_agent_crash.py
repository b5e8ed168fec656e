"""The agent dies at any moment of a delivery, and the next one brings everything to a true end.

A death is a copy of the state directory as it is on disk at that moment: what SIGKILL leaves. The
lock lives on. Moments are the pieces of each frame and the transactions of the journal, before and
after. ``TTLOCK_CRASH_POINTS=all`` tries every one of them, else a sample whose seed is printed.
"""

import asyncio
import os
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from agent_rig import Door, Rig, assert_no_blind_repeat, minute, no_hook, rig_at
from ttlock_agent.jobs.model import JobState
from ttlock_protocol.virtual import Fault, FaultAction, FaultPoint
from virtual_helpers import ManualClock

SAMPLE = 8
SEED = 20261120
Point = tuple[str, int]
Request = tuple[str, dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What the lock holds, what is asked, what goes wrong anyway, and what must be true then."""

    held: Sequence[str] = ()
    requests: Sequence[Request]
    faults: Sequence[Fault] = ()
    digits: Sequence[str]


def _add(passcode: str, **more: Any) -> Request:
    return "passcode.add", {"id": f"add-{passcode}", "passcode": passcode, **more}


def _delete(passcode: str) -> Request:
    return "passcode.delete", {"id": f"delete-{passcode}", "passcode": passcode}


UNTIL = minute(ManualClock().now(), days=3)
SCENARIOS = {
    "two in, one out": Scenario(
        held=["111111"],
        requests=[_add("482913"), _add("771204", valid_until=UNTIL), _delete("111111")],
        digits=["482913", "771204"],
    ),
    "the answer is lost": Scenario(
        requests=[_add("482913")],
        faults=[Fault(action=FaultAction.LOSE, at=FaultPoint.ANSWER, request="AddPasscode", nth=1)],
        digits=["482913"],
    ),
    "the link drops with the answer": Scenario(
        requests=[_add("482913"), _add("771204")],
        faults=[Fault(action=FaultAction.DROP, at=FaultPoint.ANSWER, request="AddPasscode", nth=1)],
        digits=["482913", "771204"],
    ),
    "of another type": Scenario(
        held=["482913"],
        requests=[_add("482913", valid_until=UNTIL)],
        digits=["482913"],
    ),
    "a takeover": Scenario(
        held=["111111"],
        requests=[
            _add("111111", source="takeover"),
            _add("482913", source="takeover"),
        ],
        digits=["111111", "482913"],
    ),
    "added and taken back": Scenario(
        requests=[_add("482913"), _delete("482913")],
        digits=[],
    ),
}


def door_of(scenario: Scenario) -> Door:
    door = Door(ManualClock(), passcodes=scenario.held)
    door.set_faults(*scenario.faults)
    return door


async def play(rig: Rig, scenario: Scenario) -> None:
    """Ask, as a broker does that was not acknowledged: whatever came before."""
    jobs = [await rig.ask(verb, **params) for verb, params in scenario.requests]
    await rig.done(*jobs)


async def points_of(scenario: Scenario, directory: Path) -> list[Point]:
    """Return every moment of a run in which nobody dies."""
    counts = {"journal": 0}

    async def count(write: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        counts["journal"] += 1
        return await write(*args)

    async with rig_at(directory, door_of(scenario)) as rig:
        database = rig.journal._database
        database.write = partial(count, database.write)  # type: ignore[method-assign]
        await play(rig, scenario)
        pieces = rig.door.writes
    names = {"before piece": pieces, "after piece": pieces}
    names |= {"before step": counts["journal"], "after step": counts["journal"]}
    return [(name, number) for name, last in names.items() for number in range(1, last + 1)]


class Death:
    """Strikes once, at one moment; who is struck never goes on."""

    def __init__(self, point: Point, rig: Rig, image: Path) -> None:
        self._name, self._number = point
        self._rig = rig
        self._image = image
        self._steps = 0
        self.has_struck = asyncio.Event()

    async def at_piece(self, name: str, number: int) -> None:
        await self._strike_if(name, number)

    async def at_step(self, write: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        self._steps += 1
        number = self._steps
        await self._strike_if("before step", number)
        result = await write(*args)
        await self._strike_if("after step", number)
        return result

    async def _strike_if(self, name: str, number: int) -> None:
        if (name, number) == (self._name, self._number):
            self.strike()
            await asyncio.Event().wait()

    def strike(self) -> None:
        self._rig.image(self._image)
        self.has_struck.set()


async def die_at(point: Point, scenario: Scenario, directory: Path) -> tuple[Door, Path]:
    """Run until ``point``; return the lock and what is left of the agent."""
    image = directory.with_name(f"{directory.name}-image")
    async with rig_at(directory, door_of(scenario)) as rig:
        death = Death(point, rig, image)
        rig.door.before_write = partial(death.at_piece, "before piece")
        rig.door.after_write = partial(death.at_piece, "after piece")
        database = rig.journal._database
        real_write = database.write
        database.write = partial(death.at_step, real_write)  # type: ignore[method-assign]
        playing = asyncio.ensure_future(play(rig, scenario))
        dying = asyncio.ensure_future(death.has_struck.wait())
        async with asyncio.timeout(20):
            await asyncio.wait({playing, dying}, return_when=asyncio.FIRST_COMPLETED)
        if not death.has_struck.is_set():
            playing.result()
            death.strike()  # this time it took fewer steps: dead at the very end
        for task in (playing, dying):
            task.cancel()
        await asyncio.gather(playing, dying, return_exceptions=True)
        database.write = real_write  # type: ignore[method-assign]
        rig.door.before_write = rig.door.after_write = no_hook
    return rig.door, image


async def check(scenario: Scenario, door: Door, image: Path) -> None:
    """Let the next agent finish, and compare what it says with what the lock holds."""
    async with rig_at(image, door) as rig:
        await play(rig, scenario)
        jobs = [await rig.journal.job_by_request(p["id"]) for _, p in scenario.requests]
        assert all(job is not None for job in jobs)
        assert [job.state for job in jobs if job] == [JobState.PROVED] * len(jobs)
        assert await rig.journal.open_jobs() == []
        wishes = await rig.journal.wanted("front-door")
        assert sorted(wish.digits for wish in wishes) == sorted(scenario.digits)
        assert all(wish.proved_at is not None for wish in wishes)
        for job in jobs:
            assert job is not None
            said = [answer for answer in await rig.answers() if answer["id"] == job.request_id]
            ends = {str(answer.get("result")) for answer in said if answer["status"] == "done"}
            assert ends == {"proved"}
    assert sorted(door.digits) == sorted(scenario.digits)
    assert_no_blind_repeat(door.arrived)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", SCENARIOS)
async def test_death_at_any_moment_loses_nothing_and_doubles_nothing(
    tmp_path: Path, name: str
) -> None:
    scenario = SCENARIOS[name]
    (tmp_path / "whole").mkdir()
    points = await points_of(scenario, tmp_path / "whole")
    is_all = os.environ.get("TTLOCK_CRASH_POINTS") == "all"
    chosen = points if is_all else random.Random(SEED).sample(points, SAMPLE)
    print(f"{name}: {len(chosen)} of {len(points)} moments, seed {SEED}")
    for number, point in enumerate(chosen):
        directory = tmp_path / str(number)
        directory.mkdir()
        door, image = await die_at(point, scenario, directory)
        try:
            await check(scenario, door, image)
        except BaseException as error:
            error.add_note(f"died {point[0]} {point[1]}")
            raise
