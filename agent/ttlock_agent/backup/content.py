"""What a backup holds, as values. Times are the lock's own: local, naive, to the minute.

None of these shows itself in a representation: digits and card numbers open doors.
"""

from __future__ import annotations

from datetime import datetime, time
from typing import Annotated, Final, Self

import msgspec
from msgspec import Meta, Struct

from ttlock_agent.keyring import U8, U16, StoredKeys, StoredVersion
from ttlock_protocol.features import FeatureSet
from ttlock_protocol.messages.cards import CardRecord
from ttlock_protocol.messages.fingerprints import FingerprintRecord
from ttlock_protocol.messages.passage import PassageEntry, PassageKind
from ttlock_protocol.messages.passcodes import PasscodeRecord, PasscodeType

LocalTime = Annotated[datetime, Meta(tz=False)]
LocalHour = Annotated[time, Meta(tz=False)]
MAX_ITEMS: Final = 4096
"""Of one kind: as many as a list of a lock may have before it counts as endless."""
Digits = Annotated[str, Meta(max_length=255)]
"""As long as a record of a lock can make them: what is nonsense is kept, too."""
MAX_TEXT: Final = 64
Text = Annotated[str, Meta(max_length=MAX_TEXT)]


def last_digits(address: str) -> str:
    """Return the last six hexadecimal digits of a Bluetooth address."""
    return address.replace(":", "").upper()[-6:]


class Hidden(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of what must not show itself."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(hidden)"


class SavedPasscode(Hidden, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One passcode of any type."""

    passcode_type: U8
    passcode: Digits
    original_passcode: Digits
    valid_from: LocalTime
    valid_until: LocalTime | None = None
    cycle_number: U16 | None = None
    is_used: bool | None = None
    """For one-time ones: whether the lock's log shows its use; ``None`` when it does not reach."""

    @classmethod
    def of(cls, record: PasscodeRecord, *, is_used: bool | None = None) -> Self:
        """Keep what a lock lists."""
        return cls(
            passcode_type=int(record.passcode_type),
            passcode=record.passcode,
            original_passcode=record.original_passcode,
            valid_from=record.valid_from,
            valid_until=record.valid_until,
            cycle_number=record.cycle_number,
            is_used=is_used,
        )

    @property
    def kind(self) -> PasscodeType:
        """The type, with a name where it has one."""
        return PasscodeType(self.passcode_type)

    @property
    def record(self) -> PasscodeRecord:
        """What a lock that holds it lists."""
        return PasscodeRecord(
            passcode_type=self.kind,
            passcode=self.passcode,
            original_passcode=self.original_passcode,
            valid_from=self.valid_from,
            valid_until=self.valid_until,
            cycle_number=self.cycle_number,
        )


class SavedHours(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Hours of one weekday, 1 Monday to 7 Sunday, in which a card opens."""

    weekday: Annotated[int, Meta(ge=1, le=7)]
    starts_at: LocalHour
    ends_at: LocalHour


class SavedCard(Hidden, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One card or fob."""

    number: Annotated[bytes, Meta(min_length=4, max_length=8)]
    valid_from: LocalTime
    valid_until: LocalTime
    hours: Annotated[tuple[SavedHours, ...], Meta(max_length=64)] | None = None
    """From the vendor's cloud, for no lock tells them; ``None`` when nobody knows."""

    @classmethod
    def of(cls, record: CardRecord) -> Self:
        """Keep what a lock lists."""
        return cls(
            number=record.card_number,
            valid_from=record.valid_from,
            valid_until=record.valid_until,
        )


class SavedFingerprint(Hidden, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """That there is a fingerprint; what it looks like never leaves the lock's sensor."""

    id: Annotated[bytes, Meta(min_length=6, max_length=6)]
    valid_from: LocalTime
    valid_until: LocalTime
    name: Text | None = None
    """From the vendor's cloud: whose finger it is, if the owner wrote that down."""

    @classmethod
    def of(cls, record: FingerprintRecord) -> Self:
        """Keep what a lock lists."""
        return cls(
            id=record.fingerprint, valid_from=record.valid_from, valid_until=record.valid_until
        )


class SavedPassage(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One window of passage mode."""

    kind: U8
    day: U8
    month: U8
    starts_at: LocalHour
    ends_at: LocalHour

    @classmethod
    def of(cls, entry: PassageEntry) -> Self:
        """Keep what a lock lists."""
        return cls(
            kind=int(entry.kind),
            day=entry.day,
            month=entry.month,
            starts_at=entry.starts_at,
            ends_at=entry.ends_at,
        )

    @property
    def entry(self) -> PassageEntry:
        """What a lock is told."""
        return PassageEntry(
            kind=PassageKind(self.kind),
            day=self.day,
            month=self.month,
            starts_at=self.starts_at,
            ends_at=self.ends_at,
        )


class SavedSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the owner chose; ``None`` is what the lock has not or did not tell."""

    auto_lock_s: U16 | None = None
    auto_lock_min_s: U16 | None = None
    auto_lock_max_s: U16 | None = None
    is_locking_on_close: bool | None = None
    is_sound_on: bool | None = None
    volume: U8 | None = None
    is_passcode_shown: bool | None = None
    is_remote_unlock_allowed: bool | None = None
    switches: Annotated[int, Meta(ge=0, le=0xFFFFFFFF)] | None = None


class LockFacts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which lock it was, and what it could do."""

    mac: Text | None = None
    model: Text | None = None
    hardware: Text | None = None
    firmware: Text | None = None
    produced: Text | None = None
    features: Annotated[str, Meta(pattern=r"^[0-9A-F]{1,64}$(?!\n)")] | None = None
    """Feature bits as one hexadecimal number."""
    version: StoredVersion = StoredVersion()
    zone: Text
    """Of the lock's clock, as this agent was configured for it."""
    clock_error_s: float | None = None
    """How far the clock was off before it was set; ``None`` for a lock that told no time."""

    @property
    def feature_set(self) -> FeatureSet | None:
        """The feature bits; ``None`` when the lock did not tell them."""
        return None if self.features is None else FeatureSet(int(self.features, 16))

    @property
    def mac_digits(self) -> str:
        """The last six hexadecimal digits of the address, empty when it is not known."""
        return "" if self.mac is None else last_digits(self.mac)


class UnreadableRecord(Hidden, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A record that is there and cannot be understood: kept, never dropped."""

    item: Text
    raw: Annotated[bytes, Meta(max_length=255)]


class NotRead(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the lock has, or may have, and did not tell."""

    item: Text
    reason: Annotated[str, Meta(max_length=200)]


class Content(Hidden, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that was read of one lock in one visit."""

    taken_at: Annotated[datetime, Meta(tz=True)]
    lock: LockFacts
    passcodes: Annotated[tuple[SavedPasscode, ...], Meta(max_length=MAX_ITEMS)] = ()
    cards: Annotated[tuple[SavedCard, ...], Meta(max_length=MAX_ITEMS)] = ()
    fingerprints: Annotated[tuple[SavedFingerprint, ...], Meta(max_length=MAX_ITEMS)] = ()
    passage: Annotated[tuple[SavedPassage, ...], Meta(max_length=MAX_ITEMS)] = ()
    settings: SavedSettings = SavedSettings()
    admin_passcode: Digits | None = None
    unreadable: Annotated[tuple[UnreadableRecord, ...], Meta(max_length=MAX_ITEMS)] = ()
    not_read: tuple[NotRead, ...] = ()
    keys: StoredKeys | None = None

    def was_read(self, item: str) -> bool:
        """Whether the lock told of ``item``."""
        return all(each.item != item for each in self.not_read)


class Holds(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is inside, in numbers: fit for everybody's eyes."""

    passcodes: int = 0
    cards: int = 0
    fingerprints: int = 0
    passage: int = 0
    unreadable: int = 0
    has_settings: bool = False
    has_admin_passcode: bool = False
    has_keys: bool = False

    @classmethod
    def of(cls, content: Content) -> Self:
        """Count."""
        return cls(
            passcodes=len(content.passcodes),
            cards=len(content.cards),
            fingerprints=len(content.fingerprints),
            passage=len(content.passage),
            unreadable=len(content.unreadable),
            has_settings=content.settings != SavedSettings(),
            has_admin_passcode=content.admin_passcode is not None,
            has_keys=content.keys is not None,
        )


encode_content: Final = msgspec.json.Encoder().encode
decode_content: Final = msgspec.json.Decoder(Content).decode
