"""Records in the cloud what the agent wrote for others, where the owner wants that.

Only passcodes that did not come from the cloud, only proved ones, and never one that its list has:
that entry is somebody else's. Nothing is ever uploaded as "all that the lock holds". The intent is
kept before each call, so that a crash in between records nothing twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Final

import msgspec
import structlog

from ttlock_agent.clock import Clock
from ttlock_agent.cloud.client import CloudClient, Via
from ttlock_agent.cloud.errors import CloudRefused, ErrorClass
from ttlock_agent.cloud.models import CloudPasscode
from ttlock_agent.cloud.models import PasscodeKind as CloudKind
from ttlock_agent.jobs.model import PasscodeKind, WantedPasscode
from ttlock_agent.jobs.store import Journal
from ttlock_agent.jobs.sync import is_over
from ttlock_agent.watch.book import Book, Told
from ttlock_agent.watch.takeover import belongs_to_others
from ttlock_agent.watch.watch import GatewayWatch

log = structlog.get_logger()

MAX_CALLS: Final = 10
"""At one look: a hundred new bookings must not eat up the day's share of the budget."""
_KINDS: Final = {
    PasscodeKind.PERMANENT: CloudKind.PERMANENT,
    PasscodeKind.PERIOD: CloudKind.PERIOD,
}
_NEVER_TAKEN: Final = frozenset({ErrorClass.REFUSED, ErrorClass.BUG})


class Teller:
    """Keeps the cloud's list in step with what others had the agent write."""

    def __init__(
        self, cloud: CloudClient, watch: GatewayWatch, journal: Journal, clock: Clock
    ) -> None:
        self._cloud = cloud
        self._watch = watch
        self._journal = journal
        self._clock = clock

    async def tell(
        self, lock: str, cloud_id: int, passcodes: Sequence[CloudPasscode]
    ) -> frozenset[int]:
        """Add and remove what has changed; return which of ``passcodes`` are the agent's own.

        Raises ``CloudError``.
        """
        listed = {each.digits: each for each in passcodes}
        now = self._clock.now()
        wishes = {
            self._journal.mark(lock, wish.digits): wish
            for wish in await self._journal.wanted(lock)
            if belongs_to_others(wish) and wish.kind in _KINDS and not is_over(wish, now)
        }
        await self._adopt(lock, {self._journal.mark(lock, each): listed[each] for each in listed})
        told = dict((await self._watch.book(lock)).told)
        # Also what is withdrawn below: this list still has it.
        own = frozenset(each.passcode_id for each in told.values() if each.passcode_id is not None)
        calls = 0
        for mark, each in told.items():
            wish = wishes.get(mark)
            is_changed = wish is not None and self._content(wish) != each.content
            if calls < MAX_CALLS and (wish is None or (is_changed and wish.proved_at)):
                calls += await self._withdraw(lock, cloud_id, mark, each, passcodes)
        for mark, wish in wishes.items():
            intended = told.get(mark)
            is_open = intended is None or (intended.passcode_id is None and not intended.is_left)
            is_new = wish.proved_at is not None and wish.digits not in listed
            if calls < MAX_CALLS and is_open and is_new:
                calls += await self._record(lock, cloud_id, mark, wish)
        return own

    async def _adopt(self, lock: str, listed: dict[str, CloudPasscode]) -> None:
        """Note the ids of entries that were added just before a crash."""
        for mark, told in dict((await self._watch.book(lock)).told).items():
            entry = listed.get(mark)
            if entry is not None and told.passcode_id is None and not told.is_left:
                await self._keep(
                    lock, mark, Told(content=told.content, passcode_id=entry.passcode_id)
                )

    async def _record(self, lock: str, cloud_id: int, mark: str, wish: WantedPasscode) -> int:
        content = self._content(wish)
        await self._keep(lock, mark, Told(content=content))
        try:
            number = await self._cloud.add_passcode(
                cloud_id,
                wish.digits,
                kind=_KINDS[wish.kind],
                via=Via.DONE_OVER_BLUETOOTH,
                valid_from=self._begin(wish),
                valid_until=wish.valid_until,
                name=wish.label.replace(wish.digits, "***"),
            )
        except CloudRefused as error:
            if error.row.error_class not in _NEVER_TAKEN:
                raise
            log.warning("cloud_takes_no_record", lock=lock, errcode=error.errcode)
            await self._keep(lock, mark, Told(content=content, is_left=True))
        else:
            log.info("cloud_told", lock=lock, entry=number)
            await self._keep(lock, mark, Told(content=content, passcode_id=number))
        return 1

    async def _withdraw(
        self,
        lock: str,
        cloud_id: int,
        mark: str,
        told: Told,
        passcodes: Sequence[CloudPasscode],
    ) -> int:
        """Remove an entry of the agent's own; one that somebody changed since is theirs."""
        now, calls = self._clock.now(), 0
        for entry in passcodes:
            is_own = entry.passcode_id == told.passcode_id
            is_same = self._journal.mark(lock, entry.digits) == mark
            has_ended = entry.valid_until is not None and entry.valid_until <= now
            if is_own and is_same and not has_ended:
                await self._cloud.delete_passcode(
                    cloud_id, entry.passcode_id, via=Via.DONE_OVER_BLUETOOTH
                )
                log.info("cloud_told_of_removal", lock=lock, entry=entry.passcode_id)
                calls = 1
        await self._keep(lock, mark, None)
        return calls

    async def _keep(self, lock: str, mark: str, told: Told | None) -> None:
        await self._watch.put(lock, partial(_put_told, mark, told))

    def _begin(self, wish: WantedPasscode) -> datetime | None:
        """The cloud wants both ends of a period."""
        if wish.kind is PasscodeKind.PERIOD and wish.valid_from is None:
            return wish.proved_at
        return wish.valid_from

    def _content(self, wish: WantedPasscode) -> str:
        content = msgspec.json.encode((wish.kind, wish.valid_from, wish.valid_until))
        return self._watch.keyed_hash(content).hex()[:12]


def _put_told(mark: str, told: Told | None, book: Book) -> None:
    others = {name: each for name, each in book.told.items() if name != mark}
    book.told = others if told is None else others | {mark: told}
