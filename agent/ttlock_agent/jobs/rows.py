"""Rows to values and back: times to integers, secrets through the vault.

Every sealed value names in its purpose the row it belongs to, so a blob copied elsewhere does not
open there.
"""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from ttlock_agent.errors import VaultError
from ttlock_agent.jobs.model import (
    FormerPasscode,
    Job,
    JobFailure,
    JobState,
    NewJob,
    OutboxEntry,
    PasscodeKind,
    ReplyTo,
    Transition,
    WaitReason,
    WantedPasscode,
)
from ttlock_agent.publication import Publication
from ttlock_agent.vault import Vault

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_decode_failure = msgspec.json.Decoder(JobFailure).decode


def to_micros(at: datetime | None) -> int | None:
    """Microseconds since 1970; raises ``TypeError`` for a time without zone."""
    return None if at is None else (at - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """Aware, in UTC."""
    return _EPOCH + micros * _MICROSECOND


def _maybe_from_micros(micros: int | None) -> datetime | None:
    return None if micros is None else from_micros(micros)


def insert(
    connection: sqlite3.Connection, table: str, row: dict[str, Any], *, or_replace: bool = False
) -> None:
    """Insert ``row`` into ``table``; table and column names come from this package only."""
    verb = "REPLACE" if or_replace else "INSERT"
    columns, marks = ", ".join(row), ", ".join(f":{column}" for column in row)
    connection.execute(f"{verb} INTO {table} ({columns}) VALUES ({marks})", row)


def one(connection: sqlite3.Connection, sql: str, *values: object) -> sqlite3.Row | None:
    """Return the first row, if there is one."""
    row: sqlite3.Row | None = connection.execute(sql, values).fetchone()
    return row


def publication_row(publication: Publication) -> dict[str, Any]:
    """Columns of the outbox, but for the time."""
    return {
        "topic": publication.topic,
        "payload": publication.payload,
        "qos": publication.qos,
        "is_retained": publication.retain,
        "expiry_s": publication.expiry_s,
        "correlation_data": publication.correlation_data,
    }


def publication_of(row: sqlite3.Row) -> Publication:
    """Read a row of the outbox."""
    return Publication(
        topic=row["topic"],
        payload=row["payload"],
        qos=row["qos"],
        retain=bool(row["is_retained"]),
        expiry_s=row["expiry_s"],
        correlation_data=row["correlation_data"],
    )


def entry_of(row: sqlite3.Row) -> OutboxEntry:
    """Read a row of the outbox with its place in it."""
    return OutboxEntry(
        id=row["id"], publication=publication_of(row), queued_at=from_micros(row["queued_at"])
    )


def former_of(row: sqlite3.Row) -> FormerPasscode:
    """Read a row of the former passcodes."""
    return FormerPasscode(
        number=row["number"],
        label=row["label"],
        owner=row["owner"],
        is_removed=bool(row["is_removed"]),
    )


def refusal_row(
    new: NewJob, fingerprint: bytes, failure: JobFailure, since: datetime
) -> dict[str, Any]:
    """Columns of a refused request: nothing of what it asked for."""
    return {
        "request_id": new.request_id,
        "fingerprint": fingerprint,
        "error": msgspec.json.encode(failure).decode(),
        "since": to_micros(since),
    }


def failure_of(row: sqlite3.Row) -> JobFailure:
    """Read why a request was refused."""
    return _decode_failure(row["error"])


def transition_of(row: sqlite3.Row) -> Transition:
    """Read a row of the audit trail."""
    return Transition(
        number=row["number"],
        at=from_micros(row["at"]),
        state=JobState(row["state"]),
        reason=_maybe_reason(row["reason"]),
        is_sent=bool(row["is_sent"]),
    )


class SealedRows:
    """The rows that hold secrets."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def fingerprint(self, new: NewJob) -> bytes:
        """Tell whether two requests ask for the same, without keeping what they ask for."""
        parts = (new.verb.encode(), new.lock.encode(), new.params)
        content = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        return self._vault.keyed_hash("request", content)

    def digits_hash(self, lock: str, digits: str) -> bytes:
        """Find a passcode of a lock without opening all of them."""
        return self._vault.keyed_hash(f"digits/{lock}", digits.encode())

    def job_row(self, job: Job) -> dict[str, Any]:
        """All columns of a job but its fingerprint."""
        return self.step_row(job) | {
            "id": job.id,
            "request_id": job.request_id,
            "parent_id": job.parent_id,
            "source": job.source,
            "verb": job.verb,
            "lock": job.lock,
            "sealed_params": self._vault.seal(f"params/{job.id}", job.params),
            "priority": job.priority,
            "deadline_at": to_micros(job.deadline_at),
            "created_at": to_micros(job.created_at),
            **self.reply_row(job.reply_to),
        }

    @staticmethod
    def reply_row(reply_to: ReplyTo | None) -> dict[str, Any]:
        """Columns that a repeat of the request may change."""
        return {
            "reply_topic": None if reply_to is None else reply_to.topic,
            "reply_correlation": None if reply_to is None else reply_to.correlation_data,
        }

    def step_row(self, job: Job) -> dict[str, Any]:
        """Columns that change with a move."""
        sealed_result = None
        if job.result is not None:
            sealed_result = self.seal_json(f"result/{job.id}", job.result)
        return {
            "state": job.state,
            "reason": job.reason,
            "is_sent": job.is_sent,
            "not_before_at": to_micros(job.not_before_at),
            "attempts": job.attempts,
            "updated_at": to_micros(job.updated_at),
            "sealed_result": sealed_result,
            "error": None if job.error is None else msgspec.json.encode(job.error).decode(),
        }

    def job_of(self, row: sqlite3.Row) -> Job:
        """Read a row of the jobs."""
        params, result, error = row["sealed_params"], row["sealed_result"], row["error"]
        return Job(
            id=row["id"],
            source=row["source"],
            request_id=row["request_id"],
            verb=row["verb"],
            lock=row["lock"],
            params=b"" if params is None else self._vault.open(f"params/{row['id']}", params),
            state=JobState(row["state"]),
            reason=_maybe_reason(row["reason"]),
            is_sent=bool(row["is_sent"]),
            priority=row["priority"],
            deadline_at=_maybe_from_micros(row["deadline_at"]),
            not_before_at=_maybe_from_micros(row["not_before_at"]),
            attempts=row["attempts"],
            created_at=from_micros(row["created_at"]),
            updated_at=from_micros(row["updated_at"]),
            result=None if result is None else self.open_json(f"result/{row['id']}", result),
            error=None if error is None else _decode_failure(error),
            reply_to=_reply_of(row),
            parent_id=row["parent_id"],
            number=row["seq"],
        )

    def wanted_row(self, entry: WantedPasscode, updated_at: datetime) -> dict[str, Any]:
        """All columns but the revision."""
        sealed_digits = self._vault.seal(f"wanted/{entry.lock}", entry.digits.encode())
        return {
            "lock": entry.lock,
            "digits_hash": self.digits_hash(entry.lock, entry.digits),
            "sealed_digits": sealed_digits,
            "kind": entry.kind,
            "valid_from": to_micros(entry.valid_from),
            "valid_until": to_micros(entry.valid_until),
            "cycle": entry.cycle,
            "label": entry.label,
            "owner": entry.owner,
            "job_id": entry.job_id,
            "is_wanted": entry.is_wanted,
            "proved_at": to_micros(entry.proved_at),
            "is_held": entry.is_held,
            "updated_at": to_micros(updated_at),
        }

    def wanted_of(self, row: sqlite3.Row) -> WantedPasscode:
        """Read a row of the desired state."""
        return WantedPasscode(
            lock=row["lock"],
            digits=self._vault.open(f"wanted/{row['lock']}", row["sealed_digits"]).decode(),
            kind=PasscodeKind(row["kind"]),
            valid_from=_maybe_from_micros(row["valid_from"]),
            valid_until=_maybe_from_micros(row["valid_until"]),
            cycle=row["cycle"],
            label=row["label"],
            owner=row["owner"],
            job_id=row["job_id"],
            is_wanted=bool(row["is_wanted"]),
            proved_at=_maybe_from_micros(row["proved_at"]),
            is_held=bool(row["is_held"]),
            updated_at=from_micros(row["updated_at"]),
            revision=row["revision"],
        )

    def former_row(self, entry: WantedPasscode, since: datetime) -> dict[str, Any]:
        """All columns but the number."""
        return {
            "lock": entry.lock,
            "digits_hash": self.digits_hash(entry.lock, entry.digits),
            "label": entry.label,
            "owner": entry.owner,
            "is_removed": not entry.is_wanted,
            "since": to_micros(since),
        }

    def seal_json(self, purpose: str, value: object) -> bytes:
        """Seal any value JSON can hold."""
        return self._vault.seal(purpose, msgspec.json.encode(value))

    def opens(self, purpose: str, blob: bytes) -> bool:
        """Whether a sealed value is as it was written."""
        try:
            self._vault.open(purpose, blob)
        except VaultError:
            return False
        return True

    def open_json(self, purpose: str, blob: bytes) -> Any:
        """Open what :meth:`seal_json` sealed."""
        return msgspec.json.decode(self._vault.open(purpose, blob))


def _reply_of(row: sqlite3.Row) -> ReplyTo | None:
    topic, correlation_data = row["reply_topic"], row["reply_correlation"]
    if topic is None and correlation_data is None:
        return None
    return ReplyTo(topic, correlation_data)


def _maybe_reason(value: str | None) -> WaitReason | None:
    return None if value is None else WaitReason(value)
