"""What is done for the jobs of one lock while the connection lasts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Final

import structlog

from ttlock_agent.clock import Clock
from ttlock_agent.errors import (
    IllegalMove,
    InterlockOpen,
    JobExpired,
    LockMisunderstood,
    LockRefused,
    NotInLock,
    OutcomeUnknown,
)
from ttlock_agent.jobs.answers import Answers
from ttlock_agent.jobs.budget import Budgets
from ttlock_agent.jobs.delivery import Delivery, OnFindings, PasscodeTask
from ttlock_agent.jobs.door_log import NO_NEWS, DoorLog
from ttlock_agent.jobs.errands.errand import Errand
from ttlock_agent.jobs.errands.table import ERRANDS
from ttlock_agent.jobs.gate import Gate
from ttlock_agent.jobs.memory import LockMemory
from ttlock_agent.jobs.model import Job, JobFailure, JobState, Move, WantedPasscode
from ttlock_agent.jobs.params import params_of, wish_of_job
from ttlock_agent.jobs.progress import Progress
from ttlock_agent.jobs.reproof import Reproof
from ttlock_agent.jobs.steps import Steps
from ttlock_agent.jobs.store import Journal
from ttlock_agent.lock.refusals import refused
from ttlock_agent.lock.visit import ClockReading, LockProfile, Visit
from ttlock_agent.requests import VERBS
from ttlock_agent.timesync import CANNOT_TELL, TimeSync
from ttlock_protocol.errors import CommandRefused, ProtocolError

log = structlog.get_logger()

CLOCK_NOISE_S: Final = 2.0
"""A reading is whole seconds, and its way over the air takes part of one."""
CHECKED_SOURCES: Final = frozenset({"takeover"})
"""Who asks for passcodes that the lock may hold already: those are looked up before they are
written."""


class Work:
    """Begins the work of each visit."""

    def __init__(
        self,
        journal: Journal,
        memory: LockMemory,
        answers: Answers,
        clock: Clock,
        *,
        time_sync: TimeSync = CANNOT_TELL,
        on_findings: OnFindings = lambda _lock, _findings: None,
        progress: Progress | None = None,
    ) -> None:
        self.budgets = Budgets(journal, clock)
        """What each lock's battery was asked for."""
        self.gate = Gate(clock, time_sync, self.budgets)
        """Who may go to a lock at all."""
        self._journal = journal
        self._memory = memory
        self._answers = answers
        self._clock = clock
        self._door_log = DoorLog(journal, memory.topics, clock)
        self.reproof = Reproof(journal, memory, answers, clock)
        """What compares a lock with all that was proved of it."""
        self._on_findings = on_findings
        self._progress = progress or Progress(clock, lambda: None)

    async def wants_a_look(self, profile: LockProfile) -> bool:
        """Whether news in a lock's log are worth a visit for their own sake.

        They are if something wanted is not proved, or was proved too long ago, and the battery's
        budget is not used up.
        """
        if await self.budgets.is_used_up(profile):
            return False
        wanted = await self._journal.wanted(profile.id)
        open_jobs = {job.id for job in await self._journal.open_jobs(profile.id)}
        # What was given up without a proof is not taken up again by looking.
        is_unproved = any(wish.is_wanted and wish.job_id in open_jobs for wish in wanted)
        return is_unproved or await self.reproof.is_due(profile)

    def begin(self, visit: Visit, profile: LockProfile, *, is_at_door: bool) -> LockWork:
        """Return the work on one lock, for as long as ``visit`` lasts.

        ``is_at_door``: somebody was noticed there a moment ago.
        """
        return LockWork(
            visit,
            profile,
            is_at_door=is_at_door,
            journal=self._journal,
            memory=self._memory,
            answers=self._answers,
            clock=self._clock,
            gate=self.gate,
            door_log=self._door_log,
            reproof=self.reproof,
            on_findings=self._on_findings,
            progress=self._progress,
        )


class LockWork:
    """The work of one visit."""

    def __init__(
        self,
        visit: Visit,
        profile: LockProfile,
        *,
        is_at_door: bool,
        journal: Journal,
        memory: LockMemory,
        answers: Answers,
        clock: Clock,
        gate: Gate,
        door_log: DoorLog,
        reproof: Reproof,
        on_findings: OnFindings,
        progress: Progress,
    ) -> None:
        self._progress = progress
        self._is_at_door = is_at_door
        self._gate = gate
        self._door_log = door_log
        self._reproof = reproof
        self._visit = visit
        self._profile = profile
        self._journal = journal
        self._memory = memory
        self._answers = answers
        self._clock = clock
        self._on_findings = on_findings
        self._is_clock_seen = False
        self._is_reviewed = False
        self._taken: set[str] = set()

    @property
    def lock(self) -> str:
        """Id of the lock."""
        return self._profile.id

    async def round(self, jobs: Sequence[Job]) -> bool:
        """Work on those of ``jobs``, all that are open, whose turn it is; False if it is nobody's.

        Each is taken up once in a visit, the most urgent ones before all others: whoever stands at
        the door does not wait for a hundred bookings. Of several jobs about the same digits it is
        the oldest one's turn until that has come to its end, so that the last word holds. Raises
        what ends the visit.
        """
        wanted = await self._journal.wanted(self.lock)
        tasks = [task for task in _oldest_of_each(jobs, wanted) if task.job.id not in self._taken]
        errands = [job for job in jobs if job.verb in ERRANDS and job.id not in self._taken]
        if not tasks and not errands:
            return False
        most = max([task.priority for task in tasks] + [job.priority for job in errands])
        tasks = [task for task in tasks if task.priority == most]
        errands = [job for job in errands if job.priority == most]
        self._taken |= {task.job.id for task in tasks} | {job.id for job in errands}
        # Nobody who stands at the lock waits for anything but the lock, its clock included.
        for_now = [job for job in errands if params_of(job, VERBS[job.verb]).is_for_now]
        for job in for_now:
            await self._run(job)
        if not self._is_clock_seen:
            await self._see_to_clock()
        if tasks:
            await self._deliver(tasks)
        for job in errands:
            if job not in for_now:
                await self._run(job)
        return True

    async def _deliver(self, tasks: Sequence[PasscodeTask]) -> None:
        delivery = Delivery(
            self._visit,
            self._profile,
            journal=self._journal,
            clock=self._clock,
            answers=self._answers,
            on_findings=self._on_findings,
        )
        is_time_known = await self._gate.is_time_known()
        try:
            await delivery.run(tasks, is_time_known=is_time_known)
        finally:
            if delivery.listing is not None and delivery.listed_at is not None:
                await self._memory.keep_listing(self._profile, delivery.listing, delivery.listed_at)

    async def review(self) -> bool:
        """Once in a visit, compare what the lock holds with what was proved; whether jobs came up.

        Raises what ends the visit.
        """
        if self._is_reviewed:
            return False
        self._is_reviewed = True
        if self._is_at_door and not self._is_clock_seen:
            await self._see_to_clock()
        news = NO_NEWS
        if self._is_at_door or await self._door_log.is_due(self._profile):
            news = await self._door_log.read(self._visit, self._profile)
        wanted = await self._journal.wanted(self.lock)
        if typed_in_time(news.out_of_window, wanted, self._clock.now()):
            await self._trust_no_clock()
        is_urgent = any(wish.digits in news.wrong for wish in wanted if wish.proved_at is not None)
        if self._is_at_door and not news.is_all:
            # What was typed a moment ago is at the end of a long log: a listing is sooner there.
            is_urgent = True
        return await self._reproof.review(self._visit, self._profile, is_urgent=is_urgent)

    async def _trust_no_clock(self) -> None:
        """Set the clock although it is within its tolerance: it has just kept somebody out."""
        reading = await self._visit.read_clock()
        if reading is None or not await self._gate.is_time_known():
            return
        if reading.error_s is None or abs(reading.error_s) > CLOCK_NOISE_S:
            await self._set_clock(reading)

    async def finish(self) -> None:
        """Keep what the visit has learnt."""
        await self._memory.show(self._profile)

    async def _see_to_clock(self) -> None:
        """Measure the lock's clock and set it when it is off: timed passcodes are judged by it."""
        self._is_clock_seen = True
        before = await self._visit.read_clock()
        if before is None:
            return
        is_off = before.error_s is None or abs(before.error_s) > self._profile.clock_tolerance_s
        if is_off and not await self._gate.is_time_known():
            log.warning("lock_clock_left", lock=self.lock, error_s=before.error_s)
        elif is_off:
            await self._set_clock(before)
            return
        await self._memory.keep_clock(self._profile, before, None)

    async def _set_clock(self, before: ClockReading) -> None:
        log.info("lock_clock_off", lock=self.lock, error_s=before.error_s)
        await self._visit.set_clock()
        after = await self._visit.read_clock()
        await self._memory.keep_clock(self._profile, before, after)
        await self._memory.show(self._profile)

    async def _run(self, job: Job) -> None:
        """Run an errand to its end; raises what ends the visit, and leaves the job open then."""
        steps = Steps(job, self._journal, self._answers, self._progress)
        errand = Errand(
            steps=steps,
            visit=self._visit,
            profile=self._profile,
            journal=self._journal,
            memory=self._memory,
            door_log=self._door_log,
            clock=self._clock,
            wanted=await self._journal.wanted(self.lock),
        )
        try:
            await steps.end(await self._outcome(errand))
        except IllegalMove:
            log.info("job_ended_meanwhile", job_id=job.id)
        finally:
            self._progress.forget(job.id)

    async def _outcome(self, errand: Errand) -> Move:
        try:
            outcome = await ERRANDS[errand.job.verb](errand)
        except CommandRefused as error:
            meaning = refused(error)
            if meaning.retryable:
                raise meaning from None
            return Move(to=JobState.FAILED, error=JobFailure.of(meaning))
        except OutcomeUnknown as error:
            return Move(to=JobState.OUTCOME_UNKNOWN, error=JobFailure.of(error))
        except JobExpired as error:
            return Move(to=JobState.EXPIRED, error=JobFailure.of(error))
        except (LockRefused, NotInLock, InterlockOpen) as error:
            return Move(to=JobState.FAILED, error=JobFailure.of(error))
        except (ProtocolError, LockMisunderstood) as error:
            nonsense = LockMisunderstood(f"The lock's answer cannot be understood: {error}.")
            return Move(to=JobState.FAILED, error=JobFailure.of(nonsense))
        return Move(to=outcome.state, result=outcome.result)


def typed_in_time(digits: Collection[str], wanted: Iterable[WantedPasscode], now: datetime) -> bool:
    """Whether one of ``digits``, which the lock called out of window, is valid by a right clock."""
    return any(
        wish.digits in digits
        and wish.is_wanted
        and (wish.valid_from is None or wish.valid_from <= now)
        and (wish.valid_until is None or now < wish.valid_until)
        for wish in wanted
    )


def _oldest_of_each(jobs: Iterable[Job], wanted: Sequence[WantedPasscode]) -> list[PasscodeTask]:
    """Return the oldest job about each passcode, as a task, in the order of ``jobs``."""
    wishes = [(job, wish) for job in jobs if (wish := wish_of_job(job)) is not None]
    held = {wish.digits for wish in wanted if wish.is_held}
    oldest: dict[str, Job] = {}
    for job, wish in sorted(wishes, key=lambda pair: pair[0].number):
        oldest.setdefault(wish.digits, job)
    priorities: dict[str, int] = {}
    for job, wish in wishes:
        priorities[wish.digits] = max(job.priority, priorities.get(wish.digits, job.priority))
    return [
        PasscodeTask(
            job=job,
            wanted=wish,
            priority=priorities[wish.digits],
            is_check_first=job.source in CHECKED_SOURCES,
            is_believed_held=wish.digits in held,
            has_written=job.is_sent,
        )
        for job, wish in wishes
        if oldest[wish.digits] is job
    ]
