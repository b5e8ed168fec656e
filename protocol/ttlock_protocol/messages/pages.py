"""Lists that a lock hands out page by page: ``total``, ``next``, then records with their length."""

from __future__ import annotations

from typing import Any, ClassVar, Final, Generic, Self, TypeVar

from ttlock_protocol.errors import DecodeError, LocalProtocolError
from ttlock_protocol.message import Request, Response
from ttlock_protocol.wire import U16, Codec, Reader

R = TypeVar("R")

MAX_RECORD_BYTES: Final = 0xFF
NO_MORE: Final = 0xFFFF


class Unreadable:
    """A record that is there and whose layout is not understood.

    It is neither empty nor absent: whoever compares lists must not treat it as missing.
    """

    __slots__ = ("raw",)

    def __init__(self, raw: bytes) -> None:
        self.raw = raw

    def __repr__(self) -> str:
        return f"Unreadable(<{len(self.raw)} bytes>)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Unreadable) and other.raw == self.raw

    def __hash__(self) -> int:
        return hash(self.raw)


P = TypeVar("P", bound="Page")


class Page(Response):
    """A part of a list; ``next_cursor`` asks for the part behind it."""

    __slots__ = ()
    next_cursor: int | None


class PageRequest(Request[P]):
    """Asks for the part of a list behind ``cursor``."""

    __slots__ = ()
    cursor: int

    def accepts(self, response: Response, previous: Response | None) -> bool:
        """Whether it is a new page: the page before it, heard again, is a repeat by the radio."""
        is_repeat = (
            isinstance(previous, Page)
            and previous.next_cursor == self.cursor
            and response == previous
        )
        return isinstance(response, self.response_type) and not is_repeat


class CountedPage(Page, Generic[R]):
    """A page that counts its own bytes; ``next_cursor`` is ``None`` at the end of the list."""

    __slots__ = ()
    _record: ClassVar[Codec[Any]]
    records: tuple[R | Unreadable, ...]

    def encode(self) -> bytes:
        """Return the payload."""
        if self.next_cursor is None:
            if self.records:
                raise LocalProtocolError("a page without a cursor has no records")
            return b"\0\0"
        out = bytearray()
        U16.encode(self.next_cursor, out)
        for record in self.records:
            body = bytearray()
            if isinstance(record, Unreadable):
                body += record.raw
            else:
                self._record.encode(record, body)
            if len(body) > MAX_RECORD_BYTES:
                raise LocalProtocolError("a record is at most 255 bytes")
            out.append(len(body))
            out += body
        page = bytearray()
        U16.encode(len(out), page)
        return bytes(page + out)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read the payload; a record that cannot be read stays as :class:`Unreadable`."""
        reader = Reader(data)
        total = U16.decode(reader)
        if not total:
            return cls(next_cursor=None, records=())  # type: ignore[call-arg]
        page = Reader(reader.take(total))
        next_cursor = U16.decode(page)
        records: list[object] = []
        while page.remaining:
            raw = page.take(page.integer(1))
            try:
                records.append(cls._record.decode(Reader(raw)))
            except DecodeError:
                records.append(Unreadable(raw))
        return cls(next_cursor=next_cursor, records=tuple(records))  # type: ignore[call-arg]
