"""Becoming a lock's administrator, and giving it up (reference 5.2, 6.18)."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from dataclasses import field as plain_field
from datetime import datetime
from typing import Final, TypeVar

from ttlock_protocol.errors import LocalProtocolError
from ttlock_protocol.features import Feature, FeatureSet
from ttlock_protocol.frame import Version
from ttlock_protocol.keys import LockKeys
from ttlock_protocol.message import Request, Response
from ttlock_protocol.messages.admin import GetAdminPasscode, Reset, SetAdminPasscode
from ttlock_protocol.messages.clock import SetClock
from ttlock_protocol.messages.operate import GetFeatures
from ttlock_protocol.messages.pairing import (
    AddAdmin,
    FinishPairing,
    GetAesKey,
    Hello,
    InitOfflinePasscodes,
)
from ttlock_protocol.messages.passcodes import check_digits
from ttlock_protocol.messages.settings import (
    AutoLock,
    GetAutoLock,
    GetPasscodeDisplay,
    GetRemoteUnlock,
    GetSound,
    PasscodeDisplay,
    RemoteUnlock,
    Sound,
)
from ttlock_protocol.quirks import NO_QUIRKS, Quirks

from .core import LinkDropped, NoAnswer, Procedure, Step, ask, authenticate_admin
from .information import DeviceInfo, optional, read_device_info

R = TypeVar("R", bound=Response)
T = TypeVar("T")

MAX_SECRET: Final = 999_999_999
"""Ten decimal digits of which the first is 0 (disagreement D30)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSecrets:
    """What we choose for a new lock; random numbers come from outside this package.

    ``admin_secret`` and ``unlock_key`` are 1 to 999 999 999, ``admin_passcode`` 4 to 9 digits, of
    which other clients use 7; unless ``is_passcode_chosen`` by somebody, it only takes the place of
    none.
    """

    admin_secret: int = plain_field(repr=False)
    unlock_key: int = plain_field(repr=False)
    admin_passcode: str = plain_field(repr=False)
    is_passcode_chosen: bool = False

    def __post_init__(self) -> None:
        for secret in (self.admin_secret, self.unlock_key):
            if not 1 <= secret <= MAX_SECRET:
                raise LocalProtocolError(f"a secret is 1 to {MAX_SECRET}")
        check_digits(self.admin_passcode)


@dataclass(frozen=True, slots=True)
class KeysExist:
    """A step to be answered with ``None``: store ``keys`` now, before the lock hears of them.

    They are worth nothing until :func:`enrol` ends, and all there is if it never does.
    """

    keys: LockKeys


EnrolmentProcedure = Generator[Step | KeysExist, Response | None, T]


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """A lock that is ours; what it would not tell is ``None``."""

    keys: LockKeys
    features: FeatureSet | None
    admin_passcode: str | None = plain_field(repr=False)
    is_clock_set: bool
    auto_lock: AutoLock | None
    sound: Sound | None
    passcode_display: PasscodeDisplay | None
    remote_unlock: RemoteUnlock | None
    device: DeviceInfo


def enrol(
    secrets: NewSecrets,
    *,
    local_time: datetime | None,
    version: Callable[[], Version],
    offline_seeds: InitOfflinePasscodes | None = None,
    quirks: Quirks = NO_QUIRKS,
) -> EnrolmentProcedure[Enrolment]:
    """Become the administrator of a lock in setting mode (its advertisement says so).

    Drive it with a session that was started with the default key. ``local_time`` is lock-local,
    ``None`` where nobody knows the time: the clock is left then;
    ``version`` is asked once the lock has spoken and gives the session's. ``offline_seeds`` are for
    those who have the cloud generate passcodes. What only describes the lock may fail.

    Raises ``CommandRefused`` (``NOT_IN_SETTING_MODE``: it has an administrator) or ``KeyMismatch``
    (likewise, in another firmware's words).
    """
    yield from optional(Hello())
    answer = yield from ask(GetAesKey(token=quirks.client_token))
    keys = LockKeys(
        aes_key=answer.key,
        admin_secret=secrets.admin_secret,
        unlock_key=secrets.unlock_key,
        version=version(),
    )
    yield KeysExist(keys)
    yield from ask(
        AddAdmin(
            admin_secret=secrets.admin_secret,
            unlock_key=secrets.unlock_key,
            token=quirks.client_token,
        )
    )
    is_clock_set = False
    if local_time is not None:
        is_clock_set = (yield from optional(SetClock(local_time=local_time))) is not None
    words = yield from optional(GetFeatures())
    features = FeatureSet(words.bits) if words else FeatureSet(0)
    sound = yield from _where(Feature.SOUND in features, GetSound())
    display = yield from _where(Feature.PASSCODE_DISPLAY in features, GetPasscodeDisplay())
    auto_lock = yield from _where(Feature.AUTO_LOCK in features, GetAutoLock())
    admin_passcode = yield from _admin_passcode(secrets, features)
    if offline_seeds is not None:
        yield from optional(offline_seeds)
    can_switch_remote = Feature.REMOTE_UNLOCK_SWITCH in features
    remote_unlock = yield from _where(can_switch_remote, GetRemoteUnlock())
    yield from ask(FinishPairing())
    return Enrolment(
        keys=keys,
        features=features if words else None,
        admin_passcode=admin_passcode,
        is_clock_set=is_clock_set,
        auto_lock=auto_lock,
        sound=sound,
        passcode_display=display,
        remote_unlock=remote_unlock,
        device=(yield from read_device_info(has_nb_iot=Feature.NB_IOT in features)),
    )


def reset(keys: LockKeys) -> Procedure[bool]:
    """Wipe the lock. Nothing undoes this.

    Returns whether the lock said that it does, with ``52 01`` or an empty frame; where it only fell
    silent or left (D22), its next advertisement tells: it is in setting mode.
    """
    yield from authenticate_admin(keys)
    try:
        yield from ask(Reset())
    except (NoAnswer, LinkDropped):
        return False
    return True


def _where(is_there: bool, request: Request[R]) -> Procedure[R | None]:
    return (yield from optional(request)) if is_there else None


def _admin_passcode(secrets: NewSecrets, features: FeatureSet) -> Procedure[str | None]:
    """Keep the passcode that the lock has, unless ours was chosen; else give it ours."""
    if Feature.GET_ADMIN_PASSCODE in features and not secrets.is_passcode_chosen:
        known = yield from optional(GetAdminPasscode())
        if known is not None and known.passcode:
            return known.passcode
    given = yield from optional(SetAdminPasscode(passcode=secrets.admin_passcode))
    return secrets.admin_passcode if given is not None else None
