"""Listening over BlueZ: what counts as a sighting, and in which way it is listened for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from dbus_fast import Variant

from ttlock_agent.errors import LockNotSeen
from ttlock_agent.link import Sighting

from .air import AirLock
from .fake_bluez import DEVICE
from .rigs import (
    FAST,
    MAC,
    SEEN_S,
    UNSEEN_S,
    BluezRig,
    bluez_rig,
    new_virtual_lock,
    paired_memory,
)

LONG_S = 120.0
"""Longer than a test may take: what ends sooner was cut short."""
OTHER = "AA:BB:CC:44:55:66"


@asynccontextmanager
async def watching(rig: BluezRig) -> AsyncIterator[AsyncIterator[Sighting]]:
    sightings = rig.factory.sightings()
    try:
        yield sightings
    finally:
        await sightings.aclose()


async def test_every_lock_in_range_is_told(dbus_rig: BluezRig) -> None:
    dbus_rig.bluez.locks.append(AirLock(new_virtual_lock(paired_memory(OTHER))))
    dbus_rig.bluez.strangers["11:22:33:44:55:66"] = 0x004C
    async with watching(dbus_rig) as sightings:
        seen = [await anext(sightings) for _ in range(4)]
    assert {each.address for each in seen} == {MAC, OTHER}


async def test_the_signal_strength_is_told(dbus_rig: BluezRig) -> None:
    dbus_rig.air.rssi_dbm = -87
    async with watching(dbus_rig) as sightings:
        sighting = await anext(sightings)
    assert sighting.rssi_dbm in (-87, -96)


async def test_what_bluez_remembers_is_no_sighting(dbus_rig: BluezRig) -> None:
    await (await dbus_rig.factory.connect(MAC, timeout_s=SEEN_S)).close()
    dbus_rig.air.is_in_range = False
    connecting = asyncio.create_task(dbus_rig.factory.connect(MAC, timeout_s=UNSEEN_S))
    while not dbus_rig.bluez.is_scanning:
        await asyncio.sleep(0)
    dbus_rig.bluez.change(dbus_rig.path, DEVICE, {"Alias": Variant("s", "renamed")})
    with pytest.raises(LockNotSeen):
        await connecting


async def test_a_device_that_claims_to_be_the_lock_is_not_believed(dbus_rig: BluezRig) -> None:
    """The address on air and the one in the data must be the same."""
    data = dbus_rig.air.advertisement()
    assert data is not None
    dbus_rig.air.is_in_range = False
    impostor = AirLock(new_virtual_lock(paired_memory(OTHER)))
    impostor.advertisement = lambda: data  # type: ignore[method-assign]
    dbus_rig.bluez.locks.append(impostor)
    with pytest.raises(LockNotSeen):
        await dbus_rig.factory.connect(MAC, timeout_s=UNSEEN_S)
    with pytest.raises(LockNotSeen):
        await dbus_rig.factory.connect(OTHER, timeout_s=UNSEEN_S)


async def test_a_device_of_that_address_with_other_data_is_no_lock(dbus_rig: BluezRig) -> None:
    dbus_rig.air.is_in_range = False
    dbus_rig.bluez.strangers[MAC] = 0x1912  # waits for firmware
    with pytest.raises(LockNotSeen):
        await dbus_rig.factory.connect(MAC, timeout_s=UNSEEN_S)


async def test_passive_scanning_is_used_where_it_delivers(dbus_rig: BluezRig) -> None:
    dbus_rig.bluez.offers_passive = True
    async with watching(dbus_rig) as sightings:
        for _ in range(3):
            await anext(sightings)
    assert dbus_rig.factory.state.is_passive
    assert "Adapter1.StartDiscovery" not in dbus_rig.bluez.calls


async def test_passive_scanning_that_is_not_offered_is_tried_once(dbus_rig: BluezRig) -> None:
    async with watching(dbus_rig) as sightings:
        for _ in range(3):
            await anext(sightings)
    assert not dbus_rig.factory.state.is_passive
    assert dbus_rig.bluez.calls.count("Adapter1.StartDiscovery") == 3


async def test_passive_scanning_is_tried_again_with_a_restarted_service(
    dbus_rig: BluezRig,
) -> None:
    async with watching(dbus_rig) as sightings:
        await anext(sightings)
        await dbus_rig.bluez.kill()
        dbus_rig.bluez.offers_passive = True
        await dbus_rig.bluez.start()
        while not dbus_rig.factory.state.is_passive:
            await anext(sightings)


async def test_passive_scanning_that_misses_news_is_given_up(dbus_rig: BluezRig) -> None:
    dbus_rig.bluez.offers_passive = True
    dbus_rig.bluez.delivers_passive = False
    async with watching(dbus_rig) as sightings:
        for _ in range(2):
            await anext(sightings)
            dbus_rig.lock.touch(datetime.now(UTC))
        assert not dbus_rig.factory.state.is_passive
        dbus_rig.bluez.calls.clear()
        await anext(sightings)
    assert "AdvertisementMonitorManager1.RegisterMonitor" not in dbus_rig.bluez.calls


async def test_a_connection_interrupts_background_scanning(bus: object) -> None:
    async with bluez_rig(times=replace(FAST, round_s=LONG_S)) as rig, watching(rig) as sightings:
        rig.air.is_in_range = False
        seeing = asyncio.ensure_future(anext(sightings))
        while not rig.bluez.is_scanning:
            await asyncio.sleep(0)
        rig.air.is_in_range = True
        link = await rig.factory.connect(MAC, timeout_s=SEEN_S)
        await link.close()
        seeing.cancel()
        await asyncio.wait({seeing})
        assert rig.bluez.clashes == []


async def test_an_open_connection_keeps_background_scanning_away(dbus_rig: BluezRig) -> None:
    link = await dbus_rig.factory.connect(MAC, timeout_s=SEEN_S)
    dbus_rig.bluez.calls.clear()
    async with watching(dbus_rig) as sightings:
        seeing = asyncio.ensure_future(anext(sightings))
        for _ in range(20):
            await link.write(b"x")
        assert set(dbus_rig.bluez.calls) == {"GattCharacteristic1.WriteValue"}
        await link.close()
        assert (await seeing).address == MAC


async def test_watching_outlives_an_adapter_that_is_gone_for_a_while(dbus_rig: BluezRig) -> None:
    dbus_rig.bluez.remove_adapter("hci0")
    async with watching(dbus_rig) as sightings:
        seeing = asyncio.ensure_future(anext(sightings))
        while dbus_rig.factory.state.problem is None:
            await asyncio.sleep(0)
        dbus_rig.bluez.add_adapter("hci0", "00:1A:7D:DA:71:13")
        assert (await seeing).address == MAC
