"""What the cloud client asks of the place that keeps its small state."""

from __future__ import annotations

from typing import Protocol


class StateStore(Protocol):
    """One small value that outlives the process: the token (to be sealed) or the call counter."""

    async def load(self) -> bytes | None:
        """Return what was saved last; None when nothing was."""
        ...

    async def save(self, value: bytes) -> None:
        """Keep ``value``, replacing the last one as a whole or not at all."""
        ...


class MemoryStore:
    """A store for a process that keeps nothing."""

    def __init__(self, value: bytes | None = None) -> None:
        self.value = value

    async def load(self) -> bytes | None:
        """Return the value."""
        return self.value

    async def save(self, value: bytes) -> None:
        """Replace the value."""
        self.value = value
