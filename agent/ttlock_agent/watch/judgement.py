"""Draws the conclusion about a lock's gateway, says when the work changes hands, and shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
import structlog

from ttlock_agent.clock import Clock
from ttlock_agent.errors import CloudError
from ttlock_agent.jobs.memory import CLOCK
from ttlock_agent.jobs.store import Journal
from ttlock_agent.mqtt.topics import Topics
from ttlock_agent.publication import Publication
from ttlock_agent.watch import evidence as proof
from ttlock_agent.watch.book import Book, Claim, ClockError, HandBack, SealedBook
from ttlock_agent.watch.hysteresis import settle
from ttlock_agent.watch.takeover import Takeover
from ttlock_agent.watch.verdict import TAKEN_OVER, Evidence, Verdict, sentence

log = structlog.get_logger()

SHOWN_AGAIN_AFTER: Final = timedelta(minutes=15)
"""How old the time of the evidence may be that stands on the broker, if nothing else changes."""
NOT_READ: Final = "The cloud's list has not been read yet."


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedLock:
    """One lock, under its own id and the cloud's; ``grace`` is how long a gateway may take."""

    id: str
    cloud_id: int | None
    grace: timedelta


@dataclass(slots=True, kw_only=True)
class View:
    """One lock: what is kept of it, and what only this run knows."""

    lock: WatchedLock
    sealed: SealedBook
    findings: dict[str, bool] = field(default_factory=dict)
    """By job: whether the lock held the passcode before the agent did anything."""
    asked: set[str] = field(default_factory=set)
    """Claims that have a job, or were refused one."""
    visited_at_s: float | None = None
    trouble: CloudError | None = None
    evidence: Evidence | None = None
    words: str = ""
    shown: dict[str, Any] = field(default_factory=dict)
    shown_at: datetime | None = None

    @property
    def book(self) -> Book:
        """What is kept."""
        return self.sealed.book


class Judgement:
    """Judges and shows one lock after the other."""

    def __init__(self, journal: Journal, topics: Topics, clock: Clock, takeover: Takeover) -> None:
        self._journal = journal
        self._topics = topics
        self._clock = clock
        self._takeover = takeover

    async def judge(self, view: View, due: Sequence[Claim], trouble: CloudError | None) -> None:
        """Draw the conclusion, and say so when the work changes hands."""
        book, now = view.book, self._clock.now()
        if book.looked_at is None and trouble is None:
            return
        clock, is_set = await self._lock_clock(view)
        evidence = proof.gather(book, due, clock=clock, is_clock_set=is_set, now=now)
        before = book.standing
        reading = proof.read(book, evidence, due, clock=clock, grace=view.lock.grace, now=now)
        book.standing = settle(before, reading)
        after = book.standing.verdict
        if before.verdict in TAKEN_OVER and after not in TAKEN_OVER:
            why = proof.in_words(book.standing.by)
            book.handed_back = HandBack(at=now, evidence=why)
            log.info("gateway_handed_back", lock=view.lock.id, evidence=why)
        elif after in TAKEN_OVER and before.verdict not in TAKEN_OVER:
            book.handed_back = None
        view.evidence = evidence
        view.words = NOT_READ if book.looked_at is None else sentence(after, evidence)
        if after is not before.verdict:
            log.info("gateway_verdict", lock=view.lock.id, verdict=after.value, why=view.words)
            if after is Verdict.CLOCK:
                await self._takeover.set_clock(view.lock.id, "the clock is off")

    async def _lock_clock(self, view: View) -> tuple[ClockError | None, bool]:
        """Return what is known last of the lock's clock, and whether it was set right then."""
        known = await self._journal.last_known(view.lock.id, CLOCK)
        told = view.book.clock
        error_s = None if known is None else known.value["clock_error_before_s"]
        if known is None or error_s is None or (told is not None and told.at > known.as_of):
            return told, False
        return ClockError(error_s=error_s, at=known.as_of), bool(known.value["was_set"])

    async def show(self, view: View, trouble: CloudError | None) -> None:
        """Publish what has changed, or at least that it is still so."""
        if view.evidence is None:
            return
        body = proof.body(view.book, view.evidence, view.words, trouble_body(trouble))
        now = self._clock.now()
        is_new = {**body, "as_of": None} != {**view.shown, "as_of": None}
        is_old = view.shown_at is None or not timedelta() <= now - view.shown_at < SHOWN_AGAIN_AFTER
        if is_new or (is_old and body != view.shown):
            view.shown, view.shown_at = body, now
            topic = self._topics.lock_gateway(view.lock.id)
            payload = msgspec.json.encode(body)
            await self._journal.post([Publication(topic, payload, retain=True)])


def trouble_body(error: CloudError | None) -> dict[str, Any] | None:
    """Return trouble with the cloud as JSON."""
    if error is None:
        return None
    return {"code": error.code, "message": error.message, "hint": error.hint}
