"""Settings: each is read, changed, read again, and set back to what it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import time, timedelta
from typing import Any, Final

from ttlock_agent.lock.visit import Visit
from ttlock_protocol.features import Feature
from ttlock_protocol.message import Auth, Request
from ttlock_protocol.messages.admin import GetAdminPasscode, SetAdminPasscode
from ttlock_protocol.messages.clock import GetClock, SetClock
from ttlock_protocol.messages.pages import Unreadable
from ttlock_protocol.messages.passage import (
    AddPassageEntry,
    DeletePassageEntry,
    PassageEntry,
    PassageKind,
)
from ttlock_protocol.messages.settings import (
    GetAutoLock,
    GetPasscodeDisplay,
    GetRemoteUnlock,
    GetSound,
    GetSwitches,
    SetAutoLock,
    SetLockingOnClose,
    SetPasscodeDisplay,
    SetRemoteUnlock,
    SetSound,
    SetSwitch,
    SetVolume,
    Switch,
)
from ttlock_protocol.procedures import authenticate_user, list_passage_entries

from .model import Chapter, Check, Group, Need, Run, expect, skip
from .rig import Rig

CHECKS: Final = Chapter(Group.SETTINGS)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Setting:
    """One setting: how it is read, what is another value, and how that is set."""

    name: str
    title: str
    feature: Feature
    get: Request[Any]
    value: str
    other: Callable[[Any], Any]
    set: Callable[[Any], Request[Any]]
    restore: Callable[[Any], tuple[Request[Any], ...]]
    """From the first answer to what puts it back."""


def _other_delay(answer: Any) -> int:
    low, high = answer.min_delay_s, answer.max_delay_s
    return int(low if answer.delay_s != low else min(low + 1, high))


_SETTINGS: Final = (
    _Setting(
        name="auto_lock",
        title="the delay of the auto-lock",
        feature=Feature.AUTO_LOCK,
        get=GetAutoLock(),
        value="delay_s",
        other=_other_delay,
        set=lambda value: SetAutoLock(delay_s=value),
        restore=lambda was: (SetAutoLock(delay_s=was.delay_s),),
    ),
    _Setting(
        name="locking_on_close",
        title="the locking of a closed door",
        feature=Feature.AUTO_LOCK,
        get=GetAutoLock(),
        value="is_locking_on_close",
        other=lambda answer: not answer.is_locking_on_close,
        set=lambda value: SetLockingOnClose(is_locking_on_close=value),
        restore=lambda was: (SetLockingOnClose(is_locking_on_close=was.is_locking_on_close),),
    ),
    _Setting(
        name="sound",
        title="the sound",
        feature=Feature.SOUND,
        get=GetSound(),
        value="is_on",
        other=lambda answer: not answer.is_on,
        set=lambda value: SetSound(is_on=value),
        restore=lambda was: (SetSound(is_on=was.is_on),),
    ),
    _Setting(
        name="volume",
        title="the volume",
        feature=Feature.VOLUME,
        get=GetSound(),
        value="volume",
        other=lambda answer: 1 if answer.volume != 1 else 2,
        set=lambda value: SetVolume(volume=value),
        restore=lambda was: (
            *((SetVolume(volume=was.volume),) if 1 <= was.volume <= 5 else ()),
            SetSound(is_on=was.is_on),
        ),
    ),
    _Setting(
        name="display",
        title="the display of typed digits",
        feature=Feature.PASSCODE_DISPLAY,
        get=GetPasscodeDisplay(),
        value="is_shown",
        other=lambda answer: not answer.is_shown,
        set=lambda value: SetPasscodeDisplay(is_shown=value),
        restore=lambda was: (SetPasscodeDisplay(is_shown=was.is_shown),),
    ),
    _Setting(
        name="remote_unlock",
        title="the permission of gateways to unlock",
        feature=Feature.REMOTE_UNLOCK_SWITCH,
        get=GetRemoteUnlock(),
        value="is_allowed",
        other=lambda answer: not answer.is_allowed,
        set=lambda value: SetRemoteUnlock(is_allowed=value),
        restore=lambda was: (SetRemoteUnlock(is_allowed=was.is_allowed),),
    ),
)


def _reads(setting: _Setting) -> Run:
    async def read(rig: Rig) -> None:
        async with rig.visit() as visit:
            answer = await visit.ask(setting.get)
        if getattr(answer, setting.value) is None:
            skip("the firmware does not tell it")
        if setting.name == "display":
            told = "there" if answer.battery_percent is not None else "missing"
            rig.answer("D16", f"the battery byte in the answer of 0x59 is {told}")

    return read


def _sets(setting: _Setting) -> Run:
    async def change(rig: Rig) -> None:
        async with rig.visit() as visit:
            was = await visit.ask(setting.get)
            if getattr(was, setting.value) is None:
                skip("the firmware does not tell it")
            other = setting.other(was)
            async with rig.undoing(visit, f"{setting.title}, as it was", *setting.restore(was)):
                await visit.ask(setting.set(other))
                now = await visit.ask(setting.get)
                expect(
                    getattr(now, setting.value) == other,
                    f"The lock said yes, and {setting.title} is what it was.",
                )
            back = await visit.ask(setting.get)
            expect(
                getattr(back, setting.value) == getattr(was, setting.value),
                f"Set back, {setting.title} is not what it was.",
            )

    return change


for _each in _SETTINGS:
    CHECKS.checks += [
        Check(
            name=f"{_each.name}.read",
            group=CHECKS.group,
            title=f"It tells {_each.title}.",
            run=_reads(_each),
            feature=_each.feature,
            answers=(16,) if _each.name == "display" else (),
        ),
        Check(
            name=f"{_each.name}.set",
            group=CHECKS.group,
            title=f"It lets {_each.title} be changed.",
            run=_sets(_each),
            feature=_each.feature,
            needs=frozenset({Need.CHANGES}),
        ),
    ]


@CHECKS.check("clock.set", "Its clock can be set.", Need.CHANGES)
async def clock(rig: Rig) -> None:
    """Set it wrong by two minutes, then right: a lock that only says yes is found out."""
    wrong = timedelta(minutes=2)
    async with rig.visit() as visit:
        if await visit.read_clock() is None:
            skip("this lock has no clock chip")
        right = SetClock(local_time=rig.local_now())
        async with rig.undoing(visit, "the right time", right):
            await visit.ask(SetClock(local_time=rig.local_now() + wrong))
            shown = (await visit.ask(GetClock())).local_time
            expect(
                shown is not None and shown - rig.local_now() > wrong / 2,
                "The lock said yes, and its clock is what it was.",
            )
        reading = await visit.read_clock()
    expect(
        reading is not None and reading.error_s is not None and abs(reading.error_s) < 30,
        "Its clock is wrong after it was set right.",
    )


@CHECKS.check(
    "clock.set_as_user", "Whether a user may set its clock, too.", Need.CHANGES, answers=(18,)
)
async def clock_as_user(rig: Rig) -> None:  # noqa: D103 - the title says it
    async with rig.talk() as talk:
        await talk.client.run(authenticate_user(rig.profile.keys))
        refusal = await rig.refusal_of(talk.visit, SetClock(local_time=rig.local_now()))
    rig.answer("D18", "a user may set the clock" if refusal is None else f"refused: {refusal}")


@CHECKS.check("switches.read", "It tells its switches.")
async def switches(rig: Rig) -> None:  # noqa: D103 - the title says it
    async with rig.visit() as visit:
        await visit.ask(GetSwitches())


_HARMLESS: Final = (
    (Switch.TAMPER_ALERT, Feature.TAMPER_ALERT),
    (Switch.RESET_BUTTON, Feature.RESET_BUTTON),
    (Switch.PRIVACY_LOCK, Feature.PRIVACY_LOCK),
)


@CHECKS.check(
    "switches.set",
    "A switch, and no other, changes when it is turned.",
    Need.CHANGES,
    answers=(26,),
)
async def switch(rig: Rig) -> None:  # noqa: D103
    has = rig.features
    usable = [each for each, feature in _HARMLESS if has is not None and feature in has]
    if not usable:
        skip("it has no switch that could be turned without harm")
    mask = usable[0]
    async with rig.visit() as visit:
        was = await visit.ask(GetSwitches())
        back = SetSwitch(switch=mask, is_on=was.is_on(mask))
        async with rig.undoing(visit, "a switch, as it was", back):
            await visit.ask(SetSwitch(switch=mask, is_on=not was.is_on(mask)))
            now = await visit.ask(GetSwitches())
        changed = now.bits ^ was.bits
    name = mask.name.lower().replace("_", " ")
    if changed == mask:
        rig.answer("D26", f"the bit of {name} changed, and no other", switches_are_verified=True)
    else:
        rig.answer("D26", f"asked for {name}, the bits {changed:#x} changed")
    expect(changed == mask, f"Turning {name} changed the bits {changed:#x}, not {int(mask):#x}.")


async def _windows(visit: Visit) -> list[PassageEntry]:
    listing = await visit.run(list_passage_entries(), auth=Auth.ADMIN)
    return [each for each in listing if not isinstance(each, Unreadable)]


@CHECKS.check(
    "passage.add",
    "A window of passage mode is written and read back.",
    Need.CHANGES,
    feature=Feature.PASSAGE_MODE,
    answers=(32,),
)
async def passage(rig: Rig) -> None:
    """Use the 31st of December: nobody comes through a window that is months away."""
    date = (12, 31) if rig.local_now().month != 12 else (6, 30)
    month, day = date
    entry = PassageEntry(
        kind=PassageKind.YEARLY, day=day, month=month, starts_at=time(3), ends_at=time(3, 5)
    )
    whole = PassageEntry(kind=PassageKind.YEARLY, day=day, month=month)
    async with rig.visit() as visit:
        for each in (entry, whole):
            undo = DeletePassageEntry.of(each)
            async with rig.undoing(visit, "a window of passage mode", undo):
                await visit.ask(AddPassageEntry(entry=each))
                listed = await _windows(visit)
                if each is whole:
                    days = [w for w in listed if w.is_all_day and w.month == month]
                    told = days[0].ends_at.isoformat("minutes") if days else "no all-day window"
                    rig.answer("D32", f"00:00 to 23:59 is listed as ending at {told}")
                else:
                    expect(each in listed, "The lock said yes, and does not list the window.")
            expect(
                each not in await _windows(visit), "It was removed, and the lock still lists it."
            )


@CHECKS.check(
    "passage.delete",
    "A window of passage mode that is removed is gone.",
    Need.CHANGES,
    feature=Feature.PASSAGE_MODE,
    answers=(31,),
)
async def remove_passage(rig: Rig) -> None:  # noqa: D103
    month, day = (12, 30) if rig.local_now().month != 12 else (6, 29)
    entry = PassageEntry(
        kind=PassageKind.YEARLY, day=day, month=month, starts_at=time(3), ends_at=time(3, 5)
    )
    bare = DeletePassageEntry(kind=entry.kind, day=day, month=month, starts_at=None, ends_at=None)
    async with rig.visit() as visit:
        undo = DeletePassageEntry.of(entry)
        async with rig.undoing(visit, "a window of passage mode", undo):
            await visit.ask(AddPassageEntry(entry=entry))
            refusal = await rig.refusal_of(visit, bare)
            is_gone = entry not in await _windows(visit)
            rig.answer(
                "D31",
                "without its times a window "
                + ("is removed" if is_gone else f"stays ({refusal or 'the lock says yes'})"),
            )
            if not is_gone:
                await visit.ask(undo)
                is_gone = entry not in await _windows(visit)
            expect(is_gone, "The lock said yes, and still lists the window.")


@CHECKS.check(
    "admin_passcode.read",
    "It tells the administrator's passcode.",
    feature=Feature.GET_ADMIN_PASSCODE,
)
async def read_admin(rig: Rig) -> None:  # noqa: D103
    async with rig.visit() as visit:
        await visit.ask(GetAdminPasscode())


@CHECKS.check(
    "admin_passcode.set",
    "The administrator's passcode can be changed.",
    Need.CHANGES,
    feature=Feature.GET_ADMIN_PASSCODE,
    answers=(23, 24),
)
async def set_admin(rig: Rig) -> None:  # noqa: D103
    async with rig.visit() as visit:
        was = (await visit.ask(GetAdminPasscode())).passcode
        if not was:
            skip("it has none, and none could be taken away again")
        digits = rig.new_digits()
        back = SetAdminPasscode(passcode=was)
        async with rig.undoing(visit, "the administrator's passcode, as it was", back):
            await visit.ask(SetAdminPasscode(passcode=digits))
            now = (await visit.ask(GetAdminPasscode())).passcode
            expect(now == digits, "The lock said yes, and tells another passcode.")
        expect((await visit.ask(GetAdminPasscode())).passcode == was, "It was not set back.")
    rig.answer("D23", "digit values: what was set came back")
    rig.answer("D24", f"{len(digits)} digits come back whole")
