"""The operation log: what happened at the door (reference 6.16).

Records hold passcodes in clear text: a log is as secret as the passcodes themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field as plain_field
from datetime import datetime
from typing import Any, Final

from ttlock_protocol.errors import DecodeError, LocalProtocolError, OpenIntEnum
from ttlock_protocol.message import Auth, Opcode, field, request, response
from ttlock_protocol.wire import (
    DATE5,
    DATE6,
    MAC,
    TEXT,
    U8,
    U16,
    U32,
    Codec,
    Octets,
    OrNone,
    Reader,
)

from .pages import CountedPage, PageRequest, Unreadable

OLDEST: Final = 0x0000
"""Cursor: from the oldest record on."""
UNREAD: Final = 0xFFFF
"""Cursor: what came since the last such read. **Moves a bookmark that the owner's app and the
gateway share**; an agent that stands in for them must not use it."""
BEHIND_LAST: Final = 0xFFEF
"""Cursor behind the highest number a record has; numbers then start again at 1."""
END_CURSORS: Final = (0, 0xFFF0)
"""Values of ``next`` that end a log besides an empty page."""


class LogType(OpenIntEnum):
    """Kinds of records; numbers without a sure meaning stay numbers (disagreement D28)."""

    APP_UNLOCK = 1
    SERVER_UNLOCK = 3
    PASSCODE_UNLOCK = 4
    PASSCODE_CHANGED_AT_KEYPAD = 5
    PASSCODE_DELETED_AT_KEYPAD = 6
    WRONG_PASSCODE = 7
    PASSCODES_CLEARED_AT_KEYPAD = 8
    PASSCODE_PUSHED_OUT = 9
    ERASE_PASSCODE_USED = 10
    PASSCODE_OUT_OF_WINDOW = 11
    PASSCODE_NO_SPACE = 12
    PASSCODE_BLACKLISTED = 13
    REBOOTED = 14
    CARD_ADDED = 15
    CARDS_CLEARED = 16
    CARD_UNLOCK = 17
    CARD_DELETED = 18
    WRISTBAND_UNLOCK = 19
    FINGERPRINT_UNLOCK = 20
    FINGERPRINT_ADDED = 21
    FINGERPRINT_OUT_OF_WINDOW = 22
    FINGERPRINT_DELETED = 23
    FINGERPRINTS_CLEARED = 24
    CARD_REFUSED = 25
    APP_LOCK = 26
    KEY_UNLOCK = 27
    GATEWAY_UNLOCK = 28
    FORCED = 29
    DOOR_CLOSED = 30
    DOOR_OPENED = 31
    WENT_OUT = 32
    FINGERPRINT_LOCK = 33
    PASSCODE_LOCK = 34
    CARD_LOCK = 35
    KEY_LOCK = 36
    REMOTE_CONTROL = 37
    PASSCODE_REVERSE_LOCKED = 38
    CARD_REVERSE_LOCKED = 39
    FINGERPRINT_REVERSE_LOCKED = 40
    APP_REVERSE_LOCKED = 41
    HIGH_TEMPERATURE_UNLOCK = 50
    CARD_BLACKLISTED = 51
    APP_DEAD_LOCK = 52
    KEY_FOB = 55
    WIRELESS_KEYPAD = 56
    QR_CODE_UNLOCK = 57
    QR_CODE_REFUSED = 58
    QR_CODE_LOCK = 61
    QR_CODE_REVERSE_LOCKED = 62
    DOOR_LEFT_OPEN = 64
    FACE_UNLOCK = 67
    FACE_REVERSE_LOCKED = 68
    FACE_LOCK = 69
    FACE_ADDED = 70
    FACE_OUT_OF_WINDOW = 71
    FACE_DELETED = 72
    FACES_CLEARED = 73
    CPU_CARD_REFUSED = 74
    AUTHORISED_APP_UNLOCK = 75
    AUTHORISED_GATEWAY_UNLOCK = 76
    DOUBLE_AUTHENTICATION_KEY = 77
    DOUBLE_AUTHENTICATION_PASSCODE = 78
    DOUBLE_AUTHENTICATION_FINGERPRINT = 79
    DOUBLE_AUTHENTICATION_CARD = 80
    DOUBLE_AUTHENTICATION_FACE = 81
    DOUBLE_AUTHENTICATION_FOB = 82
    DOUBLE_AUTHENTICATION_PALM = 83
    PALM_UNLOCK = 84
    PALM_REVERSE_LOCKED = 85
    PALM_LOCK = 86
    PALM_ADDED = 87
    PALM_REFUSED = 88
    PALM_DELETED = 89
    PALMS_CLEARED = 90
    CARD_FAILED = 91
    ADMIN_PASSCODE_UNLOCK = 92
    PASSCODE_ADDED = 93
    THIRD_PARTY_UNLOCK = 94
    THIRD_PARTY_LOCK = 95
    THIRD_PARTY_REVERSE_LOCKED = 96
    THIRD_PARTY_OUT_OF_WINDOW = 97
    THIRD_PARTY_DOUBLE_AUTHENTICATION = 98
    THIRD_PARTY_ADDED = 99
    THIRD_PARTY_DELETED = 100
    THIRD_PARTY_CLEARED = 101
    VENDOR_SPECIFIC = 107
    LOW_BATTERY_UNLOCK = 111
    HIGH_TEMPERATURE_ALARM = 115
    FIRE_ALARM = 116
    NFC_QUERY = 249


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRecord:
    """One record; which of the optional fields are there depends on ``log_type``.

    ``recorded_at`` is lock-local and ``None`` where the lock's clock held no real date. ``battery``
    is the raw byte: a percentage up to 100, not known from 128 on. ``tail`` keeps what no layout
    explains.
    """

    log_type: LogType
    recorded_at: datetime | None
    battery: int
    user_id: int | None = None
    record_id: int | None = None
    key: int | None = None
    passcode: str | None = plain_field(default=None, repr=False)
    other_passcode: str | None = plain_field(default=None, repr=False)
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    card_number: bytes | None = plain_field(default=None, repr=False)
    credential: bytes | None = plain_field(default=None, repr=False)
    mac: str | None = None
    accessory_battery: int | None = None
    tail: bytes = plain_field(default=b"", repr=False)


class _CardNumber:
    """A card number, which fills the rest of its record."""

    def encode(self, value: bytes, out: bytearray) -> None:
        out += value

    def decode(self, reader: Reader) -> bytes:
        if reader.remaining not in _CARD_WIDTHS:
            raise DecodeError("a card number is 4 or 8 bytes")
        return reader.rest()


_CARD_WIDTHS: Final = (4, 8)

_Part = tuple[str, Codec[Any]]
_USER: Final[_Part] = ("user_id", U32)
_RECORD: Final[_Part] = ("record_id", U32)
_KEY: Final[_Part] = ("key", U8)
_PASSCODE: Final[_Part] = ("passcode", TEXT)
_OTHER: Final[_Part] = ("other_passcode", TEXT)
_FROM: Final[_Part] = ("valid_from", OrNone(DATE5, 5))
_UNTIL: Final[_Part] = ("valid_until", OrNone(DATE5, 5))
_CARD: Final[_Part] = ("card_number", _CardNumber())
_SHORT_ID: Final[_Part] = ("credential", Octets(2))
_LONG_ID: Final[_Part] = ("credential", Octets(6))
_MAC: Final[_Part] = ("mac", MAC)
_BATTERY: Final[_Part] = ("accessory_battery", U8)


def _each(numbers: tuple[int, ...], *parts: _Part) -> dict[int, tuple[_Part, ...]]:
    return dict.fromkeys(numbers, parts)


# Parts are read in order as long as bytes remain: older firmware leaves the last ones out.
_TAILS: Final[dict[int, tuple[_Part, ...]]] = {
    **_each((1, 3, 26, 28, 41, 52, 75, 76, 77), _USER, _RECORD),
    37: (_USER, _RECORD, _KEY),
    **_each((4, 5, 6, 9, 10, 11, 12, 13, 34, 38, 78, 92), _PASSCODE, _OTHER),
    7: (_PASSCODE,),
    8: (_FROM, _PASSCODE),
    93: (_PASSCODE, _FROM, _UNTIL),
    **_each((15, 17, 18, 25, 35, 39, 51, 74, 80, 91), _CARD),
    **_each((20, 21, 22, 23, 33, 40, 79), _LONG_ID, _PASSCODE),
    **_each((19, 94, 95, 96, 97, 98, 99, 100), _MAC),
    **_each((30, 31), _BATTERY),
    **_each((55, 82), _MAC, _KEY, _BATTERY),
    **_each((57, 58, 61, 62), _SHORT_ID),
    **_each((67, 68, 69, 70, 71, 72, 81, 83, 84, 85, 86, 87, 88, 89), _LONG_ID),
}
_WIRELESS_KEYPAD_PARTS: Final[dict[int, tuple[_Part, ...]]] = {
    # Disagreement D17: the length tells whether a key number stands before the battery.
    7: (_MAC, _BATTERY),
    8: (_MAC, _KEY, _BATTERY),
}


class _LogRecordCodec:
    def encode(self, value: LogRecord, out: bytearray) -> None:
        U8.encode(value.log_type, out)
        OrNone(DATE6, 6).encode(value.recorded_at, out)
        U8.encode(value.battery, out)
        parts = _TAILS.get(value.log_type, ())
        if value.log_type == LogType.WIRELESS_KEYPAD:
            parts = _WIRELESS_KEYPAD_PARTS[7 if value.key is None else 8]
        contents = [(codec, getattr(value, name)) for name, codec in parts]
        while contents and contents[-1][1] is None:
            contents.pop()
        for codec, content in contents:
            if content is None and not isinstance(codec, OrNone):
                raise LocalProtocolError("a part of a log record is missing before another one")
            codec.encode(content, out)
        out += value.tail

    def decode(self, reader: Reader) -> LogRecord:
        log_type = LogType(U8.decode(reader))
        recorded_at = OrNone(DATE6, 6).decode(reader)
        battery = U8.decode(reader)
        tail = reader.rest()
        try:
            parts, rest = self._parts(log_type, Reader(tail))
        except DecodeError:
            parts, rest = {}, tail
        return LogRecord(
            log_type=log_type, recorded_at=recorded_at, battery=battery, tail=rest, **parts
        )

    def _parts(self, log_type: LogType, reader: Reader) -> tuple[dict[str, Any], bytes]:
        known = _TAILS.get(log_type, ())
        if log_type == LogType.WIRELESS_KEYPAD:
            known = _WIRELESS_KEYPAD_PARTS.get(reader.remaining, ())
        parts: dict[str, Any] = {}
        for name, codec in known:
            if not reader.remaining:
                break
            parts[name] = codec.decode(reader)
        return parts, reader.rest()


@response(Opcode.LOG)
class LogPage(CountedPage[LogRecord]):
    """Some records; the last one's number is ``next_cursor`` - 1."""

    _record = _LogRecordCodec()
    next_cursor: int | None
    records: tuple[LogRecord | Unreadable, ...] = ()


@request(Opcode.LOG, auth=Auth.NOTHING, is_repeatable=True)
class GetLog(PageRequest[LogPage]):
    """Read a page behind ``cursor``; needs no authentication.

    Any cursor but ``UNREAD`` leaves the lock as it was.
    """

    cursor: int = field(U16)

    @property
    def is_repeatable(self) -> bool:
        """Whether it may be resent: not with the cursor that moves the bookmark."""
        return self.cursor != UNREAD
