"""Which open jobs must not go to the lock just now, and why."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from ttlock_agent.clock import Clock
from ttlock_agent.errors import JobCancelled
from ttlock_agent.jobs.budget import Budgets, is_urgent
from ttlock_agent.jobs.model import Job, JobFailure, JobState, Move, WaitReason
from ttlock_agent.jobs.params import wish_of_job
from ttlock_agent.jobs.passcodes import is_timed
from ttlock_agent.lock.visit import LockProfile
from ttlock_agent.timesync import TimeSync

_OVERTAKEN: Final = Move(
    to=JobState.CANCELLED,
    error=JobFailure.of(
        JobCancelled("It had to wait, and a later request about the same passcode goes first.")
    ),
)


class Gate:
    """Holds jobs back."""

    def __init__(self, clock: Clock, time_sync: TimeSync, budgets: Budgets) -> None:
        self._clock = clock
        self._time_sync = time_sync
        self._budgets = budgets

    async def is_time_known(self) -> bool:
        """Whether this machine's time may be given to a lock. Nobody denying it is enough."""
        return await self._time_sync.is_synchronised() is not False

    async def hold(self, jobs: Sequence[Job]) -> dict[str, WaitReason]:
        """Return which of ``jobs`` no visit may serve, and what they wait for.

        One that may be in the lock already is never among them: it must be read back.
        """
        untouched = [job for job in jobs if job.state is not JobState.UNKNOWN and not job.is_sent]
        if not untouched or await self.is_time_known():
            return {}
        return {
            job.id: WaitReason.CLOCK_NOT_SYNCHRONISED for job in untouched if self._needs_time(job)
        }

    async def hold_at_home(
        self, jobs: Sequence[Job], profiles: Mapping[str, LockProfile]
    ) -> dict[str, WaitReason]:
        """Return which of ``jobs`` are no reason to connect; they may join a visit all the same."""
        now = self._clock.now()
        spent = {
            lock
            for lock in {job.lock for job in jobs}
            # A reset may have retired its keys while others were asked about.
            if (profile := profiles.get(lock)) is not None
            and await self._budgets.is_used_up(profile)
        }
        return {
            job.id: WaitReason.BUDGET_USED_UP
            for job in jobs
            if job.lock in spent and not is_urgent(job, now)
        }

    def _needs_time(self, job: Job) -> bool:
        if job.verb == "clock.sync":
            return True
        wish = wish_of_job(job)
        return wish is not None and is_timed(wish, self._clock.now())


def overtaken(jobs: Sequence[Job], held_ids: Collection[str]) -> dict[str, Move]:
    """Return how those of ``jobs`` end that are held while a later one about the passcode is not.

    Neither may the later one wait, which may be what keeps a guest out, nor may the earlier one
    come after it: the last word holds. What is held was not sent, so it can be given up.
    """
    wishes = [(job, wish) for job in jobs if (wish := wish_of_job(job)) is not None]
    latest: dict[tuple[str, str], int] = {}
    for job, wish in wishes:
        if job.id not in held_ids:
            place = wish.lock, wish.digits
            latest[place] = max(job.number, latest.get(place, job.number))
    return {
        job.id: _OVERTAKEN
        for job, wish in wishes
        if job.id in held_ids and job.number < latest.get((wish.lock, wish.digits), 0)
    }


def held(job: Job, reason: WaitReason) -> Move | None:
    """Return the move that says so, unless the journal says it already.

    It has no time: the gate is asked again whenever the radio looks for something to do.
    """
    to = JobState.UNKNOWN if job.is_sent else JobState.WAITING
    if job.state is to and job.reason is reason and job.not_before_at is None:
        return None
    return Move(to=to, reason=reason)
