"""The rigs: ways to a virtual lock that the same tests run over."""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from bleak.backends.bluezdbus.manager import _global_instances  # noqa: TID251

from ttlock_agent.clock import SystemClock
from ttlock_agent.link import Link, LinkFactory
from ttlock_agent.link.bluez import BluezLinkFactory, BluezTimes
from ttlock_agent.link.bluez_link import LinkTimes
from ttlock_agent.link.virtual import VirtualLinkFactory
from ttlock_agent.lock.visit import Listing, LockProfile, Visit
from ttlock_agent.virtual_lock.server import VirtualLockServer
from ttlock_protocol.frame import chunks
from ttlock_protocol.keys import LockKeys
from ttlock_protocol.message import Request
from ttlock_protocol.messages.passcodes import AddPasscode, PasscodeRecord, PasscodeType
from ttlock_protocol.session import Event, Replied, Session
from ttlock_protocol.virtual import Fault, FaultPlan, Faults, Memory, VirtualLock, new_lock

from .air import AirLock
from .fake_bluez import FakeBluez

MAC = "AA:BB:CC:11:22:33"
ZONE = ZoneInfo("Europe/Berlin")
KEYS = LockKeys(aes_key=bytes(range(16)), admin_secret=0x12345678, unlock_key=0x23456789, user_id=7)
FAST = BluezTimes(
    call_s=1.0,
    connect_s=1.0,
    round_s=0.2,
    pause_s=0.02,
    power_off_s=0.0,
    link=LinkTimes(settle_s=0.0, setup_s=1.0, write_s=1.0, close_s=1.0),
)
SLOW = float(os.environ.get("SLOW", "1"))
"""How much slower than hardware this machine is, as an emulated one is."""
SEEN_S = 2.0 * SLOW
"""Long enough to see a lock that is there, on a busy machine."""
UNSEEN_S = 0.2
"""Long enough to miss one that is not."""
BUS_CONFIG = """<busconfig>
  <type>custom</type><listen>unix:path={socket}</listen><auth>EXTERNAL</auth>
  <policy context="default"><allow send_destination="*"/><allow receive_sender="*"/>
  <allow own="*"/><allow user="*"/></policy>
</busconfig>"""


@dataclass(frozen=True)
class Rig:
    """One lock and one way to it."""

    name: str
    factory: LinkFactory
    address: str
    lock: VirtualLock

    @property
    def profile(self) -> LockProfile:
        return LockProfile(
            id="front-door",
            address=self.address,
            zone=ZONE,
            keys=KEYS,
            clock_tolerance_s=30,
            response_timeout_s=1.0 * SLOW,
            connect_timeout_s=SEEN_S,
        )

    def break_by(self, *faults: Fault) -> None:
        """Let ``faults`` happen from now on."""
        plan = FaultPlan(faults=faults)
        self.lock.set_faults(Faults(plan, draw=random.Random(plan.seed).random))


def paired_memory(mac: str = MAC, *, permanent_passcodes: tuple[str, ...] = ()) -> Memory:
    return new_lock(
        mac=mac,
        name="Front door",
        keys=KEYS,
        now=datetime.now(UTC),
        zone=ZONE,
        permanent_passcodes=permanent_passcodes,
    )


def new_virtual_lock(memory: Memory | None = None) -> VirtualLock:
    return VirtualLock(memory or paired_memory(), entropy=secrets.token_bytes)


@contextmanager
def private_bus(directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a bus of our own on ``directory/bus``."""
    config = directory / "bus.conf"
    config.write_text(BUS_CONFIG.format(socket=directory / "bus"))
    command = ["dbus-daemon", f"--config-file={config}", "--nofork", "--print-address"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith(b"unix:path=")
            yield process
        finally:
            process.kill()


@asynccontextmanager
async def memory_rig(directory: Path) -> AsyncIterator[Rig]:
    """Rig 1: a virtual lock's Unix socket."""
    lock, clock, address = new_virtual_lock(), SystemClock(), "virtual:front-door"
    factory = VirtualLinkFactory(directory, clock=clock, addresses=[address])
    server = VirtualLockServer(lock, clock=clock, save=lambda _: None)
    is_ready = asyncio.Event()
    serving = asyncio.create_task(server.serve(factory.socket_path(address), on_ready=is_ready.set))
    await is_ready.wait()
    try:
        yield Rig("memory", factory, address, lock)
    finally:
        serving.cancel()
        await asyncio.wait({serving})


@dataclass(frozen=True)
class BluezRig(Rig):
    """Rig 2, and what its tests may do to it."""

    factory: BluezLinkFactory
    bluez: FakeBluez
    air: AirLock

    @property
    def path(self) -> str:
        return self.bluez.device_path(self.air)


@asynccontextmanager
async def bluez_rig(**options: Any) -> AsyncIterator[BluezRig]:
    """Rig 2: bleak on a fake BlueZ, on the bus that the environment names."""
    bluez, air = FakeBluez(), AirLock(new_virtual_lock())
    bluez.locks.append(air)
    factory = BluezLinkFactory(**{"clock": SystemClock(), "times": FAST} | options)
    air.start()
    await bluez.start()
    try:
        yield BluezRig("dbus", factory, MAC, air.lock, bluez, air)
    finally:
        await factory.close()
        await release_bleak()
        await bluez.kill()
        await air.stop()


async def release_bleak() -> None:
    """Close the bus connection that bleak keeps for each event loop."""
    bleak = _global_instances.pop(asyncio.get_running_loop(), None)
    if bleak is not None and bleak._bus is not None:
        bleak._bus.disconnect()
        with suppress(OSError, EOFError):
            await bleak._bus.wait_for_disconnect()


async def add_permanent(visit: Visit, digits: str) -> None:
    await visit.ask(AddPasscode(passcode_type=PasscodeType.PERMANENT, passcode=digits))


def digits_of(listing: Listing) -> list[str]:
    return [each.passcode for each in listing if isinstance(each, PasscodeRecord)]


async def ask_raw(link: Link, session: Session, request: Request[Any]) -> list[Event]:
    """Ask over a bare link; returns all that the session heard until the answer was there."""
    for chunk in chunks(session.send(request)):
        await link.write(chunk)
    heard: list[Event] = []
    while not any(isinstance(each, Replied) for each in heard):
        heard += session.receive(await link.read())
    return heard


def has_bus() -> bool:
    return shutil.which("dbus-daemon") is not None
