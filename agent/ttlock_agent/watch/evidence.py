"""From what is known of a lock to evidence, and to a reading with the facts it rests on. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from ttlock_agent.watch.book import Book, Claim, ClockError, Outcome, Probe
from ttlock_agent.watch.hysteresis import Reading
from ttlock_agent.watch.verdict import (
    TAKEN_OVER,
    Basis,
    Evidence,
    ProbeResult,
    Verdict,
    row_for,
)

PROBE_LIFE: Final = timedelta(hours=6)
BUSY_IS_BROKEN: Final = 3
"""So many probes in a row that find the gateway busy: it hangs."""
_LEFT_BY_LOOKING: Final = frozenset(
    {
        Verdict.OFFLINE,
        Verdict.CANNOT_HEAR_LOCK,
        Verdict.BUSY,
        Verdict.CLOCK,
        Verdict.CLOUD_ONLY_RECORD,
    }
)
"""Verdicts that are over when nothing says so any more; that a gateway does not deliver is over
only when it has delivered, or answered a probe."""


def gather(
    book: Book,
    due: Sequence[Claim],
    *,
    clock: ClockError | None,
    is_clock_set: bool,
    now: datetime,
) -> Evidence:
    """Return the evidence about the ``due`` claims, those with a job or a record."""
    judged = {claim.name: claim for claim in due if claim.name in book.outcomes}
    delivered = [claim for name, claim in judged.items() if book.outcomes[name].was_there]
    missing = [claim for name, claim in judged.items() if not book.outcomes[name].was_there]
    newest = max((claim.listed_at for claim in delivered), default=None)
    return Evidence(
        listed=len(due),
        delivered=len(delivered),
        missing=len(missing),
        excused=0 if newest is None else sum(claim.listed_at < newest for claim in missing),
        gateways=book.gateways,
        as_of=book.looked_at or now,
        clock_error_s=None if clock is None else clock.error_s,
        is_clock_set=is_clock_set,
        probe=_probe(book, now),
    )


def read(
    book: Book,
    evidence: Evidence,
    due: Sequence[Claim],
    *,
    clock: ClockError | None,
    grace: timedelta,
    now: datetime,
) -> Reading:
    """Return what the evidence says just now, for the hysteresis."""
    row = row_for(evidence)
    look = {f"look {evidence.as_of.isoformat()}"}
    probes = {f"probe {each.at.isoformat()}" for each in book.probes[-1:]}
    outcomes = {
        claim.name: book.outcomes[claim.name] for claim in due if claim.name in book.outcomes
    }

    def reading(facts: set[str], *, is_conclusive: bool = False, is_held: bool = False) -> Reading:
        return Reading(
            verdict=row.verdict,
            facts=frozenset(facts),
            at=now,
            is_conclusive=is_conclusive and bool(facts),
            hold=grace if is_held else timedelta(),
        )

    match row.basis, row.verdict:
        case Basis.GATEWAY, _:
            return reading(look, is_held=True)
        case Basis.PROBE, _:
            return reading(probes, is_conclusive=evidence.probe is ProbeResult.OK)
        case Basis.CLOCK, _:
            at = "" if clock is None else clock.at.isoformat()
            return reading({f"clock {at}"}, is_conclusive=True)
        case Basis.LOCK, Verdict.CONNECTED_NOT_DELIVERING | Verdict.CLOUD_ONLY_RECORD:
            return reading(
                {f"missing {name}" for name, each in outcomes.items() if not each.was_there}
            )
    standing = book.standing
    proofs = probes if evidence.probe is ProbeResult.OK else set()
    if row.verdict is Verdict.HEALTHY:
        proofs = proofs | _deliveries(outcomes, standing.since)
    elif standing.verdict is Verdict.HEALTHY:
        proofs = set()  # that something new is not compared yet says nothing against it
    if proofs or standing.verdict not in _LEFT_BY_LOOKING:
        return reading(proofs, is_conclusive=True)
    return reading(look, is_held=True)


def in_words(facts: Sequence[str]) -> str:
    """Say what showed that a gateway can do its work again."""
    kinds = {fact.partition(" ")[0] for fact in facts}
    if "delivered" in kinds:
        return "a passcode was in the lock before the agent had written it"
    if "probe" in kinds:
        return "the lock's clock was read through the gateway"
    return "the gateway is online and hears the lock"


def body(
    book: Book, evidence: Evidence, words: str, trouble: dict[str, Any] | None
) -> dict[str, Any]:
    """Return what is published of a lock's gateway; it names no passcode."""
    standing = book.standing
    candidate = standing.candidate
    probe = book.probes[-1] if book.probes else None
    return {
        "verdict": standing.verdict.value,
        "sentence": words,
        "since": _text(standing.since),
        "as_of": _text(book.looked_at),
        "delivers": "agent" if is_taken_over(book) else "gateway",
        "handed_back": None
        if book.handed_back is None
        else {"at": _text(book.handed_back.at), "evidence": book.handed_back.evidence},
        "listed": evidence.listed,
        "delivered": evidence.delivered,
        "missing": evidence.missing,
        "removals_held_back": book.held_back,
        "clock_error_s": evidence.clock_error_s,
        "suspected": None
        if candidate is None
        else {"verdict": candidate.verdict.value, "since": _text(candidate.first_at)},
        "probe": None if probe is None else {"result": probe.result.value, "at": _text(probe.at)},
        "gateways": [
            {
                "name": gateway.name,
                "is_online": gateway.is_online,
                "heard_lock_at": _text(gateway.heard_lock_at),
                "rssi_dbm": gateway.rssi_dbm,
            }
            for gateway in evidence.gateways
        ],
        "trouble": trouble,
    }


def is_taken_over(book: Book) -> bool:
    """Whether the agent does the gateway's work."""
    return book.standing.verdict in TAKEN_OVER


def _probe(book: Book, now: datetime) -> ProbeResult | None:
    """Return what the last probe says, as long as it says anything about the present."""
    if not book.probes:
        return None
    last = book.probes[-1]
    is_fresh = timedelta() <= now - last.at <= PROBE_LIFE
    is_overtaken = any(
        each.was_there and each.found_at > last.at for each in book.outcomes.values()
    )
    if not is_fresh or is_overtaken or last.result is ProbeResult.NO_ANSWER:
        return None
    if last.result is ProbeResult.BUSY and _busy_in_a_row(book.probes) >= BUSY_IS_BROKEN:
        return ProbeResult.FAILED
    return last.result


def _busy_in_a_row(probes: Sequence[Probe]) -> int:
    number = 0
    for probe in reversed(probes):
        if probe.result is not ProbeResult.BUSY:
            break
        number += 1
    return number


def _deliveries(outcomes: dict[str, Outcome], since: datetime | None) -> set[str]:
    return {
        f"delivered {name}"
        for name, each in outcomes.items()
        if each.was_there and (since is None or each.found_at > since)
    }


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="seconds")
