"""Passage mode: hours in which the lock stays open once it was unlocked (reference 6.15)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import time
from typing import Final, Self

from ttlock_protocol.errors import DecodeError, OpenIntEnum
from ttlock_protocol.message import (
    Auth,
    Opcode,
    const,
    field,
    request,
    response,
)
from ttlock_protocol.wire import TIME, U8, Enum8, Reader

from .changes import Changed, ChangeRequest
from .pages import Page, PageRequest, Unreadable

PASSAGE_END: Final = 0xFF
"""Value of ``next_cursor`` that ends the list."""
DAY_BEGIN: Final = time(0, 0)
DAY_END: Final = time(23, 59)
_ENTRY_BYTES: Final = 7


class PassageKind(OpenIntEnum):
    """How often an entry applies."""

    WEEKLY = 1
    MONTHLY = 2
    YEARLY = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class PassageEntry:
    """One window; times are lock-local.

    ``day`` is 1 Monday to 7 Sunday or 0 for every day of a weekly entry, the day of the month of
    the others; ``month`` is 0 but for a yearly one.
    """

    kind: PassageKind = PassageKind.WEEKLY
    day: int = 0
    month: int = 0
    starts_at: time = DAY_BEGIN
    ends_at: time = DAY_END

    @property
    def is_all_day(self) -> bool:
        """Whether it is one of the two forms of "all day" (disagreement D32)."""
        return self.starts_at == DAY_BEGIN and self.ends_at in (DAY_BEGIN, DAY_END)


class _EntryCodec:
    _kind = Enum8(PassageKind)

    def encode(self, value: PassageEntry, out: bytearray) -> None:
        self._kind.encode(value.kind, out)
        U8.encode(value.day, out)
        U8.encode(value.month, out)
        TIME.encode(value.starts_at, out)
        TIME.encode(value.ends_at, out)

    def decode(self, reader: Reader) -> PassageEntry:
        return PassageEntry(
            kind=self._kind.decode(reader),
            day=U8.decode(reader),
            month=U8.decode(reader),
            starts_at=TIME.decode(reader),
            ends_at=TIME.decode(reader),
        )


class _EntriesCodec:
    """Entries of seven bytes up to the end: firmware sends one, others are read all the same."""

    _entry = _EntryCodec()

    def encode(self, value: tuple[PassageEntry | Unreadable, ...], out: bytearray) -> None:
        for each in value:
            if isinstance(each, Unreadable):
                out += each.raw
            else:
                self._entry.encode(each, out)

    def decode(self, reader: Reader) -> tuple[PassageEntry | Unreadable, ...]:
        entries: list[PassageEntry | Unreadable] = []
        while reader.remaining:
            raw = reader.take(min(_ENTRY_BYTES, reader.remaining))
            try:
                entries.append(self._entry.decode(Reader(raw)))
            except DecodeError:
                entries.append(Unreadable(raw))
        return tuple(entries)


@response(Opcode.PASSAGE_MODE)
class PassagePage(Page):
    """Some entries; ``next_cursor`` 255 ends the list."""

    battery_percent: int = field(U8)
    operation: int = const(1)
    next_cursor: int = field(U8)
    records: tuple[PassageEntry | Unreadable, ...] = field(_EntriesCodec(), default=())


@request(Opcode.PASSAGE_MODE, auth=Auth.ADMIN, is_repeatable=True)
class GetPassageEntries(PageRequest[PassagePage]):
    """Read a page (feature 22); the first cursor is 0."""

    operation: int = const(1)
    cursor: int = field(U8, default=0)


@response(Opcode.PASSAGE_MODE)
class PassageChanged(Changed):
    """The lock did it; ``operation`` echoes which of the operations."""

    battery_percent: int = field(U8)
    operation: int = field(U8)


@request(Opcode.PASSAGE_MODE, auth=Auth.ADMIN, is_repeatable=False)
class AddPassageEntry(ChangeRequest[PassageChanged]):
    """Add a window; the bolt itself does not move before somebody unlocks."""

    operation: int = const(2)
    entry: PassageEntry = field(_EntryCodec())


@request(Opcode.PASSAGE_MODE, auth=Auth.ADMIN, is_repeatable=True)
class DeletePassageEntry(ChangeRequest[PassageChanged]):
    """Remove a window; ``RECORD_NOT_FOUND`` means that it was gone already.

    The times are sent, as one client does; the vendor leaves them out (disagreement D31).
    """

    operation: int = const(3)
    kind: PassageKind = field(Enum8(PassageKind))
    day: int = field(U8)
    month: int = field(U8, default=0)
    starts_at: time | None = field(TIME, is_optional=True)
    ends_at: time | None = field(TIME, is_optional=True)

    @classmethod
    def of(cls, entry: PassageEntry) -> Self:
        """Return the request that removes ``entry``."""
        return cls(
            kind=entry.kind,
            day=entry.day,
            month=entry.month,
            starts_at=entry.starts_at,
            ends_at=entry.ends_at,
        )


@request(Opcode.PASSAGE_MODE, auth=Auth.ADMIN, is_repeatable=True)
class ClearPassageEntries(ChangeRequest[PassageChanged]):
    """Remove every window."""

    operation: int = const(4)
