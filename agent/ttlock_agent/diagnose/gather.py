"""Puts the facts of one lock together: journal, watch, status, and what the lock said."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from ttlock_agent.clock import Clock
from ttlock_agent.diagnose.facts import Facts, Session, Wish
from ttlock_agent.diagnose.firmware import Fault
from ttlock_agent.errors import AgentError
from ttlock_agent.jobs.memory import CLOCK, CLOCK_HISTORY
from ttlock_agent.jobs.model import CLOUD_OWNER, Job, JobState, PasscodeKind, WantedPasscode
from ttlock_agent.jobs.signal import SIGNAL
from ttlock_agent.jobs.store import Journal
from ttlock_agent.jobs.sync import is_over
from ttlock_agent.lock.visit import LockProfile
from ttlock_agent.requests import BENCH_VERBS
from ttlock_agent.watch.book import Book, Claim
from ttlock_agent.watch.watch import GatewayWatch
from ttlock_protocol.messages.passcodes import PasscodeRecord

INFO: Final = "info"
"""Name of what the lock said of itself, in the journal's memory of a lock."""
FOUND: Final = "diagnosis"
"""Name of what the last visit of a diagnosis found, without names of people."""
SIGNAL_DAYS: Final = 7
JOBS_LOOKED_AT: Final = 200
FAILURES_MATTER_FOR: Final = timedelta(days=7)

Status = Callable[[], Awaitable[dict[str, Any]]]


class Gatherer:
    """Knows where every fact is."""

    def __init__(
        self,
        journal: Journal,
        watch: GatewayWatch,
        clock: Clock,
        *,
        status: Status,
        state_directory: Path,
        faults: Sequence[Fault],
    ) -> None:
        self._journal = journal
        self._watch = watch
        self._clock = clock
        self._status = status
        self._state_directory = state_directory
        self._faults = faults

    async def facts(
        self,
        profile: LockProfile,
        *,
        session: Session | None,
        unreached: AgentError | None,
    ) -> Facts:
        """Return all that is known just now, besides what the lock said in ``session``."""
        journal, lock, now = self._journal, profile.id, self._clock.now()
        book = await self._watch.book(lock)
        wanted = await journal.wanted(lock)
        jobs = await journal.recent(JOBS_LOOKED_AT, lock=lock)
        history = await journal.last_known(lock, CLOCK_HISTORY)
        days = await journal.last_known(lock, SIGNAL)
        return Facts(
            now=now,
            lock=lock,
            zone=profile.zone,
            session=session,
            unreached=unreached,
            wishes=[wish for wish in wishes_of(wanted, book) if not is_over(wish.wanted, now)],
            removals=[each for each in wanted if not each.is_wanted or is_over(each, now)],
            former=await journal.former(lock, _digits_in(session)),
            open_jobs=[job for job in await journal.open_jobs(lock) if job.verb not in BENCH_VERBS],
            failed_jobs=[
                job
                for job in jobs
                if _was_refused(job) and now - job.updated_at <= FAILURES_MATTER_FOR
            ],
            last_added_at=max(
                (
                    job.updated_at
                    for job in jobs
                    if job.verb == "passcode.add" and job.state is JobState.PROVED
                ),
                default=None,
            ),
            info=await journal.last_known(lock, INFO),
            last_clock=await journal.last_known(lock, CLOCK),
            clock_history=() if history is None else history.value,
            clock_tolerance_s=profile.clock_tolerance_s,
            adapter=profile.adapter,
            signal_days=() if days is None else days.value[-SIGNAL_DAYS:],
            book=book,
            status=await self._status(),
            disk_free_bytes=await asyncio.to_thread(_free_bytes, self._state_directory),
            faults=self._faults,
        )


def wishes_of(wanted: Sequence[WantedPasscode], book: Book) -> list[Wish]:
    """Return what should be in the lock: wishes, and what the cloud lists besides."""
    claims = {claim.digits: claim for claim in book.claims}
    known = {each.digits for each in wanted}
    secrets = known | claims.keys()
    wishes = [each for each in wanted if each.is_wanted]
    listed = [_wish_of(claim) for digits, claim in claims.items() if digits not in known]
    return [_wish(each, claims.get(each.digits), book, secrets) for each in [*wishes, *listed]]


def _wish(
    wanted: WantedPasscode, claim: Claim | None, book: Book, secrets: Collection[str]
) -> Wish:
    # Somebody may have written the digits into a label.
    label = "" if any(each in wanted.label for each in secrets) else wanted.label
    if claim is None:
        return Wish(wanted=wanted, label=label)
    outcome = book.outcomes.get(claim.name)
    return Wish(
        wanted=wanted,
        label=label,
        claimed_at=claim.listed_at,
        was_delivered=None if outcome is None else outcome.was_there,
    )


def _wish_of(claim: Claim) -> WantedPasscode:
    return WantedPasscode(
        lock="",
        digits=claim.digits,
        kind=PasscodeKind(claim.kind.value),
        valid_from=claim.valid_from,
        valid_until=claim.valid_until,
        label=claim.label,
        owner=CLOUD_OWNER,
    )


def _was_refused(job: Job) -> bool:
    return (
        job.state is JobState.FAILED
        and job.verb.startswith("passcode.")
        and job.error is not None
        and job.error.code != "parts_failed"
    )


def _digits_in(session: Session | None) -> list[str]:
    if session is None or session.listing is None:
        return []
    return [each.passcode for each in session.listing if isinstance(each, PasscodeRecord)]


def _free_bytes(directory: Path) -> int | None:
    try:
        return shutil.disk_usage(directory).free
    except OSError:
        return None
