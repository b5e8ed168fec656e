"""The lock's log: read by a cursor of our own, told once, and used as evidence."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent_rig import LOCK, Door, Rig, rig_at, start_rig
from ttlock_agent.jobs.door_log import LOG
from ttlock_agent.jobs.model import JobState
from ttlock_protocol.messages.auth import PERMANENT_FROM
from ttlock_protocol.messages.log import UNREAD, GetLog
from ttlock_protocol.messages.passcodes import PasscodeType
from ttlock_protocol.virtual import StoredPasscode
from ttlock_protocol.virtual.memory import LAST_LOG_NUMBER
from virtual_helpers import KEYS, ManualClock


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig_at(tmp_path) as rig:
        yield rig


async def visited(rig: Rig, number: int) -> None:
    """Have the lock visited, an hour after the last time, as the rig's visit of that number."""
    await rig.clock.advance(3600)
    await rig.final(await rig.ask("clock.read", id=f"visit at {rig.clock.now()}"))
    await rig.visits(number)


async def position(rig: Rig) -> dict[str, Any]:
    """How far the log was read."""
    known = await rig.journal.last_known(LOCK, LOG)
    assert known is not None
    return dict(known.value)


async def test_what_happens_at_the_door_is_told_once(rig: Rig) -> None:
    rig.door.opens("314159")
    await visited(rig, 1)
    assert await rig.events() == []  # from before the agent came
    await rig.final(await rig.add("482913", label="booking 1"))
    assert rig.door.opens("482913")
    assert not rig.door.opens("271828")
    await visited(rig, 3)
    told = await rig.events()
    assert [each["event_type"] for each in told] == ["unlocked_by_passcode", "denied"]
    assert [each["type"] for each in told] == ["passcode_unlock", "wrong_passcode"]
    assert told[0]["passcode"] == {"is_known": True, "label": "booking 1", "owner": "mqtt"}
    assert told[1]["passcode"] == {"is_known": False}
    assert told[0]["id"] != told[1]["id"]
    assert not any(digits in json.dumps(told) for digits in ("482913", "271828", "314159"))
    await visited(rig, 4)
    assert await rig.events() == told


async def test_that_a_lock_is_new_is_no_reason_to_read_its_log(rig: Rig) -> None:
    rig.door.opens("314159")
    await rig.final(await rig.add("482913"))
    await rig.visits(1)
    assert rig.door.count(GetLog) == 0
    await visited(rig, 2)
    assert rig.door.count(GetLog) > 0


async def test_what_happened_since_the_lock_was_met_is_news_although_never_read(rig: Rig) -> None:
    rig.door.opens("314159")
    await rig.clock.advance(1)  # records are stamped in whole seconds
    await rig.final(await rig.add("482913"))
    await rig.visits(1)
    rig.door.opens("271828")
    await visited(rig, 2)
    assert [told["record"] for told in await rig.events()] == [2]


async def test_a_position_kept_by_an_older_agent_is_taken_up(rig: Rig) -> None:
    await visited(rig, 1)
    kept = await position(rig)
    del kept["met_at"]
    await rig.journal.remember_lock(LOCK, LOG, kept, rig.clock.now())
    rig.door.opens("314159")
    await visited(rig, 2)
    assert await rig.events() == []
    rig.door.opens("271828")
    await visited(rig, 3)
    assert len(await rig.events()) == 1


async def test_the_bookmark_of_the_owners_app_is_left_alone(rig: Rig) -> None:
    rig.door.opens("314159")
    await visited(rig, 1)
    await visited(rig, 2)
    cursors = [each.cursor for each in rig.door.arrived if isinstance(each, GetLog)]
    assert cursors[0] == 0
    assert UNREAD not in cursors
    assert rig.door.lock.memory.log.bookmark == 0


async def test_an_event_told_again_is_recognised_by_its_id(tmp_path: Path) -> None:
    """The cursor and the events are one transaction; only a journal from a backup repeats them."""
    (tmp_path / "a").mkdir()
    async with rig_at(tmp_path / "a") as rig:
        await visited(rig, 1)
        image = rig.image(tmp_path / "b")
        rig.door.opens("271828")
        await visited(rig, 2)
        first = await rig.events()
        door = rig.door
    again = await start_rig(image, door)
    try:
        await visited(again, 1)
        assert [each["id"] for each in await again.events()] == [each["id"] for each in first]
    finally:
        await again.stop()


async def test_a_long_history_takes_several_visits(rig: Rig) -> None:
    for _ in range(30):
        for _ in range(4):
            rig.door.opens("271828")
        rig.door.opens("1123334")
    await visited(rig, 1)
    await visited(rig, 2)
    where = await position(rig)
    assert (where["cursor"], where["is_history"]) == (101, True)
    await visited(rig, 3)
    assert await rig.events() == []
    rig.door.opens("271828")
    await visited(rig, 4)
    (told,) = await rig.events()
    assert told["record"] == 151


async def test_numbers_that_start_again_are_followed(rig: Rig) -> None:
    await visited(rig, 1)
    log = rig.door.lock.memory.log
    rig.door.lock._body.change(log=replace(log, written=LAST_LOG_NUMBER - 1))
    await rig.journal.remember_lock(
        LOCK,
        LOG,
        (await position(rig)) | {"cursor": LAST_LOG_NUMBER},
        rig.clock.now(),
    )
    for number in (2, 3):
        rig.door.opens("271828")
        rig.door.opens("1123334")
        await visited(rig, number)
    told = [each["record"] for each in await rig.events()]
    assert told[1:] == [1, 2, 3]
    assert (await position(rig))["cursor"] == 4


async def test_a_lock_with_new_keys_has_a_new_log(tmp_path: Path) -> None:
    door = Door(ManualClock())
    for _ in range(3):
        door.opens("271828")
    rig = await start_rig(tmp_path, door)
    await visited(rig, 1)
    await rig.stop()
    keys = replace(KEYS, aes_key=bytes(range(16)))
    memory = door.lock.memory
    assert memory.administrator is not None
    door.lock._body.change(
        administrator=replace(memory.administrator, aes_key=keys.aes_key),
        log=type(memory.log)(),
    )
    door.opens("314159")
    rig = await start_rig(tmp_path, door, keys=keys)
    try:
        await visited(rig, 1)
        assert (await position(rig))["cursor"] == 2
    finally:
        await rig.stop()


# One passcode looked up.


def generated(digits: str, **changes: Any) -> StoredPasscode:
    passcode = StoredPasscode(
        passcode_type=PasscodeType.PERMANENT,
        passcode=digits,
        original_passcode=digits,
        valid_from=PERMANENT_FROM,
        is_cloud_generated=True,
    )
    return replace(passcode, **changes)


async def check(rig: Rig, passcode: str, number: int, **more: Any) -> dict[str, Any]:
    job = await rig.final(
        await rig.ask("passcode.check", passcode=passcode, id=f"check-{number}", **more)
    )
    assert job.state is JobState.DONE
    assert job.result is not None
    return job.result


async def test_a_generated_passcode_is_not_listable_before_its_first_use(tmp_path: Path) -> None:
    clock = ManualClock()
    start = (clock.now().replace(tzinfo=None)).replace(hour=0)
    async with rig_at(
        tmp_path, Door(clock, stored=[generated("60215512", valid_from=start)])
    ) as rig:
        found = await check(rig, "60215512", 1, generated=True)
        assert (found["found"], found["opened_at"]) == ("not_listable", None)
        assert rig.door.opens("60215512")
        found = await check(rig, "60215512", 2, generated=True)
        assert found["found"] == "listed"
        assert found["opened_at"] == clock.now().isoformat(timespec="seconds")


async def test_the_log_is_evidence_for_what_no_list_shows(rig: Rig) -> None:
    assert not rig.door.opens("60215512")
    found = await check(rig, "60215512", 1, generated=True)
    assert found["found"] == "not_listable"
    assert (found["refusal"], found["refused_at"]) == (
        "wrong_passcode",
        rig.clock.now().isoformat(timespec="seconds"),
    )
    assert (await check(rig, "771204", 2))["found"] == "absent"
    await rig.final(await rig.add("482913"))
    assert (await check(rig, "482913", 3))["found"] == "listed"
