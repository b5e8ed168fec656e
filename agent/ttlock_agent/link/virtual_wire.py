"""What goes over a virtual lock's Unix socket in place of radio: one JSON object a line.

A client scans, sees advertisements, connects, writes and is notified; the end of the stream is the
end of the link. ``type`` tells the objects apart, bytes are Base64. The same socket also takes the
control commands of :mod:`ttlock_agent.virtual_lock.control`.
"""

from __future__ import annotations

from typing import Final

import msgspec

MAX_LINE_BYTES: Final = 4 * 1024 * 1024
"""Longest line that is read: a whole memory with a full log and hundreds of passcodes fits."""


class Scan(msgspec.Struct, frozen=True, tag="scan"):
    """Client: tell me your advertisements from now on; answered by the present one, if on air."""


class Connect(msgspec.Struct, frozen=True, tag="connect"):
    """Client: give me the lock's one slot."""


class Write(msgspec.Struct, frozen=True, tag="write"):
    """Client: one write to the lock's characteristic, at most 20 bytes."""

    data: bytes


RadioRequest = Scan | Connect | Write


class Advertised(msgspec.Struct, frozen=True, tag="advertised"):
    """Lock: an advertisement, its manufacturer data with type and version first."""

    mac: str
    manufacturer_data: bytes
    rssi_dbm: int


class Connected(msgspec.Struct, frozen=True, tag="connected"):
    """Lock: the slot is yours."""


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """Lock: no, and why."""

    reason: str


class Notified(msgspec.Struct, frozen=True, tag="notified"):
    """Lock: one notification, at most 20 bytes."""

    data: bytes


class Disconnected(msgspec.Struct, frozen=True, tag="disconnected"):
    """Lock: I hung up; the stream ends behind this."""


RadioEvent = Advertised | Connected | Refused | Notified | Disconnected


def encode_line(message: msgspec.Struct) -> bytes:
    """Return ``message`` as one line."""
    return msgspec.json.encode(message) + b"\n"
