"""The parts of the Bluetooth link that need no bus: names of problems, airtime, choice of scan."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from bleak.backends.device import BLEDevice  # noqa: TID251
from bleak.backends.scanner import AdvertisementData  # noqa: TID251
from bleak.exc import (  # noqa: TID251
    BleakBluetoothNotAvailableError,
    BleakBluetoothNotAvailableReason,
    BleakCharacteristicNotFoundError,
    BleakDBusError,
    BleakError,
    BleakGATTProtocolError,
)
from dbus_fast.errors import AuthError, InvalidAddressError

from ttlock_agent.errors import AdapterProblem
from ttlock_agent.link import Sighting
from ttlock_agent.link.bluez_airtime import Airtime
from ttlock_agent.link.bluez_bus import Adapter, Snapshot
from ttlock_agent.link.bluez_errors import RADIO_ERRORS, problem_of, unavailable
from ttlock_agent.link.bluez_scan import MAX_KNOWN, Ear, Mode, ScanChoice, first_of
from ttlock_protocol.advertisement import Advertisement, build, parse
from ttlock_protocol.messages.operate import BoltState
from virtual_helpers import MAC, ManualClock

BUS = "org.freedesktop.DBus.Error."


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (BleakDBusError("org.bluez.Error.NotReady", []), AdapterProblem.POWERED_OFF),
        (BleakDBusError("org.bluez.Error.Blocked", []), AdapterProblem.BLOCKED),
        (BleakDBusError(f"{BUS}ServiceUnknown", []), AdapterProblem.NO_DAEMON),
        (BleakDBusError(f"{BUS}NoReply", []), AdapterProblem.NO_DAEMON),
        (BleakDBusError(f"{BUS}FileExists", []), AdapterProblem.NO_DAEMON),
        (BleakDBusError(f"{BUS}AccessDenied", []), AdapterProblem.NO_PERMISSION),
        (BleakDBusError(f"{BUS}Disconnected", []), AdapterProblem.NO_BUS),
        (BleakDBusError("org.bluez.Error.Failed", ["Not Ready"]), None),
        (BleakGATTProtocolError(0x0E), None),
        (BleakCharacteristicNotFoundError("fff2"), None),
        (BleakError("adapter 'hci0' not found"), None),
        (AuthError("no"), AdapterProblem.NO_PERMISSION),
        (InvalidAddressError("no"), None),
        (PermissionError(), AdapterProblem.NO_PERMISSION),
        (FileNotFoundError(), AdapterProblem.NO_BUS),
        (ConnectionRefusedError(), AdapterProblem.NO_BUS),
        (EOFError(), AdapterProblem.NO_BUS),
        (TimeoutError(), None),
    ],
    ids=repr,
)
def test_errors_are_named_by_type_and_name(
    error: Exception, expected: AdapterProblem | None
) -> None:
    assert isinstance(error, RADIO_ERRORS)
    assert problem_of(error) is expected


@pytest.mark.parametrize("reason", BleakBluetoothNotAvailableReason)
def test_every_reason_of_bleak_has_a_name(reason: BleakBluetoothNotAvailableReason) -> None:
    assert problem_of(BleakBluetoothNotAvailableError("text", reason)) is not None


@pytest.mark.parametrize("problem", AdapterProblem)
def test_every_problem_has_words_and_a_remedy_of_its_own(problem: AdapterProblem) -> None:
    error = unavailable(problem)
    assert error.reason is problem
    others = [unavailable(each) for each in AdapterProblem if each is not problem]
    assert error.message not in {each.message for each in others}
    assert error.hint not in {each.hint for each in others}


def test_a_controller_without_the_central_role_is_passed_over() -> None:
    adapters = [
        Adapter(
            path=f"/org/bluez/hci{number}",
            address=f"00:1A:7D:DA:71:1{number}",
            is_powered=True,
            is_blocked=False,
            is_central=bool(number),
        )
        for number in range(2)
    ]
    snapshot = Snapshot(adapters=tuple(adapters), connected=frozenset())
    assert snapshot.adapter(None) is adapters[1]
    assert snapshot.adapter("hci1") is adapters[1]


async def test_background_waits_for_the_last_claim() -> None:
    airtime, order = Airtime(), []

    async def scan() -> None:
        async with airtime.background():
            order.append("scan")

    first, second = airtime.claimed(), airtime.claimed()
    first.__enter__()
    second.__enter__()
    scanning = asyncio.create_task(scan())
    for claim in (first, second):
        await turns()
        order.append("release")
        claim.__exit__(None, None, None)
    await scanning
    assert order == ["release", "release", "scan"]


async def test_a_claim_hurries_the_background_and_waits_for_it() -> None:
    airtime, order = Airtime(), []
    is_scanning = asyncio.Event()

    async def scan() -> None:
        async with airtime.background() as wanted:
            is_scanning.set()
            await wanted.wait()
            await turns()
            order.append("scan ends")

    async def connect() -> None:
        async with airtime.exclusive():
            order.append("connect")

    scanning = asyncio.create_task(scan())
    await is_scanning.wait()
    await connect()
    await scanning
    assert order == ["scan ends", "connect"]


async def test_connecting_is_done_one_after_the_other() -> None:
    airtime, log = Airtime(), []

    async def connect(name: str) -> None:
        async with airtime.exclusive():
            log.append(name)
            await turns()
            log.append(name)

    await asyncio.gather(*(connect(name) for name in "abc"))
    assert all(first == second for first, second in list(pairwise(log))[::2])


async def test_a_claim_made_while_the_radio_is_awaited_goes_first() -> None:
    airtime, order = Airtime(), []

    async def scan() -> None:
        async with airtime.background():
            order.append("scan")

    async def connect() -> None:
        async with airtime.exclusive():
            order.append("connect")

    async with airtime._radio:
        scanning = asyncio.create_task(scan())
        await turns()
        connecting = asyncio.create_task(connect())
        await turns()
    await asyncio.gather(scanning, connecting)
    assert order == ["connect", "scan"]


async def turns() -> None:
    """Let everybody else go on as far as they can."""
    for _ in range(5):
        await asyncio.sleep(0)


def sighting(data: bytes, address: str = "AA:BB:CC:11:22:33") -> Sighting:
    return Sighting(address=address, rssi_dbm=-60, manufacturer_data=data, seen_at_monotonic_s=0.0)


def play(choice: ScanChoice, *rounds: bytes | None) -> list[Mode]:
    """Hear ``rounds`` in turn, ``None`` for silence; returns the modes they were heard in."""
    modes = []
    for data in rounds:
        modes.append(choice.mode)
        choice.round_ended(choice.mode, [] if data is None else [sighting(data)])
    return modes


def test_passive_scanning_that_delivers_stays() -> None:
    choice = ScanChoice()
    assert play(choice, b"1", b"2", b"3") == ["passive"] * 3
    assert choice.is_passive_confirmed


def test_silence_is_checked_once_and_forgiven_when_nothing_was_missed() -> None:
    choice = ScanChoice()
    assert play(choice, b"1", None, b"1", None, b"1", None, b"1") == [
        "passive", "passive", "active", "passive", "active", "passive", "active",
    ]  # fmt: skip
    assert choice.mode == "passive"


def test_news_missed_twice_ends_it() -> None:
    choice = ScanChoice()
    play(choice, None, b"1", None, b"2")
    assert choice.mode == "active"
    assert play(choice, b"3", None, b"4") == ["active"] * 3


def test_delivering_in_between_is_believed_again() -> None:
    choice = ScanChoice()
    play(choice, None, b"1", b"2", None, b"3")
    assert choice.mode == "passive"


def test_a_refusal_is_final() -> None:
    choice = ScanChoice()
    choice.refused()
    assert play(choice, b"1", None, b"2") == ["active"] * 3


def test_what_is_known_of_locks_does_not_grow_without_end() -> None:
    choice = ScanChoice()
    for number in range(3 * MAX_KNOWN):
        choice.round_ended("active", [sighting(b"", address=str(number))])
    assert len(choice._known) <= MAX_KNOWN + 1


async def test_the_first_of_several_waits_ends_the_others() -> None:
    ended: list[str] = []

    async def wait_for_ever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("other")

    await first_of(50.0, asyncio.sleep(0), wait_for_ever())
    assert ended == ["other"]
    await first_of(0.0, wait_for_ever())
    assert ended == ["other", "other"]


def test_what_was_heard_is_told_in_its_order() -> None:
    """The newest last, also where a lock says again what it said before."""
    ear, device = Ear(ManualClock()), BLEDevice(MAC, None, {})
    for is_unlocked in (False, True, False):
        data = build(mac=MAC, scene=2, battery_percent=87, is_unlocked=is_unlocked).encode()
        company = int.from_bytes(data[:2], "little")
        ear.on_advertisement(
            device, AdvertisementData(None, {company: data[2:]}, {}, [], None, -60, ())
        )
    said = [parse(each.sighting.manufacturer_data) for each in ear.heard]
    assert [each.bolt for each in said if isinstance(each, Advertisement)] == [
        BoltState.UNLOCKED,
        BoltState.LOCKED,
    ]
