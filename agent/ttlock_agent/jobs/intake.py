"""Where requests become jobs, whoever asks: the journal first, then an answer, then the radio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import structlog

from ttlock_agent.clock import Clock
from ttlock_agent.errors import JobCancelled, JobRejected, NoSuchJob, Rejection
from ttlock_agent.jobs.answers import Answers
from ttlock_agent.jobs.model import (
    CLOUD_OWNER,
    GUEST_PRIORITY,
    Job,
    JobFailure,
    JobState,
    Move,
    NewJob,
    Premise,
    ReplyTo,
    WantedPasscode,
)
from ttlock_agent.jobs.moves import move_those_open
from ttlock_agent.jobs.params import deadline_of, wish_of
from ttlock_agent.jobs.parts import Demand
from ttlock_agent.jobs.passcodes import collision, lock_window
from ttlock_agent.jobs.store import Journal
from ttlock_agent.jobs.sync import COLLISION_HINT, SyncAct, demand_of_set, is_over, plan_sync
from ttlock_agent.jobs.waiting import Alarm
from ttlock_agent.lock.visit import LockProfile
from ttlock_agent.requests import (
    JobCancel,
    JobGet,
    LockEnrol,
    LockUnlock,
    ParsedRequest,
    PasscodeAdd,
    PasscodeSync,
    Priority,
    Request,
    canonical_content,
    refuse_late,
    secrets_of,
)
from ttlock_protocol.errors import LocalProtocolError

log = structlog.get_logger()

LOCAL: Final = "control"
"""Source of requests over the control socket, which only people on this machine may use."""

_PRIORITIES: Mapping[Priority, int] = {
    Priority.NORMAL: 0,
    Priority.GUEST_AT_THE_DOOR: GUEST_PRIORITY,
}


CALLERS: Final = frozenset({"mqtt", "control"})
"""Whose requests have one answer for ever. One of the agent's own may do better the next time."""


class Intake:
    """Takes requests that were parsed already."""

    def __init__(
        self,
        journal: Journal,
        answers: Answers,
        clock: Clock,
        profiles: Mapping[str, LockProfile],
        *,
        alarms: Sequence[Alarm],
        register_secret: Callable[[str], None],
    ) -> None:
        self._journal = journal
        self._answers = answers
        self._clock = clock
        self._profiles = profiles
        self._alarms = alarms
        self._register_secret = register_secret
        self._accepting = asyncio.Lock()

    async def take(
        self,
        request: ParsedRequest,
        *,
        source: str,
        reply_to: ReplyTo | None = None,
        premise: Premise | None = None,
    ) -> Job:
        """Carry out what needs no lock, make a job of the rest, and queue the answer.

        Raises ``JobRejected`` or ``NoSuchJob``, and then has changed nothing; also when ``premise``
        does not hold any more.
        """
        match request.params:
            case JobGet(job=name):
                return await self._answered(request, await self._find(name), reply_to)
            case JobCancel(job=name):
                return await self._answered(request, await self._cancel(name), reply_to)
            case _:
                return await self._accept(request, source, reply_to, premise)

    async def _accept(
        self,
        request: ParsedRequest,
        source: str,
        reply_to: ReplyTo | None,
        premise: Premise | None,
    ) -> Job:
        assert request.lock is not None, "all other verbs are about a lock"
        for secret in secrets_of(request.params):
            self._register_secret(secret)
        new = NewJob(
            source=source,
            request_id=request.id,
            verb=request.verb,
            lock=request.lock,
            params=canonical_content(request),
            priority=_priority(request),
            deadline_at=deadline_of(request, self._clock.now()),
            reply_to=reply_to,
        )
        # From looking at what is wanted until the journal has it, nobody else may want something.
        async with self._accepting:
            is_known = await self._journal.job_by_request(request.id) is not None
            demand = Demand() if is_known else await self._judged(new, request)
            accepted = await self._journal.accept(
                new,
                wanted=demand.wanted,
                kept=demand.kept,
                family=demand.family,
                premise=premise,
                outbox=self._answers.of_job,
            )
        job = accepted.job
        log.info(
            "job_accepted" if accepted.is_new else "job_asked_again",
            job_id=job.id, lock=job.lock, verb=job.verb, source=job.source,
        )  # fmt: skip
        for alarm in self._alarms:
            alarm.ring()
        return job

    async def _judged(self, new: NewJob, request: ParsedRequest) -> Demand:
        """Return what a new request changes about what is wanted.

        Raises ``JobRejected``, and again if the request comes again: its refusal may have been
        heard although its acknowledgement got lost, and who was told no must not find it done.
        """
        if new.source not in CALLERS:
            return await self._demand(request, new.source)
        before = await self._journal.refusal(new)
        if before is not None:
            raise JobRejected(before.message, reason=Rejection(before.code), hint=before.hint)
        try:
            return await self._demand(request, new.source)
        except JobRejected as error:
            await self._journal.refuse(new, JobFailure.of(error), self._clock.now())
            raise

    async def _demand(self, request: ParsedRequest, source: str) -> Demand:
        """Return what a new request changes about what is wanted; raises ``JobRejected``."""
        assert request.lock is not None, "only requests about a lock are accepted"
        refuse_late(request, self._clock.now())
        if request.lock not in self._profiles and not isinstance(request.params, LockEnrol):
            raise JobRejected(
                "The agent has no keys for this lock.",
                reason=Rejection.NO_KEYS,
                hint="Import them with `ttlock-agent keys import`, or name them in the config;"
                " after a reset, `enrol` makes new ones.",
            )
        self._refuse_from_afar(request, source)
        present = await self._journal.wanted(request.lock)
        if isinstance(request.params, PasscodeSync):
            return self._demand_of_set(request.params, present)
        wish = wish_of(request.params, lock=request.lock, source=source)
        if wish is None:
            return Demand()
        if wish.is_wanted:
            if source in CALLERS:
                wish = self._with_owner(wish, request.params, present)
            self._refuse_untellable(wish)
            self._refuse_collision(wish, present)
        return Demand(wanted=(wish,))

    def _demand_of_set(self, params: PasscodeSync, present: Sequence[WantedPasscode]) -> Demand:
        now = self._clock.now()
        steps = plan_sync(params, present, now=now)
        for step in steps:
            if step.wish.is_wanted and step.act is not SyncAct.IS_OVER:
                self._refuse_untellable(step.wish)
        return demand_of_set(steps, params, now=now)

    def _refuse_from_afar(self, request: ParsedRequest, source: str) -> None:
        """Refuse what may not come over a network, or not in this way."""
        if source == LOCAL or not request.params.is_for_now:
            return
        assert request.lock is not None, "only locks have somebody standing before them"
        if isinstance(request.params, LockUnlock) and not self._profiles[request.lock].may_unlock:
            raise JobRejected(
                "This lock is not opened over MQTT.",
                reason=Rejection.FORBIDDEN,
                hint="Set `locks[].allow_mqtt_unlock` in the configuration to allow it; passcodes"
                " can be delivered all the same.",
            )
        if request.deadline_at is None:
            raise JobRejected(
                "A request that is for now needs `deadline_at` over MQTT.",
                reason=Rejection.INVALID,
                hint="A broker may keep a message for hours; say until when you would stand there.",
            )

    def _with_owner(
        self, wish: WantedPasscode, params: Request, present: Sequence[WantedPasscode]
    ) -> WantedPasscode:
        """Leave a passcode to whose set it is in; raises ``JobRejected`` if two want it as theirs.

        Else whoever edits one would take it along when their own set is emptied.
        """
        is_named = isinstance(params, PasscodeAdd) and params.owner is not None
        if is_named and wish.owner == CLOUD_OWNER:
            raise JobRejected(
                f"What belongs to `{CLOUD_OWNER}` is what the cloud lists.",
                reason=Rejection.INVALID,
                hint="Name another owner, or add the passcode in the cloud.",
            )
        now = self._clock.now()
        standing = next(
            (
                each
                for each in present
                if each.digits == wish.digits and each.is_wanted and not is_over(each, now)
            ),
            wish,
        )
        if standing.owner in (wish.owner, CLOUD_OWNER):
            return wish
        if is_named:
            raise JobRejected(
                f"The passcode belongs to `{standing.owner}` already.",
                reason=Rejection.DUPLICATE,
                hint="Choose other digits, have the other owner give them up first, or leave"
                " `owner` out to change the passcode for its owner.",
            )
        return replace(wish, owner=standing.owner)

    def _refuse_untellable(self, wish: WantedPasscode) -> None:
        try:
            lock_window(wish, self._profiles[wish.lock].zone)
        except LocalProtocolError as error:
            raise JobRejected(
                f"The lock's clock cannot tell this validity: {error}.",
                reason=Rejection.INVALID,
                hint="Locks keep local time: choose times outside the hour that daylight saving"
                " repeats.",
            ) from None

    def _refuse_collision(self, wish: WantedPasscode, present: Sequence[WantedPasscode]) -> None:
        now = self._clock.now()
        others = [each.digits for each in present if each.is_wanted and not is_over(each, now)]
        if collision(wish.digits, others) is not None:
            raise JobRejected(
                "The passcode begins like another one of this lock, or the other way round.",
                reason=Rejection.PREFIX_COLLISION,
                hint=COLLISION_HINT,
            )

    async def _find(self, name: str) -> Job:
        job = await self._journal.job(name) or await self._journal.job_by_request(name)
        if job is None:
            raise NoSuchJob("There is no job of that id.")
        return job

    async def _cancel(self, name: str) -> Job:
        job = await self._find(name)
        cancelled = Move(
            to=JobState.CANCELLED, error=JobFailure.of(JobCancelled("The job was cancelled."))
        )
        # A job with parts ends with them: with all that the lock may not have carried out yet.
        targets = await self._journal.parts(job.id) or [job]
        await move_those_open(
            self._journal,
            {each.id: cancelled for each in targets},
            outbox=self._answers.when_final,
        )
        # It may have been final already, or the lock may have done it: it is told as it stands.
        return await self._find(job.id)

    async def _answered(self, request: ParsedRequest, job: Job, reply_to: ReplyTo | None) -> Job:
        about = self._answers.about(request.verb, request.id, job, reply_to)
        await self._journal.post([about])
        return job


def _priority(request: ParsedRequest) -> int:
    asked = _PRIORITIES[request.priority]
    return max(asked, GUEST_PRIORITY) if request.params.is_for_now else asked
