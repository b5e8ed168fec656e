"""What becomes of rows whose sealed value was damaged on disk: they alone are given up.

A file with one wrong bit passes SQLite's own check: only the vault notices, on opening the value.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Final

import structlog

from ttlock_agent.clock import Clock
from ttlock_agent.errors import JournalError, JournalProblem
from ttlock_agent.jobs.model import Job, JobFailure, JobState, Move, WaitReason
from ttlock_agent.jobs.rows import SealedRows
from ttlock_agent.jobs.statements import Statements, post
from ttlock_agent.jobs.wishes import Wishes
from ttlock_agent.publication import Publication

log = structlog.get_logger()

_PURPOSES: Final[Mapping[tuple[str, str], str]] = MappingProxyType(
    {
        ("jobs", "sealed_params"): "'params/' || id",
        ("jobs", "sealed_result"): "'result/' || id",
        ("wanted", "sealed_digits"): "'wanted/' || lock",
        ("overtaken", "sealed_digits"): "'wanted/' || lock",
        ("lock_memory", "sealed_value"): "'memory/' || lock || '/' || kind",
    }
)
"""What each sealed column names as its purpose, in SQL."""


def mender(
    rows: SealedRows,
    wishes: Wishes,
    outbox: Callable[[Job], Sequence[Publication]],
    clock: Clock,
    on_change: Callable[[], None],
) -> Callable[[sqlite3.Connection], None]:
    """Return the transaction that does it; ``outbox`` answers for the jobs that end by it.

    ``on_change`` is called afterwards, on the loop of whoever calls this.
    """
    loop, statements = asyncio.get_running_loop(), Statements(rows, wishes)

    def change(connection: sqlite3.Connection) -> None:
        now = clock.now()
        for job in _mend(connection, rows, wishes, statements, now):
            post(connection, outbox(job), now)
        # Whoever hears of it asks the journal's thread, which has committed by then.
        loop.call_soon_threadsafe(on_change)

    return change


def _mend(
    connection: sqlite3.Connection,
    rows: SealedRows,
    wishes: Wishes,
    statements: Statements,
    now: datetime,
) -> list[Job]:
    """Give up what does not open, within a transaction; return the jobs that ended by it.

    A job ends, but for one that only waits for its parts. A result and what a lock said are
    dropped. A wish stays as it is, unread, so that nobody takes its passcode for a stranger's.
    """
    lost = {place: _damaged(connection, rows, *place) for place in _PURPOSES}
    for row in lost["lock_memory", "sealed_value"]:
        sql = "DELETE FROM lock_memory WHERE lock = :lock AND kind = :kind"
        connection.execute(sql, dict(row))
    for row in lost["overtaken", "sealed_digits"]:
        connection.execute("DELETE FROM overtaken WHERE revision = :revision", dict(row))
    wishes.damaged = {row["revision"]: row["lock"] for row in lost["wanted", "sealed_digits"]}
    for column in ("sealed_result", "sealed_params"):
        for row in lost["jobs", column]:
            connection.execute(f"UPDATE jobs SET {column} = NULL WHERE id = :id", dict(row))  # noqa: S608
    ended = [
        statements.move_job(connection, row["id"], _given_up(is_sent=bool(row["is_sent"])), now)
        for row in lost["jobs", "sealed_params"]
        if row["reason"] != WaitReason.PARTS
    ]
    return ended + statements.end_parents(connection, ended, now)


def left_out(wishes: Wishes) -> JournalError | None:
    """Say which wishes are not seen to because they do not open, as far as they were met."""
    locks = wishes.damaged.values()
    if not locks:
        return None
    return JournalError(
        f"The digits of {len(locks)} wanted passcodes are damaged on this machine's disk "
        f"(locks: {', '.join(sorted(set(locks)))}).",
        problem=JournalProblem.CORRUPT,
        hint="Ask for them again under new ids, and check the SD card (`dmesg`).",
    )


def _damaged(
    connection: sqlite3.Connection, rows: SealedRows, table: str, column: str
) -> list[sqlite3.Row]:
    purpose = _PURPOSES[table, column]
    sql = f"SELECT *, {purpose} AS purpose FROM {table} WHERE {column} IS NOT NULL"  # noqa: S608
    damaged = [
        row for row in connection.execute(sql) if not rows.opens(row["purpose"], row[column])
    ]
    for row in damaged:
        log.error("journal_row_damaged", table=table, column=column, purpose=row["purpose"])
    return damaged


def _given_up(*, is_sent: bool) -> Move:
    error = JournalError(
        "What the request asked for was damaged on this machine's disk.",
        problem=JournalProblem.CORRUPT,
        hint="Ask again under a new id, and check the SD card (`dmesg`).",
    )
    state = JobState.OUTCOME_UNKNOWN if is_sent else JobState.FAILED
    return Move(to=state, error=JobFailure.of(error))
