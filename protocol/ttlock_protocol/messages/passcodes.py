"""Keypad passcodes: add, modify, delete, clear, recover, list (reference 6.6).

Wire numbers of the types differ from the cloud's: 1 and 2 are swapped there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as plain_field
from datetime import datetime
from typing import Any, Final

from ttlock_protocol.errors import LocalProtocolError, OpenIntEnum
from ttlock_protocol.message import (
    Auth,
    Opcode,
    const,
    field,
    request,
    response,
)
from ttlock_protocol.wire import DATE5, TEXT, U8, U16, Enum8, Reader

from .auth import PERMANENT_FROM
from .changes import Changed, ChangeRequest
from .pages import CountedPage, PageRequest, Unreadable

MIN_DIGITS: Final = 4
MAX_DIGITS: Final = 9

_CYCLE_BASE: Final = 1000
_HOURS_PER_DAY: Final = 24


class PasscodeType(OpenIntEnum):
    """Types as they stand on the wire."""

    PERMANENT = 1
    ONE_TIME = 2
    PERIOD = 3
    CYCLIC = 4


class CycleDays(OpenIntEnum):
    """On which days a cyclic passcode opens; Wednesday to Friday are inferred, not measured."""

    WEEKEND = 0
    EVERY_DAY = 1
    WORKDAYS = 2
    MONDAY = 3
    TUESDAY = 4
    WEDNESDAY = 5
    THURSDAY = 6
    FRIDAY = 7
    SATURDAY = 8
    SUNDAY = 9


@dataclass(frozen=True, slots=True)
class Cycle:
    """Whole hours from the start time on certain days (reference 6.6.6): 1 to 24 ``hours``."""

    days: CycleDays
    hours: int

    def __post_init__(self) -> None:
        if not self.days.is_known or not 1 <= self.hours <= _HOURS_PER_DAY:
            raise LocalProtocolError("a cycle is 1 to 24 hours on a known set of days")

    @property
    def number(self) -> int:
        """The wire's number of this cycle."""
        return _CYCLE_BASE + _HOURS_PER_DAY * self.days + self.hours - 1

    @classmethod
    def from_number(cls, number: int) -> Cycle:
        """Read the wire's number; raises ``LocalProtocolError`` for one nobody has explained."""
        days, hours = divmod(number - _CYCLE_BASE, _HOURS_PER_DAY)
        return cls(CycleDays(days), hours + 1)


def check_digits(digits: str) -> None:
    """Raise ``LocalProtocolError`` unless ``digits`` is a passcode of 4 to 9 ASCII digits."""
    if not (digits.isascii() and digits.isdigit() and MIN_DIGITS <= len(digits) <= MAX_DIGITS):
        raise LocalProtocolError(f"a passcode is {MIN_DIGITS} to {MAX_DIGITS} digits")


def _has_end(values: Mapping[str, Any]) -> bool:
    return values["passcode_type"] in (PasscodeType.ONE_TIME, PasscodeType.PERIOD)


def _is_cyclic(values: Mapping[str, Any]) -> bool:
    return bool(values["passcode_type"] == PasscodeType.CYCLIC)


@response(Opcode.PASSCODES)
class PasscodesChanged(Changed):
    """The lock did it; ``operation`` echoes which of the operations."""

    battery_percent: int = field(U8)
    operation: int = field(U8)


@request(Opcode.PASSCODES, auth=Auth.ADMIN, is_repeatable=True)
class ClearPasscodes(ChangeRequest[PasscodesChanged]):
    """Remove every stored passcode; not the administrator's."""

    operation: int = const(1)


@request(Opcode.PASSCODES, auth=Auth.ADMIN, is_repeatable=False)
class AddPasscode(ChangeRequest[PasscodesChanged]):
    """Add a custom passcode: permanent (start only), one-time (end optional) or period (both).

    Cyclic ones cannot be added, only put back with :class:`RecoverPasscode`. The dates are
    lock-local, to the minute (disagreement D10: the vendor's layouts).
    """

    operation: int = const(2)
    passcode_type: PasscodeType = field(Enum8(PasscodeType))
    passcode: str = field(TEXT, is_secret=True)
    valid_from: datetime = field(DATE5, default=PERMANENT_FROM)
    valid_until: datetime | None = field(DATE5, is_optional=True, when=_has_end)

    def __post_init__(self) -> None:
        check_digits(self.passcode)
        if not self.passcode_type.is_known or self.passcode_type == PasscodeType.CYCLIC:
            raise LocalProtocolError(f"a {self.passcode_type.name} passcode cannot be added")
        if self.passcode_type == PasscodeType.PERIOD and self.valid_until is None:
            raise LocalProtocolError("a period passcode needs an end")
        if self.passcode_type == PasscodeType.PERMANENT and self.valid_until is not None:
            raise LocalProtocolError("a permanent passcode has no end")


@request(Opcode.PASSCODES, auth=Auth.ADMIN, is_repeatable=True)
class DeletePasscode(ChangeRequest[PasscodesChanged]):
    """Remove one passcode by its current digits; the type is ignored by locks."""

    operation: int = const(3)
    passcode_type: PasscodeType = field(Enum8(PasscodeType), default=PasscodeType.PERMANENT)
    passcode: str = field(TEXT, is_secret=True)


@request(Opcode.PASSCODES, auth=Auth.ADMIN, is_repeatable=False)
class ModifyPasscode(ChangeRequest[PasscodesChanged]):
    """Change digits, validity or both of a passcode that the lock holds (feature 7).

    Empty ``new_passcode`` keeps the digits, missing dates keep the validity. A cloud-generated
    passcode that was never used is refused as ``PASSCODE_NOT_FOUND``.
    """

    operation: int = const(5)
    ignored: int = field(U8, default=1)
    passcode: str = field(TEXT, is_secret=True)
    new_passcode: str = field(TEXT, default="", is_secret=True)
    valid_from: datetime | None = field(DATE5, is_optional=True)
    valid_until: datetime | None = field(DATE5, is_optional=True)

    def __post_init__(self) -> None:
        if self.new_passcode:
            check_digits(self.new_passcode)
        if (self.valid_from is None) != (self.valid_until is None):
            raise LocalProtocolError("a new validity needs both its start and its end")


@request(Opcode.PASSCODES, auth=Auth.ADMIN, is_repeatable=False)
class RecoverPasscode(ChangeRequest[PasscodesChanged]):
    """Put a passcode back after a reset, of any type, with its current and its original digits."""

    operation: int = const(6)
    passcode_type: PasscodeType = field(Enum8(PasscodeType))
    passcode: str = field(TEXT, is_secret=True)
    original_passcode: str = field(TEXT, is_secret=True)
    valid_from: datetime = field(DATE5, default=PERMANENT_FROM)
    valid_until: datetime | None = field(DATE5, is_optional=True, when=_has_end)
    cycle_number: int | None = field(U16, when=_is_cyclic)

    def __post_init__(self) -> None:
        check_digits(self.passcode)
        if _is_cyclic({"passcode_type": self.passcode_type}) != (self.cycle_number is not None):
            raise LocalProtocolError("a cyclic passcode, and only that, needs a cycle")
        if self.passcode_type == PasscodeType.PERIOD and self.valid_until is None:
            raise LocalProtocolError("a period passcode needs an end")


@dataclass(frozen=True, slots=True, kw_only=True)
class PasscodeRecord:
    """One passcode as the lock holds it; times are lock-local.

    ``passcode`` opens the door; ``original_passcode`` is what it was before it was changed at the
    keypad (disagreement D13). ``cycle_number`` belongs to cyclic ones, ``valid_until`` to one-time
    and period ones.
    """

    passcode_type: PasscodeType
    passcode: str = plain_field(repr=False)
    original_passcode: str = plain_field(repr=False)
    valid_from: datetime
    valid_until: datetime | None = None
    cycle_number: int | None = None


class _PasscodeRecordCodec:
    """What follows the start is told by the length that is left (disagreement D11)."""

    def encode(self, value: PasscodeRecord, out: bytearray) -> None:
        U8.encode(value.passcode_type, out)
        TEXT.encode(value.passcode, out)
        TEXT.encode(value.original_passcode, out)
        DATE5.encode(value.valid_from, out)
        if value.valid_until is not None:
            DATE5.encode(value.valid_until, out)
        if value.cycle_number is not None:
            U16.encode(value.cycle_number, out)

    def decode(self, reader: Reader) -> PasscodeRecord:
        passcode_type = PasscodeType(U8.decode(reader))
        passcode = TEXT.decode(reader)
        original = TEXT.decode(reader)
        valid_from = DATE5.decode(reader)
        has_end = reader.remaining >= DATE5_BYTES
        return PasscodeRecord(
            passcode_type=passcode_type,
            passcode=passcode,
            original_passcode=original,
            valid_from=valid_from,
            valid_until=DATE5.decode(reader) if has_end else None,
            cycle_number=U16.decode(reader) if reader.remaining == CYCLE_BYTES else None,
        )


DATE5_BYTES: Final = 5
CYCLE_BYTES: Final = 2


@response(Opcode.PASSCODE_LIST)
class PasscodePage(CountedPage[PasscodeRecord]):
    """Some of the passcodes the lock holds; observed firmware sends one a page.

    Not complete for cloud-generated passcodes: those appear after their first use at the keypad.
    """

    _record = _PasscodeRecordCodec()
    next_cursor: int | None
    records: tuple[PasscodeRecord | Unreadable, ...] = ()


@request(Opcode.PASSCODE_LIST, auth=Auth.ADMIN, is_repeatable=True)
class GetPasscodes(PageRequest[PasscodePage]):
    """Read a page; the first cursor is 0."""

    cursor: int = field(U16, default=0)
