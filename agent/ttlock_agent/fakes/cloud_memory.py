"""The lock's end of the fake cloud's gateway: the place where a delivered passcode really goes."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol

from ttlock_agent.clock import Clock
from ttlock_agent.fakes.cloud_state import (
    FAILED,
    PASSCODE_EXISTS,
    SPACE_FULL,
    Lock,
    MemoryPasscode,
    Refusal,
)


class LockMemory(Protocol):
    """One lock as its gateway reaches it; every method may raise ``Refusal``."""

    async def add(self, passcode: MemoryPasscode) -> None:
        """Write a new passcode; refusals: exists, space full."""
        ...

    async def delete(self, digits: str) -> None:
        """Remove a passcode; one that is not there is no error."""
        ...

    async def change(self, digits: str, passcode: MemoryPasscode) -> None:
        """Replace the passcode ``digits`` by ``passcode``."""
        ...

    async def read_clock(self) -> datetime:
        """Instant the lock takes for now."""
        ...

    async def set_clock(self, moment: datetime) -> None:
        """Set the lock's clock."""
        ...


class StateMemory:
    """The default: the memory is the list in the fake's own state."""

    def __init__(self, lock: Lock, clock: Clock) -> None:
        self._lock = lock
        self._clock = clock

    async def add(self, passcode: MemoryPasscode) -> None:
        """Write a new passcode."""
        if any(held.digits == passcode.digits for held in self._lock.memory):
            raise Refusal(PASSCODE_EXISTS)
        if len(self._lock.memory) >= self._lock.memory_capacity:
            raise Refusal(SPACE_FULL)
        self._lock.memory.append(passcode)

    async def delete(self, digits: str) -> None:
        """Remove a passcode."""
        self._lock.memory = [held for held in self._lock.memory if held.digits != digits]

    async def change(self, digits: str, passcode: MemoryPasscode) -> None:
        """Replace a passcode; one the lock does not hold cannot be changed."""
        if all(held.digits != digits for held in self._lock.memory):
            raise Refusal(FAILED)
        await self.delete(digits)
        await self.add(passcode)

    async def read_clock(self) -> datetime:
        """True time plus the lock's error."""
        return self._clock.now() + timedelta(seconds=self._lock.clock_error_s)

    async def set_clock(self, moment: datetime) -> None:
        """Keep the error that setting the clock to ``moment`` leaves."""
        self._lock.clock_error_s = (moment - self._clock.now()).total_seconds()
