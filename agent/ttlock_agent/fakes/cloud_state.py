"""State of the fake cloud: plain data and what follows from it at a given moment.

Two things are kept apart on purpose: ``Lock.listed``, what the cloud says, and ``Lock.memory``,
what arrived in the lock. Nothing here does I/O or asks for the time.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

# The cloud notices a gateway's silence only after a heartbeat time-out.
HEARTBEAT_TIMEOUT = timedelta(minutes=8)
# A lock counts as near a gateway for this long after its last advertisement there.
SIGHTING_LIFE = timedelta(minutes=30)

PERMANENT = 2
PERIOD = 3

FAILED = 1
NO_GATEWAY = -2012
GATEWAY_OFFLINE = -3002
GATEWAY_BUSY = -3003
PASSCODE_EXISTS = -3007
SPACE_FULL = -3009


class Refusal(Exception):
    """The fake says no with an error code of the Open API."""

    def __init__(self, errcode: int) -> None:
        super().__init__(errcode)
        self.errcode = errcode


class _State(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Part of the state file; a misspelt field is an error, not a silent default."""


class MemoryPasscode(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A passcode in the lock's memory; ``cloud_type`` is 2 permanent or 3 period."""

    digits: str
    cloud_type: int = PERMANENT
    valid_from: datetime | None = None
    valid_until: datetime | None = None


class ListedPasscode(_State, kw_only=True):
    """A passcode in the cloud's database; ``cloud_type`` in the numbering of computed passcodes."""

    passcode_id: int
    digits: str
    sent_at: datetime
    name: str = ""
    cloud_type: int = PERMANENT
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    is_custom: bool = True
    is_used: bool = False
    status: int | None = None

    def in_memory(self) -> MemoryPasscode:
        """What the gateway has to write for it."""
        return MemoryPasscode(
            digits=self.digits,
            cloud_type=self.cloud_type,
            valid_from=self.valid_from,
            valid_until=self.valid_until,
        )


class Record(_State, kw_only=True):
    """A log entry; it shows once ``uploaded_at`` has come, which makes late and bulk delivery."""

    record_id: int
    record_type: int
    lock_record_type: int
    lock_at: datetime
    uploaded_at: datetime
    digits: str = ""
    who: str = ""
    is_success: bool = True


class ListedCard(_State, kw_only=True):
    """A card as the cloud lists it; ``hours`` are weekday, first and last minute."""

    number: str
    hours: list[tuple[int, int, int]] = []


class ListedFinger(_State, kw_only=True):
    """A fingerprint as the cloud lists it."""

    number: str
    name: str


class Lock(_State, kw_only=True):
    """A lock as the cloud and as the world see it.

    ``clock_error_s`` is how far the lock's own clock is ahead of true time.
    """

    lock_id: int
    account: str
    name: str
    mac: str
    alias: str = ""
    timezone_offset_s: int = 0
    clock_error_s: float = 0.0
    battery_percent: int = 90
    features: str = "F44354CD5F3"
    model: str = "SN000-DEMO"
    hardware_revision: str = "1.0"
    firmware_revision: str = "6.5.20.240724"
    auto_lock_delay_s: int = 5
    admin_passcode: str = ""
    aes_key: str = ""
    memory_capacity: int = 250
    listed: list[ListedPasscode] = []
    cards: list[ListedCard] = []
    fingers: list[ListedFinger] = []
    memory: list[MemoryPasscode] = []
    records: list[Record] = []


class Sighting(_State, kw_only=True):
    """How a gateway hears a lock; without ``at`` it goes on hearing it while both halves work."""

    rssi_dbm: int
    at: datetime | None = None


class Gateway(_State, kw_only=True):
    """A gateway with its two halves, which fail apart: the TCP link and the radio."""

    gateway_id: int
    account: str
    name: str
    mac: str
    version: int = 2
    network_name: str = "guests"
    tcp_down_at: datetime | None = None
    radio_down_at: datetime | None = None
    busy_until: datetime | None = None
    last_heard: dict[int, Sighting] = {}

    @property
    def tcp_up(self) -> bool:
        """Whether the TCP link really lives."""
        return self.tcp_down_at is None

    @property
    def radio_up(self) -> bool:
        """Whether the radio really works."""
        return self.radio_down_at is None

    def is_online(self, now: datetime) -> bool:
        """What the cloud claims: true until the heartbeat time-out."""
        return self.tcp_down_at is None or now - self.tcp_down_at < HEARTBEAT_TIMEOUT

    def heard_at(self, lock_id: int, now: datetime) -> datetime | None:
        """When the lock's advertisement last reached the cloud; None if never."""
        sighting = self.last_heard.get(lock_id)
        if sighting is None:
            return None
        ends = (sighting.at, self.tcp_down_at, self.radio_down_at, now)
        return min(end for end in ends if end is not None)

    def is_near(self, lock_id: int, now: datetime) -> bool:
        """Whether the cloud still counts the lock as near."""
        heard_at = self.heard_at(lock_id, now)
        return heard_at is not None and now - heard_at <= SIGHTING_LIFE


class Account(_State, kw_only=True):
    """An app account together with the application it logs in through."""

    username: str
    password_md5: str
    client_id: str
    client_secret: str
    region: str = "eu"


class IssuedToken(_State, kw_only=True):
    """A token the fake gave out."""

    account: str
    access: str
    refresh: str
    expires_at: datetime
    can_refresh: bool = True


class FaultKind(StrEnum):
    """What goes wrong."""

    LOST = "lost"  # a gateway command is answered as done, and the lock never hears of it
    ERRCODE = "errcode"  # answers ``errcode``, does nothing
    SLOW = "slow"  # does it, answers after ``delay_s``
    SILENT = "silent"  # does it, never answers
    DROPPED = "dropped"  # closes the connection, does nothing
    RAW = "raw"  # answers ``body`` with ``status``, does nothing


class Fault(_State, kw_only=True):
    """One fault; every condition that is set must hold. ``times`` counts down to none left."""

    kind: FaultKind
    path: str | None = None
    lock_id: int | None = None
    times: int | None = None
    until: datetime | None = None
    errcode: int = FAILED
    delay_s: float = 0.0
    status: int = 200
    body: str = ""

    def strikes(self, path: str, lock_id: int | None, now: datetime) -> bool:
        """Whether the fault applies to a call."""
        return (
            self.path in (None, path)
            and self.lock_id in (None, lock_id)
            and (self.times is None or self.times > 0)
            and (self.until is None or now < self.until)
        )


class World(_State, kw_only=True):
    """Everything the fake knows.

    ``clock_shift_s`` is the server's time against true time; ``monthly_quota`` and
    ``calls_per_minute`` are off when None; ``calls`` counts every call by path. Callbacks go to
    ``callback_url``, where there is one; those not answered ``success`` count as refused.
    """

    region: str = "eu"
    clock_shift_s: float = 0.0
    token_life_s: int = 7_776_000
    monthly_quota: int | None = None
    calls_per_minute: int | None = None
    numbers_as_strings: bool = False
    extra_fields: bool = False
    next_id: int = 5_000_001
    accounts: list[Account] = []
    locks: list[Lock] = []
    gateways: list[Gateway] = []
    faults: list[Fault] = []
    tokens: list[IssuedToken] = []
    calls: dict[str, int] = {}
    callback_url: str | None = None
    callbacks: int = 0
    callbacks_refused: int = 0
    quota_month: str = ""
    quota_spent: int = 0
    minute_at: datetime | None = None
    minute_spent: int = 0

    def new_id(self) -> int:
        """Take the next number; also the source of token texts, so that runs repeat."""
        self.next_id += 1
        return self.next_id - 1

    def lock(self, lock_id: int) -> Lock | None:
        """Lock by its id."""
        return next((lock for lock in self.locks if lock.lock_id == lock_id), None)

    def gateway(self, gateway_id: int) -> Gateway | None:
        """Gateway by its id."""
        return next((gw for gw in self.gateways if gw.gateway_id == gateway_id), None)

    def take_fault(
        self, *kinds: FaultKind, path: str, lock_id: int | None, now: datetime
    ) -> Fault | None:
        """First fault of ``kinds`` that strikes this call, counted as used."""
        for fault in self.faults:
            if fault.kind in kinds and fault.strikes(path, lock_id, now):
                if fault.times is not None:
                    fault.times -= 1
                return fault
        return None

    def gateway_for(self, lock_id: int, now: datetime) -> Gateway:
        """Gateway the cloud picks for a command, by last signal; raises ``Refusal``."""
        near = [gateway for gateway in self.gateways if gateway.is_near(lock_id, now)]
        if not near:
            raise Refusal(NO_GATEWAY)
        chosen = max(near, key=lambda gateway: gateway.last_heard[lock_id].rssi_dbm)
        if not chosen.is_online(now):
            raise Refusal(GATEWAY_OFFLINE)
        if chosen.busy_until is not None and now < chosen.busy_until:
            raise Refusal(GATEWAY_BUSY)
        if not (chosen.tcp_up and chosen.radio_up):
            # The cloud believes in the path and waits for an answer that cannot come.
            raise Refusal(FAILED)
        return chosen


def example_world() -> World:
    """One house: a lock behind the gateway "ruveno g2", the account, all healthy; made-up keys."""
    account = "host@example.org"
    return World(
        accounts=[
            Account(
                username=account,
                # MD5 of "demo-password".
                password_md5="4b4d9529148d8d9440d7e20c78287f69",  # noqa: S106
                client_id="demo-client",
                client_secret="demo-secret",  # noqa: S106
            )
        ],
        locks=[
            Lock(
                lock_id=1000001,
                account=account,
                name="SN000_a1b2c3",
                alias="Front door",
                mac="02:00:00:A1:B2:C3",
                timezone_offset_s=3600,
                memory=[MemoryPasscode(digits="1123334")],
            )
        ],
        gateways=[
            Gateway(
                gateway_id=2000001,
                account=account,
                name="ruveno g2",
                mac="02:00:00:D4:E5:F6",
                last_heard={1000001: Sighting(rssi_dbm=-71)},
            )
        ],
    )
