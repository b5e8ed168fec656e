"""The technician's commands against a running agent and a virtual lock, each a process."""

import asyncio
import json
import random
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ttlock_agent.clock import SystemClock
from ttlock_agent.demo.restore_stage import (
    CARDS,
    LOCK_ID,
    MAC_DIGITS,
    PASSCODES,
    USED_ONCE,
    RestoreStage,
    build_restore_stage,
)
from ttlock_agent.errors import EX_NO_PERMISSION, EX_OK, EX_REJECTED, EX_USAGE
from ttlock_agent.virtual_lock.control import VirtualLockControl
from ttlock_protocol.messages.cards import card_to_decimal
from ttlock_protocol.virtual import Fault, FaultAction, FaultPlan, FaultPoint, Memory

pytestmark = pytest.mark.timeout(180)

PASSPHRASE = "correct horse battery"
SECRETS = [
    PASSPHRASE,
    *(digits for digits, _ in PASSCODES),
    "a1b2c3d4e5f60718293a4b5c6d7e8f90",
    *(card.hex() for card in CARDS),
    *(card_to_decimal(card) for card in CARDS),
]
SEED = 20261122
RADIO_DELAY_S = 0.02


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[RestoreStage]:
    async with build_restore_stage(tmp_path, SystemClock()) as stage:
        await stage.start_lock()
        await stage.start_agent()
        yield stage


async def memory_of(stage: RestoreStage) -> Memory:
    async with VirtualLockControl(stage.lock_socket) as lock:
        return await lock.memory()


async def test_every_bad_file_has_a_name_and_leaves_the_lock_alone(
    stage: RestoreStage, tmp_path: Path
) -> None:
    phrase, wrong, copy = tmp_path / "phrase", tmp_path / "wrong", tmp_path / "copy.backup"
    phrase.write_text(f"{PASSPHRASE}\n")
    wrong.write_text("wrong battery staple\n")
    asked = ("--passphrase-file", str(phrase))
    made = await stage.command("backup", "create", LOCK_ID, *asked, "--output", str(copy))
    assert made.exit_code == EX_OK, made.said
    again = await stage.command("backup", "create", LOCK_ID, *asked, "--output", str(copy))
    assert again.exit_code == EX_USAGE  # the file is there already
    checked = await stage.command("backup", "verify", str(copy), *asked)
    assert (checked.exit_code, checked.body["backup"]) == (EX_OK, made.body["backup"])
    compared = await stage.command("backup", "verify", str(copy), "--lock", LOCK_ID, *asked)
    assert (compared.exit_code, compared.body["agrees"]) == (EX_OK, True)

    raw = copy.read_bytes()
    bad = tmp_path / "bad.backup"
    flipped = bytearray(raw)
    flipped[len(raw) // 2] ^= 4
    newer = raw.replace(b'{"format":1', b'{"format":9', 1)
    before = await memory_of(stage)
    for content, opener, name in (
        (raw, wrong, "does not open this backup"),
        (raw[:-20], phrase, "cut off"),
        (bytes(flipped), phrase, "damaged"),
        (newer, phrase, "damaged"),
        (b"PK\x03\x04", phrase, "no backup of ttlock-agent"),
    ):
        bad.write_bytes(content)
        for command in (
            ("backup", "verify", str(bad)),
            ("restore", LOCK_ID, str(bad)),
            ("lock", "reset", LOCK_ID, "--backup", str(bad), "--mac-digits", MAC_DIGITS),
        ):
            told = await stage.command(*command, "--passphrase-file", str(opener))
            assert told.exit_code == EX_REJECTED, (command, told)
            assert name in told.said
    after = await memory_of(stage)
    assert after.passcodes == before.passcodes
    assert after.administrator == before.administrator
    said = [made, again, checked, compared]
    assert_no_secret(tmp_path, *(told.said + json.dumps(told.body) for told in said))


async def test_a_wrong_file_has_a_name_before_anything_is_done(
    stage: RestoreStage, tmp_path: Path
) -> None:
    latin = tmp_path / "latin"
    latin.write_bytes(b"correct h\xf6rse battery\n")
    create = ("backup", "create", LOCK_ID)
    for command, exit_code, name in (
        ((*create, "--passphrase-file", "/nowhere"), EX_USAGE, "No such file"),
        ((*create, "--passphrase-file", str(latin)), EX_USAGE, "no UTF-8 text"),
        ((*create, "--output", "/nowhere/copy"), EX_USAGE, "/nowhere is not there"),
        (("backup", "export", "nothing", "/nowhere/copy"), EX_USAGE, "/nowhere is not there"),
        (("backup", "export", "nothing", str(tmp_path / "copy")), EX_REJECTED, "no backup of that"),
        (("backup", "verify", "./copy"), EX_REJECTED, "There is no file ./copy"),
        (("restore", LOCK_ID, str(tmp_path)), EX_REJECTED, "There is no file"),
        (("enrol", LOCK_ID, "--give-up-app", "--admin-passcode-file", str(latin)), EX_USAGE, "UTF"),
    ):
        told = await stage.command(*command, has_json="export" not in command)
        assert told.exit_code == exit_code, (command, told)
        assert name in told.said, (command, told)
        assert "Traceback" not in told.said
    assert (await stage.command("backup", "list")).body["backups"] == []


async def test_a_copy_that_the_disk_does_not_take_is_none_and_can_be_had_again(
    stage: RestoreStage, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.backup"
    made = await stage.command("backup", "create", LOCK_ID)
    export = ("backup", "export", made.body["backup"])
    # A limit on the size of files stands for a full disk.
    process = await asyncio.create_subprocess_exec(
        "prlimit", "--fsize=100", sys.executable, "-m", "ttlock_agent", *export, str(copy),
        "--socket", str(tmp_path / "control.sock"), stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, said = await process.communicate()
    assert process.returncode == EX_REJECTED, said
    assert b"cannot be written: File too large" in said
    assert b"backup export" in said
    assert not copy.exists()
    done = await stage.command(*export, str(copy), has_json=False)
    assert done.exit_code == EX_OK, done.said
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    compared = await stage.command("backup", "verify", str(copy), "--lock", LOCK_ID)
    assert compared.body["agrees"] is True


async def test_a_difference_is_an_exit_code(stage: RestoreStage) -> None:
    made = await stage.command("backup", "create", LOCK_ID)
    backup = made.body["backup"]
    async with VirtualLockControl(stage.lock_socket) as lock:
        await lock.press_reset()
    compared = await stage.command("backup", "verify", backup, "--lock", LOCK_ID)
    assert compared.exit_code == EX_NO_PERMISSION
    assert compared.body["error"]["code"] == "keys_rejected"
    enrolled = await stage.command("enrol", LOCK_ID, "--give-up-app")
    assert enrolled.exit_code == EX_OK, enrolled.said
    compared = await stage.command("backup", "verify", backup, "--lock", LOCK_ID)
    assert (compared.exit_code, compared.body["agrees"]) == (EX_REJECTED, False)
    assert compared.body["error"]["code"] == "backup_stale"


async def test_what_cannot_be_undone_is_asked_for_twice(stage: RestoreStage) -> None:
    """Without a terminal and without the options that confirm, nothing happens."""
    made = await stage.command("backup", "create", LOCK_ID)
    backup = made.body["backup"]
    before = await memory_of(stage)
    for command in (
        ("enrol", LOCK_ID),
        ("lock", "reset", LOCK_ID, "--backup", backup),
        ("backup", "erase", backup),
    ):
        told = await stage.command(*command)
        assert told.exit_code == EX_REJECTED, told
        assert told.body["error"]["code"] == "aborted"
    assert (await memory_of(stage)).administrator == before.administrator
    listed = await stage.command("backup", "list")
    assert [each["backup"] for each in listed.body["backups"]] == [backup]
    told = await stage.command("restore", LOCK_ID, "../../etc/passwd")
    assert told.exit_code in (EX_REJECTED, EX_USAGE)


async def test_people_are_told_in_sentences(stage: RestoreStage, tmp_path: Path) -> None:
    made = await stage.command("backup", "create", LOCK_ID)
    backup = made.body["backup"]
    said = []
    for command in (
        ("backup", "list"),
        ("backup", "verify", backup),
        ("backup", "verify", backup, "--lock", LOCK_ID),
        ("lock", "reset", LOCK_ID, "--backup", backup, "--dry-run"),
        ("restore", LOCK_ID, backup, "--dry-run"),
        ("restore", LOCK_ID, backup),
        ("backup", "erase", backup, "--yes"),
    ):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "ttlock_agent",
            *command,
            "--socket",
            str(tmp_path / "control.sock"),
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate()
        assert process.returncode == EX_OK, command
        said.append(out.decode())
    assert "listed only, for they never leave the lock" in said[1]
    assert "the lock holds what the backup says" in said[2]
    assert "What cannot come back after the reset" in said[3]
    assert "nothing was changed" in said[4]
    assert "items were there already" in said[5]
    assert "cannot be promised" in said[6]
    assert_no_secret(tmp_path, *said)


async def test_sigkill_at_random_moments_leaves_one_command_that_goes_on(
    stage: RestoreStage, tmp_path: Path
) -> None:
    draw = random.Random(SEED)
    made = await stage.command("backup", "create", LOCK_ID)
    backup = made.body["backup"]
    before = await memory_of(stage)
    async with VirtualLockControl(stage.lock_socket) as lock:
        delay = Fault(action=FaultAction.DELAY, at=FaultPoint.ANSWER, delay_s=RADIO_DELAY_S)
        await lock.set_faults(FaultPlan(faults=(delay,)))
    reset = ("lock", "reset", LOCK_ID, "--backup", backup, "--mac-digits", MAC_DIGITS)
    for command in (reset, ("enrol", LOCK_ID, "--give-up-app"), ("restore", LOCK_ID, backup)):
        running = asyncio.create_task(stage.command(*command))
        # Wherever it is by then: a person does not choose the moment of a power cut either.
        await asyncio.wait({running}, timeout=draw.uniform(0.6, 2.0))
        await stage.kill("agent")
        await running
        await stage.start_agent()
        told = await stage.command(*command)
        if told.exit_code != EX_OK and command is reset:
            # It was over before the power was cut, or went on by itself, and says so.
            assert "no keys" in told.said + json.dumps(told.body)
        else:
            assert told.exit_code == EX_OK, (command, told)
    after = await memory_of(stage)
    assert sorted(each.passcode for each in after.passcodes) == sorted(
        each.passcode for each in before.passcodes
    )
    assert set(after.cards) == set(before.cards)
    assert after.settings == before.settings
    async with VirtualLockControl(stage.lock_socket) as lock:
        for digits, _ in PASSCODES:
            if digits != USED_ONCE:
                assert (await lock.type_code(digits)).is_opened
    assert_no_secret(tmp_path)


async def test_the_demo_of_field_case_2(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ttlock_agent",
        "demo-restore",
        "--json",
        "--keep",
        str(tmp_path / "demo"),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    events = [json.loads(line) for line in out.splitlines()]
    assert process.returncode == EX_OK, events[-1]
    assert events[-1]["is_good"] is True
    assert len(events[-1]["fingerprints_to_enrol"]) == 2
    assert [event["event"] for event in events].count("power_cut") == 2
    assert_no_secret(tmp_path / "demo")


def assert_no_secret(directory: Path, *said: str) -> None:
    """Neither what was said, nor the agent's log, nor its state shows anything that opens."""
    texts = [text.encode() for text in said]
    texts += [path.read_bytes() for path in directory.glob("agent.log")]
    texts += [path.read_bytes() for path in (directory / "state").rglob("*") if path.is_file()]
    assert len(texts) > 3
    for text in texts:
        assert not [secret for secret in SECRETS if secret.encode() in text]
