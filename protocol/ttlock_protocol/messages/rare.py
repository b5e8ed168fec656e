"""Commands for special hardware, from one source each (reference 6.21).

NB-IoT and wristband locks, remote-control devices, hotel locks. What these locks answer beyond
success is not known, so bodies are kept raw.
"""

from __future__ import annotations

from typing import Final

from ttlock_protocol.cipher import KEY_BYTES
from ttlock_protocol.errors import OpenIntEnum
from ttlock_protocol.message import (
    Auth,
    Opcode,
    Request,
    Response,
    const,
    field,
    request,
    response,
)
from ttlock_protocol.wire import U8, U16, U24, U32, Enum8, Octets, RestText

_CARD_KEY_BYTES: Final = 6


@response(Opcode.NB_ADDRESS)
class NbAddressSet(Response):
    """The server's address was set."""

    body: bytes = field(Octets(), default=b"")


@request(Opcode.NB_ADDRESS, auth=Auth.ADMIN, is_repeatable=True)
class SetNbAddress(Request[NbAddressSet]):
    """Tell an NB-IoT lock its server: port 0 to 65535 and host name or address (feature 16)."""

    port: int = field(U16)
    address: str = field(RestText())


@response(Opcode.WRISTBAND_KEY)
class WristbandKeySet(Response):
    """The wristband's key was set."""

    body: bytes = field(Octets(), default=b"")


@request(Opcode.WRISTBAND_KEY, auth=Auth.ADMIN, is_repeatable=True)
class SetWristbandKey(Request[WristbandKeySet]):
    """Set the key of a wristband, in ASCII (feature 3)."""

    key: str = field(RestText(), is_secret=True)


class Button(OpenIntEnum):
    """Buttons of a remote-control device."""

    STOP = 0
    UNLOCK = 1
    LOCK = 2
    PAUSE = 4
    HOLD = 8


@response(Opcode.REMOTE_CONTROL)
class RemoteControlAnswer(Response):
    """What the device says."""

    body: bytes = field(Octets(), default=b"")


@request(Opcode.REMOTE_CONTROL, auth=Auth.USER_CHALLENGE, is_repeatable=True)
class GetRemoteControl(Request[RemoteControlAnswer]):
    """Ask a remote-control device for its state."""

    operation: int = const(1)


@request(Opcode.REMOTE_CONTROL, auth=Auth.USER_CHALLENGE, is_repeatable=False)
class ClickRemoteControl(Request[RemoteControlAnswer]):
    """Press a button of a remote-control device; ``unique_id`` as for unlocking."""

    operation: int = const(2)
    proof: int = field(U32, is_secret=True)
    unique_id: int = field(U32)
    button: Button = field(Enum8(Button))


@response(Opcode.HOTEL)
class HotelAnswer(Response):
    """What a hotel lock says."""

    body: bytes = field(Octets(), default=b"", is_secret=True)


@request(Opcode.HOTEL, auth=Auth.ADMIN, is_repeatable=True)
class GetHotelItem(Request[HotelAnswer]):
    """Read an item: 1 card key, 2 AES key, 3 numbers (feature 19)."""

    operation: int = const(1)
    item: int = field(U8)


@request(Opcode.HOTEL, auth=Auth.ADMIN, is_repeatable=True)
class SetHotelCardKey(Request[HotelAnswer]):
    """Set the key of the hotel's cards, 6 bytes."""

    operation: int = const(2)
    item: int = const(1)
    size: int = const(_CARD_KEY_BYTES)
    key: bytes = field(Octets(_CARD_KEY_BYTES), is_secret=True)


@request(Opcode.HOTEL, auth=Auth.ADMIN, is_repeatable=True)
class SetHotelAesKey(Request[HotelAnswer]):
    """Set the AES key of the hotel's cards, 16 bytes."""

    operation: int = const(2)
    item: int = const(2)
    size: int = const(KEY_BYTES)
    key: bytes = field(Octets(KEY_BYTES), is_secret=True)


@request(Opcode.HOTEL, auth=Auth.ADMIN, is_repeatable=True)
class SetHotelNumbers(Request[HotelAnswer]):
    """Set hotel (24 bits), building and floor (8 bits each)."""

    operation: int = const(2)
    item: int = const(3)
    size: int = const(5)
    hotel: int = field(U24)
    building: int = field(U8)
    floor: int = field(U8)
