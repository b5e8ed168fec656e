"""Who may use an adapter's radio: connections go before background scanning, and never both.

Scanning and connecting at once makes some controllers fail, the Raspberry Pi's among them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager


class Airtime:
    """The one owner of one radio."""

    def __init__(self) -> None:
        self._radio = asyncio.Lock()
        self._claims = 0
        self._is_claimed = asyncio.Event()
        self._is_free = asyncio.Event()
        self._is_free.set()

    @property
    def is_claimed(self) -> bool:
        """Whether somebody connects or is connected."""
        return self._claims > 0

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Keep background scanning away, as long as a link is wanted or open."""
        self._claims += 1
        self._is_claimed.set()
        self._is_free.clear()
        try:
            yield
        finally:
            self._claims -= 1
            if not self._claims:
                self._is_claimed.clear()
                self._is_free.set()

    @asynccontextmanager
    async def exclusive(self) -> AsyncGenerator[None]:
        """Have the radio alone, to find a lock and connect to it."""
        with self.claimed():
            async with self._radio:
                yield

    @asynccontextmanager
    async def background(self) -> AsyncGenerator[asyncio.Event]:
        """Have the radio while nobody wants it; the event says that somebody does: hurry."""
        while True:
            await self._is_free.wait()
            async with self._radio:
                if self._claims:
                    continue
                yield self._is_claimed
                return
