"""IC cards: learn, add, modify, delete, clear, list (reference 6.7).

A card number is 4 bytes, or 8 for long ones, and is shown to people as an unsigned decimal.
"""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field as plain_field
from datetime import datetime
from typing import Final

from ttlock_protocol.errors import DecodeError, LocalProtocolError
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
from ttlock_protocol.wire import DATE5, U8, U16, Enum8, Reader

from .changes import Changed, ChangeRequest
from .learning import WINDOW_BYTES, LearnStatus, WindowRecords, is_done
from .pages import Page, PageRequest, Unreadable

SHORT_CARD_BYTES: Final = 4
LONG_CARD_BYTES: Final = 8
_LONGEST_SHORT_DECIMAL: Final = 10
_FILLER: Final = b"\xff\xff\xff\xff"


def card_from_decimal(text: str) -> bytes:
    """Return the wire form of a card number as people write it: 4 bytes, or 8 for a long one.

    Raises ``LocalProtocolError`` for anything but digits, or more than eight bytes hold.
    """
    if not (text.isascii() and text.isdigit()):
        raise LocalProtocolError("a card number is written in digits")
    number = int(text)
    is_short = len(text) <= _LONGEST_SHORT_DECIMAL and number < 1 << 8 * SHORT_CARD_BYTES
    try:
        return number.to_bytes(SHORT_CARD_BYTES if is_short else LONG_CARD_BYTES, "big")
    except OverflowError:
        raise LocalProtocolError("a card number has at most eight bytes") from None


def card_to_decimal(number: bytes) -> str:
    """Return a card number as people write it."""
    return str(int.from_bytes(number, "big"))


class _CardNumber:
    """A card number with ``behind`` bytes after it: the length tells its width (D14)."""

    def __init__(self, behind: int) -> None:
        self._behind = behind

    def encode(self, value: bytes, out: bytearray) -> None:
        _check_width(value)
        out += value

    def decode(self, reader: Reader) -> bytes:
        width = reader.remaining - self._behind
        if width not in (SHORT_CARD_BYTES, LONG_CARD_BYTES):
            raise DecodeError("a card number is 4 or 8 bytes")
        return reader.take(width)


class _LearntCard:
    """A card number at the end, where four bytes FF behind a short one are filler (D15)."""

    def encode(self, value: bytes, out: bytearray) -> None:
        _check_width(value)
        out += value

    def decode(self, reader: Reader) -> bytes:
        is_long = reader.remaining >= LONG_CARD_BYTES
        number = reader.take(LONG_CARD_BYTES if is_long else SHORT_CARD_BYTES)
        return number.removesuffix(_FILLER) if is_long else number


def _check_width(number: bytes) -> None:
    if len(number) not in (SHORT_CARD_BYTES, LONG_CARD_BYTES):
        raise LocalProtocolError("a card number is 4 or 8 bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class CardRecord:
    """One card as the lock holds it; the validity is lock-local."""

    card_number: bytes = plain_field(repr=False)
    valid_from: datetime
    valid_until: datetime


class _CardRecordCodec:
    _number = _CardNumber(WINDOW_BYTES)

    def encode(self, value: CardRecord, out: bytearray) -> None:
        self._number.encode(value.card_number, out)
        DATE5.encode(value.valid_from, out)
        DATE5.encode(value.valid_until, out)

    def decode(self, reader: Reader) -> CardRecord:
        return CardRecord(
            card_number=self._number.decode(reader),
            valid_from=DATE5.decode(reader),
            valid_until=DATE5.decode(reader),
        )


@response(Opcode.CARDS)
class CardPage(Page):
    """One card or none; ``next_cursor`` FFFF ends the list, with or without a last card."""

    battery_percent: int = field(U8)
    operation: int = const(1)
    next_cursor: int = field(U16)
    records: tuple[CardRecord | Unreadable, ...] = field(
        WindowRecords(_CardRecordCodec()), default=()
    )


@request(Opcode.CARDS, auth=Auth.ADMIN, is_repeatable=True)
class GetCards(PageRequest[CardPage]):
    """Read a page; the first cursor is 0."""

    operation: int = const(1)
    cursor: int = field(U16, default=0)


@response(Opcode.CARDS, is_push=True)
class CardLearning(Response):
    """Where learning a card stands; ``card_number`` is there once it is ``DONE``."""

    battery_percent: int = field(U8)
    operation: int = const(2)
    status: LearnStatus = field(Enum8(LearnStatus))
    card_number: bytes | None = field(_LearntCard(), when=is_done, is_secret=True)

    def __post_init__(self) -> None:
        if (self.status == LearnStatus.DONE) != (self.card_number is not None):
            raise LocalProtocolError("a learnt card, and only that, has a number")


@request(Opcode.CARDS, auth=Auth.ADMIN, is_repeatable=False, sizes=range(1, 2))
class LearnCard(Request[CardLearning]):
    """Let the lock wait for a card: it answers ``READY``, then ``DONE`` with the number.

    The card is permanent then; :class:`ModifyCard` limits it, at the earliest 0.2 s later. Nobody
    knows what a lock says when no card comes.
    """

    operation: int = const(2)

    def is_answered_by(self, response: Response) -> bool:
        """Whether the card was learnt."""
        return isinstance(response, CardLearning) and response.status == LearnStatus.DONE


@request(Opcode.CARDS, auth=Auth.ADMIN, is_repeatable=False)
class AddCard(Request[CardLearning]):
    """Add a card whose number is known, with a lock-local validity to the minute."""

    operation: int = const(2)
    card_number: bytes = field(_CardNumber(WINDOW_BYTES), is_secret=True)
    valid_from: datetime = field(DATE5)
    valid_until: datetime = field(DATE5)

    def accepts(self, response: Response, previous: Response | None) -> bool:
        """Whether this very card was added, and not another one learnt."""
        return isinstance(response, CardLearning) and response.card_number == self.card_number


@response(Opcode.CARDS)
class CardsChanged(Changed):
    """The lock did it; ``operation`` echoes which of the operations."""

    battery_percent: int = field(U8)
    operation: int = field(U8)


@request(Opcode.CARDS, auth=Auth.ADMIN, is_repeatable=True)
class DeleteCard(ChangeRequest[CardsChanged]):
    """Remove one card; an unknown one is refused as ``CARD_NOT_FOUND``."""

    operation: int = const(3)
    card_number: bytes = field(_CardNumber(0), is_secret=True)


@request(Opcode.CARDS, auth=Auth.ADMIN, is_repeatable=True)
class ClearCards(ChangeRequest[CardsChanged]):
    """Remove every card."""

    operation: int = const(4)


@request(Opcode.CARDS, auth=Auth.ADMIN, is_repeatable=True)
class ModifyCard(ChangeRequest[CardsChanged]):
    """Change the lock-local validity of a card that the lock holds."""

    operation: int = const(5)
    card_number: bytes = field(_CardNumber(WINDOW_BYTES), is_secret=True)
    valid_from: datetime = field(DATE5)
    valid_until: datetime = field(DATE5)
