"""Asks for the jobs that stand in for a gateway, each under an id that makes it only once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import structlog

from ttlock_agent.clock import Clock
from ttlock_agent.errors import JobRejected
from ttlock_agent.jobs.intake import Intake
from ttlock_agent.jobs.model import CLOUD_OWNER, Job, JobState, Premise, WantedPasscode
from ttlock_agent.jobs.store import Journal
from ttlock_agent.jobs.sync import is_over
from ttlock_agent.requests import (
    ClockSync,
    LockRequest,
    ParsedRequest,
    Passcode,
    PasscodeDelete,
    PasscodeList,
    Priority,
)
from ttlock_agent.validation import BadValue
from ttlock_agent.watch.book import Book, Claim, Vanished
from ttlock_agent.watch.claims import request_for

log = structlog.get_logger()

SOURCE: Final = "takeover"
_OURS: Final = frozenset({CLOUD_OWNER, SOURCE})
_ASK_AGAIN: Final = frozenset({JobState.EXPIRED, JobState.OUTCOME_UNKNOWN})
"""Ends after which a new job may do better; refusals by the lock are final."""

READS_NEEDED: Final = 2
"""Complete lists without a passcode before the agent removes it: one may be short by mistake."""
EMPTY_SETTLES_AFTER: Final = timedelta(hours=1)
"""How long a wholly empty list must stand before it is believed: errors look like that."""


class Takeover:
    """What the agent does in the lock in the gateway's place."""

    def __init__(self, journal: Journal, intake: Intake, clock: Clock) -> None:
        self._journal = journal
        self._intake = intake
        self._clock = clock
        self._finished: dict[str, Job] = {}
        """By claim: jobs that are over for good."""
        self._refused: set[str] = set()
        """Requests that the agent makes no job of."""

    async def deliver(
        self, lock: str, book: Book, claim: Claim, wish: WantedPasscode | None, *, is_guest: bool
    ) -> Job | None:
        """Return the job that sees to a claim, making it if there is none."""
        removal = book.removed.get(self._journal.mark(lock, claim.digits), 0)
        finished = self._finished.get(claim.name)
        if finished is not None and not await self._is_overtaken(finished, wish, removal):
            return finished
        attempt = 1
        while True:
            request_id = claim.name if attempt == 1 else f"{claim.name}-{attempt}"
            job = await self._journal.job_by_request(request_id)
            if job is None:
                priority = Priority.GUEST_AT_THE_DOOR if is_guest else Priority.NORMAL
                premise = Premise(
                    lock=lock, digits=claim.digits, revision=0 if wish is None else wish.revision
                )
                job = await self._ask_for(lock, claim, request_id, priority, premise)
            if job is None or not (
                job.state in _ASK_AGAIN or await self._is_overtaken(job, wish, removal)
            ):
                break
            attempt += 1
        if job is not None and job.is_final:
            self._finished[claim.name] = job
        return job

    async def remove_vanished(
        self,
        lock: str,
        book: Book,
        listed: frozenset[str],
        wishes: Sequence[WantedPasscode],
    ) -> None:
        """Count what the cloud's complete list does not name any more, and remove it in time.

        Never more than one, or half of all, at once: a list that lost more than that waits for a
        person.
        """
        now = self._clock.now()
        owned = [wish for wish in wishes if wish.owner == CLOUD_OWNER and not is_over(wish, now)]
        gone = {
            self._journal.mark(lock, wish.digits): wish
            for wish in owned
            if wish.is_wanted and wish.digits not in listed
        }
        book.vanished = {mark: _read_again(book.vanished.get(mark), now) for mark in gone}
        settled = [
            wish
            for mark, wish in gone.items()
            if _is_settled(book.vanished[mark], now, is_empty=not listed)
        ]
        allowed = max(1, len(owned) // 2)
        book.held_back = len(settled) if len(settled) > allowed else 0
        if book.held_back:
            log.warning("cloud_removals_held_back", lock=lock, passcodes=len(settled))
            return
        for wish in settled:
            log.info("cloud_entry_vanished", lock=lock, revision=wish.revision)
            await self._remove(lock, book, wish)
        for wish in wishes:
            if not wish.is_wanted and wish.owner == SOURCE and wish.digits not in listed:
                await self._remove_again(lock, book, wish)

    async def set_clock(self, lock: str, why: str) -> None:
        """Have the lock's clock set, once in an hour at most."""
        hour = self._clock.now().strftime("%Y%m%d%H")
        request_id = f"cloud-clock-{lock}-{hour}"
        await self._ask(
            ParsedRequest(request_id, "clock.sync", _named(ClockSync, request_id, lock))
        )
        log.info("lock_clock_doubted", lock=lock, why=why)

    async def read_list(self, lock: str, name: str) -> None:
        """Have the lock listed, so that what it lost is noticed and put back."""
        request_id = f"cloud-door-{name}"
        await self._ask(
            ParsedRequest(request_id, "passcode.list", _named(PasscodeList, request_id, lock))
        )

    async def _remove(self, lock: str, book: Book, wish: WantedPasscode) -> None:
        # The revision is new with each write, so that a passcode may come and go more than once.
        request_id = f"cloud-gone-{lock}-{wish.revision}"
        removal = PasscodeDelete(id=request_id, lock=lock, passcode=Passcode(wish.digits))
        premise = Premise(lock=lock, digits=wish.digits, revision=wish.revision)
        job = await self._ask(ParsedRequest(request_id, "passcode.delete", removal), premise)
        if job is not None:
            book.put_removal(self._journal.mark(lock, wish.digits), job.number)

    async def _remove_again(self, lock: str, book: Book, wish: WantedPasscode) -> None:
        job = None if wish.job_id is None else await self._journal.job(wish.job_id)
        if job is not None and job.state in _ASK_AGAIN:
            await self._remove(lock, book, wish)

    async def _is_overtaken(self, job: Job, wish: WantedPasscode | None, removal: int) -> bool:
        """Whether the lock was told otherwise since, and the entry is back as it was.

        ``removal`` is the number of the job that last removed the passcode.
        """
        if job.number < removal:
            return True
        if job.state is not JobState.PROVED or wish is None or wish.job_id in (None, job.id):
            return False
        assert wish.job_id is not None
        other = await self._journal.job(wish.job_id)
        return other is not None and other.source == SOURCE

    async def _ask_for(
        self, lock: str, claim: Claim, request_id: str, priority: Priority, premise: Premise
    ) -> Job | None:
        try:
            request = request_for(request_id, lock, claim, priority=priority)
        except BadValue as bad:
            self._on_refusal(request_id, bad.message)
            return None
        return await self._ask(request, premise)

    async def _ask(self, request: ParsedRequest, premise: Premise | None = None) -> Job | None:
        known = await self._journal.job_by_request(request.id)
        if known is not None:
            return known
        try:
            await self._intake.take(request, source=SOURCE, premise=premise)
        except JobRejected as error:
            self._on_refusal(request.id, error.message)
            return None
        return await self._journal.job_by_request(request.id)  # as the journal numbered it

    def _on_refusal(self, request_id: str, reason: str) -> None:
        if request_id not in self._refused:
            self._refused.add(request_id)
            log.warning("cloud_entry_refused", request=request_id, reason=reason)


def belongs_to_others(wish: WantedPasscode | None) -> bool:
    """Whether somebody else wants this passcode, and so sees to it."""
    return wish is not None and wish.is_wanted and wish.owner not in _OURS


def _named(kind: type[LockRequest], request_id: str, lock: str) -> LockRequest:
    return kind(id=request_id, lock=lock)


def _read_again(vanished: Vanished | None, now: datetime) -> Vanished:
    if vanished is None:
        return Vanished(first_at=now, reads=1)
    return Vanished(first_at=min(vanished.first_at, now), reads=vanished.reads + 1)


def _is_settled(vanished: Vanished, now: datetime, *, is_empty: bool) -> bool:
    if vanished.reads < READS_NEEDED:
        return False
    return not is_empty or now - vanished.first_at >= EMPTY_SETTLES_AFTER
