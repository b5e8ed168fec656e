"""When a verdict replaces the standing one: two facts, so that one hiccup changes nothing.

A fact is named by what it is (a passcode that was missing, a look, a probe), so that judging the
same evidence again, also after a restart, adds nothing. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from ttlock_agent.watch.verdict import Verdict

FACTS_NEEDED: Final = 2
FORGOTTEN_AFTER: Final = timedelta(days=7)
"""A verdict that nothing has confirmed for so long says nothing any more."""


class Candidate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A verdict that has been seen, but not often enough."""

    verdict: Verdict
    facts: tuple[str, ...]
    first_at: datetime


class Standing(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The verdict that counts: since when, by which facts, and what may replace it."""

    verdict: Verdict = Verdict.UNKNOWN
    since: datetime | None = None
    confirmed_at: datetime | None = None
    by: tuple[str, ...] = ()
    candidate: Candidate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What the evidence says at one moment, and the facts which that rests on.

    ``is_conclusive``: one such fact is enough, as when the gateway has delivered. ``hold`` is how
    far apart the first and the last fact must be at least.
    """

    verdict: Verdict
    facts: frozenset[str]
    at: datetime
    is_conclusive: bool = False
    hold: timedelta = timedelta()


def settle(standing: Standing, reading: Reading) -> Standing:
    """Return what stands after ``reading``."""
    if reading.verdict is standing.verdict:
        confirmed_at = reading.at if reading.facts else standing.confirmed_at
        return replace(standing, confirmed_at=confirmed_at, candidate=None)
    if not reading.facts:
        return _unless_forgotten(standing, reading)
    if reading.is_conclusive or standing.verdict is Verdict.UNKNOWN:
        return _stands(reading, reading.facts)
    candidate = standing.candidate
    if candidate is None or candidate.verdict is not reading.verdict:
        candidate = Candidate(verdict=reading.verdict, facts=(), first_at=reading.at)
    facts = reading.facts.union(candidate.facts)
    # A clock that was set back must not make it wait for ever.
    is_held = not timedelta() <= reading.at - candidate.first_at < reading.hold
    if len(facts) >= FACTS_NEEDED and is_held:
        return _stands(reading, facts)
    return replace(standing, candidate=replace(candidate, facts=tuple(sorted(facts))))


def _stands(reading: Reading, facts: frozenset[str]) -> Standing:
    return Standing(
        verdict=reading.verdict,
        since=reading.at,
        confirmed_at=reading.at,
        by=tuple(sorted(facts)),
    )


def _unless_forgotten(standing: Standing, reading: Reading) -> Standing:
    is_forgotten = (
        standing.confirmed_at is not None and reading.at - standing.confirmed_at > FORGOTTEN_AFTER
    )
    return Standing() if is_forgotten else standing
