"""Wanted passcodes against those a lock holds: pure conversions and comparisons.

Locks keep local wall time to the minute and hand validity back altered (permanent ones with dates
of their own, starts moved to 2000), so equality is by digits, type and end, and by a start that
shuts nobody out.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, tzinfo
from enum import Enum
from typing import Final

from ttlock_agent.jobs.model import PasscodeKind, WantedPasscode
from ttlock_agent.lock.visit import Listing
from ttlock_protocol.localtime import to_lock, to_window
from ttlock_protocol.messages.auth import PERMANENT_FROM, PERMANENT_UNTIL
from ttlock_protocol.messages.pages import Unreadable
from ttlock_protocol.messages.passcodes import (
    AddPasscode,
    ModifyPasscode,
    PasscodeRecord,
    PasscodeType,
)

TYPE_OF_KIND: Final = {
    PasscodeKind.PERMANENT: PasscodeType.PERMANENT,
    PasscodeKind.ONE_TIME: PasscodeType.ONE_TIME,
    PasscodeKind.PERIOD: PasscodeType.PERIOD,
    PasscodeKind.CYCLIC: PasscodeType.CYCLIC,
}


class Held(Enum):
    """What a complete listing says about one wanted passcode."""

    AS_WANTED = "as wanted"
    OTHERWISE = "otherwise"
    """The digits are there, with another type or validity."""
    ABSENT = "absent"
    NOT_READABLE = "not readable"
    """The digits were not found, but some records could not be read."""


def add_request(wanted: WantedPasscode, zone: tzinfo) -> AddPasscode:
    """Return the request that writes ``wanted``.

    Raises ``LocalProtocolError`` for what a lock cannot be told this way.
    """
    start, end = lock_window(wanted, zone)
    return AddPasscode(
        passcode_type=TYPE_OF_KIND[wanted.kind],
        passcode=wanted.digits,
        valid_from=start,
        valid_until=end,
    )


def modify_request(wanted: WantedPasscode, zone: tzinfo) -> ModifyPasscode:
    """Return the request that gives a passcode the lock holds the wanted validity."""
    start, end = lock_window(wanted, zone)
    return ModifyPasscode(
        passcode=wanted.digits, valid_from=start, valid_until=end or PERMANENT_UNTIL
    )


def find(listing: Listing, digits: str) -> PasscodeRecord | None:
    """Return the record whose digits open the door."""
    for record in listing:
        if isinstance(record, PasscodeRecord) and record.passcode == digits:
            return record
    return None


def held(listing: Listing, wanted: WantedPasscode, zone: tzinfo, now: datetime) -> Held:
    """Say how a complete ``listing``, read ``now``, relates to ``wanted``."""
    record = find(listing, wanted.digits)
    if record is None:
        return Held.NOT_READABLE if _has_unreadable(listing) else Held.ABSENT
    return Held.AS_WANTED if _is_as_wanted(record, wanted, zone, now) else Held.OTHERWISE


def collision(digits: str, others: Sequence[str]) -> str | None:
    """Return which of ``others`` is a beginning of ``digits`` or the reverse, and not equal.

    Firmware compares loosely: the longer one would open by the shorter, and go on opening when it
    is deleted.
    """
    for other in others:
        if other != digits and (other.startswith(digits) or digits.startswith(other)):
            return other
    return None


def is_timed(wish: WantedPasscode, now: datetime) -> bool:
    """Whether a right clock matters to ``wish``, now or later."""
    if not wish.is_wanted or (wish.valid_until is not None and wish.valid_until <= now):
        return False
    return (
        wish.kind is not PasscodeKind.PERMANENT
        or wish.valid_until is not None
        or (wish.valid_from is not None and wish.valid_from > now)
    )


def lock_window(wanted: WantedPasscode, zone: tzinfo) -> tuple[datetime, datetime | None]:
    """Return the validity of ``wanted`` by the lock's clock.

    Raises ``LocalProtocolError`` for one that this clock cannot tell.
    """
    window = to_window(wanted.valid_from, wanted.valid_until, zone)
    return window.valid_from, None if wanted.valid_until is None else window.valid_until


def _is_as_wanted(
    record: PasscodeRecord, wanted: WantedPasscode, zone: tzinfo, now: datetime
) -> bool:
    if record.passcode_type != TYPE_OF_KIND[wanted.kind]:
        return False
    if wanted.kind is PasscodeKind.CYCLIC:
        return record.cycle_number == wanted.cycle
    start, end = lock_window(wanted, zone)
    if wanted.valid_from is None:
        # Wanted at once: others write the day of writing as the start, and that is as good.
        starts_in_time = record.valid_from <= to_lock(now, zone)
    elif wanted.kind is PasscodeKind.PERIOD:
        starts_in_time = record.valid_from in (start, PERMANENT_FROM)
    else:
        starts_in_time = record.valid_from <= start
    return starts_in_time and (wanted.kind is not PasscodeKind.PERIOD or record.valid_until == end)


def _has_unreadable(listing: Listing) -> bool:
    return any(isinstance(record, Unreadable) for record in listing)
