"""Checks of the lock itself: whether it answers, with what, and what its switches say."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from ttlock_agent.diagnose.facts import Facts
from ttlock_agent.diagnose.finding import (
    Evidence,
    Finding,
    Fix,
    Source,
    Verdict,
    passed,
    unknown,
)
from ttlock_agent.diagnose.firmware import Confidence, matching
from ttlock_agent.errors import AdapterUnavailable, KeysRejected
from ttlock_agent.jobs.drift import drift_s_per_day
from ttlock_agent.jobs.signal import median_dbm
from ttlock_protocol.features import Feature
from ttlock_protocol.messages.settings import Switch

CLOCK_LIMIT_S: Final = 60.0
"""Validity is counted in minutes: from one minute on, passcodes open late or not at all."""
FAST_DRIFT_S_PER_DAY: Final = 10.0
"""A quartz loses or gains a second or two; more needs a correction every few days."""
LOW_BATTERY: Final = 20
EMPTY_BATTERY: Final = 10
WEAK_DBM: Final = -85
"""Where connections begin to fail in practice; receivers end at about -95."""
GOOD_SUCCESS: Final = 0.8
ENOUGH_TRIES: Final = 5
_MATTER: Final = (
    Feature.PASSCODE,
    Feature.MODIFY_PASSCODE,
    Feature.CYCLIC_PASSCODE,
    Feature.GATEWAY_UNLOCK,
)
_ZONE_STEP_S: Final = 1800
_ZONE_SLACK_S: Final = 120
_OUT_OF_REACH: Final = frozenset({"lock_not_seen", "connect_failed", "link_lost"})


def reached(facts: Facts) -> Finding:
    """Say whether the lock answers over Bluetooth, without gateway and cloud."""
    session, error = facts.session, facts.unreached
    if session is not None:
        return passed(
            "The lock answers over Bluetooth; neither gateway nor cloud is needed for that.",
            Evidence(f"connected, heard at {_dbm(session.rssi_dbm)}", Source.LOCK, session.at),
        )
    if error is None:
        return unknown(facts.no_session)
    if isinstance(error, KeysRejected):
        return passed(
            "The lock answers over Bluetooth.",
            Evidence("connected", Source.LOCK, facts.now),
        )
    if isinstance(error, AdapterUnavailable):
        return unknown(facts.no_session, remedy=error.hint)
    return Finding(
        verdict=Verdict.FAIL,
        sentence=f"The lock could not be reached over Bluetooth. {error.message}",
        evidence=(Evidence(f"error {error.code}", Source.MACHINE, facts.now),),
        remedy=error.hint,
    )


def keys(facts: Facts) -> Finding:
    """Say whether the lock knows the agent's keys, or was reset or paired anew."""
    if facts.session is not None:
        return passed(
            "The lock accepts the agent's keys as the administrator's: it was not reset.",
            Evidence("authenticated as administrator", Source.LOCK, facts.session.at),
        )
    if isinstance(facts.unreached, KeysRejected):
        return Finding(
            verdict=Verdict.FAIL,
            sentence="The lock does not know these keys: it was reset, or paired anew by somebody"
            " else. Passcodes from before are gone.",
            evidence=(Evidence("the keys were rejected", Source.LOCK, facts.now),),
            remedy="Export the lock's new keys and run `ttlock-agent keys import`; then"
            f" `ttlock-agent restore {facts.lock} BACKUP` brings back what a backup holds.",
        )
    return unknown(facts.no_session)


def firmware(facts: Facts) -> Finding:
    """Look the firmware up in the table of known faults."""
    session = facts.session
    if session is not None and session.firmware is not None:
        version, model, hardware = session.firmware, session.model, session.hardware
        at, source = session.at, Source.LOCK
    elif facts.info is not None and facts.info.value.get("firmware"):
        info = facts.info.value
        version, model, hardware = info["firmware"], info.get("model"), info.get("hardware")
        at, source = facts.info.as_of, Source.JOURNAL
    elif session is not None:
        return unknown(f"Not measured: {session.refused.get('firmware', 'the lock does not say')}")
    else:
        return unknown(facts.no_session)
    told = Evidence(f"model {model}, hardware {hardware}, firmware {version}", source, at)
    found = matching(facts.faults, version, model)
    rows = Evidence(f"{len(facts.faults)} rows in the table of known faults", Source.TABLE)
    if not found:
        return passed("Nothing is known against this firmware.", told, rows)
    surest = found[0]
    is_sure = surest.confidence is Confidence.CONFIRMED
    return Finding(
        verdict=Verdict.FAIL if is_sure else Verdict.WARN,
        sentence=f"This firmware is {surest.confidence.value} to have a fault: {surest.fault}",
        evidence=(
            told,
            *(
                Evidence(f"{each.confidence.value}: {each.evidence} ({each.source})", Source.TABLE)
                for each in found
            ),
        ),
        remedy=surest.remedy,
    )


def features(facts: Facts) -> Finding:
    """Say what the feature bits and switches mean for passcodes."""
    session = facts.session
    if session is None:
        return unknown(facts.no_session)
    if session.features is None:
        return unknown(f"Not measured: {session.refused.get('features', '')}")
    matters = ", ".join(
        f"{each.name.lower()} {'yes' if each in session.features else 'no'}" for each in _MATTER
    )
    names = ", ".join(getattr(each, "name", str(int(each))).lower() for each in session.features)
    evidence = [
        Evidence(matters, Source.LOCK, session.at),
        Evidence(f"all features: {names}", Source.LOCK, session.at),
    ]
    switches = session.switches
    if switches is not None:
        on = [each.name.lower() for each in Switch if switches & each]
        evidence.append(
            Evidence(f"switches on: {', '.join(on) or 'none'}", Source.LOCK, session.at)
        )
    if Feature.PASSCODE not in session.features:
        return Finding(
            verdict=Verdict.FAIL,
            sentence="The lock's feature bits say that it takes no passcodes.",
            evidence=evidence,
            remedy="Check model and address of the lock.",
        )
    if Feature.NO_CLOCK in session.features:
        return Finding(
            verdict=Verdict.WARN,
            sentence="The lock has no clock: passcodes with a validity cannot work in it.",
            evidence=evidence,
            remedy="Use permanent passcodes, and delete them when they are over.",
        )
    return passed("The lock has a keypad for passcodes, and nothing is switched off.", *evidence)


def remote_unlock(facts: Facts) -> Finding:
    """Say whether the gateway may open the lock."""
    session = facts.session
    if session is None:
        return unknown(facts.no_session)
    if session.features is not None and Feature.REMOTE_UNLOCK_SWITCH not in session.features:
        return passed(
            "The lock has no such switch.", Evidence("feature 14 is not set", Source.LOCK,
                                                     session.at)
        )  # fmt: skip
    if session.is_remote_unlock_on is None:
        return unknown(
            f"Not measured: {session.refused.get('remote_unlock', 'the lock does not say')}"
        )
    is_on = session.is_remote_unlock_on
    told = Evidence(f"remote unlock is {'on' if is_on else 'off'}", Source.LOCK, session.at)
    if is_on:
        return passed("The gateway may open the lock.", told)
    if not facts.book.gateways:
        return passed("Remote unlock is off, and no gateway is known that would need it.", told)
    return Finding(
        verdict=Verdict.WARN,
        sentence="Remote unlock is switched off in the lock, and a gateway serves it: what it is"
        " asked to do is refused.",
        evidence=(told,),
        remedy=f"ttlock-agent diagnose {facts.lock} --fix, unless somebody switched it off on"
        " purpose.",
        fix=Fix.REMOTE_UNLOCK,
        fix_words="switch remote unlock on in the lock, and read it back",
    )


def clock(facts: Facts) -> Finding:
    """Hold the lock's clock against this machine's time in the lock's zone."""
    session = facts.session
    if session is None:
        return _known_clock(facts)
    if session.clock is None:
        return passed("The lock has no clock.", Evidence("clock refused", Source.LOCK, session.at))
    error_s, at = session.clock.error_s, session.clock.read_at
    offset = at.astimezone(facts.zone).strftime("%z")
    zone = Evidence(f"zone {facts.zone}, UTC offset {offset} now", Source.MACHINE, facts.now)
    if error_s is None:
        told = Evidence("the lock's clock holds no time", Source.LOCK, at)
        return _wrong_clock(facts, "The lock has lost the time.", [told, zone], "set the clock")
    told = Evidence(f"{span(error_s)} by this machine's clock", Source.LOCK, at)
    if abs(error_s) <= facts.clock_tolerance_s:
        return passed("The lock's clock is right.", told, zone)
    why = " That looks like a wrong time zone, or daylight saving." if _is_zone(error_s) else ""
    return _wrong_clock(
        facts,
        f"The lock's clock is {span(error_s)}: passcodes with a validity open too early, too late"
        f" or not at all.{why}",
        [told, zone],
        f"set the lock's clock, which is {span(error_s)}, and read it back",
        is_bad=abs(error_s) >= CLOCK_LIMIT_S,
    )


def _wrong_clock(
    facts: Facts, sentence: str, evidence: list[Evidence], fix: str, *, is_bad: bool = True
) -> Finding:
    return Finding(
        verdict=Verdict.FAIL if is_bad else Verdict.WARN,
        sentence=sentence,
        evidence=evidence,
        remedy=f"ttlock-agent diagnose {facts.lock} --fix"
        if facts.is_time_known
        else "Have this machine's own clock synchronised first: `timedatectl`.",
        fix=Fix.CLOCK if facts.is_time_known else None,
        fix_words=fix,
    )


def _known_clock(facts: Facts) -> Finding:
    known = facts.last_clock
    if known is None or known.value.get("clock_error_s") is None:
        return unknown(facts.no_session)
    told = Evidence(f"{span(known.value['clock_error_s'])} then", Source.JOURNAL, known.as_of)
    return Finding(verdict=Verdict.UNKNOWN, sentence=facts.no_session, evidence=(told,))


def drift(facts: Facts) -> Finding:
    """Say how fast the lock's clock goes wrong."""
    per_day = drift_s_per_day(facts.clock_history)
    if per_day is None:
        return unknown("Not measured: it takes two readings, an hour apart or more.")
    told = Evidence(
        f"gains {per_day:+.1f} s a day",
        Source.JOURNAL,
        None if facts.last_clock is None else facts.last_clock.as_of,
    )
    if abs(per_day) < FAST_DRIFT_S_PER_DAY:
        return passed("The lock's clock keeps the time.", told)
    return Finding(
        verdict=Verdict.WARN,
        sentence="The lock's clock is a bad one; the agent sets it whenever it is connected.",
        evidence=(told,),
        remedy="Change the batteries; if it stays, ask for `clock.sync` every day.",
    )


def battery(facts: Facts) -> Finding:
    """Say what charge the lock reports."""
    session = facts.session
    if session is not None and session.battery_percent is not None:
        percent, at = session.battery_percent, session.at
    elif facts.heard.get("battery_percent") is not None:
        percent = facts.heard["battery_percent"]
        at = datetime.fromisoformat(facts.heard["battery_as_of"])
    else:
        return unknown("Not measured: the lock does not say." if session else facts.no_session)
    told = Evidence(f"{percent} %", Source.LOCK, at)
    if percent > LOW_BATTERY:
        return passed("The batteries are good.", told)
    is_empty = percent <= EMPTY_BATTERY
    return Finding(
        verdict=Verdict.FAIL if is_empty else Verdict.WARN,
        sentence="The batteries are nearly empty: locks refuse changes then, and lose their clock.",
        evidence=(told,),
        remedy="Change the batteries of the lock.",
    )


def signal(facts: Facts) -> Finding:
    """Say how well this machine has heard the lock, and got through to it."""
    days = facts.signal_days
    now_dbm, at = _strength(facts)
    evidence = []
    if now_dbm is not None:
        evidence.append(Evidence(f"heard at {now_dbm} dBm", Source.LOCK, at))
    connected = sum(day["connected"] for day in days)
    missed = sum(day["failed"].get(code, 0) for day in days for code in _OUT_OF_REACH)
    lost = sum(day["lost"] for day in days)
    median = median_dbm(days)
    tried = connected + missed
    if tried:
        share = (connected - lost) / tried
        evidence.append(
            Evidence(
                f"{days[0]['day']} to {days[-1]['day']}: {tried} connections tried, {connected}"
                f" made, {lost} broke ({max(0.0, share):.0%} good), median {_dbm(median)}",
                Source.JOURNAL,
                facts.now,
            )
        )
    if not evidence:
        return unknown("Not measured: the lock was neither heard nor asked in the last days.")
    strengths = [each for each in (now_dbm, median) if each is not None]
    is_weak = min(strengths, default=0) < WEAK_DBM
    is_bad = tried >= ENOUGH_TRIES and (connected - lost) / tried < GOOD_SUCCESS
    if not is_weak and not is_bad:
        return passed("The lock is heard and reached well.", *evidence)
    return Finding(
        verdict=Verdict.WARN,
        sentence="The lock is heard weakly." if is_weak else "Many connections fail or break.",
        evidence=evidence,
        remedy="Move this machine closer to the lock, use Ethernet or 5 GHz instead of 2.4 GHz"
        " Wi-Fi, or a USB Bluetooth adapter on a cable.",
    )


def _strength(facts: Facts) -> tuple[int | None, datetime | None]:
    """Return how strongly the lock was heard last, and when; it need not have been asked for it."""
    if facts.session is not None and facts.session.rssi_dbm is not None:
        return facts.session.rssi_dbm, facts.session.at
    heard = facts.heard
    if heard.get("rssi_dbm") is None:
        return None, None
    return heard["rssi_dbm"], datetime.fromisoformat(heard["seen_at"])


def span(seconds: float) -> str:
    """Say how far a clock is off."""
    if abs(seconds) < CLOCK_LIMIT_S:
        size = f"{abs(seconds):.0f} s"
    else:
        hours, minutes = divmod(round(abs(seconds) / 60), 60)
        size = f"{hours} h {minutes:02} min" if hours else f"{minutes} min"
    return f"{size} {'fast' if seconds > 0 else 'slow'}"


def _is_zone(error_s: float) -> bool:
    size = abs(error_s)
    rest = size % _ZONE_STEP_S
    return size >= _ZONE_STEP_S - _ZONE_SLACK_S and min(rest, _ZONE_STEP_S - rest) <= _ZONE_SLACK_S


def _dbm(value: Any) -> str:
    return "a strength that is not known" if value is None else f"{value} dBm"
