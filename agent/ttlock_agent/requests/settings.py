"""Requests about how a lock behaves: its settings, passage mode, the administrator's passcode."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Final

from msgspec import Meta, Struct

from ttlock_agent.validation import BadValue

from .passcode import Passcode
from .structs import WRITE_PATIENCE, LockRequest, Request

MAX_WINDOWS: Final = 64
"""No lock is known to keep more windows of passage mode."""
MAX_DELAY_S: Final = 0xFFFE
_DAYS: Final = {"weekly": range(8), "monthly": range(1, 32), "yearly": range(1, 32)}


class SettingName(StrEnum):
    """What can be set; the names are those of the reports of a restore."""

    AUTO_LOCK_S = "auto_lock_s"
    IS_LOCKING_ON_CLOSE = "is_locking_on_close"
    IS_SOUND_ON = "is_sound_on"
    VOLUME = "volume"
    IS_PASSCODE_SHOWN = "is_passcode_shown"
    IS_REMOTE_UNLOCK_ALLOWED = "is_remote_unlock_allowed"
    TAMPER_ALERT = "tamper_alert"
    RESET_BUTTON = "reset_button"
    PRIVACY_LOCK = "privacy_lock"
    UNLOCK_DIRECTION_LEFT = "unlock_direction_left"
    PASSAGE_AUTO_UNLOCK = "passage_auto_unlock"
    WIFI_POWER_SAVING = "wifi_power_saving"


NUMBERS: Final[Mapping[SettingName, range]] = MappingProxyType(
    {SettingName.AUTO_LOCK_S: range(MAX_DELAY_S + 1), SettingName.VOLUME: range(1, 6)}
)
"""Settings whose value is a number; all others are on or off."""


class SettingRead(LockRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Read every setting that the lock has."""


class SettingSet(LockRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Change one setting of the lock and prove it by reading it back."""

    setting: Annotated[SettingName, Meta(description="Which one.", examples=["auto_lock_s"])]
    value: Annotated[
        bool | int,
        Meta(
            description="true or false; seconds for auto_lock_s (0: never), 1 to 5 for volume.",
            examples=[15],
        ),
    ]

    @property
    def patience(self) -> timedelta:
        """Whenever the lock is reached."""
        return WRITE_PATIENCE

    def __post_init__(self) -> None:
        super().__post_init__()
        numbers = NUMBERS.get(self.setting)
        if numbers is None and not isinstance(self.value, bool):
            raise BadValue(
                f"`value` of {self.setting} must be true or false.", hint='Write "value": true.'
            )
        if numbers is not None and (isinstance(self.value, bool) or self.value not in numbers):
            raise BadValue(
                f"`value` of {self.setting} must be a whole number from {numbers[0]} to"
                f" {numbers[-1]}.",
                hint=f'Write for example "value": {numbers[1]}.',
            )


class AdminPasscodeRead(LockRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Read the administrator's keypad passcode; only the control socket is told its digits."""


class AdminPasscodeSet(LockRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Give the administrator another keypad passcode, and prove it where the lock tells it."""

    passcode: Annotated[Passcode, Meta(description="4 to 9 digits.", examples=["2468135"])]

    @property
    def patience(self) -> timedelta:
        """Whenever the lock is reached."""
        return WRITE_PATIENCE


class PassageKind(StrEnum):
    """How often a window of passage mode comes."""

    WEEKLY = "weekly"
    MONTHLY = "monthly"
    YEARLY = "yearly"


Time = Annotated[
    str,
    Meta(
        pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$(?!\n)",
        extra={"words": "a time such as 08:00, in quotes"},
        examples=["08:00"],
    ),
]


class PassageWindow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Hours in which the lock stays open once it was unlocked, by its own clock."""

    kind: Annotated[PassageKind, Meta(description="How often it comes.")] = PassageKind.WEEKLY
    day: Annotated[
        int,
        Meta(
            ge=0,
            le=31,
            description="Weekly: 1 Monday to 7 Sunday, 0 every day. Else the day of the month.",
            examples=[1],
        ),
    ] = 0
    month: Annotated[
        int, Meta(ge=0, le=12, description="Of a yearly window only.", examples=[0])
    ] = 0
    starts_at: Annotated[Time, Meta(description="Hours and minutes.")] = "00:00"
    ends_at: Annotated[
        Time, Meta(description="Hours and minutes; 23:59 is the end of the day.")
    ] = "23:59"

    def __post_init__(self) -> None:
        if self.day not in _DAYS[self.kind]:
            days = _DAYS[self.kind]
            raise BadValue(
                f"`day` of a {self.kind} window must be {days[0]} to {days[-1]}.",
                hint="Weekly: 1 is Monday, 7 Sunday, 0 every day. Else the day of the month.",
            )
        if (self.month > 0) != (self.kind is PassageKind.YEARLY):
            raise BadValue(
                "A yearly window, and only that, has a `month`.", hint="Write 1 to 12, or leave it."
            )
        check_hours(self.starts_at, self.ends_at)


def check_hours(starts_at: str, ends_at: str) -> None:
    """Raise ``BadValue`` for hours that are none."""
    if ends_at <= starts_at:
        raise BadValue(
            "`ends_at` is not after `starts_at`.",
            hint="For hours across midnight give two entries: up to 23:59, and from 00:00.",
        )


class PassageList(LockRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """List the windows of passage mode."""


class PassageSet(LockRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Make the windows of passage mode exactly these, and prove it by reading them back."""

    windows: Annotated[
        tuple[PassageWindow, ...],
        Meta(
            min_length=1,
            max_length=MAX_WINDOWS,
            description="The complete set; `passage.clear` removes all.",
        ),
    ]

    @property
    def patience(self) -> timedelta:
        """Whenever the lock is reached."""
        return WRITE_PATIENCE


SETTING_VERBS: Final[Mapping[str, type[Request]]] = MappingProxyType(
    {
        "setting.read": SettingRead,
        "setting.set": SettingSet,
        "passage.list": PassageList,
        "passage.set": PassageSet,
        "admin_passcode.read": AdminPasscodeRead,
        "admin_passcode.set": AdminPasscodeSet,
    }
)
"""The verbs of this module."""
