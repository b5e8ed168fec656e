"""What is done about an adapter that goes on failing."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from ttlock_agent.errors import AdapterProblem, AdapterUnavailable, ConnectFailed, LockNotSeen
from ttlock_agent.link.bluez_recovery import RecoveryCounts

from .air import AirLock
from .bus_service import Refusal
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

NOISE = Refusal("Failed", "le-connection-unknown")


async def fail_to_connect(rig: BluezRig) -> None:
    rig.bluez.refuse("Connect", NOISE)
    with pytest.raises(ConnectFailed):
        await rig.factory.connect(MAC, timeout_s=SEEN_S)


async def test_failed_connections_climb_the_ladder(dbus_rig: BluezRig) -> None:
    calls = dbus_rig.bluez.calls
    await fail_to_connect(dbus_rig)
    assert calls.count("Adapter1.StartDiscovery") == 2  # the search, and the clearing
    await fail_to_connect(dbus_rig)
    assert calls.count("Adapter1.RemoveDevice") == 1
    await fail_to_connect(dbus_rig)
    assert calls.count("Properties.Set") == 2  # off, on
    with capture_logs() as logs:
        await fail_to_connect(dbus_rig)
    assert [each["event"] for each in logs if each["log_level"] == "error"] == [
        "adapter_needs_operator"
    ]
    assert dbus_rig.factory.state.needs_operator


async def test_the_power_is_cycled_once_in_ten_minutes(dbus_rig: BluezRig) -> None:
    for _ in range(8):
        await fail_to_connect(dbus_rig)
    assert dbus_rig.factory.state.recovery == RecoveryCounts(
        clear_scan=3, drop_device=2, power_cycle=1, tell_operator=2
    )


async def test_success_leads_down_from_the_ladder(dbus_rig: BluezRig) -> None:
    for _ in range(4):
        await fail_to_connect(dbus_rig)
    link = await dbus_rig.factory.connect(MAC, timeout_s=SEEN_S)
    await link.close()
    assert not dbus_rig.factory.state.needs_operator
    await fail_to_connect(dbus_rig)
    assert dbus_rig.factory.state.recovery.clear_scan == 2


async def test_a_lock_that_is_silent_among_others_is_not_the_adapters_fault(
    dbus_rig: BluezRig,
) -> None:
    dbus_rig.air.is_in_range = False
    for _ in range(3):
        with pytest.raises(LockNotSeen):
            await dbus_rig.factory.connect(MAC, timeout_s=UNSEEN_S)
    assert dbus_rig.factory.state.recovery == RecoveryCounts()


@pytest.mark.parametrize(("has_stranger", "steps"), [(True, 0), (False, 1)])
async def test_an_adapter_that_hears_nothing_for_long_is_suspected(
    bus: object, has_stranger: bool, steps: int
) -> None:
    async with bluez_rig(times=replace(FAST, silence_s=0.1)) as rig:
        rig.air.is_in_range = False
        if has_stranger:
            rig.bluez.strangers["11:22:33:44:55:66"] = 0x004C
        with pytest.raises(LockNotSeen):
            await rig.factory.connect(MAC, timeout_s=UNSEEN_S)
        assert rig.factory.state.recovery.clear_scan == steps


async def test_power_that_does_not_come_back_is_owed(dbus_rig: BluezRig) -> None:
    for _ in range(2):
        await fail_to_connect(dbus_rig)
    dbus_rig.bluez.refuse_power_on = 2
    await fail_to_connect(dbus_rig)
    with pytest.raises(AdapterUnavailable) as caught:
        await dbus_rig.factory.connect(MAC, timeout_s=SEEN_S)
    assert caught.value.reason is AdapterProblem.POWERED_OFF
    await (await dbus_rig.factory.connect(MAC, timeout_s=SEEN_S)).close()


async def test_power_that_somebody_else_switched_off_stays_off(dbus_rig: BluezRig) -> None:
    dbus_rig.bluez.set_powered(False)
    for _ in range(5):
        with pytest.raises(AdapterUnavailable):
            await dbus_rig.factory.connect(MAC, timeout_s=UNSEEN_S)
    assert "Properties.Set" not in dbus_rig.bluez.calls


async def test_power_that_came_back_is_owed_no_more(dbus_rig: BluezRig) -> None:
    for _ in range(3):
        await fail_to_connect(dbus_rig)
    assert dbus_rig.factory.state.recovery.power_cycle == 1
    dbus_rig.bluez.set_powered(False)
    with pytest.raises(AdapterUnavailable):
        await dbus_rig.factory.connect(MAC, timeout_s=UNSEEN_S)


async def test_a_stuck_adapter_is_helped(dbus_rig: BluezRig) -> None:
    """A scan that BlueZ believes to run for ever, until the power is cycled."""
    dbus_rig.bluez.is_stuck = True
    for _ in range(3):
        with pytest.raises(AdapterUnavailable):
            await dbus_rig.factory.connect(MAC, timeout_s=UNSEEN_S)
    await (await dbus_rig.factory.connect(MAC, timeout_s=SEEN_S)).close()
    assert dbus_rig.factory.state.recovery.power_cycle == 1
    assert dbus_rig.factory.state.recovery.failed == 1  # clearing could not help


async def test_the_power_stays_on_while_another_lock_is_connected(dbus_rig: BluezRig) -> None:
    other = AirLock(new_virtual_lock(paired_memory("AA:BB:CC:44:55:66")))
    dbus_rig.bluez.locks.append(other)
    link = await dbus_rig.factory.connect(other.mac, timeout_s=SEEN_S)
    for _ in range(4):
        await fail_to_connect(dbus_rig)
    await link.write(b"x")
    await link.close()
    assert dbus_rig.factory.state.recovery.power_cycle == 0


async def test_a_stuck_adapter_is_helped_while_nobody_wants_to_connect(bus: object) -> None:
    """Else whoever stands at the door would not be noticed."""
    async with bluez_rig() as rig:
        rig.bluez.is_stuck = True
        async for sighting in rig.factory.sightings():
            assert sighting.address == MAC
            break
        counts = rig.factory.state.recovery
        assert (counts.power_cycle, counts.drop_device) == (1, 0)


async def test_an_adapter_that_listens_again_needs_no_operator_any_more(bus: object) -> None:
    async with bluez_rig() as rig:
        rig.bluez.is_stuck = True
        rig.bluez.refuse("Set", *[Refusal("Failed", "Failed")] * 3)

        async def listen() -> None:
            async for _ in rig.factory.sightings():
                return

        listening = asyncio.create_task(listen())
        while not rig.factory.state.needs_operator:
            await asyncio.sleep(0)
        rig.bluez.is_stuck = False
        await listening
        assert not rig.factory.state.needs_operator


async def help_with(rig: BluezRig, request: Path) -> None:
    """What the helper does: take the request, restart the service."""
    while not request.exists():
        await asyncio.sleep(0)
    request.unlink()
    await rig.bluez.kill()
    rig.bluez.is_stuck = False
    await rig.bluez.start()


@pytest.mark.parametrize("has_helper", [True, False])
async def test_where_there_is_a_helper_the_service_is_restarted(
    bus: object, tmp_path: Path, has_helper: bool
) -> None:
    request = tmp_path / "restart-bluetooth"
    times = replace(FAST, helper_s=10.0 if has_helper else 0.1)
    async with bluez_rig(times=times, restart_request=request) as rig:
        rig.bluez.is_stuck = True
        rig.bluez.refuse("Set", *[Refusal("Failed", "Failed")] * 3)
        for _ in range(3):
            with pytest.raises(AdapterUnavailable):
                await rig.factory.connect(MAC, timeout_s=UNSEEN_S)
        helper = asyncio.create_task(help_with(rig, request)) if has_helper else None
        with pytest.raises(AdapterUnavailable):
            await rig.factory.connect(MAC, timeout_s=UNSEEN_S)
        state = rig.factory.state
        assert not request.exists()
        assert state.needs_operator is not has_helper
        assert state.recovery.restart_service == has_helper
        if helper is not None:
            await helper
            await (await rig.factory.connect(MAC, timeout_s=SEEN_S)).close()


async def test_a_request_that_cannot_be_written_leaves_it_to_the_operator(
    bus: object, tmp_path: Path
) -> None:
    async with bluez_rig(restart_request=tmp_path / "nowhere" / "restart-bluetooth") as rig:
        assert not await rig.factory.restart_service()
