"""Field codecs: how one value of a message stands in its payload (reference 0.2).

A codec encodes a value onto a ``bytearray`` and decodes it from a :class:`Reader`. Impossible
values raise ``LocalProtocolError`` when encoded and ``DecodeError`` when decoded, nothing else.
"""

from __future__ import annotations

from datetime import datetime, time
from enum import IntEnum
from typing import Final, Protocol, TypeVar

from .errors import DecodeError, LocalProtocolError

T = TypeVar("T")
E = TypeVar("E", bound=IntEnum)

FIRST_YEAR: Final = 2000
LAST_YEAR: Final = 2099


class Reader:
    """A cursor over the bytes of one payload."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def remaining(self) -> int:
        """Bytes not read yet."""
        return len(self._data) - self._at

    def take(self, count: int) -> bytes:
        """Return the next ``count`` bytes; raises ``DecodeError`` when there are fewer."""
        end = self._at + count
        if end > len(self._data):
            raise DecodeError(f"{count} bytes are needed where {self.remaining} are left")
        piece = self._data[self._at : end]
        self._at = end
        return piece

    def integer(self, size: int) -> int:
        """Return the next ``size`` bytes as an unsigned big-endian number."""
        return int.from_bytes(self.take(size), "big")

    def rest(self) -> bytes:
        """Return all that is left."""
        return self.take(self.remaining)


class Codec(Protocol[T]):
    """How values of one kind stand in a payload."""

    def encode(self, value: T, out: bytearray) -> None:
        """Append ``value``; raises ``LocalProtocolError`` when it cannot be said."""
        ...

    def decode(self, reader: Reader) -> T:
        """Read one value; raises ``DecodeError``."""
        ...


class Unsigned:
    """An unsigned big-endian integer of ``size`` bytes."""

    def __init__(self, size: int) -> None:
        self._size = size

    def encode(self, value: int, out: bytearray) -> None:
        """Append the number, which must fit."""
        if not 0 <= value < 1 << 8 * self._size:
            raise LocalProtocolError(f"{value} does not fit into {self._size} unsigned bytes")
        out += value.to_bytes(self._size, "big")

    def decode(self, reader: Reader) -> int:
        """Read the number."""
        return reader.integer(self._size)


class Signed8:
    """A signed byte."""

    def encode(self, value: int, out: bytearray) -> None:
        """Append a number from -128 to 127."""
        if not -0x80 <= value < 0x80:
            raise LocalProtocolError(f"{value} does not fit into a signed byte")
        out += value.to_bytes(1, "big", signed=True)

    def decode(self, reader: Reader) -> int:
        """Read the number."""
        return int.from_bytes(reader.take(1), "big", signed=True)


class Enum8(Codec[E]):
    """One byte that stands for a member of an enumeration; open ones keep unknown values."""

    def __init__(self, kind: type[E]) -> None:
        self._kind = kind

    def encode(self, value: E, out: bytearray) -> None:
        """Append the member's number."""
        U8.encode(int(value), out)

    def decode(self, reader: Reader) -> E:
        """Read the member; raises ``DecodeError`` for an unknown value of a closed enumeration."""
        raw = reader.integer(1)
        try:
            return self._kind(raw)
        except ValueError:
            raise DecodeError(f"{raw} is not a {self._kind.__name__}") from None


class Flag:
    """A number of ``size`` bytes, 0 for false and anything else for true."""

    def __init__(self, size: int = 1) -> None:
        self._size = size

    def encode(self, value: bool, out: bytearray) -> None:
        """Append 1 or 0."""
        out += bool(value).to_bytes(self._size, "big")

    def decode(self, reader: Reader) -> bool:
        """Read the flag."""
        return reader.integer(self._size) != 0


class Octets:
    """Raw bytes: exactly ``size`` of them, or with ``None`` all that is left."""

    def __init__(self, size: int | None = None) -> None:
        self._size = size

    def encode(self, value: bytes, out: bytearray) -> None:
        """Append the bytes."""
        if self._size is not None and len(value) != self._size:
            raise LocalProtocolError(f"{self._size} bytes are needed, not {len(value)}")
        out += value

    def decode(self, reader: Reader) -> bytes:
        """Read the bytes."""
        return reader.rest() if self._size is None else reader.take(self._size)


class PrefixedText:
    """ASCII text behind one byte that holds its length (``ls`` in the reference)."""

    def encode(self, value: str, out: bytearray) -> None:
        """Append length and text; raises ``LocalProtocolError`` for non-ASCII or over 255 bytes."""
        if not value.isascii() or len(value) > 0xFF:
            raise LocalProtocolError("text must be ASCII and at most 255 characters")
        out.append(len(value))
        out += value.encode("ascii")

    def decode(self, reader: Reader) -> str:
        """Read the text."""
        return _ascii(reader.take(reader.integer(1)))


class TerminatedText:
    """Text that ends at a NUL byte or with the payload (reference 6.19, disagreement D25).

    Bytes that are not printable ASCII become ``?``: the text comes from a lock and people see it.
    """

    def encode(self, value: str, out: bytearray) -> None:
        """Append the text and its NUL; raises ``LocalProtocolError`` for what is not printable."""
        if not value.isprintable():
            raise LocalProtocolError("text must be printable")
        out += _ascii_bytes(value) + b"\0"

    def decode(self, reader: Reader) -> str:
        """Read up to the NUL."""
        raw = reader.rest().split(b"\0", 1)[0]
        return "".join(chr(byte) if 0x20 <= byte < 0x7F else "?" for byte in raw)


class RestText:
    """ASCII text that fills the rest of the payload."""

    def encode(self, value: str, out: bytearray) -> None:
        """Append the text."""
        out += _ascii_bytes(value)

    def decode(self, reader: Reader) -> str:
        """Read the text."""
        return _ascii(reader.rest())


class DigitValues:
    """Digits, one byte each holding 0 to 9, to the end of the payload (reference 6.5, D23)."""

    def encode(self, value: str, out: bytearray) -> None:
        """Append one byte for each digit."""
        if not (value.isascii() and value.isdigit()):
            raise LocalProtocolError("only the digits 0 to 9 can be sent")
        out += bytes(int(digit) for digit in value)

    def decode(self, reader: Reader) -> str:
        """Read the digits."""
        raw = reader.rest()
        if any(value > 9 for value in raw):
            raise DecodeError("a digit must be 0 to 9")
        return "".join(map(str, raw))


class MacAddress:
    """A Bluetooth address, byte-reversed on the wire, ``AA:BB:CC:DD:EE:FF`` outside."""

    def encode(self, value: str, out: bytearray) -> None:
        """Append the six bytes, last one first."""
        try:
            raw = bytes.fromhex(value.replace(":", ""))
        except ValueError:
            raw = b""
        if len(raw) != 6:
            raise LocalProtocolError("an address must be six hexadecimal octets")
        out += raw[::-1]

    def decode(self, reader: Reader) -> str:
        """Read the address."""
        return reader.take(6)[::-1].hex(":").upper()


class WallTime:
    """A lock-local time: ``date5`` down to minutes or ``date6`` down to seconds (reference 0.2).

    Each field is one byte with the plain binary value (not BCD, disagreement D3), the year counted
    from 2000. Values are naive datetimes: the lock knows no zone. Fractions of a second are lost.
    """

    def __init__(self, *, has_seconds: bool) -> None:
        self._has_seconds = has_seconds
        self._size = 6 if has_seconds else 5

    def encode(self, value: datetime, out: bytearray) -> None:
        """Append the time; raises ``LocalProtocolError`` outside 2000 to 2099 or with a zone."""
        if value.tzinfo is not None:
            raise LocalProtocolError("the lock keeps local time: convert to its zone first")
        if not FIRST_YEAR <= value.year <= LAST_YEAR:
            raise LocalProtocolError(f"the lock knows the years 2000 to 2099, not {value.year}")
        if value.second and not self._has_seconds:
            raise LocalProtocolError("here the lock knows no seconds: round to the minute first")
        fields = (value.month, value.day, value.hour, value.minute, value.second)
        out += bytes((value.year - FIRST_YEAR, *fields))[: self._size]

    def decode(self, reader: Reader) -> datetime:
        """Read the time; raises ``DecodeError`` for one that no calendar has."""
        year, month, day, hour, minute, *seconds = reader.take(self._size)
        if year > LAST_YEAR - FIRST_YEAR:
            raise DecodeError("a year must be 0 to 99")
        try:
            return datetime(  # noqa: DTZ001 - lock-local
                FIRST_YEAR + year, month, day, hour, minute, seconds[0] if seconds else 0
            )
        except ValueError:
            raise DecodeError("the date and time do not exist") from None


class HourMinute:
    """A time of day in two bytes, hours and minutes, without a zone."""

    def encode(self, value: time, out: bytearray) -> None:
        """Append the time; seconds cannot be said and must be 0."""
        if value.tzinfo is not None or value.second or value.microsecond:
            raise LocalProtocolError("a time of day is lock-local and in whole minutes")
        out += bytes((value.hour, value.minute))

    def decode(self, reader: Reader) -> time:
        """Read the time; raises ``DecodeError`` for one that no clock shows."""
        hour, minute = reader.take(2)
        try:
            return time(hour, minute)
        except ValueError:
            raise DecodeError("the time of day does not exist") from None


class OrNone(Codec["T | None"]):
    """Another codec whose unreadable values become ``None`` instead of losing the message.

    ``size`` bytes are read either way; ``None`` is sent as zeros.
    """

    def __init__(self, inner: Codec[T], size: int) -> None:
        self._inner = inner
        self._size = size

    def encode(self, value: T | None, out: bytearray) -> None:
        """Append the value, or zeros for ``None``."""
        if value is None:
            out += bytes(self._size)
        else:
            self._inner.encode(value, out)

    def decode(self, reader: Reader) -> T | None:
        """Read the value if it can be read."""
        raw = reader.take(self._size)
        try:
            return self._inner.decode(Reader(raw))
        except DecodeError:
            return None


def _ascii_bytes(value: str) -> bytes:
    try:
        return value.encode("ascii")
    except UnicodeEncodeError:
        raise LocalProtocolError("text must be ASCII") from None


def _ascii(raw: bytes) -> str:
    try:
        return raw.decode("ascii")
    except UnicodeDecodeError:
        raise DecodeError("text must be ASCII") from None


U8: Final = Unsigned(1)
U16: Final = Unsigned(2)
U24: Final = Unsigned(3)
U32: Final = Unsigned(4)
FLAG: Final = Flag()
TOKEN: Final = Octets()
TEXT: Final = PrefixedText()
DIGITS: Final = DigitValues()
MAC: Final = MacAddress()
DATE5: Final = WallTime(has_seconds=False)
DATE6: Final = WallTime(has_seconds=True)
TIME: Final = HourMinute()
