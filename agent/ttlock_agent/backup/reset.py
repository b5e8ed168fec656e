"""Wipes a lock, behind interlocks: a backup that agrees with it now, and a person who knows.

The word to confirm with belongs to one backup and one list of losses: nobody can say it who was not
shown that list, and it is void once the list is another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from ttlock_agent.backup import read, words
from ttlock_agent.backup.compare import Standing, agrees, compare, told_since
from ttlock_agent.backup.content import Content, SavedFingerprint, SavedSettings
from ttlock_agent.backup.plan import make_plan
from ttlock_agent.backup.read import read_lock
from ttlock_agent.backup.restore import check_same_lock
from ttlock_agent.backup.shelf import Opened
from ttlock_agent.clock import Clock
from ttlock_agent.errors import BackupProblem, BackupUnusable, InterlockOpen
from ttlock_agent.jobs.steps import Steps
from ttlock_agent.lock.visit import LockProfile, Visit
from ttlock_agent.requests import LockReset
from ttlock_protocol.localtime import to_lock
from ttlock_protocol.messages.admin import Reset

AFTERWARDS: Final = (
    "The operation log, the eKeys of guests and the lock's entry in the vendor's cloud are gone"
    " with the reset. Then either add the lock in the vendor's app and run `keys import`, or run"
    " `enrol` for a life without the app; `restore` comes last."
)


class Wipe:
    """One reset."""

    def __init__(
        self,
        backup: Opened,
        params: LockReset,
        *,
        labels: Mapping[str, str],
        left_out: Mapping[str, str],
        profile: LockProfile,
        clock: Clock,
        steps: Steps,
    ) -> None:
        self._backup = backup
        self._params = params
        self._labels = labels
        self._left_out = left_out
        self._profile = profile
        self._clock = clock
        self._steps = steps

    async def rehearse(self, visit: Visit) -> dict[str, Any]:
        """Return what cannot come back, and the word to confirm with."""
        return await self._examine(visit)

    async def run(self, visit: Visit) -> dict[str, Any]:
        """Wipe the lock if every interlock is closed; return what was lost.

        Raises ``InterlockOpen`` or ``BackupUnusable`` before anything is sent, and
        ``OutcomeUnknown`` when the lock's answer was lost.
        """
        losses = await self._examine(visit)
        if (self._params.mac_digits or "").upper() != self._backup.header.mac_digits:
            raise InterlockOpen(
                "The digits typed are not the last six of the lock's address.",
                hint="They stand on the lock's label and in `backup list`; check that it is the"
                " lock you mean.",
            )
        if self._params.confirm != losses["confirm"]:
            raise InterlockOpen(
                "What would be lost is not what was confirmed.",
                hint="Ask with `dry_run` again, read the list, and confirm with its new word.",
            )
        await self._steps.mark_sent()
        await visit.ask(Reset())
        return losses

    async def _examine(self, visit: Visit) -> dict[str, Any]:
        saved = self._backup.content
        held = await read_lock(visit, self._profile, self._clock, self._steps.tell)
        check_same_lock(saved, held)
        findings = compare(saved, held)
        if not agrees(findings):
            differing = sum(each.standing is not Standing.SAME for each in findings)
            raise BackupUnusable(
                f"The lock does not hold what the backup says: {differing} items differ.",
                problem=BackupProblem.STALE,
                hint="`backup verify` lists them; make a new backup, then ask again.",
            )
        if news := told_since(saved, held):
            raise BackupUnusable(
                f"The lock tells more than it did to the backup: {', '.join(news)}.",
                problem=BackupProblem.STALE,
                hint="Make a new backup, then ask again.",
            )
        losses = self._losses(held)
        return losses | {"confirm": _word(self._backup.header.backup, losses)}

    def _losses(self, held: Content) -> dict[str, Any]:
        """Return what a restore onto this lock, freshly wiped, could not bring back."""
        saved = self._backup.content
        wiped = msgspec.structs.replace(
            held,
            passcodes=(),
            cards=(),
            fingerprints=(),
            passage=(),
            unreadable=(),
            admin_passcode=None,
            settings=SavedSettings(
                auto_lock_min_s=held.settings.auto_lock_min_s,
                auto_lock_max_s=held.settings.auto_lock_max_s,
            ),
        )
        now = to_lock(self._clock.now(), self._profile.zone)
        blocked = make_plan(
            saved, wiped, quirks=self._profile.quirks, now=now, left_out=self._left_out
        ).blocked
        return {
            "fingerprints": words.fingerprints(
                each.finding.saved
                for each in blocked
                if isinstance(each.finding.saved, SavedFingerprint)
            ),
            "not_restorable": [
                words.describe(each.finding, self._labels) | {"reason": each.reason}
                for each in blocked
                if each.finding.item != read.FINGERPRINTS
            ],
            "not_in_backup": words.not_read(saved),
            "changed": words.may_open_again(saved.passcodes),
            "afterwards": AFTERWARDS,
        }


def _word(backup: str, losses: dict[str, Any]) -> str:
    """Return the word that belongs to one list of losses."""
    said = msgspec.json.encode([backup, losses], order="deterministic")
    return hashlib.sha256(said).hexdigest()[:8]
