"""The file behind the journal: one owner, checked at start, errors named, secrets hidden."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ttlock_agent.errors import JournalError, JournalLocked, JournalProblem
from ttlock_agent.jobs.database import FILE_NAME, Database
from ttlock_agent.jobs.model import (
    JobFailure,
    JobState,
    Move,
    NewJob,
    PasscodeKind,
    WantedPasscode,
)
from ttlock_agent.jobs.schema import MIGRATIONS, migrate
from ttlock_agent.jobs.store import Journal
from ttlock_agent.publication import Publication
from ttlock_agent.vault import KeySource, MasterKey, Vault

START = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
FAILURE = JobFailure(code="x", message="It went wrong.", hint="Look.", is_retryable=True)
VAULT = Vault(MasterKey(value=b"\x21" * 32, source=KeySource.FILE))


class StillClock:
    def now(self) -> datetime:
        return START

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError


async def open_journal(directory: Path) -> Journal:
    return await Journal.open(directory, VAULT, StillClock())


def request(request_id: str = "pms-1", params: bytes = b"{}") -> NewJob:
    return NewJob(
        source="mqtt", request_id=request_id, verb="passcode.add", lock="door", params=params
    )


async def make_journal(directory: Path, *, jobs: int = 1) -> None:
    async with await open_journal(directory) as journal:
        for number in range(jobs):
            await journal.accept(request(f"pms-{number}"))


# Settings.


async def test_every_commit_is_on_the_disk(tmp_path: Path) -> None:
    async with await open_journal(tmp_path) as journal:
        settings = {
            name: await journal._database.read(
                lambda c, name=name: c.execute(f"PRAGMA {name}").fetchone()[0]
            )
            for name in (
                "journal_mode",
                "synchronous",
                "foreign_keys",
                "secure_delete",
                "busy_timeout",
                "user_version",
            )
        }
        tables = await journal._database.read(
            lambda c: c.execute(
                "SELECT name, strict FROM pragma_table_list WHERE type = 'table' "
                "AND name NOT LIKE 'sqlite_%'"
            ).fetchall()
        )
    assert settings == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "secure_delete": 1,
        "busy_timeout": 5000,
        "user_version": len(MIGRATIONS),
    }
    assert {row["name"] for row in tables} >= {"jobs", "transitions", "wanted", "outbox"}
    assert all(row["strict"] for row in tables)


async def test_only_the_agent_can_read_it(tmp_path: Path) -> None:
    async with await open_journal(tmp_path):
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == dict.fromkeys(
        ("journal.db", "journal.db-wal", "journal.db-shm", "journal.lock"), 0o600
    )


# One owner.


async def test_a_second_agent_is_refused_until_the_first_has_gone(tmp_path: Path) -> None:
    first = await open_journal(tmp_path)
    with pytest.raises(JournalLocked):
        await open_journal(tmp_path)
    await first.accept(request())
    await first.close()
    async with await open_journal(tmp_path) as second:
        assert len(await second.recent(5)) == 1


async def test_an_opening_that_is_cancelled_leaves_no_owner(tmp_path: Path) -> None:
    opening = asyncio.ensure_future(open_journal(tmp_path))
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await (await open_journal(tmp_path)).close()


# Damage.


def damage_header(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"not a database, " * 8)


def damage_pages(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (path.stat().st_size - 4096))


@pytest.mark.parametrize("damage", [damage_header, damage_pages])
async def test_a_damaged_journal_is_set_aside_and_reported(tmp_path: Path, damage: object) -> None:
    await make_journal(tmp_path)
    assert callable(damage)
    damage(tmp_path / FILE_NAME)
    damaged = (tmp_path / FILE_NAME).read_bytes()
    async with await open_journal(tmp_path) as journal:
        assert journal.set_aside == tmp_path / "journal-damaged-20261120T093000Z.db"
        assert journal.set_aside.read_bytes() == damaged
        assert await journal.recent(5) == []
        assert (await journal.accept(request())).is_new
    async with await open_journal(tmp_path) as journal:
        aside = journal.set_aside
        assert aside == tmp_path / "journal-damaged-20261120T093000Z.db", "said until it is removed"
        assert len(await journal.recent(5)) == 1
    for each in tmp_path.glob("journal-damaged-*"):
        each.unlink()
    async with await open_journal(tmp_path) as journal:
        assert journal.set_aside is None
        assert len(await journal.recent(5)) == 1


async def test_a_damaged_journal_keeps_its_log(tmp_path: Path) -> None:
    """The last commits are in the write-ahead log only: it may be worth more than the file."""
    here, copy = tmp_path / "here", tmp_path / "copy"
    here.mkdir()
    copy.mkdir()
    await make_journal(here)
    async with await open_journal(here) as journal:
        await journal.accept(request("pms-in-the-log"))
        for suffix in ("", "-wal"):
            shutil.copy(here / f"{FILE_NAME}{suffix}", copy)
    log = (copy / f"{FILE_NAME}-wal").read_bytes()
    assert len(log) > 4096
    damage_header(copy / FILE_NAME)
    async with await open_journal(copy) as journal:
        assert journal.set_aside is not None
        assert Path(f"{journal.set_aside}-wal").read_bytes() == log
        assert await journal.recent(5) == []


async def test_two_damages_in_one_second_do_not_overwrite_each_other(tmp_path: Path) -> None:
    for _ in range(2):
        await make_journal(tmp_path)
        damage_header(tmp_path / FILE_NAME)
    async with await open_journal(tmp_path) as journal:
        assert journal.set_aside == tmp_path / "journal-damaged-20261120T093000Z-2.db"
    assert len(list(tmp_path.glob("journal-damaged-*.db"))) == 2


async def test_a_log_without_its_file_is_set_aside_too(tmp_path: Path) -> None:
    """This is what a death in the middle of setting aside leaves."""
    (tmp_path / f"{FILE_NAME}-wal").write_bytes(b"orphan")
    async with await open_journal(tmp_path) as journal:
        assert journal.set_aside is not None
        assert Path(f"{journal.set_aside}-wal").read_bytes() == b"orphan"


# Errors with names.


async def limit_pages(database: Database, count: int) -> None:
    await database.read(lambda c: c.execute(f"PRAGMA max_page_count = {count}").fetchone())


async def test_a_full_disk_is_named_and_changes_nothing(tmp_path: Path) -> None:
    async with await open_journal(tmp_path) as journal:
        job = (await journal.accept(request())).job
        await limit_pages(journal._database, 1)  # SQLite takes the present size instead
        big = [Publication(topic="t", payload=bytes(100_000))]
        with pytest.raises(JournalError) as caught:
            await journal.move(job.id, Move(to=JobState.WORKING), outbox=lambda _: big)
        assert caught.value.problem is JournalProblem.DISK_FULL
        assert "disk is full" in str(caught.value)
        assert await journal.job(job.id) == job
        assert await journal.outbox() == []
        await limit_pages(journal._database, 1_000_000)
        await journal.move(job.id, Move(to=JobState.WORKING), outbox=lambda _: big)
        assert len(await journal.outbox()) == 1


async def test_a_read_only_journal_is_named_and_still_answers(tmp_path: Path) -> None:
    async with await open_journal(tmp_path) as journal:
        job = (await journal.accept(request())).job
        await journal._database.read(lambda c: c.execute("PRAGMA query_only = ON"))
        with pytest.raises(JournalError) as caught:
            await journal.accept(request("pms-2"))
        assert caught.value.problem is JournalProblem.NOT_WRITABLE
        assert await journal.job(job.id) == job


def test_a_disk_that_fails_in_a_write_is_named_and_changes_nothing(tmp_path: Path) -> None:
    """In a process of its own, whose files the kernel forbids to grow."""
    program = f"""
import asyncio, pathlib, resource, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_journal_file import open_journal, request
from ttlock_agent.errors import JournalError

async def main():
    directory = pathlib.Path(sys.argv[1])
    async with await open_journal(directory) as journal:
        await journal.accept(request("before"))
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        size = (directory / "journal.db-wal").stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 5000, hard))
        try:
            await journal.accept(request("lost", bytes(50_000)))
        except JournalError as error:
            problem = error.problem
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        await journal.accept(request("after"))
        print(problem, *[job.request_id for job in await journal.recent(5)])

asyncio.run(main())
"""
    ran = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert (ran.stdout.split(), ran.stderr) == (["io_error", "after", "before"], "")


async def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(JournalError) as caught:
        await open_journal(tmp_path / "missing")
    assert caught.value.problem is JournalProblem.NOT_WRITABLE


async def test_a_directory_in_the_place_of_the_file_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(JournalError):
        await open_journal(tmp_path)
    (tmp_path / FILE_NAME).rmdir()
    async with await open_journal(tmp_path) as journal:
        assert journal.set_aside is None


async def test_a_programming_mistake_undoes_its_transaction(tmp_path: Path) -> None:
    async with await open_journal(tmp_path) as journal:

        def change(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM secrets")
            raise LookupError

        with pytest.raises(LookupError):
            await journal._database.write(change)
        assert (await journal.accept(request())).is_new
        assert await journal.secret("vault-check") == b""


async def test_a_reader_holds_the_sweep_back_and_is_told(tmp_path: Path) -> None:
    async with await open_journal(tmp_path) as journal:
        await journal.accept(request())
        await journal._database.read(lambda c: c.execute("PRAGMA busy_timeout = 0").fetchone())
        reader = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM jobs").fetchone()
        assert await journal.sweep() is False
        reader.close()
        assert await journal.sweep() is True
        assert (tmp_path / f"{FILE_NAME}-wal").stat().st_size == 0


# Migrations.


@pytest.mark.parametrize("version", range(len(MIGRATIONS) + 1))
async def test_every_old_version_opens(tmp_path: Path, version: int) -> None:
    old = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    migrate(old, MIGRATIONS[:version])
    old.close()
    async with await open_journal(tmp_path) as journal:
        assert journal.set_aside is None
        job = (await journal.accept(request())).job
        assert await journal.open_jobs("door") == [job]


async def test_what_a_journal_of_the_first_version_holds_is_kept(tmp_path: Path) -> None:
    entry = WantedPasscode(lock="door", digits="004711", kind=PasscodeKind.PERMANENT, owner="mqtt")
    async with await open_journal(tmp_path) as journal:
        old = (await journal.accept(request(), wanted=[entry])).job
    file = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    file.executescript("DROP TABLE overtaken; DROP TABLE refusals; PRAGMA user_version = 1;")
    file.close()
    async with await open_journal(tmp_path) as journal:
        assert journal.set_aside is None
        assert await journal.open_jobs("door") == [old]
        (kept,) = await journal.wanted("door")
        assert (kept.digits, kept.job_id) == ("004711", old.id)
        later = (await journal.accept(request("pms-2"), wanted=[entry])).job
        await journal.move(later.id, Move(to=JobState.CANCELLED))
        assert [wish.job_id for wish in await journal.wanted("door")] == [old.id]


async def test_a_journal_of_a_newer_agent_is_refused_untouched(tmp_path: Path) -> None:
    await make_journal(tmp_path)
    newer = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    newer.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    newer.close()
    before = (tmp_path / FILE_NAME).read_bytes()
    with pytest.raises(JournalError) as caught:
        await open_journal(tmp_path)
    assert caught.value.problem is JournalProblem.NEWER_VERSION
    assert (tmp_path / FILE_NAME).read_bytes() == before


def test_a_migration_that_fails_halfway_leaves_the_version_before_it() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    first = "CREATE TABLE a (x INTEGER) STRICT; INSERT INTO a VALUES (1)"
    broken = "CREATE TABLE b (x INTEGER) STRICT; INSERT INTO nowhere VALUES (1)"
    with pytest.raises(sqlite3.Error):
        migrate(connection, (first, broken))
    assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("a",)]
    migrate(connection, (first, "CREATE TABLE b (x INTEGER) STRICT"))
    assert connection.execute("PRAGMA user_version").fetchone() == (2,)
    assert connection.execute("SELECT x FROM a").fetchall() == [(1,)]
    connection.close()


# Secrets.


def raw_bytes(directory: Path) -> bytes:
    paths = [directory / f"{FILE_NAME}{suffix}" for suffix in ("", "-wal")]
    return b"".join(path.read_bytes() for path in paths if path.exists())


async def test_no_secret_is_readable_on_disk_and_sealed_ones_vanish_in_the_end(
    tmp_path: Path,
) -> None:
    digits, keys, params = "730418265", b"aes-key-of-door-", b'{"passcode":"730418265"}'
    listing = {"passcodes": ["918273645"]}
    secrets = (digits.encode(), keys, b'passcode":', b"918273645", b"777111222")
    async with await open_journal(tmp_path) as journal:
        await journal.put_secret("keys/door", keys)
        await journal.remember_lock("door", "passcodes", ["777111222"], START)
        entry = WantedPasscode(
            lock="door", digits=digits, kind=PasscodeKind.PERMANENT, owner="mqtt"
        )
        job = (await journal.accept(request(params=params), wanted=[entry])).job
        sealed: list[bytes] = await journal._database.read(
            lambda c: list(
                c.execute("SELECT sealed_params, sealed_digits FROM jobs, wanted").fetchone()
            )
        )
        assert all(blob in raw_bytes(tmp_path) for blob in sealed)
        assert not any(secret in raw_bytes(tmp_path) for secret in secrets)

        await journal.sweep()  # the blobs are in the file itself now, not only in its log
        await journal.move(job.id, Move(to=JobState.WORKING))
        await journal.move(job.id, Move(to=JobState.FAILED, error=FAILURE, result=listing))
        assert await journal.sweep()
        assert not any(blob in raw_bytes(tmp_path) for blob in sealed)
        assert not any(secret in raw_bytes(tmp_path) for secret in secrets)
        done = await journal.job(job.id)
        assert done is not None
        assert (done.params, done.result) == (b"", listing)


async def test_the_same_digits_on_two_locks_cannot_be_told_to_be_the_same(tmp_path: Path) -> None:
    async with await open_journal(tmp_path) as journal:
        wishes = [
            WantedPasscode(lock=lock, digits="004711", kind=PasscodeKind.PERMANENT, owner="mqtt")
            for lock in ("front-door", "back-door")
        ]
        await journal.accept(request(), wanted=wishes)
        hashes = await journal._database.read(
            lambda c: {row["digits_hash"] for row in c.execute("SELECT digits_hash FROM wanted")}
        )
    assert len(hashes) == 2


async def test_a_blob_moved_to_another_row_does_not_open(tmp_path: Path) -> None:
    async with await open_journal(tmp_path) as journal:
        await journal.put_secret("keys/a", b"one")
        await journal.put_secret("keys/b", b"two")
        await journal._database.write(
            lambda c: (
                c.execute(
                    "UPDATE secrets SET sealed_value = "
                    "(SELECT sealed_value FROM secrets WHERE name = 'keys/a') WHERE name = 'keys/b'"
                ).rowcount
            )
        )
        with pytest.raises(Exception, match="does not open"):
            await journal.secret("keys/b")
