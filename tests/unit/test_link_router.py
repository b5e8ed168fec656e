"""Each address goes to the link it is made for, and bleak only loads where it is needed."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ttlock_agent.clock import SystemClock
from ttlock_agent.link import Sighting
from ttlock_agent.link.bluez import BluezLinkFactory
from ttlock_agent.link.router import LinkRouter, open_links

MAC = "AA:BB:CC:11:22:33"
VIRTUAL = "virtual:front-door"


class Recorder:
    """A factory that notes what it is asked for."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.asked: list[tuple[str, float]] = []
        self.is_watched = False

    async def connect(self, address: str, *, timeout_s: float) -> Any:
        self.asked.append((address, timeout_s))
        return self

    async def sightings(self) -> AsyncIterator[Sighting]:
        self.is_watched = True
        try:
            while True:
                await asyncio.sleep(0)
                yield Sighting(
                    address=self.address,
                    rssi_dbm=None,
                    manufacturer_data=b"",
                    seen_at_monotonic_s=0.0,
                )
        finally:
            self.is_watched = False


async def test_an_address_goes_to_its_own_factory() -> None:
    virtual, bluetooth = Recorder(VIRTUAL), Recorder(MAC)
    router = LinkRouter(virtual=virtual, bluetooth=bluetooth)
    assert await router.connect(VIRTUAL, timeout_s=1) is virtual
    assert await router.connect(MAC, timeout_s=2) is bluetooth
    assert (virtual.asked, bluetooth.asked) == ([(VIRTUAL, 1)], [(MAC, 2)])


async def test_a_mac_without_bluetooth_is_a_mistake_of_ours() -> None:
    router = LinkRouter(virtual=Recorder(VIRTUAL), bluetooth=None)
    with pytest.raises(ValueError, match="Bluetooth"):
        await router.connect(MAC, timeout_s=1)


async def test_sightings_of_both_are_told_until_nobody_listens() -> None:
    virtual, bluetooth = Recorder(VIRTUAL), Recorder(MAC)
    sightings = LinkRouter(virtual=virtual, bluetooth=bluetooth).sightings()
    seen: set[str] = set()
    while seen != {VIRTUAL, MAC}:
        seen.add((await anext(sightings)).address)
    await sightings.aclose()
    assert not virtual.is_watched
    assert not bluetooth.is_watched


async def test_a_factory_that_fails_ends_the_sightings() -> None:
    class Broken(Recorder):
        async def sightings(self) -> AsyncIterator[Sighting]:
            raise RuntimeError("broken")
            yield

    sightings = LinkRouter(virtual=Recorder(VIRTUAL), bluetooth=Broken(MAC)).sightings()
    with pytest.raises(RuntimeError, match="broken"):
        async for _ in sightings:
            pass


async def test_bluetooth_is_opened_for_a_mac(tmp_path: Path) -> None:
    router = open_links(
        [VIRTUAL, MAC], runtime_directory=tmp_path, clock=SystemClock(), adapter="hci1"
    )
    assert isinstance(router._bluetooth, BluezLinkFactory)
    assert router._bluetooth._wanted == "hci1"


def test_bleak_is_not_loaded_for_virtual_locks_only(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from ttlock_agent.clock import SystemClock\n"
        "from ttlock_agent.link.router import open_links\n"
        f"open_links([{VIRTUAL!r}], runtime_directory=Path({str(tmp_path)!r}),"
        " clock=SystemClock())\n"
        "assert not {'bleak', 'dbus_fast'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
