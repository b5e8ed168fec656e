"""The virtual lock as a peripheral: seen and used by a central of bumble's, all in memory."""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from virtual_helpers import KEYS, paired

pytest.importorskip("bumble", reason="the extra `air` is not installed")

from bumble import hci  # noqa: TID251
from bumble.core import UUID, AdvertisingData, PhysicalTransport  # noqa: TID251
from bumble.device import Device, DeviceConfiguration, Peer  # noqa: TID251

from ttlock_agent.clock import SystemClock
from ttlock_agent.errors import ConfigError
from ttlock_agent.virtual_lock import air_main
from ttlock_agent.virtual_lock.air import on_air
from ttlock_agent.virtual_lock.air_radio import AirTransport, Radio, new_controller, open_radio
from ttlock_agent.virtual_lock.server import VirtualLockServer
from ttlock_protocol.advertisement import Advertisement, parse
from ttlock_protocol.frame import chunks
from ttlock_protocol.message import Request
from ttlock_protocol.messages.clock import GetClock
from ttlock_protocol.session import Replied, Session
from ttlock_protocol.virtual import Fault, FaultAction, FaultPlan, FaultPoint, Faults, VirtualLock

MACS = ("AA:BB:CC:11:22:33", "AA:BB:CC:11:22:44")
CLOCK = SystemClock()
PATIENCE_S = 20.0


class Central:
    """A phone near the locks."""

    def __init__(self, radio: Radio, address: str) -> None:
        controller = new_controller("phone", radio, address)
        self.device = Device.from_config_with_hci(
            DeviceConfiguration(name="phone"), controller, controller
        )
        self.heard: asyncio.Queue[tuple[str, AdvertisingData]] = asyncio.Queue()
        self.device.on(
            Device.EVENT_ADVERTISEMENT,
            lambda seen: self.heard.put_nowait((seen.address.to_string(False), seen.data)),
        )

    async def see(self, mac: str) -> AdvertisingData:
        """Return what ``mac`` advertises next."""
        while not self.heard.empty():
            self.heard.get_nowait()
        await self.device.start_scanning(active=False, filter_duplicates=False)
        try:
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    address, data = await self.heard.get()
                    if address == mac:
                        return data
        finally:
            await self.device.stop_scanning()

    async def connect(self, mac: str) -> Visitor:
        connection = await self.device.connect(
            hci.Address(mac, hci.Address.PUBLIC_DEVICE_ADDRESS),
            transport=PhysicalTransport.LE,
            own_address_type=hci.OwnAddressType.PUBLIC,
            timeout=PATIENCE_S,
        )
        peer = Peer(connection)
        await peer.discover_services()
        await peer.discover_characteristics()
        visitor = Visitor(peer)
        connection.on("disconnection", lambda _: visitor.is_gone.set())
        await peer.subscribe(visitor.characteristic(0xFFF4), visitor.inbox.put_nowait)
        return visitor


class Visitor:
    """The phone while it is connected."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.inbox: asyncio.Queue[bytes] = asyncio.Queue()
        self.is_gone = asyncio.Event()
        self.session = Session(key=KEYS.aes_key, version=KEYS.version)

    def characteristic(self, number: int) -> Any:
        (found,) = self.peer.get_characteristics_by_uuid(UUID.from_16_bits(number))
        return found

    async def ask(self, request: Request[Any], *, with_response: bool = False) -> Any:
        for chunk in chunks(self.session.send(request)):
            await self.characteristic(0xFFF2).write_value(chunk, with_response=with_response)
        async with asyncio.timeout(PATIENCE_S):
            while True:
                data = bytes(await self.inbox.get())
                assert len(data) <= 20
                for event in self.session.receive(data):
                    assert isinstance(event, Replied)
                    return event.response

    async def leave(self) -> None:
        await self.peer.connection.disconnect()


class Scene:
    """Two locks and a phone."""

    def __init__(self, radio: Radio, servers: dict[str, VirtualLockServer], phone: Central) -> None:
        self.radio = radio
        self.servers = servers
        self.phone = phone
        self.locks: dict[str, VirtualLock] = {}

    async def until_free(self, mac: str) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while self.locks[mac].is_connected:
                await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def quiet_bumble(log_guard: object) -> Iterator[None]:
    """Every packet is worth five lines of log to it, which the log guard would keep."""
    logger = logging.getLogger("bumble")
    logger.setLevel(logging.WARNING)
    yield
    logger.setLevel(logging.NOTSET)


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    radio = Radio()  # type: ignore[no-untyped-call]
    locks = {
        mac: VirtualLock(paired(mac=mac, name=f"S999_{mac[-2:]}"), entropy=secrets.token_bytes)
        for mac in MACS
    }
    servers = {
        mac: VirtualLockServer(lock, clock=CLOCK, save=lambda _: None)
        for mac, lock in locks.items()
    }
    async with AsyncExitStack() as stack:
        for server in servers.values():
            await stack.enter_async_context(on_air(server, radio, CLOCK))
        phone = Central(radio, "00:1A:7D:DA:71:13")
        await phone.device.power_on()
        scene = Scene(radio, servers, phone)
        scene.locks = locks
        yield scene


def manufacturer_data(seen: AdvertisingData) -> bytes:
    data = seen.get(AdvertisingData.MANUFACTURER_SPECIFIC_DATA, raw=True)
    assert isinstance(data, bytes)
    return data


async def test_it_advertises_what_a_real_lock_does(scene: Scene) -> None:
    seen = await scene.phone.see(MACS[0])
    # Flags, TX power, service, manufacturer data: reference 1.1, to the byte.
    on_air = bytes(seen)
    assert on_air[:10].hex() == "020106020abf03021019"
    assert on_air[10:12] == bytes([18, 0xFF])
    advertisement = parse(manufacturer_data(seen))
    assert isinstance(advertisement, Advertisement)
    assert advertisement.mac == MACS[0]
    assert len(on_air) <= 31


async def test_it_answers_in_pieces_of_20_bytes(scene: Scene) -> None:
    await scene.phone.see(MACS[0])
    visitor = await scene.phone.connect(MACS[0])
    for with_response in (False, True):
        answer = await visitor.ask(GetClock(), with_response=with_response)
        assert answer.local_time is not None
    await visitor.leave()
    await scene.until_free(MACS[0])


async def test_it_tells_what_device_it_is(scene: Scene) -> None:
    visitor = await scene.phone.connect(MACS[0])
    texts = {
        number: bytes(await visitor.characteristic(number).read_value()).decode()
        for number in (0x2A29, 0x2A24, 0x2A26, 0x2A27)
    }
    device = scene.locks[MACS[0]].memory.device
    assert texts == {
        0x2A29: "Sciener",
        0x2A24: device.model,
        0x2A26: device.firmware,
        0x2A27: device.hardware,
    }
    await visitor.leave()


async def test_while_somebody_is_connected_it_is_not_there_for_others(scene: Scene) -> None:
    visitor = await scene.phone.connect(MACS[0])
    assert scene.servers[MACS[0]].advertisement() is None
    await scene.phone.see(MACS[1])  # so that what was on its way before has arrived
    await scene.phone.device.start_scanning(active=False, filter_duplicates=False)
    for _ in range(3):
        while (await scene.phone.heard.get())[0] != MACS[1]:
            pytest.fail("a lock that is connected must not advertise")
    await scene.phone.device.stop_scanning()
    await visitor.leave()
    await scene.phone.see(MACS[0])


async def test_two_locks_share_the_air(scene: Scene) -> None:
    visitors = [await scene.phone.connect(mac) for mac in MACS]
    for visitor in visitors:
        assert (await visitor.ask(GetClock())).local_time is not None
    assert all(lock.is_connected for lock in scene.locks.values())
    await visitors[0].leave()
    await scene.until_free(MACS[0])
    assert scene.locks[MACS[1]].is_connected
    await visitors[1].leave()


async def test_a_change_shows_at_once(scene: Scene) -> None:
    first = parse(manufacturer_data(await scene.phone.see(MACS[0])))
    scene.servers[MACS[0]].type_code("000000")
    async with asyncio.timeout(PATIENCE_S):
        while parse(manufacturer_data(await scene.phone.see(MACS[0]))) == first:
            pass
    touched = parse(manufacturer_data(await scene.phone.see(MACS[0])))
    assert isinstance(touched, Advertisement)
    assert touched.is_touched


async def test_a_lock_that_hangs_up_is_gone_and_comes_back(scene: Scene) -> None:
    plan = FaultPlan(
        faults=(Fault(action=FaultAction.DROP, at=FaultPoint.REQUEST, request="GetClock", nth=1),)
    )
    scene.locks[MACS[0]].set_faults(Faults(plan, draw=random.Random(1).random))
    visitor = await scene.phone.connect(MACS[0])
    for chunk in chunks(visitor.session.send(GetClock())):
        await visitor.characteristic(0xFFF2).write_value(chunk)
    async with asyncio.timeout(PATIENCE_S):
        await visitor.is_gone.wait()
    await scene.phone.see(MACS[0])
    again = await scene.phone.connect(MACS[0])
    assert (await again.ask(GetClock())).local_time is not None
    await again.leave()


async def test_who_leaves_while_the_lock_is_about_to_hang_up_does_not_silence_it(
    scene: Scene,
) -> None:
    plan = FaultPlan(
        faults=(Fault(action=FaultAction.DROP, at=FaultPoint.REQUEST, request="GetClock", nth=1),)
    )
    lock = scene.locks[MACS[0]]
    lock.set_faults(Faults(plan, draw=random.Random(1).random))
    visitor = await scene.phone.connect(MACS[0])
    for chunk in chunks(visitor.session.send(GetClock())):
        await visitor.characteristic(0xFFF2).write_value(chunk, with_response=True)
    await visitor.leave()
    await scene.phone.see(MACS[0])
    again = await scene.phone.connect(MACS[0])
    assert (await again.ask(GetClock())).local_time is not None
    await again.leave()


async def test_more_than_20_bytes_are_not_taken(scene: Scene) -> None:
    visitor = await scene.phone.connect(MACS[0])
    await visitor.characteristic(0xFFF2).write_value(bytes(21))
    async with asyncio.timeout(PATIENCE_S):
        await visitor.is_gone.wait()
    await scene.until_free(MACS[0])


async def test_where_the_kernel_has_no_such_adapter_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ttlock_agent.virtual_lock.air_radio.VHCI", tmp_path / "vhci")
    with pytest.raises(ConfigError, match="over vhci"):
        async with open_radio(AirTransport.VHCI):
            pass


async def test_without_the_extra_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ttlock_agent.virtual_lock.air", None)
    with pytest.raises(ConfigError, match="is missing"):
        await air_main.serve_on_air([], "vhci", CLOCK)
