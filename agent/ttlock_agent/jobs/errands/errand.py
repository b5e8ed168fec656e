"""One job of the radio, and the road that every change of a lock takes.

A change is proved by reading: read, compare, write what differs, read again. So what was lost on
its way, a restart in between, and a lock that holds it already, all take the same road.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import structlog

from ttlock_agent.clock import Clock
from ttlock_agent.errors import JobExpired, NotInLock, OutcomeUnknown
from ttlock_agent.jobs.door_log import DoorLog
from ttlock_agent.jobs.memory import LockMemory
from ttlock_agent.jobs.model import Job, JobState, WantedPasscode
from ttlock_agent.jobs.params import is_missed
from ttlock_agent.jobs.steps import Steps
from ttlock_agent.jobs.store import Journal
from ttlock_agent.lock.visit import LockProfile, Visit
from ttlock_protocol.errors import CommandRefused, Refusal
from ttlock_protocol.message import Request

T = TypeVar("T")

log = structlog.get_logger()

MAX_TRIES: Final = 2
"""A lock that says yes twice and does not show it never will."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended."""

    state: JobState
    result: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """One job, with all that is needed to run it."""

    steps: Steps
    visit: Visit
    profile: LockProfile
    journal: Journal
    memory: LockMemory
    door_log: DoorLog
    clock: Clock
    wanted: Sequence[WantedPasscode]

    @property
    def job(self) -> Job:
        """The job as it stands."""
        return self.steps.job

    def now(self) -> str:
        """Return the time as it stands in results."""
        return self.clock.now().isoformat(timespec="seconds")

    def refuse_if_missed(self) -> None:
        """Raise ``JobExpired`` for what was for a moment that has passed; ask right before it."""
        if is_missed(self.job, self.clock.now(), first=self.journal.first_number):
            raise JobExpired(
                "The moment that it was for has passed.",
                hint="Ask again, with a new id, if somebody still stands there.",
            )

    def proved(self, result: dict[str, Any], *, was_there: bool) -> Outcome:
        """Return the end of a change that a reading agreed with."""
        proof = {"proof_at": self.now(), "was_there": was_there}
        return Outcome(JobState.PROVED, proof | result)


Runner = Callable[[Errand], Awaitable[Outcome]]


@dataclass(frozen=True, slots=True)
class Settled(Generic[T]):
    """What the lock holds after a change, and whether it had been so before."""

    held: T
    was_there: bool


async def settle(
    errand: Errand,
    read: Callable[[], Awaitable[T]],
    missing: Callable[[T], Sequence[Request[Any]]],
    *,
    ignoring: Collection[Refusal] = (),
) -> Settled[T]:
    """Bring the lock to where nothing is ``missing``, by reading after whatever was written.

    ``missing`` says what to write; it may raise. Refusals in ``ignoring`` are left to the next
    reading. Raises ``NotInLock`` when the lock says yes and never shows it.
    """
    steps = errand.steps
    was_sent = steps.job.is_sent
    await steps.begin()
    held = await read()
    if steps.job.state is JobState.UNKNOWN:
        await steps.note_read_back()
    requests = missing(held)
    if not requests:
        return Settled(held, was_there=not was_sent)
    for _ in range(MAX_TRIES):
        await steps.mark_sent()
        for request in requests:
            try:
                await errand.visit.ask(request)
            except OutcomeUnknown:
                log.warning("answer_lost", job_id=steps.job.id, verb=steps.job.verb)
                break
            except CommandRefused as error:
                if error.refusal not in ignoring:
                    raise
        held = await read()
        requests = missing(held)
        if not requests:
            return Settled(held, was_there=False)
    raise NotInLock(
        "The lock confirmed the change and does not show it.",
        hint="Read it again later; if it stays so, report the lock's firmware.",
    )
