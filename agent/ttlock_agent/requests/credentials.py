"""Requests about cards and fingerprints.

A card's number opens doors like a passcode: it travels in, and only its last digits come out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Annotated, Final

from msgspec import Meta

from ttlock_agent.validation import BadValue

from .structs import WRITE_PATIENCE, Begin, Instant, LockRequest, Request, check_window

LEARN_PATIENCE: Final = timedelta(seconds=60)
"""A lock that begins to learn when the owner has left would learn a stranger's card."""

_NUMBER: Final = re.compile(r"[0-9]{1,20}")
_MOST: Final = (1 << 64) - 1


class CardNumber:
    """The number of a card as people write it; only :attr:`digits` shows it."""

    __slots__ = ("digits",)

    def __init__(self, digits: str) -> None:
        """Raise ``BadValue`` unless ``digits`` are what eight bytes can hold (reference 6.7)."""
        if not isinstance(digits, str) or not _NUMBER.fullmatch(digits) or int(digits) > _MOST:
            raise BadValue(
                "must be the decimal number of a card, as text of 1 to 20 digits",
                hint='Write it in quotes, such as "31625018".',
            )
        self.digits: Final = digits

    def __repr__(self) -> str:
        return "CardNumber(hidden)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CardNumber) and other.digits == self.digits

    def __hash__(self) -> int:
        return hash(self.digits)


_End = Annotated[
    Instant | None,
    Meta(
        description="ISO 8601 with UTC offset, whole minutes. Default: for ever.",
        examples=["2026-12-05T11:00:00+01:00"],
    ),
]
_Name = Annotated[
    str, Meta(pattern=r"^[0-9a-f]{1,20}$(?!\n)", extra={"words": "a `name` as the list has it"})
]


class CardList(LockRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """List the cards in the lock by the last digits of their numbers."""


class CardAdd(LockRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Let a card open the lock: one of known number, else the one that is held to the lock next."""

    card: Annotated[
        CardNumber | None,
        Meta(
            description="Decimal number of the card. Without it the lock waits, within a minute, "
            "for a card to be held against it.",
            examples=["31625018"],
        ),
    ] = None
    valid_from: Begin = None
    valid_until: _End = None

    @property
    def patience(self) -> timedelta:
        """A number is written whenever the lock is reached, a card is presented now."""
        return LEARN_PATIENCE if self.is_for_now else WRITE_PATIENCE

    @property
    def is_for_now(self) -> bool:
        """Whether somebody stands there with the card."""
        return self.card is None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_window(self.valid_from, self.valid_until)


class KnownCard(LockRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One card that the lock holds."""

    name: Annotated[
        _Name | None, Meta(description="The card's `name` in `card.list`.", examples=["9f3a1c20"])
    ] = None
    card: Annotated[
        CardNumber | None,
        Meta(description="Decimal number of the card, in place of `name`.", examples=["31625018"]),
    ] = None

    @property
    def patience(self) -> timedelta:
        """Whenever the lock is reached."""
        return WRITE_PATIENCE

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.name is None) == (self.card is None):
            raise BadValue(
                "A card is told by `name` or by `card`, its number.",
                hint="Give one of the two; `card.list` shows the names.",
            )


class CardModify(KnownCard, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Change when a card in the lock opens."""

    valid_from: Begin = None
    valid_until: _End = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_window(self.valid_from, self.valid_until)


class CardDelete(KnownCard, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Remove a card from the lock and prove by reading back that it is gone."""


class FingerprintList(LockRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """List the fingerprints in the lock by their numbers."""


class FingerprintAdd(LockRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Have the lock scan a finger, several times, within a minute."""

    valid_from: Begin = None
    valid_until: _End = None

    @property
    def patience(self) -> timedelta:
        """Very little."""
        return LEARN_PATIENCE

    @property
    def is_for_now(self) -> bool:
        """Somebody stands there with the finger."""
        return True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_window(self.valid_from, self.valid_until)


class KnownFingerprint(LockRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One fingerprint that the lock holds."""

    name: Annotated[
        _Name,
        Meta(
            description="The fingerprint's `name` in `fingerprint.list`.",
            examples=["104664000757767"],
        ),
    ]

    @property
    def patience(self) -> timedelta:
        """Whenever the lock is reached."""
        return WRITE_PATIENCE


class FingerprintModify(KnownFingerprint, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Change when a fingerprint in the lock opens."""

    valid_from: Begin = None
    valid_until: _End = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_window(self.valid_from, self.valid_until)


class FingerprintDelete(KnownFingerprint, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Remove a fingerprint from the lock and prove by reading back that it is gone."""


CREDENTIAL_VERBS: Final[Mapping[str, type[Request]]] = MappingProxyType(
    {
        "card.list": CardList,
        "card.add": CardAdd,
        "card.modify": CardModify,
        "card.delete": CardDelete,
        "fingerprint.list": FingerprintList,
        "fingerprint.add": FingerprintAdd,
        "fingerprint.modify": FingerprintModify,
        "fingerprint.delete": FingerprintDelete,
    }
)
"""The verbs of this module."""
