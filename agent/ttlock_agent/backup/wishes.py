"""Passcodes of a backup that the agent knows better: what was asked for since is the last word.

Without this a restore and the jobs would undo each other's work: a guest who has left would get in
again until his passcode is removed once more, and one who stays longer would be shut out.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from ttlock_agent.backup.content import Content, SavedPasscode
from ttlock_agent.jobs.model import FormerPasscode, WantedPasscode
from ttlock_agent.jobs.passcodes import Held, held
from ttlock_agent.jobs.store import Journal
from ttlock_agent.lock.visit import LockProfile

REMOVED: Final = "Its removal was asked for: the agent would take it away again."
CHANGED: Final = "It was asked for otherwise since the backup: the agent sees to it by itself."
UNKNOWN: Final = (
    "Nobody the agent knows wants it, and `unknown_passcodes: delete` is set for this lock: the"
    " agent would take it away again."
)


async def known_better(
    content: Content, journal: Journal, profile: LockProfile, now: datetime
) -> dict[str, str]:
    """Return why passcodes of ``content`` must not be put back into a lock, by their digits."""
    digits = [code.passcode for code in content.passcodes]
    wishes = {wish.digits: wish for wish in await journal.wanted(profile.id)}
    former = await journal.former(profile.id, digits)
    reasons = {
        code.passcode: _why_not(code, wishes, former, profile, now) for code in content.passcodes
    }
    return {digits: reason for digits, reason in reasons.items() if reason is not None}


def _why_not(
    code: SavedPasscode,
    wishes: Mapping[str, WantedPasscode],
    former: Mapping[str, FormerPasscode],
    profile: LockProfile,
    now: datetime,
) -> str | None:
    wish, before = wishes.get(code.passcode), former.get(code.passcode)
    if wish is None:
        if before is not None and before.is_removed:
            return REMOVED
        return UNKNOWN if profile.removes_unknown and before is None else None
    if not wish.is_wanted:
        return REMOVED
    is_as_wanted = held((code.record,), wish, profile.zone, now) is Held.AS_WANTED
    return None if is_as_wanted else CHANGED
