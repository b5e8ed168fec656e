"""SQLite as the journal needs it: one owner, one thread, every commit on the disk, no error lost.

All statements run on one dedicated thread, so a slow SD card never holds up the event loop and no
two transactions ever meet. A call that is cancelled may still have been carried out; what is in the
file is the truth.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Final, Self, TypeVar

from ttlock_agent.errors import JournalError, JournalLocked, JournalProblem, VaultError
from ttlock_agent.jobs.schema import migrate

FILE_NAME: Final = "journal.db"
LOCK_FILE_NAME: Final = "journal.lock"

_BUSY_TIMEOUT_S = 5.0
"""Nobody else writes; this outlasts a person's look into the file with ``sqlite3``."""
_SIDE_FILES = ("-wal", "-shm")
_DAMAGED: Final = "journal-damaged-"

T = TypeVar("T")

_PROBLEM_OF_SQLITE = MappingProxyType(
    {
        sqlite3.SQLITE_FULL: JournalProblem.DISK_FULL,
        sqlite3.SQLITE_READONLY: JournalProblem.NOT_WRITABLE,
        sqlite3.SQLITE_PERM: JournalProblem.NOT_WRITABLE,
        sqlite3.SQLITE_CANTOPEN: JournalProblem.NOT_WRITABLE,
        sqlite3.SQLITE_IOERR: JournalProblem.IO_ERROR,
        sqlite3.SQLITE_CORRUPT: JournalProblem.CORRUPT,
        sqlite3.SQLITE_NOTADB: JournalProblem.CORRUPT,
        sqlite3.SQLITE_BUSY: JournalProblem.BUSY,
        sqlite3.SQLITE_LOCKED: JournalProblem.BUSY,
    }
)
_PROBLEM_OF_ERRNO = MappingProxyType(
    {
        errno.ENOSPC: JournalProblem.DISK_FULL,
        errno.EDQUOT: JournalProblem.DISK_FULL,
        errno.EROFS: JournalProblem.NOT_WRITABLE,
        errno.EACCES: JournalProblem.NOT_WRITABLE,
        errno.EPERM: JournalProblem.NOT_WRITABLE,
        errno.ENOENT: JournalProblem.NOT_WRITABLE,
        errno.EIO: JournalProblem.IO_ERROR,
    }
)
_CAUSE_AND_HINT = MappingProxyType(
    {
        JournalProblem.DISK_FULL: ("the disk is full", "Free some space; nothing was changed."),
        JournalProblem.NOT_WRITABLE: (
            "the state directory cannot be written",
            "Check that it exists, belongs to the agent and is not mounted read-only.",
        ),
        JournalProblem.IO_ERROR: (
            "the disk reports an error",
            "Check `dmesg` and the SD card; make a copy of the state directory now.",
        ),
        JournalProblem.CORRUPT: (
            "its content is damaged",
            "Restart the agent: it sets the damaged file aside and reports it.",
        ),
        JournalProblem.BUSY: (
            "another program holds it",
            "Close whatever has the journal file open, and try again.",
        ),
    }
)


class Database:
    """One open journal file. Made by :meth:`open`; every call may raise ``JournalError``."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path = directory / FILE_NAME
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")
        self._lock_fd: int | None = None
        self._connection: sqlite3.Connection | None = None
        self.set_aside: Path | None = None
        """Where a damaged file was put, now or at an earlier start, until somebody removes it."""
        self.trouble: JournalError | None = None
        """Why the last change was not kept; ``None`` if it was."""
        self.mend: Callable[[sqlite3.Connection], None] | None = None
        """Gives up what does not open, so that the rest does; to be set once the key is known to
        fit. Runs as a transaction of its own, and what met the damage is tried once more."""

    @classmethod
    async def open(cls, directory: Path, now: datetime) -> Self:
        """Lock, check and migrate the journal in ``directory``, which must exist.

        Raises ``JournalLocked`` if another agent owns it. A damaged file is set aside under a name
        with ``now``, and an empty journal takes its place.
        """
        database = cls(directory)
        try:
            await database._on_thread(database._open, now)
        except BaseException:
            await database.close()  # also when cancelled: it queues up behind the opening
            raise
        return database

    async def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``query``, which changes nothing."""
        return await self._on_thread(self._read, query)

    async def write(self, change: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``change`` as one transaction: durable when this returns, undone if it raises."""
        try:
            outcome: T = await self._on_thread(self._write, change)
        except JournalError as error:
            self.trouble = error
            raise
        self.trouble = None
        return outcome

    async def checkpoint(self) -> bool:
        """Move the write-ahead log into the file and empty it; False if a reader holds it back."""
        return await self._on_thread(self._checkpoint)

    async def close(self) -> None:
        """Release file and lock. Closing twice is harmless."""
        try:
            closing = self._thread.submit(self._close)
        except RuntimeError:
            return  # the thread is gone: closed before
        self._thread.shutdown(wait=False)  # takes nothing new, but finishes what is queued
        await asyncio.shield(asyncio.wrap_future(closing))

    async def _on_thread(self, function: Callable[..., T], *args: object) -> T:
        try:
            future = self._thread.submit(function, *args)
        except RuntimeError as error:
            raise JournalError("The journal is closed.", problem=JournalProblem.CLOSED) from error
        return await asyncio.wrap_future(future)

    # Everything below runs on the journal's thread.

    def _open(self, now: datetime) -> None:
        with _named_errors():
            self._take_lock()
            # A log without its file is left by a death between two renames of _move_aside.
            if not self._path.exists() and self._beside("-wal").exists():
                self._move_aside(now)
            self._connection = self._connect()
            try:
                self._prepare(self._connection)
            except JournalError as error:
                if error.problem is not JournalProblem.CORRUPT:
                    raise
                # Before closing, which would fold the log into the damaged file and drop it.
                self._move_aside(now)
                self._connection.close()
                self._connection = self._connect()
                self._prepare(self._connection)
            self.set_aside = self._last_set_aside()

    def _take_lock(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._lock_fd = os.open(self._directory / LOCK_FILE_NAME, flags, 0o600)
        try:
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise JournalLocked(
                f"Another agent uses the journal in {self._directory}.", problem=JournalProblem.BUSY
            ) from error

    def _connect(self) -> sqlite3.Connection:
        # SQLite would make it readable for all; -wal and -shm take over the mode of the file.
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        return sqlite3.connect(
            self._path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.row_factory = sqlite3.Row
        with _named_errors():
            # Synchronous FULL: a commit that NORMAL loses at a power cut would have permitted an
            # act already.
            for pragma in ("synchronous = FULL", "foreign_keys = ON", "secure_delete = ON"):
                connection.execute(f"PRAGMA {pragma}")
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise _journal_error(JournalProblem.CORRUPT, "quick_check")
            if mode != "wal":
                raise JournalError(
                    f"The file system of {self._directory} does not allow a write-ahead log.",
                    hint="Put the state directory on a local disk.",
                )
            migrate(connection)

    def _move_aside(self, now: datetime) -> None:
        """Put file and log under a new name, the file first.

        A log that stayed behind alone is recognised at the next start; a file that stayed behind
        without its log would pass for an older, sound state.
        """
        stem = f"{_DAMAGED}{now.astimezone(UTC):%Y%m%dT%H%M%SZ}"
        target = self._directory / f"{stem}.db"
        number = 1
        while target.exists() or Path(f"{target}-wal").exists():
            number += 1
            target = self._directory / f"{stem}-{number}.db"
        for suffix in ("", *_SIDE_FILES):
            source = self._beside(suffix)
            if source.exists():
                source.rename(f"{target}{suffix}")
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _last_set_aside(self) -> Path | None:
        names = {each.name.partition(".db")[0] for each in self._directory.glob(f"{_DAMAGED}*")}
        return self._directory / f"{max(names)}.db" if names else None

    def _beside(self, suffix: str) -> Path:
        return self._path.with_name(FILE_NAME + suffix)

    def _read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        with _named_errors():
            return self._mended(query)

    def _write(self, change: Callable[[sqlite3.Connection], T]) -> T:
        with _named_errors():
            return self._mended(lambda _: self._transaction(change))

    def _mended(self, function: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return function(self._opened())
        except VaultError:
            if self.mend is None:
                raise
        try:
            self._transaction(self.mend)
            return function(self._opened())
        except VaultError as error:
            raise _journal_error(JournalProblem.CORRUPT, "a sealed value") from error

    def _transaction(self, change: Callable[[sqlite3.Connection], T]) -> T:
        connection = self._opened()
        try:
            connection.execute("BEGIN IMMEDIATE")
            outcome = change(connection)
            connection.execute("COMMIT")
        except BaseException:
            connection.rollback()
            raise
        return outcome

    def _checkpoint(self) -> bool:
        with _named_errors():
            busy, _, _ = self._opened().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            return not busy

    def _opened(self) -> sqlite3.Connection:
        assert self._connection is not None, "nothing is queued before opening or after closing"
        return self._connection

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        lock_fd, self._lock_fd = self._lock_fd, None
        try:
            if connection is not None:
                with _named_errors():
                    connection.close()
        finally:
            if lock_fd is not None:
                os.close(lock_fd)


def _problem(error: sqlite3.Error) -> JournalProblem:
    # The low byte is the primary code; errors of the Python layer itself carry none.
    code: int = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return _PROBLEM_OF_SQLITE.get(code, JournalProblem.OTHER)


@contextmanager
def _named_errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        detail = getattr(error, "sqlite_errorname", type(error).__name__)
        raise _journal_error(_problem(error), detail) from error
    except OSError as error:
        problem = _PROBLEM_OF_ERRNO.get(error.errno or 0, JournalProblem.OTHER)
        raise _journal_error(problem, error.strerror or type(error).__name__) from error


def _journal_error(problem: JournalProblem, detail: str) -> JournalError:
    cause, hint = _CAUSE_AND_HINT.get(problem, ("of an unexpected error", None))
    return JournalError(
        f"The journal cannot be used: {cause} ({detail}).", problem=problem, hint=hint
    )
