"""Tells the vendor's cloud of passcodes that were put back over Bluetooth.

After a reset the cloud's list is empty, and what the lock holds would be orphaned there: shown to
nobody, deleted by nobody. Nothing is added that the list has, so asking again is harmless.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import tzinfo
from typing import Any, Final

import structlog

from ttlock_agent.backup.content import Content, SavedPasscode
from ttlock_agent.cloud.client import CloudClient, Via
from ttlock_agent.cloud.errors import CloudRefused
from ttlock_agent.cloud.models import CloudPasscode, PasscodeKind
from ttlock_agent.errors import CloudError
from ttlock_protocol.localtime import from_window
from ttlock_protocol.messages.passcodes import PasscodeType

log = structlog.get_logger()

_KINDS: Final = {
    PasscodeType.PERMANENT: PasscodeKind.PERMANENT,
    PasscodeType.PERIOD: PasscodeKind.PERIOD,
}
"""The cloud takes no others of one's own."""
_LOCK_UNKNOWN: Final = -1003


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
            cloud_id, entries = await self._entries(cloud_id, address)
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

    async def _entries(self, cloud_id: int, address: str | None) -> tuple[int, list[CloudPasscode]]:
        """Return the lock's list, and the id by which it was found."""
        try:
            return cloud_id, await self._cloud.list_passcodes(cloud_id)
        except CloudRefused as refusal:
            if refusal.errcode != _LOCK_UNKNOWN or address is None:
                raise
            present = (await self._cloud.lock_ids()).get(address.upper())
            if present is None:
                raise
        return present, await self._cloud.list_passcodes(present)

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
