"""Brings the passcode jobs of one lock to their end within one visit, by proof.

A passcode counts as delivered when a complete listing of the lock shows it, not when the lock says
yes. What happens next always follows from what a listing says, so a lost answer, a restart in
between and a code that is there already take the same road: read back, then act on the truth.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
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
from ttlock_agent.jobs.passcodes import TYPE_OF_KIND, add_request, is_timed, modify_request
from ttlock_agent.jobs.reconcile import Act, act_believed, act_for, review
from ttlock_agent.jobs.store import Journal
from ttlock_agent.lock.refusals import refused
from ttlock_agent.lock.visit import Listing, LockProfile, Visit
from ttlock_protocol.errors import CommandRefused, LocalProtocolError, Refusal
from ttlock_protocol.message import Request
from ttlock_protocol.messages.passcodes import DeletePasscode, PasscodeRecord, PasscodesChanged

log = structlog.get_logger()

MAX_LISTINGS: Final = 6
"""The longest road is add, modify, delete, add, each read back, and one second look."""
_SAYS_WHAT_IS_HELD: Final = frozenset({Refusal.PASSCODE_EXISTS, Refusal.PASSCODE_NOT_FOUND})
"""Refusals after which the listing decides; any other is the end of the job."""


_MEMORY_IS_FULL: Final = frozenset({Refusal.MEMORY_FULL, Refusal.PASSCODE_MEMORY_FULL})


@dataclass(slots=True)
class PasscodeTask:
    """One job and what it wants of the lock; ``is_check_first`` reads before it writes."""

    job: Job
    wanted: WantedPasscode
    is_check_first: bool
    priority: int = 0
    """Of the most urgent job about these digits, for that waits for this one."""
    is_believed_held: bool = False
    """The lock held these digits when it was last read."""
    next: Act | None = None
    """What to tell the lock; ``None`` is nothing, for it is to be read once more, or given up."""
    tried: set[Act] = field(default_factory=set)
    has_written: bool = False
    is_crowded_out: bool = False
    """The lock had no room for it when it was last asked."""
    has_got_room: bool = False
    is_given_up: bool = False
    refusal: LockRefused | None = None
    _has_looked_again: bool = False

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
        self.next = act_believed(self.wanted, is_held=self.is_believed_held)

    def plan(self, listing: Listing, zone: tzinfo, now: datetime) -> None:
        """Choose what to do, knowing that ``listing`` is all the lock holds ``now``."""
        act = act_for(self.wanted, listing, zone, now, can_modify=Act.MODIFY not in self.tried)
        if act is Act.NOTHING or act not in self.tried:
            self.next = act
            return
        # The lock was told and does not show it: a second look before the job is given up.
        self.next = None
        self.is_given_up, self._has_looked_again = self._has_looked_again, True

    def begin(self, act: Act) -> None:
        """Note that ``act`` is being tried."""
        self.tried.add(act)
        self.is_crowded_out = False
        if act is Act.DELETE and self.wanted.is_wanted:
            self.tried.discard(Act.ADD)

    def failed(self, error: AgentError) -> Move:
        """Return the move that ends the job, saying of which kind a refused passcode was."""
        result = {"kind": self.wanted.kind.value} if self.wanted.is_wanted else None
        return Move(to=JobState.FAILED, error=JobFailure.of(error), result=result)

    def request(self, act: Act, zone: tzinfo) -> Request[PasscodesChanged]:
        """Return the request for ``act``; raises ``LocalProtocolError``."""
        if act is Act.ADD:
            return add_request(self.wanted, zone)
        if act is Act.MODIFY:
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

    async def run(self, tasks: Sequence[PasscodeTask], *, is_time_known: bool = True) -> None:
        """Bring ``tasks`` as far as they go; raises what ends the visit.

        Without ``is_time_known``, timed ones are read back, and not written.

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
            pending = await self._make_room(pending, is_time_known=is_time_known)
            for task in pending:
                task.plan(listing, self._profile.zone, self.listed_at)
            self._on_findings(
                self._profile.id,
                {task.job.id: task.next is Act.NOTHING for task in pending if task.is_untouched},
            )
            pending = await self._settle(pending)
            if not is_time_known:
                pending = [task for task in pending if not self._needs_time(task)]
            pending = await self._perform_all(pending)

    async def _take_up(self, tasks: Sequence[PasscodeTask]) -> list[PasscodeTask]:
        """Mark as working what only waited, for a reading alone may prove it."""
        working = Move(to=JobState.WORKING)
        return await self._move(
            tasks,
            {task.job.id: working for task in tasks if task.job.state is not JobState.UNKNOWN},
        )

    async def _make_room(
        self, tasks: Sequence[PasscodeTask], *, is_time_known: bool
    ) -> list[PasscodeTask]:
        """Where the lock was full, remove passcodes that are over; return the tasks left open.

        No more than it takes: the rest may wait until somebody needs the room. Who gets none fails,
        or waits where a clock that may be wrong cannot tell which passcodes are over.
        """
        crowded_out = [task for task in tasks if task.is_crowded_out]
        if not crowded_out:
            return list(tasks)
        if not is_time_known:
            for task in crowded_out:
                await self._not_done(task, WaitReason.CLOCK_NOT_SYNCHRONISED)
            return [task for task in tasks if not task.is_crowded_out]
        useless = await self._useless()
        for task in crowded_out:
            if useless and not task.has_got_room:
                record = useless.pop()
                with suppress(CommandRefused):  # gone already: that makes room as well
                    await self._visit.ask(
                        DeletePasscode(passcode_type=record.passcode_type, passcode=record.passcode)
                    )
                log.info("passcode_over_removed", lock=self._profile.id)
                task.has_got_room = True
                task.tried.discard(Act.ADD)
            else:
                await self._fail(task, task.refusal or _not_in_lock())
        return [task for task in tasks if not task.job.is_final]

    async def _useless(self) -> list[PasscodeRecord]:
        """Return what the lock holds of known passcodes whose validity has ended."""
        assert self.listing is not None, "room is made only after a listing"
        digits = [each.passcode for each in self.listing if isinstance(each, PasscodeRecord)]
        found = review(
            self.listing,
            await self._journal.wanted(self._profile.id),
            await self._journal.former(self._profile.id, digits),
            zone=self._profile.zone,
            now=self._clock.now(),
        )
        return list(found.over)

    def _needs_time(self, task: PasscodeTask) -> bool:
        return task.next is not Act.DELETE and is_timed(task.wanted, self._clock.now())

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
        if task.is_given_up:
            return task.failed(task.refusal or _not_in_lock())
        if task.job.state is JobState.UNKNOWN and task.next is not None:
            # The lock was read after whatever was sent, so it did not do it.
            return Move(to=JobState.WAITING, reason=WaitReason.BACK_OFF, is_sent=False)
        return None

    async def _perform_all(self, tasks: Sequence[PasscodeTask]) -> list[PasscodeTask]:
        pending = []
        for task in tasks:
            if task.next is not None:
                await self._perform(task, task.next)
            if not task.job.is_final:
                pending.append(task)
        return pending

    async def _perform(self, task: PasscodeTask, act: Act) -> None:
        task.begin(act)
        try:
            request = task.request(act, self._profile.zone)
        except LocalProtocolError as error:
            await self._fail(task, LockRefused(f"It cannot be written: {error}.", refusal="form"))
            return
        if not await self._move([task], {task.job.id: Move(to=JobState.WORKING, is_sent=True)}):
            return  # cancelled, or past its deadline, before anything was sent
        try:
            await self._visit.ask(request)
            task.has_written = True
        except CommandRefused as error:
            await self._on_refusal(task, act, request, error)
        except OutcomeUnknown:
            log.warning("answer_lost", job_id=task.job.id, act=act.name.lower())
            task.has_written = True
            # The lock may never have heard of it: once it has been read, this may be tried again.
            task.tried.discard(act)
            unknown = Move(to=JobState.UNKNOWN, reason=WaitReason.READ_BACK_PENDING)
            await self._move([task], {task.job.id: unknown})
        except LinkLost:
            if not request.is_repeatable:
                # Only part of the frame went out, and the lock acts on whole frames.
                await self._not_done(task, WaitReason.LINK_LOST)
            raise

    async def _on_refusal(
        self,
        task: PasscodeTask,
        act: Act,
        request: Request[PasscodesChanged],
        error: CommandRefused,
    ) -> None:
        meaning = refused(error)
        if isinstance(meaning, LockRefused):
            task.refusal = meaning
        if meaning.retryable:
            if not request.is_repeatable:
                await self._not_done(task, WaitReason.BACK_OFF)
            raise meaning
        task.is_crowded_out = act is Act.ADD and error.refusal in _MEMORY_IS_FULL
        if task.is_crowded_out:
            return
        is_replaceable = act is Act.MODIFY and error.refusal is Refusal.NOT_SUPPORTED
        if error.refusal not in _SAYS_WHAT_IS_HELD and not is_replaceable:
            await self._fail(task, meaning)

    async def _not_done(self, task: PasscodeTask, reason: WaitReason) -> None:
        back = Move(to=JobState.WAITING, reason=reason, is_sent=False)
        await self._move([task], {task.job.id: back})

    async def _fail(self, task: PasscodeTask, error: AgentError) -> None:
        await self._move([task], {task.job.id: task.failed(error)})

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
