"""What cards and fingerprints share: states of learning, and lists of things with a validity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Generic, TypeVar

from ttlock_protocol.errors import DecodeError, OpenIntEnum
from ttlock_protocol.wire import Codec, Reader

from .pages import Unreadable

R = TypeVar("R")

WINDOW_BYTES: Final = 10
"""Start and end of a validity."""


class LearnStatus(OpenIntEnum):
    """Where learning a card or a finger stands (reference 8.6)."""

    DONE = 1
    READY = 2
    SCAN_AGAIN = 3
    SEND_TEMPLATE = 4


def is_done(values: Mapping[str, Any]) -> bool:
    """Whether the message says that something was learnt and therefore names it."""
    return bool(values["status"] == LearnStatus.DONE)


class WindowRecords(Generic[R]):
    """The one record of a page, or none; one that cannot be read stays :class:`Unreadable`."""

    def __init__(self, record: Codec[R]) -> None:
        self._record = record

    def encode(self, value: tuple[R | Unreadable, ...], out: bytearray) -> None:
        """Append the records."""
        for each in value:
            if isinstance(each, Unreadable):
                out += each.raw
            else:
                self._record.encode(each, out)

    def decode(self, reader: Reader) -> tuple[R | Unreadable, ...]:
        """Read what is there; never raises, so that one bad record does not hide the others."""
        raw = reader.rest()
        if not raw:
            return ()
        try:
            return (self._record.decode(Reader(raw)),)
        except DecodeError:
            return (Unreadable(raw),)
