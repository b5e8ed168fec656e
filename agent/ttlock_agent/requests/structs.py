"""Every request as a type: its fields, their ranges and meaning.

The JSON schema in ``config/`` is made from these, so the descriptions are written for callers.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Final

from msgspec import Meta, Struct, field

from ttlock_agent.validation import BadValue, Id

from .passcode import Passcode

FIRST_YEAR: Final = 2000
LAST_YEAR: Final = 2099
"""A lock keeps the year as one byte counted from 2000 (reference 8.4)."""

READ_PATIENCE: Final = timedelta(minutes=10)
"""A reading nobody has waited for any more is not worth the lock's battery."""
WRITE_PATIENCE: Final = timedelta(hours=24)
"""For what is wanted whenever the lock can be reached."""

MAX_LABEL: Final = 64
MAX_ID: Final = 128
MAX_SET: Final = 250
"""No lock is known to hold more custom passcodes."""

RequestId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MAX_ID,
        extra={"words": f"1 to {MAX_ID} printable characters"},
    ),
]
Instant = Annotated[datetime, Meta(tz=True)]


class Priority(StrEnum):
    """Which job of a lock goes first."""

    NORMAL = "normal"
    GUEST_AT_THE_DOOR = "guest_at_the_door"


class PasscodeKind(StrEnum):
    """How long a passcode works."""

    PERMANENT = "permanent"
    PERIOD = "period"
    ONE_TIME = "one_time"


class Request(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every request has."""

    id: Annotated[
        RequestId | None,
        Meta(
            description="Chosen by the caller and echoed in every answer; the same id is the same "
            "job, however often it is sent. MQTT 5 callers may use correlation data instead.",
            examples=["pms-8841"],
        ),
    ] = None
    deadline_at: Annotated[
        Instant | None,
        Meta(
            description="ISO 8601 with UTC offset. What is not done by then is given up.",
            examples=["2026-12-01T14:00:00+01:00"],
        ),
    ] = None
    priority: Annotated[
        Priority,
        Meta(description="guest_at_the_door goes before everything else of the same lock."),
    ] = Priority.NORMAL

    def __post_init__(self) -> None:
        if self.id is not None and not self.id.isprintable():
            raise BadValue("`id` holds control characters.", hint="Use printable characters only.")
        check_year("deadline_at", self.deadline_at)

    @property
    def patience(self) -> timedelta:
        """How long it is tried where the caller gives no deadline."""
        return READ_PATIENCE

    @property
    def is_for_now(self) -> bool:
        """Whether it must be done now or not at all, because somebody stands at the lock."""
        return False


class LockRequest(Request, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every request to a lock has."""

    lock: Annotated[
        Id, Meta(description="Id of the lock, as in the configuration.", examples=["front-door"])
    ]


_Digits = Annotated[Passcode, Meta(description="4 to 9 digits.", examples=["004711"])]
_Label = Annotated[
    Annotated[str, Meta(max_length=MAX_LABEL)],
    Meta(
        description="For people; kept in the journal, not in the lock, and shown in "
        "lists: leave the passcode out of it.",
        examples=["booking 8841"],
    ),
]
_Kind = Annotated[
    PasscodeKind | None,
    Meta(description="Default: period if valid_until is given, else permanent."),
]
Begin = Annotated[
    Instant | None,
    Meta(
        description="ISO 8601 with UTC offset, whole minutes. Default: at once.",
        examples=["2026-12-01T15:00:00+01:00"],
    ),
]
_End = Annotated[
    Instant | None,
    Meta(
        description="ISO 8601 with UTC offset, whole minutes. Needed for period, not allowed "
        "for permanent, optional for one_time.",
        examples=["2026-12-05T11:00:00+01:00"],
    ),
]


class PasscodeAdd(LockRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Write a passcode into the lock and prove by reading back that it is there."""

    passcode: _Digits
    label: _Label = ""
    given_kind: _Kind = field(name="kind", default=None)
    valid_from: Begin = None
    valid_until: _End = None
    owner: Annotated[
        Id | None,
        Meta(
            description="Whose set of passcodes it joins, see passcode.sync. Default: the way the "
            "request came, mqtt or control.",
            examples=["pms"],
        ),
    ] = None

    @property
    def kind(self) -> PasscodeKind:
        """The kind asked for, or the one that follows from the window."""
        return _kind(self)

    @property
    def patience(self) -> timedelta:
        """As long as nobody asks for it back."""
        return WRITE_PATIENCE

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_passcode(self)


class SyncPasscode(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One passcode of a set."""

    passcode: _Digits
    label: _Label = ""
    given_kind: _Kind = field(name="kind", default=None)
    valid_from: Begin = None
    valid_until: _End = None

    @property
    def kind(self) -> PasscodeKind:
        """The kind asked for, or the one that follows from the window."""
        return _kind(self)

    def __post_init__(self) -> None:
        _check_passcode(self)


class PasscodeSync(LockRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Make one owner's passcodes in the lock exactly these, leaving those of others alone."""

    owner: Annotated[
        Id,
        Meta(
            description="Whose set this is. What the same owner wanted before and does not name "
            "now is removed.",
            examples=["pms"],
        ),
    ]
    passcodes: Annotated[
        tuple[SyncPasscode, ...],
        Meta(
            max_length=MAX_SET,
            description="The complete set; an empty one removes all. One whose validity is over "
            "counts as not named.",
        ),
    ]
    is_dry_run: Annotated[
        bool, Meta(description="Only say what would be done.", examples=[False])
    ] = field(name="dry_run", default=False)

    @property
    def patience(self) -> timedelta:
        """As long as nobody asks for it back."""
        return WRITE_PATIENCE


class PasscodeDelete(LockRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Remove a passcode from the lock and prove by reading back that it is gone."""

    passcode: _Digits

    @property
    def patience(self) -> timedelta:
        """As long as nobody asks for it back."""
        return WRITE_PATIENCE


class PasscodeList(LockRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Read the passcodes from the lock's own memory."""


class PasscodeCheck(LockRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Look up one passcode in the lock's memory and in its log."""

    passcode: _Digits
    is_generated: Annotated[
        bool,
        Meta(
            description="It was generated by the cloud. Locks list such passcodes only after their "
            "first use: not being listed then says nothing, and is answered not_listable.",
            examples=[False],
        ),
    ] = field(name="generated", default=False)


class ClockRead(LockRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Read the lock's clock and how far it is off."""


class ClockSync(LockRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Set the lock's clock to the agent's and read it back."""


class LockState(LockRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Read whether the lock is locked, and its battery."""


class LockFeatures(LockRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Read what the lock says it can do."""


class LockInfo(LockRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Read model, hardware and firmware."""


class LogRead(LockRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Read the lock's operation log."""

    since: Annotated[
        int,
        Meta(
            ge=0,
            le=0xFFEF,
            description="Cursor from the last answer; 0 reads from the oldest record. The values "
            "above have a meaning of their own to locks: 65535 would move a bookmark that the "
            "owner's app shares.",
            examples=[0],
        ),
    ] = 0
    max_records: Annotated[
        int,
        Meta(
            ge=1,
            le=1000,
            description="Most records to read. Default 100: each costs a round trip and battery.",
            examples=[100],
        ),
    ] = 100


class JobGet(Request, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Ask how a job is; the lock is not asked."""

    job: Annotated[
        RequestId,
        Meta(description="Id of the job, or of the request that made it.", examples=["pms-8841"]),
    ]


class JobList(Request, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """List jobs, the youngest first; no lock is asked."""

    lock: Annotated[
        Id | None,
        Meta(description="Only those of this lock. Default: of all.", examples=["front-door"]),
    ] = None
    is_open_only: Annotated[
        bool, Meta(description="Only those that are not final yet.", examples=[False])
    ] = field(name="open_only", default=False)
    limit: Annotated[
        int, Meta(ge=1, le=100, description="How many at most. Default 20.", examples=[20])
    ] = 20


class JobCancel(Request, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Give up a job that has not changed the lock yet."""

    job: Annotated[
        RequestId,
        Meta(description="Id of the job, or of the request that made it.", examples=["pms-8841"]),
    ]


DOOR_VERBS: Final[Mapping[str, type[Request]]] = MappingProxyType(
    {
        "passcode.add": PasscodeAdd,
        "passcode.delete": PasscodeDelete,
        "passcode.sync": PasscodeSync,
        "passcode.list": PasscodeList,
        "passcode.check": PasscodeCheck,
        "clock.read": ClockRead,
        "clock.sync": ClockSync,
        "lock.state": LockState,
        "lock.features": LockFeatures,
        "lock.info": LockInfo,
        "log.read": LogRead,
        "job.get": JobGet,
        "job.list": JobList,
        "job.cancel": JobCancel,
    }
)
"""The verbs of this module. A new one is a struct and a line here."""


def _kind(passcode: PasscodeAdd | SyncPasscode) -> PasscodeKind:
    if passcode.given_kind is not None:
        return passcode.given_kind
    return PasscodeKind.PERMANENT if passcode.valid_until is None else PasscodeKind.PERIOD


def _check_passcode(passcode: PasscodeAdd | SyncPasscode) -> None:
    if not passcode.label.isprintable():
        raise BadValue("`label` holds control characters.", hint="Use printable characters only.")
    if passcode.kind is PasscodeKind.PERMANENT and passcode.valid_until is not None:
        raise BadValue(
            "A permanent passcode has no end, but `valid_until` is given.",
            hint="Leave out `valid_until`, or ask for kind period.",
        )
    if passcode.kind is PasscodeKind.PERIOD and passcode.valid_until is None:
        raise BadValue(
            "A passcode of kind period needs `valid_until`.",
            hint="Give `valid_until`, or ask for kind permanent.",
        )
    begin, end = passcode.valid_from, passcode.valid_until
    check_window(begin, end)


def check_window(begin: datetime | None, end: datetime | None) -> None:
    """Raise ``BadValue`` for a validity that no lock can keep."""
    for name, at in (("valid_from", begin), ("valid_until", end)):
        check_year(name, at)
        if at is not None and (at.second or at.microsecond):
            raise BadValue(
                f"`{name}` is not a whole minute, and locks know no seconds.",
                hint="Write :00 for the seconds.",
            )
    if begin and end and end <= begin:
        raise BadValue(
            "`valid_until` is not after `valid_from`.",
            hint="Check the order of the two, and their UTC offsets.",
        )


def check_year(name: str, at: datetime | None) -> None:
    """Raise ``BadValue`` for a time that no lock can say."""
    # Also keeps arithmetic with offsets within what datetime can hold.
    if at is not None and not FIRST_YEAR <= at.year <= LAST_YEAR:
        raise BadValue(
            f"`{name}` lies outside the years {FIRST_YEAR} to {LAST_YEAR}.",
            hint="No lock can say such a date; leave it out for no limit.",
        )
