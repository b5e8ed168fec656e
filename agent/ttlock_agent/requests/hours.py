"""Requests about the weekly hours of cards and fingerprints (reference 6.17)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Final

from msgspec import Meta, Struct

from .credentials import KnownCard, KnownFingerprint
from .settings import MAX_WINDOWS, Time, check_hours
from .structs import Request


class WeeklyHours(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Hours of one weekday, by the lock's own clock."""

    day: Annotated[int, Meta(ge=1, le=7, description="1 Monday to 7 Sunday.", examples=[1])]
    starts_at: Annotated[Time, Meta(description="Hours and minutes.")] = "00:00"
    ends_at: Annotated[
        Time, Meta(description="Hours and minutes; 23:59 is the end of the day.")
    ] = "23:59"

    def __post_init__(self) -> None:
        check_hours(self.starts_at, self.ends_at)


_Hours = Annotated[
    tuple[WeeklyHours, ...],
    Meta(
        max_length=MAX_WINDOWS,
        description="The complete set, in place of all there was; none lets it open at any hour.",
    ),
]


class CardHours(KnownCard, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limit a card to hours of the week. No lock tells these, so nothing can be proved."""

    hours: _Hours


class FingerprintHours(KnownFingerprint, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limit a fingerprint to hours of the week. No lock tells these, so nothing can be proved."""

    hours: _Hours


HOURS_VERBS: Final[Mapping[str, type[Request]]] = MappingProxyType(
    {"card.hours": CardHours, "fingerprint.hours": FingerprintHours}
)
"""The verbs of this module."""
