"""Validity as a lock sees it: its own clock against the dates it holds (reference 6.6 to 8.4)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from ttlock_protocol.errors import LocalProtocolError
from ttlock_protocol.localtime import from_window
from ttlock_protocol.messages.passage import PassageKind
from ttlock_protocol.messages.passcodes import Cycle, CycleDays

from .memory import Memory, StoredPasscode, StoredSchedule

_LOOK_AHEAD_DAYS: Final = 7
_WEEKDAYS: Final = {
    CycleDays.WEEKEND: (5, 6),
    CycleDays.EVERY_DAY: range(7),
    CycleDays.WORKDAYS: range(5),
}


def has_begun(valid_from: datetime, shown: datetime) -> bool:
    """Whether ``valid_from`` is over; the forms that mean "no start" always are."""
    begin, _ = from_window(valid_from, None, UTC)
    return begin is None or shown >= valid_from


def has_ended(valid_until: datetime, shown: datetime) -> bool:
    """Whether ``valid_until`` is over; the forms that mean "no end" never are.

    The wire has no seconds: the last minute still belongs to the validity.
    """
    _, end = from_window(shown, valid_until, UTC)
    return end is not None and shown >= valid_until + timedelta(minutes=1)


def is_in_cycle(passcode: StoredPasscode, shown: datetime) -> bool:
    """Whether a cyclic passcode opens now; one whose cycle nobody can explain never does."""
    if passcode.cycle_number is None:
        return True
    try:
        cycle = Cycle.from_number(passcode.cycle_number)
    except LocalProtocolError:
        return False
    days = _WEEKDAYS.get(cycle.days, (cycle.days - CycleDays.MONDAY,))
    start = passcode.valid_from
    # A window may reach past midnight, so the one that began yesterday counts as well.
    for days_ago in (0, 1):
        began = (shown - timedelta(days=days_ago)).replace(
            hour=start.hour, minute=start.minute, second=0, microsecond=0
        )
        if began.weekday() in days and began <= shown < began + timedelta(hours=cycle.hours):
            return True
    return False


def is_in_schedules(schedules: Iterable[StoredSchedule], shown: datetime) -> bool:
    """Whether these weekly hours let their holder in now; without any, they always do."""
    hours = list(schedules)
    return not hours or any(
        each.weekday == shown.isoweekday() and _is_between(each.starts_at, each.ends_at, shown)
        for each in hours
    )


def passage_ends_at(memory: Memory, shown: datetime) -> datetime | None:
    """Return until when passage mode keeps the door open, ``None`` when it does not.

    At midnight a new day begins, which may go on where the last one ended.
    """
    left_until = memory.passage_left_until
    if left_until is not None and shown < left_until:
        return None
    ends = [
        window.ends_at
        for window in _windows_on(memory, shown.date())
        if window.starts_at <= shown < window.ends_at
    ]
    return max(ends, default=None)


def next_passage_start(memory: Memory, shown: datetime) -> datetime | None:
    """Return when passage mode begins next, within a week; all that repeats weekly is in it."""
    days = (shown.date() + timedelta(days=ahead) for ahead in range(_LOOK_AHEAD_DAYS + 1))
    starts = (
        window.starts_at
        for day in days
        for window in _windows_on(memory, day)
        if window.starts_at > shown
    )
    return min(starts, default=None)


@dataclass(frozen=True, slots=True)
class _Window:
    starts_at: datetime
    ends_at: datetime


def _windows_on(memory: Memory, day: date) -> Iterator[_Window]:
    midnight = datetime.combine(day, time())
    for entry in memory.passage:
        if entry.kind == PassageKind.WEEKLY:
            is_today = entry.day in (0, day.isoweekday())
        else:
            is_today = entry.day == day.day and entry.month in (0, day.month)
        if is_today:
            # The wire has no seconds: the last minute still belongs to the window.
            last = time(23, 59) if entry.is_all_day else entry.ends_at
            yield _Window(
                starts_at=datetime.combine(day, entry.starts_at),
                ends_at=midnight + timedelta(hours=last.hour, minutes=last.minute + 1),
            )


def _is_between(starts_at: time, ends_at: time, shown: datetime) -> bool:
    """Whether it is that time of day; the last minute belongs to it."""
    return starts_at <= shown.time().replace(second=0, microsecond=0) <= ends_at
