"""Rig 3: bleak on a real BlueZ and a real kernel; only adapter and lock are virtual.

For the guest of ``tests/fullstack/run``, or any machine whose Bluetooth nobody else uses: it takes
root, plugs an adapter in, and pulls it out again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from ttlock_agent.clock import SystemClock
from ttlock_agent.link.bluez import BluezLinkFactory
from ttlock_agent.virtual_lock.server import VirtualLockServer

from .rigs import MAC, SLOW, Rig, new_virtual_lock, release_bleak

ADAPTERS = Path("/sys/class/bluetooth")


async def until_powered() -> None:
    """Wait until bluetoothd has found the adapter and switched it on, as it does by default."""
    async with asyncio.timeout(20 * SLOW):
        while True:
            show = await asyncio.create_subprocess_exec(
                "bluetoothctl", "show", stdout=asyncio.subprocess.PIPE
            )
            said, _ = await show.communicate()
            if b"Powered: yes" in said:
                return


async def until_gone() -> None:
    """Wait until the kernel has no adapter any more."""
    async with asyncio.timeout(20 * SLOW):
        while list(ADAPTERS.glob("hci*")):
            await asyncio.sleep(0.05)


@asynccontextmanager
async def vm_rig(directory: Path) -> AsyncIterator[Rig]:
    """Put a new lock on the air."""
    from ttlock_agent.virtual_lock.air import on_air  # noqa: PLC0415 - needs bumble
    from ttlock_agent.virtual_lock.air_radio import AirTransport, open_radio  # noqa: PLC0415

    # Every packet is worth five lines of log to it, which the log guard would keep.
    logging.getLogger("bumble").setLevel(logging.WARNING)
    transport = AirTransport.VHCI if Path("/dev/vhci").exists() else AirTransport.UART
    lock, clock = new_virtual_lock(), SystemClock()
    server = VirtualLockServer(lock, clock=clock, save=lambda _: None)
    async with open_radio(transport) as radio, on_air(server, radio, clock):
        is_ready = asyncio.Event()
        serving = asyncio.create_task(
            server.serve(directory / "control.sock", on_ready=is_ready.set)
        )
        await is_ready.wait()
        await until_powered()
        factory = BluezLinkFactory(clock=clock)
        yield Rig("vm", factory, MAC, lock)
        await factory.close()
        await release_bleak()
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving
    await until_gone()
