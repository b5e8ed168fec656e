"""What the evidence about one lock's gateway amounts to, in a word and in a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

FRESH_SIGHTING: Final = timedelta(minutes=30)
"""After so long without an advertisement the cloud itself no longer counts a gateway as near."""
_HOUR_S: Final = 3600
_MINUTE_S: Final = 60


class Verdict(StrEnum):
    """How a lock's gateway is doing at its one job that matters here."""

    HEALTHY = "healthy"
    CONNECTED_NOT_DELIVERING = "connected_not_delivering"
    CANNOT_HEAR_LOCK = "cannot_hear_lock"
    OFFLINE = "offline"
    CLOUD_ONLY_RECORD = "cloud_only_record"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayView:
    """What the cloud says of one gateway; ``heard_lock_at`` is missing if that was long ago."""

    name: str
    is_online: bool
    heard_lock_at: datetime | None = None
    rssi_dbm: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that is known, and when it was.

    ``listed`` passcodes stand in the cloud's list and should be in the lock by now. Of those,
    ``delivered`` were in the lock before the agent did anything, ``missing`` were not, and the rest
    has not been looked up yet. ``gateways`` are those that the cloud counts as near, else all of
    the account.
    """

    listed: int
    delivered: int
    missing: int
    gateways: Sequence[GatewayView]
    as_of: datetime
    clock_error_s: float | None = None

    @property
    def online(self) -> list[GatewayView]:
        """Gateways that the cloud reports as online."""
        return [gateway for gateway in self.gateways if gateway.is_online]

    @property
    def hearing(self) -> list[GatewayView]:
        """Those of them that heard the lock lately."""
        return [
            gateway
            for gateway in self.online
            if gateway.heard_lock_at is not None
            and self.as_of - gateway.heard_lock_at <= FRESH_SIGHTING
        ]


def judge(evidence: Evidence) -> Verdict:
    """Return what the evidence amounts to."""
    if evidence.missing == 0:
        is_looked_up = evidence.delivered == evidence.listed and evidence.listed > 0
        return Verdict.HEALTHY if is_looked_up else Verdict.UNKNOWN
    if not evidence.gateways:
        return Verdict.CLOUD_ONLY_RECORD
    if not evidence.online:
        return Verdict.OFFLINE
    if not evidence.hearing:
        return Verdict.CANNOT_HEAR_LOCK
    return Verdict.CONNECTED_NOT_DELIVERING


def sentence(verdict: Verdict, evidence: Evidence) -> str:
    """Say for a person what is the case, and what the agent does about it."""
    held = "none" if evidence.delivered == 0 else f"only {evidence.delivered}"
    lists = f"The cloud lists {_count(evidence.listed)}"
    lacks = f"the lock's own memory holds {held} of them"
    act = "; the agent delivers over Bluetooth instead"
    match verdict:
        case Verdict.HEALTHY:
            return f"{lists}, and the lock's own memory holds all of them."
        case Verdict.CONNECTED_NOT_DELIVERING:
            names = _names(evidence.hearing)
            clock = _clock(evidence.clock_error_s)
            return f"{lists} as delivered and {names} as online, but {lacks}{clock}{act}."
        case Verdict.CANNOT_HEAR_LOCK:
            deaf = f"{_none_of(evidence.online, 'has')} heard the lock for half an hour"
            return f"{lists}, but {deaf}, and {lacks}{act}."
        case Verdict.OFFLINE:
            return f"{lists}, but {_none_of(evidence.gateways, 'is')} online, and {lacks}{act}."
        case Verdict.CLOUD_ONLY_RECORD:
            return f"{lists}, but no gateway serves this lock, and {lacks}{act}."
        case Verdict.UNKNOWN:
            return f"{lists}; the lock's own memory has not been compared yet."


def _count(number: int) -> str:
    return "1 passcode" if number == 1 else f"{number} passcodes"


def _none_of(gateways: Sequence[GatewayView], verb: str) -> str:
    """Say that something is so of no gateway: all of an account's may be meant."""
    if len(gateways) == 1:
        return f"{_names(gateways)} {verb} not"
    return f"none of the {len(gateways)} gateways {verb}"


def _names(gateways: Sequence[GatewayView]) -> str:
    return "gateway " + " and ".join(f'"{gateway.name}"' for gateway in gateways)


def _clock(error_s: float | None) -> str:
    if error_s is None or abs(error_s) < _MINUTE_S:
        return ""
    minutes = round(abs(error_s) / _MINUTE_S)
    size = f"{minutes} min"
    if abs(error_s) >= _HOUR_S:
        size = f"{minutes // 60} h {minutes % 60:02} min"
    return f", and its clock is {size} {'fast' if error_s > 0 else 'slow'}"
