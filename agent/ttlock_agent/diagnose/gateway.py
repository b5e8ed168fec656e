"""Checks of the gateway and the cloud: their claims against the lock's own memory."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from ttlock_agent.diagnose.compare import compare
from ttlock_agent.diagnose.facts import Facts
from ttlock_agent.diagnose.finding import (
    Evidence,
    Finding,
    Source,
    Verdict,
    passed,
    unknown,
)
from ttlock_agent.watch.verdict import (
    TAKEN_OVER,
    GatewayView,
    ProbeResult,
    judge,
    sentence,
)
from ttlock_agent.watch.verdict import Evidence as GatewayEvidence
from ttlock_agent.watch.verdict import Verdict as GatewayVerdict

WEAK_DBM: Final = -85
ENOUGH_PROBES: Final = 3
STALE: Final = timedelta(hours=24)
_NO_ACCESS: Final = (
    "Not measured: no access to the cloud is configured, and nobody reports its gateway."
)
_DOES: Final = "; the agent delivers over Bluetooth instead."
_GOOD: Final = frozenset({GatewayVerdict.HEALTHY, GatewayVerdict.UNKNOWN, GatewayVerdict.CLOCK})


def delivers(facts: Facts) -> Finding:
    """Compare what the cloud calls delivered with the lock's own memory."""
    book = facts.book
    if book.looked_at is None:
        return unknown(_NO_ACCESS)
    compared = [each for each in compare(facts) if each.wish.claimed_at is not None]
    # What the agent wrote in the gateway's place is none of the gateway's deliveries.
    delivered = [x for x in compared if not x.is_missing and x.wish.was_delivered is not False]
    clock = None if facts.session is None else facts.session.clock
    measured = GatewayEvidence(
        listed=len(compared),
        delivered=len(delivered),
        missing=len(compared) - len(delivered),
        gateways=book.gateways,
        as_of=book.looked_at,
        clock_error_s=None if clock is None else clock.error_s,
    )
    verdict = judge(measured) if compared else book.standing.verdict
    lacking = sum(each.is_missing for each in compared)
    seen = [
        Evidence(
            f"gateway {gateway.name}: {'online' if gateway.is_online else 'offline'}"
            + _hearing(gateway),
            Source.CLOUD,
            book.looked_at,
        )
        for gateway in book.gateways
    ]
    if compared and facts.session is not None:
        seen.append(
            Evidence(
                f"{len(compared)} passcodes on the cloud's list, {lacking} of them not in the"
                f" lock, {len(delivered)} brought by the gateway",
                Source.LOCK,
                facts.session.at,
            )
        )
    if verdict in _GOOD:
        if facts.session is None:
            return unknown(facts.known_verdict or facts.no_session)
        return passed(_good_words(verdict, measured), *seen)
    if lacking:
        words = sentence(verdict, measured).removesuffix(_DOES) + "."
    elif not compared:
        words = facts.known_verdict or facts.no_session
    else:
        words = (
            f"The gateway did not bring {measured.missing} of {measured.listed} listed passcodes"
            f" ({verdict.value.replace('_', ' ')}); the agent has, and goes on doing so."
        )
    is_urgent = bool(lacking) and verdict in TAKEN_OVER | {GatewayVerdict.CLOUD_ONLY_RECORD}
    return Finding(
        verdict=Verdict.FAIL if is_urgent else Verdict.WARN,
        sentence=words,
        evidence=seen,
        remedy=_REMEDIES.get(verdict, "Power-cycle the gateway and look again.")
        + (f" Meanwhile: ttlock-agent diagnose {facts.lock} --fix." if lacking else ""),
    )


_REMEDIES: Final = {
    GatewayVerdict.CONNECTED_NOT_DELIVERING: "Power-cycle the gateway; if that does not help,"
    " remove it in the vendor's app and add it anew.",
    GatewayVerdict.CANNOT_HEAR_LOCK: "Move the gateway closer to the lock.",
    GatewayVerdict.OFFLINE: "Check the gateway's power and network.",
    GatewayVerdict.BUSY: "Power-cycle the gateway if it stays busy.",
    GatewayVerdict.CLOUD_ONLY_RECORD: "Have the booking system add passcodes through the gateway"
    " (addType 2), or leave the delivery to the agent.",
}


def heard(facts: Facts) -> Finding:
    """Say how strongly gateways hear the lock, and how often they got through to it."""
    if not facts.book.gateways:
        return unknown(_NO_ACCESS)
    known = [each for each in facts.book.gateways if each.rssi_dbm is not None]
    evidence = [
        Evidence(
            f"{each.name} hears the lock at {each.rssi_dbm} dBm",
            Source.CLOUD,
            each.heard_lock_at or facts.book.looked_at,
        )
        for each in known
    ]
    asked = [each for each in facts.book.probes if each.result is not ProbeResult.NO_ANSWER]
    answered = sum(each.result is ProbeResult.OK for each in asked)
    if asked:
        evidence.append(
            Evidence(
                f"{answered} of the last {len(asked)} questions through a gateway were answered",
                Source.CLOUD,
                asked[-1].at,
            )
        )
    if not evidence:
        return unknown("Not measured: nobody tells how strongly the gateway hears the lock.")
    is_weak = max((each.rssi_dbm or 0 for each in known), default=0) < WEAK_DBM
    is_bad = len(asked) >= ENOUGH_PROBES and answered < len(asked) / 2
    if not is_weak and not is_bad:
        return passed("A gateway hears the lock well.", *evidence)
    return Finding(
        verdict=Verdict.WARN,
        sentence="The gateway hears the lock weakly."
        if is_weak
        else "Most questions through the gateway are not answered.",
        evidence=evidence,
        remedy="Move the gateway closer to the lock, away from Wi-Fi routers.",
    )


def cloud(facts: Facts) -> Finding:
    """Say what the cloud answers, and whether rights and calls suffice."""
    told = facts.status.get("cloud") or {}
    if not told.get("is_watched"):
        return unknown("Not measured: no access to the cloud is configured.")
    trouble = told.get("trouble")
    own = (told.get("lock_errors") or {}).get(facts.lock)
    calls = Evidence(
        f"{told.get('calls_this_month')} of {told.get('monthly_call_budget')} calls this month",
        Source.JOURNAL,
        facts.now,
    )
    if trouble is not None:
        return Finding(
            verdict=Verdict.FAIL,
            sentence=f"The cloud cannot be used. {trouble['message']}",
            evidence=(Evidence(f"error {trouble['code']}", Source.CLOUD, facts.now), calls),
            remedy=trouble["hint"],
        )
    if own is not None:
        return Finding(
            verdict=Verdict.FAIL,
            sentence=f"The cloud does not answer for this lock. {own}",
            evidence=(Evidence(own, Source.CLOUD, facts.now), calls),
            remedy="Check `cloud_lock_id` and the account's rights to this lock in the vendor's"
            " app.",
        )
    if told.get("calls_this_month") is None:
        return unknown("Not measured: the cloud has not been asked yet.")
    looked_at = facts.book.looked_at
    answered = Evidence("the lists were read without an error", Source.CLOUD, looked_at)
    if looked_at is not None and facts.now - looked_at > STALE:
        return Finding(
            verdict=Verdict.WARN,
            sentence="The cloud's list has not been read for a day.",
            evidence=(answered, calls),
            remedy="ttlock-agent status",
        )
    return passed("The cloud answers, and the account has the rights it needs.", answered, calls)


def _hearing(gateway: GatewayView) -> str:
    if gateway.heard_lock_at is None:
        return ""
    return f", heard the lock at {gateway.heard_lock_at.isoformat(timespec='seconds')}"


def _good_words(verdict: GatewayVerdict, measured: GatewayEvidence) -> str:
    if verdict is GatewayVerdict.UNKNOWN and not measured.listed:
        return "The cloud lists no passcode that the gateway should have brought."
    return sentence(verdict, measured)
