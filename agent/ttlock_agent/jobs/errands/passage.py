"""Passage mode: the windows in which a lock stays open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import time
from types import MappingProxyType
from typing import Any, Final

from ttlock_agent.jobs.errands.errand import Errand, Outcome, Runner, settle
from ttlock_agent.jobs.model import JobState
from ttlock_agent.jobs.params import params_of
from ttlock_agent.requests import PassageSet, PassageWindow
from ttlock_protocol.errors import Refusal
from ttlock_protocol.message import Auth, Request
from ttlock_protocol.messages.pages import Unreadable
from ttlock_protocol.messages.passage import (
    DAY_BEGIN,
    DAY_END,
    AddPassageEntry,
    ClearPassageEntries,
    DeletePassageEntry,
    PassageEntry,
    PassageKind,
)
from ttlock_protocol.procedures import list_passage_entries

Entries = tuple[PassageEntry | Unreadable, ...]


async def read_passage(errand: Errand) -> Entries:
    """List all windows."""
    return await errand.visit.run(list_passage_entries(), auth=Auth.ADMIN)


def describe_entry(entry: PassageEntry | Unreadable) -> dict[str, Any]:
    """Return a window in the form that `passage.set` takes."""
    if isinstance(entry, Unreadable):
        return {"kind": "unreadable"}
    entry = _plain(entry)
    return {
        "kind": entry.kind.name.lower(),
        "day": entry.day,
        "month": entry.month,
        "starts_at": entry.starts_at.isoformat("minutes"),
        "ends_at": entry.ends_at.isoformat("minutes"),
    }


async def _list(errand: Errand) -> Outcome:
    entries = await read_passage(errand)
    return Outcome(
        JobState.DONE,
        {"windows": [describe_entry(each) for each in entries], "as_of": errand.now()},
    )


async def _set(errand: Errand) -> Outcome:
    """Remove what is too much before what is missing is written: the lock may be full.

    A window that cannot be read can only be removed together with all others.
    """
    wanted = {_entry(window) for window in params_of(errand.job, PassageSet).windows}

    def missing(held: Sequence[PassageEntry | Unreadable]) -> list[Request[Any]]:
        if any(isinstance(each, Unreadable) for each in held):
            return [
                ClearPassageEntries(),
                *(AddPassageEntry(entry=each) for each in sorted(wanted, key=str)),
            ]
        there = [each for each in held if isinstance(each, PassageEntry)]
        absent = sorted(wanted - {_plain(each) for each in there}, key=str)
        too_much = [each for each in there if _plain(each) not in wanted]
        return [
            *(DeletePassageEntry.of(each) for each in too_much),
            *(AddPassageEntry(entry=each) for each in absent),
        ]

    settled = await settle(
        errand, lambda: read_passage(errand), missing, ignoring=(Refusal.RECORD_NOT_FOUND,)
    )
    windows = [describe_entry(each) for each in settled.held]
    return errand.proved({"windows": windows}, was_there=settled.was_there)


def _entry(window: PassageWindow) -> PassageEntry:
    return PassageEntry(
        kind=PassageKind[window.kind.name],
        day=window.day,
        month=window.month,
        starts_at=time.fromisoformat(window.starts_at),
        ends_at=time.fromisoformat(window.ends_at),
    )


def _plain(entry: PassageEntry) -> PassageEntry:
    """Return "all day" in one of its two forms (disagreement D32)."""
    if not entry.is_all_day:
        return entry
    return PassageEntry(
        kind=entry.kind,
        day=entry.day,
        month=entry.month,
        starts_at=DAY_BEGIN,
        ends_at=DAY_END,
    )


PASSAGE_ERRANDS: Final[Mapping[str, Runner]] = MappingProxyType(
    {"passage.list": _list, "passage.set": _set}
)
"""The verbs of this module."""
