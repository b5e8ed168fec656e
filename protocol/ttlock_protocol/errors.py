"""What can go wrong in the protocol, as types.

``LocalProtocolError`` is our own mistake and is never retried. ``RemoteProtocolError`` means that
the other side sent something that cannot be right. ``CommandRefused`` is a well-formed "no".
No message ever contains a passcode, a key or raw bytes.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Self


class ProtocolError(Exception):
    """Root of the protocol's errors; not raised itself."""


class LocalProtocolError(ProtocolError):
    """We were asked to say something that the protocol cannot say, or at the wrong moment."""


class RemoteProtocolError(ProtocolError):
    """The other side sent something that cannot be right; root, not raised itself."""


class FrameError(RemoteProtocolError):
    """A frame is damaged: wrong checksum or a payload that is not whole cipher blocks."""


class DecodeError(RemoteProtocolError):
    """A payload does not have the layout of its message."""


class UnexpectedResponse(RemoteProtocolError):
    """A well-formed answer that does not belong to anything that was asked."""


class KeyMismatch(RemoteProtocolError):
    """The lock does not share our key: it was reset, or paired anew by somebody else.

    Said by a reply without payload, or one that does not decrypt (reference 7.4).
    """


class OpenIntEnum(IntEnum):
    """An enumeration whose unknown values stay what they are instead of failing.

    Members made for unknown values are named ``UNKNOWN_<decimal>`` and equal their number.
    """

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, int):
            return None
        member = int.__new__(cls, value)
        member._name_ = f"UNKNOWN_{value}"
        member._value_ = value
        return member

    @property
    def is_known(self) -> bool:
        """Whether the value is one that this library has a name for."""
        return self.value in type(self)._value2member_map_


class Refusal(OpenIntEnum):
    """Error codes of the lock (reference 7.2)."""

    NO_DETAIL = 0x00
    CHECKSUM = 0x01
    NO_PERMISSION = 0x02
    WRONG_ADMIN_SECRET = 0x03
    MEMORY_FULL = 0x04
    IN_SETTING_MODE = 0x05
    NO_ADMINISTRATOR = 0x06
    NOT_IN_SETTING_MODE = 0x07
    WRONG_DYNAMIC_CODE = 0x08
    BATTERY_TOO_LOW = 0x0A
    RESET_PASSCODES_FAILED = 0x0B
    PASSCODE_SEQUENCE = 0x0C
    EKEYS_WERE_RESET = 0x0D
    EKEY_EXPIRED = 0x0E
    PASSCODE_LENGTH = 0x0F
    SAME_AS_ERASE_CODE = 0x10
    EKEY_NOT_YET_VALID = 0x11
    NO_AES_KEY = 0x12
    FAILED = 0x13
    PASSCODE_EXISTS = 0x14
    PASSCODE_NOT_FOUND = 0x15
    PASSCODE_MEMORY_FULL = 0x16
    PARAMETER_LENGTH = 0x17
    CARD_NOT_FOUND = 0x18
    FINGERPRINT_EXISTS = 0x19
    """Also "unknown kind of information" when it answers a device information request."""
    FINGERPRINT_NOT_FOUND = 0x1A
    NOT_SUPPORTED = 0x1B
    FROZEN = 0x1C
    CLIENT_TOKEN_REFUSED = 0x1D
    PRIVACY_LOCK_ENGAGED = 0x1E
    RECORD_NOT_FOUND = 0x1F
    INVALID_PARAMETER = 0x20
    STILL_PROCESSING = 0x24
    WRONG_WIFI_NAME = 0x25
    WRONG_WIFI_PASSWORD = 0x26


class CommandRefused(ProtocolError):
    """The lock understood a request and refused it.

    ``refusal`` is the named code (an unknown number keeps its value), ``opcode`` what was refused.
    """

    def __init__(self, opcode: int, refusal: Refusal) -> None:
        super().__init__(f"the lock refused command 0x{opcode:02x}: {refusal.name.lower()}")
        self.opcode = opcode
        self.refusal = refusal
