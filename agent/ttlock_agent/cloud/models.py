"""What the cloud says, as values: times aware and in UTC, passcode kinds by name.

Every ``from_answer`` raises ``CloudUnreachable`` (problem ``not_the_api``) where a required field
is missing. Digits never show in a ``repr``.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Self

import msgspec

from ttlock_agent.cloud.answer import Fields, not_the_api


class PasscodeKind(StrEnum):
    """What a passcode does, free of the four numberings the vendor uses.

    The cloud's 1 and 2 mean the opposite of what the same numbers mean on air, so no number leaves
    this module except ``CloudPasscode.cloud_type``.
    """

    PERMANENT = "permanent"
    ONE_TIME = "one_time"
    PERIOD = "period"
    CYCLIC = "cyclic"
    ERASE = "erase"
    OTHER = "other"

    @classmethod
    def from_cloud(cls, number: int) -> PasscodeKind:
        """Kind for the cloud's ``keyboardPwdType``."""
        if number in _CLOUD_CYCLIC:
            return cls.CYCLIC
        return _CLOUD_KINDS.get(number, cls.OTHER)


_CLOUD_KINDS = {
    1: PasscodeKind.ONE_TIME,
    2: PasscodeKind.PERMANENT,
    3: PasscodeKind.PERIOD,
    4: PasscodeKind.ERASE,
}
_CLOUD_CYCLIC = range(5, 15)

CUSTOM_TYPES = {PasscodeKind.PERMANENT: 2, PasscodeKind.PERIOD: 3}
"""The kinds a custom passcode can have in the cloud, with the cloud's numbers."""


class PasscodeStatus(StrEnum):
    """State of an asynchronous delivery; on the gateway path it is normal or absent."""

    NORMAL = "normal"
    ADDING = "adding"
    ADD_FAILED = "add_failed"
    CHANGING = "changing"
    CHANGE_FAILED = "change_failed"
    DELETING = "deleting"
    DELETE_FAILED = "delete_failed"
    OTHER = "other"


_STATUSES = {
    1: PasscodeStatus.NORMAL,
    4: PasscodeStatus.ADDING,
    5: PasscodeStatus.ADD_FAILED,
    6: PasscodeStatus.CHANGING,
    7: PasscodeStatus.CHANGE_FAILED,
    8: PasscodeStatus.DELETING,
    9: PasscodeStatus.DELETE_FAILED,
}


class _HidesDigits(msgspec.Struct, frozen=True, kw_only=True):
    """A value whose ``digits`` open a door, and therefore do not show."""

    def __repr__(self) -> str:
        shown = ", ".join(
            f"{name}=<hidden>" if name == "digits" else f"{name}={getattr(self, name)!r}"
            for name in self.__struct_fields__
        )
        return f"{type(self).__name__}({shown})"


class CloudPasscode(_HidesDigits, frozen=True, kw_only=True):
    """One passcode in the cloud's list, which says nothing on the lock's memory.

    ``is_custom`` is None where the cloud does not tell. A computed passcode (False) is not expected
    in the lock's memory before its first use.
    """

    passcode_id: int
    lock_id: int
    digits: str
    name: str
    kind: PasscodeKind
    cloud_type: int
    is_custom: bool | None
    valid_from: datetime | None
    valid_until: datetime | None
    sent_at: datetime | None
    status: PasscodeStatus

    @classmethod
    def from_answer(cls, row: Fields, lock_id: int) -> Self:
        """Read one item of the list asked for ``lock_id``."""
        cloud_type = row.integer("keyboardPwdType")
        is_custom = row.maybe_integer("isCustom")
        status = row.maybe_integer("status")
        return cls(
            passcode_id=row.integer("keyboardPwdId"),
            lock_id=lock_id,
            digits=row.text("keyboardPwd"),
            name=row.label("keyboardPwdName"),
            kind=PasscodeKind.from_cloud(cloud_type),
            cloud_type=cloud_type,
            is_custom=None if is_custom is None else is_custom == 1,
            valid_from=row.instant("startDate"),
            valid_until=row.instant("endDate"),
            sent_at=row.instant("sendDate"),
            status=PasscodeStatus.NORMAL
            if status is None
            else _STATUSES.get(status, PasscodeStatus.OTHER),
        )


class CardHours(msgspec.Struct, frozen=True, kw_only=True):
    """One weekday, 1 Monday to 7 Sunday, and from which minute of it to which a card opens."""

    weekday: int
    from_minute: int
    to_minute: int


class CloudCard(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the cloud's list of cards; without hours it opens at any."""

    number: str
    """Decimal, as people write it."""
    hours: tuple[CardHours, ...]

    def __repr__(self) -> str:
        return "CloudCard(hidden)"

    @classmethod
    def from_answer(cls, row: Fields) -> Self:
        """Read one row of the list."""
        is_cyclic = row.maybe_integer("cardType") == _CYCLIC_CARD
        return cls(
            number=row.text("cardNumber"),
            hours=tuple(
                CardHours(
                    weekday=each.integer("weekDay"),
                    from_minute=each.integer("startTime"),
                    to_minute=each.integer("endTime"),
                )
                for each in (row.rows("cyclicConfig") if is_cyclic else ())
            ),
        )


_CYCLIC_CARD = 4


class CloudFinger(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the cloud's list of fingerprints; it is listed by fields like those of cards."""

    number: str
    """Decimal, as the vendor's app shows it."""
    name: str

    @classmethod
    def from_answer(cls, row: Fields) -> Self:
        """Read one row of the list."""
        return cls(number=row.text("fingerprintNumber"), name=row.label("fingerprintName"))


class LockGateway(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway that heard the lock's advertisement: a cached sighting, not a connection."""

    gateway_id: int
    name: str
    mac: str
    rssi_dbm: int | None
    rssi_updated_at: datetime | None

    @classmethod
    def from_answer(cls, row: Fields) -> Self:
        """Read one item of a lock's gateways."""
        return cls(
            gateway_id=row.integer("gatewayId"),
            name=row.label("gatewayName"),
            mac=row.label("gatewayMac"),
            rssi_dbm=row.maybe_integer("rssi"),
            rssi_updated_at=row.instant("rssiUpdateDate"),
        )


class Gateway(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway of the account.

    ``is_online`` only means that the cloud has not yet noticed the end of the gateway's TCP
    connection (about 8 minutes); it says nothing on the gateway's Bluetooth half.
    """

    gateway_id: int
    name: str
    mac: str
    version: int | None
    network_name: str
    lock_count: int | None
    is_online: bool

    @classmethod
    def from_answer(cls, row: Fields) -> Self:
        """Read one item of the account's gateways."""
        return cls(
            gateway_id=row.integer("gatewayId"),
            name=row.label("gatewayName"),
            mac=row.label("gatewayMac"),
            version=row.maybe_integer("gatewayVersion"),
            network_name=row.label("networkName"),
            lock_count=row.maybe_integer("lockNum"),
            is_online=row.integer("isOnline") == 1,
        )


class LockDetail(msgspec.Struct, frozen=True, kw_only=True):
    """What the cloud knows of a lock, without the Bluetooth secrets and the super passcode.

    Those are in the same answer and are dropped here: the watch has no use for them.
    """

    lock_id: int
    name: str
    alias: str
    mac: str
    has_gateway: bool | None
    battery_percent: int | None
    features: int | None
    timezone_offset_s: int | None
    model: str
    hardware_revision: str
    firmware_revision: str
    auto_lock_delay_s: int | None

    @classmethod
    def from_answer(cls, row: Fields) -> Self:
        """Read the detail answer."""
        has_gateway = row.maybe_integer("hasGateway")
        offset_ms = row.maybe_integer("timezoneRawOffset")
        return cls(
            lock_id=row.integer("lockId"),
            name=row.label("lockName"),
            alias=row.label("lockAlias"),
            mac=row.label("lockMac"),
            has_gateway=None if has_gateway is None else has_gateway == 1,
            battery_percent=row.maybe_integer("electricQuantity"),
            features=_hexadecimal(row.label("featureValue")),
            timezone_offset_s=None if offset_ms is None else offset_ms // 1000,
            model=row.label("modelNum"),
            hardware_revision=row.label("hardwareRevision"),
            firmware_revision=row.label("firmwareRevision"),
            auto_lock_delay_s=row.maybe_integer("autoLockTime"),
        )


class LockRecord(_HidesDigits, frozen=True, kw_only=True):
    """One entry of the lock's log as the cloud got it; ``digits`` is what was typed.

    ``lock_at`` is the lock's own clock: later than ``received_at`` means that it is fast.
    """

    record_id: int
    lock_id: int
    record_type: int | None
    lock_record_type: int | None
    is_success: bool | None
    who: str
    digits: str
    lock_at: datetime | None
    received_at: datetime | None

    @classmethod
    def from_answer(cls, row: Fields, lock_id: int) -> Self:
        """Read one item of the records asked for ``lock_id``."""
        success = row.maybe_integer("success")
        return cls(
            record_id=row.integer("recordId"),
            lock_id=lock_id,
            record_type=row.maybe_integer("recordType"),
            lock_record_type=row.maybe_integer("recordTypeFromLock"),
            is_success=None if success is None else success == 1,
            who=row.label("username"),
            digits=row.maybe_text("keyboardPwd"),
            lock_at=row.instant("lockDate"),
            received_at=row.instant("serverDate"),
        )


def read_clock(row: Fields) -> datetime:
    """Lock clock from the answer to a clock query."""
    moment = row.instant("date")
    if moment is None:
        raise not_the_api("answer has no usable date")
    return moment


def _hexadecimal(text: str) -> int | None:
    """Feature bits as a number of any size; None where the field is absent or no hexadecimal."""
    try:
        return int(text, 16)
    except ValueError:
        return None
