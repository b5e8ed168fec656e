"""The keypad: what happens when somebody types, judged by the lock's own clock (reference 6.6)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from ttlock_protocol.errors import LocalProtocolError
from ttlock_protocol.messages.log import LogType
from ttlock_protocol.messages.passcodes import PasscodeType

from .body import Body
from .memory import KeypadState, Memory, StoredPasscode
from .windows import has_begun, has_ended, is_in_cycle

MAX_WRONG_ENTRIES: Final = 5
LOCK_OUT: Final = timedelta(minutes=5)
"""How long the keypad is dead after that many wrong entries in a row; some minutes in the wild."""
FIRST_USE_LIMIT: Final = timedelta(hours=24)
"""A cloud-generated passcode dies when it is not used within a day of its start."""
_MAX_TYPED: Final = 20
SYSTEM_LOCKED: Final = LogType(48)
"""Nameless in the reference (D28); the lock writes it when the keypad locks itself out."""


class KeypadReason(StrEnum):
    """Why the door opened or did not."""

    OPENED = "opened"
    OPENED_BY_ADMINISTRATOR = "opened_by_administrator"
    WRONG = "wrong"
    NOT_YET_VALID = "not_yet_valid"
    EXPIRED = "expired"
    OUTSIDE_CYCLE = "outside_cycle"
    NOT_USED_IN_TIME = "not_used_in_time"
    NO_SPACE = "no_space"
    """The first use of a cloud-generated passcode, which the lock would have to remember."""
    USED_UP = "used_up"
    ERASED_OTHERS = "erased_others"
    LOCKED_OUT = "locked_out"
    BATTERY_TOO_LOW = "battery_too_low"
    LEARNING = "learning"
    """A card or finger that a central is teaching the lock."""


@dataclass(frozen=True, slots=True)
class KeypadResult:
    """What the lock made of an entry at its keypad, card reader or scanner."""

    is_opened: bool
    reason: KeypadReason


_LOGGED_AS: Final = {
    KeypadReason.NOT_YET_VALID: LogType.PASSCODE_OUT_OF_WINDOW,
    KeypadReason.EXPIRED: LogType.PASSCODE_OUT_OF_WINDOW,
    KeypadReason.OUTSIDE_CYCLE: LogType.PASSCODE_OUT_OF_WINDOW,
    KeypadReason.NOT_USED_IN_TIME: LogType.PASSCODE_OUT_OF_WINDOW,
    KeypadReason.NO_SPACE: LogType.PASSCODE_NO_SPACE,
    KeypadReason.USED_UP: LogType.PASSCODE_BLACKLISTED,
}


def type_code(body: Body, digits: str, now: datetime) -> KeypadResult:
    """Type ``digits`` and confirm; raises ``LocalProtocolError`` for what a keypad has no keys for.

    Whatever comes after the twentieth digit is not noticed.
    """
    if not (digits.isascii() and digits.isdigit()):
        raise LocalProtocolError("only the digits 0 to 9 can be typed")
    digits = digits[:_MAX_TYPED]
    keypad = body.memory.keypad
    if not body.can_move(now):
        return KeypadResult(False, KeypadReason.BATTERY_TOO_LOW)
    if keypad.locked_out_until is not None and now < keypad.locked_out_until:
        return KeypadResult(False, KeypadReason.LOCKED_OUT)
    if digits == body.memory.admin_passcode:
        _open(body, now)
        body.record(now, LogType.ADMIN_PASSCODE_UNLOCK, passcode=digits, other_passcode=digits)
        return KeypadResult(True, KeypadReason.OPENED_BY_ADMINISTRATOR)
    reason = None
    for stored in _candidates(body, digits):
        reason = _objection(stored, body.memory, body.local_time(now))
        if reason is None:
            return _accept(body, stored, now)
    if reason is None:
        return _reject(body, digits, now)
    body.record(
        now, _LOGGED_AS[reason], passcode=stored.passcode, other_passcode=stored.original_passcode
    )
    return KeypadResult(False, reason)


def _candidates(body: Body, digits: str) -> list[StoredPasscode]:
    """What the entry may mean, shortest first: firmware compares prefixes (reference 6.6.1).

    A passcode shadows every longer one that begins with it, so that typing the longer one is the
    shorter one's use, and opens even when nobody ever added the longer one.
    """
    return sorted(
        (each for each in body.memory.passcodes if digits.startswith(each.passcode)),
        key=lambda each: len(each.passcode),
    )


def _objection(  # noqa: PLR0911 - one return per reason
    stored: StoredPasscode, memory: Memory, shown: datetime
) -> KeypadReason | None:
    if stored.uses_left == 0:
        return KeypadReason.USED_UP
    if not has_begun(stored.valid_from, shown):
        return KeypadReason.NOT_YET_VALID
    if stored.valid_until is not None and has_ended(stored.valid_until, shown):
        return KeypadReason.EXPIRED
    if not stored.is_listed and shown > stored.valid_from + FIRST_USE_LIMIT:
        return KeypadReason.NOT_USED_IN_TIME
    if not is_in_cycle(stored, shown):
        return KeypadReason.OUTSIDE_CYCLE
    needs_room = not stored.is_listed and not stored.is_erase_code
    if needs_room and memory.has_no_room_for_passcodes:
        return KeypadReason.NO_SPACE
    return None


def _accept(body: Body, stored: StoredPasscode, now: datetime) -> KeypadResult:
    memory = body.memory
    parts = {"passcode": stored.passcode, "other_passcode": stored.original_passcode}
    if stored.is_erase_code:
        body.change(passcodes=(), keypad=KeypadState())
        body.record(now, LogType.ERASE_PASSCODE_USED, **parts)
        return KeypadResult(False, KeypadReason.ERASED_OTHERS)
    used: tuple[StoredPasscode, ...] = (_used(stored, body.local_time(now)),)
    if used[0].uses_left == 0 and not memory.habits.keeps_used_passcodes:
        used = ()
    at = memory.passcodes.index(stored)
    body.change(passcodes=memory.passcodes[:at] + used + memory.passcodes[at + 1 :])
    _open(body, now)
    body.record(now, LogType.PASSCODE_UNLOCK, **parts)
    return KeypadResult(True, KeypadReason.OPENED)


def _used(stored: StoredPasscode, shown: datetime) -> StoredPasscode:
    uses_left = stored.uses_left
    if uses_left is None and stored.passcode_type == PasscodeType.ONE_TIME:
        uses_left = 1
    return replace(
        stored,
        uses_left=None if uses_left is None else uses_left - 1,
        first_used_at=stored.first_used_at or shown,
    )


def _open(body: Body, now: datetime) -> None:
    body.change(keypad=KeypadState())
    body.open_bolt(now)


def _reject(body: Body, digits: str, now: datetime) -> KeypadResult:
    body.record(now, LogType.WRONG_PASSCODE, passcode=digits)
    wrong_entries = body.memory.keypad.wrong_entries + 1
    if wrong_entries < MAX_WRONG_ENTRIES:
        body.change(keypad=KeypadState(wrong_entries=wrong_entries))
        return KeypadResult(False, KeypadReason.WRONG)
    body.change(keypad=KeypadState(locked_out_until=now + LOCK_OUT))
    body.record(now, SYSTEM_LOCKED)
    return KeypadResult(False, KeypadReason.WRONG)
