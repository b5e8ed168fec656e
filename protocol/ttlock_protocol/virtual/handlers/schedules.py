"""Weekly hours of cards and fingerprints (reference 6.17)."""

from __future__ import annotations

from ttlock_protocol.errors import Refusal
from ttlock_protocol.features import Feature
from ttlock_protocol.messages.schedules import (
    AddSchedule,
    ClearSchedules,
    CredentialKind,
    ScheduleChanged,
)
from ttlock_protocol.virtual import panel
from ttlock_protocol.virtual.memory import StoredSchedule
from ttlock_protocol.virtual.visit import Refused, Visit, handles


@handles(AddSchedule)
def add(visit: Visit, request: AddSchedule) -> ScheduleChanged:
    """Add hours to those that the card or fingerprint has."""
    _check(visit, request.kind, request.credential)
    schedule = StoredSchedule(
        credential=request.credential,
        weekday=request.weekday,
        starts_at=request.starts_at,
        ends_at=request.ends_at,
    )
    visit.body.change(schedules=(*visit.body.memory.schedules, schedule))
    return ScheduleChanged(body=bytes((visit.battery_percent,)))


@handles(ClearSchedules)
def clear(visit: Visit, request: ClearSchedules) -> ScheduleChanged:
    """Let the card or fingerprint open at any hour again."""
    _check(visit, request.kind, request.credential)
    panel.forget_schedules(visit.body, request.credential)
    return ScheduleChanged(body=bytes((visit.battery_percent,)))


def _check(visit: Visit, kind: CredentialKind, credential: bytes) -> None:
    visit.require_feature(Feature.WEEKLY_SCHEDULE)
    if kind == CredentialKind.CARD:
        if panel.find_card(visit.body, credential) is None:
            raise Refused(Refusal.CARD_NOT_FOUND)
    elif panel.find_fingerprint(visit.body, credential) is None:
        raise Refused(Refusal.FINGERPRINT_NOT_FOUND)
