"""The parts transactions are made of. All run on the journal's thread, within a transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from ttlock_agent.errors import NoSuchJob
from ttlock_agent.jobs.model import Job, Move, NewJob, accepted_job, moved
from ttlock_agent.jobs.parts import Family, last_moves
from ttlock_agent.jobs.rows import SealedRows, insert, one, publication_row, to_micros
from ttlock_agent.jobs.wishes import Wishes
from ttlock_agent.publication import Publication


class Statements:
    """Those that write sealed rows."""

    def __init__(self, rows: SealedRows, wishes: Wishes) -> None:
        self._rows = rows
        self._wishes = wishes

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
        self._wishes.conclude(connection, job, now)
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
            self._wishes.put(connection, [replace(part.wish, job_id=part_id)], now)
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
