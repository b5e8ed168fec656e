"""Auto-lock, sound, display, remote unlock, switches (reference 6.9 to 6.13)."""

from __future__ import annotations

from typing import Final

from ttlock_protocol.errors import Refusal
from ttlock_protocol.features import Feature
from ttlock_protocol.messages.settings import (
    AutoLock,
    AutoLockSet,
    GetAutoLock,
    GetPasscodeDisplay,
    GetRemoteUnlock,
    GetSound,
    GetSwitches,
    PasscodeDisplay,
    PasscodeDisplaySet,
    RemoteUnlock,
    RemoteUnlockSet,
    SetAutoLock,
    SetLockingOnClose,
    SetPasscodeDisplay,
    SetRemoteUnlock,
    SetSound,
    SetSwitch,
    SetVolume,
    Sound,
    SoundSet,
    Switch,
    Switches,
    SwitchSet,
)
from ttlock_protocol.virtual.visit import Refused, Visit, handles

_SWITCH_FEATURES: Final = {
    Switch.TAMPER_ALERT: Feature.TAMPER_ALERT,
    Switch.RESET_BUTTON: Feature.RESET_BUTTON,
    Switch.PRIVACY_LOCK: Feature.PRIVACY_LOCK,
    Switch.UNLOCK_DIRECTION_LEFT: Feature.UNLOCK_DIRECTION,
    Switch.PASSAGE_AUTO_UNLOCK: Feature.PASSAGE_AUTO_UNLOCK,
    Switch.WIFI_POWER_SAVING: Feature.WIFI,
}


@handles(GetAutoLock)
def get_auto_lock(visit: Visit, _: GetAutoLock) -> AutoLock:
    """Tell the delay and its limits."""
    visit.require_feature(Feature.AUTO_LOCK)
    settings = visit.body.memory.settings
    return AutoLock(
        battery_percent=visit.battery_percent,
        delay_s=settings.auto_lock_s,
        min_delay_s=settings.auto_lock_min_s,
        max_delay_s=settings.auto_lock_max_s,
        is_locking_on_close=settings.is_locking_on_close,
    )


@handles(SetAutoLock)
def set_auto_lock(visit: Visit, request: SetAutoLock) -> AutoLockSet:
    """Set the delay, for the next time the bolt is withdrawn."""
    visit.require_feature(Feature.AUTO_LOCK)
    settings = visit.body.memory.settings
    if request.delay_s == 0:
        is_allowed = Feature.AUTO_LOCK_CAN_BE_OFF in visit.body.memory.features
    else:
        is_allowed = settings.auto_lock_min_s <= request.delay_s <= settings.auto_lock_max_s
    if not is_allowed:
        raise Refused(Refusal.INVALID_PARAMETER)
    visit.body.change_settings(auto_lock_s=request.delay_s)
    return AutoLockSet(battery_percent=visit.battery_percent)


@handles(SetLockingOnClose)
def set_locking_on_close(visit: Visit, request: SetLockingOnClose) -> AutoLockSet:
    """Set what a closed door does."""
    visit.require_feature(Feature.AUTO_LOCK)
    visit.body.change_settings(is_locking_on_close=request.is_locking_on_close)
    return AutoLockSet(battery_percent=visit.battery_percent)


@handles(GetSound)
def get_sound(visit: Visit, _: GetSound) -> Sound:
    """Tell whether the lock sounds, and how loud if it can be said."""
    visit.require_feature(Feature.SOUND)
    memory = visit.body.memory
    return Sound(
        battery_percent=visit.battery_percent,
        is_on=memory.settings.is_sound_on,
        volume=memory.settings.volume if Feature.VOLUME in memory.features else None,
    )


@handles(SetSound)
def set_sound(visit: Visit, request: SetSound) -> SoundSet:
    """Turn the sound on or off."""
    visit.require_feature(Feature.SOUND)
    visit.body.change_settings(is_sound_on=request.is_on)
    return SoundSet(battery_percent=visit.battery_percent)


@handles(SetVolume)
def set_volume(visit: Visit, request: SetVolume) -> SoundSet:
    """Turn the sound on; a mere beeper has no volume, and does not mind."""
    visit.require_feature(Feature.SOUND)
    visit.body.change_settings(is_sound_on=True)
    if Feature.VOLUME in visit.body.memory.features:
        visit.body.change_settings(volume=request.volume)
    return SoundSet(battery_percent=visit.battery_percent)


@handles(GetPasscodeDisplay)
def get_display(visit: Visit, _: GetPasscodeDisplay) -> PasscodeDisplay:
    """Tell whether typed digits are shown."""
    visit.require_feature(Feature.PASSCODE_DISPLAY)
    return PasscodeDisplay(
        battery_percent=visit.battery_percent,
        is_shown=visit.body.memory.settings.is_passcode_shown,
    )


@handles(SetPasscodeDisplay)
def set_display(visit: Visit, request: SetPasscodeDisplay) -> PasscodeDisplaySet:
    """Show typed digits or hide them."""
    visit.require_feature(Feature.PASSCODE_DISPLAY)
    visit.body.change_settings(is_passcode_shown=request.is_shown)
    return PasscodeDisplaySet(battery_percent=visit.battery_percent)


@handles(GetRemoteUnlock)
def get_remote_unlock(visit: Visit, _: GetRemoteUnlock) -> RemoteUnlock:
    """Tell whether a gateway may unlock."""
    visit.require_feature(Feature.REMOTE_UNLOCK_SWITCH)
    return RemoteUnlock(
        battery_percent=visit.battery_percent,
        is_allowed=visit.body.memory.settings.is_remote_unlock_allowed,
    )


@handles(SetRemoteUnlock)
def set_remote_unlock(visit: Visit, request: SetRemoteUnlock) -> RemoteUnlockSet:
    """Let gateways unlock or not."""
    visit.require_feature(Feature.REMOTE_UNLOCK_SWITCH)
    visit.body.change_settings(is_remote_unlock_allowed=request.is_allowed)
    return RemoteUnlockSet(battery_percent=visit.battery_percent)


@handles(GetSwitches)
def get_switches(visit: Visit, _: GetSwitches) -> Switches:
    """Tell all switches."""
    return Switches(battery_percent=visit.battery_percent, bits=visit.body.memory.settings.switches)


@handles(SetSwitch)
def set_switch(visit: Visit, request: SetSwitch) -> SwitchSet:
    """Turn one switch on or off, if this lock has it."""
    if _SWITCH_FEATURES.get(request.switch) not in visit.body.memory.features:
        raise Refused(Refusal.NOT_SUPPORTED)
    bits = visit.body.memory.settings.switches & ~request.switch
    visit.body.change_settings(switches=bits | (request.switch if request.is_on else 0))
    return SwitchSet(battery_percent=visit.battery_percent)
