"""An agent of its own, in a process that may be killed: what the service does, without the service.

It has a state directory inside the run's, the lock under test and nothing else, and no broker. It
speaks to the lock only while this context lasts; nobody else may do that meanwhile.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import yaml

from ttlock_agent.clock import Clock
from ttlock_agent.control.client import call
from ttlock_agent.control.messages import Failure, Result
from ttlock_agent.errors import ControlUnavailable
from ttlock_agent.jobs.store import Journal
from ttlock_agent.keyring import Keyring, encode_keys
from ttlock_agent.lock.visit import LockProfile
from ttlock_agent.vault import Vault, load_master_key
from ttlock_protocol.keys import LockKeys
from ttlock_protocol.quirks import NO_QUIRKS, Quirks

from .model import CheckFailed

LOCK: Final = "lock"
_KEYS: Final = "TTLOCK_HIL_KEYS"
_START_S: Final = 120.0
_POLL_S: Final = 0.05
_UNLIMITED: Final = 100_000
_DAY_S: Final = 86400


class Box:
    """One agent; :meth:`ask` is its control socket."""

    def __init__(self, directory: Path, profile: LockProfile, zone: str, clock: Clock) -> None:
        """Keep its state in ``directory``, over any number of lives."""
        self.directory = directory
        self._profile = profile
        self._zone = zone
        self._clock = clock
        self._socket: Path | None = None
        self._process: asyncio.subprocess.Process | None = None

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Have it running while the context lasts; what is left of it then is ended."""
        async with AsyncExitStack() as stack:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Sockets have short names, and runs are kept in deep directories.
            place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hil-")))
            self._socket = place / "c.sock"
            self._write_config()
            stack.push_async_callback(self.stop)
            await self.start()
            yield

    async def start(self) -> None:
        """Begin a life; returns once it answers."""
        environment = {
            name: value
            for name, value in os.environ.items()
            if name not in ("CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_USEC")
        } | {_KEYS: encode_keys(self._profile.keys).decode()}
        command = ["-m", "ttlock_agent", "run", "--config", str(self._config)]
        with (self.directory / "agent.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, *command, "--alone", str(self._socket),
                # Its end is the agent's: were this process killed, two would own the radio.
                stdin=asyncio.subprocess.PIPE, stdout=log, stderr=log, env=environment,
            )  # fmt: skip
        until_s = self._clock.monotonic() + _START_S
        while self._clock.monotonic() < until_s and self._process.returncode is None:
            with suppress(ControlUnavailable):
                await self._call("status", {})
                return
            await self._clock.sleep(_POLL_S)
        raise CheckFailed(f"The agent does not start; see {self.directory / 'agent.log'}.")

    async def kill(self) -> None:
        """End it as a power cut would."""
        await self._end(self._process.kill if self._process is not None else None)

    async def stop(self) -> None:
        """Have it end in order."""
        await self._end(self._process.terminate if self._process is not None else None)

    async def _end(self, how: Any) -> None:
        process, self._process = self._process, None
        if process is None or how is None:
            return
        with suppress(ProcessLookupError):
            how()
        await process.wait()

    async def ask(self, verb: str, request_id: str, **request: Any) -> dict[str, Any]:
        """Return the final answer; raises ``CheckFailed`` for anything but "done"."""
        body = await self._call(verb, {"id": request_id, "lock": LOCK, **request})
        if body.get("status") != "done":
            error = body.get("error", {})
            raise CheckFailed(
                f"{verb}: {error.get('message', body.get('status'))} ({error.get('code')})"
            )
        return body

    async def _call(self, verb: str, request: dict[str, Any]) -> dict[str, Any]:
        assert self._socket is not None, "it runs"
        return await asyncio.to_thread(_call, self._socket, verb, request)

    async def keys(self) -> LockKeys | None:
        """Return the lock's keys as this agent knows them; only while it does not run."""
        assert self._process is None, "its journal has one owner"
        state = self.directory / "state"
        if not state.is_dir():
            return None
        vault = Vault(load_master_key(state, None))
        async with await Journal.open(state, vault, self._clock) as journal:
            keyring = Keyring(journal)
            return await keyring.get(LOCK) or await keyring.pending(LOCK)

    @property
    def _config(self) -> Path:
        return self.directory / "agent.yaml"

    def _write_config(self) -> None:
        profile = self._profile
        config: dict[str, Any] = {
            "agent": {
                "id": "hil",
                "state_directory": str(self.directory / "state"),
            },
            "mqtt": {"host": "127.0.0.1"},
            "bluetooth": {
                "connect_timeout_s": max(1, round(profile.connect_timeout_s)),
                "response_timeout_s": max(1, round(profile.response_timeout_s)),
                **({"adapters": [profile.adapter]} if profile.adapter else {}),
            },
            "locks": [
                {
                    "id": LOCK,
                    "address": profile.address,
                    "time_zone": self._zone,
                    "keys": f"env:{_KEYS}",
                    "quirks": changed_quirks(profile.quirks),
                    # The run's own budget counts, not a day's.
                    "connections_per_day": _UNLIMITED,
                    "connected_s_per_day": _DAY_S,
                }
            ],
        }
        self._config.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")


def changed_quirks(quirks: Quirks) -> dict[str, bool | str]:
    """Return the settings of ``quirks`` that are not the default, as the configuration has them."""
    found: dict[str, bool | str] = {}
    for name in quirks.__slots__:
        value = getattr(quirks, name)
        if value != getattr(NO_QUIRKS, name):
            found[name] = value.decode("ascii") if isinstance(value, bytes) else value
    return found


def _call(socket: Path, verb: str, request: dict[str, Any]) -> dict[str, Any]:
    for line in call(socket, verb, request):
        if isinstance(line, Result):
            return line.body
        if isinstance(line, Failure):
            raise CheckFailed(f"{verb}: {line.message}")
    raise ControlUnavailable("The agent ended before it answered.")
