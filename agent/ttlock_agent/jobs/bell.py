"""Tells several listeners that something has changed, without saying what."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager


class Bell:
    """Rung by one, heard by all who listen; ringing before anybody waits is not lost."""

    def __init__(self) -> None:
        self._listeners: set[asyncio.Event] = set()

    def ring(self) -> None:
        """Wake every listener."""
        for listener in self._listeners:
            listener.set()

    @contextmanager
    def listener(self) -> Generator[asyncio.Event]:
        """Give an event that is set at each ring; the listener clears it."""
        event = asyncio.Event()
        self._listeners.add(event)
        try:
            yield event
        finally:
            self._listeners.discard(event)
