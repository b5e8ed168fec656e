"""The running agent on a disk that fails: it says so, does what it still can, and forgets nothing.

The errors are those of SQLite; that SQLite has them where a disk has them is tested with the
journal itself.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from ttlock_agent.cli.status import _readable

from . import simulated
from .house import CONTROL, House, house
from .scenarios import FRONT, add, lock
from .truth import is_quiet, rows

HOUR_S = 3600.0
BAD_DISKS = {
    "disk_full": sqlite3.SQLITE_FULL,
    "not_writable": sqlite3.SQLITE_READONLY,
    "io_error": sqlite3.SQLITE_IOERR,
}


def at_home(directory: Path, test: Callable[[House], Awaitable[None]]) -> None:
    """Run a test in a house whose agent has delivered something already."""

    async def run() -> None:
        async with house(directory, {FRONT: lock()}) as made:
            made.start()
            await asked(made, "482913")
            await made.until(lambda: is_quiet(made))
            await test(made)
            assert made.deaths == []

    simulated.run(run())


def ask(made: House, digits: str) -> str:
    verb, body = add(digits)
    made.broker.ask(verb, **body)
    return str(body["id"])


async def asked(made: House, digits: str) -> None:
    """Have a passcode delivered and proved."""
    request_id = ask(made, digits)
    await made.until(lambda: request_id in made.broker.final_ids())
    answers = {json.dumps(each, sort_keys=True) for each in made.broker.answers(request_id)}
    assert [json.loads(each)["result"] for each in answers] == ["proved"]
    assert digits in made.doors[FRONT].held


async def call(made: House, verb: str, **request: Any) -> dict[str, Any]:
    """Ask over the control socket, and return the last line."""
    reader, writer = await asyncio.open_unix_connection(str(made.directory / CONTROL))
    writer.write(json.dumps({"verb": verb, "request": request}).encode() + b"\n")
    lines = (await reader.read()).splitlines()
    writer.close()
    last: dict[str, Any] = json.loads(lines[-1])
    return last


async def readable(made: House) -> str:
    return _readable((await call(made, "status"))["body"])


async def trouble_of(made: House) -> str | None:
    trouble = (await call(made, "status"))["body"]["journal_trouble"]
    return None if trouble is None else str(trouble["problem"])


@pytest.mark.parametrize("problem", BAD_DISKS)
def test_a_disk_that_fails_is_named_and_what_was_asked_meanwhile_is_done_later(
    tmp_path: Path, problem: str
) -> None:
    async def test(made: House) -> None:
        made.disk.error = BAD_DISKS[problem]
        request_id = ask(made, "771204")
        await asyncio.sleep(HOUR_S)
        assert await trouble_of(made) == problem
        assert "Free some space" in await readable(made) or problem != "disk_full"
        assert made.broker.answers(request_id) == []
        assert len(made.broker.kept) == 1, "the broker was told to forget it"
        verb, body = add("320586")
        refused = await call(made, verb, **body)
        assert refused["code"] == "journal"
        assert refused["hint"]
        made.disk.error = None
        await made.until(lambda: request_id in made.broker.final_ids())
        assert sorted(made.doors[FRONT].held) == ["482913", "771204"]
        assert await trouble_of(made) is None

    at_home(tmp_path, test)


@pytest.mark.parametrize("problem", BAD_DISKS)
def test_a_job_that_was_accepted_before_the_disk_failed_is_done_after_it(
    tmp_path: Path, problem: str
) -> None:
    async def test(made: House) -> None:
        door = made.doors[FRONT]
        door.is_in_range = False
        request_id = ask(made, "771204")
        await made.until(lambda: rows(made, "SELECT attempts FROM jobs WHERE seq = 2") == [(1,)])
        made.disk.error, door.is_in_range = BAD_DISKS[problem], True
        connections = len(connects(made))
        await asyncio.sleep(HOUR_S)
        assert request_id not in made.broker.final_ids()
        assert len(connects(made)) - connections <= 1, "it wears the battery for nothing"
        made.disk.error = None
        await made.until(lambda: request_id in made.broker.final_ids())
        assert "771204" in door.held
        assert door.asked_blindly() == []

    at_home(tmp_path, test)


def connects(made: House) -> list[str]:
    return [step for step in made.life.steps if step == "before connect"]


def test_an_agent_starts_on_a_full_disk_and_waits_for_space(tmp_path: Path) -> None:
    async def test(made: House) -> None:
        await made.kill()
        made.disk.error = sqlite3.SQLITE_FULL
        made.start()
        request_id = ask(made, "771204")
        await asyncio.sleep(HOUR_S)
        assert not made.has_ended
        assert await trouble_of(made) == "disk_full"
        made.disk.error = None
        await made.until(lambda: request_id in made.broker.final_ids())
        assert any(said.topic.endswith("/info") for said in made.broker.said)

    at_home(tmp_path, test)


def test_an_agent_whose_disk_fails_can_be_stopped_in_a_visit(tmp_path: Path) -> None:
    async def test(made: House) -> None:
        ask(made, "771204")
        link = made.doors[FRONT].link
        await made.until(lambda: made.doors[FRONT].link is not link)
        made.disk.error = sqlite3.SQLITE_FULL
        await made.stop()
        assert made.deaths == []

    at_home(tmp_path, test)


def test_a_damaged_journal_is_set_aside_and_that_is_said_for_as_long_as_the_agent_runs(
    tmp_path: Path,
) -> None:
    async def test(made: House) -> None:
        await made.kill()
        journal = made.state / "journal.db"
        (made.state / "journal.db-wal").unlink(missing_ok=True)
        journal.write_bytes(b"\x13" * journal.stat().st_size)
        made.start()
        await asked(made, "771204")
        aside = (await call(made, "status"))["body"]["journal_set_aside"]
        assert Path(aside).read_bytes()[:1] == b"\x13"
        # What the lock holds is named as nobody's, not removed.
        assert sorted(made.doors[FRONT].held) == ["482913", "771204"]
        events = [said.body for said in made.broker.said if said.topic.endswith("/event")]
        assert "passcode_unknown" in [each["event_type"] for each in events]

    at_home(tmp_path, test)


def test_an_agent_goes_on_beside_a_row_that_is_damaged(tmp_path: Path) -> None:
    async def test(made: House) -> None:
        made.doors[FRONT].is_in_range = False
        lost = ask(made, "135790")
        await asyncio.sleep(60)
        await made.kill()
        with sqlite3.connect(made.state / "journal.db") as journal:
            for table, column in (("jobs", "sealed_params"), ("wanted", "sealed_digits")):
                sql = f"UPDATE {table} SET {column} = zeroblob(length({column}))"
                journal.execute(f"{sql} WHERE {column} IS NOT NULL")
        journal.close()
        made.doors[FRONT].is_in_range = True
        made.start()
        await asked(made, "771204")
        said = made.broker.answers(lost)
        assert [each["error"]["code"] for each in said if "error" in each] == ["journal"]
        assert await trouble_of(made) == "corrupt"
        assert sorted(made.doors[FRONT].held) == ["482913", "771204"]

    at_home(tmp_path, test)
