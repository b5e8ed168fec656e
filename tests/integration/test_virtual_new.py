"""A lock for somebody who has none: made from nothing, run alone, and spoken to with its keys."""

from __future__ import annotations

import asyncio
import json
import signal
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from ttlock_agent.cli.main import cli
from ttlock_agent.clock import SystemClock
from ttlock_agent.errors import ConfigError, OutcomeUnknown
from ttlock_agent.keyfile import choose, read_key_file
from ttlock_agent.link.virtual import VirtualLinkFactory
from ttlock_agent.lock.visit import LockProfile, visit_lock
from ttlock_agent.virtual_lock.main import read_faults
from ttlock_agent.virtual_lock.new import create_factory_lock, create_paired_lock
from ttlock_agent.virtual_lock.state_file import StateFile
from ttlock_protocol.keyfiles import Item
from ttlock_protocol.messages.passcodes import AddPasscode, PasscodeType
from ttlock_protocol.virtual import FaultAction

NOW = datetime(2026, 3, 14, 9, 0, tzinfo=UTC)
ADD = AddPasscode(passcode_type=PasscodeType.PERMANENT, passcode="135790")
LOSE_ANSWER = {"faults": [{"action": "lose", "at": "answer", "request": "AddPasscode", "nth": 1}]}


@pytest.fixture
def paired(tmp_path: Path) -> tuple[Path, Path]:
    """The state of a new lock, and its keys."""
    state, keys = tmp_path / "door.json", tmp_path / "keys.json"
    create_paired_lock(state, keys, now=NOW, zone=UTC)
    return state, keys


@asynccontextmanager
async def running(*options: str | Path) -> AsyncIterator[None]:
    """The command as a user types it, until the lock can be reached."""
    command = [sys.executable, "-m", "ttlock_agent", "virtual-lock", *map(str, options)]
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert json.loads(await process.stdout.readline())["event"] == "ready"
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0


def profile(keys: Path, socket: Path) -> LockProfile:
    address = f"virtual:{socket}"
    return LockProfile(
        id="door",
        address=address,
        zone=UTC,
        keys=choose(read_key_file(keys), address).keys,
        clock_tolerance_s=60,
        response_timeout_s=0.5,
    )


async def test_one_command_makes_a_lock_and_runs_it(tmp_path: Path) -> None:
    state, keys = tmp_path / "door.json", tmp_path / "keys.json"
    faults = tmp_path / "faults.json"
    faults.write_text(json.dumps(LOSE_ANSWER))
    links = VirtualLinkFactory(tmp_path, clock=SystemClock())
    async with running("--state", state, "--new", keys, "--faults", faults):
        door = profile(keys, tmp_path / "door.json.sock")
        async with visit_lock(links, door, SystemClock()) as visit:
            reading = await visit.read_clock()
            with pytest.raises(OutcomeUnknown):
                await visit.ask(ADD)
            listed = await visit.passcodes(is_fresh=True)
    assert reading is not None
    assert [each.passcode for each in listed if hasattr(each, "passcode")] == ["135790"]
    with StateFile(state) as file:
        assert len(file.load().passcodes) == 1


def test_its_keys_are_a_key_file_for_its_owner_alone(paired: tuple[Path, Path]) -> None:
    state, keys = paired
    assert stat.S_IMODE(keys.stat().st_mode) == 0o600
    key = choose(read_key_file(keys), "virtual:door.sock")
    assert {Item.MAC, Item.UNLOCK_KEY, Item.ADMIN_SECRET, Item.ADMIN_PASSCODE} <= key.items
    with StateFile(state) as file:
        memory = file.load()
    assert (memory.mac, memory.name) == (key.mac, key.name)
    assert memory.admin_passcode == key.admin_passcode
    assert (
        memory.name.removeprefix("S999_")
        == bytes.fromhex(memory.mac.replace(":", ""))[:-4:-1].hex()
    )
    assert memory.clock.read(NOW) == NOW.replace(tzinfo=None)


def test_nothing_that_is_there_is_overwritten(paired: tuple[Path, Path], tmp_path: Path) -> None:
    state, keys = paired
    before = state.read_bytes(), keys.read_bytes()
    with pytest.raises(ConfigError, match="key file"):
        create_paired_lock(tmp_path / "other.json", keys, now=NOW, zone=UTC)
    with pytest.raises(ConfigError, match="state file"):
        create_paired_lock(state, tmp_path / "other.json", now=NOW, zone=UTC)
    with pytest.raises(ConfigError, match="state file"):
        create_factory_lock(state, now=NOW, zone=UTC)
    assert (state.read_bytes(), keys.read_bytes()) == before
    assert sorted(tmp_path.iterdir()) == [state, keys]


def test_two_locks_have_nothing_in_common(paired: tuple[Path, Path], tmp_path: Path) -> None:
    create_paired_lock(tmp_path / "b.json", tmp_path / "b-keys.json", now=NOW, zone=UTC)
    first, second = (json.loads(each.read_text()) for each in (paired[1], tmp_path / "b-keys.json"))
    assert first.keys() == second.keys()
    assert not [name for name in first if first[name] == second[name]]


def test_a_factory_lock_has_no_administrator(tmp_path: Path) -> None:
    create_factory_lock(tmp_path / "door.json", now=NOW, zone=UTC)
    with StateFile(tmp_path / "door.json") as file:
        assert file.load().administrator is None


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ('{"faults": [{"action": "sing", "at": "answer"}]}', "cannot be used"),
        (None, "cannot be read"),
    ],
)
def test_a_fault_plan_that_is_none_is_named(tmp_path: Path, content: str | None, says: str) -> None:
    file = tmp_path / "faults.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigError, match=says):
        read_faults(file)


def test_a_fault_plan_is_at_work_from_the_start(tmp_path: Path) -> None:
    file = tmp_path / "faults.json"
    file.write_text(json.dumps(LOSE_ANSWER))
    assert [each.action for each in read_faults(file).plan.faults] == [FaultAction.LOSE]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--state a --state b --socket c", "its own --socket"),
        ("--state a --state b --new c", "for a single lock"),
        ("--state a --state b --factory", "for a single lock"),
        ("--state a --new b --factory", "not both"),
        ("--state a --faults b --transport uart", "not for one on the air"),
    ],
)
def test_what_does_not_go_together_is_refused(options: str, says: str) -> None:
    ran = CliRunner().invoke(cli, ["virtual-lock", *options.split()])
    assert ran.exit_code == 2
    assert says in ran.output
