"""Lists of the lock that are emptied: first said, then confirmed, then done and proved.

The word to confirm with belongs to one list: nobody can say it who was not shown that list, and it
is void once the lock holds another.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import msgspec

from ttlock_agent.errors import InterlockOpen
from ttlock_agent.jobs.errands.credentials import CARDS, FINGERPRINTS
from ttlock_agent.jobs.errands.errand import Errand, Outcome, Runner, settle
from ttlock_agent.jobs.errands.passage import describe_entry, read_passage
from ttlock_agent.jobs.memory import describe_listing
from ttlock_agent.jobs.model import JobState
from ttlock_agent.jobs.params import params_of, wish_of_job
from ttlock_agent.requests import VERBS, ClearRequest, PasscodeClear
from ttlock_protocol.message import Request
from ttlock_protocol.messages.cards import ClearCards
from ttlock_protocol.messages.fingerprints import ClearFingerprints
from ttlock_protocol.messages.passage import ClearPassageEntries
from ttlock_protocol.messages.passcodes import ClearPasscodes

_WORD_DIGITS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Emptied:
    """One list."""

    items: str
    read: Callable[[Errand], Awaitable[Sequence[Any]]]
    describe: Callable[[Errand, Sequence[Any]], list[dict[str, Any]]]
    clear: Request[Any]

    async def run(self, errand: Errand) -> Outcome:
        """Say what would go, or see that it goes."""
        kind = VERBS[errand.job.verb]
        assert issubclass(kind, ClearRequest), "the table names those"
        confirm = params_of(errand.job, kind).confirm
        if confirm is None:
            return await self._rehearse(errand)
        count = 0

        def missing(held: Sequence[Any]) -> list[Request[Any]]:
            nonlocal count
            if not held:
                return []
            if confirm != self._word(errand, held):
                raise InterlockOpen(
                    f"The lock does not hold the {self.items} that were confirmed.",
                    hint="Ask without `confirm` again, read the list, and confirm with its word.",
                )
            count = max(count, len(held))
            return [self.clear]

        settled = await settle(errand, lambda: self.read(errand), missing)
        return errand.proved({"deleted": count}, was_there=not settled.was_there)

    async def _rehearse(self, errand: Errand) -> Outcome:
        held = await self.read(errand)
        return Outcome(
            JobState.DONE,
            {
                "would_delete": self.describe(errand, held),
                "confirm": self._word(errand, held),
                "as_of": errand.now(),
            },
        )

    def _word(self, errand: Errand, held: Sequence[Any]) -> str:
        """Return a keyed hash: from a plain one, short digits could be found out."""
        text = msgspec.json.encode([self.items, sorted(map(str, map(_raw, held)))]).decode()
        return errand.journal.mark(errand.profile.id, text)[:_WORD_DIGITS]


def _raw(record: object) -> list[object]:
    names = getattr(record, "__dataclass_fields__", {})
    return [getattr(record, name) for name in names]


async def _read_passcodes(errand: Errand) -> Sequence[Any]:
    listing = await errand.visit.passcodes(is_fresh=True)
    await errand.memory.keep_listing(errand.profile, listing, errand.clock.now())
    return listing


async def _clear_passcodes(errand: Errand) -> Outcome:
    """Empty the lock, and give up what was wanted of it: else the agent would put it back."""
    wishes = await errand.journal.wanted(errand.profile.id)
    open_jobs = await errand.journal.open_jobs(errand.profile.id)
    is_meant = params_of(errand.job, PasscodeClear).confirm is not None
    if is_meant and any(wish_of_job(job) is not None for job in open_jobs):
        raise InterlockOpen(
            "Jobs about passcodes of this lock are not over yet.",
            hint="Wait for them, or cancel them; `job.list` shows them.",
        )
    outcome = await PASSCODES.run(errand)
    if outcome.state is JobState.PROVED:
        await errand.journal.forget_wanted(wishes)
    return outcome


def _describe_passcodes(errand: Errand, held: Sequence[Any]) -> list[dict[str, Any]]:
    return describe_listing(tuple(held), errand.wanted, errand.profile.zone, errand.clock.now())


PASSCODES: Final = Emptied(
    items="passcodes",
    read=_read_passcodes,
    describe=_describe_passcodes,
    clear=ClearPasscodes(),
)
CLEAR_ERRANDS: Final[Mapping[str, Runner]] = MappingProxyType(
    {
        "passcode.clear": _clear_passcodes,
        "card.clear": Emptied(
            items="cards",
            read=CARDS.read,
            describe=lambda errand, held: [CARDS.describe(errand, each) for each in held],
            clear=ClearCards(),
        ).run,
        "fingerprint.clear": Emptied(
            items="fingerprints",
            read=FINGERPRINTS.read,
            describe=lambda errand, held: [FINGERPRINTS.describe(errand, each) for each in held],
            clear=ClearFingerprints(),
        ).run,
        "passage.clear": Emptied(
            items="windows",
            read=read_passage,
            describe=lambda _, held: [describe_entry(each) for each in held],
            clear=ClearPassageEntries(),
        ).run,
    }
)
"""The verbs of this module."""
