"""What a lock remembers, as values: every change makes a new :class:`Memory`.

That makes "did anything change" and "what was it before" cheap and exact questions. Fields typed
:data:`Instant` are true time (aware, UTC); every other time is what the lock's own clock showed,
naive, for a lock knows no zone.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from typing import Annotated, Final

from ttlock_protocol.errors import LocalProtocolError
from ttlock_protocol.features import Feature
from ttlock_protocol.frame import Version
from ttlock_protocol.keys import LockKeys
from ttlock_protocol.messages.cards import CardRecord
from ttlock_protocol.messages.fingerprints import FingerprintRecord
from ttlock_protocol.messages.log import LogRecord
from ttlock_protocol.messages.operate import CLIENT_TOKEN, BoltState
from ttlock_protocol.messages.pairing import OfflineSeed
from ttlock_protocol.messages.passage import PassageEntry
from ttlock_protocol.messages.passcodes import PasscodeRecord, PasscodeType
from ttlock_protocol.wire import FIRST_YEAR, LAST_YEAR

Instant = Annotated[datetime, "instant"]
"""True time: aware and in UTC. The state file keeps the two kinds of time apart by this mark."""

LOG_CAPACITY: Final = 500
LAST_LOG_NUMBER: Final = 0xFFEE
"""Numbers of log records start again at 1 behind this one: ``next`` is one more, and FFF0 and FFFF
mean other things."""
CLOCK_RESET_TO: Final = datetime(FIRST_YEAR, 1, 1)  # noqa: DTZ001 - lock-local
_MILLENNIUM: Final = 1000
_MAX_DRIFT_PPM: Final = 1_000_000
_FULL_PERCENT: Final = 100
_CLOCK_END: Final = datetime(LAST_YEAR, 12, 31, 23, 59, 59)  # noqa: DTZ001 - lock-local


@dataclass(frozen=True, slots=True, kw_only=True)
class Administrator:
    """What pairing left in the lock; none of it appears in the representation."""

    aes_key: bytes = field(repr=False)
    admin_secret: int = field(repr=False)
    unlock_key: int = field(repr=False)
    lock_flag_position: int = 0

    def __post_init__(self) -> None:
        # The same limits as for whoever talks to us.
        LockKeys(
            aes_key=self.aes_key,
            admin_secret=self.admin_secret,
            unlock_key=self.unlock_key,
            lock_flag_position=self.lock_flag_position,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnClock:
    """A cheap quartz: what it was set to, when, and how fast it runs away (parts per million)."""

    set_to: datetime
    set_at: Instant
    drift_ppm: float = 0.0

    def __post_init__(self) -> None:
        if self.set_to.tzinfo is not None or self.set_at.tzinfo is None:
            raise LocalProtocolError("a lock's clock is set to a naive time, at an aware one")
        if not all(_is_near(each) for each in (self.set_to, self.set_at)):
            raise LocalProtocolError("a lock's clock is set a thousand years off at most")
        if not abs(self.drift_ppm) <= _MAX_DRIFT_PPM:
            raise LocalProtocolError("a clock that is off by as much as it runs is no clock")

    def read(self, now: datetime) -> datetime:
        """Return what the clock shows at true time ``now``: 2000 to 2099, where it stops."""
        shown = self.set_to + (now - self.set_at) * (1 + self.drift_ppm / 1_000_000)
        return min(max(shown.replace(microsecond=0), CLOCK_RESET_TO), _CLOCK_END)

    def shifted(self, seconds: float) -> OwnClock:
        """Return the clock ``seconds`` later (or earlier) than it is.

        Raises ``LocalProtocolError`` for a time that it cannot show.
        """
        try:
            return replace(self, set_to=self.set_to + timedelta(seconds=seconds))
        except OverflowError:
            raise LocalProtocolError("no calendar goes that far") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Battery:
    """Charge in percent, 0 to 100, and what an hour of connection takes from it."""

    percent: float = 100.0
    percent_per_connected_hour: float = 2.0

    def __post_init__(self) -> None:
        if not (0 <= self.percent <= _FULL_PERCENT and self.percent_per_connected_hour >= 0):
            raise LocalProtocolError("a charge is 0 to 100 percent, and connections take from it")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bolt:
    """Where the bolt is, and since when it has been open."""

    state: BoltState = BoltState.LOCKED
    opened_at: Instant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceInfo:
    """What the device information command and service tell; most locks have no NB-IoT radio."""

    model: str = "SN999_DEMO"
    hardware: str = "1.2"
    firmware: str = "6.5.08.230228"
    produced: str = "20230228"
    nb_rssi_dbm: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """How many of each kind fit (reference 8.3; cards and passage entries are our choice)."""

    passcodes: int = 150
    cards: int = 1000
    fingerprints: int = 200
    passage_entries: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPasscode:
    """One passcode; times are what the lock's own clock shows.

    ``uses_left`` counts down at the keypad, ``None`` is without limit. A cloud-generated passcode
    is one that the lock can work out from its seed: it takes part in nothing but the keypad until
    ``first_used_at``. ``is_erase_code`` ones open nothing and wipe the others.
    """

    passcode_type: PasscodeType
    passcode: str = field(repr=False)
    original_passcode: str = field(repr=False)
    valid_from: datetime
    valid_until: datetime | None = None
    cycle_number: int | None = None
    uses_left: int | None = None
    is_cloud_generated: bool = False
    is_erase_code: bool = False
    first_used_at: datetime | None = None

    @property
    def is_listed(self) -> bool:
        """Whether the lock's commands know it (reference 6.6.7)."""
        return not self.is_cloud_generated or self.first_used_at is not None

    @property
    def record(self) -> PasscodeRecord:
        """What a list says of it."""
        return PasscodeRecord(
            passcode_type=self.passcode_type,
            passcode=self.passcode,
            original_passcode=self.original_passcode,
            valid_from=self.valid_from,
            valid_until=self.valid_until,
            cycle_number=self.cycle_number,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSchedule:
    """On one day of the week (1 Monday to 7), when a card or fingerprint opens."""

    credential: bytes = field(repr=False)
    weekday: int
    starts_at: time
    ends_at: time


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the owner may change."""

    auto_lock_s: int = 5
    auto_lock_min_s: int = 1
    auto_lock_max_s: int = 900
    is_locking_on_close: bool = False
    is_sound_on: bool = True
    volume: int = 3
    is_passcode_shown: bool = False
    is_remote_unlock_allowed: bool = True
    switches: int = 0x23


@dataclass(frozen=True, slots=True, kw_only=True)
class Special:
    """What special hardware is told to keep (reference 6.21)."""

    nb_port: int = 0
    nb_address: str = ""
    wristband_key: str = field(default="", repr=False)
    hotel_card_key: bytes = field(default=b"", repr=False)
    hotel_aes_key: bytes = field(default=b"", repr=False)
    hotel: int = 0
    building: int = 0
    floor: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OfflineSeeds:
    """What cloud-generated passcodes come from: one seed a year from ``first_year`` (mod 100)."""

    first_year: int
    seeds: tuple[OfflineSeed, ...] = field(repr=False)
    reset_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """A ring of records; the oldest is ``first_number``, ``bookmark`` the last one marked as read.

    ``bookmark`` counts all records that were ever written, as ``written`` does: numbers on the
    wire start again, these do not.
    """

    records: tuple[LogRecord, ...] = field(default=(), repr=False)
    written: int = 0
    bookmark: int = 0

    @property
    def first(self) -> int:
        """How many records were written before the oldest that is still there."""
        return self.written - len(self.records)

    @property
    def has_unread(self) -> bool:
        """Whether records came since the bookmark was moved."""
        return self.written > self.bookmark

    def appended(self, record: LogRecord) -> Log:
        """Return the log with one more record; the oldest one falls out of a full ring."""
        records = (*self.records, record)[-LOG_CAPACITY:]
        return replace(self, records=records, written=self.written + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeypadState:
    """Wrong entries in a row, and until when the keypad is dead after too many."""

    wrong_entries: int = 0
    locked_out_until: Instant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """Where locks differ, or where nobody knows: the cautious guess is the default.

    ``is_header_strict``: refuse frames for another type, version or scene (D6).
    ``answers_damaged``: answer a wrong checksum with "checksum" instead of silence (D43).
    ``goes_dormant``: say "dormant" after a minute without radio traffic (1.8).
    ``keeps_used_passcodes``: a used-up one-time passcode stays in the list and is blacklisted.
    ``client_token``: what a client must say to pair this lock (D29).
    ``miscounts_checksum``: what it says has a checksum that nobody else gets (3.4).
    ``answers_with``: the header of its answers, where that is not its own (D6).
    ``needs_padding``: a frame without payload is taken for one under another key (D7).
    ``log_needs_admin``: log, state and clock are for the administrator (D19).
    ``needs_greeting``: nothing is taken before a greeting (D20).
    ``needs_admin_challenge``: the bolt minds an administrator's challenge alone (D21).
    """

    is_header_strict: bool = False
    answers_damaged: bool = True
    goes_dormant: bool = True
    keeps_used_passcodes: bool = True
    client_token: bytes = CLIENT_TOKEN
    miscounts_checksum: bool = False
    answers_with: Version | None = None
    needs_padding: bool = False
    log_needs_admin: bool = False
    needs_greeting: bool = False
    needs_admin_challenge: bool = False


DEFAULT_FEATURES: Final = (
    Feature.PASSCODE,
    Feature.CARD,
    Feature.FINGERPRINT,
    Feature.AUTO_LOCK,
    Feature.PASSCODE_WITH_DELETE,
    Feature.MODIFY_PASSCODE,
    Feature.LOCK_BY_COMMAND,
    Feature.PASSCODE_DISPLAY,
    Feature.CYCLIC_PASSCODE,
    Feature.REMOTE_UNLOCK_SWITCH,
    Feature.SOUND,
    Feature.GET_ADMIN_PASSCODE,
    Feature.PASSAGE_MODE,
    Feature.AUTO_LOCK_CAN_BE_OFF,
    Feature.TAMPER_ALERT,
    Feature.RESET_BUTTON,
    Feature.PRIVACY_LOCK,
    Feature.WEEKLY_SCHEDULE,
    Feature.UNLOCK_DIRECTION,
    Feature.RECOVER_CYCLIC_PASSCODE,
    Feature.VOLUME,
    Feature.PASSAGE_AUTO_UNLOCK,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Everything that survives a power cut; ``administrator`` is missing in setting mode.

    ``features`` are the bits that are set (reference 8.1); the one for gateways is not among them,
    for it follows the remote-unlock switch.

    ``passage_left_until``: passage mode does not count before, for somebody locked on purpose.
    """

    mac: str
    name: str
    clock: OwnClock
    version: Version = field(default_factory=Version)
    administrator: Administrator | None = None
    admin_passcode: str | None = field(default=None, repr=False)
    features: tuple[Feature, ...] = DEFAULT_FEATURES
    device: DeviceInfo = DeviceInfo()
    battery: Battery = Battery()
    bolt: Bolt = Bolt()
    capacity: Capacity = Capacity()
    settings: Settings = Settings()
    passcodes: tuple[StoredPasscode, ...] = ()
    cards: tuple[CardRecord, ...] = ()
    fingerprints: tuple[FingerprintRecord, ...] = ()
    schedules: tuple[StoredSchedule, ...] = ()
    passage: tuple[PassageEntry, ...] = ()
    passage_left_until: datetime | None = None
    offline_seeds: OfflineSeeds | None = None
    special: Special = Special()
    keypad: KeypadState = KeypadState()
    log: Log = Log()
    habits: Habits = Habits()

    @property
    def has_no_room_for_passcodes(self) -> bool:
        """Whether it holds as many as it can; cloud-generated ones count from their first use."""
        return sum(each.is_listed for each in self.passcodes) >= self.capacity.passcodes

    def wiped(self) -> Memory:
        """Return what a factory reset leaves: the hardware, its clock and its charge."""
        return Memory(
            mac=self.mac,
            name=self.name,
            clock=self.clock,
            version=self.version,
            features=self.features,
            device=self.device,
            battery=self.battery,
            bolt=self.bolt,
            capacity=self.capacity,
            habits=self.habits,
        )


def _is_near(moment: datetime) -> bool:
    return FIRST_YEAR - _MILLENNIUM <= moment.year <= LAST_YEAR + _MILLENNIUM


def utc(moment: datetime) -> datetime:
    """Return ``moment`` in UTC; raises ``LocalProtocolError`` for a naive one."""
    if moment.tzinfo is None:
        raise LocalProtocolError("true time needs a zone")
    return moment.astimezone(UTC)
