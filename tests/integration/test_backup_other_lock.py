"""Field case 2 with another lock in the end, which can less and holds less; by the command line."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ttlock_agent.clock import SystemClock
from ttlock_agent.demo.restore_stage import (
    LOCK_ID,
    PASSCODES,
    USED_ONCE,
    RestoreStage,
    build_restore_stage,
)
from ttlock_agent.errors import EX_OK, EX_REJECTED
from ttlock_agent.virtual_lock.control import VirtualLockControl
from ttlock_agent.virtual_lock.main import create_state
from ttlock_protocol.features import Feature
from ttlock_protocol.virtual import Memory
from ttlock_protocol.virtual.memory import Capacity

pytestmark = pytest.mark.timeout(300)

OTHER_MAC = "AA:BB:CC:44:55:66"
GONE = (Feature.CARD, Feature.FINGERPRINT, Feature.PASSAGE_MODE, Feature.RECOVER_CYCLIC_PASSCODE)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[RestoreStage]:
    async with build_restore_stage(tmp_path, SystemClock()) as stage:
        await stage.start_lock()
        await stage.start_agent()
        yield stage


async def exchange(stage: RestoreStage, directory: Path, **changes: Any) -> Memory:
    """Put another lock, empty and paired with the same keys, into the door; return the old one."""
    async with VirtualLockControl(stage.lock_socket) as lock:
        old = await lock.memory()
    await stage.kill("lock")
    (directory / "lock.json").unlink()
    new = replace(
        old,
        mac=OTHER_MAC,
        passcodes=(),
        cards=(),
        fingerprints=(),
        passage=(),
        admin_passcode="7654321",
        **changes,
    )
    create_state(directory / "lock.json", new)
    await stage.start_lock()
    return old


async def memory_of(stage: RestoreStage) -> Memory:
    async with VirtualLockControl(stage.lock_socket) as lock:
        return await lock.memory()


async def test_a_lock_with_fewer_functions_and_less_memory(
    stage: RestoreStage, tmp_path: Path
) -> None:
    made = await stage.command("backup", "create", LOCK_ID)
    backup = made.body["backup"]
    features = (await memory_of(stage)).features
    fewer = tuple(each for each in features if each not in GONE)
    await exchange(stage, tmp_path, features=fewer, capacity=Capacity(passcodes=3))
    before = await memory_of(stage)

    # Not by mistake: every command that writes, or that people trust, names the other lock.
    for command in (
        ("restore", LOCK_ID, backup),
        ("restore", LOCK_ID, backup, "--dry-run"),
        ("backup", "verify", backup, "--lock", LOCK_ID),
        ("lock", "reset", LOCK_ID, "--backup", backup, "--mac-digits", "445566"),
    ):
        told = await stage.command(*command)
        assert (told.exit_code, told.body["error"]["code"]) == (EX_REJECTED, "backup_other_lock")
    assert (await memory_of(stage)).passcodes == before.passcodes

    # Said before: what this lock has no function for, and in words for people, too.
    onto = ("restore", LOCK_ID, backup, "--onto-another-lock")
    rehearsed = await stage.command(*onto, "--dry-run")
    assert rehearsed.exit_code == EX_OK, rehearsed.said
    reasons = {each["reason"] for each in rehearsed.body["not_restorable"]}
    assert reasons == {
        "This lock has no cards.",
        "This lock has no passage mode.",
        "This lock has no way to take cyclic passcodes back.",
    }
    assert rehearsed.body["fingerprints"]["count"] == 2
    assert (await memory_of(stage)).passcodes == ()

    # Done as far as it goes, and not called whole.
    done = await stage.command(*onto)
    assert (done.exit_code, done.body["error"]["code"]) == (EX_REJECTED, "restore_incomplete")
    assert {each["item"] for each in done.body["failed"]} == {"passcodes"}
    assert len(done.body["failed"]) == 2
    held = await memory_of(stage)
    assert len(held.passcodes) == 3
    assert held.settings.auto_lock_s == 12
    assert held.admin_passcode == PASSCODES[0][0]

    # Known by now, said the next time; with room made, the same command ends what it began.
    again = await stage.command(*onto, "--dry-run")
    assert again.body["may_not_fit"] == {"passcodes": 3}
    assert len(again.body["would_restore"]) == 2
    await stage.kill("lock")
    (tmp_path / "lock.json").unlink()
    create_state(tmp_path / "lock.json", replace(held, capacity=Capacity()))
    await stage.start_lock()
    done = await stage.command(*onto)
    assert done.exit_code == EX_OK, done.said
    assert len(done.body["restored"]) == 2
    assert len((await memory_of(stage)).passcodes) == 5


async def test_an_equal_lock_gets_all_but_the_fingers(stage: RestoreStage, tmp_path: Path) -> None:
    made = await stage.command("backup", "create", LOCK_ID)
    old = await exchange(stage, tmp_path)
    done = await stage.command("restore", LOCK_ID, made.body["backup"], "--onto-another-lock")
    assert done.exit_code == EX_OK, done.said
    new = await memory_of(stage)
    assert {each.record for each in new.passcodes} == {each.record for each in old.passcodes}
    assert set(new.cards) == set(old.cards)
    assert (new.passage, new.settings) == (old.passage, old.settings)
    async with VirtualLockControl(stage.lock_socket) as lock:
        for digits, _ in PASSCODES:
            if digits != USED_ONCE:
                assert (await lock.type_code(digits)).is_opened
    assert "AA:BB" not in json.dumps(done.body)
