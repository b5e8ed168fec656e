"""How well the lock is heard: listens to its advertisements for as long as the run lasts."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from typing import Final

from ttlock_agent.clock import Clock
from ttlock_agent.errors import AgentError, LockNotSeen
from ttlock_agent.limits import time_limit
from ttlock_agent.link import LinkFactory, Sighting
from ttlock_protocol.advertisement import Advertisement, parse

_KEPT: Final = 1000
_AGAIN_S: Final = 1.0


class Air:
    """The sightings of one lock, newest last."""

    def __init__(self, address: str, clock: Clock) -> None:
        self._address = address
        self._clock = clock
        self._heard = asyncio.Condition()
        self.sightings: deque[Sighting] = deque(maxlen=_KEPT)
        self._task: asyncio.Task[None] | None = None

    def listen(self, links: LinkFactory) -> None:
        """Begin to listen, or go on with other ears."""
        self._task = asyncio.create_task(self._listen(links))

    async def stop(self) -> None:
        """Listen no more; harmless when nobody does."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _listen(self, links: LinkFactory) -> None:
        while True:
            try:
                source = links.sightings()
                if not isinstance(source, AsyncGenerator):
                    raise TypeError("every factory of ours tells its sightings by a generator")
                async with aclosing(source):
                    async for sighting in source:
                        if sighting.address.upper() == self._address.upper():
                            await self._note(sighting)
            except AgentError:
                await self._clock.sleep(_AGAIN_S)

    async def _note(self, sighting: Sighting) -> None:
        async with self._heard:
            self.sightings.append(sighting)
            self._heard.notify_all()

    @property
    def rssi_dbm(self) -> int | None:
        """Strength of the newest advertisement that told one."""
        return next((s.rssi_dbm for s in reversed(self.sightings) if s.rssi_dbm is not None), None)

    def count_since(self, monotonic_s: float) -> int:
        """Return how many advertisements came since then."""
        return sum(each.seen_at_monotonic_s >= monotonic_s for each in self.sightings)

    async def wait_for(
        self, is_it: Callable[[Advertisement], bool], *, limit_s: float
    ) -> Advertisement:
        """Return the next advertisement that ``is_it``; raises ``LockNotSeen``."""
        since_s = self._clock.monotonic()
        try:
            async with time_limit(limit_s), self._heard:
                while True:
                    for sighting in self.sightings:
                        seen = parse(sighting.manufacturer_data)
                        is_new = sighting.seen_at_monotonic_s >= since_s
                        if is_new and isinstance(seen, Advertisement) and is_it(seen):
                            return seen
                    await self._heard.wait()
        except TimeoutError:
            raise LockNotSeen("No such advertisement of the lock arrived in time.") from None
