"""Weekly hours of a card or a fingerprint (reference 6.17, feature 34).

Only adding and clearing have a known layout; querying and removing one entry have none.
"""

from __future__ import annotations

from datetime import time
from typing import Final

from ttlock_protocol.errors import LocalProtocolError, OpenIntEnum
from ttlock_protocol.message import (
    Auth,
    Opcode,
    Request,
    Response,
    const,
    field,
    request,
    response,
)
from ttlock_protocol.wire import TIME, U8, Enum8, Octets, Reader

_TRAILER: Final = bytes(4)
"""Meaning unknown; an implementation that works on hardware sends them, so we do."""


class CredentialKind(OpenIntEnum):
    """Whose hours these are."""

    FINGERPRINT = 1
    CARD = 2


class _PrefixedOctets:
    """Bytes behind one byte that holds their number."""

    def encode(self, value: bytes, out: bytearray) -> None:
        if len(value) > 0xFF:
            raise LocalProtocolError("an identifier has at most 255 bytes")
        out.append(len(value))
        out += value

    def decode(self, reader: Reader) -> bytes:
        return reader.take(reader.integer(1))


@response(Opcode.SCHEDULE)
class ScheduleChanged(Response):
    """The lock did it; what it says besides is not known."""

    body: bytes = field(Octets(), default=b"")


@request(Opcode.SCHEDULE, auth=Auth.ADMIN, is_repeatable=False)
class AddSchedule(Request[ScheduleChanged]):
    """Let a card (4 or 8 bytes) or fingerprint (6 bytes) open on one weekday, 1 Monday to 7 Sunday.

    Clear the old hours first: the lock adds up. Times are lock-local.
    """

    operation: int = const(2)
    kind: CredentialKind = field(Enum8(CredentialKind))
    credential: bytes = field(_PrefixedOctets(), is_secret=True)
    weekly: int = const(1)
    weekday: int = field(U8)
    month: int = const(0)
    starts_at: time = field(TIME)
    ends_at: time = field(TIME)
    trailer: bytes = field(Octets(), default=_TRAILER)

    def __post_init__(self) -> None:
        if not 1 <= self.weekday <= 7:
            raise LocalProtocolError("a weekday is 1 (Monday) to 7 (Sunday)")


@request(Opcode.SCHEDULE, auth=Auth.ADMIN, is_repeatable=True)
class ClearSchedules(Request[ScheduleChanged]):
    """Let a card or fingerprint open at any hour again."""

    operation: int = const(4)
    kind: CredentialKind = field(Enum8(CredentialKind))
    credential: bytes = field(_PrefixedOctets(), is_secret=True)
