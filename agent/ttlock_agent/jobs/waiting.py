"""Waiting for a moment or for news, whichever comes first; and jobs whose time is over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import structlog

from ttlock_agent.clock import Clock
from ttlock_agent.errors import IllegalMove, JobExpired, JournalError, OutcomeUnknown
from ttlock_agent.jobs.answers import Answers
from ttlock_agent.jobs.backoff import LONGEST_PAUSE_S
from ttlock_agent.jobs.model import Job, JobFailure, JobState, Move, WaitReason
from ttlock_agent.jobs.params import deadline_of, is_missed, request_of
from ttlock_agent.jobs.store import Journal
from ttlock_agent.requests import ParsedRequest
from ttlock_agent.timesync import CANNOT_TELL, TimeSync

log = structlog.get_logger()

LONGEST_SLEEP_S: Final = 60.0
"""The wall clock may jump; nobody oversleeps by more than this."""
_VISIT_PAUSE: Final = timedelta(seconds=2)
"""After which a job that was in the middle of its visit is looked at again."""


def is_due(job: Job, now: datetime) -> bool:
    """Whether the pause of ``job`` is over.

    A job with parts is never: its parts are.

    A pause is never longer than the longest back-off: one that seems so was measured by a wall
    clock that has been set back since.
    """
    if job.reason is WaitReason.PARTS:
        return False
    if job.not_before_at is None or job.not_before_at <= now:
        return True
    is_too_long = job.not_before_at - now > 2 * timedelta(seconds=LONGEST_PAUSE_S)
    return is_too_long and not _is_scheduled(job)


def may_join(job: Job, now: datetime) -> bool:
    """Whether a visit may serve ``job`` before its pause is over: the lock is there after all."""
    return is_due(job, now) or not (job.reason is WaitReason.PARTS or _is_scheduled(job))


def _is_scheduled(job: Job) -> bool:
    """Whether its pause is somebody's wish, and not for want of the lock."""
    return job.reason in (None, WaitReason.NOT_YET)


class Alarm:
    """News for one sleeper; ``news`` may be an event that somebody else sets as well."""

    def __init__(self, clock: Clock, news: asyncio.Event | None = None) -> None:
        self._clock = clock
        self._news = asyncio.Event() if news is None else news

    def ring(self) -> None:
        """Wake the sleeper, or keep it from falling asleep."""
        self._news.set()

    async def wait_until(self, at: datetime | None) -> None:
        """Sleep until ``at`` (``None``: for long), until rung, or for a minute; may wake early."""
        pause = LONGEST_SLEEP_S
        if at is not None:
            pause = min(pause, max(0.0, (at - self._clock.now()).total_seconds()))
        sleeper = asyncio.ensure_future(self._clock.sleep(pause))
        listener = asyncio.ensure_future(self._news.wait())
        try:
            await asyncio.wait({sleeper, listener}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeper.cancel()
            listener.cancel()
        self._news.clear()


class Deadlines:
    """Ends jobs whose deadline has passed, whatever the radio is doing."""

    def __init__(
        self,
        journal: Journal,
        answers: Answers,
        clock: Clock,
        alarm: Alarm,
        *,
        time_sync: TimeSync = CANNOT_TELL,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        """``beat`` is called each time round, at least once a minute."""
        self._beat = beat
        self._time_sync = time_sync
        self._was_time_unknown = False
        self._journal = journal
        self._answers = answers
        self._clock = clock
        self._alarm = alarm

    async def run(self) -> None:
        """Serve until cancelled."""
        while True:
            self._beat()
            next_at: datetime | None = None
            try:
                next_at = await self.expire()
            except JournalError as error:
                log.error("journal_unusable", code=error.code, hint=error.hint)  # noqa: TRY400
            await self._alarm.wait_until(next_at)

    async def expire(self) -> datetime | None:
        """End what is over; return when the next job will be.

        A job in the middle of its visit is left alone: how that ends is the truth about it.
        """
        now = self._clock.now()  # before asking whether it is right: it may be set in between
        await self._count_anew_once_time_is_known()
        next_at: datetime | None = None
        for job in await self._journal.open_jobs():
            if job.deadline_at is None or job.reason is WaitReason.PARTS:
                continue  # its parts have the same deadline, and it ends with them
            look_at = job.deadline_at
            is_for_nobody = is_missed(job, now, first=self._journal.first_number)
            if look_at <= now or (is_for_nobody and not job.is_sent):
                if job.state is not JobState.WORKING:
                    await self._end(job)
                    continue
                look_at = now + _VISIT_PAUSE
            next_at = min(next_at or look_at, look_at)
        return next_at

    async def _count_anew_once_time_is_known(self) -> None:
        """Give jobs without a deadline of their caller's their whole patience.

        A Pi that was without power begins where its clock stood, and takes requests before it is
        set: by the right time, a day that was counted from then may be over long ago.
        """
        if await self._time_sync.is_synchronised() is False:
            self._was_time_unknown = True
            return
        if not self._was_time_unknown:
            return
        now, later = self._clock.now(), {}
        for job in await self._journal.open_jobs():
            if job.number >= self._journal.first_number and job.deadline_at is not None:
                deadline_at = await self._patience_from(job, now)
                if deadline_at is not None and deadline_at > job.deadline_at:
                    later[job.id] = deadline_at
        if later:
            await self._journal.postpone(later)
            log.info("deadlines_counted_anew", jobs=len(later))
        self._was_time_unknown = False

    async def _patience_from(self, job: Job, now: datetime) -> datetime | None:
        """Return until when ``job`` would be tried if it came now; ``None`` to leave it."""
        asked = job if job.parent_id is None else await self._journal.job(job.parent_id)
        assert asked is not None, "a foreign key holds it"
        for each in (asked, job):
            params = request_of(each)
            if params is None or params.is_for_now or params.deadline_at is not None:
                return None
        assert params is not None, "each of them was looked at"
        return deadline_of(ParsedRequest(job.request_id, job.verb, params), now)

    async def _end(self, job: Job) -> None:
        try:
            await self._journal.move(job.id, _expired(job), outbox=self._answers.when_final)
        except IllegalMove:
            return  # the radio has taken it up in this very moment
        log.warning("job_expired", job_id=job.id, lock=job.lock, verb=job.verb)


def _expired(job: Job) -> Move:
    reason = "" if job.reason is None else f" {job.reason.sentence}"
    if job.is_sent:
        unknown = OutcomeUnknown(f"The deadline passed before the lock could be read back.{reason}")
        return Move(to=JobState.OUTCOME_UNKNOWN, error=JobFailure.of(unknown))
    expired = JobExpired(f"The deadline passed.{reason}")
    return Move(to=JobState.EXPIRED, error=JobFailure.of(expired))
