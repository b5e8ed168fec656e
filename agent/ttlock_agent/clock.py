"""Time as a port, so that a test can hold it still, jump it, and play an hour in a second."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What the agent asks of time."""

    def now(self) -> datetime:
        """Wall-clock time, aware, in UTC. May jump: never measure a duration with it."""
        ...

    def monotonic(self) -> float:
        """Seconds that never jump, from an arbitrary start."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait ``seconds`` of monotonic time."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:  # noqa: D102 - the port says it
        return datetime.now(UTC)

    def monotonic(self) -> float:  # noqa: D102
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:  # noqa: D102
        await asyncio.sleep(seconds)
