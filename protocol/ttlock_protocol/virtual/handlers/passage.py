"""Passage mode (reference 6.15)."""

from __future__ import annotations

from ttlock_protocol.errors import Refusal
from ttlock_protocol.features import Feature
from ttlock_protocol.messages.passage import (
    PASSAGE_END,
    AddPassageEntry,
    ClearPassageEntries,
    DeletePassageEntry,
    GetPassageEntries,
    PassageChanged,
    PassageEntry,
    PassagePage,
)
from ttlock_protocol.virtual.visit import Refused, Visit, handles


@handles(GetPassageEntries)
def get_page(visit: Visit, request: GetPassageEntries) -> PassagePage:
    """Tell one entry; the page behind the last one is empty."""
    visit.require_feature(Feature.PASSAGE_MODE)
    entries = visit.body.memory.passage
    is_there = request.cursor < len(entries)
    return PassagePage(
        battery_percent=visit.battery_percent,
        next_cursor=request.cursor + 1 if is_there else PASSAGE_END,
        records=entries[request.cursor : request.cursor + 1],
    )


@handles(AddPassageEntry)
def add(visit: Visit, request: AddPassageEntry) -> PassageChanged:
    """Add an entry; nothing moves before somebody unlocks."""
    visit.require_feature(Feature.PASSAGE_MODE)
    memory = visit.body.memory
    if len(memory.passage) >= memory.capacity.passage_entries:
        raise Refused(Refusal.MEMORY_FULL)
    visit.body.change(passage=(*memory.passage, request.entry))
    return _changed(visit, request.operation)


@handles(DeletePassageEntry)
def delete(visit: Visit, request: DeletePassageEntry) -> PassageChanged:
    """Remove what is named; without times, whatever there is on that day (D31)."""
    visit.require_feature(Feature.PASSAGE_MODE)
    entries = visit.body.memory.passage
    left = tuple(each for each in entries if not _is_named(request, each))
    if len(left) == len(entries):
        raise Refused(Refusal.RECORD_NOT_FOUND)
    visit.body.change(passage=left)
    return _changed(visit, request.operation)


@handles(ClearPassageEntries)
def clear(visit: Visit, request: ClearPassageEntries) -> PassageChanged:
    """Remove all entries."""
    visit.require_feature(Feature.PASSAGE_MODE)
    visit.body.change(passage=())
    return _changed(visit, request.operation)


def _is_named(request: DeletePassageEntry, entry: PassageEntry) -> bool:
    is_day = (request.kind, request.day, request.month) == (entry.kind, entry.day, entry.month)
    return (
        is_day
        and request.starts_at in (None, entry.starts_at)
        and request.ends_at in (None, entry.ends_at)
    )


def _changed(visit: Visit, operation: int) -> PassageChanged:
    return PassageChanged(battery_percent=visit.battery_percent, operation=operation)
