"""Watches the cloud's claims, and stands in for the gateway where they do not hold.

What it knows of each lock stands in the journal, and so do the jobs it asks for, under ids that
make each only once: a restart forgets nothing and repeats nothing. Where the claims come from is no
matter: the cloud itself (``cloud_eye``), its callbacks, or reports of other systems.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from ttlock_agent.clock import Clock
from ttlock_agent.cloud.models import LockRecord
from ttlock_agent.errors import CloudError, JobRejected, JournalError, Rejection
from ttlock_agent.jobs.intake import Intake
from ttlock_agent.jobs.model import Job, JobState
from ttlock_agent.jobs.radio import JOURNAL_PAUSE_S
from ttlock_agent.jobs.store import Journal
from ttlock_agent.jobs.waiting import Alarm
from ttlock_agent.mqtt.topics import Topics
from ttlock_agent.requests import GatewayReport, ParsedRequest, refuse_late
from ttlock_agent.watch.book import Book, Claim, Outcome, SealedBook
from ttlock_agent.watch.claims import KeyedHash, of_report, view_of_report
from ttlock_agent.watch.door import Door
from ttlock_agent.watch.judgement import Judgement, View, WatchedLock, trouble_body
from ttlock_agent.watch.takeover import Takeover, belongs_to_others
from ttlock_agent.watch.verdict import (
    TAKEN_OVER,
    GatewayView,
)

log = structlog.get_logger()

SHORT_GRACE: Final = timedelta(seconds=30)
"""While the agent does the gateway's work. A gateway that is mended needs ten seconds, and whoever
booked may be on the way already."""


class GatewayWatch:
    """Follows each lock's claims, from whoever makes them."""

    def __init__(
        self,
        locks: Sequence[WatchedLock],
        *,
        quiet: timedelta,
        reads_cloud: bool,
        journal: Journal,
        intake: Intake,
        topics: Topics,
        clock: Clock,
        keyed_hash: KeyedHash,
    ) -> None:
        """``quiet`` is how long a lock is left alone after each visit, for others' radio."""
        self._quiet = quiet
        self._reads_cloud = reads_cloud
        self._journal = journal
        self._clock = clock
        self._keyed_hash = keyed_hash
        self._takeover = Takeover(journal, intake, clock)
        self._door = Door(journal, self._takeover, clock)
        self._judgement = Judgement(journal, topics, clock, self._takeover)
        self._views = {
            lock.id: View(lock=lock, sealed=SealedBook(journal, lock.id)) for lock in locks
        }
        self._turn = asyncio.Lock()
        self._alarm: Alarm | None = None
        self._is_loaded = False
        self._figures: list[Callable[[], dict[str, Any]]] = []
        self.trouble: CloudError | None = None
        """What keeps the cloud from being read."""

    # What others ask.

    @property
    def keyed_hash(self) -> KeyedHash:
        """Names contents without telling them."""
        return self._keyed_hash

    def show_figures(self, figures: Callable[[], dict[str, Any]]) -> None:
        """Add ``figures``, such as calls spent, to what a status says."""
        self._figures.append(figures)

    def vitals(self) -> dict[str, Any]:
        """Return how the watch is doing, for a status."""
        troubles = {
            name: view.trouble.message for name, view in self._views.items() if view.trouble
        }
        vitals = {
            "is_watched": self._reads_cloud,
            "error": None if self.trouble is None else self.trouble.message,
            "trouble": trouble_body(self.trouble),
            "lock_errors": troubles,
            "verdicts": {name: view.words for name, view in self._views.items() if view.words},
        }
        for figures in self._figures:
            vitals |= figures()
        return vitals

    async def answer(self, request: ParsedRequest) -> dict[str, Any] | None:
        """Take a report and return the answer; ``None`` for a request that is for somebody else.

        Raises ``JobRejected``.
        """
        if not isinstance(request.params, GatewayReport):
            return None
        refuse_late(request, self._clock.now())
        report = request.params
        if report.passcodes_listed is not None:
            self._refuse_list(report)
        async with self._turn:
            await self._load()
            view = self._views[report.lock]
            await self._take_report(view, report)
            await self._follow(view)
            self._nudge()
            book = view.book
        return {"verdict": book.standing.verdict.value, "sentence": view.words}

    # What others tell.

    def found(self, lock: str, findings: Mapping[str, bool]) -> None:
        """Note what the first reading of a lock says of each job."""
        if lock in self._views:
            self._views[lock].findings |= findings

    def visited(self, lock: str) -> None:
        """Note that a visit has ended."""
        if lock in self._views:
            self._views[lock].visited_at_s = self._clock.monotonic()

    def quiet_for_s(self, lock: str) -> float:
        """How long the lock is still to be left to others."""
        visited_at_s = self._views[lock].visited_at_s
        if visited_at_s is None:
            return 0.0
        return max(0.0, visited_at_s + self._quiet.total_seconds() - self._clock.monotonic())

    async def book(self, lock: str) -> Book:
        """Return what is known of a lock, to be read only."""
        async with self._turn:
            await self._load()
            return self._views[lock].book

    async def put(self, lock: str, change: Callable[[Book], None]) -> None:
        """Change what is known of a lock, keep it, and draw the conclusions."""
        async with self._turn:
            await self._load()
            view = self._views[lock]
            change(view.book)
            await self._follow(view)

    async def deliver_now(self, lock: str) -> None:
        """Ask for all that is listed, as urgently as for a guest: somebody waits at the lock."""
        async with self._turn:
            await self._load()
            view = self._views[lock]
            await self._follow(view, frozenset(claim.name for claim in view.book.claims))

    async def put_trouble(self, error: CloudError | None, *, lock: str | None = None) -> None:
        """Name what keeps the cloud from being read, for one lock or for all."""
        async with self._turn:
            await self._load()
            if lock is None:
                self.trouble = error
            else:
                self._views[lock].trouble = error
            for view in self._views.values():
                if view.lock.cloud_id is not None and lock in (None, view.lock.id):
                    await self._follow(view)

    async def put_list(
        self,
        lock: str,
        claims: Sequence[Claim],
        listed: frozenset[str],
        gateways: Sequence[GatewayView],
    ) -> bool:
        """Take a complete list of the cloud; return whether it is to be read again soon.

        ``listed`` are the digits of all its entries, also those that make no claim.
        """
        now = self._clock.now()
        async with self._turn:
            await self._load()
            view = self._views[lock]
            view.trouble = None
            view.book.put_gateways(gateways, now)
            view.book.put_claims(claims, now)
            await self._remove_vanished(view, listed)
            await self._follow(view)
            self._nudge()
            return any(each.reads == 1 for each in view.book.vanished.values())

    async def put_gateway_state(
        self, gateway_id: int | None, name: str, *, is_online: bool
    ) -> None:
        """Take what a callback says of a gateway, for each lock that it serves."""
        now = self._clock.now()
        async with self._turn:
            await self._load()
            for view in self._views.values():
                views = [
                    replace(each, is_online=is_online)
                    if _is_same_gateway(each, gateway_id, name)
                    else each
                    for each in view.book.gateways
                ]
                if tuple(views) != view.book.gateways:
                    view.book.put_gateways(views, now)
                    await self._follow(view)

    async def put_records(self, cloud_id: int, records: Sequence[LockRecord]) -> None:
        """Take records of a lock's log from a callback: evidence, and a guest at the door."""
        view = next((v for v in self._views.values() if v.lock.cloud_id == cloud_id), None)
        if view is None:
            return
        async with self._turn:
            await self._load()
            at_the_door = await self._door.take(view.lock.id, view.book, records)
            await self._follow(view, at_the_door)
            self._nudge()

    # The work.

    async def run(self, news: asyncio.Event, *, beat: Callable[[], None] = lambda: None) -> None:
        """Serve until cancelled; ``news`` is set whenever jobs have moved on.

        ``beat`` is called each time round, at least once a minute.
        """
        self._alarm = alarm = Alarm(self._clock, news)
        while True:
            beat()
            try:
                next_at = await self.follow()
            except JournalError as error:
                log.error("journal_unusable", code=error.code, hint=error.hint)  # noqa: TRY400
                await self._clock.sleep(JOURNAL_PAUSE_S)
                continue
            await alarm.wait_until(next_at)

    async def follow(self) -> datetime | None:
        """Ask for what the gateways have had time enough to deliver, and publish the verdicts.

        Costs no call to the cloud. Returns when the next grace time ends.
        """
        async with self._turn:
            await self._load()
            ends = [await self._follow(view) for view in self._views.values()]
        return min((end for end in ends if end is not None), default=None)

    def _nudge(self) -> None:
        """Have the times looked at again: new claims have other grace times."""
        if self._alarm is not None:
            self._alarm.ring()

    async def _load(self) -> None:
        if not self._is_loaded:
            for view in self._views.values():
                await view.sealed.load()
            self._is_loaded = True

    async def _follow(
        self, view: View, at_the_door: frozenset[str] = frozenset()
    ) -> datetime | None:
        now = self._clock.now()
        book = view.book
        book.drop_over(now)
        wishes = {wish.digits: wish for wish in await self._journal.wanted(view.lock.id)}
        due: list[Claim] = []
        ends: list[datetime] = []
        for claim in book.claims:
            wish = wishes.get(claim.digits)
            if belongs_to_others(wish):
                continue
            is_guest = claim.name in at_the_door
            due_at = self._due_at(view, claim)
            if due_at > now and not (is_guest or await self._is_asked(view, claim)):
                ends.append(due_at)
                if claim.name in book.outcomes:  # the lock's log told
                    due.append(claim)
                continue
            job = await self._takeover.deliver(view.lock.id, book, claim, wish, is_guest=is_guest)
            view.asked.add(claim.name)
            if job is not None and job.state is not JobState.CANCELLED:
                due.append(claim)
                self._note_outcome(view, claim, job)
        trouble = self._trouble_of(view)
        await self._judgement.judge(view, due, trouble)
        await view.sealed.save(now)
        await self._judgement.show(view, trouble)
        return min(ends, default=None)

    async def _is_asked(self, view: View, claim: Claim) -> bool:
        """Whether there is a job, maybe of an earlier run: that is followed, not put off."""
        if claim.name not in view.asked:
            if await self._journal.job_by_request(claim.name) is None:
                return False
            view.asked.add(claim.name)
        return True

    def _due_at(self, view: View, claim: Claim) -> datetime:
        """When the agent looks for itself."""
        grace = view.lock.grace
        if view.book.standing.verdict in TAKEN_OVER:
            grace = min(grace, SHORT_GRACE)
        due_at = claim.listed_at + grace
        quiet_s = self.quiet_for_s(view.lock.id)
        if quiet_s > 0:
            return max(due_at, self._clock.now() + timedelta(seconds=quiet_s))
        return due_at

    @staticmethod
    def _note_outcome(view: View, claim: Claim, job: Job) -> None:
        known = view.book.outcomes.get(claim.name)
        if known is not None and known.job == job.id:
            return
        was_there = _was_there(view, job)
        if was_there is not None:
            view.book.outcomes[claim.name] = Outcome(
                job=job.id, was_there=was_there, found_at=job.updated_at
            )

    def _trouble_of(self, view: View) -> CloudError | None:
        return None if view.lock.cloud_id is None else self.trouble or view.trouble

    def _refuse_list(self, report: GatewayReport) -> None:
        if self._reads_cloud and self._views[report.lock].lock.cloud_id is not None:
            raise JobRejected(
                "The agent reads this lock's list from the cloud itself.",
                reason=Rejection.CONFLICT,
                hint="Report the gateway alone, or take `cloud_lock_id` out of the configuration.",
            )
        digits = [entry.passcode.digits for entry in report.passcodes_listed or ()]
        if len(set(digits)) < len(digits):
            raise JobRejected(
                "Two entries of `passcodes_listed` have the same digits.",
                reason=Rejection.DUPLICATE,
                hint="A lock holds each passcode once: keep one of them.",
            )

    async def _take_report(self, view: View, report: GatewayReport) -> None:
        now, new = self._clock.now(), view_of_report(report.gateway)
        others = [each for each in view.book.gateways if each.name != new.name]
        view.book.put_gateways([*others, new], now)
        if report.passcodes_listed is None:
            return
        view.book.put_claims(of_report(report.passcodes_listed, now, self._keyed_hash), now)
        listed = frozenset(entry.passcode.digits for entry in report.passcodes_listed)
        await self._remove_vanished(view, listed)

    async def _remove_vanished(self, view: View, listed: frozenset[str]) -> None:
        wishes = await self._journal.wanted(view.lock.id)
        await self._takeover.remove_vanished(view.lock.id, view.book, listed, wishes)


def _was_there(view: View, job: Job) -> bool | None:
    if job.state is JobState.PROVED and job.result is not None:
        return bool(job.result["was_there"])
    if job.state is JobState.FAILED:
        return False
    return view.findings.get(job.id)


def _is_same_gateway(view: GatewayView, gateway_id: int | None, name: str) -> bool:
    if view.gateway_id is not None and gateway_id is not None:
        return view.gateway_id == gateway_id
    return view.name == name
