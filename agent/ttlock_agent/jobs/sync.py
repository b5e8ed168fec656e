"""What a complete set of passcodes changes about the wishes of its owner: a pure comparison.

It compares with what is wanted already, not with what the lock holds: the jobs that follow from it
find that out, and act on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from ttlock_agent.errors import JobRejected, Rejection
from ttlock_agent.jobs.model import PasscodeKind, WantedPasscode
from ttlock_agent.jobs.params import deadline_of
from ttlock_agent.jobs.parts import Demand, Family, Part
from ttlock_agent.jobs.passcodes import collision
from ttlock_agent.requests import (
    ParsedRequest,
    Passcode,
    PasscodeAdd,
    PasscodeDelete,
    PasscodeSync,
    SyncPasscode,
    canonical_content,
)
from ttlock_agent.requests import PasscodeKind as RequestKind


class SyncAct(StrEnum):
    """What becomes of one passcode, in the order in which it is done."""

    DELETE = "delete"
    MODIFY = "modify"
    ADD = "add"
    KEEP = "keep"
    IS_OVER = "is_over"
    """It is in the set, but its validity has ended: treated as if it were not."""


CHANGES: Final = frozenset({SyncAct.DELETE, SyncAct.MODIFY, SyncAct.ADD})
_ORDER: Final = list(SyncAct)


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncStep:
    """One passcode and what becomes of it; ``wish`` is what is wanted from now on."""

    act: SyncAct
    wish: WantedPasscode

    def describe(self) -> dict[str, Any]:
        """Return the step as JSON, without digits."""
        return {"label": self.wish.label, "act": self.act.value}


def plan_sync(
    params: PasscodeSync, present: Sequence[WantedPasscode], *, now: datetime
) -> list[SyncStep]:
    """Return what makes the wishes of ``params.owner`` among ``present`` equal to its set.

    Passcodes are removed before others are written, so that one may take the place of a longer one
    that begins alike. Raises ``JobRejected`` for a set that contradicts itself, or collides with
    the passcodes of others.
    """
    wishes = [_wish(entry, params) for entry in params.passcodes]
    _refuse_contradictions(wishes)
    lasting = [wish for wish in wishes if not is_over(wish, now)]
    others = [
        wish
        for wish in present
        if wish.owner != params.owner and wish.is_wanted and not is_over(wish, now)
    ]
    _refuse_collisions(lasting, others)
    own = {wish.digits: wish for wish in present if wish.owner == params.owner}
    named = {wish.digits for wish in lasting}
    steps = [_step(wish, own.get(wish.digits)) for wish in lasting]
    steps += [
        SyncStep(act=SyncAct.DELETE, wish=_absent(wish))
        for wish in own.values()
        if wish.digits not in named
    ]
    steps += [
        SyncStep(act=SyncAct.IS_OVER, wish=wish)
        for wish in wishes
        if wish.digits not in named and wish.digits not in own
    ]
    return sorted(steps, key=lambda step: _ORDER.index(step.act))


def demand_of_set(steps: Sequence[SyncStep], params: PasscodeSync, *, now: datetime) -> Demand:
    """Return what a set changes: one part for each passcode that changes.

    A part is tried for as long as the whole set, or where that has no deadline, for as long as
    makes sense for its passcode.
    """
    entries = [step.describe() for step in steps]
    if params.is_dry_run:
        return Demand(family=Family(parts=(), entries=entries, is_dry_run=True))
    changes = [step.wish for step in steps if step.act in CHANGES]
    return Demand(
        kept=[step.wish for step in steps if step.act is SyncAct.KEEP],
        family=Family(
            parts=[_part(wish, params.deadline_at, now) for wish in changes], entries=entries
        ),
    )


def is_over(wish: WantedPasscode, now: datetime) -> bool:
    """Whether the validity of ``wish`` has ended."""
    return wish.valid_until is not None and wish.valid_until <= now


def is_same(one: WantedPasscode, other: WantedPasscode) -> bool:
    """Whether two wishes for the same digits want the same of the lock."""
    return _content(one) == _content(other)


def _content(wish: WantedPasscode) -> tuple[object, ...]:
    if not wish.is_wanted:
        return (False,)
    return (True, wish.kind, wish.valid_from, wish.valid_until, wish.cycle)


def _wish(entry: SyncPasscode, params: PasscodeSync) -> WantedPasscode:
    return WantedPasscode(
        lock=params.lock,
        digits=entry.passcode.digits,
        kind=PasscodeKind(entry.kind.value),
        valid_from=entry.valid_from,
        valid_until=entry.valid_until,
        label=entry.label,
        owner=params.owner,
    )


def request_for(wish: WantedPasscode) -> tuple[str, bytes]:
    """Return verb and parameters of the job that ``wish`` takes."""
    request = _request(wish)
    return request.verb, canonical_content(request)


def _request(wish: WantedPasscode) -> ParsedRequest:
    if not wish.is_wanted:
        removal = PasscodeDelete(lock=wish.lock, passcode=Passcode(wish.digits))
        return ParsedRequest("", "passcode.delete", removal)
    addition = PasscodeAdd(
        lock=wish.lock,
        passcode=Passcode(wish.digits),
        label=wish.label,
        given_kind=RequestKind(wish.kind.value),
        valid_from=wish.valid_from,
        valid_until=wish.valid_until,
        owner=wish.owner,
    )
    return ParsedRequest("", "passcode.add", addition)


def _part(wish: WantedPasscode, deadline_at: datetime | None, now: datetime) -> Part:
    request = _request(wish)
    return Part(
        verb=request.verb,
        params=canonical_content(request),
        deadline_at=deadline_at or deadline_of(request, now),
        wish=wish,
    )


def _absent(wish: WantedPasscode) -> WantedPasscode:
    return replace(wish, is_wanted=False, proved_at=None, revision=0)


def _step(wish: WantedPasscode, present: WantedPasscode | None) -> SyncStep:
    if present is None or not present.is_wanted:
        return SyncStep(act=SyncAct.ADD, wish=wish)
    if not is_same(wish, present):
        return SyncStep(act=SyncAct.MODIFY, wish=wish)
    if present.proved_at is None:
        # Somebody sees to it already; this set is done only when that is.
        return SyncStep(act=SyncAct.ADD, wish=wish)
    return SyncStep(act=SyncAct.KEEP, wish=replace(present, label=wish.label))


def _refuse_contradictions(wishes: Sequence[WantedPasscode]) -> None:
    places: dict[str, int] = {}
    for place, wish in enumerate(wishes):
        first = places.setdefault(wish.digits, place)
        if first != place:
            raise JobRejected(
                f"`passcodes[{first}]` and `passcodes[{place}]` have the same digits.",
                reason=Rejection.DUPLICATE,
                hint="A lock holds each passcode once: keep one of them.",
            )
    for place, wish in enumerate(wishes):
        other = collision(wish.digits, list(places))
        if other is not None:
            raise JobRejected(
                f"`passcodes[{min(place, places[other])}]` and "
                f"`passcodes[{max(place, places[other])}]` begin alike.",
                reason=Rejection.PREFIX_COLLISION,
                hint=COLLISION_HINT,
            )


def _refuse_collisions(wishes: Iterable[WantedPasscode], others: Sequence[WantedPasscode]) -> None:
    owners = {other.digits: other.owner for other in others}
    for wish in wishes:
        if wish.digits in owners:
            raise JobRejected(
                f"The passcode {_named(wish)} belongs to `{owners[wish.digits]}` already.",
                reason=Rejection.DUPLICATE,
                hint="Choose other digits, or have the other owner give them up first.",
            )
        other = collision(wish.digits, list(owners))
        if other is not None:
            raise JobRejected(
                f"The passcode {_named(wish)} begins like one of `{owners[other]}`,"
                " or the other way round.",
                reason=Rejection.PREFIX_COLLISION,
                hint=COLLISION_HINT,
            )


COLLISION_HINT: Final = (
    "Choose digits of which neither is the beginning of the other: locks confuse such passcodes, "
    "and one of them would outlive its deletion."
)


def _named(wish: WantedPasscode) -> str:
    """Return its label, unless somebody wrote the digits into it."""
    return f'"{wish.label}"' if wish.label and wish.digits not in wish.label else "(no label)"
