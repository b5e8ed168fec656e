"""Several Bluetooth adapters: which locks are whose, and how all of them are had at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from types import TracebackType

from ttlock_agent.lock.visit import LockProfile


class OwnLocks(Mapping[str, LockProfile]):
    """The locks of one adapter among ``profiles``, looked at anew each time: more may come."""

    def __init__(self, profiles: Mapping[str, LockProfile], adapter: str | None) -> None:
        self._profiles = profiles
        self._adapter = adapter

    def __getitem__(self, lock: str) -> LockProfile:
        profile = self._profiles[lock]
        if profile.adapter != self._adapter:
            raise KeyError(lock)
        return profile

    def __iter__(self) -> Iterator[str]:
        return iter(
            [lock for lock, each in self._profiles.items() if each.adapter == self._adapter]
        )

    def __len__(self) -> int:
        return sum(1 for _ in self)


class AllAirtime:
    """Every adapter at once, for rare work that may need any of them.

    Others hold one at a time, and this takes them in one order: nobody waits for each other.
    """

    def __init__(self, locks: Sequence[asyncio.Lock]) -> None:
        self._locks = tuple(locks)
        self._held: AsyncExitStack

    async def __aenter__(self) -> None:
        async with AsyncExitStack() as stack:
            for lock in self._locks:
                await stack.enter_async_context(lock)
            # Only now, for whoever waits for the last one may be cancelled.
            self._held = stack.pop_all()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._held.aclose()
