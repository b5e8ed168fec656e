"""One factory for all locks: each address goes to the link it is made for."""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Collection,
    Iterable,
    Mapping,
    Sequence,
)
from pathlib import Path
from typing import Final

from ttlock_agent.clock import Clock

from . import Link, LinkFactory, Sighting
from .adapters import AdapterState
from .virtual import ADDRESS_PREFIX, VirtualLinkFactory

RESTART_REQUEST: Final = "restart-bluetooth"
"""What `deploy/ttlock-agent-bluetooth.path` waits for."""


class LinkRouter:
    """Connects to virtual locks over ``virtual``, to all others over ``bluetooth``."""

    def __init__(self, *, virtual: LinkFactory, bluetooth: LinkFactory | None) -> None:
        """``bluetooth`` may be left out where no lock has a Bluetooth address."""
        self._virtual = virtual
        self._bluetooth = bluetooth

    async def connect(self, address: str, *, timeout_s: float) -> Link:
        """Wait for a fresh advertisement, then connect; raises like the factory in charge."""
        if is_virtual(address):
            return await self._virtual.connect(address, timeout_s=timeout_s)
        if self._bluetooth is None:
            raise ValueError("a Bluetooth address needs a Bluetooth factory")
        return await self._bluetooth.connect(address, timeout_s=timeout_s)

    def sightings(self) -> AsyncGenerator[Sighting]:
        """Advertisements of all locks, until cancelled."""
        factories = (self._virtual, self._bluetooth)
        return _merged([each for each in factories if each is not None])


class LinksByAddress:
    """Several ways, such as one for each adapter: each lock goes its own."""

    def __init__(self, ways: Mapping[str, LinkFactory]) -> None:
        """``ways`` are by the address of the lock."""
        self._ways = dict(ways)

    async def connect(self, address: str, *, timeout_s: float) -> Link:
        """Wait for a fresh advertisement, then connect; raises like the factory in charge."""
        return await self._ways[address].connect(address, timeout_s=timeout_s)

    def sightings(self) -> AsyncGenerator[Sighting]:
        """Advertisements of all locks, until cancelled; one may be told by several adapters."""
        return _merged(list({id(each): each for each in self._ways.values()}.values()))


async def _merged(factories: Sequence[LinkFactory]) -> AsyncGenerator[Sighting]:
    queue: asyncio.Queue[Sighting] = asyncio.Queue()
    # Not a task group: a generator must not yield inside one, for it may be left at any yield.
    pumps = [asyncio.create_task(_pump(each.sightings(), queue)) for each in factories]
    getting = None
    try:
        while True:
            getting = asyncio.create_task(queue.get())
            await asyncio.wait({getting, *pumps}, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                if pump.done():
                    pump.result()
            yield await getting
    finally:
        tasks = pumps if getting is None else [*pumps, getting]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def is_virtual(address: str) -> bool:
    """Whether ``address`` is that of a virtual lock."""
    return address.startswith(ADDRESS_PREFIX)


def open_links(
    addresses: Iterable[str],
    *,
    runtime_directory: Path,
    clock: Clock,
    adapter: str | None = None,
    answered: Collection[str] = (),
    on_adapter: Callable[[AdapterState], None] = lambda _: None,
) -> LinkRouter:
    """Return the way to the locks at ``addresses``; ``adapter`` is a name, an address or ``None``.

    Those in ``answered`` want each write confirmed. In ``runtime_directory`` are the sockets of
    virtual locks, and a restart of BlueZ is asked for there. ``on_adapter`` hears how the adapter
    is, if one is needed.
    """
    addresses = tuple(addresses)
    bluetooth = None
    if not all(is_virtual(each) for each in addresses):
        # Only here: bleak and D-Bus take time and memory that virtual locks do not need.
        from .bluez import BluezLinkFactory  # noqa: PLC0415

        bluetooth = BluezLinkFactory(
            clock=clock,
            adapter=adapter,
            answered=answered,
            on_state=on_adapter,
            restart_request=runtime_directory / RESTART_REQUEST,
        )
    virtual = VirtualLinkFactory(
        runtime_directory, clock=clock, addresses=filter(is_virtual, addresses)
    )
    return LinkRouter(virtual=virtual, bluetooth=bluetooth)


async def _pump(source: AsyncIterator[Sighting], queue: asyncio.Queue[Sighting]) -> None:
    async for sighting in source:
        queue.put_nowait(sighting)
