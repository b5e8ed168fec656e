"""What the watch knows of one lock, kept in the journal so that a restart forgets nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from ttlock_agent.jobs.store import Journal
from ttlock_agent.requests import PasscodeKind
from ttlock_agent.watch.hysteresis import Standing
from ttlock_agent.watch.verdict import GatewayView, ProbeResult

BOOK: Final = "gateway_watch"
"""Its name in the journal's memory of a lock."""
MAX_PROBES: Final = 8
MAX_REMOVALS: Final = 500
"""Twice what a lock holds; an older entry that comes back after all must be changed once."""


class Claim(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A passcode that somebody says the lock should hold; its digits do not show.

    ``name`` changes with the content and is the id of the request that sees to it; ``entry`` stays
    the same when the content changes. ``listed_at`` is when the gateway may have begun with it.
    """

    name: str
    entry: str
    digits: str
    label: str
    kind: PasscodeKind
    valid_from: datetime | None
    valid_until: datetime | None
    listed_at: datetime

    def __repr__(self) -> str:
        return f"Claim(name={self.name!r})"

    def is_over(self, now: datetime) -> bool:
        """Whether its validity has ended."""
        return self.valid_until is not None and self.valid_until <= now


class Outcome(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the lock's memory said of a claim before the agent did anything about it.

    ``job`` looked it up; it is empty where only a record of the lock's log tells.
    """

    job: str
    was_there: bool
    found_at: datetime


class Probe(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One question through the gateway."""

    result: ProbeResult
    at: datetime


class ClockError(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far the lock's clock was off by somebody else's word: positive when fast."""

    error_s: float
    at: datetime


class Vanished(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A passcode of the cloud's that is not in its list any more."""

    first_at: datetime
    reads: int


class Told(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A passcode that the agent has recorded in the cloud, or is about to.

    ``passcode_id`` is missing until the cloud has given one. ``is_left`` says that it is not to be
    recorded again: somebody removed it there, or the cloud does not take it.
    """

    content: str
    passcode_id: int | None = None
    is_left: bool = False


class HandBack(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When the gateway got its work back, and what showed that it can do it."""

    at: datetime
    evidence: str


class Book(Struct, kw_only=True, forbid_unknown_fields=True):
    """All that is known; passcodes are named by marks that tell nothing about their digits."""

    claims: tuple[Claim, ...] = ()
    outcomes: dict[str, Outcome] = {}
    removed: dict[str, int] = {}
    """The number of the job that last removed a passcode: what was asked before is over."""
    gateways: tuple[GatewayView, ...] = ()
    looked_at: datetime | None = None
    probes: tuple[Probe, ...] = ()
    clock: ClockError | None = None
    standing: Standing = Standing()
    handed_back: HandBack | None = None
    vanished: dict[str, Vanished] = {}
    held_back: int = 0
    """Removals that wait for a person."""
    told: dict[str, Told] = {}

    def put_claims(self, claims: Sequence[Claim], now: datetime) -> None:
        """Take a new complete list, keeping since when each entry has been as it is."""
        since = {claim.name: claim.listed_at for claim in self.claims}
        # What is told of a changed entry is when it was first listed; the change is new.
        changed = dict.fromkeys((claim.entry for claim in self.claims), now)
        self.claims = tuple(
            replace(
                claim,
                listed_at=since.get(claim.name, changed.get(claim.entry, claim.listed_at)),
            )
            for claim in claims
        )
        names = {claim.name for claim in self.claims}
        self.outcomes = {name: each for name, each in self.outcomes.items() if name in names}

    def put_gateways(self, views: Sequence[GatewayView], at: datetime) -> None:
        """Take what somebody says of all gateways near the lock."""
        self.gateways, self.looked_at = tuple(views), at

    def put_probe(self, result: ProbeResult, at: datetime) -> None:
        """Add a probe."""
        self.probes = (*self.probes, Probe(result=result, at=at))[-MAX_PROBES:]

    def put_removal(self, mark: str, number: int) -> None:
        """Note that a job removes a passcode."""
        others = [(name, job) for name, job in self.removed.items() if name != mark]
        self.removed = dict([*others[1 - MAX_REMOVALS :], (mark, number)])

    def drop_over(self, now: datetime) -> None:
        """Forget the digits of claims whose validity has ended."""
        if any(claim.is_over(now) for claim in self.claims):
            self.claims = tuple(claim for claim in self.claims if not claim.is_over(now))


class SealedBook:
    """A book and its place in the journal, written only when it has changed."""

    def __init__(self, journal: Journal, lock: str) -> None:
        self._journal = journal
        self._lock = lock
        self._saved = b""
        self.book = Book()

    async def load(self) -> None:
        """Read what was kept; what an older agent kept otherwise is gathered anew."""
        known = await self._journal.last_known(self._lock, BOOK)
        if known is not None:
            try:
                self.book = msgspec.convert(known.value, Book)
            except msgspec.ValidationError:
                return
            self._saved = _encoded(self.book)

    async def save(self, now: datetime) -> None:
        """Keep it."""
        encoded = _encoded(self.book)
        if encoded != self._saved:
            value: Any = msgspec.Raw(encoded)
            await self._journal.remember_lock(self._lock, BOOK, value, now)
            self._saved = encoded


def _encoded(book: Book) -> bytes:
    return msgspec.json.encode(book)
