"""Bolt, state and feature bits (reference 6.2, 6.3, 6.14, 6.20)."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from ttlock_protocol.errors import OpenIntEnum
from ttlock_protocol.message import Auth, Opcode, Request, Response, field, request, response
from ttlock_protocol.wire import DATE6, TOKEN, U8, U32, Enum8, OrNone, Reader

CLIENT_TOKEN: Final = b"SCIENER"
"""Generic vendor token; white-label locks may want another one (disagreement D29)."""


_OPERATION_BYTES: Final = 15


class BoltState(OpenIntEnum):
    """What the lock says of its bolt; on parking locks 3 means lowered with a car."""

    LOCKED = 0
    UNLOCKED = 1
    UNKNOWN = 2
    DEAD_LOCKED = 3


class _FeatureWords:
    """Words of 32 bits, lowest first; a trailing partial word is ignored."""

    def encode(self, value: int, out: bytearray) -> None:
        while True:
            out += (value & 0xFFFFFFFF).to_bytes(4, "big")
            value >>= 32
            if not value:
                return

    def decode(self, reader: Reader) -> int:
        words = [reader.integer(4) for _ in range(reader.remaining // 4)]
        return sum(word << 32 * index for index, word in enumerate(words))


@response(Opcode.STATE, is_push=True, sizes=range(_OPERATION_BYTES, 256))
class OperationPush(Response):
    """A log record was just written; said unasked, never the answer to :class:`GetState`."""

    battery_percent: int = field(U8)
    user_id: int = field(U32)
    record_id: int = field(U32)
    operated_at: datetime | None = field(OrNone(DATE6, 6))


@response(Opcode.STATE, is_push=True, sizes=range(_OPERATION_BYTES))
class State(Response):
    """Battery and bolt; also pushed whenever the bolt moves.

    ``raw_door_sensor`` is 0 open, 1 closed, 2 none, and means that only on locks whose features
    have bit 45 or 50 (disagreement D34).
    """

    battery_percent: int = field(U8)
    bolt: BoltState = field(Enum8(BoltState))
    raw_door_sensor: int | None = field(U8, is_optional=True)


@request(Opcode.STATE, auth=Auth.NOTHING, is_repeatable=True)
class GetState(Request[State]):
    """Read battery and bolt; needs no authentication.

    The vendor's own client sends no ``token``: empty is as good (disagreement D7).
    """

    token: bytes = field(TOKEN, default=CLIENT_TOKEN)


@response(Opcode.FEATURES)
class FeatureWords(Response):
    """Battery and feature bits: bit n of ``bits`` is feature n, in words of any number."""

    battery_percent: int = field(U8)
    bits: int = field(_FeatureWords())


@request(Opcode.FEATURES, auth=Auth.NOTHING, is_repeatable=True)
class GetFeatures(Request[FeatureWords]):
    """Read the feature bits."""


@response(Opcode.UNLOCK, is_push=True)
class Unlocked(Response):
    """The bolt was withdrawn. Old firmware sends less; only the success itself is sure."""

    battery_percent: int | None = field(U8, is_optional=True)
    user_id: int | None = field(U32, is_optional=True)
    unique_id: int | None = field(U32, is_optional=True)
    operated_at: datetime | None = field(OrNone(DATE6, 6), is_optional=True)


@response(Opcode.LOCK, is_push=True)
class Locked(Response):
    """The bolt was thrown; layout as :class:`Unlocked`."""

    battery_percent: int | None = field(U8, is_optional=True)
    user_id: int | None = field(U32, is_optional=True)
    unique_id: int | None = field(U32, is_optional=True)
    operated_at: datetime | None = field(OrNone(DATE6, 6), is_optional=True)


@request(Opcode.UNLOCK, auth=Auth.USER_CHALLENGE, is_repeatable=False)
class Unlock(Request[Unlocked]):
    """Withdraw the bolt. ``unique_id`` comes back in the answer and in the log record."""

    proof: int = field(U32, is_secret=True)
    unique_id: int = field(U32)

    def accepts(self, response: Response, previous: Response | None) -> bool:
        """Whether it is ours: somebody else's unlocking is announced with the same layout."""
        return isinstance(response, Unlocked) and response.unique_id in (None, self.unique_id)


@request(Opcode.LOCK, auth=Auth.USER_CHALLENGE, is_repeatable=False)
class Lock(Request[Locked]):
    """Throw the bolt; locks without feature 8 refuse."""

    proof: int = field(U32, is_secret=True)
    unique_id: int = field(U32)

    def accepts(self, response: Response, previous: Response | None) -> bool:
        """Whether it is ours and not somebody else's."""
        return isinstance(response, Locked) and response.unique_id in (None, self.unique_id)
