"""One Bluetooth connection to one lock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

import structlog
from bleak import BleakClient  # noqa: TID251 - the Bluetooth link is made of bleak
from bleak.backends.characteristic import (  # noqa: TID251
    BleakGATTCharacteristic as Characteristic,
)
from bleak.backends.device import BLEDevice  # noqa: TID251
from bleak.uuids import normalize_uuid_16  # noqa: TID251

from ttlock_agent.clock import Clock
from ttlock_agent.errors import ConnectFailed, LinkLost
from ttlock_agent.limits import time_limit

from . import CHUNK_BYTES, Sighting
from .bluez_bus import BluezBus
from .bluez_errors import RADIO_ERRORS

SERVICE: Final = normalize_uuid_16(0x1910)
WRITE: Final = normalize_uuid_16(0xFFF2)
NOTIFY: Final = normalize_uuid_16(0xFFF4)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkTimes:
    """How long things may take, in seconds."""

    settle_s: float = 0.5
    """After notifications were enabled, some locks lose what is written sooner (reference 2.4)."""
    setup_s: float = 5.0
    """From connected to notifying: one round trip and the settling."""
    write_s: float = 5.0
    """A lock hangs up after five silent seconds: what is not written by then, never will be."""
    close_s: float = 12.0
    """BlueZ takes two seconds to disconnect; bleak gives up after ten."""


class BluezLink:
    """One connection; made by :func:`open_link`."""

    def __init__(
        self,
        client: BleakClient,
        characteristic: Characteristic,
        inbox: Inbox,
        *,
        heard: Sighting,
        is_answered: bool,
        times: LinkTimes,
        at_close: ExitStack,
    ) -> None:
        """``is_answered`` asks the lock to confirm each write; ``at_close`` is closed at last."""
        self._client = client
        self._characteristic = characteristic
        self._inbox = inbox
        self.manufacturer_data = heard.manufacturer_data
        self.rssi_dbm = heard.rssi_dbm
        self._is_answered = is_answered
        self._times = times
        self._at_close = at_close

    async def write(self, chunk: bytes) -> None:
        """Send at most 20 bytes; raises ``LinkLost``, and ``ValueError`` for more."""
        if len(chunk) > CHUNK_BYTES:
            raise ValueError(f"a write has at most {CHUNK_BYTES} bytes")
        try:
            async with self._inbox.while_up(self._times.write_s):
                await self._client.write_gatt_char(
                    self._characteristic, chunk, response=self._is_answered
                )
        except RADIO_ERRORS as error:
            # Half a frame may be out: nothing sensible can follow it.
            self._inbox.end()
            raise LinkLost("The Bluetooth connection broke during a write.") from error

    async def read(self) -> bytes:
        """Return the next notification; raises ``LinkLost`` once all have been read."""
        return await self._inbox.get()

    async def close(self) -> None:
        """End the connection and wait until BlueZ says that it is down."""
        self._inbox.end()
        try:
            await _disconnect(self._client, limit_s=self._times.close_s)
        finally:
            self._at_close.close()


class Inbox:
    """The notifications of one connection, and its end."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._limit: asyncio.Timeout | None = None
        self._is_begun = False
        self._is_ended = False

    def begin(self) -> None:
        """The connection is up: from now on, losing it matters."""
        self._is_begun = True

    def put(self, _: Characteristic, data: bytearray) -> None:
        """Take a notification."""
        if not self._is_ended:
            self._queue.put_nowait(bytes(data))

    def on_disconnected(self, _: BleakClient) -> None:
        """Take bleak's word, which counts from :meth:`begin` on: before, bleak itself retries."""
        if self._is_begun:
            self.end()

    def end(self) -> None:
        """Note that the connection is gone, and wake whoever waits for it; harmless twice."""
        if self._is_ended:
            return
        self._is_ended = True
        self._queue.put_nowait(None)
        if self._limit is not None and not self._limit.expired():
            self._limit.reschedule(0.0)

    async def get(self) -> bytes:
        """Return the next notification; raises ``LinkLost``."""
        data = await self._queue.get()
        if data is None:
            self._queue.put_nowait(None)
            raise LinkLost("The Bluetooth connection to the lock is gone.")
        return data

    @asynccontextmanager
    async def while_up(self, limit_s: float) -> AsyncGenerator[None]:
        """Raise ``TimeoutError`` after ``limit_s``, or as soon as the connection is gone."""
        async with time_limit(0.0 if self._is_ended else limit_s) as limit:
            self._limit = limit
            try:
                yield
            finally:
                self._limit = None


async def open_link(
    device: BLEDevice,
    *,
    bus: BluezBus,
    clock: Clock,
    timeout_s: float,
    heard: Sighting,
    is_answered: bool,
    times: LinkTimes,
    at_close: ExitStack,
) -> BluezLink:
    """Connect to a lock that was heard a moment ago; ``at_close`` passes to the link.

    Raises ``ConnectFailed``, and one of ``RADIO_ERRORS`` when BlueZ answers nothing. A new client
    each time: one that connects again may get every notification twice
    (https://github.com/hbldh/bleak/issues/2002).
    """
    inbox = Inbox()
    is_answering = True
    client = BleakClient(device, inbox.on_disconnected, timeout=timeout_s)
    try:
        at_close.enter_context(bus.watching(device.details["path"], inbox.end))
        # bleak's own limit is followed by a disconnect that has none.
        async with time_limit(timeout_s + times.close_s) as limit:
            try:
                await client.connect()
            finally:
                is_answering = not limit.expired()
        inbox.begin()
        async with inbox.while_up(times.setup_s):
            write, notify = _characteristics(client)
            await client.start_notify(notify, inbox.put)
            await clock.sleep(times.settle_s)
    except BaseException as error:
        with at_close:
            await _disconnect(client, limit_s=times.close_s)
        if isinstance(error, RADIO_ERRORS) and is_answering:
            log.info("bluetooth_connect_failed", error=type(error).__name__, detail=str(error))
            raise ConnectFailed("The lock advertises, and no connection came about.") from error
        raise
    return BluezLink(
        client,
        write,
        inbox,
        heard=heard,
        is_answered=is_answered,
        times=times,
        at_close=at_close,
    )


def _characteristics(client: BleakClient) -> tuple[Characteristic, Characteristic]:
    service = client.services.get_service(SERVICE)
    if service is not None:
        write, notify = service.get_characteristic(WRITE), service.get_characteristic(NOTIFY)
        if write is not None and notify is not None:
            return write, notify
    raise ConnectFailed(
        "The device does not offer a lock's Bluetooth service.",
        hint="It may wait for firmware, or not be a TTLock: check its address.",
    )


async def _disconnect(client: BleakClient, *, limit_s: float) -> None:
    """Disconnect and release; a client that was never connected too."""
    try:
        async with time_limit(limit_s):
            await client.disconnect()
    except RADIO_ERRORS as error:
        # bleak has released everything on this side; what BlueZ still holds, the next visit ends.
        log.debug("bluetooth_disconnect_failed", error=type(error).__name__)
