"""What any lock must do for the agent to be of use; the first tests for real hardware."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import pytest

Ask = Callable[..., dict[str, Any]]


def test_the_clock_can_be_read_and_is_right(ask: Ask) -> None:
    clock = ask("clock.read")
    if not clock["has_clock"]:
        pytest.skip("this lock has no clock chip")
    assert clock["clock_error_s"] is not None, "the lock holds no time: run clock.sync"
    assert abs(clock["clock_error_s"]) <= 60


def test_state_and_battery_can_be_read(ask: Ask) -> None:
    state = ask("lock.state")
    assert state["lock"] in ("LOCKED", "UNLOCKED", "UNKNOWN", "DEAD_LOCKED")
    assert state["battery_percent"] is None or 0 <= state["battery_percent"] <= 100


def test_the_lock_says_what_it_is(ask: Ask) -> None:
    assert ask("lock.info")["firmware"]


def test_it_can_hold_passcodes(ask: Ask) -> None:
    assert 0 in ask("lock.features")["features"], "feature bit 0, passcodes, is off"


def test_the_whole_list_of_passcodes_can_be_read(ask: Ask) -> None:
    kinds = [passcode["kind"] for passcode in ask("passcode.list")["passcodes"]]
    assert "unreadable" not in kinds


@pytest.mark.usefixtures("changes")
def test_a_passcode_is_written_proved_and_removed_again(ask: Ask) -> None:
    digits = f"9{secrets.randbelow(10**7):07}"
    try:
        assert ask("passcode.add", passcode=digits, label="hw-test")["result"] == "proved"
    finally:
        assert ask("passcode.delete", passcode=digits)["result"] == "proved"
