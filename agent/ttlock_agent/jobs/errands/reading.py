"""Verbs that only ask the lock; they may be repeated without harm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Any, Final

from ttlock_agent.jobs.drift import drift_s_per_day
from ttlock_agent.jobs.errands.errand import Errand, Outcome, Runner
from ttlock_agent.jobs.memory import describe_listing
from ttlock_agent.jobs.model import JobState
from ttlock_agent.jobs.params import params_of
from ttlock_agent.jobs.passcodes import find
from ttlock_agent.jobs.records import describe_record, percent
from ttlock_agent.lock.visit import ClockReading, Listing
from ttlock_agent.requests import LogRead, PasscodeCheck
from ttlock_protocol.errors import CommandRefused
from ttlock_protocol.features import FeatureSet
from ttlock_protocol.message import Auth
from ttlock_protocol.messages.device import DeviceText, GetDeviceText
from ttlock_protocol.messages.operate import GetFeatures, GetState
from ttlock_protocol.messages.pages import Unreadable
from ttlock_protocol.procedures import read_log


async def _list_passcodes(errand: Errand) -> Outcome:
    listing = await errand.visit.passcodes(is_fresh=False)
    await errand.memory.keep_listing(errand.profile, listing, errand.clock.now())
    described = describe_listing(listing, errand.wanted, errand.profile.zone, errand.clock.now())
    return Outcome(JobState.DONE, {"passcodes": described, "as_of": errand.now()})


async def _check_passcode(errand: Errand) -> Outcome:
    """Look one passcode up, in list and log: what is not listed may open all the same."""
    params = params_of(errand.job, PasscodeCheck)
    digits = params.passcode.digits
    listing = await errand.visit.passcodes(is_fresh=False)
    await errand.memory.keep_listing(errand.profile, listing, errand.clock.now())
    await errand.door_log.read(errand.visit, errand.profile)
    use = await errand.door_log.use_of(errand.profile.id, digits)
    found = _word_for(listing, digits, is_generated=params.is_generated)
    return Outcome(JobState.DONE, {"found": found, **asdict(use), "as_of": errand.now()})


def _word_for(listing: Listing, digits: str, *, is_generated: bool) -> str:
    if find(listing, digits) is not None:
        return "listed"
    if any(isinstance(record, Unreadable) for record in listing):
        return "not_readable"
    return "not_listable" if is_generated else "absent"


async def _read_clock(errand: Errand) -> Outcome:
    reading = await errand.visit.read_clock()
    history = await errand.memory.clock_history(errand.profile.id)
    return Outcome(
        JobState.DONE,
        _clock_result(reading, errand)
        | {"drift_s_per_day": drift_s_per_day(history), "history": history},
    )


async def _sync_clock(errand: Errand) -> Outcome:
    await errand.visit.set_clock()
    reading = await errand.visit.read_clock()
    if reading is None or reading.error_s is None:
        return Outcome(JobState.DONE, _clock_result(reading, errand))
    is_right = abs(reading.error_s) <= errand.profile.clock_tolerance_s
    state = JobState.PROVED if is_right else JobState.DONE
    return Outcome(state, _clock_result(reading, errand) | {"proof_at": errand.now()})


async def _read_state(errand: Errand) -> Outcome:
    state = await errand.visit.ask(GetState())
    body = {"lock": state.bolt.name, "battery_percent": percent(state.battery_percent)}
    await errand.memory.keep_state(errand.profile, body)
    return Outcome(JobState.DONE, body | {"as_of": errand.now()})


async def _read_features(errand: Errand) -> Outcome:
    words = await errand.visit.ask(GetFeatures())
    features = list(FeatureSet(words.bits))
    body = {
        "features": [int(each) for each in features],
        "names": [each.name.lower() for each in features],
    }
    return Outcome(JobState.DONE, body | {"as_of": errand.now()})


async def _read_info(errand: Errand) -> Outcome:
    texts: dict[str, Any] = {}
    for kind in (DeviceText.MODEL, DeviceText.HARDWARE, DeviceText.FIRMWARE, DeviceText.PRODUCED):
        try:
            answer = await errand.visit.ask(GetDeviceText(kind=kind))
        except CommandRefused:
            texts[kind.name.lower()] = None
        else:
            texts[kind.name.lower()] = answer.text
    return Outcome(JobState.DONE, texts | {"as_of": errand.now()})


async def _read_log(errand: Errand) -> Outcome:
    params = params_of(errand.job, LogRead)
    part = await errand.visit.run(
        read_log(cursor=params.since, limit=params.max_records), auth=Auth.NOTHING
    )
    wishes = {wish.digits: wish for wish in errand.wanted}
    records = [describe_record(record, wishes, errand.profile.zone) for record in part.records]
    return Outcome(
        JobState.DONE, {"records": records, "next": part.next_cursor, "as_of": errand.now()}
    )


def _clock_result(reading: ClockReading | None, errand: Errand) -> dict[str, Any]:
    if reading is None:
        return {"has_clock": False, "as_of": errand.now()}
    return {"has_clock": True, "clock_error_s": reading.error_s, "as_of": errand.now()}


READS: Final[Mapping[str, Runner]] = MappingProxyType(
    {
        "passcode.list": _list_passcodes,
        "passcode.check": _check_passcode,
        "clock.read": _read_clock,
        "clock.sync": _sync_clock,
        "lock.state": _read_state,
        "lock.features": _read_features,
        "lock.info": _read_info,
        "log.read": _read_log,
    }
)
"""The verbs of this module."""
