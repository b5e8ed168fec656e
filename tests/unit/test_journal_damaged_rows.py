"""A sealed value with one wrong bit, which SQLite does not notice: its row alone is given up."""

import sqlite3
from pathlib import Path

from agent_rig import Door, Rig, rig_at, start_rig
from ttlock_agent.health import Health
from ttlock_agent.jobs.database import FILE_NAME
from ttlock_agent.jobs.model import JobState
from ttlock_agent.link.adapters import Adapters
from ttlock_agent.timesync import CANNOT_TELL
from virtual_helpers import ManualClock

MIDDLE = 20
"""Behind version and nonce, in what is encrypted."""


def flip_a_bit(directory: Path, table: str, column: str, which: str, value: object) -> None:
    """Change a sealed value in the file as bad flash does, and see that SQLite is content."""
    connection = sqlite3.connect(directory / FILE_NAME)
    with connection:
        sql = f"SELECT {column} FROM {table} WHERE {which} = ?"
        (blob,) = connection.execute(sql, [value]).fetchone()
        changed = blob[:MIDDLE] + bytes([blob[MIDDLE] ^ 1]) + blob[MIDDLE + 1 :]
        connection.execute(f"UPDATE {table} SET {column} = ? WHERE {which} = ?", [changed, value])
    assert connection.execute("PRAGMA quick_check").fetchone() == ("ok",)
    connection.close()


async def restarted(rig: Rig) -> Rig:
    """Let another agent go on where ``rig`` was stopped, with the lock in range again."""
    rig.door.is_in_range = True
    return await start_rig(rig.directory, rig.door)


async def test_a_damaged_job_fails_and_is_answered_and_all_others_are_proved(
    tmp_path: Path,
) -> None:
    door = Door(ManualClock())
    door.is_in_range = False
    async with rig_at(tmp_path, door) as rig:
        damaged, sound = await rig.add("135790"), await rig.add("246801")
    flip_a_bit(tmp_path, "jobs", "sealed_params", "id", damaged.id)
    again = await restarted(rig)
    try:
        lost, proved = await again.done(damaged, sound)
        answers = {each["job"]: each for each in await again.answers() if "result" in each}
        wishes = [wish.digits for wish in await again.journal.wanted("front-door")]
    finally:
        await again.stop()
    assert (lost.state, proved.state) == (JobState.FAILED, JobState.PROVED)
    assert answers[damaged.id]["error"]["code"] == "journal"
    assert answers[sound.id]["result"] == "proved"
    assert (door.digits, wishes) == (["246801"], ["246801"])


async def test_a_damaged_job_that_was_sent_has_an_unknown_outcome(tmp_path: Path) -> None:
    door = Door(ManualClock())

    async def cut(_number: int) -> None:
        if door.adds and door.link is not None:
            door.is_in_range = False
            door.link.cut()

    door.after_write = cut
    async with rig_at(tmp_path, door) as rig:
        job = await rig.add("135790")
        await rig.until(job, lambda job: job.state is JobState.UNKNOWN)
    flip_a_bit(tmp_path, "jobs", "sealed_params", "id", job.id)
    again = await restarted(rig)
    try:
        ended = await again.final(job)
    finally:
        await again.stop()
    assert ended.state is JobState.OUTCOME_UNKNOWN
    assert ended.error is not None
    assert ended.error.code == "journal"


async def test_a_damaged_part_ends_its_family(tmp_path: Path) -> None:
    door = Door(ManualClock())
    door.is_in_range = False
    async with rig_at(tmp_path, door) as rig:
        passcodes = [{"passcode": "135790"}, {"passcode": "246801"}]
        family = await rig.ask("passcode.sync", owner="pms", passcodes=passcodes)
        first, second = await rig.journal.parts(family.id)
    flip_a_bit(tmp_path, "jobs", "sealed_params", "id", family.id)
    flip_a_bit(tmp_path, "jobs", "sealed_params", "id", first.id)
    again = await restarted(rig)
    try:
        states = [job.state for job in await again.done(first, second)]
        ended = await again.later(family)
    finally:
        await again.stop()
    assert states == [JobState.FAILED, JobState.PROVED]
    assert ended.error is not None
    assert (ended.state, ended.error.code) == (JobState.FAILED, "parts_failed")


async def test_a_damaged_wish_is_left_out_and_named_until_it_is_asked_for_again(
    tmp_path: Path,
) -> None:
    door = Door(ManualClock())
    async with rig_at(tmp_path, door) as rig:
        (before,) = await rig.done(await rig.add("135790"))
    flip_a_bit(tmp_path, "wanted", "sealed_digits", "job_id", before.id)
    again = await start_rig(tmp_path, door, removes_unknown=True)
    try:
        health = Health(Adapters(), again.journal, CANNOT_TELL, clock=again.clock)
        (other,) = await again.done(await again.add("246801"))
        told, line = (await health.now())["journal_trouble"], health.trouble
        held = door.digits
        await again.done(await again.ask("passcode.add", passcode="135790", id="again"))
        wishes = {wish.digits for wish in await again.journal.wanted("front-door")}
        healed = (await health.now())["journal_trouble"]
    finally:
        await again.stop()
    assert other.state is JobState.PROVED
    assert (told["problem"], line) == ("corrupt", "journal corrupt")
    assert "front-door" in told["message"]
    assert "135790" not in told["message"]
    assert held == ["135790", "246801"]  # it was not taken for a stranger's
    assert (wishes, healed) == ({"135790", "246801"}, None)


async def test_a_damaged_wish_does_not_keep_its_own_job_from_its_proof(tmp_path: Path) -> None:
    door = Door(ManualClock())
    door.is_in_range = False
    async with rig_at(tmp_path, door) as rig:
        job = await rig.add("135790")
    flip_a_bit(tmp_path, "wanted", "sealed_digits", "job_id", job.id)
    again = await restarted(rig)
    try:
        (proved,) = await again.done(job)
    finally:
        await again.stop()
    assert proved.state is JobState.PROVED
    assert door.digits == ["135790"]


async def test_a_damaged_result_or_memory_is_dropped(tmp_path: Path) -> None:
    door = Door(ManualClock())
    async with rig_at(tmp_path, door) as rig:
        (job,) = await rig.done(await rig.add("135790"))
        await rig.journal.remember_lock("back-door", "battery", {"percent": 80}, rig.clock.now())
    flip_a_bit(tmp_path, "jobs", "sealed_result", "id", job.id)
    flip_a_bit(tmp_path, "lock_memory", "sealed_value", "lock", "back-door")
    again = await start_rig(tmp_path, door)
    try:
        now = await again.journal.job(job.id)
        known = await again.journal.last_known("back-door", "battery")
    finally:
        await again.stop()
    assert now is not None
    assert (now.state, now.result, known) == (JobState.PROVED, None, None)
