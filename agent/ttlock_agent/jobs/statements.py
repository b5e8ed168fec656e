"""The parts transactions are made of. All run on the journal's thread, within a transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from ttlock_agent.errors import NoSuchJob
from ttlock_agent.jobs.model import (
    OPEN_STATES,
    Job,
    JobState,
    Move,
    NewJob,
    WantedPasscode,
    accepted_job,
    moved,
)
from ttlock_agent.jobs.parts import Family, last_moves
from ttlock_agent.jobs.rows import SealedRows, insert, publication_row, to_micros
from ttlock_agent.publication import Publication

_SETTLES_WISH: Final = frozenset(
    {JobState.PROVED, JobState.FAILED, JobState.EXPIRED, JobState.CANCELLED}
)
"""What was said not to be done must not be done later. An unknown outcome settles nothing."""
_OPEN_LIST: Final = ", ".join(f"'{state}'" for state in sorted(OPEN_STATES))


class Statements:
    """Those that write sealed rows."""

    def __init__(self, rows: SealedRows) -> None:
        self._rows = rows

    def insert_job(self, connection: sqlite3.Connection, job: Job, fingerprint: bytes) -> None:
        """Write a job for the first time."""
        insert(connection, "jobs", self._rows.job_row(job) | {"fingerprint": fingerprint})
        _log_transition(connection, job)

    def redirect_job(self, connection: sqlite3.Connection, job: Job) -> None:
        """Send the answers of a job elsewhere from now on."""
        connection.execute(
            "UPDATE jobs SET reply_topic = :reply_topic, reply_correlation = :reply_correlation "
            "WHERE id = :id",
            self._rows.reply_row(job.reply_to) | {"id": job.id},
        )

    def move_job(
        self, connection: sqlite3.Connection, job_id: str, move: Move, now: datetime
    ) -> Job:
        """Take a job one step on from where the journal has it, and its wish with it.

        Raises ``NoSuchJob`` or ``IllegalMove``.
        """
        row = one(connection, "SELECT * FROM jobs WHERE id = ?", job_id)
        if row is None:
            raise NoSuchJob(f"There is no job {job_id!r}.")
        job = moved(self._rows.job_of(row), move, now)
        connection.execute(
            "UPDATE jobs SET state = :state, reason = :reason, is_sent = :is_sent, "
            "not_before_at = :not_before_at, attempts = :attempts, updated_at = :updated_at, "
            "sealed_result = :sealed_result, error = :error, "
            "sealed_params = CASE WHEN :is_final THEN NULL ELSE sealed_params END WHERE id = :id",
            self._rows.step_row(job) | {"id": job.id, "is_final": job.is_final},
        )
        _log_transition(connection, job)
        self._conclude_wish(connection, job, now)
        return job

    def accept_family(
        self,
        connection: sqlite3.Connection,
        job: Job,
        family: Family,
        part_ids: Sequence[str],
        now: datetime,
    ) -> Job:
        """Write the parts of a job that was just accepted, and take it on."""
        for number, (part, part_id) in enumerate(zip(family.parts, part_ids, strict=True), start=1):
            new = NewJob(
                source=job.source,
                request_id=f"{job.id}.{number}",
                verb=part.verb,
                lock=job.lock,
                params=part.params,
                priority=job.priority,
                deadline_at=part.deadline_at,
            )
            accepted = accepted_job(new, part_id, now, parent_id=job.id)
            self.insert_job(connection, accepted, self._rows.fingerprint(new))
            self.put_wanted(connection, [replace(part.wish, job_id=part_id)], now)
        for move in family.first_moves(family.result(part_ids)):
            job = self.move_job(connection, job.id, move, now)
        return job

    def end_parents(
        self, connection: sqlite3.Connection, jobs: Iterable[Job], now: datetime
    ) -> list[Job]:
        """End each job of which ``jobs`` were the last parts, and return those."""
        ended = []
        for parent_id in {job.parent_id for job in jobs if job.parent_id and job.is_final}:
            sql = "SELECT * FROM jobs WHERE parent_id = ? ORDER BY seq"
            parts = [self._rows.job_of(row) for row in connection.execute(sql, [parent_id])]
            row = one(connection, "SELECT * FROM jobs WHERE id = ?", parent_id)
            assert row is not None, "a foreign key holds it"
            parent = self._rows.job_of(row)
            for move in last_moves(parent, parts):
                parent = self.move_job(connection, parent_id, move, now)
            if parent.is_final:
                ended.append(parent)
        return ended

    def _conclude_wish(self, connection: sqlite3.Connection, job: Job, now: datetime) -> None:
        """Let the wish of a job end as the job did; one that somebody replaced is left alone.

        A wish that failed is dropped, unless the lock holds the digits from before: then whose they
        are must not be forgotten.
        """
        if job.state not in _SETTLES_WISH:
            return
        sql = "SELECT * FROM wanted WHERE lock = ? AND job_id = ?"
        for row in connection.execute(sql, [job.lock, job.id]).fetchall():
            wish = self._rows.wanted_of(row)
            if job.state is JobState.PROVED and wish.is_wanted:
                self.put_wanted(connection, [replace(wish, proved_at=now, is_held=True)], now)
            elif job.state is JobState.PROVED:
                self._retire(connection, wish, now)
            elif not wish.is_held:
                self.drop_wanted(connection, wish)

    def retire_over(self, connection: sqlite3.Connection, now: datetime) -> int:
        """Forget the digits of passcodes whose validity has ended; return how many those were."""
        sql = (
            "SELECT wanted.* FROM wanted "  # noqa: S608 - our own state names
            "LEFT JOIN jobs ON jobs.id = wanted.job_id "
            "WHERE wanted.valid_until <= ? "
            f"AND coalesce(jobs.state, '') NOT IN ({_OPEN_LIST})"
        )
        over = [self._rows.wanted_of(row) for row in connection.execute(sql, [to_micros(now)])]
        for wish in over:
            self._retire(connection, wish, now)
        return len(over)

    def _retire(self, connection: sqlite3.Connection, wish: WantedPasscode, now: datetime) -> None:
        """Keep no more of a wish than it takes to recognise its passcode in a lock."""
        if wish.is_held or not wish.is_wanted:
            row = self._rows.former_row(wish, now)
            insert(connection, "former", row, or_replace=True)
        self.drop_wanted(connection, wish)

    def put_wanted(
        self, connection: sqlite3.Connection, entries: Iterable[WantedPasscode], now: datetime
    ) -> int:
        """Write the wishes nobody overtook; return how many."""
        written = 0
        for entry in entries:
            if self._is_current(connection, entry):
                row = self._rows.wanted_row(entry, now)
                row["is_held"] = entry.is_held or self._is_held(connection, row)
                # Replacing gives a new revision, for it is the table's AUTOINCREMENT key.
                insert(connection, "wanted", row, or_replace=True)
                if entry.is_wanted:
                    connection.execute(
                        "DELETE FROM former WHERE lock = :lock AND digits_hash = :digits_hash", row
                    )
                written += 1
        return written

    @staticmethod
    def _is_held(connection: sqlite3.Connection, row: Mapping[str, Any]) -> bool:
        sql = "SELECT is_held FROM wanted WHERE lock = ? AND digits_hash = ?"
        present = one(connection, sql, row["lock"], row["digits_hash"])
        return present is not None and bool(present["is_held"])

    def drop_wanted(self, connection: sqlite3.Connection, entry: WantedPasscode) -> int:
        """Delete a wish unless somebody overtook it; return how many that were."""
        if not self._is_current(connection, entry):
            return 0
        return connection.execute(
            "DELETE FROM wanted WHERE lock = ? AND digits_hash = ?",
            [entry.lock, self._rows.digits_hash(entry.lock, entry.digits)],
        ).rowcount

    def _is_current(self, connection: sqlite3.Connection, entry: WantedPasscode) -> bool:
        if entry.revision == 0:
            return True
        sql = "SELECT 1 FROM wanted WHERE lock = ? AND digits_hash = ? AND revision = ?"
        digits_hash = self._rows.digits_hash(entry.lock, entry.digits)
        return one(connection, sql, entry.lock, digits_hash, entry.revision) is not None


def one(connection: sqlite3.Connection, sql: str, *values: object) -> sqlite3.Row | None:
    """Return the first row, if there is one."""
    row: sqlite3.Row | None = connection.execute(sql, values).fetchone()
    return row


def _log_transition(connection: sqlite3.Connection, job: Job) -> None:
    connection.execute(
        "INSERT INTO transitions SELECT ?1, coalesce(max(number), 0) + 1, ?2, ?3, ?4, ?5 "
        "FROM transitions WHERE job_id = ?1",
        [job.id, to_micros(job.updated_at), job.state, job.reason, job.is_sent],
    )


def post(
    connection: sqlite3.Connection, publications: Sequence[Publication], now: datetime
) -> None:
    """Append messages to the outbox."""
    for publication in publications:
        row = publication_row(publication) | {"queued_at": to_micros(now)}
        insert(connection, "outbox", row)
