"""Passcodes of every type: written, read back, changed, put back, removed."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Final

from ttlock_agent.lock.visit import Visit
from ttlock_protocol.errors import CommandRefused
from ttlock_protocol.features import Feature
from ttlock_protocol.messages.passcodes import (
    AddPasscode,
    Cycle,
    CycleDays,
    DeletePasscode,
    GetPasscodes,
    ModifyPasscode,
    PasscodeRecord,
    PasscodeType,
    RecoverPasscode,
)

from .model import Chapter, Group, Need, expect
from .rig import Rig

CHECKS: Final = Chapter(Group.PASSCODES)
_HOUR: Final = timedelta(hours=1)
_LIST_LIMIT: Final = 512
WHAT: Final = "a test passcode"


def hour_from(rig: Rig) -> tuple[datetime, datetime]:
    """Return a validity from the last full hour to an hour ahead, lock-local."""
    now = rig.local_now().replace(minute=0, second=0)
    return now - _HOUR, now + 2 * _HOUR


@asynccontextmanager
async def added(
    rig: Rig, visit: Visit, kind: PasscodeType = PasscodeType.PERMANENT
) -> AsyncGenerator[str]:
    """Have a passcode of ``kind`` in the lock while the context lasts."""
    digits = rig.new_digits()
    async with rig.undoing(visit, WHAT, DeletePasscode(passcode=digits)):
        await visit.ask(new_passcode(rig, kind, digits))
        yield digits


def new_passcode(rig: Rig, kind: PasscodeType, digits: str) -> AddPasscode | RecoverPasscode:
    """Return what writes a passcode of ``kind`` that is good for this hour."""
    begin, end = hour_from(rig)
    if kind is PasscodeType.CYCLIC:
        return RecoverPasscode(
            passcode_type=kind,
            passcode=digits,
            original_passcode=digits,
            valid_from=begin,
            valid_until=None,
            cycle_number=Cycle(CycleDays.EVERY_DAY, 6).number,
        )
    if kind is PasscodeType.PERMANENT:
        return AddPasscode(passcode_type=kind, passcode=digits, valid_until=None)
    return AddPasscode(passcode_type=kind, passcode=digits, valid_from=begin, valid_until=end)


async def _writes(rig: Rig, kind: PasscodeType) -> PasscodeRecord:
    async with rig.visit() as visit, added(rig, visit, kind) as digits:
        held = await rig.find(visit, digits)
        expect(held is not None, "The lock said yes, and its memory does not show the passcode.")
        assert held is not None
        expect(
            held.passcode_type == kind,
            f"It holds it as {held.passcode_type.name.lower()}, not {kind.name.lower()}.",
        )
        return held


@CHECKS.check(
    "passcode.add", "A permanent passcode is written and read back.", Need.CHANGES, answers=(10,)
)
async def permanent(rig: Rig) -> None:  # noqa: D103 - the title says it
    await _writes(rig, PasscodeType.PERMANENT)
    rig.answer("D10", "the vendor's layouts are taken")


@CHECKS.check(
    "passcode.add_period", "A passcode with begin and end keeps both.", Need.CHANGES, answers=(3,)
)
async def period(rig: Rig) -> None:  # noqa: D103
    held = await _writes(rig, PasscodeType.PERIOD)
    expect(held.valid_until == hour_from(rig)[1], "Its end is not the one that was asked for.")


@CHECKS.check(
    "passcode.add_one_time", "A passcode for one use is written.", Need.CHANGES, answers=(11,)
)
async def one_time(rig: Rig) -> None:  # noqa: D103
    held = await _writes(rig, PasscodeType.ONE_TIME)
    told = "no end" if held.valid_until is None else "an end"
    rig.answer("D11", f"a listed one-time passcode has {told}")


@CHECKS.check(
    "passcode.modify",
    "Digits and validity of a passcode can be changed.",
    Need.CHANGES,
    feature=Feature.MODIFY_PASSCODE,
    answers=(13,),
)
async def modify(rig: Rig) -> None:  # noqa: D103
    new = rig.new_digits()
    begin, end = hour_from(rig)
    async with (
        rig.visit() as visit,
        rig.undoing(visit, WHAT, DeletePasscode(passcode=new)),
        added(rig, visit) as digits,
    ):
        await visit.ask(
            ModifyPasscode(passcode=digits, new_passcode=new, valid_from=begin, valid_until=end)
        )
        held = await rig.find(visit, new)
        expect(held is not None, "The lock said yes, and does not show the new digits.")
        expect(await rig.find(visit, digits) is None, "It still shows the old digits.")
        assert held is not None
        order = "the present ones come first" if held.original_passcode == digits else "both alike"
        rig.answer("D13", f"a changed passcode lists its digits: {order}")


@CHECKS.check("passcode.delete", "A passcode that is removed is gone.", Need.CHANGES)
async def delete(rig: Rig) -> None:  # noqa: D103
    async with rig.visit() as visit, added(rig, visit) as digits:
        await visit.ask(DeletePasscode(passcode=digits))
        expect(
            await rig.find(visit, digits) is None,
            "The lock said yes, and still holds the passcode.",
        )


@CHECKS.check(
    "passcode.recover",
    "A cyclic passcode can be put back.",
    Need.CHANGES,
    feature=Feature.RECOVER_CYCLIC_PASSCODE,
)
async def recover(rig: Rig) -> None:  # noqa: D103
    held = await _writes(rig, PasscodeType.CYCLIC)
    expect(held.cycle_number is not None, "Its cycle is lost.")


@CHECKS.check("passcode.twice", "The same passcode a second time is refused.", Need.CHANGES)
async def twice(rig: Rig) -> None:  # noqa: D103
    async with rig.visit() as visit, added(rig, visit) as digits:
        again = new_passcode(rig, PasscodeType.PERMANENT, digits)
        refusal = await rig.refusal_of(visit, again)
        expect(await rig.find(visit, digits) is not None, "The first one vanished.")
    rig.answer(
        "a passcode twice", "taken, and held once" if refusal is None else f"refused: {refusal}"
    )


@CHECKS.check("passcode.end_of_list", "It says where its list of passcodes ends.", answers=(12,))
async def end_of_list(rig: Rig) -> None:  # noqa: D103
    async with rig.visit() as visit:
        cursor = 0
        for _ in range(_LIST_LIMIT):
            try:
                page = await visit.ask(GetPasscodes(cursor=cursor))
            except CommandRefused as refused:
                rig.answer("D12", f"by refusing: {refused.refusal.name.lower()}")
                return
            if page.next_cursor in (None, 0, 0xFFFF):
                told = {None: "an empty page", 0: "next 0", 0xFFFF: "next FFFF"}
                rig.answer("D12", f"by {told[page.next_cursor]}")
                return
            cursor = page.next_cursor
    expect(False, "The list does not end.")
