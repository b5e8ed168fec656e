"""Weekly hours of cards and fingerprints: no lock tells them, so what it confirms is all there is.

All of them are cleared and written as one: whatever was lost on the way, the next try begins anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import time
from types import MappingProxyType
from typing import Any, Final

import structlog

from ttlock_agent.errors import LockRefused, OutcomeUnknown
from ttlock_agent.jobs.errands.credentials import CARDS, FINGERPRINTS
from ttlock_agent.jobs.errands.errand import MAX_TRIES, Errand, Outcome, Runner
from ttlock_agent.jobs.model import JobState
from ttlock_agent.jobs.params import params_of
from ttlock_agent.requests import CardHours, FingerprintHours, WeeklyHours
from ttlock_protocol.features import Feature, FeatureSet
from ttlock_protocol.message import Request
from ttlock_protocol.messages.cards import card_from_decimal
from ttlock_protocol.messages.operate import GetFeatures
from ttlock_protocol.messages.schedules import AddSchedule, ClearSchedules, CredentialKind

log = structlog.get_logger()


async def _limit_card(errand: Errand) -> Outcome:
    params = params_of(errand.job, CardHours)
    given = None if params.card is None else card_from_decimal(params.card.digits)
    number = await CARDS.number_of(errand, given, params.name)
    return await _write(errand, CredentialKind.CARD, number, params.hours)


async def _limit_finger(errand: Errand) -> Outcome:
    params = params_of(errand.job, FingerprintHours)
    number = await FINGERPRINTS.number_of(errand, None, params.name)
    return await _write(errand, CredentialKind.FINGERPRINT, number, params.hours)


async def _write(
    errand: Errand, kind: CredentialKind, number: bytes, hours: Iterable[WeeklyHours]
) -> Outcome:
    features = FeatureSet((await errand.visit.ask(GetFeatures())).bits)
    if Feature.WEEKLY_SCHEDULE not in features:
        raise LockRefused(
            "This lock knows no weekly hours.",
            refusal="not_supported",
            hint="Limit it by dates, with `valid_from` and `valid_until`.",
        )
    requests: list[Request[Any]] = [ClearSchedules(kind=kind, credential=number)]
    requests += [
        AddSchedule(
            kind=kind,
            credential=number,
            weekday=each.day,
            starts_at=time.fromisoformat(each.starts_at),
            ends_at=time.fromisoformat(each.ends_at),
        )
        for each in hours
    ]
    if errand.job.state is JobState.UNKNOWN:
        # What was sent before is overwritten as a whole.
        await errand.steps.note_read_back()
    for _ in range(MAX_TRIES):
        await errand.steps.mark_sent()
        try:
            for request in requests:
                await errand.visit.ask(request)
        except OutcomeUnknown:
            log.warning("answer_lost", job_id=errand.job.id, verb=errand.job.verb)
        else:
            return Outcome(JobState.DONE, {"confirmed_at": errand.now()})
    raise OutcomeUnknown(
        "The lock's answer was lost, and no lock tells the hours that it keeps.",
        hint="Set them once more, with a new id: all of them are written anew then.",
    )


HOURS_ERRANDS: Final[Mapping[str, Runner]] = MappingProxyType(
    {"card.hours": _limit_card, "fingerprint.hours": _limit_finger}
)
"""The verbs of this module."""
