"""The adapter, the service or the bus is not there: named, and over as soon as it is back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from subprocess import Popen

import pytest

from ttlock_agent.errors import AdapterProblem, AdapterUnavailable, LockNotSeen

from .air import AirLock
from .bus_service import Refusal
from .fake_bluez import FIRST_ADDRESS
from .rigs import (
    MAC,
    SEEN_S,
    UNSEEN_S,
    BluezRig,
    bluez_rig,
    new_virtual_lock,
    paired_memory,
    private_bus,
)

LONG_S = 120.0
"""Longer than a test may take: what ends sooner was cut short."""


async def connects(rig: BluezRig) -> bool:
    await (await rig.factory.connect(MAC, timeout_s=SEEN_S)).close()
    return rig.factory.state.problem is None


async def problem(rig: BluezRig, timeout_s: float = UNSEEN_S) -> AdapterProblem:
    with pytest.raises(AdapterUnavailable) as caught:
        await rig.factory.connect(MAC, timeout_s=timeout_s)
    reason = caught.value.reason
    # The ladder's clearing may have helped a stuck one already.
    assert rig.factory.state.problem is reason or reason is AdapterProblem.STUCK
    return reason


async def test_missing(dbus_rig: BluezRig) -> None:
    dbus_rig.bluez.remove_adapter("hci0")
    assert await problem(dbus_rig) is AdapterProblem.MISSING
    dbus_rig.bluez.add_adapter("hci0", FIRST_ADDRESS)
    assert await connects(dbus_rig)


async def test_powered_off(dbus_rig: BluezRig) -> None:
    dbus_rig.bluez.set_powered(False)
    assert await problem(dbus_rig) is AdapterProblem.POWERED_OFF
    dbus_rig.bluez.set_powered(True)
    assert await connects(dbus_rig)


async def test_blocked(dbus_rig: BluezRig) -> None:
    dbus_rig.bluez.set_powered(False)
    dbus_rig.bluez.set_power_state("off-blocked")
    assert await problem(dbus_rig) is AdapterProblem.BLOCKED


@pytest.mark.parametrize(
    ("soft", "hard", "name"),
    [
        ("1", "0", AdapterProblem.BLOCKED),
        ("0", "1", AdapterProblem.BLOCKED),
        ("0", "0", AdapterProblem.POWERED_OFF),
        (None, None, AdapterProblem.POWERED_OFF),
    ],
)
async def test_an_older_bluez_leaves_it_to_the_kernel_to_say_blocked(
    bus: Popen[bytes], tmp_path: Path, soft: str | None, hard: str | None, name: AdapterProblem
) -> None:
    """As that of Debian 12, which has no ``PowerState``."""
    if soft is not None and hard is not None:
        switch = tmp_path / "bluetooth" / "hci0" / "rfkill0"
        switch.mkdir(parents=True)
        (switch / "soft").write_text(f"{soft}\n")
        (switch / "hard").write_text(f"{hard}\n")
    async with bluez_rig(switches=tmp_path / "bluetooth") as rig:
        rig.bluez.set_powered(False)
        assert await problem(rig) is name


async def test_no_service(dbus_rig: BluezRig) -> None:
    await dbus_rig.bluez.kill()
    assert await problem(dbus_rig) is AdapterProblem.NO_DAEMON
    await dbus_rig.bluez.start()
    assert await connects(dbus_rig)


async def test_no_bus(dbus_rig: BluezRig, bus: Popen[bytes], tmp_path: Path) -> None:
    assert await connects(dbus_rig)
    bus.kill()
    bus.wait()
    assert await problem(dbus_rig) is AdapterProblem.NO_BUS
    await dbus_rig.bluez.kill()
    (tmp_path / "bus").unlink()
    with private_bus(tmp_path):
        await dbus_rig.bluez.start()
        assert await connects(dbus_rig)


async def test_no_permission(dbus_rig: BluezRig) -> None:
    denied = Refusal("org.freedesktop.DBus.Error.AccessDenied", "no")
    dbus_rig.bluez.refuse("GetManagedObjects", denied)
    assert await problem(dbus_rig) is AdapterProblem.NO_PERMISSION
    assert await connects(dbus_rig)


async def test_a_service_that_does_not_answer_is_stuck(dbus_rig: BluezRig) -> None:
    dbus_rig.bluez.hanging.add("GetManagedObjects")
    assert await problem(dbus_rig) is AdapterProblem.STUCK
    dbus_rig.bluez.hanging.clear()
    assert await connects(dbus_rig)


async def test_a_bus_that_went_deaf_is_connected_anew(dbus_rig: BluezRig) -> None:
    """As when the loop stops watching its socket, whose number another one had before."""
    link = await dbus_rig.factory.connect(MAC, timeout_s=SEEN_S)
    bus = dbus_rig.factory._bus._bus
    assert bus is not None
    asyncio.get_running_loop().remove_reader(bus._fd)
    other = "AA:BB:CC:44:55:66"
    dbus_rig.bluez.locks.append(AirLock(new_virtual_lock(paired_memory(other))))
    with pytest.raises(AdapterUnavailable):
        await dbus_rig.factory.connect(other, timeout_s=SEEN_S)
    try:
        await (await dbus_rig.factory.connect(other, timeout_s=SEEN_S)).close()
    finally:
        bus._finalize()
    await link.write(b"x")
    await link.close()


async def test_an_adapter_that_does_not_start_scanning_is_stuck(dbus_rig: BluezRig) -> None:
    dbus_rig.bluez.refuse("StartDiscovery", Refusal("InProgress", "busy"))
    assert await problem(dbus_rig, SEEN_S) is AdapterProblem.STUCK


async def test_a_stuck_adapter_is_called_so_until_it_scans_again(dbus_rig: BluezRig) -> None:
    dbus_rig.bluez.is_stuck = True
    for _ in range(2):
        await problem(dbus_rig, SEEN_S)
        assert dbus_rig.factory.state.problem is AdapterProblem.STUCK
    dbus_rig.bluez.is_stuck = False
    assert await connects(dbus_rig)


async def test_an_adapter_that_does_not_stop_scanning_is_stuck(dbus_rig: BluezRig) -> None:
    dbus_rig.bluez.clumsy_stops = 2  # bleak makes up for one
    assert await problem(dbus_rig, SEEN_S) is AdapterProblem.STUCK
    dbus_rig.bluez.clumsy_stops = 1
    assert await connects(dbus_rig)


@pytest.mark.parametrize("method", ["StartDiscovery", "StopDiscovery"])
async def test_a_scan_that_hangs_is_given_up(dbus_rig: BluezRig, method: str) -> None:
    dbus_rig.bluez.hanging.add(method)
    assert await problem(dbus_rig, SEEN_S) is AdapterProblem.STUCK


async def scanning(rig: BluezRig) -> None:
    while not rig.bluez.is_scanning:
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("happens", "expected"),
    [
        (lambda rig: _now(rig.bluez.remove_adapter, "hci0"), AdapterProblem.MISSING),
        (lambda rig: rig.bluez.kill(), AdapterProblem.NO_DAEMON),
        (lambda rig: rig.bluez.stop(), AdapterProblem.NO_DAEMON),
    ],
    ids=["unplugged", "service killed", "service stopped"],
)
async def test_what_happens_during_a_scan_ends_it(
    dbus_rig: BluezRig, happens: Callable[[BluezRig], Awaitable[None]], expected: AdapterProblem
) -> None:
    dbus_rig.air.is_in_range = False
    connecting = asyncio.create_task(problem(dbus_rig, LONG_S))
    await scanning(dbus_rig)
    await happens(dbus_rig)
    assert await connecting is expected


async def test_the_bus_dies_during_a_scan(dbus_rig: BluezRig, bus: Popen[bytes]) -> None:
    dbus_rig.air.is_in_range = False
    connecting = asyncio.create_task(problem(dbus_rig, LONG_S))
    await scanning(dbus_rig)
    bus.kill()
    assert await connecting is AdapterProblem.NO_BUS


async def test_switched_off_during_a_scan(dbus_rig: BluezRig) -> None:
    dbus_rig.air.is_in_range = False
    connecting = asyncio.create_task(problem(dbus_rig))
    await scanning(dbus_rig)
    dbus_rig.bluez.set_powered(False)
    assert await connecting is AdapterProblem.POWERED_OFF


@pytest.mark.parametrize(
    ("happens", "expected"),
    [
        (lambda rig: rig.bluez.remove_adapter("hci0"), AdapterProblem.MISSING),
        (lambda rig: rig.bluez.set_powered(False), AdapterProblem.POWERED_OFF),
    ],
    ids=["unplugged", "switched off"],
)
@pytest.mark.parametrize("hanging", [{"Connect"}, {"Connect", "Disconnect"}], ids=["one", "both"])
async def test_what_happens_while_connecting_is_named(
    dbus_rig: BluezRig,
    happens: Callable[[BluezRig], None],
    expected: AdapterProblem,
    hanging: set[str],
) -> None:
    dbus_rig.bluez.hanging |= hanging
    connecting = asyncio.create_task(problem(dbus_rig, SEEN_S))
    while "Device1.Connect" not in dbus_rig.bluez.calls:
        await asyncio.sleep(0)
    happens(dbus_rig)
    assert await connecting is expected


@pytest.mark.parametrize("wanted", ["hci1", "00:1A:7D:DA:71:99"])
async def test_the_adapter_is_chosen_by_name_or_address(bus: Popen[bytes], wanted: str) -> None:
    async with bluez_rig(adapter=wanted) as rig:
        assert await problem(rig) is AdapterProblem.MISSING
        rig.bluez.add_adapter("hci1", "00:1A:7D:DA:71:99")
        link = await rig.factory.connect(MAC, timeout_s=SEEN_S)
        assert rig.bluez.is_connected(rig.bluez.device_path(rig.air, "hci1"))
        assert (rig.factory.state.adapter, rig.factory.state.address) == (
            "hci1",
            "00:1A:7D:DA:71:99",
        )
        await link.close()


async def test_without_a_choice_the_first_that_is_on_is_taken(dbus_rig: BluezRig) -> None:
    dbus_rig.bluez.add_adapter("hci1", "00:1A:7D:DA:71:99")
    dbus_rig.bluez.set_powered(False, "hci0")
    assert await connects(dbus_rig)
    assert dbus_rig.factory.state.adapter == "hci1"


async def test_a_working_adapter_and_no_lock_is_no_problem(dbus_rig: BluezRig) -> None:
    dbus_rig.air.is_in_range = False
    with pytest.raises(LockNotSeen):
        await dbus_rig.factory.connect(MAC, timeout_s=UNSEEN_S)
    assert dbus_rig.factory.state.problem is None


async def _now(act: Callable[..., None], *arguments: object) -> None:
    act(*arguments)
