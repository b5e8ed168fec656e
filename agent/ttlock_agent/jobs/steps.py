"""One job, and its steps in the journal: each is written before the act it permits."""

from __future__ import annotations

from typing import Any

from ttlock_agent.errors import AgentError
from ttlock_agent.jobs.answers import Answers
from ttlock_agent.jobs.model import Job, JobFailure, JobState, Move, WaitReason
from ttlock_agent.jobs.progress import Progress
from ttlock_agent.jobs.store import Journal


class Steps:
    """Takes one job on; every method may raise ``IllegalMove``: then somebody else ended it."""

    def __init__(self, job: Job, journal: Journal, answers: Answers, progress: Progress) -> None:
        self.job = job
        self._journal = journal
        self._answers = answers
        self._progress = progress

    async def begin(self) -> None:
        """Note that work begins; a job whose outcome is unknown stays that until it is read."""
        if self.job.state is not JobState.UNKNOWN:
            await self._move(Move(to=JobState.WORKING))

    async def mark_sent(self) -> None:
        """Note that bytes go out now which must not be repeated unread."""
        await self._move(Move(to=JobState.WORKING, is_sent=True))

    async def note_read_back(self) -> None:
        """Note that the lock was read after everything that was sent so far."""
        if self.job.state is JobState.UNKNOWN:
            back = Move(to=JobState.WAITING, reason=WaitReason.BACK_OFF, is_sent=False)
            await self._move(back)
        if self.job.is_sent or self.job.state is not JobState.WORKING:
            await self._move(Move(to=JobState.WORKING, is_sent=False))

    async def note_not_done(self) -> None:
        """Note that what was sent cannot have been done: the lock did not get the whole of it."""
        await self._move(Move(to=JobState.WORKING, is_sent=False))

    async def prove(self, result: dict[str, Any]) -> None:
        """End the job: the lock, or the disk, was read and agrees."""
        await self._move(Move(to=JobState.PROVED, result=result))

    async def answer(self, result: dict[str, Any]) -> None:
        """End a job that only asked."""
        await self._move(Move(to=JobState.DONE, result=result))

    async def fail(self, error: AgentError, result: dict[str, Any] | None = None) -> None:
        """End the job without what it was for; ``result`` says how far it came."""
        failed = Move(to=JobState.FAILED, error=JobFailure.of(error), result=result)
        await self._move(failed)

    async def end(self, move: Move) -> None:
        """End the job; only one at work may be done."""
        if self.job.state not in (JobState.UNKNOWN, JobState.WORKING):
            await self.begin()
        await self._move(move)

    def tell(self, doing: str, count: int, total: int | None = None) -> None:
        """Say how far the work is."""
        self._progress.tell(self.job.id, doing, count, total)

    def whisper(self, secret: dict[str, Any]) -> None:
        """Tell something to whoever waits on the control socket, and to nobody else, ever."""
        self._progress.whisper(self.job.id, secret)

    async def _move(self, move: Move) -> None:
        self.job = await self._journal.move(self.job.id, move, outbox=self._answers.when_final)
