"""The stage of field case 2: a furnished lock and the agent beside it, each a process of its own.

Both can be killed as a power cut does, and started again from what is on the disk.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import yaml

from ttlock_agent.clock import Clock
from ttlock_agent.control.client import call
from ttlock_agent.control.messages import Result
from ttlock_agent.demo.processes import StageFailed, run_process, wait_ready
from ttlock_agent.errors import ControlUnavailable
from ttlock_agent.keyring import encode_keys
from ttlock_agent.limits import time_limit
from ttlock_agent.service import STATUS
from ttlock_agent.virtual_lock.main import create_state
from ttlock_protocol.keys import LockKeys
from ttlock_protocol.messages.auth import PERMANENT_FROM, PERMANENT_UNTIL
from ttlock_protocol.messages.cards import CardRecord
from ttlock_protocol.messages.fingerprints import FingerprintRecord
from ttlock_protocol.messages.passage import PassageEntry
from ttlock_protocol.messages.passcodes import Cycle, CycleDays, PasscodeType
from ttlock_protocol.virtual import Memory, StoredPasscode, new_lock
from ttlock_protocol.virtual.memory import Settings

LOCK_ID: Final = "front-door"
MAC: Final = "AA:BB:CC:11:22:33"
MAC_DIGITS: Final = "112233"
ZONE: Final = ZoneInfo("Europe/Berlin")
SETUP_PASSCODE: Final = "1123334"
USED_ONCE: Final = "606060"
PASSCODES: Final = (
    (SETUP_PASSCODE, "administrator's"),
    ("555666", "permanent"),
    ("864200", "permanent, changed at the keypad"),
    ("777888", "period"),
    ("999000", "period"),
    ("303132", "cyclic, every day"),
    (USED_ONCE, "one-time, used up"),
)
CARDS: Final = (
    bytes.fromhex("01e28f3a"),
    bytes.fromhex("0a1b2c3d"),
    bytes.fromhex("04a1b2c3d4e5f680"),
)
FINGERS: Final = (bytes.fromhex("5f3a91c40007"), bytes.fromhex("5f3a91c40008"))
SETTINGS: Final = Settings(
    auto_lock_s=12, volume=5, is_passcode_shown=True, is_remote_unlock_allowed=False, switches=0x03
)
KEYS: Final = LockKeys(
    aes_key=bytes.fromhex("a1b2c3d4e5f60718293a4b5c6d7e8f90"),
    admin_secret=123456789,
    unlock_key=987654321,
)
_START_TIMEOUT_S: Final = 20.0
_POLL_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Told:
    """What a command of the technician came to."""

    exit_code: int
    body: dict[str, Any]
    said: str


class RestoreStage:
    """Starts, kills and asks; made by :func:`build_restore_stage`."""

    def __init__(self, directory: Path, stack: AsyncExitStack) -> None:
        self._directory = directory
        self._stack = stack
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self.lock_socket = directory / "lock.sock"
        self._control_socket = directory / "control.sock"
        self._config = _write_config(directory, self.lock_socket, self._control_socket)

    async def start_lock(self) -> None:
        """Give the lock power."""
        state = self._directory / "lock.json"
        process = await self._start(
            "lock", "virtual-lock", "--state", str(state), "--socket", str(self.lock_socket)
        )
        await wait_ready(process, "lock")

    async def start_agent(self) -> None:
        """Start the agent from its config file, and wait until it answers."""
        await self._start("agent", "run", "--config", str(self._config))
        try:
            async with time_limit(_START_TIMEOUT_S):
                # Nobody tells when another process has made its socket.
                while not await asyncio.to_thread(self._answers):  # noqa: ASYNC110
                    await asyncio.sleep(_POLL_S)
        except TimeoutError as error:
            raise StageFailed("The demo's agent did not start.") from error

    async def kill(self, name: str) -> None:
        """End the lock or the agent as a power cut does: at once, and without a word."""
        process = self._running.pop(name)
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        await process.wait()

    async def command(self, *arguments: str, has_json: bool = True) -> Told:
        """Run the command line as a technician does; not every command has something to print."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "ttlock_agent",
            *arguments,
            *(("--json",) if has_json else ()),
            "--socket",
            str(self._control_socket),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, said = await process.communicate()
        assert process.returncode is not None, "it has ended"
        body = json.loads(out) if out.strip() else {}
        return Told(process.returncode, body, said.decode())

    async def _start(self, name: str, *arguments: str) -> asyncio.subprocess.Process:
        process = await self._stack.enter_async_context(
            run_process(self._directory, name, "-m", "ttlock_agent", *arguments)
        )
        self._running[name] = process
        return process

    def _answers(self) -> bool:
        try:
            return any(isinstance(line, Result) for line in call(self._control_socket, STATUS))
        except ControlUnavailable:
            return False


@asynccontextmanager
async def build_restore_stage(directory: Path, clock: Clock) -> AsyncGenerator[RestoreStage]:
    """Furnish a lock in ``directory``, which exists; nothing runs yet."""
    create_state(directory / "lock.json", furnished(clock.now()))
    async with AsyncExitStack() as stack:
        yield RestoreStage(directory, stack)


def furnished(now: datetime) -> Memory:
    """Return a lock as a house has it after some years."""
    local = now.astimezone(ZONE).replace(tzinfo=None, second=0, microsecond=0)
    begin, end = local - timedelta(days=1), local + timedelta(days=3)

    def code(digits: str, kind: PasscodeType, **more: Any) -> StoredPasscode:
        return StoredPasscode(
            passcode_type=kind,
            passcode=digits,
            original_passcode=more.pop("original_passcode", digits),
            valid_from=more.pop("valid_from", PERMANENT_FROM),
            **more,
        )

    return replace(
        new_lock(
            mac=MAC,
            name="S999_332211",
            keys=KEYS,
            now=now,
            zone=ZONE,
            admin_passcode=SETUP_PASSCODE,
        ),
        passcodes=(
            code("555666", PasscodeType.PERMANENT),
            code("864200", PasscodeType.PERMANENT, original_passcode="204060"),
            code("777888", PasscodeType.PERIOD, valid_from=begin, valid_until=end),
            code("999000", PasscodeType.PERIOD, valid_from=begin, valid_until=end),
            code(
                "303132",
                PasscodeType.CYCLIC,
                valid_from=datetime.combine(local.date(), time()) - timedelta(days=30),
                cycle_number=Cycle(CycleDays.EVERY_DAY, 24).number,
            ),
            code(USED_ONCE, PasscodeType.ONE_TIME, valid_from=begin, valid_until=end),
        ),
        cards=(
            *(
                CardRecord(card_number=card, valid_from=PERMANENT_FROM, valid_until=PERMANENT_UNTIL)
                for card in CARDS[:-1]
            ),
            CardRecord(card_number=CARDS[-1], valid_from=begin, valid_until=end),
        ),
        fingerprints=tuple(
            FingerprintRecord(
                fingerprint=finger, valid_from=PERMANENT_FROM, valid_until=PERMANENT_UNTIL
            )
            for finger in FINGERS
        ),
        passage=(PassageEntry(day=7, starts_at=time(10), ends_at=time(12)),),
        settings=SETTINGS,
    )


def _write_config(directory: Path, lock_socket: Path, control_socket: Path) -> Path:
    keys = directory / "front-door.keys.json"
    keys.touch(mode=0o600)
    keys.write_bytes(encode_keys(KEYS))
    config = {
        "agent": {
            "id": "demo",
            "state_directory": str(directory / "state"),
            "control_socket": str(control_socket),
        },
        # Nobody is there: the technician talks to the agent itself, broker or not.
        "mqtt": {"host": "127.0.0.1", "port": 1},
        "locks": [
            {
                "id": LOCK_ID,
                "address": f"virtual:{lock_socket}",
                "time_zone": ZONE.key,
                "keys": "file:front-door.keys.json",
                "quirks": {"switches_are_verified": True},
            }
        ],
    }
    path = directory / "agent.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return path
