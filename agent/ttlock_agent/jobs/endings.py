"""What it means for a job that the visit to its lock ended early."""

from __future__ import annotations

import structlog

from ttlock_agent.errors import (
    AdapterUnavailable,
    AgentError,
    ConnectFailed,
    LinkError,
    LockMisunderstood,
    LockNotSeen,
    LockRefused,
)
from ttlock_agent.jobs.model import Job, JobFailure, JobState, Move, WaitReason
from ttlock_agent.lock.refusals import refused
from ttlock_agent.logs import where
from ttlock_protocol.errors import CommandRefused, LocalProtocolError, ProtocolError

log = structlog.get_logger()


def wait_reason(error: AgentError | None) -> WaitReason:
    """Return why a job waits after a visit that ended with ``error``, or without one."""
    match error:
        case None:
            return WaitReason.QUEUED
        case LockNotSeen():
            return WaitReason.LOCK_NOT_SEEN
        case ConnectFailed():
            return WaitReason.LOCK_BUSY
        case AdapterUnavailable():
            return WaitReason.ADAPTER_UNAVAILABLE
        case LinkError():
            return WaitReason.LINK_LOST
        case _:
            return WaitReason.BACK_OFF


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
