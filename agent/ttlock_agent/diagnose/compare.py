"""What is wanted against what the lock held in the session. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ttlock_agent.diagnose.facts import Facts, Wish
from ttlock_agent.jobs.model import PasscodeKind
from ttlock_agent.jobs.passcodes import Held, held
from ttlock_agent.jobs.reconcile import NOTHING_FOUND, Review, review

_LACKING: Final = (Held.ABSENT, Held.OTHERWISE)


@dataclass(frozen=True, slots=True)
class Compared:
    """One wish, and what the lock's listing says of it."""

    wish: Wish
    held: Held

    @property
    def is_missing(self) -> bool:
        """Whether the lock does not hold it as it is wanted."""
        return self.held in _LACKING


def compare(facts: Facts) -> list[Compared]:
    """Compare all that is wanted and not over; empty without a listing.

    One-time passcodes that were proved once and are gone were used.
    """
    session = facts.session
    if session is None or session.listing is None:
        return []
    compared = [
        Compared(wish, held(session.listing, wish.wanted, facts.zone, facts.now))
        for wish in facts.wishes
    ]
    return [each for each in compared if not (each.is_missing and _is_used(each.wish))]


def missing(facts: Facts) -> list[Wish]:
    """Return what is wanted and was not found."""
    return [each.wish for each in compare(facts) if each.is_missing]


def reviewed(facts: Facts) -> Review:
    """Say what the lock holds besides: what is over, what came back, and strangers."""
    session = facts.session
    if session is None or session.listing is None:
        return NOTHING_FOUND
    known = [*(wish.wanted for wish in facts.wishes), *facts.removals]
    return review(session.listing, known, facts.former, zone=facts.zone, now=facts.now)


def named(wishes: Sequence[Wish]) -> list[str]:
    """Return how each is called: by its label, else by its owner and kind."""
    return [
        f'"{wish.label}"' if wish.label else f"one of {wish.wanted.owner} ({wish.wanted.kind})"
        for wish in wishes
    ]


def _is_used(wish: Wish) -> bool:
    return wish.wanted.kind is PasscodeKind.ONE_TIME and wish.wanted.proved_at is not None
