"""Tells the vendor's cloud of passcodes that were put back over Bluetooth.

After a reset the cloud's list is empty, and what the lock holds would be orphaned there: shown to
nobody, deleted by nobody. Nothing is added that the list has, so asking again is harmless.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import time, tzinfo
from typing import Any, Final, TypeVar

import structlog

from ttlock_agent.backup.content import Content, SavedHours, SavedPasscode
from ttlock_agent.backup.vendor import Hours
from ttlock_agent.cloud.client import CloudClient, Via
from ttlock_agent.cloud.errors import CloudRefused
from ttlock_agent.cloud.models import CardHours, PasscodeKind
from ttlock_agent.errors import CloudError
from ttlock_protocol.errors import LocalProtocolError
from ttlock_protocol.localtime import from_window
from ttlock_protocol.messages.cards import card_from_decimal
from ttlock_protocol.messages.passcodes import PasscodeType

log = structlog.get_logger()

_KINDS: Final = {
    PasscodeType.PERMANENT: PasscodeKind.PERMANENT,
    PasscodeType.PERIOD: PasscodeKind.PERIOD,
}
"""The cloud takes no others of one's own."""
_LOCK_UNKNOWN: Final = -1003
_LAST_MINUTE: Final = 24 * 60 - 1
T = TypeVar("T")


class CloudList:
    """The cloud's list of each lock that has one."""

    def __init__(self, cloud: CloudClient, locks: Mapping[str, tuple[int, tzinfo]]) -> None:
        """``locks`` gives the cloud's id and the zone of each lock, by our id."""
        self._cloud = cloud
        self._locks = locks

    def has(self, lock: str) -> bool:
        """Whether the configuration says that a lock is in the cloud."""
        return lock in self._locks

    async def register(self, lock: str, content: Content, address: str | None) -> dict[str, Any]:
        """Add what is missing; return how many, and what stopped it, if anything did.

        ``address`` is that of the lock, by which it is found if it has got another id.
        """
        known = self._locks.get(lock)
        if known is None:
            return {"error": "The lock has no cloud_lock_id in the configuration."}
        cloud_id, zone = known
        body: dict[str, Any] = {"registered": 0, "was_there": 0, "not_taken": 0}
        try:
            cloud_id, entries = await self._of_lock(cloud_id, address, self._cloud.list_passcodes)
            if cloud_id != known[0]:
                body["cloud_lock_id"] = cloud_id
            listed = {each.digits for each in entries}
            for number, code in enumerate(content.passcodes, start=1):
                if code.passcode in listed:
                    body["was_there"] += 1
                elif code.kind not in _KINDS:
                    body["not_taken"] += 1
                else:
                    await self._add(cloud_id, code, zone, name=f"restored {number}")
                    body["registered"] += 1
        except CloudError as error:
            log.warning("cloud_not_told", lock=lock, code=error.code, reason=error.message)
            body["error"] = f"{error.message} {error.hint}"
        return body

    async def card_hours(self, lock: str, address: str | None) -> Hours:
        """Return the weekly hours of the cards in the cloud's list."""
        cloud_id, _ = self._locks[lock]
        _, cards = await self._of_lock(cloud_id, address, self._cloud.cards)
        found: dict[bytes, tuple[SavedHours, ...]] = {}
        for card in cards:
            with suppress(LocalProtocolError, ValueError):
                # What nobody can read is left out: its hours are then not known.
                found[card_from_decimal(card.number)] = tuple(map(_hours, card.hours))
        return found

    async def finger_names(self, lock: str, address: str | None) -> dict[str, str]:
        """Return the names in the cloud's list of fingerprints, by their numbers."""
        cloud_id, _ = self._locks[lock]
        _, fingers = await self._of_lock(cloud_id, address, self._cloud.fingers)
        return {each.number: each.name for each in fingers if each.name}

    async def _of_lock(
        self, cloud_id: int, address: str | None, ask: Callable[[int], Awaitable[T]]
    ) -> tuple[int, T]:
        """Ask about a lock; return the id by which it is known, and the answer."""
        try:
            return cloud_id, await ask(cloud_id)
        except CloudRefused as refusal:
            if refusal.errcode != _LOCK_UNKNOWN or address is None:
                raise
            present = (await self._cloud.lock_ids()).get(address.upper())
            if present is None:
                raise
        return present, await ask(present)

    async def _add(self, cloud_id: int, code: SavedPasscode, zone: tzinfo, *, name: str) -> None:
        begin, end = from_window(code.valid_from, code.valid_until, zone)
        is_period = code.kind == PasscodeType.PERIOD and begin is not None and end is not None
        await self._cloud.add_passcode(
            cloud_id,
            code.passcode,
            # A period without limits is what the cloud calls permanent.
            kind=PasscodeKind.PERIOD if is_period else PasscodeKind.PERMANENT,
            via=Via.DONE_OVER_BLUETOOTH,
            valid_from=begin,
            valid_until=end,
            name=name,
        )


def _hours(hours: CardHours) -> SavedHours:
    """Raises ``ValueError`` for hours that no clock shows."""
    if hours.weekday not in range(1, 8):
        raise ValueError(hours.weekday)
    # The day's end is a minute that no lock can be told.
    last = min(hours.to_minute, _LAST_MINUTE)
    return SavedHours(
        weekday=hours.weekday,
        starts_at=time(*divmod(hours.from_minute, 60)),
        ends_at=time(*divmod(last, 60)),
    )
