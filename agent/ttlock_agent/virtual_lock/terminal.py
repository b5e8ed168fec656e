"""A keypad for people: digits and Enter (or #) in, what the lock did out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Final, TextIO

from ttlock_protocol.errors import LocalProtocolError
from ttlock_protocol.messages.operate import BoltState
from ttlock_protocol.virtual import KeypadReason, KeypadResult, Memory

PROMPT: Final = "Keypad: digits, then Enter or #. Ctrl-D leaves."
_CONFIRM: Final = "#"
_WORDS: Final = {
    KeypadReason.OPENED: "the door opens",
    KeypadReason.OPENED_BY_ADMINISTRATOR: "the door opens (administrator's passcode)",
    KeypadReason.WRONG: "wrong passcode",
    KeypadReason.NOT_YET_VALID: "not yet valid by the lock's clock",
    KeypadReason.EXPIRED: "no longer valid by the lock's clock",
    KeypadReason.OUTSIDE_CYCLE: "not at this hour by the lock's clock",
    KeypadReason.NOT_USED_IN_TIME: "void: it was not used within its first day",
    KeypadReason.NO_SPACE: "no room left to remember it",
    KeypadReason.USED_UP: "already used",
    KeypadReason.ERASED_OTHERS: "erase code: all passcodes are gone",
    KeypadReason.LOCKED_OUT: "the keypad is locked after too many wrong entries",
    KeypadReason.BATTERY_TOO_LOW: "the battery is flat",
    KeypadReason.LEARNING: "learning",
}


def describe(result: KeypadResult) -> str:
    """Return what the lock made of an entry, for a person."""
    return _WORDS[result.reason]


def describe_change(before: Memory, after: Memory) -> Iterator[str]:
    """Yield what changed in the lock, for a person; no digits."""
    if before.bolt.state != after.bolt.state:
        yield "bolt " + ("withdrawn" if after.bolt.state == BoltState.UNLOCKED else "thrown")
    if before.clock != after.clock:
        yield "clock set"
    for kind, old, new in (
        ("passcodes", before.passcodes, after.passcodes),
        ("cards", before.cards, after.cards),
        ("fingerprints", before.fingerprints, after.fingerprints),
    ):
        if len(old) != len(new):
            yield f"{kind}: {len(old)} -> {len(new)}"
    if (before.administrator is None) != (after.administrator is None):
        yield "paired" if before.administrator is None else "reset, ready to be paired"


async def read_keypad(
    lines: asyncio.StreamReader, out: TextIO, type_code: Callable[[str], KeypadResult]
) -> None:
    """Type what ``lines`` brings, until it ends."""
    while line := await lines.readline():
        for digits in line.decode("utf-8", "replace").split(_CONFIRM):
            if not digits.strip():
                continue
            try:
                said = describe(type_code(digits.strip()))
            except LocalProtocolError as error:
                said = str(error)
            out.write(f"{said}\n")
            out.flush()
