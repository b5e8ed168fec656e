"""Links that remember which locks were heard: one that falls silent is probably somebody else's.

A lock has room for one connection and does not advertise while it has that. So a lock that was
heard a moment ago and is not heard now is told from one that sleeps or has lost its power.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Final

from ttlock_agent.clock import Clock
from ttlock_agent.errors import LockNotSeen, LockTaken

from . import Link, LinkFactory, Sighting

LATELY_S: Final = 180.0
"""Rounds of listening are a minute apart at worst; after this, a silent lock may be anything."""


class HeardLinks:
    """A link factory that names a taken slot."""

    def __init__(self, factory: LinkFactory, *, clock: Clock) -> None:
        self._factory = factory
        self._clock = clock
        self._heard_at_s: dict[str, float] = {}

    async def connect(self, address: str, *, timeout_s: float) -> Link:
        """Connect as the factory behind this does; raises ``LockTaken`` for a sudden silence."""
        try:
            link = await self._factory.connect(address, timeout_s=timeout_s)
        except LockNotSeen as error:
            heard_at_s = self._heard_at_s.get(address.upper())
            ago_s = None if heard_at_s is None else self._clock.monotonic() - heard_at_s
            if ago_s is None or ago_s > LATELY_S:
                raise
            raise LockTaken(
                f"{address} was heard {ago_s:.0f} s ago and has stopped advertising."
            ) from error
        self._heard_at_s[address.upper()] = self._clock.monotonic()
        return link

    async def sightings(self) -> AsyncGenerator[Sighting]:
        """What the factory behind this sees."""
        async for sighting in self._factory.sightings():
            self._heard_at_s[sighting.address.upper()] = sighting.seen_at_monotonic_s
            yield sighting
