"""Locks to begin with."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta, tzinfo

from ttlock_protocol.features import Feature
from ttlock_protocol.frame import Version
from ttlock_protocol.keys import LockKeys
from ttlock_protocol.messages.auth import PERMANENT_FROM
from ttlock_protocol.messages.passcodes import PasscodeType, check_digits

from .memory import (
    DEFAULT_FEATURES,
    Administrator,
    Memory,
    OwnClock,
    StoredPasscode,
    utc,
)


def new_lock(
    *,
    mac: str,
    name: str,
    keys: LockKeys,
    now: datetime,
    zone: tzinfo,
    clock_error_s: float = 0.0,
    admin_passcode: str | None = None,
    permanent_passcodes: Iterable[str] = (),
    features: tuple[Feature, ...] = DEFAULT_FEATURES,
) -> Memory:
    """Return a lock that is paired with ``keys``.

    Its clock shows the time of ``zone`` at true time ``now`` plus ``clock_error_s``; from then on
    it knows neither zone nor daylight saving. Raises ``LocalProtocolError`` for passcodes that
    nobody could type.
    """
    if admin_passcode is not None:
        check_digits(admin_passcode)
    return Memory(
        mac=mac,
        name=name,
        version=keys.version,
        clock=_clock(now, zone, clock_error_s),
        administrator=Administrator(
            aes_key=keys.aes_key,
            admin_secret=keys.admin_secret,
            unlock_key=keys.unlock_key,
            lock_flag_position=keys.lock_flag_position,
        ),
        admin_passcode=admin_passcode,
        passcodes=tuple(_permanent(digits) for digits in permanent_passcodes),
        features=features,
    )


def new_factory_lock(
    *,
    mac: str,
    name: str,
    now: datetime,
    zone: tzinfo,
    version: Version | None = None,
    features: tuple[Feature, ...] = DEFAULT_FEATURES,
) -> Memory:
    """Return a lock in setting mode, as it comes out of its box."""
    return Memory(
        mac=mac,
        name=name,
        version=version or Version(),
        clock=_clock(now, zone, 0.0),
        features=features,
    )


def _clock(now: datetime, zone: tzinfo, error_s: float) -> OwnClock:
    local = utc(now).astimezone(zone).replace(tzinfo=None)
    return OwnClock(set_to=local + timedelta(seconds=error_s), set_at=utc(now))


def _permanent(digits: str) -> StoredPasscode:
    check_digits(digits)
    return StoredPasscode(
        passcode_type=PasscodeType.PERMANENT,
        passcode=digits,
        original_passcode=digits,
        valid_from=PERMANENT_FROM,
    )
