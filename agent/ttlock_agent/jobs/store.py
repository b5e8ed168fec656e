"""The journal: what was asked, wanted, done and said, each step one transaction.

A step is written *before* the act it permits: accept before the acknowledgement, ``is_sent`` before
the bytes go out, an answer together with the move it reports. So after a crash at any point the
journal holds everything that may have happened.
"""

from __future__ import annotations

import hmac
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar
from uuid import uuid4

from ttlock_agent.clock import Clock
from ttlock_agent.errors import JobRejected, JournalError, Rejection
from ttlock_agent.jobs.database import Database
from ttlock_agent.jobs.mending import left_out, mender
from ttlock_agent.jobs.model import (
    FINAL_STATES,
    Accepted,
    FormerPasscode,
    Job,
    JobState,
    Move,
    NewJob,
    OutboxEntry,
    Premise,
    Transition,
    WantedPasscode,
    accepted_job,
)
from ttlock_agent.jobs.notes import Notes
from ttlock_agent.jobs.parts import Family
from ttlock_agent.jobs.rows import (
    entry_of,
    former_of,
    one,
    to_micros,
    transition_of,
)
from ttlock_agent.jobs.statements import Statements, post
from ttlock_agent.jobs.wishes import Wishes
from ttlock_agent.publication import Publication
from ttlock_agent.vault import Vault

T = TypeVar("T")

Outbox = Callable[[Job], Sequence[Publication]]
"""Says what to publish about a job; called within the transaction, on the journal's thread, so it
must be pure."""

OUTBOX_PAGE = 100
"""Messages handed to the publisher at once: enough to keep a broker busy, little to hold."""

_VAULT_CHECK = "vault-check"
"""Name of the secret that tells at start whether the vault's key fits the journal."""
# The very words of the partial index, else SQLite does not use it.
_IS_OPEN = "state IN ('accepted', 'waiting', 'working', 'unknown')"
_FINAL_LIST = ", ".join(f"'{state}'" for state in sorted(FINAL_STATES))


def no_publications(_: Job) -> Sequence[Publication]:
    """Say nothing."""
    return ()


def _new_id() -> str:
    return uuid4().hex


class Journal(Notes):
    """The agent's memory. Every method may raise ``JournalError``; then nothing was changed.

    Only the disk can make that untrue: a commit it reported as failed may be found after a restart.
    A cancelled call, too, may have been carried out or not. Neither does harm: a step that was
    written permits its act, it does not claim it.
    """

    def __init__(
        self,
        database: Database,
        vault: Vault,
        clock: Clock,
        new_id: Callable[[], str],
        on_change: Callable[[], None],
    ) -> None:
        super().__init__(database, vault, on_change)
        self._wishes = Wishes(self._rows)
        self._statements = Statements(self._rows, self._wishes)
        self._clock = clock
        self._new_id = new_id
        self.first_number = 1
        """Number of the first job that was accepted, or will be, since the journal was opened."""

    @classmethod
    async def open(
        cls,
        directory: Path,
        vault: Vault,
        clock: Clock,
        *,
        new_id: Callable[[], str] = _new_id,
        on_change: Callable[[], None] = lambda: None,
        when_damaged: Outbox | None = None,
    ) -> Self:
        """Open or create the journal in ``directory``, which must exist.

        ``on_change`` is called after every change to jobs or outbox, once it is durable.
        ``when_damaged`` says what to publish about a job that ends because its row is damaged;
        without it nothing is given up, and ``VaultError`` is raised where such a row is met.

        Raises ``JournalLocked`` if another agent owns it, ``JournalError`` if it cannot be used,
        ``VaultError`` if its secrets were sealed with another key.
        """
        database = await Database.open(directory, clock.now())
        journal = cls(database, vault, clock, new_id, on_change)
        try:
            if await journal.secret(_VAULT_CHECK) is None:
                await journal.put_secret(_VAULT_CHECK, b"")
            if when_damaged is not None:
                rows, wishes = journal._rows, journal._wishes
                database.mend = mender(rows, wishes, when_damaged, clock, on_change)
            for youngest in await journal.recent(1):
                journal.first_number = youngest.number + 1
        except BaseException:
            await database.close()
            raise
        return journal

    async def close(self) -> None:
        """Release file and lock. Closing twice is harmless."""
        await self._database.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def set_aside(self) -> Path | None:
        """Where a damaged journal was put at opening; then this one began empty."""
        return self._database.set_aside

    @property
    def damage(self) -> JournalError | None:
        """Which wishes are left out because they do not open, as far as they were met."""
        return left_out(self._wishes)

    # Jobs.

    async def accept(
        self,
        new: NewJob,
        *,
        wanted: Sequence[WantedPasscode] = (),
        kept: Sequence[WantedPasscode] = (),
        family: Family | None = None,
        premise: Premise | None = None,
        outbox: Outbox = no_publications,
    ) -> Accepted:
        """Make a job of a request, or find the one it made before.

        For a new job only, ``kept`` is written with the job it has, ``wanted`` with the id of this
        one, and ``family`` becomes further jobs. ``outbox`` is asked in both cases, so that a
        repeat is answered again, and where the repeat wants it. Raises ``JobRejected`` (conflict)
        if the id was used for another request, or ``premise`` does not hold any more.
        """
        fingerprint = self._rows.fingerprint(new)
        now = self._clock.now()

        def change(connection: sqlite3.Connection) -> Accepted:
            row = one(connection, "SELECT * FROM jobs WHERE request_id = ?", new.request_id)
            if row is None:
                self._refuse_unless_true(connection, premise)
                job = accepted_job(new, self._new_id(), now)
                self._statements.insert_job(connection, job, fingerprint)
                owned = [replace(entry, job_id=job.id) for entry in wanted]
                self._wishes.put(connection, [*kept, *owned], now)
                if family is not None:
                    ids = [self._new_id() for _ in family.parts]
                    job = self._statements.accept_family(connection, job, family, ids, now)
            elif hmac.compare_digest(row["fingerprint"], fingerprint):
                job = self._rows.job_of(row)
                if new.reply_to not in (None, job.reply_to):
                    job = replace(job, reply_to=new.reply_to)
                    self._statements.redirect_job(connection, job)
            else:
                raise JobRejected(
                    f"The request id {new.request_id!r} was used before, with other content.",
                    reason=Rejection.CONFLICT,
                    hint="Give every new request an id of its own.",
                )
            post(connection, outbox(job), now)
            return Accepted(job=job, is_new=row is None)

        accepted = await self._database.write(change)
        self._on_change()
        return accepted

    def _refuse_unless_true(self, connection: sqlite3.Connection, premise: Premise | None) -> None:
        if premise is None:
            return
        if self._wishes.revision(connection, premise.lock, premise.digits) != premise.revision:
            raise JobRejected(
                "Somebody else has asked for something about this passcode meanwhile.",
                reason=Rejection.CONFLICT,
                hint="Look again at what is wanted.",
            )

    async def move(
        self,
        job_id: str,
        move: Move,
        *,
        outbox: Outbox = no_publications,
    ) -> Job:
        """Take a job one step on; see :meth:`move_many`."""
        (job,) = await self.move_many({job_id: move}, outbox=outbox)
        return job

    async def move_many(
        self,
        moves: Mapping[str, Move],
        *,
        outbox: Outbox = no_publications,
    ) -> list[Job]:
        """Take several jobs one step on, all or none, and return them in the same order.

        The present state in the journal decides, not what the caller remembers: raises
        ``IllegalMove`` or ``NoSuchJob``. A job that becomes final loses its parameters; see
        :meth:`sweep`. Its wish goes with it: proved, or dropped where the job was not done, and
        where the proof is that the passcode is gone.
        """
        now = self._clock.now()

        def change(connection: sqlite3.Connection) -> list[Job]:
            jobs = [
                self._statements.move_job(connection, job_id, move, now)
                for job_id, move in moves.items()
            ]
            for job in [*jobs, *self._statements.end_parents(connection, jobs, now)]:
                post(connection, outbox(job), now)
            return jobs

        jobs = await self._database.write(change)
        self._on_change()
        return jobs

    async def postpone(self, deadlines: Mapping[str, datetime]) -> None:
        """Give jobs other deadlines."""
        rows = [(to_micros(at), job_id) for job_id, at in deadlines.items()]
        sql = "UPDATE jobs SET deadline_at = ? WHERE id = ?"
        await self._database.write(lambda c: c.executemany(sql, rows).rowcount)

    async def job(self, job_id: str) -> Job | None:
        """Return the job of that id."""
        return await self._read_job("id", job_id)

    async def job_by_request(self, request_id: str) -> Job | None:
        """Return the job that a request made."""
        return await self._read_job("request_id", request_id)

    async def open_jobs(self, lock: str | None = None) -> list[Job]:
        """Return what is left to do, of one lock or all: highest priority first, then oldest."""
        of_lock, values = ("AND lock = ?", [lock]) if lock is not None else ("", [])
        return await self._read_jobs(
            f"WHERE {_IS_OPEN} {of_lock} ORDER BY priority DESC, seq", values
        )

    async def parts(self, job_id: str) -> list[Job]:
        """Return the jobs that are parts of another, in their order."""
        return await self._read_jobs("WHERE parent_id = ? ORDER BY seq", [job_id])

    async def recent(
        self, limit: int, *, lock: str | None = None, is_open_only: bool = False
    ) -> list[Job]:
        """Return the jobs accepted last, the youngest first: of one lock or all, open ones or all.

        A job that is part of another counts.
        """
        conditions = ["lock = ?"] if lock is not None else []
        conditions += [_IS_OPEN] if is_open_only else []
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        values = [limit] if lock is None else [lock, limit]
        return await self._read_jobs(f"{where} ORDER BY seq DESC LIMIT ?", values)

    async def counts(self) -> dict[JobState, int]:
        """Return how many jobs there are in each state."""

        def query(connection: sqlite3.Connection) -> dict[JobState, int]:
            rows = connection.execute("SELECT state, count(*) FROM jobs GROUP BY state")
            return dict.fromkeys(JobState, 0) | {JobState(state): count for state, count in rows}

        return await self._database.read(query)

    async def transitions(self, job_id: str) -> list[Transition]:
        """Return the audit trail of a job, oldest first; empty once pruned."""
        sql = "SELECT * FROM transitions WHERE job_id = ? ORDER BY number"
        return await self._read_all(sql, [job_id], transition_of)

    # Desired state.

    async def wanted(self, lock: str) -> list[WantedPasscode]:
        """Return what is wanted on a lock, the oldest wish first."""
        sql = "SELECT * FROM wanted WHERE lock = ? ORDER BY revision"
        return await self._database.read(lambda c: self._wishes.of_rows(c.execute(sql, [lock])))

    async def forget_wanted(self, entries: Sequence[WantedPasscode]) -> None:
        """Drop wishes, but for those whose revision is no longer the present one."""
        await self._database.write(lambda c: self._wishes.forget(c, entries))

    async def retire_over(self) -> int:
        """Forget the digits of passcodes whose validity has ended; return how many those were.

        A passcode with an open job is left for later. :meth:`sweep` wipes what remains of them.
        """
        now = self._clock.now()
        return await self._database.write(lambda c: self._wishes.retire_over(c, now))

    async def former(self, lock: str, digits: Iterable[str]) -> dict[str, FormerPasscode]:
        """Return which of these passcodes of a lock are known from before, by their digits."""
        by_hash = {self._rows.digits_hash(lock, each): each for each in digits}
        # By their hashes: a lock holds hundreds, and has held thousands before.
        marks = ", ".join("?" * len(by_hash))
        sql = f"SELECT * FROM former WHERE lock = ? AND digits_hash IN ({marks})"  # noqa: S608
        rows = await self._read_all(
            sql, [lock, *by_hash], lambda row: (row["digits_hash"], former_of(row))
        )
        return {by_hash[mark]: former for mark, former in rows}

    def mark(self, lock: str, digits: str) -> str:
        """Return a name for a passcode of a lock that tells nothing about its digits."""
        return self._rows.digits_hash(lock, digits).hex()[:16]

    # Outbox.

    async def post(self, publications: Sequence[Publication]) -> None:
        """Queue messages that belong to no move, such as the refusal of a request."""
        now = self._clock.now()
        await self._database.write(lambda c: post(c, publications, now))
        self._on_change()

    async def outbox(self, *, after: int = 0, limit: int = OUTBOX_PAGE) -> list[OutboxEntry]:
        """Return messages still to be published, in order, beginning after entry ``after``."""
        return await self._read_all(
            "SELECT * FROM outbox WHERE id > ? ORDER BY id LIMIT ?", [after, limit], entry_of
        )

    async def outbox_done(self, *entry_ids: int) -> None:
        """Drop messages that the broker has confirmed."""

        def change(connection: sqlite3.Connection) -> None:
            connection.executemany(
                "DELETE FROM outbox WHERE id = ?", [(entry_id,) for entry_id in entry_ids]
            )

        await self._database.write(change)

    # Housekeeping.

    async def sweep(self) -> bool:
        """Wipe the write-ahead log, which still holds sealed values that were deleted.

        To be called when the agent falls idle, such as after a visit to a lock; it costs two more
        writes to the disk. False if another program reads the journal just now: try again later.
        """
        return await self._database.checkpoint()

    async def prune(self, before: datetime) -> int:
        """Drop the audit trail of jobs that were final ``before``; return the lines dropped.

        The jobs stay: a request repeated years later must still get its one answer. Refusals from
        ``before`` go, too: no broker delivers what is so old.
        """

        def change(connection: sqlite3.Connection) -> int:
            connection.execute("DELETE FROM refusals WHERE since < ?", [to_micros(before)])
            return connection.execute(
                "DELETE FROM transitions WHERE job_id IN "  # noqa: S608 - our own state names
                f"(SELECT id FROM jobs WHERE state IN ({_FINAL_LIST}) AND updated_at < ?)",
                [to_micros(before)],
            ).rowcount

        return await self._database.write(change)

    # Short forms.

    async def _read_jobs(self, clauses: str, values: Sequence[object]) -> list[Job]:
        sql = f"SELECT * FROM jobs {clauses}"  # noqa: S608 - the clauses are constants above
        return await self._read_all(sql, values, self._rows.job_of)

    async def _read_job(self, column: str, value: str) -> Job | None:
        jobs = await self._read_jobs(f"WHERE {column} = ?", [value])
        return jobs[0] if jobs else None
