"""Lists that a lock hands out page by page; complete or an error, never a part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from ttlock_protocol.errors import CommandRefused, LocalProtocolError, Refusal, RemoteProtocolError
from ttlock_protocol.messages.cards import CardRecord, GetCards
from ttlock_protocol.messages.fingerprints import (
    FingerprintPage,
    FingerprintRecord,
    GetFingerprints,
)
from ttlock_protocol.messages.log import BEHIND_LAST, END_CURSORS, GetLog, LogRecord
from ttlock_protocol.messages.pages import NO_MORE, Unreadable
from ttlock_protocol.messages.passage import PASSAGE_END, GetPassageEntries, PassageEntry
from ttlock_protocol.messages.passcodes import GetPasscodes, PasscodeRecord

from .core import Procedure, ask

E_co = TypeVar("E_co", covariant=True)

MAX_RECORDS: Final = 4096
"""Far above any lock; a list that is longer goes round in circles."""
_PASSCODE_ENDS: Final = frozenset({None, 0, NO_MORE})
_NO_FINGERPRINTS: Final = frozenset({Refusal.CHECKSUM, Refusal.FINGERPRINT_NOT_FOUND})
_NO_RIGHTS: Final = frozenset(
    {Refusal.NO_PERMISSION, Refusal.IN_SETTING_MODE, Refusal.NO_ADMINISTRATOR, Refusal.NO_AES_KEY}
)


class ListNotEnding(RemoteProtocolError):
    """A list does not come to an end; nothing that was read of it may be called complete."""


class _AnyPage(Protocol[E_co]):
    @property
    def next_cursor(self) -> int | None: ...

    @property
    def records(self) -> tuple[E_co, ...]: ...


def list_passcodes() -> Procedure[tuple[PasscodeRecord | Unreadable, ...]]:
    """Read all passcodes that the lock lists.

    Ends at an empty page, at ``next`` FFFF, or at ``next`` 0 (disagreement D12). Raises
    ``ListNotEnding`` for a list that goes round.
    """
    return _read(lambda cursor: ask(GetPasscodes(cursor=cursor)), _PASSCODE_ENDS)


def list_cards() -> Procedure[tuple[CardRecord | Unreadable, ...]]:
    """Read all cards; raises ``ListNotEnding`` like :func:`list_passcodes`."""
    return _read(lambda cursor: ask(GetCards(cursor=cursor)), frozenset({NO_MORE}))


def list_fingerprints() -> Procedure[tuple[FingerprintRecord | Unreadable, ...]]:
    """Read all fingerprints; raises ``ListNotEnding`` like :func:`list_passcodes`.

    A lock without any may refuse instead, one kind with the code for a damaged frame (6.8). Only
    the second such refusal of the first page is believed: noise does not strike twice alike.
    """
    try:
        first = yield from ask(GetFingerprints())
    except CommandRefused as refused:
        if refused.refusal not in _NO_FINGERPRINTS:
            raise
        try:
            first = yield from ask(GetFingerprints())
        except CommandRefused as again:
            if again.refusal != refused.refusal:
                raise
            return ()
    return (yield from _read(_fingerprints, frozenset({NO_MORE}), first=first))


def _fingerprints(cursor: int) -> Procedure[FingerprintPage]:
    return ask(GetFingerprints(cursor=cursor))


def list_passage_entries() -> Procedure[tuple[PassageEntry | Unreadable, ...]]:
    """Read all windows of passage mode; raises ``ListNotEnding`` like :func:`list_passcodes`."""
    return _read(lambda cursor: ask(GetPassageEntries(cursor=cursor)), frozenset({PASSAGE_END}))


@dataclass(frozen=True, slots=True)
class LogSlice:
    """Records that were read, oldest first, and the cursor to go on from."""

    records: tuple[LogRecord | Unreadable, ...]
    next_cursor: int


def read_log(*, cursor: int, limit: int) -> Procedure[LogSlice]:
    """Read up to ``limit`` records behind ``cursor``; leaves the lock's bookmark alone.

    A refused cursor means that the lock knows no newer record: the slice is then empty. A refusal
    for lack of rights is raised.
    """
    if cursor == NO_MORE:
        raise LocalProtocolError("that cursor moves a bookmark which others share")
    found: list[LogRecord | Unreadable] = []
    while len(found) < limit:
        try:
            page = yield from ask(GetLog(cursor=cursor))
        except CommandRefused as refused:
            if refused.refusal in _NO_RIGHTS:
                raise
            break
        found += page.records
        if page.next_cursor is None or page.next_cursor in END_CURSORS:
            break
        if page.next_cursor <= cursor < BEHIND_LAST:
            break
        cursor = page.next_cursor
    return LogSlice(tuple(found), cursor)


def _read(
    ask_page: Callable[[int], Procedure[_AnyPage[E_co]]],
    ends: frozenset[int | None],
    first: _AnyPage[E_co] | None = None,
) -> Procedure[tuple[E_co, ...]]:
    """Read pages up to one that ``ends``; ``first`` has been read already."""
    found: list[E_co] = []
    seen = {0}
    page = first if first is not None else (yield from ask_page(0))
    while True:
        found += page.records
        cursor = page.next_cursor
        if cursor in ends:
            return tuple(found)
        if cursor is None or cursor in seen or len(found) > MAX_RECORDS:
            raise ListNotEnding("a list of the lock does not end")
        seen.add(cursor)
        page = yield from ask_page(cursor)
