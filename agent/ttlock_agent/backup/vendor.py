"""What the vendor's cloud knows of a lock that the lock does not tell, and what it is told.

It knows the weekly hours of the cards that the owner's app wrote, and whose finger is which. It is
told of the passcodes that a restore put back: by default where the app has the lock; not where the
agent alone has its keys, for then the cloud's entry of that lock is dead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

import msgspec
import structlog

from ttlock_agent.backup import read
from ttlock_agent.backup.content import MAX_TEXT, Content, NotRead, SavedHours
from ttlock_agent.backup.words import finger_name
from ttlock_agent.clock import Clock
from ttlock_agent.errors import CloudError
from ttlock_agent.jobs.store import Journal
from ttlock_agent.link.virtual import ADDRESS_PREFIX
from ttlock_agent.lock.visit import LockProfile
from ttlock_protocol.keys import LockKeys

log = structlog.get_logger()

_ENROLLED: Final = "enrolled"

Hours = Mapping[bytes, tuple[SavedHours, ...]]
"""Weekly hours by card number; none for a card that opens at any hour."""


class CloudEntries(Protocol):
    """The cloud's lists, by the ids of our locks; ``address`` finds one that has got another id."""

    def has(self, lock: str) -> bool:
        """Whether the configuration says that a lock is in the cloud."""
        ...

    async def card_hours(self, lock: str, address: str | None) -> Hours:
        """Return what the cloud lists of a lock's cards; raises ``CloudError``."""
        ...

    async def finger_names(self, lock: str, address: str | None) -> Mapping[str, str]:
        """Return whose the fingerprints are, by their numbers; raises ``CloudError``."""
        ...

    async def register(self, lock: str, content: Content, address: str | None) -> dict[str, Any]:
        """Tell of a lock's custom passcodes; return what came of it, as JSON."""
        ...


class Vendor:
    """Asks and tells the cloud, where there is one."""

    def __init__(self, cloud: CloudEntries | None, journal: Journal, clock: Clock) -> None:
        self._cloud = cloud
        self._journal = journal
        self._clock = clock

    async def complete(self, profile: LockProfile, content: Content) -> Content:
        """Return ``content`` with the weekly hours and the names that the cloud knows of.

        A cloud that fails leaves it as it is.
        """
        if self._cloud is None or not self._cloud.has(profile.id):
            return content
        try:
            content = await self._with_names(self._cloud, profile, content)
            return await self._with_hours(self._cloud, profile, content)
        except CloudError as error:
            log.warning("cloud_not_asked", lock=profile.id, code=error.code, reason=error.message)
            return content

    @staticmethod
    async def _with_names(cloud: CloudEntries, profile: LockProfile, content: Content) -> Content:
        if not content.fingerprints:
            return content
        names = await cloud.finger_names(profile.id, _address(profile, content))
        fingers = tuple(
            msgspec.structs.replace(each, name=names.get(finger_name(each), "")[:MAX_TEXT] or None)
            for each in content.fingerprints
        )
        return msgspec.structs.replace(content, fingerprints=fingers)

    @staticmethod
    async def _with_hours(cloud: CloudEntries, profile: LockProfile, content: Content) -> Content:
        if content.was_read(read.WEEKLY_HOURS) or not content.cards:
            return content
        hours = await cloud.card_hours(profile.id, _address(profile, content))
        cards = tuple(
            msgspec.structs.replace(card, hours=hours.get(card.number)) for card in content.cards
        )
        not_read = [each for each in content.not_read if each.item != read.WEEKLY_HOURS]
        unknown = sum(card.hours is None for card in cards)
        if unknown or content.fingerprints:
            whose = f"{unknown} cards and {len(content.fingerprints)} fingerprints"
            reason = f"Neither the lock nor the cloud tells those of {whose}."
            not_read.append(NotRead(item=read.WEEKLY_HOURS, reason=reason))
        return msgspec.structs.replace(content, cards=cards, not_read=tuple(not_read))

    async def is_told(self, profile: LockProfile, *, asked: bool | None) -> bool:
        """Whether to tell of this lock: as ``asked``, else if the vendor's app has it."""
        if asked is not None:
            return asked
        if self._cloud is None or not self._cloud.has(profile.id):
            return False
        enrolled = await self._journal.last_known(profile.id, _ENROLLED)
        return enrolled is None or enrolled.value != self._mark(profile.id, profile.keys)

    async def tell(self, profile: LockProfile, content: Content) -> dict[str, Any]:
        """Tell of passcodes; return what came of it, as JSON."""
        if self._cloud is None:
            return {"error": "No cloud is configured."}
        return await self._cloud.register(profile.id, content, _address(profile, content))

    async def keep_enrolled(self, lock: str, keys: LockKeys) -> None:
        """Note that only the agent has these keys."""
        mark, now = self._mark(lock, keys), self._clock.now()
        await self._journal.remember_lock(lock, _ENROLLED, mark, now)

    def _mark(self, lock: str, keys: LockKeys) -> str:
        return self._journal.mark(lock, keys.aes_key.hex())


def _address(profile: LockProfile, content: Content) -> str | None:
    is_virtual = profile.address.startswith(ADDRESS_PREFIX)
    return content.lock.mac if is_virtual else profile.address
