"""The check of what happened at the keypad."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from ttlock_agent.diagnose.compare import compare, named
from ttlock_agent.diagnose.facts import Facts, Wish
from ttlock_agent.diagnose.finding import (
    Evidence,
    Finding,
    Source,
    Verdict,
    passed,
    unknown,
)
from ttlock_agent.diagnose.words import counted, cut
from ttlock_agent.jobs.records import recorded_at
from ttlock_protocol.messages.log import LogRecord, LogType

LAST_DAYS: Final = timedelta(days=7)
"""How far back the door's log matters."""
_REFUSED_AT_DOOR: Final = {
    LogType.WRONG_PASSCODE: "wrong (record 7)",
    LogType.PASSCODE_OUT_OF_WINDOW: "out of its window (record 11)",
    LogType.PASSCODE_BLACKLISTED: "blacklisted (record 13)",
}


def at_the_door(facts: Facts) -> Finding:
    """Match refused entries of the last days with wanted passcodes."""
    session = facts.session
    if session is None:
        return unknown(facts.no_session)
    if "log" in session.refused and not session.log:
        return unknown(f"Not measured: {session.refused['log']}")
    timed = [(record, _true_time(record, facts)) for record in session.log]
    recent = [(record, at) for record, at in timed if _is_recent(at, facts.now)]
    entries = [(record, at) for record, at in recent if record.log_type in _REFUSED_AT_DOOR]
    by_digits = {wish.wanted.digits: wish for wish in facts.wishes}
    matched = [
        (by_digits[record.passcode], record, at)
        for record, at in entries
        if record.passcode in by_digits
    ]
    strange = len(entries) - len(matched)
    whole = "" if session.log_reaches_end else "; the log is longer than what was read"
    summary = Evidence(
        f"{counted(len(recent), 'record')} of the last {LAST_DAYS.days} days; refused entries:"
        f" {len(matched)} of wanted passcodes, {strange} of others{whole}",
        Source.LOCK,
        session.at,
    )
    if not matched:
        return passed("No wanted passcode was refused at the keypad lately.", summary)
    lacking = {each.wish.wanted.digits for each in compare(facts) if each.is_missing}
    is_still_so = any(
        record.passcode in lacking
        or (record.log_type == LogType.PASSCODE_OUT_OF_WINDOW and _is_clock_off(facts))
        for _, record, _ in matched
    )
    return Finding(
        verdict=Verdict.FAIL if is_still_so else Verdict.WARN,
        sentence="People typed wanted passcodes and were refused"
        + ("." if is_still_so else "; the lock holds these passcodes now, and its clock is right."),
        evidence=(summary, *cut(_entries(matched))),
        remedy=f"ttlock-agent diagnose {facts.lock} --fix" if is_still_so else "",
    )


def _is_recent(at: datetime | None, now: datetime) -> bool:
    """Records whose clock held no date count: nobody can say that they are old."""
    return at is None or now - at <= LAST_DAYS


def _true_time(record: LogRecord, facts: Facts) -> datetime | None:
    """Return when it happened: by the lock's clock, less what that was off before it was set."""
    at = recorded_at(record, facts.zone, near=facts.now)
    if at is None:
        return None
    for entry in facts.clock_history:
        if entry["was_set"] and entry["clock_error_s"] is not None:
            before = at - timedelta(seconds=entry["clock_error_s"])
            if before <= datetime.fromisoformat(entry["at"]):
                return before
    clock = None if facts.session is None else facts.session.clock
    return at - timedelta(seconds=0.0 if clock is None else clock.error_s or 0.0)


def _is_clock_off(facts: Facts) -> bool:
    clock = None if facts.session is None else facts.session.clock
    if clock is None:
        return False
    return clock.error_s is None or abs(clock.error_s) > facts.clock_tolerance_s


def _entries(
    matched: Sequence[tuple[Wish, LogRecord, datetime | None]],
) -> list[Evidence]:
    counts: Counter[tuple[str, str]] = Counter()
    last: dict[tuple[str, str], datetime | None] = {}
    for wish, record, at in matched:
        key = (named([wish])[0], _REFUSED_AT_DOOR[record.log_type])
        counts[key] += 1
        last[key] = at
    return [
        Evidence(f"{name}: {counted(count, 'time')} {word}", Source.LOCK, last[name, word])
        for (name, word), count in counts.items()
    ]
