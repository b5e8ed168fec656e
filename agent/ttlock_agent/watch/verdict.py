"""What the evidence about one lock's gateway amounts to: a table, and a sentence for a person."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, StrEnum, auto
from types import MappingProxyType
from typing import Final

FRESH_SIGHTING: Final = timedelta(minutes=30)
"""After so long without an advertisement the cloud itself no longer counts a gateway as near."""
CLOCK_LIMIT_S: Final = 60.0
"""Validity is counted in minutes: from one minute on, passcodes open late or not at all."""
_HOUR_S: Final = 3600
_MINUTE_S: Final = 60


class Verdict(StrEnum):
    """How a lock's gateway is doing at its one job that matters here."""

    HEALTHY = "healthy"
    CONNECTED_NOT_DELIVERING = "connected_not_delivering"
    CANNOT_HEAR_LOCK = "cannot_hear_lock"
    BUSY = "busy"
    OFFLINE = "offline"
    CLOUD_ONLY_RECORD = "cloud_only_record"
    CLOCK = "clock"
    UNKNOWN = "unknown"


TAKEN_OVER: Final = frozenset(
    {Verdict.CONNECTED_NOT_DELIVERING, Verdict.CANNOT_HEAR_LOCK, Verdict.OFFLINE}
)
"""Nothing is to be expected of the gateway: the agent does its work until it delivers again."""


class ProbeResult(StrEnum):
    """What came of asking the lock's clock through its gateway."""

    OK = "ok"
    BUSY = "busy"
    NO_PATH = "no_path"
    OFFLINE = "offline"
    FAILED = "failed"
    NO_ANSWER = "no_answer"
    """The cloud itself was in trouble, or does not allow it: this says nothing of the gateway."""


class Basis(Enum):
    """Which evidence a verdict rests on."""

    LOCK = auto()
    GATEWAY = auto()
    PROBE = auto()
    CLOCK = auto()
    NOTHING = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayView:
    """What somebody says of one gateway; ``heard_lock_at`` is missing if that was long ago.

    Not everybody ``tells_hearing``: then nothing follows from its absence. ``gateway_id`` is the
    cloud's.
    """

    name: str
    is_online: bool
    heard_lock_at: datetime | None = None
    rssi_dbm: int | None = None
    tells_hearing: bool = True
    gateway_id: int | None = None

    def hears(self, now: datetime) -> bool:
        """Whether it is online and heard the lock lately."""
        if not self.is_online or (self.heard_lock_at is None and self.tells_hearing):
            return False
        return self.heard_lock_at is None or now - self.heard_lock_at <= FRESH_SIGHTING


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that is known, and when it was.

    ``listed`` passcodes stand in the cloud's list and should be in the lock by now. Of those,
    ``delivered`` were in the lock before the agent did anything, ``missing`` were not, and the rest
    has not been looked up yet. ``excused`` are those missing ones that are older than the last one
    delivered: the gateway was mended since, or never got them. ``gateways`` are those that the
    cloud counts as near, else all of the account. ``is_clock_set`` says that the agent has set the
    lock's clock right after it was found wrong.
    """

    listed: int
    delivered: int
    missing: int
    excused: int = 0
    gateways: Sequence[GatewayView]
    as_of: datetime
    clock_error_s: float | None = None
    is_clock_set: bool = False
    probe: ProbeResult | None = None

    @property
    def online(self) -> list[GatewayView]:
        """Gateways that are reported as online."""
        return [gateway for gateway in self.gateways if gateway.is_online]

    @property
    def hearing(self) -> list[GatewayView]:
        """Those of them that heard the lock lately."""
        return [gateway for gateway in self.gateways if gateway.hears(self.as_of)]


class _Lock(Enum):
    """What the lock's own memory says of the passcodes listed."""

    HOLDS = auto()
    LACKS = auto()
    NOT_COMPARED = auto()


class _Gateways(Enum):
    """What is said of the gateways."""

    NONE = auto()
    OFFLINE = auto()
    DEAF = auto()
    HEARING = auto()


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table; ``None`` fits anything."""

    lock: _Lock | None
    gateways: _Gateways | None
    probe: ProbeResult | None
    is_clock_off: bool | None
    verdict: Verdict
    basis: Basis


_L, _G, _P, _V, _B = _Lock, _Gateways, ProbeResult, Verdict, Basis
TABLE: Final = (
    Row(_L.LACKS, _G.NONE, None, None, _V.CLOUD_ONLY_RECORD, _B.LOCK),
    Row(None, _G.OFFLINE, None, None, _V.OFFLINE, _B.GATEWAY),
    Row(None, _G.DEAF, None, None, _V.CANNOT_HEAR_LOCK, _B.GATEWAY),
    Row(None, _G.HEARING, _P.NO_PATH, None, _V.CANNOT_HEAR_LOCK, _B.PROBE),
    Row(None, _G.HEARING, _P.OFFLINE, None, _V.OFFLINE, _B.PROBE),
    Row(None, _G.HEARING, _P.BUSY, None, _V.BUSY, _B.PROBE),
    Row(None, _G.HEARING, _P.FAILED, None, _V.CONNECTED_NOT_DELIVERING, _B.PROBE),
    # The whole path works, so these were never sent to the lock, or got lost once.
    Row(_L.LACKS, _G.HEARING, _P.OK, None, _V.CLOUD_ONLY_RECORD, _B.PROBE),
    Row(_L.LACKS, _G.HEARING, None, None, _V.CONNECTED_NOT_DELIVERING, _B.LOCK),
    Row(_L.HOLDS, None, None, True, _V.CLOCK, _B.CLOCK),
    Row(_L.HOLDS, None, None, None, _V.HEALTHY, _B.LOCK),
    Row(_L.NOT_COMPARED, None, None, None, _V.UNKNOWN, _B.NOTHING),
)
"""The decision table of the cloud reference, section 11; the first line that fits counts."""


def judge(evidence: Evidence) -> Verdict:
    """Return what the evidence amounts to."""
    return row_for(evidence).verdict


def row_for(evidence: Evidence) -> Row:
    """Return the line of the table that fits."""
    facts = (
        _lock_side(evidence),
        _gateway_side(evidence),
        evidence.probe,
        _is_clock_off(evidence),
    )
    for row in TABLE:
        asked = (row.lock, row.gateways, row.probe, row.is_clock_off)
        if all(want is None or want == fact for want, fact in zip(asked, facts, strict=True)):
            return row
    raise AssertionError("the last lines fit everything")


def _lock_side(evidence: Evidence) -> _Lock:
    if evidence.missing > evidence.excused:
        return _Lock.LACKS
    is_compared = evidence.delivered + evidence.missing == evidence.listed
    return _Lock.HOLDS if is_compared and evidence.delivered > 0 else _Lock.NOT_COMPARED


def _gateway_side(evidence: Evidence) -> _Gateways:
    if not evidence.gateways:
        return _Gateways.NONE
    if not evidence.online:
        return _Gateways.OFFLINE
    return _Gateways.HEARING if evidence.hearing else _Gateways.DEAF


def _is_clock_off(evidence: Evidence) -> bool:
    error_s = evidence.clock_error_s
    return error_s is not None and abs(error_s) > CLOCK_LIMIT_S and not evidence.is_clock_set


def sentence(verdict: Verdict, evidence: Evidence) -> str:
    """Say for a person what is the case, and what the agent does about it."""
    return f"The cloud lists {_count(evidence.listed)}{_GOES_ON[verdict](evidence)}."


def _healthy(evidence: Evidence) -> str:
    return f", and {_held(evidence)}"


def _not_delivering(evidence: Evidence) -> str:
    probed = ", which does not answer" if evidence.probe is ProbeResult.FAILED else ""
    clock = _clock(evidence.clock_error_s)
    return (
        f" as delivered and {_names(evidence.hearing)} as online{probed}, "
        f"but {_held(evidence)}{clock}{_ACT}"
    )


def _cannot_hear(evidence: Evidence) -> str:
    deaf = f"{_none_of(evidence.online, 'has')} heard the lock for half an hour"
    if evidence.hearing:
        deaf = "the cloud finds no gateway near the lock"
    return f", but {deaf}, and {_held(evidence)}{_ACT}"


def _busy(evidence: Evidence) -> str:
    return f"; {_names(evidence.hearing)} is busy, and {_held(evidence)}"


def _offline(evidence: Evidence) -> str:
    off = f"{_none_of(evidence.gateways, 'is')} online"
    if evidence.online:
        off = "the cloud does not reach the gateway"
    return f", but {off}, and {_held(evidence)}{_ACT}"


def _cloud_only(evidence: Evidence) -> str:
    why = "no gateway serves this lock"
    if evidence.gateways:
        why = f"{_names(evidence.hearing)} reaches the lock, so they were only recorded"
    return f", but {why}, and {_held(evidence)}{_ACT}"


def _clock_off(evidence: Evidence) -> str:
    clock = _clock(evidence.clock_error_s).removeprefix(", and ")
    return f", and {_held(evidence)}, but {clock or 'its clock was off'}: the agent sets it"


def _not_compared(_evidence: Evidence) -> str:
    return "; the lock's own memory has not been compared yet"


_ACT: Final = "; the agent delivers over Bluetooth instead"
_GOES_ON: Final[Mapping[Verdict, Callable[[Evidence], str]]] = MappingProxyType(
    {
        Verdict.HEALTHY: _healthy,
        Verdict.CONNECTED_NOT_DELIVERING: _not_delivering,
        Verdict.CANNOT_HEAR_LOCK: _cannot_hear,
        Verdict.BUSY: _busy,
        Verdict.OFFLINE: _offline,
        Verdict.CLOUD_ONLY_RECORD: _cloud_only,
        Verdict.CLOCK: _clock_off,
        Verdict.UNKNOWN: _not_compared,
    }
)


def _held(evidence: Evidence) -> str:
    memory = "the lock's own memory holds"
    if evidence.missing > evidence.excused:
        return (
            f"{memory} {'none' if not evidence.delivered else f'only {evidence.delivered}'} of them"
        )
    if evidence.delivered + evidence.missing < evidence.listed or not evidence.listed:
        return "the lock's own memory has not been compared yet"
    if evidence.excused:
        return f"{memory} those that were added last"
    return f"{memory} all of them"


def _count(number: int) -> str:
    return "1 passcode" if number == 1 else f"{number} passcodes"


def _none_of(gateways: Sequence[GatewayView], verb: str) -> str:
    """Say that something is so of no gateway: all of an account's may be meant."""
    if len(gateways) <= 1:
        return f"{_names(gateways)} {verb} not"
    return f"none of the {len(gateways)} gateways {verb}"


def _names(gateways: Sequence[GatewayView]) -> str:
    if not gateways:  # the verdict stands on older evidence than this
        return "the gateway"
    return "gateway " + " and ".join(f'"{gateway.name}"' for gateway in gateways)


def _clock(error_s: float | None) -> str:
    if error_s is None or abs(error_s) < CLOCK_LIMIT_S:
        return ""
    minutes = round(abs(error_s) / _MINUTE_S)
    size = f"{minutes} min"
    if abs(error_s) >= _HOUR_S:
        size = f"{minutes // 60} h {minutes % 60:02} min"
    return f", and its clock is {size} {'fast' if error_s > 0 else 'slow'}"
