"""Commands that exist and that nobody knows how to say, or should not (reference 6.13, 10.2, D27).

The client refuses to send them, with the reason; the virtual lock answers ``NOT_SUPPORTED`` (0x1B).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from .errors import LocalProtocolError

_NO_LAYOUT: Final = "no public source knows its layout"
_ONE_GUESS: Final = "the one published layout is a guess"
_NOT_V3: Final = "locks of this generation do not use it"

UNCONFIRMED: Final[Mapping[int, str]] = MappingProxyType(
    {
        0x02: "it puts the lock into firmware update, and there is no firmware to send",
        0x04: _NOT_V3,
        0x13: _NO_LAYOUT,
        0x44: _NOT_V3,
        0x49: _NOT_V3,
        0x4C: _NOT_V3,
        0x61: _NO_LAYOUT,
        0x67: _ONE_GUESS,
        0x69: _NO_LAYOUT,
        0x71: _ONE_GUESS,
        0x73: _NO_LAYOUT,
        0x74: _ONE_GUESS,
        0x76: _NO_LAYOUT,
    }
)
"""Opcode to the reason why it is not sent."""


def check_confirmed(opcode: int) -> None:
    """Raise ``LocalProtocolError`` with the reason for a command that must not be sent."""
    if (reason := UNCONFIRMED.get(opcode)) is not None:
        raise LocalProtocolError(f"command 0x{opcode:02x} is not sent: {reason}")
