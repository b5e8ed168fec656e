"""What is wanted against what a lock holds: pure decisions about one complete listing.

A record that cannot be read is never taken for absent, and one that belongs to nobody the agent
knows is never touched here: it is named, and whoever asked decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from enum import Enum, auto
from typing import Final

from ttlock_agent.jobs.model import FormerPasscode, PasscodeKind, WantedPasscode
from ttlock_agent.jobs.passcodes import TYPE_OF_KIND, Held, find, held
from ttlock_agent.lock.visit import Listing
from ttlock_protocol.localtime import from_window
from ttlock_protocol.messages.pages import Unreadable
from ttlock_protocol.messages.passcodes import PasscodeRecord


class Act(Enum):
    """What a lock has to be told about one passcode."""

    ADD = auto()
    MODIFY = auto()
    DELETE = auto()
    NOTHING = auto()
    """It holds what is wanted."""


def act_for(
    wish: WantedPasscode,
    listing: Listing,
    zone: tzinfo,
    now: datetime,
    *,
    can_modify: bool = True,
) -> Act:
    """Return the next step from a complete ``listing``, read ``now``, towards ``wish``.

    The type of a passcode cannot be modified: such a one is deleted, and added after that.
    """
    state = held(listing, wish, zone, now)
    if not wish.is_wanted:
        return Act.NOTHING if state is Held.ABSENT else Act.DELETE
    if state is Held.AS_WANTED:
        return Act.NOTHING
    if state is not Held.OTHERWISE:
        return Act.ADD
    record = find(listing, wish.digits)
    assert record is not None, "held otherwise means that it is held"
    is_same_type = record.passcode_type == TYPE_OF_KIND[wish.kind]
    return Act.MODIFY if is_same_type and can_modify else Act.DELETE


def act_believed(wish: WantedPasscode, *, is_held: bool) -> Act:
    """Return the step that most likely does it, where no listing is at hand.

    ``is_held`` says whether the lock held these digits when it was last read. A wrong guess costs
    one refusal, and the listing that follows in any case sets it right.
    """
    if not wish.is_wanted:
        return Act.DELETE
    return Act.MODIFY if is_held else Act.ADD


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """What a complete listing says of all that was believed about a lock."""

    missing: tuple[WantedPasscode, ...] = ()
    """Proved before, and now absent or otherwise."""
    returned: tuple[tuple[PasscodeRecord, FormerPasscode], ...] = ()
    """Proved to be gone before, and there again."""
    over: tuple[PasscodeRecord, ...] = ()
    """Known, and of no use to anybody: the validity of wish and record has ended."""
    strangers: tuple[PasscodeRecord, ...] = ()
    """Nobody the agent knows wants them."""
    unreadable: int = 0

    @property
    def is_surprising(self) -> bool:
        """Whether the lock is not as it was left: reason enough for a second look."""
        return bool(self.missing or self.returned)

    def confirmed_by(self, again: Review) -> Review:
        """Return ``again`` without the surprises that this review did not have."""
        missing = {wish.digits for wish in self.missing}
        returned = {record.passcode for record, _ in self.returned}
        return Review(
            missing=tuple(wish for wish in again.missing if wish.digits in missing),
            returned=tuple(pair for pair in again.returned if pair[0].passcode in returned),
            over=again.over,
            strangers=again.strangers,
            unreadable=again.unreadable,
        )


NOTHING_FOUND: Final = Review()


def review(
    listing: Listing,
    wanted: Sequence[WantedPasscode],
    former: Mapping[str, FormerPasscode],
    *,
    zone: tzinfo,
    now: datetime,
) -> Review:
    """Compare a complete ``listing`` with everything wanted and ``former``, both by digits.

    Wishes that are not proved yet are nobody's surprise: their jobs see to them. Nor are one-time
    passcodes that are gone: they were used, and must not come back to life.
    """
    by_digits = {wish.digits: wish for wish in wanted}
    returned: list[tuple[PasscodeRecord, FormerPasscode]] = []
    over: list[PasscodeRecord] = []
    strangers: list[PasscodeRecord] = []
    for record in listing:
        if isinstance(record, Unreadable):
            continue
        wish, before = by_digits.get(record.passcode), former.get(record.passcode)
        if wish is not None:
            if wish.is_wanted and _ended(wish, now) and _record_ended(record, zone, now):
                over.append(record)
        elif before is None:
            strangers.append(record)
        elif before.is_removed:
            returned.append((record, before))
        elif _record_ended(record, zone, now):
            over.append(record)
        else:
            strangers.append(record)
    return Review(
        missing=tuple(
            wish
            for wish in wanted
            if wish.is_wanted
            and wish.proved_at is not None
            and wish.kind is not PasscodeKind.ONE_TIME
            and not _ended(wish, now)
            and held(listing, wish, zone, now) in (Held.ABSENT, Held.OTHERWISE)
        ),
        returned=tuple(returned),
        over=tuple(over),
        strangers=tuple(strangers),
        unreadable=sum(isinstance(record, Unreadable) for record in listing),
    )


def _ended(wish: WantedPasscode, now: datetime) -> bool:
    return wish.valid_until is not None and wish.valid_until <= now


def _record_ended(record: PasscodeRecord, zone: tzinfo, now: datetime) -> bool:
    _, end = from_window(record.valid_from, record.valid_until, zone)
    return end is not None and end <= now
