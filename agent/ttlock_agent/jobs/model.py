"""What a job is and where it may go: states and moves as data, checked by pure functions.

``accepted``, ``waiting``, ``working`` and ``unknown`` are open; the other states are final. One
rule runs through all of it: a request that may have reached the lock (``is_sent``) is never put
back in the queue, nor reported as not done, unless the mover says that the lock did *not* do it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, Self

from ttlock_agent.errors import AgentError, IllegalMove
from ttlock_agent.publication import Publication


class JobState(StrEnum):
    """Where a job stands."""

    ACCEPTED = "accepted"
    WAITING = "waiting"
    WORKING = "working"
    UNKNOWN = "unknown"
    """Bytes of a request that must not be repeated were sent; only a read-back may follow."""
    PROVED = "proved"
    DONE = "done"
    """Final form of reads, and of verbs that leave nothing to prove."""
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    OUTCOME_UNKNOWN = "outcome_unknown"


_S = JobState
_NEXT: Mapping[JobState, frozenset[JobState]] = MappingProxyType(
    {
        _S.ACCEPTED: frozenset({_S.WAITING, _S.WORKING, _S.FAILED, _S.EXPIRED, _S.CANCELLED}),
        _S.WAITING: frozenset({_S.WAITING, _S.WORKING, _S.FAILED, _S.EXPIRED, _S.CANCELLED}),
        # Working to working is the mark "the bytes go out now".
        _S.WORKING: frozenset(_S) - {_S.ACCEPTED},
        # No way back to working or to done: what was sent is read back, never sent again unread.
        _S.UNKNOWN: frozenset(_S) - {_S.ACCEPTED, _S.WORKING, _S.DONE},
        _S.PROVED: frozenset(),
        _S.DONE: frozenset(),
        _S.FAILED: frozenset(),
        _S.EXPIRED: frozenset(),
        _S.CANCELLED: frozenset(),
        _S.OUTCOME_UNKNOWN: frozenset(),
    }
)
FINAL_STATES = frozenset(state for state, following in _NEXT.items() if not following)
OPEN_STATES = frozenset(_S) - FINAL_STATES
_SAY_NOT_SENT = frozenset({_S.ACCEPTED, _S.WAITING, _S.EXPIRED, _S.CANCELLED})
"""These promise that the lock did not do it."""
_SAY_SENT = frozenset({_S.UNKNOWN, _S.OUTCOME_UNKNOWN})
_NEED_REASON = frozenset({_S.WAITING, _S.UNKNOWN})
_NEED_ERROR = frozenset({_S.FAILED, _S.EXPIRED, _S.OUTCOME_UNKNOWN})


GUEST_PRIORITY: Final = 10
"""Somebody stands at the door: before everything else of the same lock."""


class WaitReason(StrEnum):
    """Why an open job does not go on right now."""

    QUEUED = "queued"
    NOT_YET = "not_yet"
    LOCK_NOT_SEEN = "lock_not_seen"
    LOCK_BUSY = "lock_busy"
    CONNECT_FAILED = "connect_failed"
    LINK_LOST = "link_lost"
    ADAPTER_UNAVAILABLE = "adapter_unavailable"
    CLOCK_NOT_SYNCHRONISED = "clock_not_synchronised"
    KEYS_MISSING = "keys_missing"
    BACK_OFF = "back_off"
    READ_BACK_PENDING = "read_back_pending"
    AGENT_RESTARTED = "agent_restarted"
    PARTS = "parts"
    BUDGET_USED_UP = "budget_used_up"

    @property
    def sentence(self) -> str:
        """The reason for a person."""
        return _SENTENCES[self]


_SENTENCES: Mapping[WaitReason, str] = MappingProxyType(
    {
        WaitReason.QUEUED: "Other jobs of this lock go first.",
        WaitReason.NOT_YET: "The time before which it must not run has not come.",
        WaitReason.LOCK_NOT_SEEN: (
            "The lock is not heard: it sleeps, is out of range, or its batteries are empty."
        ),
        WaitReason.LOCK_BUSY: (
            "The lock's one connection is taken, probably by its gateway or a phone; it is tried "
            "again as soon as the lock is heard."
        ),
        WaitReason.CONNECT_FAILED: (
            "The lock is heard, and no connection came about: radio noise, or somebody was faster."
        ),
        WaitReason.LINK_LOST: "The connection to the lock broke before anything was changed.",
        WaitReason.ADAPTER_UNAVAILABLE: "This machine's Bluetooth adapter is not available.",
        WaitReason.CLOCK_NOT_SYNCHRONISED: (
            "The clock of this machine is not synchronised, so timed passcodes could go wrong."
        ),
        WaitReason.KEYS_MISSING: "The keys of this lock have not been imported.",
        WaitReason.BACK_OFF: "The last attempt failed; the next one comes after a pause.",
        WaitReason.READ_BACK_PENDING: (
            "The lock may have carried it out; it must be read back before anything else."
        ),
        WaitReason.AGENT_RESTARTED: "The agent was restarted before anything was sent.",
        WaitReason.BUDGET_USED_UP: (
            "The lock's battery was asked for enough today; until tomorrow only what is urgent is."
        ),
        WaitReason.PARTS: "Its passcodes are seen to one by one, each by a job of its own.",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFailure:
    """The error of a job, in the form every answer carries."""

    code: str
    message: str
    hint: str
    is_retryable: bool

    @classmethod
    def of(cls, error: AgentError) -> Self:
        """Keep what an answer needs of ``error``."""
        return cls(
            code=error.code, message=error.message, hint=error.hint, is_retryable=error.retryable
        )


@dataclass(frozen=True, slots=True)
class ReplyTo:
    """Where an MQTT 5 caller wants its answers; ``None`` is the verb's usual topic."""

    topic: str | None
    correlation_data: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A request that passed all checks and may become a job."""

    source: str
    """Who asks: ``mqtt``, ``control``, ``takeover``."""
    request_id: str
    """One id is one job for ever, whichever source repeats it."""
    verb: str
    lock: str
    params: bytes = field(repr=False)
    """Canonical form of all the requester said: equal requests must give equal bytes."""
    priority: int = 0
    """Higher goes first."""
    deadline_at: datetime | None = None
    not_before_at: datetime | None = None
    reply_to: ReplyTo | None = None
    """Not part of what was asked: a repeat may want its answer elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as the journal holds it."""

    id: str
    source: str
    request_id: str
    verb: str
    lock: str
    params: bytes = field(repr=False)
    """Empty once the job is final."""
    state: JobState
    reason: WaitReason | None
    is_sent: bool
    """A request that must not be repeated blindly was handed to the link, or is about to be."""
    priority: int
    deadline_at: datetime | None
    not_before_at: datetime | None
    attempts: int
    created_at: datetime
    updated_at: datetime
    result: dict[str, Any] | None = field(repr=False)
    error: JobFailure | None
    """Of the last attempt, if it failed; of the whole job, once it is final."""
    reply_to: ReplyTo | None = None
    parent_id: str | None = None
    """The job that this is a part of. Parts are not answered for: their parent is."""
    number: int = field(default=0, compare=False)
    """Counts the journal's jobs in the order of acceptance, which no clock tells; set by it."""

    @property
    def is_final(self) -> bool:
        """Nothing will change any more."""
        return self.state in FINAL_STATES


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One step of a job. What it does not name is cleared, but for ``is_sent``."""

    to: JobState
    reason: WaitReason | None = None
    is_sent: bool | None = None
    """True, journalled *before* the bytes go out; False when the lock is known not to have done it;
    None leaves it as it is."""
    is_attempt: bool = False
    not_before_at: datetime | None = None
    result: dict[str, Any] | None = field(default=None, repr=False)
    error: JobFailure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One line of a job's audit trail."""

    number: int
    """Counts from 1 within the job."""
    at: datetime
    state: JobState
    reason: WaitReason | None
    is_sent: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """Answer to a request: its job, and whether this very request made it."""

    job: Job
    is_new: bool


class PasscodeKind(StrEnum):
    """How long a passcode opens."""

    PERMANENT = "permanent"
    ONE_TIME = "one_time"
    PERIOD = "period"
    CYCLIC = "cyclic"


CLOUD_OWNER: Final = "cloud"
"""Whose the passcodes are that the vendor's cloud lists; what it lists no more is removed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedPasscode:
    """Desired state of one passcode on one lock."""

    lock: str
    digits: str = field(repr=False)
    kind: PasscodeKind
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    cycle: int | None = None
    """The lock's number of the weekly or monthly pattern; for ``cyclic`` only."""
    label: str = ""
    owner: str
    """Whose wish it is: what the caller said, else the way the request came."""
    job_id: str | None = None
    is_wanted: bool = True
    """False: it must be absent."""
    proved_at: datetime | None = None
    """When a reading of the lock last agreed with this."""
    is_held: bool = False
    """The lock held these digits when it was last read, be it otherwise than is wanted now."""
    updated_at: datetime | None = None
    """Set by the journal."""
    revision: int = 0
    """Set by the journal, new at each write. Writing a value back with its revision changes nothing
    if somebody wrote meanwhile: the newer wish wins. 0 writes in any case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Premise:
    """What was known of a passcode when somebody decided about it: which wish counted then."""

    lock: str
    digits: str = field(repr=False)
    revision: int
    """0: nobody wanted anything of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FormerPasscode:
    """A passcode that nobody wants any more; its digits are known only by their keyed hash."""

    number: int
    """Another one each time the passcode becomes a former one."""
    label: str
    owner: str
    is_removed: bool
    """A reading proved that it was gone; else its validity ended, and a lock may hold it still."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxEntry:
    """A message that the broker has not confirmed yet."""

    id: int
    publication: Publication
    queued_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a lock said when it was last asked."""

    value: Any
    as_of: datetime


def next_states(state: JobState) -> frozenset[JobState]:
    """Return the states a job may go to from ``state``; empty for a final one."""
    return _NEXT[state]


def accepted_job(new: NewJob, job_id: str, at: datetime, *, parent_id: str | None = None) -> Job:
    """Return the job that a request becomes."""
    return Job(
        id=job_id,
        source=new.source,
        request_id=new.request_id,
        verb=new.verb,
        lock=new.lock,
        params=new.params,
        state=JobState.ACCEPTED,
        reason=None,
        is_sent=False,
        priority=new.priority,
        deadline_at=new.deadline_at,
        not_before_at=new.not_before_at,
        attempts=0,
        created_at=at,
        updated_at=at,
        result=None,
        error=None,
        reply_to=new.reply_to,
        parent_id=parent_id,
    )


def moved(job: Job, move: Move, at: datetime) -> Job:
    """Return ``job`` after ``move``; raises ``IllegalMove``."""
    check_move(job, move)
    return replace(
        job,
        params=b"" if move.to in FINAL_STATES else job.params,
        state=move.to,
        reason=move.reason,
        is_sent=_is_sent_after(job, move),
        not_before_at=move.not_before_at,
        attempts=job.attempts + move.is_attempt,
        updated_at=at,
        result=move.result,
        error=move.error,
    )


def check_move(job: Job, move: Move) -> None:
    """Raise ``IllegalMove`` unless ``job`` may make ``move``."""
    step = f"Job {job.id} cannot go from {job.state} to {move.to}"
    if move.to not in _NEXT[job.state]:
        raise IllegalMove(f"{step}.")
    is_sent = _is_sent_after(job, move)
    if is_sent and move.to in _SAY_NOT_SENT:
        raise IllegalMove(f"{step}: the lock may have carried it out, so it must be read back.")
    if not is_sent and move.to in _SAY_SENT:
        raise IllegalMove(f"{step}: nothing was sent.")
    if move.to in _NEED_REASON and move.reason is None:
        raise IllegalMove(f"{step} without a reason.")
    if move.to in _NEED_ERROR and move.error is None:
        raise IllegalMove(f"{step} without an error.")


def after_interruption(job: Job) -> Move:
    """Return the move for a job that was ``working`` when the agent died."""
    if job.is_sent:
        return Move(to=JobState.UNKNOWN, reason=WaitReason.READ_BACK_PENDING)
    return Move(to=JobState.WAITING, reason=WaitReason.AGENT_RESTARTED)


def _is_sent_after(job: Job, move: Move) -> bool:
    return job.is_sent if move.is_sent is None else move.is_sent
