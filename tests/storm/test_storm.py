"""A sample of every kind of crash, hours of weather, and proof that both notice what is wrong."""

from __future__ import annotations

import random
from typing import Any

import pytest

from ttlock_agent.jobs.model import Job, JobState, Move, WaitReason
from ttlock_agent.mqtt.bridge import RequestBridge

from . import weather
from .air import DoorLink
from .crash import Pair, is_write, moments_of, try_bad_disk, try_pair
from .scenarios import SCENARIOS
from .weather import storm

SEED = 20261122
SAMPLE = 8
DISK_SAMPLE = 2
"""Of each scenario; `make storm` tries all."""
WEATHER = (0, 1, 2)
"""Seeds: a common day, the beginning of summer time, and its end."""


@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_death_at_any_step_loses_doubles_and_misreports_nothing(name: str) -> None:
    moments = moments_of(name)
    chosen = random.Random(f"{SEED} {name}").sample(moments, SAMPLE)
    print(f"{name}: {len(chosen)} of {len(moments)} moments, seed {SEED}")
    for pair in chosen:
        try:
            assert try_pair(pair), "that moment did not come again"
        except BaseException as error:
            error.add_note(str(pair))
            raise
    writes = [pair for pair in moments if is_write(pair)]
    for pair in random.Random(f"{SEED} {name}").sample(writes, DISK_SAMPLE):
        try:
            assert try_bad_disk(pair), "that write did not come again"
        except BaseException as error:
            error.add_note(f"{pair}, with a bad disk")
            raise


@pytest.mark.timeout(180)
@pytest.mark.parametrize("seed", WEATHER)
def test_after_an_hour_of_bad_weather_everything_is_true(seed: int) -> None:
    print(f"seed {seed}")
    outcome = storm(seed, hours=0.5)
    assert outcome.faults == []
    assert outcome.events["request"] > 0


def test_the_same_seed_is_the_same_hour() -> None:
    assert storm(3, hours=0.2).events == storm(3, hours=0.2).events


def test_there_are_a_thousand_moments() -> None:
    moments = [pair for name in SCENARIOS for pair in moments_of(name)]
    assert len(set(moments)) == len(moments) > 1000


# What would be wrong is noticed.


def _forget_what_was_sent(_job: Job) -> Move:
    return Move(to=JobState.WAITING, reason=WaitReason.AGENT_RESTARTED, is_sent=False)


def _error_of(pair: Pair) -> str | None:
    try:
        try_pair(pair)
    except AssertionError as error:
        return str(error)
    return None


def test_a_blind_repeat_after_a_crash_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = [each for each in moments_of("add one") if each.moment == "after write"]
    monkeypatch.setattr("ttlock_agent.jobs.radio.after_interruption", _forget_what_was_sent)
    found = [error for pair in pairs if (error := _error_of(pair)) is not None]
    assert found
    assert all("twice without a reading" in each for each in found)


def test_a_lock_that_does_not_hold_what_was_proved_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = DoorLink.cut

    def cut(self: DoorLink) -> None:
        real(self)
        self._door.lock._body.change(passcodes=())

    monkeypatch.setattr(DoorLink, "cut", cut)
    with pytest.raises(AssertionError, match="other passcodes than it must"):
        moments_of("add one")


@pytest.mark.timeout(180)
def test_a_request_that_is_acknowledged_too_early_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = RequestBridge._handle

    async def handle(self: RequestBridge, verb: str, incoming: Any) -> bool:
        await incoming.ack()
        return await real(self, verb, incoming) or True

    monkeypatch.setattr(RequestBridge, "_handle", handle)
    acknowledged = next(each for each in moments_of("add one") if each.moment == "after ack")
    with pytest.raises(AssertionError, match="did not come about"):
        try_pair(acknowledged)


@pytest.mark.timeout(180)
def test_a_request_that_a_bad_disk_swallows_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    real = RequestBridge._handle

    async def handle(self: RequestBridge, verb: str, incoming: Any) -> bool:
        await real(self, verb, incoming)
        return True

    monkeypatch.setattr(RequestBridge, "_handle", handle)
    monkeypatch.setattr(weather, "CLEARS_WITHIN_S", 600.0)
    assert any("answered in 0 ways" in fault for fault in storm(5, hours=0.5).faults)
