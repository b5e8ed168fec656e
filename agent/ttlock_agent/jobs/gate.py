"""Which open jobs must not go to the lock just now, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ttlock_agent.clock import Clock
from ttlock_agent.jobs.budget import Budgets, is_urgent
from ttlock_agent.jobs.model import Job, JobState, Move, WaitReason
from ttlock_agent.jobs.params import wish_of_job
from ttlock_agent.jobs.passcodes import is_timed
from ttlock_agent.lock.visit import LockProfile
from ttlock_agent.timesync import TimeSync


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
            if await self._budgets.is_used_up(profiles[lock])
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


def held(job: Job, reason: WaitReason) -> Move | None:
    """Return the move that says so, unless the journal says it already.

    It has no time: the gate is asked again whenever the radio looks for something to do.
    """
    to = JobState.UNKNOWN if job.is_sent else JobState.WAITING
    if job.state is to and job.reason is reason and job.not_before_at is None:
        return None
    return Move(to=to, reason=reason)
