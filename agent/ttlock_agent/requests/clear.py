"""Requests that empty a list of the lock, behind an interlock."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Final

from msgspec import Meta

from .structs import LockRequest, Request


class ClearRequest(LockRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Say what would be deleted and, asked again with the word of that answer, delete it."""

    confirm: Annotated[
        Annotated[str, Meta(max_length=32)] | None,
        Meta(
            description="The `confirm` word of the answer without it: it belongs to the list that "
            "answer showed. Without it nothing is deleted.",
            examples=["3f9a1c20"],
        ),
    ] = None


class PasscodeClear(ClearRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Delete every passcode in the lock, whosever it is; not the administrator's."""


class CardClear(ClearRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Delete every card in the lock."""


class FingerprintClear(ClearRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Delete every fingerprint in the lock; their owners would have to enrol them anew."""


class PassageClear(ClearRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Delete every window of passage mode."""


CLEAR_VERBS: Final[Mapping[str, type[Request]]] = MappingProxyType(
    {
        "passcode.clear": PasscodeClear,
        "card.clear": CardClear,
        "fingerprint.clear": FingerprintClear,
        "passage.clear": PassageClear,
    }
)
"""The verbs of this module."""
