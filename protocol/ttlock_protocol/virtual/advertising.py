"""Manufacturer data of a V3 lock (reference 1.2, 1.3, 1.8)."""

from __future__ import annotations

from typing import Final

from ttlock_protocol.messages.operate import BoltState
from ttlock_protocol.wire import MAC

from .memory import Memory

UNLOCKED: Final = 0x01
UNREAD_LOG: Final = 0x02
SETTING_MODE: Final = 0x04
TOUCHED: Final = 0x08
DORMANT: Final = 0x10
_UNEXPLAINED: Final = bytes.fromhex("b00000000000")
"""Bytes 5 to 10, which nobody has decoded; as captured."""


def manufacturer_data(
    memory: Memory, *, battery_percent: int, is_touched: bool, is_dormant: bool
) -> bytes:
    """Return the 17 bytes, protocol type and version first.

    A dozing radio hides the bolt: "unlocked" is never set together with "dormant".
    """
    flags = 0
    if memory.bolt.state == BoltState.UNLOCKED and not is_dormant:
        flags |= UNLOCKED
    if memory.log.has_unread:
        flags |= UNREAD_LOG
    if memory.administrator is None:
        flags |= SETTING_MODE
    if is_touched:
        flags |= TOUCHED
    if is_dormant:
        flags |= DORMANT
    version = memory.version
    out = bytearray(
        (version.protocol_type, version.protocol_version, version.scene, flags, battery_percent)
    )
    out += _UNEXPLAINED
    MAC.encode(memory.mac, out)
    return bytes(out)
