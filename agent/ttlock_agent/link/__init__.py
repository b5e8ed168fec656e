"""The way to a lock: one port, behind it a virtual link and the Bluetooth one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

CHUNK_BYTES = 20
"""Largest write and notification: the payload of the default ATT MTU (reference 2.2, 2.3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """One advertisement of one lock."""

    address: str
    rssi_dbm: int | None
    manufacturer_data: bytes
    """Type and version bytes included, as on air (reference 1.2)."""
    seen_at_monotonic_s: float


class Link(Protocol):
    """One connection to one lock. Closing twice is harmless."""

    @property
    def manufacturer_data(self) -> bytes:
        """What the lock advertised just before, as in :class:`Sighting`; empty if not known."""
        ...

    @property
    def rssi_dbm(self) -> int | None:
        """How strongly that advertisement was heard, if that is known."""
        ...

    async def write(self, chunk: bytes) -> None:
        """Send at most :data:`CHUNK_BYTES`; raises ``LinkLost``."""
        ...

    async def read(self) -> bytes:
        """Return the next notification; raises ``LinkLost`` once the link is gone."""
        ...

    async def close(self) -> None:
        """End the connection and wait until it is down; never raises for a link already lost."""
        ...


class LinkFactory(Protocol):
    """Finds locks and connects to them."""

    async def connect(self, address: str, *, timeout_s: float) -> Link:
        """Wait for a fresh advertisement, then connect.

        Raises ``AdapterUnavailable``, ``LockNotSeen`` or ``ConnectFailed``.
        """
        ...

    def sightings(self) -> AsyncIterator[Sighting]:
        """Advertisements of all locks this factory serves, until cancelled."""
        ...
