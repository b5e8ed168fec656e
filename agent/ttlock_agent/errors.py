"""Every way the agent can fail, each with one stable code, one exit code and one next step.

Callers decide on types and attributes, never on texts. A message says what was wrong; the hint says
what to do about it. Neither ever holds a passcode, a key or a raw frame.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

EX_OK = 0
EX_USAGE = 64
EX_REJECTED = 65
EX_UNAVAILABLE = 69
EX_SOFTWARE = 70
EX_TRY_LATER = 75
EX_NO_PERMISSION = 77
EX_CONFIG = 78


class AgentError(Exception):
    """Root of the agent's errors; not raised itself.

    ``code`` is stable and machine-readable, ``retryable`` says whether the same request may succeed
    later without anybody changing anything, ``hint`` is the next step for a person.
    """

    code: str = "internal"
    exit_code: ClassVar[int] = EX_SOFTWARE
    retryable: bool = False
    hint: str = "This is a defect of the agent: please report it with a support bundle."

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        if hint is not None:
            self.hint = hint

    @property
    def message(self) -> str:
        """What was wrong, in one sentence."""
        return str(self.args[0])


class ConfigError(AgentError):
    """The configuration cannot be used."""

    code = "config"
    exit_code = EX_CONFIG
    hint = (
        "Run `ttlock-agent check-config FILE`; it lists every finding with file, line and column."
    )


class LinkError(AgentError):
    """The way to the lock failed."""

    code = "link"
    exit_code = EX_TRY_LATER
    retryable = True
    hint = "Check that the lock has power and is in radio range."


class AdapterProblem(StrEnum):
    """Why a Bluetooth adapter cannot be used."""

    MISSING = "missing"
    POWERED_OFF = "powered_off"
    BLOCKED = "blocked"
    NO_DAEMON = "no_daemon"
    NO_BUS = "no_bus"
    NO_PERMISSION = "no_permission"
    STUCK = "stuck"
    """It is there and powered, and does not do what it is asked to."""


class AdapterUnavailable(LinkError):
    """The Bluetooth adapter, or the service behind it, is not there."""

    code = "adapter_unavailable"
    exit_code = EX_UNAVAILABLE
    hint = "Check `bluetoothctl show` and `systemctl status bluetooth`."

    def __init__(self, message: str, *, reason: AdapterProblem, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


class LockNotSeen(LinkError):
    """No advertisement of the lock arrived in time."""

    code = "lock_not_seen"
    hint = "Touch the keypad to wake the lock; check its batteries and the distance."


class LockTaken(LockNotSeen):
    """The lock has just stopped advertising, as it does while somebody else is connected to it."""

    code = "lock_taken"
    hint = "The gateway or a phone is probably connected; the agent goes on when the lock is free."


class ConnectFailed(LinkError):
    """The lock was seen, but no connection came about."""

    code = "connect_failed"
    hint = "Another phone or the gateway may be connected; the agent tries again by itself."


class LinkLost(LinkError):
    """The connection ended before it was meant to; nothing is known to be half done."""

    code = "link_lost"
    hint = "The agent tries again by itself; if this repeats, move the Pi closer to the lock."


class ResponseTimeout(LinkError):
    """The lock did not answer a request that is safe to repeat."""

    code = "response_timeout"
    hint = "The agent tries again by itself; if this repeats, move the Pi closer to the lock."


class JobError(AgentError):
    """A job cannot be accepted or cannot be finished."""

    code = "job"
    exit_code = EX_REJECTED
    hint = "See the message."


class Rejection(StrEnum):
    """Why a request is refused before it becomes a job."""

    MALFORMED = "malformed"
    UNKNOWN_VERB = "unknown_verb"
    UNKNOWN_LOCK = "unknown_lock"
    INVALID = "invalid"
    TOO_LARGE = "too_large"
    RETAINED = "retained"
    CONFLICT = "conflict"
    EXPIRED = "expired"
    NOT_SUPPORTED = "not_supported"
    NO_KEYS = "no_keys"
    FORBIDDEN = "forbidden"
    PREFIX_COLLISION = "prefix_collision"
    DUPLICATE = "duplicate"


class JobRejected(JobError):
    """A request that is refused before anything was done for it; ``code`` names the reason."""

    def __init__(self, message: str, *, reason: Rejection, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.reason = reason
        self.code = reason.value


class LockRefused(JobError):
    """The lock itself said no; ``code`` names its reason, where that has a name."""

    code = "lock_refused"
    hint = "The lock will refuse this again; see the reason."

    def __init__(
        self,
        message: str,
        *,
        refusal: str | None = None,
        hint: str | None = None,
        retryable: bool = False,
    ) -> None:
        super().__init__(message, hint=hint)
        self.code = refusal or self.code
        self.retryable = retryable


class KeysRejected(JobError):
    """The lock does not accept our keys: it was reset, or paired anew by somebody else."""

    code = "keys_rejected"
    exit_code = EX_NO_PERMISSION
    hint = "The lock was reset or paired anew: import its new keys with `ttlock-agent keys import`."


class NotInLock(JobError):
    """The lock said yes, and two complete listings of its memory do not agree with that."""

    code = "not_in_lock"
    hint = "Try other digits or another kind of passcode, and report the lock's firmware."


class LockMisunderstood(JobError):
    """The lock answered in a way that no known firmware does."""

    code = "lock_misunderstood"
    hint = "Send a support bundle; the lock's firmware may be newer than this agent."


class JobExpired(JobError):
    """The deadline passed before the job could be proved."""

    code = "expired"
    exit_code = EX_TRY_LATER
    hint = "Send a new request with a later deadline; see the last reason for what was in the way."


class JobCancelled(JobError):
    """Somebody gave the job up before it changed the lock."""

    code = "cancelled"
    hint = "Send a new request, with a new id, if it is wanted after all."


class PartsFailed(JobError):
    """A job that consists of others ended, and not all of those were proved."""

    code = "parts_failed"
    hint = "The list of passcodes in the answer says which, and why; the others are in place."


class OutcomeUnknown(JobError):
    """A request was sent, its answer was lost, and no read-back has told the truth yet."""

    code = "outcome_unknown"
    exit_code = EX_TRY_LATER
    hint = "Do not repeat it blindly: ask for the list it is about, which reads the lock."


class NoSuchJob(JobError):
    """The journal knows no job of that id."""

    code = "no_such_job"
    hint = "Ask for the list of jobs; the id is the `job` of the answer `accepted`."


class IllegalMove(JobError):
    """A job cannot go from its present state to the one asked for."""

    code = "illegal_move"
    hint = "The job has moved on meanwhile: ask for its present state."


class BackupProblem(StrEnum):
    """Why a backup cannot be used; the lock was not touched."""

    NOT_FOUND = "not_found"
    NOT_A_BACKUP = "not_a_backup"
    TOO_LARGE = "too_large"
    TRUNCATED = "truncated"
    DAMAGED = "damaged"
    NEWER_FORMAT = "newer_format"
    PASSPHRASE_NEEDED = "passphrase_needed"  # noqa: S105 - a name
    WRONG_PASSPHRASE = "wrong_passphrase"  # noqa: S105 - a name
    PASSPHRASE_TOO_COSTLY = "passphrase_too_costly"  # noqa: S105 - a name
    KEY_GONE = "key_gone"
    """Its key was destroyed, or lies in the vault of another agent."""
    OTHER_LOCK = "other_lock"
    STALE = "stale"
    """The lock does not hold what the backup says."""
    NOT_WRITABLE = "not_writable"


class BackupUnusable(JobError):
    """A backup cannot be made, read or used; ``code`` is ``backup_`` and the problem."""

    code = "backup"
    hint = "Make a new one with `ttlock-agent backup create LOCK`."

    def __init__(self, message: str, *, problem: BackupProblem, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.problem = problem
        self.code = f"backup_{problem.value}"


class InterlockOpen(JobError):
    """Something that cannot be undone was asked for without what it takes; nothing was done."""

    code = "interlock"
    hint = "Ask with `dry_run` first, and confirm what it says."


class RestoreIncomplete(JobError):
    """Some of what a backup holds could not be put back; the result lists it."""

    code = "restore_incomplete"
    hint = "See the list; what the lock refused may work on another lock, or with room made."


class JournalProblem(StrEnum):
    """What keeps the journal from working."""

    DISK_FULL = "disk_full"
    NOT_WRITABLE = "not_writable"
    IO_ERROR = "io_error"
    CORRUPT = "corrupt"
    BUSY = "busy"
    NEWER_VERSION = "newer_version"
    CLOSED = "closed"
    OTHER = "other"


class JournalError(AgentError):
    """The job journal cannot be read or written; ``problem`` names the cause."""

    code = "journal"
    exit_code = EX_UNAVAILABLE
    hint = "Check free space and permissions of the state directory."

    def __init__(
        self,
        message: str,
        *,
        problem: JournalProblem = JournalProblem.OTHER,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.problem = problem


class JournalLocked(JournalError):
    """Another agent already owns this journal."""

    code = "journal_locked"
    hint = "Stop the other agent, or give this one a state directory of its own."


class VaultError(AgentError):
    """A secret cannot be sealed or opened."""

    code = "vault"
    exit_code = EX_CONFIG
    hint = (
        "The vault key does not fit this journal: restore the key file or the systemd credential."
    )


class ControlUnavailable(AgentError):
    """No agent answers on the control socket."""

    code = "control_unavailable"
    exit_code = EX_UNAVAILABLE
    retryable = True
    hint = "Start the agent (`systemctl start ttlock-agent`) or name its socket with --socket."


class ControlForbidden(ControlUnavailable):
    """The agent is there, and its socket's mode and group keep this user out."""

    code = "control_forbidden"
    exit_code = EX_NO_PERMISSION
    retryable = False
    hint = "Join the socket's group, or use sudo."


class CloudError(AgentError):
    """The cloud cannot be asked, or answered with an error; see ``ttlock_agent.cloud.errors``."""

    code = "cloud"
    exit_code = EX_TRY_LATER
    retryable = True
    hint = "The agent goes on without the cloud and tries again later."


def exit_code_of(code: str, *, is_retryable: bool) -> int:
    """Return the exit code for an error that is known by its stable code only.

    Codes that stand in no class are reasons of a lock, or of a refusal.
    """
    kinds: list[type[AgentError]] = [AgentError]
    for kind in kinds:
        if kind.code == code:
            return kind.exit_code
        kinds += kind.__subclasses__()
    return EX_TRY_LATER if is_retryable else EX_REJECTED
