"""Whether the vendor's cloud hears of what a restore put back.

By default it does where the owner's app has the lock; not where the agent alone has its keys, for
then the cloud's entry of that lock is dead.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

from ttlock_agent.backup.content import Content
from ttlock_agent.clock import Clock
from ttlock_agent.jobs.store import Journal
from ttlock_agent.link.virtual import ADDRESS_PREFIX
from ttlock_agent.lock.visit import LockProfile
from ttlock_protocol.keys import LockKeys

_ENROLLED: Final = "enrolled"


class CloudEntries(Protocol):
    """The cloud's lists of passcodes, by the ids of our locks."""

    def has(self, lock: str) -> bool:
        """Whether the configuration says that a lock is in the cloud."""
        ...

    async def register(self, lock: str, content: Content, address: str | None) -> dict[str, Any]:
        """Tell of a lock's custom passcodes; return what came of it, as JSON."""
        ...


class Registration:
    """Tells the cloud, where there is one."""

    def __init__(self, cloud: CloudEntries | None, journal: Journal, clock: Clock) -> None:
        self._cloud = cloud
        self._journal = journal
        self._clock = clock

    async def is_due(self, profile: LockProfile, *, asked: bool | None) -> bool:
        """Whether to tell of this lock: as ``asked``, else if the vendor's app has it."""
        if asked is not None:
            return asked
        if self._cloud is None or not self._cloud.has(profile.id):
            return False
        enrolled = await self._journal.last_known(profile.id, _ENROLLED)
        return enrolled is None or enrolled.value != self._mark(profile.id, profile.keys)

    async def tell(self, profile: LockProfile, content: Content) -> dict[str, Any]:
        """Tell; return what came of it, as JSON."""
        if self._cloud is None:
            return {"error": "No cloud is configured."}
        is_virtual = profile.address.startswith(ADDRESS_PREFIX)
        address = content.lock.mac if is_virtual else profile.address
        return await self._cloud.register(profile.id, content, address)

    async def keep_enrolled(self, lock: str, keys: LockKeys) -> None:
        """Note that only the agent has these keys."""
        mark, now = self._mark(lock, keys), self._clock.now()
        await self._journal.remember_lock(lock, _ENROLLED, mark, now)

    def _mark(self, lock: str, keys: LockKeys) -> str:
        return self._journal.mark(lock, keys.aes_key.hex())
