"""The owner of one Bluetooth adapter: which lock is visited when, and what a failed visit means.

One visit serves all jobs of a lock that are due, also those that arrive while it lasts. Between
visits the slot of the lock is free for the gateway and the owner's phone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog

from ttlock_agent.clock import Clock
from ttlock_agent.errors import (
    AdapterUnavailable,
    AgentError,
    JournalError,
    LinkError,
    LockNotSeen,
)
from ttlock_agent.jobs.answers import Answers
from ttlock_agent.jobs.backoff import pause_s
from ttlock_agent.jobs.door import Sign
from ttlock_agent.jobs.endings import given_up, named, wait_reason
from ttlock_agent.jobs.gate import held, overtaken
from ttlock_agent.jobs.model import (
    GUEST_PRIORITY,
    Job,
    JobFailure,
    JobState,
    Move,
    WaitReason,
    after_interruption,
)
from ttlock_agent.jobs.moves import move_those_open
from ttlock_agent.jobs.store import Journal
from ttlock_agent.jobs.waiting import Alarm, is_due, may_join
from ttlock_agent.jobs.work import LockWork, Work
from ttlock_agent.limits import stop_if_told
from ttlock_agent.link import LinkFactory
from ttlock_agent.lock.visit import LockProfile, Visit, visit_lock
from ttlock_agent.requests import BENCH_VERBS, VERBS

log = structlog.get_logger()

MAX_VISIT_S: Final = 90.0
"""After this, a visit ends even if more jobs arrive: the gateway and phones want the slot too."""
JOURNAL_PAUSE_S: Final = 30.0
"""A full disk is not freed sooner."""
MISSED_PAUSE_S: Final = 10.0
"""A lock that is heard and cannot be found when wanted is not tried without end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a visit was like, for whoever shows the state of a lock."""

    lock: str
    is_reached: bool
    ended_at: datetime
    round_trips: int
    connected_s: float
    error: AgentError | None = None


class _Meter:
    """Measures one visit."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since_s: float | None = None
        self._total_s = 0.0
        self._is_used = False
        self._round_trips = 0

    @property
    def connected_s(self) -> float:
        """How long the connection has lasted."""
        if self._since_s is None:
            return self._total_s
        return self._clock.monotonic() - self._since_s

    @property
    def is_used(self) -> bool:
        """Whether there was a connection at all."""
        return self._is_used

    def connected(self) -> None:
        self._is_used = True
        self._since_s = self._clock.monotonic()

    def disconnected(self, visit: Visit) -> None:
        self._total_s, self._since_s = self.connected_s, None
        self._round_trips = visit.round_trips

    def report(self, lock: str, error: AgentError | None) -> Report:
        return Report(
            lock=lock,
            is_reached=self._round_trips > 0,
            ended_at=self._clock.now(),
            round_trips=self._round_trips,
            connected_s=self._total_s,
            error=error,
        )


class Radio:
    """Visits locks, one at a time."""

    def __init__(
        self,
        factory: LinkFactory,
        profiles: Mapping[str, LockProfile],
        *,
        journal: Journal,
        work: Work,
        answers: Answers,
        clock: Clock,
        alarm: Alarm,
        random: Callable[[], float],
        on_report: Callable[[Report], Awaitable[None]],
        beat: Callable[[], None] = lambda: None,
        airtime: asyncio.Lock | None = None,
    ) -> None:
        """``beat`` is called each time round: at least once a minute while there is no visit.

        ``airtime`` is held for each visit, where the adapter has other users: the bench, whose
        jobs are none of the radio's.
        """
        self._factory = factory
        self._profiles = profiles
        self._journal = journal
        self._work = work
        self._answers = answers
        self._clock = clock
        self._alarm = alarm
        self._random = random
        self._on_report = on_report
        self._beat = beat
        self._airtime = airtime or asyncio.Lock()
        self._signs: dict[str, Sign] = {}
        self._visited: dict[str, int] = {}
        """In which turn each lock was visited last."""
        self._missed_at_s: dict[str, float] = {}
        """When which lock was not there, or had no adapter to reach it."""
        self._is_back: set[str] = set()
        """Locks that were missed and have been heard since."""

    async def run(self) -> None:
        """Serve until cancelled."""
        while True:
            self._beat()
            try:
                if self._journal.trouble is not None:
                    # Connecting for nothing would cost the lock's battery, uncounted.
                    await self._journal.check()
                lock = await self._next_lock()
                if lock is not None:
                    async with self._airtime:
                        await self._visit(lock)
                else:
                    await self._alarm.wait_until(await self._next_due_at())
            except JournalError as error:
                stop_if_told()
                log.error("journal_unusable", code=error.code, hint=error.hint)  # noqa: TRY400
                await self._clock.sleep(JOURNAL_PAUSE_S)

    def someone_is_at(self, sign: Sign) -> None:
        """Take the chance that a lock is awake: whatever waits for it need not wait any longer."""
        self._signs[sign.lock] = sign
        self._alarm.ring()

    def lock_is_heard(self, lock: str) -> None:
        """Go to a lock that was missed when it was wanted: it is there, and its slot is free."""
        missed_at_s = self._missed_at_s.get(lock)
        if missed_at_s is None or self._clock.monotonic() - missed_at_s < MISSED_PAUSE_S:
            return
        del self._missed_at_s[lock]
        self._is_back.add(lock)
        self._alarm.ring()

    async def _next_lock(self) -> str | None:
        """Return which lock to visit now, if any: guests go first, whether or not they have a job.

        Whoever fails at a door does not wait until locks that are out of reach have been tried.
        """
        signs, is_back = dict(self._signs), set(self._is_back)
        jobs = await self._worth_connecting(await self._due())
        guests = [job for job in jobs if job.priority >= GUEST_PRIORITY]
        if guests:
            return self._fairest(guests)
        for sign in signs.values():
            profile = self._profiles.get(sign.lock)
            if profile is not None and sign.has_news and await self._work.wants_a_look(profile):
                return sign.lock
        if jobs:
            return self._fairest(jobs)
        # What was noticed meanwhile is looked at in the next round.
        self._signs = {
            lock: sign for lock, sign in self._signs.items() if sign not in signs.values()
        }
        self._is_back -= is_back
        return None

    def _fairest(self, jobs: Sequence[Job]) -> str:
        """Return the lock with the most urgent job; among equals, that which waits longest."""

        def turn(job: Job) -> tuple[int, int]:
            return -job.priority, self._visited.get(job.lock, 0)

        return min(jobs, key=turn).lock

    async def _visit(self, lock: str) -> None:
        profile = self._profiles.get(lock)
        if profile is None:
            return  # it was reset, and its keys retired, while somebody else had the adapter
        self._visited[lock] = max(self._visited.values(), default=0) + 1
        is_at_door = self._signs.pop(lock, None) is not None
        self._is_back.discard(lock)
        self._missed_at_s.pop(lock, None)
        await self._resolve_interrupted(lock)
        served = {job.id for job in await self._joining(lock)}
        meter = _Meter(self._clock)
        error: AgentError | None = None
        try:
            async with visit_lock(self._factory, profile, self._clock) as visit:
                meter.connected()
                try:
                    await self._work.budgets.connected(profile, visit.rssi_dbm)
                    work = self._work.begin(visit, profile, is_at_door=is_at_door)
                    await self._serve(work, served, meter)
                finally:
                    meter.disconnected(visit)
        except JournalError:
            raise
        except Exception as caught:  # noqa: BLE001 - one lock's trouble is not the daemon's end
            error = named(caught)
            if isinstance(error, LockNotSeen | AdapterUnavailable):
                self._missed_at_s[lock] = self._clock.monotonic()
            log.info("visit_failed", lock=lock, code=error.code, reason=error.message)
        finally:
            await self._put_back(lock, served, error)
            if meter.is_used:
                await self._work.budgets.disconnected(
                    profile, meter.connected_s, is_lost=isinstance(error, LinkError)
                )
            elif error is not None:
                await self._work.budgets.not_connected(profile, error)
        await self._on_report(meter.report(lock, error))
        await self._journal.sweep()

    async def _serve(self, work: LockWork, served: set[str], meter: _Meter) -> None:
        """Work on what is open and on what comes in meanwhile, each job once."""
        while meter.connected_s < MAX_VISIT_S:
            jobs = await self._joining(work.lock)
            served |= {job.id for job in jobs}
            if not await work.round(jobs) and not await work.review():
                break
        await work.finish()

    async def _put_back(self, lock: str, served: set[str], error: AgentError | None) -> None:
        """Give every job that the visit left unfinished the state that is true of it."""
        moves = {}
        for job in await self._open_jobs(lock):
            if job.id not in served:
                continue
            if error is None or error.retryable:
                moves[job.id] = self._waiting(job, error)
            else:
                moves[job.id] = given_up(job, error)
        await move_those_open(self._journal, moves, outbox=self._answers.when_final)

    def _waiting(self, job: Job, error: AgentError | None) -> Move:
        state = JobState.UNKNOWN if job.is_sent else JobState.WAITING
        reason = WaitReason.READ_BACK_PENDING if job.is_sent else wait_reason(error)
        pause = pause_s(job.attempts + 1, self._random)
        return Move(
            to=state,
            reason=reason,
            is_attempt=True,
            not_before_at=self._clock.now() + timedelta(seconds=pause),
            error=None if error is None else JobFailure.of(error),
        )

    async def _resolve_interrupted(self, lock: str) -> None:
        """Jobs that are ``working`` while nobody works: the journal failed in between."""
        moves = {
            job.id: after_interruption(job)
            for job in await self._open_jobs(lock)
            if job.state is JobState.WORKING
        }
        await move_those_open(self._journal, moves)

    async def _due(self) -> list[Job]:
        """Return what is to be done now; the pause of a job ends when its lock shows itself."""
        now, shown = self._clock.now(), self._signs.keys() | self._is_back
        return [
            job
            for job in await self._open_jobs()
            if job.lock in self._profiles
            and (is_due(job, now) or (job.lock in shown and may_join(job, now)))
        ]

    async def _joining(self, lock: str) -> list[Job]:
        now = self._clock.now()
        jobs = [job for job in await self._open_jobs(lock) if may_join(job, now)]
        return await self._admitted(jobs)

    async def _admitted(self, jobs: Sequence[Job]) -> list[Job]:
        """Return those of ``jobs`` that may go to the lock; journal why the others may not."""
        reasons = await self._work.gate.hold(jobs)
        endings = overtaken(jobs, reasons)
        await move_those_open(self._journal, endings, outbox=self._answers.when_final)
        return await self._held_back([job for job in jobs if job.id not in endings], reasons)

    async def _worth_connecting(self, jobs: Sequence[Job]) -> list[Job]:
        """Return those of ``jobs`` that are a reason to connect."""
        jobs = await self._admitted(jobs)
        reasons = await self._work.gate.hold_at_home(jobs, self._profiles)
        return await self._held_back(jobs, reasons)

    async def _held_back(self, jobs: Sequence[Job], reasons: Mapping[str, WaitReason]) -> list[Job]:
        moves = {
            job.id: move
            for job in jobs
            if job.id in reasons and (move := held(job, reasons[job.id])) is not None
        }
        await move_those_open(self._journal, moves)
        return [job for job in jobs if job.id not in reasons]

    async def _open_jobs(self, lock: str | None = None) -> list[Job]:
        jobs = await self._journal.open_jobs(lock)
        return [job for job in jobs if job.verb in VERBS and job.verb not in BENCH_VERBS]

    async def _next_due_at(self) -> datetime | None:
        times = [
            job.not_before_at
            for job in await self._open_jobs()
            if job.lock in self._profiles and job.not_before_at is not None
        ]
        return min(times, default=None)
