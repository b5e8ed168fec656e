"""Validity as a lock sees it: its own clock against the dates it holds (reference 6.6 to 8.4)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, time, timedelta
from typing import Final

from ttlock_protocol.errors import LocalProtocolError
from ttlock_protocol.messages.passage import PassageEntry, PassageKind
from ttlock_protocol.messages.passcodes import Cycle, CycleDays

from .memory import Memory, StoredPasscode, StoredSchedule

_NO_START: Final = frozenset(
    {datetime(2000, 1, 1), datetime(2000, 1, 31, 14)}  # noqa: DTZ001 - lock-local
)
_NO_END: Final = frozenset(
    {
        datetime(2099, 12, 31, 23, 59),  # noqa: DTZ001 - lock-local
        datetime(2099, 11, 30, 14),  # noqa: DTZ001 - lock-local
        datetime(2099, 1, 1),  # noqa: DTZ001 - lock-local
    }
)
_WEEKDAYS: Final = {
    CycleDays.WEEKEND: (5, 6),
    CycleDays.EVERY_DAY: range(7),
    CycleDays.WORKDAYS: range(5),
}


def has_begun(valid_from: datetime, shown: datetime) -> bool:
    """Whether ``valid_from`` is over; the forms that mean "no start" always are."""
    return valid_from in _NO_START or shown >= valid_from


def has_ended(valid_until: datetime, shown: datetime) -> bool:
    """Whether ``valid_until`` is over; the forms that mean "no end" never are.

    The wire has no seconds: the last minute still belongs to the validity.
    """
    return valid_until not in _NO_END and shown >= valid_until + timedelta(minutes=1)


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


def is_passage_open(memory: Memory, shown: datetime) -> bool:
    """Whether passage mode keeps the door open now."""
    return any(_is_open(entry, shown) for entry in memory.passage)


def _is_open(entry: PassageEntry, shown: datetime) -> bool:
    if entry.kind == PassageKind.WEEKLY:
        is_today = entry.day in (0, shown.isoweekday())
    else:
        is_today = entry.day == shown.day and entry.month in (0, shown.month)
    return is_today and (entry.is_all_day or _is_between(entry.starts_at, entry.ends_at, shown))


def _is_between(starts_at: time, ends_at: time, shown: datetime) -> bool:
    """Whether it is that time of day; the last minute belongs to it."""
    return starts_at <= shown.time().replace(second=0, microsecond=0) <= ends_at
