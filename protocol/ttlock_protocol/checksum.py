"""CRC-8 of TTLock frames (reference 3.4).

The table is the Dallas/Maxim one (polynomial 0x31, reflected form 0x8C) with **one altered
entry**: number 33 is 0x07 instead of 0x7D. Vendor firmware has it, and a frame whose calculation
crosses that entry is refused by locks when it carries the standard value.
"""

from __future__ import annotations

from typing import Final

_POLYNOMIAL_REFLECTED: Final = 0x8C
_ALTERED_INDEX: Final = 33
_ALTERED_VALUE: Final = 0x07


def _table() -> bytes:
    table = bytearray(256)
    for index in range(256):
        value = index
        for _ in range(8):
            value = (value >> 1) ^ (_POLYNOMIAL_REFLECTED if value & 1 else 0)
        table[index] = value
    table[_ALTERED_INDEX] = _ALTERED_VALUE
    return bytes(table)


TABLE: Final = _table()
"""256 entries; also the source of the masks in :mod:`ttlock_protocol.masking`."""


def crc8(data: bytes) -> int:
    """Return the checksum (0 to 255) of ``data``."""
    table = TABLE
    value = 0
    for byte in data:
        value = table[value ^ byte]
    return value
