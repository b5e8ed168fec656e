"""The air of virtual locks: a Bluetooth adapter that the kernel takes for real, and what is near.

The adapter is a controller of bumble behind ``/dev/vhci``, or behind a serial line as on a
Raspberry Pi where the kernel has no ``hci_vhci``. Locks are further controllers on the same radio.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import struct
import tempfile
import tty
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from enum import StrEnum
from pathlib import Path
from typing import Final

from bumble import hci
from bumble.controller import Controller
from bumble.core import PhysicalTransport
from bumble.link import LocalLink
from bumble.transport import open_transport
from bumble.transport.common import Transport

from ttlock_agent.errors import ConfigError

ADAPTER_ADDRESS: Final = "00:1A:7D:DA:71:13"
VHCI: Final = Path("/dev/vhci")

_UNANSWERABLE: Final = hci.LeFeatureMask.LL_PRIVACY | hci.LeFeatureMask.LE_EXTENDED_ADVERTISING
"""The kernel would use these in a way that this controller does not answer; disconnecting hangs."""
_N_HCI: Final = 15
_TIOCSETD: Final = 0x5423
_HCIUARTSETPROTO: Final = 0x400455C8
_H4: Final = 0


class AirTransport(StrEnum):
    """How the kernel reaches the adapter."""

    VHCI = "vhci"
    UART = "uart"


class Radio(LocalLink):
    """Data carries the address that its connection was made with.

    bumble stamps the sender's random address on it. Linux changes that one for every scan and
    connects from the public one, so a lock would drop all that the adapter sends.
    """

    def send_acl_data(
        self,
        sender_controller: Controller,
        destination_address: hci.Address,
        transport: PhysicalTransport,
        data: bytes,
    ) -> None:
        """Hand ``data`` to the other end of the connection."""
        connection = sender_controller.le_connections.get(destination_address)
        receiver = self.find_le_controller(destination_address)
        if transport != PhysicalTransport.LE or connection is None or receiver is None:
            super().send_acl_data(sender_controller, destination_address, transport, data)
            return
        asyncio.get_running_loop().call_soon(
            receiver.on_link_acl_data, connection.self_address, transport, data
        )


def new_controller(name: str, radio: Radio, address: str) -> Controller:
    """Return a controller within reach of all others on ``radio``."""
    controller = Controller(
        name, link=radio, public_address=hci.Address(address, hci.Address.PUBLIC_DEVICE_ADDRESS)
    )
    controller.le_features &= ~_UNANSWERABLE
    return controller


@asynccontextmanager
async def open_radio(
    transport: AirTransport, *, address: str = ADAPTER_ADDRESS
) -> AsyncGenerator[Radio]:
    """Plug an adapter in, which the kernel calls hciN, and unplug it at the end.

    Raises ``ConfigError`` where this kernel, or this user, cannot have one.
    """
    radio = Radio()  # type: ignore[no-untyped-call]
    adapter = new_controller("adapter", radio, address)
    opened = _vhci if transport is AirTransport.VHCI else _uart
    try:
        async with opened() as line:
            line.source.set_packet_sink(adapter)
            adapter.set_packet_sink(line.sink)
            yield radio
    except OSError as error:
        raise ConfigError(
            f"No virtual adapter can be made over {transport}: {error.strerror or error}.",
            hint="It takes root, and the kernel module hci_vhci (or hci_uart, for uart).",
        ) from error


@asynccontextmanager
async def _vhci() -> AsyncGenerator[Transport]:
    async with await open_transport(f"vhci:{VHCI}") as line:
        yield line


@asynccontextmanager
async def _uart() -> AsyncGenerator[Transport]:
    """Attach one end of a pseudo-terminal to the kernel as a serial line to a controller."""
    with tempfile.TemporaryDirectory() as directory:
        path = f"{directory}/hci"
        async with await open_transport(f"pty:{path}") as line:
            descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY)
            try:
                tty.setraw(descriptor)
                fcntl.ioctl(descriptor, _TIOCSETD, struct.pack("i", _N_HCI))
                fcntl.ioctl(descriptor, _HCIUARTSETPROTO, _H4)  # hciN appears here
                yield line
            finally:
                os.close(descriptor)
