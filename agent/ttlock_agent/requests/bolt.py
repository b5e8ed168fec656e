"""Requests that move the bolt: now, or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Final

from .structs import LockRequest, Request

BOLT_PATIENCE: Final = timedelta(seconds=30)
"""Two advertisements of a dozing lock. Whoever wanted the door open has gone away after that."""
MAX_DELAY: Final = timedelta(minutes=2)
"""No deadline of a request that is for now may be further away."""


class LockUnlock(LockRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Withdraw the bolt, now: within half a minute or not at all, and never twice."""

    @property
    def patience(self) -> timedelta:
        """Very little."""
        return BOLT_PATIENCE

    @property
    def is_for_now(self) -> bool:
        """A door that opens later opens to somebody else."""
        return True


class LockLock(LockRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Throw the bolt, now, on locks that have a motor for it."""

    @property
    def patience(self) -> timedelta:
        """Very little."""
        return BOLT_PATIENCE

    @property
    def is_for_now(self) -> bool:
        """A door that locks later locks somebody out."""
        return True


BOLT_VERBS: Final[Mapping[str, type[Request]]] = MappingProxyType(
    {"lock.unlock": LockUnlock, "lock.lock": LockLock}
)
"""The verbs of this module."""
