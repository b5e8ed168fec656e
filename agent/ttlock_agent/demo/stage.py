"""The stage: everything the agent needs around it, as separate processes talking over real sockets.

Broker, cloud and lock stand in for the real ones; the agent is the real one, started from a config
file like any other.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec
import yaml

from ttlock_agent.clock import Clock
from ttlock_agent.cloud.client import CloudClient, open_cloud
from ttlock_agent.cloud.ports import MemoryStore
from ttlock_agent.cloud.quota import QuotaBudget
from ttlock_agent.cloud.token import CloudAccount
from ttlock_agent.demo.broker import BrokerProcess
from ttlock_agent.demo.processes import run_process, wait_ready
from ttlock_agent.errors import ConnectFailed
from ttlock_agent.fakes.cloud_state import (
    Account,
    Fault,
    FaultKind,
    Gateway,
    Lock,
    Sighting,
    World,
)
from ttlock_agent.keyring import encode_keys
from ttlock_agent.link.virtual import VirtualLinkFactory
from ttlock_agent.lock.visit import LockProfile, visit_lock
from ttlock_agent.virtual_lock.main import create_state
from ttlock_protocol.keys import LockKeys
from ttlock_protocol.messages.passcodes import DeletePasscode
from ttlock_protocol.virtual import new_lock
from ttlock_protocol.virtual.memory import DeviceInfo

LOCK_ID: Final = "front-door"
AGENT_ID: Final = "demo"
GATEWAY_NAME: Final = "ruveno g2"
SETUP_PASSCODE: Final = "1123334"
"""What field case 1 was left with: the one passcode that was in the lock from the beginning."""
FIRMWARE: Final = "6.5.20.240724"
"""Suspected of a fault since field case 1, on no other evidence."""
CLOCK_ERROR_S: Final = -7 * 3600.0
ZONE: Final = ZoneInfo("Europe/Berlin")
CLOUD_LOCK_ID: Final = 1000001
MAC: Final = "AA:BB:CC:11:22:33"

_ACCOUNT: Final = "host@example.org"
_PASSWORD_MD5: Final = hashlib.md5(b"demo-password", usedforsecurity=False).hexdigest()
_CLIENT: Final = ("demo-client", "demo-secret")
_KEYS: Final = LockKeys(
    aes_key=bytes.fromhex("a1b2c3d4e5f60718293a4b5c6d7e8f90"),
    admin_secret=123456789,
    unlock_key=987654321,
)
_APP_TIMEOUT_S: Final = 6.0
POLL_INTERVAL_S: Final = 1
GRACE_S: Final = 1
REPROOF_INTERVAL_S: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What the story plays on."""

    directory: Path
    broker: BrokerProcess
    cloud: CloudClient
    lock_socket: Path
    control_socket: Path
    agent_config: Path


@asynccontextmanager
async def build_stage(directory: Path, clock: Clock) -> AsyncGenerator[Stage]:
    """Start broker, cloud and lock in ``directory``, which exists; raises ``StageFailed``."""
    async with AsyncExitStack() as stack:
        broker = BrokerProcess(directory)
        stack.callback(broker.stop)
        await asyncio.to_thread(broker.start)
        ready = await stack.enter_async_context(_cloud_process(directory))
        lock_socket = directory / "lock.sock"
        await stack.enter_async_context(_lock_process(directory, lock_socket, clock.now()))
        cloud = await stack.enter_async_context(
            open_cloud(
                base_url=ready["base_url"],
                account=CloudAccount(
                    client_id=_CLIENT[0],
                    client_secret=_CLIENT[1],
                    username=_ACCOUNT,
                    password_md5=_PASSWORD_MD5,
                ),
                clock=clock,
                token_store=MemoryStore(),
                budget=QuotaBudget(monthly_limit=1000, store=MemoryStore()),
            )
        )
        control_socket = directory / "control.sock"
        config = _write_config(directory, broker, ready["base_url"], lock_socket, control_socket)
        yield Stage(
            directory=directory,
            broker=broker,
            cloud=cloud,
            lock_socket=lock_socket,
            control_socket=control_socket,
            agent_config=config,
        )


@asynccontextmanager
async def agent_process(stage: Stage) -> AsyncGenerator[None]:
    """Start the agent from its own config file; it ends with the context."""
    command = ("-m", "ttlock_agent", "run", "--config", str(stage.agent_config))
    async with run_process(stage.directory, "agent", *command):
        yield


async def remove_passcode(stage: Stage, digits: str, clock: Clock) -> None:
    """Delete a passcode over Bluetooth, behind the agent's back, as the owner's app would."""
    profile = LockProfile(
        id="app",
        address=f"virtual:{stage.lock_socket}",
        zone=ZONE,
        keys=_KEYS,
        clock_tolerance_s=0,
        response_timeout_s=_APP_TIMEOUT_S,
    )
    links = VirtualLinkFactory(stage.directory, clock=clock)
    while True:
        try:
            async with visit_lock(links, profile, clock) as visit:
                await visit.ask(DeletePasscode(passcode=digits))
                return
        except ConnectFailed:
            continue  # the agent was faster; a phone tries again as well


@asynccontextmanager
async def _cloud_process(directory: Path) -> AsyncGenerator[dict[str, Any]]:
    world = World(
        accounts=[
            Account(
                username=_ACCOUNT,
                password_md5=_PASSWORD_MD5,
                client_id=_CLIENT[0],
                client_secret=_CLIENT[1],
            )
        ],
        locks=[Lock(lock_id=CLOUD_LOCK_ID, account=_ACCOUNT, name="S999_332211", mac=MAC)],
        gateways=[
            Gateway(
                gateway_id=2000001,
                account=_ACCOUNT,
                name=GATEWAY_NAME,
                mac="02:00:00:D4:E5:F6",
                last_heard={CLOUD_LOCK_ID: Sighting(rssi_dbm=-71)},
            )
        ],
        # The field case: the answer is success, and the lock never hears of it.
        faults=[Fault(kind=FaultKind.LOST, path="/v3/keyboardPwd/add")],
    )
    state = directory / "cloud.json"
    state.write_bytes(msgspec.json.encode(world))
    command = ("-m", "ttlock_agent.fakes.cloud", "--port", "0", "--state", str(state))
    async with run_process(directory, "cloud", *command) as process:
        yield await wait_ready(process, "cloud")


@asynccontextmanager
async def _lock_process(
    directory: Path, socket: Path, now: datetime
) -> AsyncGenerator[dict[str, Any]]:
    state = directory / "lock.json"
    create_state(
        state,
        replace(
            new_lock(
                mac=MAC,
                name="S999_332211",
                keys=_KEYS,
                now=now,
                zone=ZONE,
                clock_error_s=CLOCK_ERROR_S,
                admin_passcode=SETUP_PASSCODE,
            ),
            device=DeviceInfo(firmware=FIRMWARE),
        ),
    )
    command = ("-m", "ttlock_agent", "virtual-lock", "--state", str(state), "--socket", str(socket))
    async with run_process(directory, "lock", *command) as process:
        yield await wait_ready(process, "lock")


def _write_config(
    directory: Path, broker: BrokerProcess, cloud_url: str, lock_socket: Path, control_socket: Path
) -> Path:
    secrets = {
        "front-door.keys.json": encode_keys(_KEYS),
        "cloud-secret": _CLIENT[1].encode(),
        "cloud-password-md5": _PASSWORD_MD5.encode(),
    }
    for name, secret in secrets.items():
        path = directory / name
        path.touch(mode=0o600)
        path.write_bytes(secret)
    config = {
        "agent": {
            "id": AGENT_ID,
            "state_directory": str(directory / "state"),
            "control_socket": str(control_socket),
        },
        "mqtt": {"host": broker.host, "port": broker.port},
        "cloud": {
            "base_url": cloud_url,
            "client_id": _CLIENT[0],
            "client_secret": "file:cloud-secret",
            "username": _ACCOUNT,
            "password_md5": "file:cloud-password-md5",
            "poll_interval_s": POLL_INTERVAL_S,
            "monthly_call_budget": 10_000_000,
        },
        # The fake gateway answers probes although it delivers nothing: a probe would say otherwise
        # than the story, which is about what is found without one.
        "watch": {"grace_s": GRACE_S, "probes_per_day": 0},
        "locks": [
            {
                "id": LOCK_ID,
                "address": f"virtual:{lock_socket}",
                "time_zone": ZONE.key,
                "keys": "file:front-door.keys.json",
                "cloud_lock_id": CLOUD_LOCK_ID,
                "reproof_interval_s": REPROOF_INTERVAL_S,
            }
        ],
    }
    path = directory / "agent.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return path
