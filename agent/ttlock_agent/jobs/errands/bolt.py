"""Unlock and lock: once, now, and never again while it is unclear whether it was done.

What was sent and not answered is judged by the bolt itself; a bolt that tells nothing, or the
opposite, leaves the outcome unknown, for it may have moved and moved back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from types import MappingProxyType
from typing import Any, Final, TypeVar

from ttlock_agent.errors import (
    JobExpired,
    LinkError,
    LinkLost,
    LockMisunderstood,
    OutcomeUnknown,
    ResponseTimeout,
)
from ttlock_agent.jobs.errands.errand import Errand, Outcome, Runner
from ttlock_agent.jobs.model import JobState
from ttlock_agent.jobs.records import percent
from ttlock_protocol.errors import CommandRefused
from ttlock_protocol.message import Auth
from ttlock_protocol.messages.operate import BoltState, GetState
from ttlock_protocol.procedures import Procedure, lock, unlock

Move = Callable[..., Procedure[Any]]
T = TypeVar("T")


def _moving(to: BoltState, procedure: Move) -> Runner:
    async def run(errand: Errand) -> Outcome:
        if errand.job.state is JobState.UNKNOWN:
            return await _judge(errand, to, is_confirmed=False)
        errand.refuse_if_missed()
        await errand.steps.mark_sent()
        is_confirmed = True
        try:
            moving = procedure(
                errand.profile.keys, unique_id=_unique_id(errand), quirks=errand.profile.quirks
            )
            await errand.visit.run(_in_time(moving, errand.refuse_if_missed), auth=Auth.NOTHING)
        except OutcomeUnknown:
            is_confirmed = False
        except (JobExpired, LinkLost, ResponseTimeout):
            # Only around the challenge does it end like this: the bolt did not move.
            await errand.steps.note_not_done()
            raise
        return await _judge(errand, to, is_confirmed=is_confirmed)

    return run


def _in_time(moving: Procedure[T], refuse_if_missed: Callable[[], None]) -> Procedure[T]:
    """Look at the clock before each request: a lock may take long to answer with a challenge."""
    with closing(moving):
        try:
            step = next(moving)
            while True:
                refuse_if_missed()
                try:
                    answer = yield step
                except CommandRefused as refused:
                    step = moving.throw(refused)
                else:
                    step = moving.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result


async def _judge(errand: Errand, to: BoltState, *, is_confirmed: bool) -> Outcome:
    try:
        body = await _state(errand)
    except (LinkError, LockMisunderstood):
        if not is_confirmed:
            raise
        body = None
    if body is not None and body["lock"] == to.name:
        return Outcome(JobState.PROVED, body | {"proof_at": errand.now()})
    if is_confirmed:
        # Some locks always tell the same state (D36), and an auto-lock may be quick.
        return Outcome(JobState.DONE, (body or {}) | {"confirmed_at": errand.now()})
    raise OutcomeUnknown(
        "The lock's answer was lost, and its bolt does not tell whether it was done.",
        hint="Look at the door. It is not asked again: the bolt may have moved and moved back.",
    )


async def _state(errand: Errand) -> dict[str, Any] | None:
    try:
        state = await errand.visit.ask(GetState())
    except CommandRefused:
        return None
    body = {"lock": state.bolt.name, "battery_percent": percent(state.battery_percent)}
    await errand.memory.keep_state(errand.profile, body)
    return body


def _unique_id(errand: Errand) -> int:
    """Return the number that the lock writes into its log: as the vendor does, a time."""
    return int(errand.job.created_at.timestamp()) & 0xFFFFFFFF


BOLT_ERRANDS: Final[Mapping[str, Runner]] = MappingProxyType(
    {
        "lock.unlock": _moving(BoltState.UNLOCKED, unlock),
        "lock.lock": _moving(BoltState.LOCKED, lock),
    }
)
"""The verbs of this module."""
