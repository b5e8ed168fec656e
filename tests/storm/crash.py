"""The agent is killed at each step of each scenario; the next one brings everything to a true end.

A step is an act that leaves a trace outside of the process: a commit or checkpoint of the journal,
a piece of a frame sent or heard, a connection to a lock, a publication or acknowledgement at the
broker, a call to the cloud. Each has a moment before it and one after it. The whole agent runs in
simulated time, so that a run without a death lists the moments, and each of them comes again.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from ttlock_agent.errors import JournalError
from ttlock_protocol.virtual import FaultPlan, Faults

from . import simulated
from .air import Door, local
from .house import House, house
from .scenarios import SCENARIOS, Scenario
from .simulated import Life
from .truth import is_quiet, rows

LATE_S = 3600.0
LATER_S = 3700.0
"""Longer than the agent believes a listing."""
BAD_DISK_S = 45.0
DISK_ERRORS = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR)
CLOCK_TOLERANCE_S = 31.0


@dataclass(frozen=True, slots=True)
class Pair:
    """A scenario, and the number (from 1) and name of one of its moments."""

    scenario: str
    number: int
    moment: str

    def __str__(self) -> str:
        return f"{self.scenario}: {self.number} {self.moment}"


def moments_of(name: str) -> list[Pair]:
    """Every moment of a run in which nobody dies, which must come to a true end as well."""

    async def count() -> list[str]:
        async with _staged(SCENARIOS[name]) as stage:
            life = stage.start()
            async with _played(stage, SCENARIOS[name]) as is_done:
                await stage.until(is_done, patience_s=LATE_S)
                steps = list(life.steps)
                await _check_later(stage, SCENARIOS[name])
            return steps

    steps = simulated.run(count(), start=SCENARIOS[name].start)
    return [Pair(name, number, step) for number, step in enumerate(steps, start=1)]


def try_pair(pair: Pair) -> bool:
    """Kill at one moment, go on, and check; return whether that moment came.

    Raises ``AssertionError`` if something was lost, doubled or wrongly reported.
    """
    return simulated.run(_die(pair), start=SCENARIOS[pair.scenario].start)


async def _die(pair: Pair) -> bool:
    scenario = SCENARIOS[pair.scenario]
    async with _staged(scenario) as stage:
        life = stage.start(dies_at=pair.number)
        async with _played(stage, scenario) as is_done:
            await stage.until(is_done, patience_s=LATE_S)
            has_struck = life.is_over
            if has_struck:
                assert life.steps[-1] == pair.moment, "another moment than in the run before"
                await stage.bury()
                await asyncio.sleep(5)
                stage.start()
                await stage.until(is_done, patience_s=LATE_S)
            await _check_later(stage, scenario)
        return has_struck


def is_write(pair: Pair) -> bool:
    """Whether the disk is written to right after that moment."""
    return pair.moment in ("before commit", "before checkpoint")


def try_bad_disk(pair: Pair) -> bool:
    """Let the disk fail for a while from one moment on, in one of three ways; as `try_pair`."""
    error = DISK_ERRORS[pair.number // 2 % len(DISK_ERRORS)]
    return simulated.run(_go_on(pair, error), start=SCENARIOS[pair.scenario].start)


async def _go_on(pair: Pair, error: int) -> bool:
    scenario = SCENARIOS[pair.scenario]
    async with _staged(scenario) as stage:

        def fail() -> None:
            stage.disk.error = error
            loop = asyncio.get_running_loop()
            loop.call_later(BAD_DISK_S, lambda: setattr(stage.disk, "error", None))

        life = stage.start(struck_at=pair.number, on_strike=fail)
        async with _played(stage, scenario) as is_done:
            try:
                await stage.until(is_done, patience_s=LATE_S)
            except JournalError:
                # It cannot begin without its keys in the journal. Once it has begun, it stays up.
                assert not _has_begun(life), "the agent ended for want of a disk"
                stage.deaths.clear()
                await stage.stop()
                await asyncio.sleep(BAD_DISK_S)
                stage.start()
                await stage.until(is_done, patience_s=LATE_S)
            await _check_later(stage, scenario)
        return life.steps[pair.number - 1 : pair.number] == [pair.moment]


def _has_begun(life: Life) -> bool:
    return any(step.endswith(("publish", "ack", "connect", "call")) for step in life.steps)


@asynccontextmanager
async def _played(stage: House, scenario: Scenario) -> AsyncIterator[Callable[[], bool]]:
    """Ask, and let people do what they do; gives what tells that all is done."""
    loop = asyncio.get_running_loop()
    for verb, body in scenario.requests:
        stage.broker.ask(verb, **body)
    happening = None
    if scenario.happens is not None:
        happening = asyncio.ensure_future(scenario.happens(stage))
    not_before_s = loop.time() + scenario.lasts_s

    def is_done() -> bool:
        if loop.time() < not_before_s:
            return False
        if happening is not None and (not happening.done() or happening.result() is not None):
            return False
        return _is_done(stage, scenario)

    try:
        yield is_done
    finally:
        if happening is not None:
            happening.cancel()
            await asyncio.gather(happening, return_exceptions=True)


async def _check_later(stage: House, scenario: Scenario) -> None:
    """Ask what is asked hours later, if anything, and check what is true in the end."""
    if scenario.later:
        await asyncio.sleep(LATER_S)
        for verb, body in scenario.later:
            stage.broker.ask(verb, **body)
        ids = {body["id"] for _, body in scenario.later}
        await stage.until(lambda: ids <= stage.broker.final_ids() and is_quiet(stage))
    await _check(stage, scenario)


@asynccontextmanager
async def _staged(scenario: Scenario) -> AsyncIterator[House]:
    """The house as it is when the scenario begins."""
    directory = Path(tempfile.mkdtemp(prefix="storm-"))
    cloud = None if scenario.cloud is None else scenario.cloud()
    try:
        async with house(
            directory, scenario.locks, cloud=cloud, sections=scenario.sections
        ) as stage:
            if scenario.before:
                stage.start()
                for verb, body in scenario.before:
                    stage.broker.ask(verb, **body)
                ids = {body["id"] for _, body in scenario.before}
                await stage.until(lambda: ids <= stage.broker.final_ids())
                await stage.until(lambda: is_quiet(stage))
                await stage.stop()
            await asyncio.sleep(scenario.passes_s)
            scenario.arrange(stage)
            for door in stage.doors.values():
                door.executed.clear()
                door.arrived.clear()
                door.lock.set_faults(
                    Faults(FaultPlan(faults=tuple(scenario.faults)), draw=lambda: 0.0)
                )
            yield stage
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _is_done(stage: House, scenario: Scenario) -> bool:
    """Whether all was answered, the locks are as wanted, and nothing is left to do."""
    ids = {body["id"] for _, body in scenario.requests}
    if not ids <= stage.broker.final_ids():
        return False
    if any(frozenset(stage.doors[name].held) != held for name, held in scenario.held.items()):
        # The truth may be late where nobody asked for it over MQTT; wrong answers show in _check.
        return bool(ids)
    if not ids and not all(_is_right(stage.doors[name]) for name in scenario.right_clocks):
        return False
    return is_quiet(stage)


async def _check(stage: House, scenario: Scenario) -> None:
    """Nothing lost, nothing twice, nothing wrongly reported."""
    assert stage.deaths == []
    for name, held in scenario.held.items():
        door = stage.doors[name]
        assert frozenset(door.held) == held, f"{name} holds other passcodes than it must"
        assert door.added_twice() == [], f"{name} was made to add something twice"
        assert door.asked_blindly() == [], f"{name} was asked twice without a reading in between"
        additions = Counter(each.digits for each in door.executed if each.is_addition)
        assert set(additions.values()) <= {1}, f"{name} added something more than once"
    _check_windows(stage.doors, scenario)
    for name in scenario.right_clocks:
        assert _is_right(stage.doors[name]), f"the clock of {name} is wrong"
    for _, body in scenario.requests:
        answers = {json.dumps(each, sort_keys=True) for each in stage.broker.answers(body["id"])}
        assert len(answers) == 1, f"{body['id']} was answered in {len(answers)} ways"
        assert json.loads(answers.pop())["result"] == "proved", f"{body['id']} was not proved"
    states = {state for (state,) in rows(stage, "SELECT DISTINCT state FROM jobs")}
    assert states <= {"proved", "done"}
    assert is_quiet(stage), "something is left to do"


def _is_right(door: Door) -> bool:
    shown, true = door.lock.local_time(door.clock.now()), local(door.clock.now())
    assert true is not None
    return abs((shown - true) / timedelta(seconds=1)) <= CLOCK_TOLERANCE_S


def _check_windows(doors: dict[str, Door], scenario: Scenario) -> None:
    for digits, (start, end) in scenario.windows.items():
        (held,) = [door.held[digits] for door in doors.values() if digits in door.held]
        assert held.valid_until == local(end), "it ends at another time than wanted"
        if start is not None:
            assert held.valid_from == local(start), "it begins at another time than wanted"
