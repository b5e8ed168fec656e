"""The lock under test: one of the agent's configuration, or a virtual one made up for this run.

The suite takes the lock's radio for itself. It opens the agent's own journal, whose file lock the
service holds while it runs: so both can never own the radio, and keys come from the agent's vault.
"""

from __future__ import annotations

import asyncio
import io
import os
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import msgspec
import yaml

from ttlock_agent.clock import Clock
from ttlock_agent.config import Config, load_config
from ttlock_agent.config.values import SecretSource
from ttlock_agent.errors import ConfigError, JournalError, JournalLocked, JournalProblem
from ttlock_agent.jobs.store import Journal
from ttlock_agent.keyring import Keyring
from ttlock_agent.link import LinkFactory
from ttlock_agent.link.adapters import Adapters
from ttlock_agent.link.start import link_factory
from ttlock_agent.link.virtual import ADDRESS_PREFIX, VirtualLinkFactory
from ttlock_agent.lock.visit import LockProfile
from ttlock_agent.locks import Locks
from ttlock_agent.vault import Vault, load_master_key
from ttlock_agent.virtual_lock.main import serve
from ttlock_agent.virtual_lock.new import create_paired_lock
from ttlock_protocol.keys import LockKeys

_READY_S: Final = 0.02
_STATE: Final = "lock.json"
_MADE_UP_CONFIG: Final = "agent.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What the suite needs to know of the lock and the machine."""

    lock: str
    name: str
    zone: str
    profile: LockProfile
    vault: Vault
    links: Callable[[bool], LinkFactory]
    """Makes a way to the lock; the argument says whether writes are acknowledged (D38)."""
    keep_keys: Callable[[LockKeys], Awaitable[None]]
    controls: Path | None
    """Socket of a virtual lock's keypad and screws."""

    @property
    def is_virtual(self) -> bool:
        """Whether it is made of memory."""
        return self.profile.address.startswith(ADDRESS_PREFIX)


@asynccontextmanager
async def open_site(
    lock: str,
    *,
    config_file: Path,
    directory: Path,
    clock: Clock,
    register_secret: Callable[[str], None],
) -> AsyncGenerator[Site]:
    """Own the lock while the context lasts; ``directory`` is the run's.

    ``lock`` is an id of the configuration, or ``virtual:NAME`` for a lock that is made up. Raises
    ``ConfigError``, ``JournalLocked`` while the service runs, and ``VaultError``.
    """
    async with AsyncExitStack() as stack:
        if lock.startswith(ADDRESS_PREFIX):
            name = lock.removeprefix(ADDRESS_PREFIX)
            config = await stack.enter_async_context(_made_up(name, directory, clock))
            lock = name
        else:
            config = _outside_the_service(load_config(config_file))
        found = next((each for each in config.locks if each.id == lock), None)
        if found is None:
            known = ", ".join(each.id for each in config.locks)
            raise ConfigError(
                f"No lock of the configuration is called {lock}.",
                hint=f"It has {known}; virtual:NAME makes a lock up.",
            )
        journal, vault = await _own_journal(config, clock)
        stack.push_async_callback(journal.close)
        locks = Locks(config, Keyring(journal), register_secret=register_secret)
        await locks.load()
        profile = locks.profiles.get(lock)
        if profile is None:
            raise ConfigError(
                f"The agent has no keys of {lock}.",
                hint="Start the service and run `ttlock-agent keys import`, then stop it again.",
            )
        controls = None
        if profile.address.startswith(ADDRESS_PREFIX):
            directory_of_sockets = Path(os.environ.get("RUNTIME_DIRECTORY", "/run/ttlock-agent"))
            controls = VirtualLinkFactory(directory_of_sockets, clock=clock).socket_path(
                profile.address
            )
        yield Site(
            lock=lock,
            name=found.name or lock,
            zone=found.time_zone.key,
            profile=profile,
            vault=vault,
            links=lambda is_acknowledged: link_factory(
                _only(config, lock, is_acknowledged=is_acknowledged), clock, Adapters()
            ),
            keep_keys=lambda keys: locks.put_keys(lock, keys),
            controls=controls,
        )


def _outside_the_service(config: Config) -> Config:
    """Return ``config`` without the keys that systemd hands to the service alone.

    The vault has them: the service took them when it started.
    """
    return msgspec.structs.replace(
        config,
        locks=tuple(
            msgspec.structs.replace(lock, keys=None)
            if lock.keys is not None
            and lock.keys.source is SecretSource.CREDENTIAL
            and lock.keys.path() is None
            else lock
            for lock in config.locks
        ),
    )


def _only(config: Config, lock: str, *, is_acknowledged: bool) -> Config:
    """Return ``config`` with this lock alone."""
    kept = next(each for each in config.locks if each.id == lock)
    quirks = msgspec.structs.replace(kept.quirks, writes_with_response=is_acknowledged)
    return msgspec.structs.replace(config, locks=(msgspec.structs.replace(kept, quirks=quirks),))


async def _own_journal(config: Config, clock: Clock) -> tuple[Journal, Vault]:
    state = config.agent.state_directory
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        credentials = os.environ.get("CREDENTIALS_DIRECTORY")
        vault = Vault(load_master_key(state, Path(credentials) if credentials else None))
    except OSError as error:
        raise JournalError(
            f"The state directory {state} cannot be used: {error.strerror}.",
            problem=JournalProblem.NOT_WRITABLE,
            hint="Run this as the agent's user: sudo -u ttlock-agent ttlock-agent hil ...",
        ) from error
    try:
        return await Journal.open(state, vault, clock), vault
    except JournalLocked as error:
        raise JournalLocked(
            "The agent's service runs and owns the radio.",
            hint="Stop it first: sudo systemctl stop ttlock-agent. Afterwards start it again.",
        ) from error


@asynccontextmanager
async def _made_up(name: str, directory: Path, clock: Clock) -> AsyncGenerator[Config]:
    """Run a virtual lock in this process, and configure an agent for it; both stay in the run."""
    state, keys = directory / _STATE, directory / "lock-keys.json"
    if not state.exists():
        create_paired_lock(state, keys, now=clock.now(), zone=ZoneInfo("UTC"))
    with tempfile.TemporaryDirectory(prefix="hil-") as place:
        socket = Path(place) / "lock.sock"
        config = {
            "agent": {"id": "hil", "state_directory": str(directory / "state")},
            "mqtt": {"host": "127.0.0.1"},
            "bluetooth": {"connect_timeout_s": 4, "response_timeout_s": 3},
            "locks": [
                {
                    "id": name,
                    "address": f"{ADDRESS_PREFIX}{socket}",
                    "time_zone": "UTC",
                    "keys": f"file:{keys.name}",
                }
            ],
        }
        file = directory / _MADE_UP_CONFIG
        file.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
        serving = asyncio.create_task(serve(state, socket, clock, out=io.StringIO()))
        try:
            while not socket.exists():
                if serving.done():
                    serving.result()
                await clock.sleep(_READY_S)
            yield load_config(file)
        finally:
            serving.cancel()
            with suppress(asyncio.CancelledError):
                await serving
