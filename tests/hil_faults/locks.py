"""One fault per command class, and the check whose duty it is to find it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from ttlock_protocol.features import Feature
from ttlock_protocol.frame import Version
from ttlock_protocol.message import Request
from ttlock_protocol.messages import (
    admin,
    auth,
    cards,
    clock,
    device,
    fingerprints,
    log,
    operate,
    pairing,
    passage,
    passcodes,
    rare,
    schedules,
    settings,
)
from ttlock_protocol.virtual import Fault, FaultAction, FaultPoint, Memory
from ttlock_protocol.virtual.memory import Habits

SPECIAL_FEATURES = (Feature.NB_IOT, Feature.WRISTBAND, Feature.HOTEL_CARD, Feature.KEY_FOB)


@dataclass(frozen=True, kw_only=True)
class Broken:
    """A lock with one fault; ``finds`` is the check that must turn red, ``with_`` what it needs."""

    name: str
    finds: str
    request: type[Request] | None = None
    faults: tuple[Fault, ...] = ()
    change: Callable[[Memory], Memory] = field(default=lambda memory: memory)
    with_: tuple[str, ...] = ()


def says_yes(request: type[Request], finds: str, *with_: str) -> Broken:
    """A lock that says yes and does nothing: only reading back finds that."""
    return _broken(FaultAction.PRETEND, "says yes, does nothing", request, finds, with_)


def says_no(request: type[Request], finds: str, *with_: str) -> Broken:
    """A lock that refuses what it must do."""
    return _broken(FaultAction.REFUSE, "refuses", request, finds, with_)


def _broken(
    action: FaultAction, how: str, request: type[Request], finds: str, with_: tuple[str, ...]
) -> Broken:
    fault = Fault(action=action, at=FaultPoint.REQUEST, request=request.__name__)
    return Broken(
        name=f"{request.__name__} {how}", finds=finds, request=request, faults=(fault,), with_=with_
    )


_RESET = ("wipe.backup", "wipe.reset")
BROKEN: tuple[Broken, ...] = (
    says_no(auth.CheckAdmin, "contact.find"),
    says_no(auth.CheckRandom, "contact.find"),
    says_no(auth.CheckUser, "auth.user"),
    says_no(operate.GetFeatures, "features.read"),
    says_no(operate.GetState, "state.read"),
    says_yes(operate.Unlock, "bolt.unlock"),
    says_yes(operate.Lock, "bolt.lock"),
    says_no(clock.GetClock, "clock.read"),
    says_yes(clock.SetClock, "clock.set"),
    says_no(log.GetLog, "log.read"),
    says_no(device.GetDeviceText, "device.texts"),
    says_no(device.GetDeviceMac, "device.mac"),
    says_no(device.GetDeviceClock, "device.clock"),
    says_no(device.GetDeviceSignal, "device.signal"),
    says_no(passcodes.GetPasscodes, "passcode.list"),
    says_yes(passcodes.AddPasscode, "passcode.add"),
    says_yes(passcodes.ModifyPasscode, "passcode.modify"),
    says_yes(passcodes.DeletePasscode, "passcode.delete"),
    says_yes(passcodes.RecoverPasscode, "passcode.recover"),
    says_no(cards.GetCards, "card.list"),
    says_no(cards.LearnCard, "card.learn"),
    says_yes(cards.AddCard, "card.add"),
    says_yes(cards.ModifyCard, "card.modify"),
    says_yes(cards.DeleteCard, "card.delete"),
    says_no(schedules.AddSchedule, "schedule.add"),
    says_no(schedules.ClearSchedules, "schedule.add"),
    says_no(fingerprints.GetFingerprints, "fingerprint.list"),
    says_no(fingerprints.EnrolFingerprint, "fingerprint.enrol"),
    says_yes(fingerprints.ModifyFingerprint, "fingerprint.enrol"),
    says_yes(fingerprints.DeleteFingerprint, "fingerprint.enrol"),
    says_no(settings.GetAutoLock, "auto_lock.read"),
    says_yes(settings.SetAutoLock, "auto_lock.set"),
    says_yes(settings.SetLockingOnClose, "locking_on_close.set"),
    says_no(settings.GetSound, "sound.read"),
    says_yes(settings.SetSound, "sound.set"),
    says_yes(settings.SetVolume, "volume.set"),
    says_no(settings.GetPasscodeDisplay, "display.read"),
    says_yes(settings.SetPasscodeDisplay, "display.set"),
    says_no(settings.GetRemoteUnlock, "remote_unlock.read"),
    says_yes(settings.SetRemoteUnlock, "remote_unlock.set"),
    says_no(settings.GetSwitches, "switches.read"),
    says_yes(settings.SetSwitch, "switches.set"),
    says_no(passage.GetPassageEntries, "passage.list"),
    says_yes(passage.AddPassageEntry, "passage.add"),
    says_yes(passage.DeletePassageEntry, "passage.delete"),
    says_no(admin.GetAdminPasscode, "admin_passcode.read"),
    says_yes(admin.SetAdminPasscode, "admin_passcode.set"),
    says_no(pairing.Hello, "probe.greeting"),
    says_no(pairing.GetOfflinePasscodes, "offline.read"),
    says_no(rare.GetHotelItem, "hotel.read"),
    says_no(rare.GetRemoteControl, "remote.read"),
    says_no(rare.ClickRemoteControl, "remote.press"),
    says_yes(passcodes.ClearPasscodes, "wipe.passcodes", "wipe.backup"),
    says_yes(cards.ClearCards, "wipe.cards", "wipe.backup"),
    says_yes(fingerprints.ClearFingerprints, "wipe.fingerprints", "wipe.backup"),
    says_yes(passage.ClearPassageEntries, "wipe.passage", "wipe.backup"),
    says_yes(pairing.InitOfflinePasscodes, "wipe.offline", "wipe.backup"),
    says_no(rare.SetNbAddress, "wipe.special", "wipe.backup"),
    says_no(rare.SetWristbandKey, "wipe.special", "wipe.backup"),
    says_no(rare.SetHotelNumbers, "wipe.special", "wipe.backup"),
    says_no(rare.SetHotelCardKey, "wipe.special", "wipe.backup"),
    says_no(rare.SetHotelAesKey, "wipe.special", "wipe.backup"),
    says_yes(admin.Reset, "wipe.reset", "wipe.backup"),
    says_no(pairing.GetAesKey, "wipe.enrol", *_RESET),
    says_no(pairing.AddAdmin, "wipe.enrol", *_RESET),
    says_no(pairing.FinishPairing, "wipe.enrol", *_RESET),
    Broken(
        name="clock ten minutes slow",
        finds="clock.read",
        change=lambda memory: replace(memory, clock=memory.clock.shifted(-600.0)),
    ),
    Broken(
        name="passcodes switched off",
        finds="features.read",
        change=lambda memory: replace(
            memory, features=tuple(f for f in memory.features if f != Feature.PASSCODE)
        ),
    ),
    Broken(
        name="no room for another passcode",
        finds="passcode.add",
        change=lambda memory: replace(memory, capacity=replace(memory.capacity, passcodes=0)),
    ),
    Broken(
        name="hangs up after every answer",
        finds="contact.find",
        faults=(Fault(action=FaultAction.DROP_AFTER, at=FaultPoint.ANSWER),),
    ),
)
"""All of them."""

_UNREADABLE = "no command reads it, so that it could not be put back"
EXEMPT: dict[type[Request], str] = {
    admin.SetLockName: _UNREADABLE,
    admin.SetDeviceParameter: _UNREADABLE,
    admin.SetMaxPasscodes: _UNREADABLE,
}
"""Requests that the suite never sends, and why."""


@dataclass(frozen=True, kw_only=True)
class Quirky:
    """A lock that needs a quirk, and the quirks that the suite must find."""

    name: str
    habits: Habits
    quirks: dict[str, bool | str]


VERIFIED: dict[str, bool | str] = {"switches_are_verified": True}
"""What every virtual lock's switches earn it (D26)."""
QUIRKY: tuple[Quirky, ...] = (
    Quirky(name="an ordinary lock", habits=Habits(), quirks={}),
    Quirky(
        name="minds the header (D6)",
        habits=Habits(is_header_strict=True, answers_with=Version(scene=5)),
        quirks={"mirrors_header": False},
    ),
    Quirky(
        name="wants padding (D7)",
        habits=Habits(needs_padding=True),
        quirks={"pads_empty_payload": True},
    ),
    Quirky(
        name="miscounts checksums (D2)",
        habits=Habits(miscounts_checksum=True),
        quirks={"ignores_checksum": True},
    ),
    Quirky(
        name="wants a greeting (D20)",
        habits=Habits(needs_greeting=True),
        quirks={"says_hello_first": True},
    ),
    Quirky(
        name="keeps its log to the administrator (D19)",
        habits=Habits(log_needs_admin=True),
        quirks={"log_needs_admin": True},
    ),
    Quirky(
        name="wants the administrator's challenge (D21)",
        habits=Habits(needs_admin_challenge=True),
        quirks={"unlocks_with_admin_challenge": True},
    ),
)
