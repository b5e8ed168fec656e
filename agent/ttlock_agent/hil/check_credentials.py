"""Cards, fingerprints and their weekly hours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import time
from typing import Final

from ttlock_agent.lock.visit import Visit
from ttlock_protocol.features import Feature
from ttlock_protocol.message import Auth
from ttlock_protocol.messages.cards import AddCard, CardRecord, DeleteCard, ModifyCard
from ttlock_protocol.messages.fingerprints import (
    DeleteFingerprint,
    FingerprintRecord,
    ModifyFingerprint,
)
from ttlock_protocol.messages.pages import Unreadable
from ttlock_protocol.messages.schedules import AddSchedule, ClearSchedules, CredentialKind
from ttlock_protocol.procedures import (
    enrol_fingerprint,
    learn_card,
    list_cards,
    list_fingerprints,
)

from .check_passcodes import hour_from
from .model import Chapter, Group, Need, expect, skip
from .rig import Rig

CHECKS: Final = Chapter(Group.CREDENTIALS)
_CARD: Final = "a test card"
_FINGER: Final = "a test fingerprint"
_SETTLE_S: Final = 0.3
"""Between learning a card or finger and limiting it; the vendor's client waits 0.2 s."""
_BEFORE_HANDS_S: Final = 0.2
"""The lock must be waiting before a virtual card is held to it; a person is slower anyway."""
_SCANS: Final = 10


@asynccontextmanager
async def _card(rig: Rig, visit: Visit, size: int) -> AsyncGenerator[bytes]:
    number = rig.random_bytes(size)
    begin, end = hour_from(rig)
    async with rig.undoing(visit, _CARD, DeleteCard(card_number=number)):
        await visit.ask(AddCard(card_number=number, valid_from=begin, valid_until=end))
        yield number


async def _find_card(visit: Visit, number: bytes) -> CardRecord | None:
    listing = await visit.run(list_cards(), auth=Auth.ADMIN)
    return next((c for c in listing if isinstance(c, CardRecord) and c.card_number == number), None)


async def _find_finger(visit: Visit, finger: bytes) -> FingerprintRecord | None:
    listing = await visit.run(list_fingerprints(), auth=Auth.ADMIN)
    known = (each for each in listing if not isinstance(each, Unreadable))
    return next((each for each in known if each.fingerprint == finger), None)


@CHECKS.check(
    "card.add",
    "Cards with short and long numbers are written and read back.",
    Need.CHANGES,
    feature=Feature.CARD,
    answers=(14,),
)
async def add(rig: Rig) -> None:  # noqa: D103 - the title says it
    widths = []
    async with rig.visit() as visit:
        for size in (4, 8):
            async with _card(rig, visit, size) as number:
                if await _find_card(visit, number) is not None:
                    widths.append(size)
    rig.answer("D14", f"cards of {' and '.join(map(str, widths)) or 'no'} bytes come back whole")
    expect(4 in widths, "The lock said yes, and its list does not show the card.")


@CHECKS.check(
    "card.modify", "The validity of a card can be changed.", Need.CHANGES, feature=Feature.CARD
)
async def modify(rig: Rig) -> None:  # noqa: D103
    begin, end = hour_from(rig)
    end = end.replace(year=end.year + 1, month=1, day=1)
    async with rig.visit() as visit, _card(rig, visit, 4) as number:
        await visit.ask(ModifyCard(card_number=number, valid_from=begin, valid_until=end))
        held = await _find_card(visit, number)
        expect(held is not None and held.valid_until == end, "Its validity is what it was.")


@CHECKS.check("card.delete", "A card that is removed is gone.", Need.CHANGES, feature=Feature.CARD)
async def delete(rig: Rig) -> None:  # noqa: D103
    async with rig.visit() as visit, _card(rig, visit, 4) as number:
        await visit.ask(DeleteCard(card_number=number))
        expect(await _find_card(visit, number) is None, "The lock said yes, and still has it.")


@CHECKS.check(
    "schedule.add",
    "A card can be given weekly hours, and be freed of them.",
    Need.CHANGES,
    feature=Feature.WEEKLY_SCHEDULE,
)
async def schedule(rig: Rig) -> None:  # noqa: D103
    async with rig.visit() as visit, _card(rig, visit, 4) as number:
        # They are gone with the card; that they were kept, only the reader could show.
        await visit.ask(
            AddSchedule(
                kind=CredentialKind.CARD,
                credential=number,
                weekday=1,
                starts_at=time(8),
                ends_at=time(9),
            )
        )
        await visit.ask(ClearSchedules(kind=CredentialKind.CARD, credential=number))


@CHECKS.check(
    "card.learn",
    "It learns a card that is held to it.",
    Need.CHANGES,
    Need.HANDS,
    feature=Feature.CARD,
    answers=(15,),
)
async def learn(rig: Rig) -> None:  # noqa: D103
    if not await rig.hands.has("a card at hand that this lock does not know"):
        skip("there is no such card")
    async with rig.visit() as visit:
        holding = asyncio.create_task(_after_a_moment(rig, rig.hands.hold_card))
        try:
            number = await visit.run(learn_card(timeout_s=rig.pace.person_s), auth=Auth.ADMIN)
        finally:
            await _end(holding)
        async with rig.undoing(visit, _CARD, DeleteCard(card_number=number)):
            await rig.clock.sleep(_SETTLE_S)
            expect(await _find_card(visit, number) is not None, "Its list does not show the card.")
    rig.answer("D15", f"a learnt card has {len(number)} bytes")


@CHECKS.check(
    "fingerprint.enrol",
    "It learns a finger, limits it, and forgets it again.",
    Need.CHANGES,
    Need.HANDS,
    feature=Feature.FINGERPRINT,
)
async def finger(rig: Rig) -> None:  # noqa: D103
    if not await rig.hands.has("a finger that this lock does not know"):
        skip("there is no such finger")
    begin, end = hour_from(rig)
    async with rig.visit() as visit:
        laying = asyncio.create_task(_lay_finger(rig))
        try:
            found = await visit.run(enrol_fingerprint(timeout_s=rig.pace.person_s), auth=Auth.ADMIN)
        finally:
            await _end(laying)
        async with rig.undoing(visit, _FINGER, DeleteFingerprint(fingerprint=found)):
            await rig.clock.sleep(_SETTLE_S)
            await visit.ask(ModifyFingerprint(fingerprint=found, valid_from=begin, valid_until=end))
            held = await _find_finger(visit, found)
            expect(held is not None, "Its list does not show the fingerprint.")
            assert held is not None
            expect(held.valid_until == end, "Its validity is what it was.")
        expect(await _find_finger(visit, found) is None, "The lock said yes, and still has it.")


async def _lay_finger(rig: Rig) -> None:
    for _ in range(_SCANS):
        await _after_a_moment(rig, rig.hands.lay_finger)
        if not rig.is_virtual:
            return  # a person was told to go on until the lock is content


async def _after_a_moment(rig: Rig, do: Callable[[], Awaitable[None]]) -> None:
    await rig.clock.sleep(_BEFORE_HANDS_S)
    await do()


async def _end(task: asyncio.Task[None]) -> None:
    """Take ``task`` along; why it could not do its part is worth more than what that caused."""
    if not task.done():
        task.cancel()
    with suppress(asyncio.CancelledError):
        await task
