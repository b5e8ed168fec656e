"""Transitions per second, against bare SQLite commits of the same two rows on the same disk."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from datetime import UTC, datetime
from pathlib import Path

from ttlock_agent.clock import SystemClock
from ttlock_agent.jobs.model import JobState, Move, WaitReason
from ttlock_agent.jobs.store import Journal

from .figures import Figure, compared
from .household import Household, add_request, queue
from .measure import compare, seconds_per_call

ROUNDS = 15
COMMITS = 50
BATCH = 100
"""Jobs that one listing proves at once."""

STEPS = (Move(to=JobState.WORKING), Move(to=JobState.WAITING, reason=WaitReason.BACK_OFF))


def run(directory: Path) -> list[Figure]:
    household = Household(directory / "ours", {"front-door": "virtual:near"})
    household.furnish()
    bare = BareJournal(directory / "bare.db")
    with asyncio.Runner() as runner:
        journal, jobs = runner.run(_open(household))
        try:

            def one() -> float:
                return runner.run(_move(journal, jobs[:1], COMMITS))

            def many() -> float:
                return runner.run(_move(journal, jobs, 4))

            def read() -> float:
                return runner.run(_read(journal, 4))

            single = compare(ROUNDS, one, lambda: seconds_per_call(bare.commit, COMMITS))
            batch = compare(ROUNDS, many, lambda: seconds_per_call(bare.commit_many, 4))
            reading = compare(ROUNDS, read, lambda: seconds_per_call(bare.read, 4))
        finally:
            runner.run(journal.close())
            bare.close()
    return [
        Figure(
            name="transitions, one a commit",
            value=1 / single.ours,
            unit="per s",
            floor=1 / single.floor,
            against="bare commits of the same rows",
            ratio=single.ratio,
        ),
        compared(
            f"{BATCH} transitions in one commit, each",
            batch,
            "us",
            "the same rows in one commit",
            scale=1e6 / BATCH,
        ),
        compared(
            f"{BATCH} open jobs read, each", reading, "us", "the same rows", scale=1e6 / BATCH
        ),
    ]


async def _open(household: Household) -> tuple[Journal, list[str]]:
    journal = await household.open_journal(SystemClock())
    now = datetime.now(UTC)
    requests = [add_request(f"{n}", "front-door", f"4{n:05}", now=now) for n in range(BATCH)]
    return journal, [await queue(journal, each, now) for each in requests]


async def _move(journal: Journal, jobs: list[str], times: int) -> float:
    since = time.perf_counter()
    for number in range(times):
        await journal.move_many(dict.fromkeys(jobs, STEPS[number % 2]))
    return (time.perf_counter() - since) / times


async def _read(journal: Journal, times: int) -> float:
    since = time.perf_counter()
    for _ in range(times):
        assert len(await journal.open_jobs()) == BATCH
    return (time.perf_counter() - since) / times


class BareJournal:
    """What SQLite itself needs to note a transition: a row changed and a row added, on the disk."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.executescript(
            "CREATE TABLE jobs (id TEXT PRIMARY KEY, params BLOB, state TEXT, at INTEGER);"
            "CREATE TABLE transitions (job TEXT, number INTEGER, at INTEGER, state TEXT,"
            " PRIMARY KEY (job, number)) WITHOUT ROWID"
        )
        self._number = 0
        rows = [(f"job-{n:032}", bytes(200), "waiting", 0) for n in range(BATCH)]
        with self._connection:
            self._connection.executemany("INSERT INTO jobs VALUES (?, ?, ?, ?)", rows)
        self._jobs = [row[0] for row in rows]

    def commit(self) -> None:
        self._note(self._jobs[:1])

    def commit_many(self) -> None:
        self._note(self._jobs)

    def read(self) -> None:
        rows = self._connection.execute("SELECT * FROM jobs ORDER BY id").fetchall()
        assert len(rows) == BATCH

    def close(self) -> None:
        self._connection.close()

    def _note(self, jobs: list[str]) -> None:
        execute = self._connection.execute
        self._number += 1
        at = time.time_ns() // 1000
        execute("BEGIN IMMEDIATE")
        for job in jobs:
            execute("UPDATE jobs SET state = ?, at = ? WHERE id = ?", ("working", at, job))
            row = (job, self._number, at, "working")
            execute("INSERT INTO transitions VALUES (?, ?, ?, ?)", row)
        execute("COMMIT")
