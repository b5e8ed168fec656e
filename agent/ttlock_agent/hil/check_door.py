"""The bolt and the keypad: what a guest meets."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Final

from ttlock_agent.errors import LockNotSeen
from ttlock_agent.lock.visit import Visit
from ttlock_protocol.advertisement import Advertisement
from ttlock_protocol.features import Feature
from ttlock_protocol.message import Auth
from ttlock_protocol.messages.auth import AdminChallenge, CheckAdmin, CheckUser, UserChallenge
from ttlock_protocol.messages.log import LogRecord, LogType
from ttlock_protocol.messages.operate import BoltState, GetState, Lock, Unlock
from ttlock_protocol.messages.passcodes import (
    AddPasscode,
    DeletePasscode,
    PasscodeType,
)
from ttlock_protocol.messages.settings import GetAutoLock
from ttlock_protocol.procedures import lock, read_log, unlock

from .check_passcodes import WHAT, hour_from, new_passcode
from .model import Chapter, Group, Need, expect, skip
from .rig import Rig
from .talk import Talk

CHECKS: Final = Chapter(Group.DOOR)
_LOG_LIMIT: Final = 1000
_TOUCHES: Final = 3
"""A touch shows for 12 s, and where the radio listens in turns, it does so once a minute."""


def _unique(rig: Rig) -> int:
    return int(rig.clock.now().timestamp()) & 0xFFFFFFFF


@asynccontextmanager
async def _opened(rig: Rig, talk: Talk) -> AsyncGenerator[None]:
    """Withdraw the bolt, and throw it again whatever happens, where there is a motor for that."""
    await rig.motor()
    keys, quirks = rig.profile.keys, rig.quirks
    await talk.client.run(unlock(keys, unique_id=_unique(rig), quirks=quirks))
    try:
        yield
    finally:
        has = rig.features
        if has is None or Feature.LOCK_BY_COMMAND in has:
            await rig.motor(is_closing=True)
            await talk.client.run(lock(keys, unique_id=_unique(rig) + 1, quirks=quirks))


async def _bolt(visit: Visit) -> BoltState:
    return (await visit.ask(GetState())).bolt


@CHECKS.check(
    "bolt.challenge",
    "The bolt takes a user's challenge, or else an administrator's.",
    motor_runs=4,
    answers=(21,),
)
async def challenge(rig: Rig) -> None:
    """Ask with each kind of challenge; the one that works is used from now on."""
    works = {}
    for kind in ("a user's", "the administrator's"):
        is_admin = kind != "a user's"
        async with rig.talk(unlocks_with_admin_challenge=is_admin) as talk:
            await rig.motor()
            works[kind] = await _moves(rig, talk, is_admin=is_admin)
            if works[kind] and Feature.LOCK_BY_COMMAND in (rig.features or ()):
                await rig.motor(is_closing=True)
                await _moves(rig, talk, is_admin=is_admin, closes=True)
    kinds = [kind for kind, is_working in works.items() if is_working]
    told = f"{' and '.join(kinds) or 'neither'} challenge moves the bolt"
    if works["a user's"] or not works["the administrator's"]:
        rig.answer("D21", told)
    else:
        rig.answer("D21", told, unlocks_with_admin_challenge=True)
    expect(kinds, "Neither kind of challenge moves the bolt.")


async def _moves(rig: Rig, talk: Talk, *, is_admin: bool, closes: bool = False) -> bool:
    keys, client = rig.profile.keys, talk.client
    ask: CheckAdmin | CheckUser = CheckUser(lock_flag_position=keys.lock_flag_position)
    if is_admin:
        ask = CheckAdmin(admin_secret=keys.admin_secret, lock_flag_position=keys.lock_flag_position)
    told: AdminChallenge | UserChallenge = await client.request(ask)
    proof = keys.proof(told.challenge)
    request = Lock if closes else Unlock
    return await rig.refusal_of(talk.visit, request(proof=proof, unique_id=_unique(rig))) is None


@CHECKS.check("bolt.unlock", "It opens on command, and says so.", motor_runs=2, answers=(36,))
async def opens(rig: Rig) -> None:  # noqa: D103 - the title says it
    async with rig.talk() as talk:
        before = await _bolt(talk.visit)
        async with _opened(rig, talk):
            after = await _bolt(talk.visit)
    rig.answer("D36", f"the state told {before.name.lower()}, then {after.name.lower()}")
    expect(after == BoltState.UNLOCKED, "The lock said yes, and its bolt is not withdrawn.")


@CHECKS.check(
    "bolt.lock",
    "It locks on command, and says so.",
    feature=Feature.LOCK_BY_COMMAND,
    motor_runs=2,
)
async def closes(rig: Rig) -> None:  # noqa: D103
    async with rig.talk() as talk:
        async with _opened(rig, talk):
            pass
        expect(
            await _bolt(talk.visit) != BoltState.UNLOCKED,
            "The lock said yes, and its bolt is still withdrawn.",
        )


@CHECKS.check(
    "bolt.auto_lock",
    "It locks by itself after its delay, and how that shows is written down.",
    feature=Feature.AUTO_LOCK,
    motor_runs=1,
)
async def relocks(rig: Rig) -> None:  # noqa: D103
    async with rig.talk() as talk:
        delay_s = (await talk.visit.ask(GetAutoLock())).delay_s
        if delay_s == 0:
            skip("its auto-lock is off")
        if delay_s > rig.pace.person_s:
            skip(f"its auto-lock takes {delay_s} s")
        await rig.motor()
        keys = rig.profile.keys
        await talk.client.run(unlock(keys, unique_id=_unique(rig), quirks=rig.quirks))
    await rig.wait(delay_s + rig.pace.slack_s, "auto-lock")
    seen = await rig.air.wait_for(lambda _: True, limit_s=rig.pace.heard_s)
    async with rig.visit() as visit:
        bolt = await _bolt(visit)
    rig.answer(
        "how auto-lock shows",
        f"after {delay_s} s the state is {bolt.name.lower()}, advertised {seen.bolt.name.lower()}",
    )
    expect(bolt != BoltState.UNLOCKED, f"It is still open {delay_s} s after it was opened.")


@asynccontextmanager
async def _written(rig: Rig, kind: PasscodeType = PasscodeType.PERMANENT) -> AsyncGenerator[str]:
    """Have a passcode of ``kind`` in the lock, and nobody connected while it is typed."""
    digits = rig.new_digits()
    async with rig.undoing(None, WHAT, DeletePasscode(passcode=digits)):
        async with rig.visit() as visit:
            await visit.ask(new_passcode(rig, kind, digits))
        yield digits


async def _type(rig: Rig, digits: str) -> None:
    await rig.motor()
    await rig.hands.type_code(digits)


async def _opened_by(rig: Rig, digits: str) -> bool:
    """Return whether the log shows that ``digits`` opened; else whoever typed them is asked."""
    async with rig.visit() as visit:
        auth = Auth.ADMIN if rig.quirks.log_needs_admin else Auth.NOTHING
        part = await visit.run(read_log(cursor=rig.log_cursor or 0, limit=_LOG_LIMIT), auth=auth)
    rig.log_cursor = part.next_cursor
    known = [each for each in part.records if isinstance(each, LogRecord)]
    ours = [each for each in known if each.passcode == digits]
    if ours:
        return any(each.log_type == LogType.PASSCODE_UNLOCK for each in ours)
    return await rig.hands.has_opened()


@CHECKS.check(
    "keypad.opens",
    "A passcode that was written opens the door, and the log shows it.",
    Need.CHANGES,
    Need.HANDS,
    motor_runs=1,
)
async def keypad(rig: Rig) -> None:  # noqa: D103
    async with _written(rig) as digits:
        await _type(rig, digits)
        expect(await rig.hands.has_opened(), "The door did not open.")
        expect(await _opened_by(rig, digits), "The log does not show that it opened.")


@CHECKS.check(
    "keypad.period",
    "A passcode of this hour opens, one of yesterday does not.",
    Need.CHANGES,
    Need.HANDS,
    motor_runs=2,
)
async def window(rig: Rig) -> None:  # noqa: D103
    begin, end = hour_from(rig)
    day = end - begin + (end - begin) * 8
    late = rig.new_digits()
    expired = AddPasscode(
        passcode_type=PasscodeType.PERIOD,
        passcode=late,
        valid_from=begin - day,
        valid_until=end - day,
    )
    async with _written(rig, PasscodeType.PERIOD) as digits:
        await _type(rig, digits)
        expect(await rig.hands.has_opened(), "The passcode of this hour did not open the door.")
    async with rig.undoing(None, WHAT, DeletePasscode(passcode=late)):
        async with rig.visit() as visit:
            await visit.ask(expired)
        await _type(rig, late)
        expect(not await rig.hands.has_opened(), "The passcode of yesterday opened the door.")


@CHECKS.check(
    "keypad.one_time",
    "A passcode for one use opens once.",
    Need.CHANGES,
    Need.HANDS,
    motor_runs=2,
)
async def once(rig: Rig) -> None:  # noqa: D103
    async with _written(rig, PasscodeType.ONE_TIME) as digits:
        await _type(rig, digits)
        expect(await rig.hands.has_opened(), "It did not open the door.")
        await _type(rig, digits)
        expect(not await rig.hands.has_opened(), "It opened the door a second time.")


@CHECKS.check(
    "keypad.deleted",
    "A passcode that was removed opens no more.",
    Need.CHANGES,
    Need.HANDS,
    motor_runs=1,
)
async def removed(rig: Rig) -> None:  # noqa: D103
    async with _written(rig) as digits:
        async with rig.visit() as visit:
            await visit.ask(DeletePasscode(passcode=digits))
        await _type(rig, digits)
        expect(not await rig.hands.has_opened(), "It still opens the door.")


@CHECKS.check(
    "keypad.seen",
    "Somebody at the keypad shows on the air.",
    Need.HANDS,
    answers=(8, 9),
)
async def noticed(rig: Rig) -> None:  # noqa: D103
    seen = await _touched(rig)
    expect(seen is not None, f"{_TOUCHES} touches, and no advertisement told of one.")
    assert seen is not None
    rig.answer("D9", f"a touch sets the flags {seen.params:#04x}")


async def _touched(rig: Rig) -> Advertisement | None:
    """Have the keypad touched until an advertisement says so; the radio listens in turns only."""
    for _ in range(_TOUCHES):
        await rig.hands.touch()
        with suppress(LockNotSeen):
            return await rig.air.wait_for(
                lambda seen: seen.is_touched, limit_s=rig.pace.heard_s / _TOUCHES
            )
    return None
