"""The technician's bench: runs backups, resets, restores and diagnoses, one job at a time.

These take longer than a visit of the radio, change keys on the way, and connect more than once; so
they have an owner of their own, which shares the adapter connection by connection. What it does is
in the journal like everything else: after a restart the job goes on by itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import structlog

from ttlock_agent.clock import Clock
from ttlock_agent.errors import AgentError, IllegalMove, JournalError
from ttlock_agent.jobs.answers import Answers
from ttlock_agent.jobs.backoff import pause_s
from ttlock_agent.jobs.endings import given_up, named, wait_reason
from ttlock_agent.jobs.model import (
    Job,
    JobFailure,
    JobState,
    Move,
    WaitReason,
    after_interruption,
)
from ttlock_agent.jobs.moves import move_those_open
from ttlock_agent.jobs.progress import Progress
from ttlock_agent.jobs.steps import Steps
from ttlock_agent.jobs.store import Journal
from ttlock_agent.jobs.waiting import Alarm, is_due
from ttlock_agent.limits import stop_if_told
from ttlock_agent.requests import BENCH_VERBS

log = structlog.get_logger()

JOURNAL_PAUSE_S: Final = 30.0
"""A full disk is not freed sooner."""


class Bench:
    """Works on what is due, the most urgent first."""

    def __init__(
        self,
        verbs: Mapping[str, Callable[[Steps], Awaitable[None]]],
        *,
        journal: Journal,
        answers: Answers,
        progress: Progress,
        clock: Clock,
        alarm: Alarm,
        random: Callable[[], float],
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        """``verbs`` say how each is done.

        ``beat`` is called each time round: at least once a minute while nothing is done.
        """
        self._verbs = verbs
        self._journal = journal
        self._answers = answers
        self._progress = progress
        self._clock = clock
        self._alarm = alarm
        self._random = random
        self._beat = beat

    async def run(self) -> None:
        """Serve until cancelled."""
        while True:
            self._beat()
            try:
                await self._resolve_interrupted()
                jobs, now = await self._open_jobs(), self._clock.now()
                due = [job for job in jobs if is_due(job, now) and not _is_behind(job, jobs)]
                if due:
                    await self._work(due[0])
                else:
                    await self._alarm.wait_until(await self._next_due_at())
            except JournalError as error:
                stop_if_told()
                log.error("journal_unusable", code=error.code, hint=error.hint)  # noqa: TRY400
                await self._clock.sleep(JOURNAL_PAUSE_S)

    async def _work(self, job: Job) -> None:
        steps = Steps(job, self._journal, self._answers, self._progress)
        log.info("bench_job_begins", job_id=job.id, verb=job.verb, lock=job.lock)
        try:
            await self._verbs[job.verb](steps)
        except JournalError:
            raise
        except IllegalMove:
            log.info("job_ended_meanwhile", job_id=job.id)
        except Exception as caught:  # noqa: BLE001 - one job's trouble is not the daemon's end
            error = named(caught)
            log.info("bench_job_stopped", job_id=job.id, code=error.code, reason=error.message)
            await self._put_back(job.id, error)
        finally:
            self._progress.forget(job.id)
        await self._journal.sweep()

    async def _put_back(self, job_id: str, error: AgentError) -> None:
        """Give the job the state that is true of it."""
        job = await self._journal.job(job_id)
        if job is None or job.is_final:
            return
        move = self._waiting(job, error) if error.retryable else given_up(job, error)
        await move_those_open(self._journal, {job.id: move}, outbox=self._answers.when_final)

    def _waiting(self, job: Job, error: AgentError) -> Move:
        pause = pause_s(job.attempts + 1, self._random)
        return Move(
            to=JobState.UNKNOWN if job.is_sent else JobState.WAITING,
            reason=WaitReason.READ_BACK_PENDING if job.is_sent else wait_reason(error),
            is_attempt=True,
            not_before_at=self._clock.now() + timedelta(seconds=pause),
            error=JobFailure.of(error),
        )

    async def _resolve_interrupted(self) -> None:
        """Nobody works between two jobs: what the journal has as working was cut off."""
        moves = {
            job.id: after_interruption(job)
            for job in await self._open_jobs()
            if job.state is JobState.WORKING
        }
        await move_those_open(self._journal, moves)

    async def _open_jobs(self) -> list[Job]:
        return [job for job in await self._journal.open_jobs() if job.verb in BENCH_VERBS]

    async def _next_due_at(self) -> datetime | None:
        times = [job.not_before_at for job in await self._open_jobs()]
        return min((at for at in times if at is not None), default=None)


def _is_behind(job: Job, others: Sequence[Job]) -> bool:
    """Whether the lock of ``job`` is in the middle of something older, even if that pauses.

    Half restored it is not worth a backup, and nobody knows yet whether its reset came about.
    """
    return any(
        other.lock == job.lock and other.is_sent and other.number < job.number for other in others
    )
