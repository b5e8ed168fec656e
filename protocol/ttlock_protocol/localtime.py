"""Between real instants and the lock's own clock, which knows no zone (reference 8.4, 8.5).

Outside, times are aware; towards the lock they are naive, in the one zone that is configured for
it, daylight saving included. Nothing here is ever silently UTC. Where the clocks go back an hour
happens twice, where they go forward one does not exist; both are said, not guessed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from enum import Enum
from typing import Final

from .errors import LocalProtocolError
from .messages.auth import PERMANENT_FROM, PERMANENT_UNTIL
from .wire import FIRST_YEAR, LAST_YEAR

_MINUTE: Final = timedelta(minutes=1)

_NO_BEGIN: Final = frozenset(
    {PERMANENT_FROM, datetime(2000, 1, 31, 14)}  # noqa: DTZ001 - lock-local
)
_NO_END: Final = frozenset(
    {
        PERMANENT_UNTIL,
        datetime(2099, 11, 30, 14),  # noqa: DTZ001 - lock-local
        datetime(2099, 1, 1),  # noqa: DTZ001 - lock-local
    }
)
"""Every form of "no limit" that clients and firmware write (reference 8.4)."""


class Reading(Enum):
    """How surely a time on the lock's clock names an instant."""

    EXACT = "exact"
    TWICE = "the clocks went back: it happened twice"
    NEVER = "the clocks went forward: no right clock showed it"


def reading(local: datetime, zone: tzinfo) -> Reading:
    """Tell whether the naive ``local`` names one instant in ``zone``."""
    earlier, later = (_at(local, zone, fold).utcoffset() for fold in (0, 1))
    if earlier == later:
        return Reading.EXACT
    assert earlier is not None
    assert later is not None
    return Reading.TWICE if earlier > later else Reading.NEVER


def to_lock(moment: datetime, zone: tzinfo) -> datetime:
    """Return what a right clock in ``zone`` shows at the aware ``moment``, to the second.

    Raises ``LocalProtocolError`` for a naive moment, or a year outside 2000 to 2099 there.
    """
    if moment.tzinfo is None:
        raise LocalProtocolError("a time without a zone names no instant")
    try:
        local = moment.astimezone(zone).replace(tzinfo=None, fold=0, microsecond=0)
    except OverflowError:
        raise LocalProtocolError("the calendar ends before that time") from None
    if not FIRST_YEAR <= local.year <= LAST_YEAR:
        raise LocalProtocolError(f"the lock knows the years 2000 to 2099, not {local.year}")
    return local


def from_lock(local: datetime, zone: tzinfo, *, near: datetime | None = None) -> datetime:
    """Return the instant, in UTC, at which a lock in ``zone`` showed the naive ``local``.

    An hour that happened twice is read as the one closer to the aware ``near``, else as the first;
    one that does not exist as shown by a clock that was not put forward yet.
    """
    first, second = (_at(local, zone, fold).astimezone(UTC) for fold in (0, 1))
    if near is None or reading(local, zone) is not Reading.TWICE:
        return first
    return min((first, second), key=lambda moment: abs(moment - near))


def clock_drift(local: datetime, now: datetime, zone: tzinfo) -> timedelta:
    """Return how far a lock that shows ``local`` at ``now`` is ahead (negative: behind).

    A clock within the hour that does not exist was not put forward, and is behind by that.
    """
    if reading(local, zone) is Reading.NEVER:
        return local - to_lock(now, zone)
    return from_lock(local, zone, near=now) - now


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A validity as the lock keeps it: lock-local, to the minute.

    ``is_exact`` is false when an end of it lies in an hour that happens twice: the lock then opens
    up to an hour longer than it was asked to.
    """

    valid_from: datetime
    valid_until: datetime
    is_exact: bool


def to_window(begin: datetime | None, end: datetime | None, zone: tzinfo) -> Window:
    """Return the lock's form of a validity between aware times; ``None`` is no limit.

    There are no seconds: the begin is rounded down and the end up. Raises ``LocalProtocolError``
    for a validity that is empty or that the lock's clock cannot tell, such as one that ends in the
    repeat of the hour in which it begins.
    """
    valid_from = PERMANENT_FROM if begin is None else _to_minute(begin, zone, is_up=False)
    valid_until = PERMANENT_UNTIL if end is None else _to_minute(end, zone, is_up=True)
    if begin is not None and end is not None and end <= begin:
        raise LocalProtocolError("a validity must end after it begins")
    if valid_until <= valid_from:
        raise LocalProtocolError("by the lock's clock this validity ends before it begins")
    is_exact = all(
        limit is None or reading(local, zone) is Reading.EXACT
        for local, limit in ((valid_from, begin), (valid_until, end))
    )
    return Window(valid_from=valid_from, valid_until=valid_until, is_exact=is_exact)


def from_window(
    valid_from: datetime, valid_until: datetime | None, zone: tzinfo
) -> tuple[datetime | None, datetime | None]:
    """Return a lock's validity as instants in UTC, ``None`` where it has no limit."""
    begin = None if valid_from in _NO_BEGIN else from_lock(valid_from, zone)
    if valid_until is None or valid_until in _NO_END:
        return begin, None
    return begin, from_lock(valid_until, zone)


def _to_minute(moment: datetime, zone: tzinfo, *, is_up: bool) -> datetime:
    """Round as an instant: on the clock's face the minute after 02:59 may be 02:00."""
    whole = moment.replace(second=0, microsecond=0)
    if is_up and whole != moment:
        to_lock(moment, zone)
        whole = whole.astimezone(UTC) + _MINUTE
    return to_lock(whole, zone)


def _at(local: datetime, zone: tzinfo, fold: int) -> datetime:
    if local.tzinfo is not None:
        raise LocalProtocolError("the lock's times have no zone")
    return local.replace(tzinfo=zone, fold=fold)
