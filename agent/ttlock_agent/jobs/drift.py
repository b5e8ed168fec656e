"""How a lock's clock went over the weeks: what its quartz is like, and what happened to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from ttlock_agent.lock.visit import ClockReading

MAX_ENTRIES: Final = 60
"""A busy lock makes one an hour, and each time its clock is set."""
APART: Final = timedelta(hours=1)
"""Readings closer together say nothing about a quartz that loses a second a day."""
_DAY: Final = timedelta(days=1)

History = Sequence[Mapping[str, Any]]
"""Entries ``at``, ``clock_error_s`` and ``was_set``, the oldest first, as they are shown."""


def longer_history(
    history: History, reading: ClockReading, *, was_set: bool
) -> list[dict[str, Any]]:
    """Return ``history`` with what the clock showed, before it was set if it was."""
    longer = [dict(each) for each in history]
    if len(longer) > 1 and not longer[-1]["was_set"]:
        before = datetime.fromisoformat(longer[-2]["at"])
        # Too close to the one before it, now that there is a newer one.
        if reading.read_at - before < APART:
            longer.pop()
    error_s = None if reading.error_s is None else round(reading.error_s, 1)
    at = reading.read_at.isoformat(timespec="seconds")
    longer.append({"at": at, "clock_error_s": error_s, "was_set": was_set})
    return longer[-MAX_ENTRIES:]


def drift_s_per_day(history: History) -> float | None:
    """Return what the clock gains a day since it was set last; ``None`` if that is not known."""
    set_at = max((i for i, entry in enumerate(history) if entry["was_set"]), default=-1)
    known = [entry for entry in history[set_at + 1 :] if entry["clock_error_s"] is not None]
    if not known:
        return None
    first, last = known[0], known[-1]
    span = datetime.fromisoformat(last["at"]) - datetime.fromisoformat(first["at"])
    if span < APART:
        return None
    gained: float = last["clock_error_s"] - first["clock_error_s"]
    return round(gained / (span / _DAY), 2)
