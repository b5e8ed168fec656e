"""The journal's tables. ``user_version`` counts the migrations a file has been through.

A released script is never edited: a change is one more script. Times are integers, microseconds
since 1970 in UTC: exact, ordered as numbers, and one form only, where ISO text has many for one
instant. To read one by hand: ``datetime(updated_at / 1000000, 'unixepoch')``. Columns named
``sealed_...`` hold vault blobs. States and reasons carry no CHECK, so that a new one needs no
migration; the code that writes them is typed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from ttlock_agent.errors import JournalError, JournalProblem

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE jobs (
        seq INTEGER PRIMARY KEY,            -- order of acceptance; rows are never deleted
        id TEXT NOT NULL UNIQUE,
        request_id TEXT NOT NULL UNIQUE,
        parent_id TEXT REFERENCES jobs (id),            -- the job that this is a part of
        fingerprint BLOB NOT NULL,          -- keyed hash of the request, for ever
        source TEXT NOT NULL,
        verb TEXT NOT NULL,
        lock TEXT NOT NULL,
        sealed_params BLOB,                 -- NULL once final
        state TEXT NOT NULL,
        reason TEXT,
        is_sent INTEGER NOT NULL,
        priority INTEGER NOT NULL,
        deadline_at INTEGER,
        not_before_at INTEGER,
        attempts INTEGER NOT NULL,
        created_at INTEGER NOT NULL,
        updated_at INTEGER NOT NULL,
        sealed_result BLOB,                 -- a listing may hold passcodes
        error TEXT,                         -- JSON
        reply_topic TEXT,                   -- where an MQTT 5 caller wants its answers
        reply_correlation BLOB
    ) STRICT;
    -- Only open jobs are in it, so a long history costs the scheduler nothing.
    CREATE INDEX jobs_open ON jobs (lock, priority DESC, seq)
        WHERE state IN ('accepted', 'waiting', 'working', 'unknown');
    CREATE INDEX jobs_by_state ON jobs (state, updated_at);
    CREATE INDEX jobs_by_parent ON jobs (parent_id) WHERE parent_id IS NOT NULL;

    CREATE TABLE transitions (
        job_id TEXT NOT NULL REFERENCES jobs (id),
        number INTEGER NOT NULL,
        at INTEGER NOT NULL,
        state TEXT NOT NULL,
        reason TEXT,
        is_sent INTEGER NOT NULL,
        PRIMARY KEY (job_id, number)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE wanted (
        revision INTEGER PRIMARY KEY AUTOINCREMENT,     -- never used twice
        lock TEXT NOT NULL,
        digits_hash BLOB NOT NULL,          -- keyed, and bound to the lock
        sealed_digits BLOB NOT NULL,
        kind TEXT NOT NULL,
        valid_from INTEGER,
        valid_until INTEGER,
        cycle INTEGER,
        label TEXT NOT NULL,
        owner TEXT NOT NULL,
        job_id TEXT REFERENCES jobs (id),
        is_wanted INTEGER NOT NULL,
        proved_at INTEGER,
        is_held INTEGER NOT NULL,
        updated_at INTEGER NOT NULL,
        UNIQUE (lock, digits_hash)
    ) STRICT;

    -- Passcodes that are over or were removed on purpose; their digits are not kept.
    CREATE TABLE former (
        number INTEGER PRIMARY KEY AUTOINCREMENT,       -- never used twice
        lock TEXT NOT NULL,
        digits_hash BLOB NOT NULL,
        label TEXT NOT NULL,
        owner TEXT NOT NULL,
        is_removed INTEGER NOT NULL,
        since INTEGER NOT NULL,
        UNIQUE (lock, digits_hash)
    ) STRICT;

    CREATE TABLE lock_memory (
        lock TEXT NOT NULL,
        kind TEXT NOT NULL,
        sealed_value BLOB NOT NULL,         -- JSON
        as_of INTEGER NOT NULL,
        PRIMARY KEY (lock, kind)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE outbox (
        id INTEGER PRIMARY KEY AUTOINCREMENT,           -- order of publication
        topic TEXT NOT NULL,
        payload BLOB NOT NULL,
        qos INTEGER NOT NULL,
        is_retained INTEGER NOT NULL,
        expiry_s INTEGER,
        correlation_data BLOB,
        queued_at INTEGER NOT NULL
    ) STRICT;

    CREATE TABLE secrets (
        name TEXT PRIMARY KEY,
        sealed_value BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
    """,
    """
    -- Wishes that a later one replaced before its job has ended: they count again if it fails.
    CREATE TABLE overtaken (
        revision INTEGER PRIMARY KEY,       -- the one it had in `wanted`
        lock TEXT NOT NULL,
        digits_hash BLOB NOT NULL,
        sealed_digits BLOB NOT NULL,
        kind TEXT NOT NULL,
        valid_from INTEGER,
        valid_until INTEGER,
        cycle INTEGER,
        label TEXT NOT NULL,
        owner TEXT NOT NULL,
        job_id TEXT REFERENCES jobs (id),
        is_wanted INTEGER NOT NULL,
        proved_at INTEGER,
        is_held INTEGER NOT NULL,
        updated_at INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX overtaken_by_place ON overtaken (lock, digits_hash);

    -- Requests that were refused: one that is delivered again must not be accepted later.
    CREATE TABLE refusals (
        request_id TEXT NOT NULL,
        fingerprint BLOB NOT NULL,
        error TEXT NOT NULL,                -- JSON
        since INTEGER NOT NULL,
        PRIMARY KEY (request_id, fingerprint)
    ) STRICT, WITHOUT ROWID;
    """,
)


def migrate(connection: sqlite3.Connection, scripts: Sequence[str] = MIGRATIONS) -> None:
    """Bring the file up to the newest version, one transaction per script.

    Raises ``JournalError`` for a file that a newer agent has written.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(scripts):
        raise JournalError(
            f"The journal has version {version}; this agent knows {len(scripts)}.",
            problem=JournalProblem.NEWER_VERSION,
            hint="Install the newer agent again, or restore the journal it replaced.",
        )
    for number, script in enumerate(scripts[version:], start=version + 1):
        try:
            connection.executescript(
                f"BEGIN IMMEDIATE; {script}; PRAGMA user_version = {number}; COMMIT;"
            )
        except sqlite3.Error:
            connection.rollback()
            raise
