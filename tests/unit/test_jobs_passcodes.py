"""Wanted passcodes against what a lock lists: equality, windows, collisions."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ttlock_agent.jobs.model import PasscodeKind, WantedPasscode
from ttlock_agent.jobs.passcodes import (
    Held,
    add_request,
    collision,
    find,
    held,
    lock_window,
    modify_request,
)
from ttlock_protocol.messages.auth import PERMANENT_FROM, PERMANENT_UNTIL
from ttlock_protocol.messages.pages import Unreadable
from ttlock_protocol.messages.passcodes import PasscodeRecord, PasscodeType

BERLIN = ZoneInfo("Europe/Berlin")
START = datetime(2026, 7, 1, 13, 0, tzinfo=UTC)
END = datetime(2026, 12, 5, 10, 0, tzinfo=UTC)
LOCAL_START, LOCAL_END = map(datetime.fromisoformat, ("2026-07-01T15:00", "2026-12-05T11:00"))
MINUTE = timedelta(minutes=1)
UNREADABLE = Unreadable(b"\x01\x02")


def wish(**changes: Any) -> WantedPasscode:
    base = WantedPasscode(
        lock="door", digits="004711", kind=PasscodeKind.PERIOD, valid_from=START,
        valid_until=END, owner="mqtt",
    )  # fmt: skip
    return replace(base, **changes)


def record(**changes: Any) -> PasscodeRecord:
    base = PasscodeRecord(
        passcode_type=PasscodeType.PERIOD, passcode="004711", original_passcode="004711",
        valid_from=LOCAL_START, valid_until=LOCAL_END,
    )  # fmt: skip
    return replace(base, **changes)


def permanent(kind: PasscodeType = PasscodeType.PERMANENT, **changes: Any) -> PasscodeRecord:
    return record(passcode_type=kind, valid_until=None, **changes)


PERMANENT = wish(kind=PasscodeKind.PERMANENT, valid_from=None, valid_until=None)
ONE_TIME = replace(PERMANENT, kind=PasscodeKind.ONE_TIME)
LATER = replace(PERMANENT, valid_from=START)


def test_times_are_the_locks_own_summer_and_winter() -> None:
    assert lock_window(wish(), BERLIN) == (LOCAL_START, LOCAL_END)
    assert lock_window(PERMANENT, BERLIN) == (PERMANENT_FROM, None)


def test_what_is_sent_says_the_window() -> None:
    sent = add_request(wish(), BERLIN)
    assert (sent.passcode_type, sent.passcode) == (PasscodeType.PERIOD, "004711")
    assert (sent.valid_from, sent.valid_until) == (LOCAL_START, LOCAL_END)
    changed = modify_request(wish(), BERLIN)
    assert (changed.passcode, changed.new_passcode) == ("004711", "")
    assert (changed.valid_from, changed.valid_until) == (LOCAL_START, LOCAL_END)
    assert add_request(PERMANENT, BERLIN).valid_until is None
    assert modify_request(ONE_TIME, BERLIN).valid_until == PERMANENT_UNTIL


@pytest.mark.parametrize(
    ("wanted", "listed", "expected"),
    [
        (wish(), record(), Held.AS_WANTED),
        (wish(), record(valid_from=PERMANENT_FROM), Held.AS_WANTED),  # firmware moves starts
        (wish(), record(valid_from=LOCAL_START + MINUTE), Held.OTHERWISE),
        (wish(), record(valid_until=LOCAL_END - MINUTE), Held.OTHERWISE),
        (wish(), record(passcode_type=PasscodeType.PERMANENT), Held.OTHERWISE),
        (wish(), record(passcode="004712"), Held.ABSENT),
        (wish(), record(passcode="004712", original_passcode="004711"), Held.ABSENT),
        (wish(), record(passcode="0047112"), Held.ABSENT),
        (PERMANENT, record(passcode_type=PasscodeType.PERIOD), Held.OTHERWISE),
        # Wanted at once: any start that is over will do.
        (PERMANENT, permanent(valid_from=LOCAL_START), Held.AS_WANTED),
        (PERMANENT, permanent(valid_from=LOCAL_START + MINUTE), Held.OTHERWISE),
        (ONE_TIME, permanent(PasscodeType.ONE_TIME, valid_from=LOCAL_START), Held.AS_WANTED),
        (wish(valid_from=None), record(valid_from=LOCAL_START), Held.AS_WANTED),
        (wish(valid_from=None), record(valid_from=LOCAL_START + MINUTE), Held.OTHERWISE),
        # Wanted from a moment on: what starts later shuts somebody out.
        (LATER, permanent(valid_from=PERMANENT_FROM), Held.AS_WANTED),
        (LATER, permanent(valid_from=LOCAL_START), Held.AS_WANTED),
        (LATER, permanent(valid_from=LOCAL_START + MINUTE), Held.OTHERWISE),
    ],
)
def test_equality_is_by_digits_type_and_window(
    wanted: WantedPasscode, listed: PasscodeRecord, expected: Held
) -> None:
    assert held((listed,), wanted, BERLIN, START) is expected


def test_what_cannot_be_read_is_not_called_absent() -> None:
    assert held((UNREADABLE,), wish(), BERLIN, START) is Held.NOT_READABLE
    assert held((UNREADABLE, record()), wish(), BERLIN, START) is Held.AS_WANTED
    assert held((), wish(), BERLIN, START) is Held.ABSENT
    assert find((UNREADABLE,), "004711") is None


@pytest.mark.parametrize(
    ("digits", "others", "expected"),
    [
        ("4711", ["47112"], "47112"),
        ("47112", ["9999", "4711"], "4711"),
        ("4711", ["4711"], None),
        ("4711", ["14711", "4712", "0471"], None),
        ("4711", [], None),
    ],
)
def test_collisions_are_beginnings(digits: str, others: list[str], expected: str | None) -> None:
    assert collision(digits, others) == expected
