"""Listening for locks.

A lock is known by its manufacturer data and the address in it, never by a service: not every lock
advertises that.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Literal

from bleak import BleakScanner  # noqa: TID251 - the Bluetooth link is made of bleak
from bleak.args.bluez import BlueZScannerArgs  # noqa: TID251
from bleak.assigned_numbers import AdvertisementDataType  # noqa: TID251
from bleak.backends.device import BLEDevice  # noqa: TID251
from bleak.backends.scanner import AdvertisementData  # noqa: TID251

from ttlock_agent.clock import Clock
from ttlock_agent.limits import time_limit
from ttlock_protocol.advertisement import V3_TYPE, V3_VERSION, Advertisement, parse, rejoin

from . import Sighting
from .bluez_errors import RADIO_ERRORS

Mode = Literal["active", "passive"]
"""Whether the adapter asks the locks for more, which costs them power, or only listens."""

MAX_STRIKES: Final = 2
"""Passive scanning is given up when it has missed news this often without delivering any."""
MAX_KNOWN: Final = 256
"""More locks than anybody has in range; a prankster could make up any number."""

_NO_RSSI: Final = -127
"""What bleak says where BlueZ tells no signal strength: the properties are remembered, not heard.
"""
_MARK: Final = bytes((V3_TYPE, V3_VERSION))
_COMPANY: Final = int.from_bytes(_MARK, "little")


@dataclass(frozen=True, slots=True)
class Heard:
    """A fresh advertisement and the device to connect to."""

    device: BLEDevice
    sighting: Sighting


class Ear:
    """Collects what one scan hears."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heard: dict[tuple[str, bytes], Heard] = {}
        self._news = asyncio.Event()
        self.has_heard_any = False
        """Whether any device at all was heard, lock or not."""

    @property
    def heard(self) -> list[Heard]:
        """The newest of each different advertisement of each lock, in their order."""
        return list(self._heard.values())

    async def await_lock(self, address: str) -> None:
        """Wait until :meth:`find` finds."""
        while self.find(address) is None:
            self._news.clear()
            await self._news.wait()

    def find(self, address: str) -> Heard | None:
        """Return what was heard of the lock ``address``, if anything."""
        return next((each for each in self.heard if each.sighting.address == address), None)

    def on_advertisement(self, device: BLEDevice, data: AdvertisementData) -> None:
        """Take one report of BlueZ."""
        if data.rssi == _NO_RSSI:
            return
        self.has_heard_any = True
        # BlueZ keeps entries of earlier first bytes; ours is the one that names this very device.
        raw = rejoin(_COMPANY, data.manufacturer_data.get(_COMPANY, b""))
        lock = parse(raw)
        if not isinstance(lock, Advertisement) or lock.mac != device.address.upper():
            return
        sighting = Sighting(
            address=lock.mac,
            rssi_dbm=data.rssi,
            manufacturer_data=raw,
            seen_at_monotonic_s=self._clock.monotonic(),
        )
        self._heard.pop((lock.mac, raw), None)
        self._heard[lock.mac, raw] = Heard(device, sighting)
        self._news.set()


async def first_of(limit_s: float | None, *waits: Coroutine[Any, Any, object]) -> None:
    """Wait for one of ``waits``, for ``limit_s`` at most; the others are cancelled."""
    tasks = [asyncio.ensure_future(each) for each in waits]
    try:
        await asyncio.wait(tasks, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def scanning(
    ear: Ear, *, adapter: str, mode: Mode, call_limit_s: float
) -> AsyncGenerator[None]:
    """Scan with the adapter ``adapter`` (``hci0``); raises what bleak raises."""
    arguments = BlueZScannerArgs(adapter=adapter)
    if mode == "passive":
        arguments["or_patterns"] = [(0, AdvertisementDataType.MANUFACTURER_SPECIFIC_DATA, _MARK)]
    scanner = BleakScanner(ear.on_advertisement, scanning_mode=mode, bluez=arguments)
    await _start(scanner, call_limit_s)
    try:
        yield
    except BaseException:
        # A failure to stop must not take the place of what happened, least of a cancellation.
        with suppress(*RADIO_ERRORS):
            await _stop(scanner, call_limit_s)
        raise
    await _stop(scanner, call_limit_s)


async def _start(scanner: BleakScanner, limit_s: float) -> None:
    """Start; a cancellation waits for that, else BlueZ would go on scanning for nobody."""
    starting = asyncio.ensure_future(scanner.start())
    try:
        await asyncio.wait({starting}, timeout=limit_s)
    except asyncio.CancelledError:
        await asyncio.wait({starting}, timeout=limit_s)
        if starting.done() and starting.exception() is None:
            with suppress(*RADIO_ERRORS):
                await _stop(scanner, limit_s)
        raise
    finally:
        starting.cancel()
    if starting.cancelled() or not starting.done():
        raise TimeoutError
    starting.result()


async def _stop(scanner: BleakScanner, limit_s: float) -> None:
    async with time_limit(limit_s):
        await scanner.stop()


class _Trust(Enum):
    UNTRIED = "untried"
    CONFIRMED = "confirmed"
    DOUBTED = "doubted"
    REFUSED = "refused"


class ScanChoice:
    """Chooses between passive and active scanning in the background.

    Passive scanning costs a lock nothing, but BlueZ may refuse it, or accept it and deliver
    nothing. Silence proves nothing either: what has not changed need not be delivered. So a silent
    round is followed by an active one, and what is new to that was missed.
    """

    def __init__(self) -> None:
        self._trust = _Trust.UNTRIED
        self._strikes = 0
        self._known: dict[str, bytes] = {}

    @property
    def mode(self) -> Mode:
        """How to scan next."""
        is_passive = self._trust in (_Trust.UNTRIED, _Trust.CONFIRMED)
        return "passive" if is_passive else "active"

    @property
    def is_passive_confirmed(self) -> bool:
        """Whether passive scanning has been seen to work here."""
        return self._trust is _Trust.CONFIRMED

    def refused(self) -> None:
        """BlueZ does not offer passive scanning."""
        self._trust = _Trust.REFUSED

    def round_ended(self, mode: Mode, heard: Iterable[Sighting]) -> None:
        """Learn from a whole round of ``mode`` and what it ``heard``."""
        said = {each.address: each.manufacturer_data for each in heard}
        has_news = any(self._known.get(address) != data for address, data in said.items())
        if len(self._known) > MAX_KNOWN:
            self._known.clear()
        self._known |= said
        if mode == "passive":
            self._trust = _Trust.CONFIRMED if said else _Trust.DOUBTED
            if said:
                self._strikes = 0
        elif self._trust is _Trust.DOUBTED:
            self._strikes += has_news
            self._trust = _Trust.REFUSED if self._strikes >= MAX_STRIKES else _Trust.UNTRIED
