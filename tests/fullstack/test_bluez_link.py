"""Connections over BlueZ: made, lost and ended in all the ways that BlueZ knows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from subprocess import Popen

import pytest
from dbus_fast import BusType, Message
from dbus_fast.aio import MessageBus

from ttlock_agent.clock import SystemClock
from ttlock_agent.errors import (
    AdapterProblem,
    AdapterUnavailable,
    ConnectFailed,
    LinkLost,
    LockNotSeen,
)
from ttlock_agent.link.bluez import BluezTimes
from ttlock_agent.link.bluez_link import BluezLink
from ttlock_agent.link.bluez_recovery import RecoveryCounts

from .bus_service import Refusal
from .fake_bluez import FIRST_ADDRESS
from .rigs import FAST, MAC, SEEN_S, UNSEEN_S, BluezRig, bluez_rig

Event = Callable[[BluezRig, Popen[bytes]], Awaitable[None]]


async def unplug(rig: BluezRig, _: Popen[bytes]) -> None:
    rig.bluez.remove_adapter("hci0")


async def switch_off(rig: BluezRig, _: Popen[bytes]) -> None:
    rig.bluez.set_powered(False)


async def drop(rig: BluezRig, _: Popen[bytes]) -> None:
    rig.bluez.drop(rig.path)


async def forget(rig: BluezRig, _: Popen[bytes]) -> None:
    rig.bluez.remove_device(rig.path, is_silent=True)


async def stop_service(rig: BluezRig, _: Popen[bytes]) -> None:
    await rig.bluez.stop()


async def kill_service(rig: BluezRig, _: Popen[bytes]) -> None:
    await rig.bluez.kill()


async def kill_bus(_: BluezRig, bus: Popen[bytes]) -> None:
    bus.kill()


EVENTS = [unplug, switch_off, drop, forget, stop_service, kill_service, kill_bus]
by_event = pytest.mark.parametrize("event", EVENTS, ids=[each.__name__ for each in EVENTS])


async def connect(rig: BluezRig) -> BluezLink:
    return await rig.factory.connect(MAC, timeout_s=SEEN_S)


@by_event
async def test_a_read_ends_when_the_connection_does(
    dbus_rig: BluezRig, bus: Popen[bytes], event: Event
) -> None:
    link = await connect(dbus_rig)
    reading = asyncio.create_task(link.read())
    await asyncio.sleep(0)
    await event(dbus_rig, bus)
    with pytest.raises(LinkLost):
        await reading
    with pytest.raises(LinkLost):
        await link.write(b"x")
    await link.close()


@by_event
async def test_a_write_ends_when_the_connection_does(bus: Popen[bytes], event: Event) -> None:
    patient = replace(FAST, link=replace(FAST.link, write_s=120.0))
    async with bluez_rig(times=patient) as rig:
        link = await connect(rig)
        rig.bluez.hanging.add("WriteValue")
        writing = asyncio.create_task(link.write(b"x"))
        while "GattCharacteristic1.WriteValue" not in rig.bluez.calls:
            await asyncio.sleep(0)
        await event(rig, bus)
        with pytest.raises(LinkLost):
            await writing
        await link.close()


async def test_a_write_that_nobody_answers_ends_the_link(dbus_rig: BluezRig) -> None:
    link = await connect(dbus_rig)
    dbus_rig.bluez.hanging.add("WriteValue")
    with pytest.raises(LinkLost):
        await link.write(b"x")
    with pytest.raises(LinkLost):
        await link.read()
    await link.close()
    assert not dbus_rig.lock.is_connected


@pytest.mark.parametrize("text", ["Operation failed with ATT error: 0x0e", "Not connected"])
async def test_a_refused_write_ends_the_link(dbus_rig: BluezRig, text: str) -> None:
    link = await connect(dbus_rig)
    dbus_rig.bluez.refuse("WriteValue", Refusal("Failed", text))
    with pytest.raises(LinkLost):
        await link.write(b"x")
    with pytest.raises(LinkLost):
        await link.write(b"x")
    await link.close()


async def test_closing_never_fails(dbus_rig: BluezRig) -> None:
    link = await connect(dbus_rig)
    dbus_rig.bluez.hanging.add("Disconnect")
    await link.close()
    dbus_rig.bluez.hanging.clear()
    # What BlueZ still holds is ended before the next visit.
    await (await connect(dbus_rig)).close()
    assert not dbus_rig.lock.is_connected


@pytest.mark.parametrize("event", [stop_service, kill_service], ids=["stopped", "killed"])
async def test_after_the_service_was_restarted_all_is_well(
    dbus_rig: BluezRig, bus: Popen[bytes], event: Event
) -> None:
    link = await connect(dbus_rig)
    await event(dbus_rig, bus)
    await link.close()
    await dbus_rig.bluez.start()
    if event is stop_service:
        dbus_rig.bluez.add_adapter("hci0", FIRST_ADDRESS)
    link = await connect(dbus_rig)
    await link.write(b"x")
    await link.close()
    assert dbus_rig.air.writes == [b"x"]


@pytest.mark.parametrize(("is_answered", "kind"), [(False, "command"), (True, "request")])
async def test_writes_are_confirmed_only_where_that_is_asked_for(
    bus: Popen[bytes], is_answered: bool, kind: str
) -> None:
    async with bluez_rig(answered=[MAC] if is_answered else []) as rig:
        link = await connect(rig)
        await link.write(b"x")
        await link.close()
        assert rig.bluez.write_types == [kind]


async def test_the_lock_gets_time_to_settle_before_anything_is_written(bus: object) -> None:
    class NoWaiting(SystemClock):
        def __init__(self) -> None:
            self.slept_s: list[float] = []

        async def sleep(self, seconds: float) -> None:
            self.slept_s.append(seconds)

    clock = NoWaiting()
    async with bluez_rig(clock=clock, times=BluezTimes()) as rig:
        link = await connect(rig)
        assert clock.slept_s == [0.5]
        assert rig.air.writes == []
        await link.close()


async def test_radio_noise_while_connecting_is_outlived(dbus_rig: BluezRig) -> None:
    dbus_rig.bluez.aborts = 2
    await (await connect(dbus_rig)).close()
    assert dbus_rig.bluez.calls.count("Device1.Connect") == 3


async def test_radio_noise_without_end_is_a_failed_connection(dbus_rig: BluezRig) -> None:
    dbus_rig.bluez.aborts = 1_000_000
    with pytest.raises(ConnectFailed):
        await connect(dbus_rig)
    dbus_rig.bluez.aborts = 0
    await (await connect(dbus_rig)).close()


@pytest.mark.parametrize("method", ["Connect", "StartNotify"])
@pytest.mark.parametrize("is_hanging", [False, True])
async def test_a_connection_that_fails_leaves_nothing_behind(
    dbus_rig: BluezRig, method: str, is_hanging: bool
) -> None:
    if is_hanging:
        dbus_rig.bluez.hanging.add(method)
    else:
        dbus_rig.bluez.refuse(method, Refusal("Failed", "le-connection-unknown"))
    with pytest.raises(ConnectFailed):
        await connect(dbus_rig)
    assert not dbus_rig.lock.is_connected
    dbus_rig.bluez.hanging.clear()
    await (await connect(dbus_rig)).close()


async def test_neither_connecting_nor_giving_it_up_is_answered(dbus_rig: BluezRig) -> None:
    dbus_rig.bluez.hanging |= {"Connect", "Disconnect"}
    with pytest.raises(AdapterUnavailable) as caught:
        await connect(dbus_rig)
    assert caught.value.reason is AdapterProblem.STUCK
    assert dbus_rig.factory.state.recovery.clear_scan == 1
    assert not dbus_rig.lock.is_connected
    dbus_rig.bluez.hanging.clear()
    await (await connect(dbus_rig)).close()


async def test_a_device_that_vanishes_before_connecting(dbus_rig: BluezRig) -> None:
    dbus_rig.bluez.forgets_when_scan_stops = True
    with pytest.raises(ConnectFailed):
        await connect(dbus_rig)


async def test_a_device_without_the_service_is_no_lock(dbus_rig: BluezRig) -> None:
    dbus_rig.bluez.has_service = False
    with pytest.raises(ConnectFailed):
        await connect(dbus_rig)
    assert not dbus_rig.lock.is_connected


async def test_what_bleak_trips_over_is_a_failed_connection(dbus_rig: BluezRig) -> None:
    """Characteristics that BlueZ replaced one by one, which bleak remembers for ever."""
    bluez = dbus_rig.bluez
    await (await connect(dbus_rig)).close()
    service = f"{dbus_rig.path}/service000c"
    for handle in bluez.handles:
        bluez.remove(f"{service}/char{handle}")
    del bluez.objects[service]
    bluez.handles = ("001d", "001f")
    for _ in range(2):  # the second time, the ladder lets BlueZ forget the device
        with pytest.raises(ConnectFailed):
            await connect(dbus_rig)
    await (await connect(dbus_rig)).close()


async def test_a_connection_of_a_killed_agent_is_ended_first(dbus_rig: BluezRig) -> None:
    dbus_rig.bluez.hold(dbus_rig.air)
    assert dbus_rig.lock.is_connected
    await (await connect(dbus_rig)).close()


async def test_our_own_connection_is_not_taken_for_a_stale_one(dbus_rig: BluezRig) -> None:
    link = await connect(dbus_rig)
    with pytest.raises(ConnectFailed):
        await connect(dbus_rig)
    assert dbus_rig.factory.state.recovery == RecoveryCounts()
    await link.write(b"x")
    await link.close()


async def test_nobody_scans_while_we_connect(dbus_rig: BluezRig) -> None:
    seen = asyncio.create_task(watch(dbus_rig))
    for _ in range(5):
        link = await connect(dbus_rig)
        assert not dbus_rig.bluez.is_scanning
        await link.close()
    await seen
    assert dbus_rig.bluez.clashes == []


async def watch(rig: BluezRig) -> None:
    """See the lock in the background, twice."""
    sightings = rig.factory.sightings()
    for _ in range(2):
        await anext(sightings)
    await sightings.aclose()


async def test_a_cancelled_search_stops_the_scan(dbus_rig: BluezRig) -> None:
    dbus_rig.air.is_in_range = False
    for member in ("Adapter1.SetDiscoveryFilter", "Adapter1.StartDiscovery"):
        dbus_rig.bluez.calls.clear()
        connecting = asyncio.create_task(dbus_rig.factory.connect(MAC, timeout_s=50))
        while member not in dbus_rig.bluez.calls:
            await asyncio.sleep(0)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        assert not dbus_rig.bluez.is_scanning
    with pytest.raises(LockNotSeen):
        await dbus_rig.factory.connect(MAC, timeout_s=UNSEEN_S)


@pytest.mark.parametrize("is_background", [False, True])
async def test_a_cancellation_is_not_lost_when_stopping_fails(
    dbus_rig: BluezRig, is_background: bool
) -> None:
    """What cannot be stopped must not keep the daemon from stopping."""
    dbus_rig.bluez.offers_passive = True
    dbus_rig.air.is_in_range = False
    for member in ("StopDiscovery", "UnregisterMonitor"):
        dbus_rig.bluez.refuse(member, Refusal("Failed", "No discovery started"))
    if is_background:
        task = asyncio.ensure_future(anext(dbus_rig.factory.sightings()))
    else:
        task = asyncio.ensure_future(dbus_rig.factory.connect(MAC, timeout_s=120))
    while dbus_rig.bluez.broadcasts < 3:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_connections_leave_no_bus_connection_behind(dbus_rig: BluezRig) -> None:
    async def visit() -> int:
        await (await connect(dbus_rig)).close()
        dbus_rig.bluez.refuse("StartNotify", Refusal("Failed"))
        with pytest.raises(ConnectFailed):
            await connect(dbus_rig)
        return await names_on_the_bus()

    before = await visit()
    assert await visit() == before


async def names_on_the_bus() -> int:
    bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    reply = await bus.call(
        Message(
            destination="org.freedesktop.DBus",
            path="/org/freedesktop/DBus",
            interface="org.freedesktop.DBus",
            member="ListNames",
        )
    )
    bus.disconnect()
    await bus.wait_for_disconnect()
    return len(reply.body[0])
