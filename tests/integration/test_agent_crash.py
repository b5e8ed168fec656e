"""The agent dies at any moment of a delivery, and the next one brings everything to a true end.

See ``death_rig``. ``TTLOCK_CRASH_POINTS=all`` tries every moment, else a sample whose seed is
printed.
"""

import os
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from agent_rig import Door, Rig, assert_no_blind_repeat, minute, rig_at
from death_rig import die_at, points_of
from ttlock_agent.jobs.model import JobState
from ttlock_protocol.virtual import Fault, FaultAction, FaultPoint
from virtual_helpers import ManualClock

SAMPLE = 8
SEED = 20261120
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
    playing = partial(play, scenario=scenario)
    points = await points_of(door_of(scenario), playing, tmp_path / "whole")
    is_all = os.environ.get("TTLOCK_CRASH_POINTS") == "all"
    chosen = points if is_all else random.Random(SEED).sample(points, SAMPLE)
    print(f"{name}: {len(chosen)} of {len(points)} moments, seed {SEED}")
    for number, point in enumerate(chosen):
        door = door_of(scenario)
        image = await die_at(point, door, playing, tmp_path / str(number))
        try:
            await check(scenario, door, image)
        except BaseException as error:
            error.add_note(f"died {point[0]} {point[1]}")
            raise
