"""Links that tell when something happens on them, whatever they are made of."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from . import Link, LinkFactory, Sighting


class ObservedLinks:
    """A link factory that calls ``on_progress`` at each connection and each notification."""

    def __init__(self, factory: LinkFactory, on_progress: Callable[[], None]) -> None:
        self._factory = factory
        self._on_progress = on_progress

    async def connect(self, address: str, *, timeout_s: float) -> Link:
        """Connect as the factory behind this does."""
        link = await self._factory.connect(address, timeout_s=timeout_s)
        self._on_progress()
        return _ObservedLink(link, self._on_progress)

    def sightings(self) -> AsyncIterator[Sighting]:
        """What the factory behind this sees."""
        return self._factory.sightings()


class _ObservedLink:
    def __init__(self, link: Link, on_progress: Callable[[], None]) -> None:
        self._link = link
        self._on_progress = on_progress

    @property
    def manufacturer_data(self) -> bytes:
        return self._link.manufacturer_data

    @property
    def rssi_dbm(self) -> int | None:
        return self._link.rssi_dbm

    async def write(self, chunk: bytes) -> None:
        await self._link.write(chunk)

    async def read(self) -> bytes:
        data = await self._link.read()
        self._on_progress()
        return data

    async def close(self) -> None:
        await self._link.close()
