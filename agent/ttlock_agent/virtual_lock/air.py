"""A virtual lock as a Bluetooth peripheral: what a phone, a gateway and BlueZ would see of it.

Advertising, the lock's service with its two characteristics, and device information, as in
reference 1.1 and 2.1. The lock itself is the one that the server has; this is one more way in.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Final

import structlog
from bumble import hci
from bumble.core import UUID, AdvertisingData, ProtocolError
from bumble.device import Connection, Device, DeviceConfiguration
from bumble.gatt import Characteristic, CharacteristicValue, Service

from ttlock_agent.clock import Clock
from ttlock_agent.limits import time_limit
from ttlock_protocol.virtual import NotConnectable, Notify, Output

from .air_radio import Radio, new_controller
from .server import VirtualLockServer

INTERVAL_MS: Final = 250.0
"""Between two advertisements. A dozing lock takes up to ten seconds; nobody wants to wait here."""
LOOK_AGAIN_S: Final = 1.0
"""What shows in the advertisement may change by time alone: touched, dormant, battery."""
LAST_WORDS_S: Final = 0.5
"""Between what the lock says last and its hanging up. bluetoothd learns of data and of the end on
two ways, and drops the data if the end is faster."""
CANCEL_AGAIN_S: Final = 0.1
ATT_MTU: Final = 23
"""Real locks stay with the smallest one (reference 2.2)."""
MAKER: Final = "Sciener"
TX_POWER_DBM: Final = -65

_FLAGS: Final = bytes([0x06])
_SERVICE: Final = UUID.from_16_bits(0x1910, "lock")
_WRITE: Final = UUID.from_16_bits(0xFFF2, "requests")
_NOTIFY: Final = UUID.from_16_bits(0xFFF4, "answers")
_DEVICE_INFORMATION: Final = UUID.from_16_bits(0x180A)

log = structlog.get_logger()


@asynccontextmanager
async def on_air(server: VirtualLockServer, radio: Radio, clock: Clock) -> AsyncGenerator[None]:
    """Let ``server``'s lock be seen and connected to on ``radio`` while the context lasts."""
    peripheral = _Peripheral(server, radio, clock)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each) for each in (peripheral.advertise(), peripheral.speak())]
        try:
            yield
        finally:
            for task in tasks:
                await _end(task)


async def _end(task: asyncio.Task[None]) -> None:
    """Cancel ``task`` until it is over.

    Once may not be enough: bumble waits by ``asyncio.wait_for``, which on Python 3.11 loses a
    cancellation that comes together with the answer.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=CANCEL_AGAIN_S)


class _Peripheral:
    """The radio of one lock, and the central that may be connected to it."""

    def __init__(self, server: VirtualLockServer, radio: Radio, clock: Clock) -> None:
        memory = server.memory
        self._server = server
        self._clock = clock
        self._outputs: asyncio.Queue[Output] = asyncio.Queue()
        self._connection: Connection | None = None
        controller = new_controller(memory.name, radio, memory.mac)
        self._device = Device.from_config_with_hci(
            DeviceConfiguration(
                name=memory.name,
                advertising_interval_min=INTERVAL_MS,
                advertising_interval_max=INTERVAL_MS,
            ),
            controller,
            controller,
        )
        self._device.gatt_server.max_mtu = ATT_MTU
        properties = Characteristic.Properties
        self._answers: Characteristic[bytes] = Characteristic(
            _NOTIFY, properties.NOTIFY, Characteristic.READABLE, b""
        )
        requests: Characteristic[Any] = Characteristic(
            _WRITE,
            properties.WRITE | properties.WRITE_WITHOUT_RESPONSE,
            Characteristic.WRITEABLE,
            CharacteristicValue(write=self._on_write),
        )
        self._device.add_service(Service(_SERVICE, [requests, self._answers]))
        texts = {
            0x2A29: MAKER,
            0x2A24: memory.device.model,
            0x2A26: memory.device.firmware,
            0x2A27: memory.device.hardware,
        }
        self._device.add_service(
            Service(
                _DEVICE_INFORMATION,
                [
                    Characteristic(
                        UUID.from_16_bits(number),
                        properties.READ,
                        Characteristic.READABLE,
                        text.encode(),
                    )
                    for number, text in texts.items()
                ],
            )
        )
        self._device.on(Device.EVENT_CONNECTION, self._on_connection)

    def notify(self, outputs: list[Output]) -> None:
        """Take what the lock says; :meth:`speak` sends it."""
        for output in outputs:
            self._outputs.put_nowait(output)

    async def advertise(self) -> None:
        """Keep the air up to date until cancelled."""
        await self._device.power_on()
        shown: bytes | None = None
        while True:
            data = self._server.advertisement() if self._connection is None else None
            if data != shown:
                await self._show(data)
                shown = data
            try:
                async with time_limit(LOOK_AGAIN_S):
                    await self._server.changed.wait()
            except TimeoutError:
                continue
            self._server.changed.clear()

    async def speak(self) -> None:
        """Send what the lock says, one after the other, until cancelled."""
        while True:
            output = await self._outputs.get()
            connection = self._connection
            if connection is None:
                continue  # it was said to a central that is gone
            try:
                if isinstance(output, Notify):
                    await self._clock.sleep(output.after_s)
                    await self._device.notify_subscriber(connection, self._answers, output.data)
                else:
                    await self._clock.sleep(LAST_WORDS_S)
                    # bumble would wait for ever for the end of a connection that is over already.
                    if connection is self._connection:
                        await connection.disconnect()
            except ProtocolError as error:
                # The central went away in this very moment; that is for the disconnection to tell.
                log.debug("virtual_lock_unheard", reason=str(error))

    async def _show(self, data: bytes | None) -> None:
        device = self._device
        if data is None:
            await device.stop_advertising()
            return
        device.advertising_data = _advertising_data(data)
        # Also while it advertises already: this begins anew with the new data.
        await device.start_advertising(own_address_type=hci.OwnAddressType.PUBLIC)

    def _on_connection(self, connection: Connection) -> None:
        connection.on(Connection.EVENT_DISCONNECTION, lambda _: self._on_disconnection(connection))
        try:
            self._server.connect(self)
        except NotConnectable as reason:
            log.info("virtual_lock_refuses", reason=str(reason))
            self._hang_up(connection)
            return
        self._connection = connection

    def _on_disconnection(self, connection: Connection) -> None:
        if connection is self._connection:
            self._connection = None
            while not self._outputs.empty():
                self._outputs.get_nowait()
            self._server.leave(self)
            self._server.changed.set()

    def _on_write(self, connection: Connection, data: bytes) -> None:
        if connection is not self._connection or not self._server.write(self, data):
            self._hang_up(connection)

    def _hang_up(self, connection: Connection) -> None:
        connection.cancel_on_disconnection(connection.disconnect())


def _advertising_data(manufacturer_data: bytes) -> bytes:
    """Return what a real lock sends, byte for byte (reference 1.1); the name is left out.

    It stands in the scan response, which bumble's controller never sends.
    """
    return bytes(
        AdvertisingData(
            [
                (AdvertisingData.FLAGS, _FLAGS),
                (AdvertisingData.TX_POWER_LEVEL, TX_POWER_DBM.to_bytes(1, "big", signed=True)),
                (
                    AdvertisingData.INCOMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS,
                    _SERVICE.to_bytes(),
                ),
                (AdvertisingData.MANUFACTURER_SPECIFIC_DATA, manufacturer_data),
            ]
        )
    )
