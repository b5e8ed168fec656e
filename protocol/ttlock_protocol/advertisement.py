"""What a lock says to everybody: its manufacturer data (reference 1.2 to 1.8).

The first two bytes are protocol type and version. Bluetooth stacks take them for a company number
and hand it over apart, little-endian; :func:`rejoin` puts them together again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from .errors import LocalProtocolError
from .frame import Version
from .messages.operate import BoltState
from .wire import MAC, Reader

V3_TYPE: Final = 5
V3_VERSION: Final = 3
PARKING_SCENE: Final = 7
MAX_BATTERY_PERCENT: Final = 100
BATTERY_SETTLES_S: Final = 120.0
"""For so long after a connection the advertised battery may be wrong (disagreement D35)."""

_MIN_V3_BYTES: Final = 15
_MAC_BYTES: Final = 6
_UNLOCKED: Final = 0x01
_NEW_RECORDS: Final = 0x02
_SETTING_MODE: Final = 0x04
_TOUCHED: Final = 0x08
_DORMANT_OR_CAR: Final = 0x10
_DOOR_SENSOR: Final = 0x20
_UNDECODED_BYTES: Final = 6
_LEGACY_BYTES: Final = 18
_LEGACY_TYPE_OFFSET: Final = 4
_LEGACY_TYPES: Final = ((3, 1), (5, 1), (5, 4), (10, 1), (11, 1))
_MAC: Final = re.compile(r"(?:[0-9A-F]{2}:){5}[0-9A-F]{2}", re.ASCII)


class Parking(Enum):
    """What a parking lock (scene 7) tells."""

    RAISED = "raised"
    LOWERED = "lowered"
    UNKNOWN = "unknown"
    LOWERED_WITH_CAR = "lowered with a car"


_PARKING: Final = {
    0: Parking.RAISED,
    _UNLOCKED: Parking.LOWERED,
    _DORMANT_OR_CAR: Parking.UNKNOWN,
    _UNLOCKED | _DORMANT_OR_CAR: Parking.LOWERED_WITH_CAR,
}
_PARKING_BOLT: Final = {
    Parking.RAISED: BoltState.LOCKED,
    Parking.LOWERED: BoltState.UNLOCKED,
    Parking.UNKNOWN: BoltState.UNKNOWN,
    Parking.LOWERED_WITH_CAR: BoltState.UNLOCKED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Advertisement:
    """One V3 advertisement.

    ``params`` is the raw byte of flags, ``battery`` the raw byte of charge, ``undecoded`` the six
    bytes that nobody understands. Group and organisation are not advertised.
    """

    mac: str
    scene: int
    params: int
    battery: int
    undecoded: bytes = bytes(_UNDECODED_BYTES)

    @property
    def version(self) -> Version:
        """The header to begin a connection with (disagreement D6)."""
        return Version(protocol_type=V3_TYPE, protocol_version=V3_VERSION, scene=self.scene)

    @property
    def battery_percent(self) -> int | None:
        """Charge, ``None`` where the byte is no percentage.

        May jump to 100 for a while after a connection: see :meth:`battery_after`.
        """
        return self.battery if self.battery <= MAX_BATTERY_PERCENT else None

    def battery_after(self, since_connection_s: float) -> int | None:
        """Charge, ``None`` while the last connection is too recent to believe it (D35)."""
        return self.battery_percent if since_connection_s >= BATTERY_SETTLES_S else None

    @property
    def is_setting_mode(self) -> bool:
        """Whether the lock has no administrator and can be enrolled."""
        return bool(self.params & _SETTING_MODE)

    @property
    def has_new_records(self) -> bool:
        """Whether the log has records that nobody read with the moving bookmark."""
        return bool(self.params & _NEW_RECORDS)

    @property
    def is_touched(self) -> bool:
        """Whether somebody touched it a moment ago (disagreement D9: the bit, nothing else)."""
        return bool(self.params & _TOUCHED)

    @property
    def is_dormant(self) -> bool:
        """Whether the radio dozes: the firmware then clears the bolt's bit as well (D8)."""
        return self.scene != PARKING_SCENE and bool(self.params & _DORMANT_OR_CAR)

    @property
    def has_door_sensor_flag(self) -> bool:
        """The vendor's door-sensor flag; its sense is not confirmed."""
        return bool(self.params & _DOOR_SENSOR)

    @property
    def parking(self) -> Parking | None:
        """What a parking lock tells; ``None`` for other locks."""
        if self.scene != PARKING_SCENE:
            return None
        return _PARKING[self.params & (_UNLOCKED | _DORMANT_OR_CAR)]

    @property
    def bolt(self) -> BoltState:
        """The bolt; ``UNKNOWN`` while dormant, never "locked" by mistake (disagreement D8)."""
        if self.parking is not None:
            return _PARKING_BOLT[self.parking]
        if self.is_dormant:
            return BoltState.UNKNOWN
        return BoltState.UNLOCKED if self.params & _UNLOCKED else BoltState.LOCKED

    def bolt_over(self, answered: BoltState) -> BoltState:
        """The bolt, where an older answer of the lock said ``answered`` (disagreement D36).

        One lock answers for ever the same; a newer advertisement that knows is believed instead.
        """
        return answered if self.bolt == BoltState.UNKNOWN else self.bolt

    def encode(self) -> bytes:
        """Return the 17 bytes of manufacturer data."""
        out = bytearray((V3_TYPE, V3_VERSION))
        for value in (self.scene, self.params, self.battery):
            if not 0 <= value <= 0xFF:
                raise LocalProtocolError("scene, flags and battery are one byte each")
            out.append(value)
        if len(self.undecoded) != _UNDECODED_BYTES:
            raise LocalProtocolError(f"{_UNDECODED_BYTES} bytes stand before the address")
        out += self.undecoded
        MAC.encode(self.mac, out)
        return bytes(out)


class ForeignKind(Enum):
    """Other things that advertise in this family (reference 1.4)."""

    FIRMWARE_UPDATE = "waits for firmware"
    GATEWAY_FIRMWARE_UPDATE = "gateway, waits for firmware"
    WRISTBAND = "wristband"
    LEGACY = "older protocol"


@dataclass(frozen=True, slots=True)
class Foreign:
    """Recognised, and nothing that this library speaks to; ``mac`` where it is told."""

    kind: ForeignKind
    mac: str | None = None


_FOREIGN_MAGIC: Final = {
    b"\x12\x19": ForeignKind.FIRMWARE_UPDATE,
    b"\xff\xff": ForeignKind.FIRMWARE_UPDATE,
    b"\x13\x19": ForeignKind.GATEWAY_FIRMWARE_UPDATE,
    b"\x34\x12": ForeignKind.WRISTBAND,
}


def rejoin(company: int, data: bytes) -> bytes:
    """Return the manufacturer data with the two bytes that the stack took for a company."""
    return company.to_bytes(2, "little") + data


def build(
    *,
    mac: str,
    scene: int,
    battery_percent: int,
    is_unlocked: bool = False,
    has_new_records: bool = False,
    is_setting_mode: bool = False,
    is_touched: bool = False,
    is_dormant: bool = False,
) -> Advertisement:
    """Make what a door lock advertises; a dormant one hides its bolt, as firmware does."""
    params = (
        _UNLOCKED * (is_unlocked and not is_dormant)
        | _NEW_RECORDS * has_new_records
        | _SETTING_MODE * is_setting_mode
        | _TOUCHED * is_touched
        | _DORMANT_OR_CAR * is_dormant
    )
    return Advertisement(mac=mac, scene=scene, params=params, battery=battery_percent)


def parse(data: bytes) -> Advertisement | Foreign | None:
    """Read manufacturer data; ``None`` for what is not of this family.

    The address is always the last six bytes: some firmware sends 15 bytes instead of 17.
    """
    if data[:2] == bytes((V3_TYPE, V3_VERSION)) and len(data) >= _MIN_V3_BYTES:
        return Advertisement(
            mac=MAC.decode(Reader(data[-_MAC_BYTES:])),
            scene=data[2],
            params=data[3],
            battery=data[4],
            undecoded=data[5:-_MAC_BYTES][:_UNDECODED_BYTES].ljust(_UNDECODED_BYTES, b"\0"),
        )
    if (kind := _FOREIGN_MAGIC.get(data[:2])) is not None:
        has_mac = len(data) >= 2 + _MAC_BYTES
        return Foreign(kind, MAC.decode(Reader(data[2 : 2 + _MAC_BYTES])) if has_mac else None)
    if len(data) == _LEGACY_BYTES:
        shape = (data[_LEGACY_TYPE_OFFSET], data[_LEGACY_TYPE_OFFSET + 1])
        if shape in _LEGACY_TYPES:
            return Foreign(ForeignKind.LEGACY, MAC.decode(Reader(data[-_MAC_BYTES:])))
    return None


def choose(entries: Mapping[int, bytes], *, mac: str) -> Advertisement | None:
    """Pick the advertisement of the lock ``mac`` among what the stack remembers.

    BlueZ keeps the entries of changed first bytes: only one that names the lock is its own, and the
    newest is the last. ``mac`` is ``AA:BB:CC:DD:EE:FF``.
    """
    if not _MAC.fullmatch(mac.upper()):
        raise LocalProtocolError("an address must be six hexadecimal octets")
    newest_first = reversed(list(entries.items()))
    parsed = (parse(rejoin(company, data)) for company, data in newest_first)
    own = (each for each in parsed if isinstance(each, Advertisement) and each.mac == mac.upper())
    return next(own, None)
