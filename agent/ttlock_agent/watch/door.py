"""What the lock's records, as the cloud hands them on, tell: evidence, and guests at the door."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from ttlock_agent.clock import Clock
from ttlock_agent.cloud.models import LockRecord
from ttlock_agent.jobs.model import WantedPasscode
from ttlock_agent.jobs.store import Journal
from ttlock_agent.watch.book import Book, Claim, ClockError, Outcome
from ttlock_agent.watch.takeover import Takeover
from ttlock_agent.watch.verdict import CLOCK_LIMIT_S

WRONG_PASSCODE: Final = 7
OUT_OF_WINDOW: Final = 11
PASSCODE_ADDED: Final = 93
"""Types of a lock's records (cloud reference, section 8)."""


class Door:
    """Draws the conclusions from records that come by callback."""

    def __init__(self, journal: Journal, takeover: Takeover, clock: Clock) -> None:
        self._journal = journal
        self._takeover = takeover
        self._clock = clock

    async def take(self, lock: str, book: Book, records: Sequence[LockRecord]) -> frozenset[str]:
        """Note what records say; return the claims of guests who stand at the door.

        Digits that nobody lists are nobody's business here.
        """
        now = self._clock.now()
        claims = {claim.digits: claim for claim in book.claims}
        wishes = {wish.digits: wish for wish in await self._journal.wanted(lock)}
        at_the_door: set[str] = set()
        for record in records:
            _note_clock(book, record)
            claim = claims.get(record.digits)
            if claim is None or not _is_valid(claim, now):
                continue
            if record.lock_record_type == WRONG_PASSCODE:
                at_the_door.add(claim.name)
                if _is_proved_before(record, wishes.get(claim.digits)):
                    # The lock has lost it: a reading notices, and puts it back.
                    await self._takeover.read_list(lock, f"{lock}-{record.record_id}")
            elif record.lock_record_type == OUT_OF_WINDOW:
                await self._takeover.set_clock(lock, "a passcode was out of its window")
            elif record.lock_record_type == PASSCODE_ADDED:
                await self._note_delivery(book, claim, now)
        return frozenset(at_the_door)

    async def _note_delivery(self, book: Book, claim: Claim, now: datetime) -> None:
        """The lock tells of what the agent wrote, too: that is no delivery by the gateway."""
        if await self._journal.job_by_request(claim.name) is None:
            book.outcomes.setdefault(claim.name, Outcome(job="", was_there=True, found_at=now))


def _note_clock(book: Book, record: LockRecord) -> None:
    """A record made later than it was received shows how fast the lock's clock is at least."""
    if record.lock_at is None or record.received_at is None:
        return
    error_s = (record.lock_at - record.received_at).total_seconds()
    if error_s > CLOCK_LIMIT_S:
        book.clock = ClockError(error_s=error_s, at=record.received_at)


def _is_valid(claim: Claim, now: datetime) -> bool:
    return not claim.is_over(now) and (claim.valid_from is None or claim.valid_from <= now)


def _is_proved_before(record: LockRecord, wish: WantedPasscode | None) -> bool:
    """Whether the passcode was in the lock when it was refused there, as far as anybody knows."""
    if wish is None or not wish.is_wanted or wish.proved_at is None:
        return False
    return record.received_at is None or record.received_at >= wish.proved_at
