"""Every setting of a lock as a row: which feature it takes, how it is read, how it is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from ttlock_protocol.features import Feature
from ttlock_protocol.message import Request
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One row."""

    feature: Feature
    words: str
    """What a lock without the feature has not."""
    get: Request[Any]
    value: Callable[[Any], bool | int | None]
    """What the answer to ``get`` says; ``None`` if this firmware leaves it out."""
    put: Callable[[Any], Request[Any]]
    is_switch: bool = False
    """One of those that nobody has verified yet on most locks (disagreement D26)."""


def _switch(switch: Switch, feature: Feature) -> Setting:
    return Setting(
        feature=feature,
        words=switch.name.lower().replace("_", " "),
        get=GetSwitches(),
        value=lambda answer: bool(answer.is_on(switch)),
        put=lambda is_on: SetSwitch(switch=switch, is_on=is_on),
        is_switch=True,
    )


SETTINGS: Final[Mapping[str, Setting]] = MappingProxyType(
    {
        "auto_lock_s": Setting(
            feature=Feature.AUTO_LOCK,
            words="auto-lock",
            get=GetAutoLock(),
            value=lambda answer: answer.delay_s,
            put=lambda seconds: SetAutoLock(delay_s=seconds),
        ),
        "is_locking_on_close": Setting(
            feature=Feature.AUTO_LOCK,
            words="auto-lock",
            get=GetAutoLock(),
            value=lambda answer: answer.is_locking_on_close,
            put=lambda is_on: SetLockingOnClose(is_locking_on_close=is_on),
        ),
        "is_sound_on": Setting(
            feature=Feature.SOUND,
            words="sound",
            get=GetSound(),
            value=lambda answer: answer.is_on,
            put=lambda is_on: SetSound(is_on=is_on),
        ),
        "volume": Setting(
            feature=Feature.VOLUME,
            words="volume",
            get=GetSound(),
            value=lambda answer: answer.volume if answer.is_on else None,
            put=lambda volume: SetVolume(volume=volume),
        ),
        "is_passcode_shown": Setting(
            feature=Feature.PASSCODE_DISPLAY,
            words="display of passcodes",
            get=GetPasscodeDisplay(),
            value=lambda answer: answer.is_shown,
            put=lambda is_shown: SetPasscodeDisplay(is_shown=is_shown),
        ),
        "is_remote_unlock_allowed": Setting(
            feature=Feature.REMOTE_UNLOCK_SWITCH,
            words="remote-unlock switch",
            get=GetRemoteUnlock(),
            value=lambda answer: answer.is_allowed,
            put=lambda is_allowed: SetRemoteUnlock(is_allowed=is_allowed),
        ),
        "tamper_alert": _switch(Switch.TAMPER_ALERT, Feature.TAMPER_ALERT),
        "reset_button": _switch(Switch.RESET_BUTTON, Feature.RESET_BUTTON),
        "privacy_lock": _switch(Switch.PRIVACY_LOCK, Feature.PRIVACY_LOCK),
        "unlock_direction_left": _switch(Switch.UNLOCK_DIRECTION_LEFT, Feature.UNLOCK_DIRECTION),
        "passage_auto_unlock": _switch(Switch.PASSAGE_AUTO_UNLOCK, Feature.PASSAGE_AUTO_UNLOCK),
        "wifi_power_saving": _switch(Switch.WIFI_POWER_SAVING, Feature.WIFI),
    }
)
"""By name; volume is that of a lock whose sound is on."""
