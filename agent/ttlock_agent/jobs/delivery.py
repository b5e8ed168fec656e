"""Brings the passcode jobs of one lock to their end within one visit, by proof.

A passcode counts as delivered when a complete listing of the lock shows it, not when the lock says
yes. What happens next always follows from what a listing says, so a lost answer, a restart in
between and a code that is there already take the same road: read back, then act on the truth.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from enum import Enum, auto
from typing import Any, Final

import structlog

from ttlock_agent.clock import Clock
from ttlock_agent.errors import (
    AgentError,
    LinkLost,
    LockRefused,
    NotInLock,
    OutcomeUnknown,
)
from ttlock_agent.jobs.answers import Answers
from ttlock_agent.jobs.model import Job, JobFailure, JobState, Move, WaitReason, WantedPasscode
from ttlock_agent.jobs.moves import move_those_open
from ttlock_agent.jobs.passcodes import (
    TYPE_OF_KIND,
    Held,
    add_request,
    find,
    held,
    modify_request,
)
from ttlock_agent.jobs.store import Journal
from ttlock_agent.lock.refusals import refused
from ttlock_agent.lock.visit import Listing, LockProfile, Visit
from ttlock_protocol.errors import CommandRefused, LocalProtocolError, Refusal
from ttlock_protocol.message import Request
from ttlock_protocol.messages.passcodes import DeletePasscode, PasscodesChanged

log = structlog.get_logger()

MAX_LISTINGS: Final = 6
"""The longest road is add, modify, delete, add, each read back, and one second look."""
_SAYS_WHAT_IS_HELD: Final = frozenset({Refusal.PASSCODE_EXISTS, Refusal.PASSCODE_NOT_FOUND})
"""Refusals after which the listing decides; any other is the end of the job."""


class Act(Enum):
    """What to do next about one passcode."""

    ADD = auto()
    MODIFY = auto()
    DELETE = auto()
    LOOK_AGAIN = auto()
    GIVE_UP = auto()
    NOTHING = auto()
    """The lock holds what is wanted."""


_CHANGES: Final = frozenset({Act.ADD, Act.MODIFY, Act.DELETE})


@dataclass(slots=True)
class PasscodeTask:
    """One job and what it wants of the lock; ``is_check_first`` reads before it writes."""

    job: Job
    wanted: WantedPasscode
    is_check_first: bool
    next: Act = Act.NOTHING
    tried: set[Act] = field(default_factory=set)
    has_written: bool = False
    refusal: LockRefused | None = None

    @property
    def is_untouched(self) -> bool:
        """Whether the agent has sent nothing for it yet, in this visit or an earlier one."""
        return not self.tried and not self.has_written

    @property
    def must_read_first(self) -> bool:
        """Whether the lock must be read before anything is written."""
        return self.is_check_first or self.job.state is JobState.UNKNOWN

    def plan_blind(self) -> None:
        """Choose what to do without knowing what the lock holds."""
        self.next = Act.ADD if self.wanted.is_wanted else Act.DELETE

    def plan(self, listing: Listing, zone: tzinfo) -> None:
        """Choose what to do, knowing that ``listing`` is all the lock holds."""
        act = self._wish(listing, zone)
        if act is Act.NOTHING or act not in self.tried:
            self.next = act
        else:
            # The lock was told and does not show it: a second look before the job is given up.
            self.next = Act.GIVE_UP if Act.LOOK_AGAIN in self.tried else Act.LOOK_AGAIN

    def _wish(self, listing: Listing, zone: tzinfo) -> Act:
        state = held(listing, self.wanted, zone)
        if not self.wanted.is_wanted:
            return Act.NOTHING if state is Held.ABSENT else Act.DELETE
        if state is Held.AS_WANTED:
            return Act.NOTHING
        if state is not Held.OTHERWISE:
            return Act.ADD
        record = find(listing, self.wanted.digits)
        assert record is not None, "held otherwise means that it is held"
        is_same_type = record.passcode_type == TYPE_OF_KIND[self.wanted.kind]
        # A type cannot be modified: such a passcode is replaced.
        return Act.MODIFY if is_same_type and Act.MODIFY not in self.tried else Act.DELETE

    def begin(self) -> None:
        """Note that :attr:`next` is being tried."""
        self.tried.add(self.next)
        if self.next is Act.DELETE and self.wanted.is_wanted:
            self.tried.discard(Act.ADD)

    def request(self, zone: tzinfo) -> Request[PasscodesChanged]:
        """Return the request for :attr:`next`; raises ``LocalProtocolError``."""
        if self.next is Act.ADD:
            return add_request(self.wanted, zone)
        if self.next is Act.MODIFY:
            return modify_request(self.wanted, zone)
        return DeletePasscode(
            passcode_type=TYPE_OF_KIND[self.wanted.kind], passcode=self.wanted.digits
        )


OnFindings = Callable[[str, Mapping[str, bool]], None]
"""Called with a lock and, for each job looked up before anything was written for it, whether the
lock held what is wanted."""


class Delivery:
    """Delivers to one lock; made for one visit."""

    def __init__(
        self,
        visit: Visit,
        profile: LockProfile,
        *,
        journal: Journal,
        clock: Clock,
        answers: Answers,
        on_findings: OnFindings,
    ) -> None:
        self._visit = visit
        self._profile = profile
        self._journal = journal
        self._clock = clock
        self._answers = answers
        self._on_findings = on_findings
        self.listing: Listing | None = None
        """What the lock held when it was last read in this visit, complete."""
        self.listed_at: datetime | None = None

    async def run(self, tasks: Sequence[PasscodeTask]) -> None:
        """Bring ``tasks`` as far as they go; raises what ends the visit.

        No two of them may be about the same digits. Jobs that are still open afterwards stay as the
        journal has them.
        """
        await self._visit.be_admin()
        pending = list(tasks)
        if any(task.must_read_first for task in pending):
            pending = await self._take_up(pending)
        else:
            for task in pending:
                task.plan_blind()
            pending = await self._perform_all(pending)
        for _ in range(MAX_LISTINGS):
            if not pending:
                return
            listing = await self._visit.passcodes(is_fresh=True)
            self.listing, self.listed_at = listing, self._clock.now()
            for task in pending:
                task.plan(listing, self._profile.zone)
            self._on_findings(
                self._profile.id,
                {task.job.id: task.next is Act.NOTHING for task in pending if task.is_untouched},
            )
            pending = await self._perform_all(await self._settle(pending))

    async def _take_up(self, tasks: Sequence[PasscodeTask]) -> list[PasscodeTask]:
        """Mark as working what only waited, for a reading alone may prove it."""
        working = Move(to=JobState.WORKING)
        return await self._move(
            tasks,
            {task.job.id: working for task in tasks if task.job.state is not JobState.UNKNOWN},
        )

    async def _settle(self, tasks: Sequence[PasscodeTask]) -> list[PasscodeTask]:
        """Journal what the listing tells, in one transaction; return the tasks it leaves open."""
        return await self._move(
            tasks,
            {task.job.id: move for task in tasks if (move := self._verdict(task)) is not None},
        )

    def _verdict(self, task: PasscodeTask) -> Move | None:
        if task.next is Act.NOTHING:
            result: dict[str, Any] = {
                "proof_at": self._clock.now().isoformat(timespec="seconds"),
                "was_there": task.has_written is not task.wanted.is_wanted,
            }
            return Move(to=JobState.PROVED, result=result)
        if task.next is Act.GIVE_UP:
            return Move(to=JobState.FAILED, error=JobFailure.of(task.refusal or _not_in_lock()))
        if task.job.state is JobState.UNKNOWN and task.next in _CHANGES:
            # The lock was read after whatever was sent, so it did not do it.
            return Move(to=JobState.WAITING, reason=WaitReason.BACK_OFF, is_sent=False)
        return None

    async def _perform_all(self, tasks: Sequence[PasscodeTask]) -> list[PasscodeTask]:
        pending = []
        for task in tasks:
            task.begin()
            if task.next in _CHANGES:
                await self._perform(task)
            if not task.job.is_final:
                pending.append(task)
        return pending

    async def _perform(self, task: PasscodeTask) -> None:
        try:
            request = task.request(self._profile.zone)
        except LocalProtocolError as error:
            await self._fail(task, LockRefused(f"It cannot be written: {error}.", refusal="form"))
            return
        if not await self._move([task], {task.job.id: Move(to=JobState.WORKING, is_sent=True)}):
            return  # cancelled, or past its deadline, before anything was sent
        try:
            await self._visit.ask(request)
            task.has_written = True
        except CommandRefused as error:
            await self._on_refusal(task, request, error)
        except OutcomeUnknown:
            log.warning("answer_lost", job_id=task.job.id, act=task.next.name.lower())
            task.has_written = True
            # The lock may never have heard of it: once it has been read, this may be tried again.
            task.tried.discard(task.next)
            unknown = Move(to=JobState.UNKNOWN, reason=WaitReason.READ_BACK_PENDING)
            await self._move([task], {task.job.id: unknown})
        except LinkLost:
            if not request.is_repeatable:
                # Only part of the frame went out, and the lock acts on whole frames.
                await self._not_done(task, WaitReason.LINK_LOST)
            raise

    async def _on_refusal(
        self, task: PasscodeTask, request: Request[PasscodesChanged], error: CommandRefused
    ) -> None:
        meaning = refused(error)
        if isinstance(meaning, LockRefused):
            task.refusal = meaning
        if meaning.retryable:
            if not request.is_repeatable:
                await self._not_done(task, WaitReason.BACK_OFF)
            raise meaning
        is_replaceable = task.next is Act.MODIFY and error.refusal is Refusal.NOT_SUPPORTED
        if error.refusal not in _SAYS_WHAT_IS_HELD and not is_replaceable:
            await self._fail(task, meaning)

    async def _not_done(self, task: PasscodeTask, reason: WaitReason) -> None:
        back = Move(to=JobState.WAITING, reason=reason, is_sent=False)
        await self._move([task], {task.job.id: back})

    async def _fail(self, task: PasscodeTask, error: AgentError) -> None:
        failed = Move(to=JobState.FAILED, error=JobFailure.of(error))
        await self._move([task], {task.job.id: failed})

    async def _move(
        self, tasks: Sequence[PasscodeTask], moves: Mapping[str, Move]
    ) -> list[PasscodeTask]:
        """Take jobs one step on; return the tasks that are still open."""
        jobs = await move_those_open(self._journal, moves, outbox=self._answers.when_final)
        by_id = {job.id: job for job in jobs}
        for task in tasks:
            task.job = by_id.get(task.job.id, task.job)
        return [task for task in tasks if not task.job.is_final]


def _not_in_lock() -> NotInLock:
    return NotInLock("The lock confirmed the change, but its memory does not show it.")
