"""Cards and fingerprints: the same verbs, for a list, learning at the lock, and validity.

What was learnt is what the list shows afterwards and did not before; the list of before is noted,
so that an answer which was lost, or a restart, leaves no doubt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar

from ttlock_agent.errors import LockRefused, OutcomeUnknown, ResponseTimeout
from ttlock_agent.jobs.errands.errand import Errand, Outcome, Runner, settle
from ttlock_agent.jobs.model import JobState
from ttlock_agent.jobs.params import params_of
from ttlock_agent.requests import (
    CardAdd,
    CardDelete,
    CardModify,
    FingerprintAdd,
    FingerprintDelete,
    FingerprintModify,
)
from ttlock_protocol.errors import CommandRefused, LocalProtocolError, Refusal
from ttlock_protocol.localtime import from_window, to_window
from ttlock_protocol.message import Auth, Request
from ttlock_protocol.messages.cards import (
    AddCard,
    CardLearning,
    CardRecord,
    DeleteCard,
    ModifyCard,
    card_from_decimal,
    card_to_decimal,
)
from ttlock_protocol.messages.fingerprints import (
    DeleteFingerprint,
    FingerprintLearning,
    FingerprintRecord,
    ModifyFingerprint,
)
from ttlock_protocol.messages.pages import Unreadable
from ttlock_protocol.procedures import (
    Procedure,
    enrol_fingerprint,
    learn_card,
    list_cards,
    list_fingerprints,
)

LEARN_S: Final = 20.0
"""For one scan. A lock hangs up about five seconds after it has given up waiting itself."""
_NOT_BY_NUMBER: Final = frozenset(
    {Refusal.NOT_SUPPORTED, Refusal.PARAMETER_LENGTH, Refusal.INVALID_PARAMETER}
)
_NOTE: Final = "learning"
_SHOWN_OF_CARD: Final = 3
_NAME_DIGITS: Final = 8

RecordT = TypeVar("RecordT", CardRecord, FingerprintRecord)
Window = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind(Generic[RecordT]):
    """What differs between cards and fingerprints."""

    items: str
    """Name of the list in answers."""
    listing: Callable[[], Procedure[tuple[RecordT | Unreadable, ...]]]
    number: Callable[[RecordT], bytes]
    named: Callable[[Errand, RecordT], dict[str, Any]]
    """Enough to recognise one, and nothing that opens a door."""
    learn: Callable[[Errand], Procedure[bytes]]
    modify: Callable[[bytes, Window], Request[Any]]
    delete: Callable[[bytes], Request[Any]]
    is_gone: Refusal
    nothing_came: str

    async def read(self, errand: Errand) -> tuple[RecordT | Unreadable, ...]:
        """List what the lock holds, complete."""
        return await errand.visit.run(self.listing(), auth=Auth.ADMIN)

    def find(self, held: Sequence[RecordT | Unreadable], number: bytes) -> RecordT | None:
        """Return the record of that number."""
        for record in held:
            if not isinstance(record, Unreadable) and self.number(record) == number:
                return record
        return None

    def numbers(self, held: Sequence[RecordT | Unreadable]) -> list[bytes]:
        """Return all numbers that could be read."""
        return [self.number(each) for each in held if not isinstance(each, Unreadable)]

    def describe(self, errand: Errand, record: RecordT | Unreadable) -> dict[str, Any]:
        """Return one entry of the list."""
        if isinstance(record, Unreadable):
            return {"kind": "unreadable"}
        begin, end = from_window(record.valid_from, record.valid_until, errand.profile.zone)
        body = self.named(errand, record)
        if begin is not None:
            body["valid_from"] = begin.isoformat(timespec="seconds")
        if end is not None:
            body["valid_until"] = end.isoformat(timespec="seconds")
        return body

    # The verbs.

    async def list(self, errand: Errand) -> Outcome:
        """Tell what the lock holds."""
        held = await self.read(errand)
        entries = [self.describe(errand, record) for record in held]
        return Outcome(JobState.DONE, {self.items: entries, "as_of": errand.now()})

    async def learn_one(self, errand: Errand, window: Window) -> Outcome:
        """Have one presented at the lock, and give it its validity."""
        held = await self.read(errand)
        before = await self._before(errand, held)
        number = self._only_new(held, before)
        if number is None and errand.job.state is not JobState.UNKNOWN:
            errand.refuse_if_missed()
            await errand.steps.mark_sent()
            try:
                number = await errand.visit.run(self.learn(errand), auth=Auth.ADMIN)
            except (OutcomeUnknown, ResponseTimeout):
                number = self._only_new(await self.read(errand), before)
        if number is None:
            raise LockRefused(
                self.nothing_came,
                refusal="nothing_presented",
                hint=f"Ask again, and present it within {LEARN_S:.0f} seconds.",
            )
        return await self.limit(errand, number, window, was_there=number in before)

    async def limit(
        self,
        errand: Errand,
        number: bytes,
        window: Window,
        *,
        was_there: bool = True,
        add: Callable[[], Request[Any]] | None = None,
    ) -> Outcome:
        """Have the lock hold ``number`` with this validity; ``add`` writes one that is missing."""

        def missing(held: Sequence[RecordT | Unreadable]) -> list[Request[Any]]:
            record = self.find(held, number)
            if record is not None:
                return [] if _is_same(record, window) else [self.modify(number, window)]
            if add is None:
                raise _not_found(self.items)
            return [add()]

        settled = await settle(errand, lambda: self.read(errand), missing)
        record = self.find(settled.held, number)
        assert record is not None, "nothing is missing"
        return errand.proved(
            self.describe(errand, record), was_there=was_there and settled.was_there
        )

    async def limit_named(
        self, errand: Errand, number: bytes | None, name: str | None, window: Window
    ) -> Outcome:
        """Give one that the lock holds another validity."""
        return await self.limit(errand, await self.number_of(errand, number, name), window)

    async def number_of(self, errand: Errand, number: bytes | None, name: str | None) -> bytes:
        """Return the number of one that the lock holds; raises ``LockRefused``."""
        held = await self.read(errand)
        number = number or self._named(errand, held, name or "")
        if number is None or self.find(held, number) is None:
            raise _not_found(self.items)
        return number

    async def remove(self, errand: Errand, number: bytes | None, name: str | None) -> Outcome:
        """Have the lock not hold it; by name, it must be there to begin with.

        Where a record cannot be read, it may be this one: it is deleted blindly, and not proved.
        """
        was_sent = errand.job.is_sent

        def missing(held: Sequence[RecordT | Unreadable]) -> list[Request[Any]]:
            nonlocal number
            number = number or self._named(errand, held, name or "")
            if number is None:
                if was_sent:
                    return []
                raise _not_found(self.items)
            is_hidden = _has_unreadable(held) and not errand.job.is_sent
            is_there = self.find(held, number) is not None
            return [self.delete(number)] if is_there or is_hidden else []

        settled = await settle(errand, lambda: self.read(errand), missing, ignoring=(self.is_gone,))
        if _has_unreadable(settled.held):
            return Outcome(JobState.DONE, {"found": "not_readable", "as_of": errand.now()})
        return errand.proved({}, was_there=not settled.was_there)

    async def _before(
        self, errand: Errand, held: Sequence[RecordT | Unreadable]
    ) -> frozenset[bytes]:
        """Return what the lock held before this job taught it something."""
        known = await errand.journal.last_known(errand.profile.id, _NOTE)
        if known is not None and known.value["job"] == errand.job.id:
            return frozenset(map(bytes.fromhex, known.value["before"]))
        before = self.numbers(held)
        note = {"job": errand.job.id, "before": [each.hex() for each in before]}
        await errand.journal.remember_lock(errand.profile.id, _NOTE, note, errand.clock.now())
        return frozenset(before)

    def _only_new(
        self, held: Sequence[RecordT | Unreadable], before: frozenset[bytes]
    ) -> bytes | None:
        new = [each for each in self.numbers(held) if each not in before]
        if len(new) > 1:
            raise OutcomeUnknown(
                f"Several {self.items} are new, so that nobody can tell which one was meant.",
                hint=f"Look at the lock's {self.items}, and limit or delete what is not wanted.",
            )
        return new[0] if new else None

    def _named(
        self, errand: Errand, held: Sequence[RecordT | Unreadable], name: str
    ) -> bytes | None:
        for record in held:
            if not isinstance(record, Unreadable) and self.named(errand, record)["name"] == name:
                return self.number(record)
        return None


def _has_unreadable(held: Sequence[object]) -> bool:
    return any(isinstance(record, Unreadable) for record in held)


def _not_found(items: str) -> LockRefused:
    return LockRefused(
        "The lock does not hold it.",
        refusal="not_found",
        hint=f"Ask for the lock's {items}: names stand there.",
    )


def _window(errand: Errand, begin: datetime | None, end: datetime | None) -> Window:
    """Return a validity by the lock's clock; raises ``LockRefused`` for one it cannot tell."""
    try:
        window = to_window(begin, end, errand.profile.zone)
    except LocalProtocolError as error:
        raise LockRefused(
            f"The lock's clock cannot tell this validity: {error}.", refusal="form"
        ) from None
    return window.valid_from, window.valid_until


def _is_same(record: CardRecord | FingerprintRecord, window: Window) -> bool:
    """Whether a record opens as wanted; locks write the limits that mean none in several ways."""
    return from_window(record.valid_from, record.valid_until, UTC) == from_window(*window, UTC)


def name_card(errand: Errand, record: CardRecord) -> dict[str, Any]:
    """Return a card's name, which its number cannot be found out from, and its last digits."""
    number = record.card_number
    return {
        "name": errand.journal.mark(errand.profile.id, number.hex())[:_NAME_DIGITS],
        "ends_in": card_to_decimal(number)[-_SHOWN_OF_CARD:],
    }


def name_finger(_: Errand, record: FingerprintRecord) -> dict[str, Any]:
    """Return the number under which the vendor's app lists a fingerprint."""
    return {"name": str(int.from_bytes(record.fingerprint, "big"))}


def _learn_card(errand: Errand) -> Procedure[bytes]:
    def on_progress(_: CardLearning) -> None:
        errand.steps.tell("present_card", 0)

    return learn_card(timeout_s=LEARN_S, on_progress=on_progress)


def _learn_finger(errand: Errand) -> Procedure[bytes]:
    def on_progress(learning: FingerprintLearning) -> None:
        errand.steps.tell("scan_finger", learning.scans_done or 0, learning.scans_total)

    return enrol_fingerprint(timeout_s=LEARN_S, on_progress=on_progress)


CARDS: Final[Kind[CardRecord]] = Kind(
    items="cards",
    listing=list_cards,
    number=lambda record: record.card_number,
    named=name_card,
    learn=_learn_card,
    modify=lambda number, window: ModifyCard(
        card_number=number, valid_from=window[0], valid_until=window[1]
    ),
    delete=lambda number: DeleteCard(card_number=number),
    is_gone=Refusal.CARD_NOT_FOUND,
    nothing_came="Nobody held a card to the lock that it did not know.",
)
FINGERPRINTS: Final[Kind[FingerprintRecord]] = Kind(
    items="fingerprints",
    listing=list_fingerprints,
    number=lambda record: record.fingerprint,
    named=name_finger,
    learn=_learn_finger,
    modify=lambda number, window: ModifyFingerprint(
        fingerprint=number, valid_from=window[0], valid_until=window[1]
    ),
    delete=lambda number: DeleteFingerprint(fingerprint=number),
    is_gone=Refusal.FINGERPRINT_NOT_FOUND,
    nothing_came="Nobody laid a finger on the lock, often enough, that it did not know.",
)


async def _add_card(errand: Errand) -> Outcome:
    params = params_of(errand.job, CardAdd)
    window = _window(errand, params.valid_from, params.valid_until)
    if params.card is None:
        return await CARDS.learn_one(errand, window)
    number = card_from_decimal(params.card.digits)
    add = AddCard(card_number=number, valid_from=window[0], valid_until=window[1])
    try:
        return await CARDS.limit(errand, number, window, add=lambda: add)
    except CommandRefused as error:
        if error.refusal not in _NOT_BY_NUMBER:
            raise
        raise LockRefused(
            "This lock does not take a card by its number.",
            refusal="not_supported",
            hint="Leave the number out, and hold the card to the lock.",
        ) from None


async def _modify_card(errand: Errand) -> Outcome:
    params = params_of(errand.job, CardModify)
    window = _window(errand, params.valid_from, params.valid_until)
    number = _number_of(params)
    return await CARDS.limit_named(errand, number, params.name, window)


async def _delete_card(errand: Errand) -> Outcome:
    params = params_of(errand.job, CardDelete)
    return await CARDS.remove(errand, _number_of(params), params.name)


async def _add_finger(errand: Errand) -> Outcome:
    params = params_of(errand.job, FingerprintAdd)
    window = _window(errand, params.valid_from, params.valid_until)
    return await FINGERPRINTS.learn_one(errand, window)


async def _modify_finger(errand: Errand) -> Outcome:
    params = params_of(errand.job, FingerprintModify)
    window = _window(errand, params.valid_from, params.valid_until)
    return await FINGERPRINTS.limit_named(errand, None, params.name, window)


async def _delete_finger(errand: Errand) -> Outcome:
    params = params_of(errand.job, FingerprintDelete)
    return await FINGERPRINTS.remove(errand, None, params.name)


def _number_of(params: CardModify | CardDelete) -> bytes | None:
    return None if params.card is None else card_from_decimal(params.card.digits)


CREDENTIAL_ERRANDS: Final[Mapping[str, Runner]] = MappingProxyType(
    {
        "card.list": CARDS.list,
        "card.add": _add_card,
        "card.modify": _modify_card,
        "card.delete": _delete_card,
        "fingerprint.list": FINGERPRINTS.list,
        "fingerprint.add": _add_finger,
        "fingerprint.modify": _modify_finger,
        "fingerprint.delete": _delete_finger,
    }
)
"""The verbs of this module."""
