"""Checks of passcodes: what should be in the lock, what is, and what happened at the door."""

from __future__ import annotations

from collections import Counter
from typing import Final

from ttlock_agent.backup.plan import USUAL_ROOM
from ttlock_agent.backup.read import PASSCODES
from ttlock_agent.diagnose.compare import compare, named, reviewed
from ttlock_agent.diagnose.facts import Facts, Wish
from ttlock_agent.diagnose.finding import (
    Evidence,
    Finding,
    Fix,
    Source,
    Verdict,
    passed,
    unknown,
)
from ttlock_agent.diagnose.words import MOST_SHOWN, counted, cut
from ttlock_agent.errors import NotInLock
from ttlock_agent.jobs.model import Job
from ttlock_agent.jobs.passcodes import Held, collision
from ttlock_protocol.errors import Refusal
from ttlock_protocol.features import Feature
from ttlock_protocol.messages.log import LogType
from ttlock_protocol.messages.pages import Unreadable
from ttlock_protocol.messages.passcodes import PasscodeRecord

ROOM: Final = USUAL_ROOM[PASSCODES]
NEARLY_FULL: Final = 0.9
_FULL: Final = frozenset(
    each.name.lower() for each in (Refusal.MEMORY_FULL, Refusal.PASSCODE_MEMORY_FULL)
)
_CROWDED: Final = frozenset({LogType.PASSCODE_PUSHED_OUT, LogType.PASSCODE_NO_SPACE})


def wanted(facts: Facts) -> Finding:
    """Compare what is wanted with the lock's own memory."""
    if not facts.wishes:
        return passed("No passcode is wanted in this lock.", _journal(facts, "no wish"))
    if facts.session is None or facts.session.listing is None:
        return _by_proofs(facts)
    compared = compare(facts)
    lacking = [each for each in compared if each.is_missing]
    unreadable = [each for each in compared if each.held is Held.NOT_READABLE]
    summary = Evidence(
        f"{len(compared)} wanted, {len(compared) - len(lacking) - len(unreadable)} held as wanted,"
        f" {len(lacking)} missing or held otherwise",
        Source.LOCK,
        facts.session.at,
    )
    if lacking:
        details = [
            Evidence(f"{name}: {each.held.value}{_since(each.wish)}", Source.LOCK, facts.session.at)
            for name, each in zip(named([each.wish for each in lacking]), lacking, strict=True)
        ]
        return Finding(
            verdict=Verdict.FAIL,
            sentence=f"{counted(len(lacking), 'wanted passcode')} not in the lock's memory: no"
            " keypad entry can open with what the lock does not hold.",
            evidence=(summary, *cut(details)),
            remedy=f"ttlock-agent diagnose {facts.lock} --fix",
            fix=Fix.MISSING,
            fix_words=f"deliver {counted(len(lacking), 'missing passcode')} over Bluetooth now, and"
            " prove each by reading the lock's memory",
        )
    if unreadable:
        return Finding(
            verdict=Verdict.WARN,
            sentence=f"{counted(len(unreadable), 'wanted passcode')} may be among records that"
            " cannot be read.",
            evidence=(summary,),
            remedy="ttlock-agent support-bundle",
        )
    return passed("The lock holds every wanted passcode as it is wanted.", summary)


def _by_proofs(facts: Facts) -> Finding:
    proofs = [wish.wanted.proved_at for wish in facts.wishes]
    at = [each for each in proofs if each is not None]
    evidence = (
        Evidence(
            f"{len(at)} of {len(proofs)} proved at earlier visits",
            Source.JOURNAL,
            min(at, default=None),
        ),
    )
    return Finding(verdict=Verdict.UNKNOWN, sentence=facts.no_session, evidence=evidence)


def memory(facts: Facts) -> Finding:
    """Count what the lock holds against what such locks hold, and look for refusals."""
    session = facts.session
    if session is None or session.listing is None:
        return unknown(facts.no_session)
    count = len(session.listing)
    unreadable = sum(isinstance(each, Unreadable) for each in session.listing)
    of_known = f", {unreadable} of them unreadable" if unreadable else ""
    evidence = [
        Evidence(
            f"{counted(count, 'passcode')} listed{of_known}; such locks are known to hold {ROOM},"
            " and no lock tells how many it takes",
            Source.LOCK,
            session.at,
        )
    ]
    full = [
        job
        for job in facts.failed_jobs
        if job.error is not None
        and job.error.code in _FULL
        and (facts.last_added_at is None or job.updated_at > facts.last_added_at)
    ]
    evidence += [_of_job(job) for job in full[:MOST_SHOWN]]
    crowded = [record for record in session.log if record.log_type in _CROWDED]
    if crowded:
        evidence.append(
            Evidence(
                f"{counted(len(crowded), 'record')} of passcodes pushed out or without space"
                " (9 and 12)",
                Source.LOCK,
                session.at,
            )
        )
    if full or (crowded and count >= ROOM * NEARLY_FULL):
        return Finding(
            verdict=Verdict.FAIL,
            sentence="The lock has refused passcodes for want of room.",
            evidence=evidence,
            remedy=f"ttlock-agent diagnose {facts.lock} --fix removes expired ones; delete others"
            " that nobody needs with `passcode.delete`.",
        )
    if count >= ROOM * NEARLY_FULL:
        return Finding(
            verdict=Verdict.WARN,
            sentence="The lock holds nearly as many passcodes as such locks are known to.",
            evidence=evidence,
            remedy="Delete passcodes that nobody needs any more.",
        )
    return passed("There is room for passcodes.", *evidence)


def expired(facts: Facts) -> Finding:
    """Count known passcodes whose validity has ended."""
    session = facts.session
    if session is None or session.listing is None:
        return unknown(facts.no_session)
    over = reviewed(facts).over
    summary = Evidence(f"{len(over)} of {len(session.listing)} over", Source.LOCK, session.at)
    if not over:
        return passed("No known passcode in the lock is over.", summary)
    if not facts.is_time_known:
        return unknown("Not measured: this machine's clock is not synchronised.")
    return Finding(
        verdict=Verdict.WARN,
        sentence=f"{counted(len(over), 'passcode')} in the lock can open nothing any more.",
        evidence=(summary,),
        remedy=f"ttlock-agent diagnose {facts.lock} --fix",
        fix=Fix.EXPIRED,
        fix_words=f"remove {counted(len(over), 'passcode')} whose validity has ended, and prove it",
    )


def strangers(facts: Facts) -> Finding:
    """Count passcodes that nobody asked this agent for."""
    session = facts.session
    if session is None or session.listing is None:
        return unknown(facts.no_session)
    found = reviewed(facts).strangers
    kinds = Counter(each.passcode_type.name.lower() for each in found)
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "none"
    evidence = Evidence(f"unknown to this agent: {told}", Source.LOCK, session.at)
    if not found:
        return passed("Every passcode in the lock is known.", evidence)
    return Finding(
        verdict=Verdict.WARN,
        sentence=f"{counted(len(found), 'passcode')} in the lock came from somebody else, such as"
        " the vendor's app; they are left alone.",
        evidence=(evidence,),
        remedy="Look through them in the vendor's app. To have the agent remove unknown ones: "
        "`unknown_passcodes: delete` for this lock, after `ttlock-agent backup create "
        f"{facts.lock}`.",
    )


def collisions(facts: Facts) -> Finding:
    """Look for wanted passcodes that begin like another one."""
    session = facts.session
    if session is None or session.listing is None:
        return unknown(facts.no_session)
    held_digits = [each.passcode for each in session.listing if isinstance(each, PasscodeRecord)]
    touched = [
        wish for wish in facts.wishes if collision(wish.wanted.digits, held_digits) is not None
    ]
    evidence = Evidence(f"{len(facts.wishes)} compared with {len(held_digits)}", Source.LOCK,
                        session.at)  # fmt: skip
    if not touched:
        return passed("No wanted passcode begins like another one in the lock.", evidence)
    return Finding(
        verdict=Verdict.WARN,
        sentence=f"{counted(len(touched), 'wanted passcode')} begins like another one in the lock,"
        " or the other way round; locks confuse such.",
        evidence=(evidence, *cut([Evidence(name, Source.LOCK, session.at)
                                   for name in named(touched)])),
        remedy="Choose other digits for one of the two.",
    )  # fmt: skip


def kinds(facts: Facts) -> Finding:
    """Say which kinds the lock takes, and which it has refused and why."""
    refused_jobs = [job for job in facts.failed_jobs if job.verb == "passcode.add"]
    evidence = [_of_job(job) for job in refused_jobs[:MOST_SHOWN]]
    session = facts.session
    features = None if session is None else session.features
    if session is not None and features is not None:
        offered = ["permanent", "period", "one_time"] if Feature.PASSCODE in features else []
        if Feature.CYCLIC_PASSCODE in features:
            offered.append("cyclic")
        evidence.insert(
            0, Evidence(f"kinds it takes: {', '.join(offered) or 'none'}", Source.LOCK, session.at)
        )
        if not offered:
            return Finding(
                verdict=Verdict.FAIL,
                sentence="The lock says that it has no keypad passcodes.",
                evidence=evidence,
                remedy="Check model and address of the lock.",
            )
    if refused_jobs:
        return Finding(
            verdict=Verdict.WARN,
            sentence=f"The lock has refused {counted(len(refused_jobs), 'passcode')} for good.",
            evidence=evidence,
            remedy="See each reason; try another kind or length with `passcode.add`.",
        )
    if features is None:
        return unknown(facts.no_session)
    return passed("The lock has refused no kind of passcode.", *evidence)


def confirmed(facts: Facts) -> Finding:
    """Look for passcodes that the lock confirmed and did not keep."""
    lost = [
        job
        for job in facts.failed_jobs
        if job.error is not None
        and job.error.code == NotInLock.code
        and (facts.last_added_at is None or job.updated_at > facts.last_added_at)
    ]
    if lost:
        return Finding(
            verdict=Verdict.FAIL,
            sentence="The lock confirms passcodes and does not keep them: it may be faulty.",
            evidence=[_of_job(job) for job in lost[:MOST_SHOWN]],
            remedy="Take the batteries out for a minute and try again. The last resort, which loses"
            f" nothing that a lock tells: `ttlock-agent backup create {facts.lock}`, `ttlock-agent"
            f" lock reset {facts.lock} --backup ID`, add it anew, `ttlock-agent restore`.",
        )
    if facts.last_added_at is None:
        return unknown("Not measured: no passcode was written lately.")
    told = Evidence("a new passcode was read back", Source.JOURNAL, facts.last_added_at)
    return passed("The lock keeps what it confirms.", told)


def deliveries(facts: Facts) -> Finding:
    """List jobs that wait after a failed visit."""
    waiting = [job for job in facts.open_jobs if job.reason is not None and job.attempts > 0]
    summary = _journal(facts, f"{len(facts.open_jobs)} open jobs, {len(waiting)} after a failure")
    if not waiting:
        return passed("No job of this lock waits after a failed visit.", summary)
    shown = [
        Evidence(
            f"{job.verb} {job.id}, tried {job.attempts} times: "
            f"{'' if job.reason is None else job.reason.sentence}",
            Source.JOURNAL,
            job.updated_at,
        )
        for job in waiting
    ]
    return Finding(
        verdict=Verdict.WARN,
        sentence=f"{counted(len(waiting), 'job')} of this lock could not be done yet.",
        evidence=(summary, *cut(shown)),
        remedy="ttlock-agent status",
    )


def _since(wish: Wish) -> str:
    if wish.claimed_at is not None:
        return f", on the cloud's list since {wish.claimed_at.isoformat(timespec='seconds')}"
    if wish.wanted.proved_at is not None:
        return f", proved last at {wish.wanted.proved_at.isoformat(timespec='seconds')}"
    return ", not proved yet"


def _of_job(job: Job) -> Evidence:
    kind = (job.result or {}).get("kind")
    error = "" if job.error is None else f"{job.error.message} ({job.error.code})"
    return Evidence(
        f"{job.verb} {job.id}{f' of kind {kind}' if kind else ''}: {error}",
        Source.JOURNAL,
        job.updated_at,
    )


def _journal(facts: Facts, text: str) -> Evidence:
    return Evidence(text, Source.JOURNAL, facts.now)
