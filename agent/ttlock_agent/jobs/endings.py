"""What it means for a job that the visit to its lock ended early."""

from __future__ import annotations

from typing import Final

import structlog

from ttlock_agent.errors import (
    AdapterUnavailable,
    AgentError,
    ConnectFailed,
    LinkError,
    LockMisunderstood,
    LockNotSeen,
    LockRefused,
    LockTaken,
)
from ttlock_agent.jobs.model import Job, JobFailure, JobState, Move, WaitReason
from ttlock_agent.lock.refusals import refused
from ttlock_agent.logs import where
from ttlock_protocol.errors import CommandRefused, LocalProtocolError, ProtocolError

log = structlog.get_logger()

_REASONS: Final = (
    (LockTaken, WaitReason.LOCK_BUSY),
    (LockNotSeen, WaitReason.LOCK_NOT_SEEN),
    (ConnectFailed, WaitReason.CONNECT_FAILED),
    (AdapterUnavailable, WaitReason.ADAPTER_UNAVAILABLE),
    (LinkError, WaitReason.LINK_LOST),
)
"""The first kind that an error is of counts."""


def wait_reason(error: AgentError | None) -> WaitReason:
    """Return why a job waits after a visit that ended with ``error``, or without one."""
    if error is None:
        return WaitReason.QUEUED
    reasons = (reason for kind, reason in _REASONS if isinstance(error, kind))
    return next(reasons, WaitReason.BACK_OFF)


def given_up(job: Job, error: AgentError) -> Move:
    """Trying again cannot help: final, and honest about what may have been done before."""
    state = JobState.OUTCOME_UNKNOWN if job.is_sent else JobState.FAILED
    return Move(to=state, error=JobFailure.of(error))


def named(error: Exception) -> AgentError:
    """Return what ended a visit as an error with a code; a defect is logged and called one."""
    match error:
        case AgentError():
            return error
        case CommandRefused():
            return refused(error)
        case LocalProtocolError():
            return LockRefused(
                f"It cannot be asked of the lock: {error}.",
                refusal="cannot_be_asked",
                hint="Check with `ttlock-agent keys show` what the imported keys allow.",
            )
        case ProtocolError():
            return LockMisunderstood(f"The lock's answer cannot be understood: {error}.")
        case _:
            log.error("visit_defect", **where(error))
            return AgentError("The agent failed while it worked on this lock.")
