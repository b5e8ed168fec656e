"""What each verb does with a lock, and what a job's parameters mean."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, TypeVar

import msgspec

from ttlock_agent.clock import Clock
from ttlock_agent.jobs.memory import LockMemory, describe_listing
from ttlock_agent.jobs.model import Job, JobState, PasscodeKind, WantedPasscode
from ttlock_agent.lock.visit import ClockReading, LockProfile, Visit
from ttlock_agent.requests import (
    VERBS,
    LockEnrol,
    LockRestore,
    LogRead,
    ParsedRequest,
    PasscodeAdd,
    PasscodeDelete,
    PasscodeSync,
    Request,
)
from ttlock_protocol.errors import CommandRefused
from ttlock_protocol.localtime import from_lock
from ttlock_protocol.message import Auth
from ttlock_protocol.messages.device import DeviceText, GetDeviceText
from ttlock_protocol.messages.log import LogRecord
from ttlock_protocol.messages.operate import GetFeatures, GetState
from ttlock_protocol.messages.pages import Unreadable
from ttlock_protocol.procedures import read_log

READ_PATIENCE: Final = timedelta(minutes=10)
"""A reading nobody has waited for any more is not worth the lock's battery."""
WRITE_PATIENCE: Final = timedelta(hours=24)
"""For a passcode without an end; one with an end is tried until then."""

ParamsT = TypeVar("ParamsT", bound=Request)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job that is no passcode job ended."""

    state: JobState
    result: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """One job, with all that is needed to run it."""

    job: Job
    visit: Visit
    profile: LockProfile
    memory: LockMemory
    clock: Clock
    wanted: Sequence[WantedPasscode]


def params_of(job: Job, kind: type[ParamsT]) -> ParamsT:
    """Return the parameters of an open job as its verb's struct."""
    raw: dict[str, Any] = msgspec.json.decode(job.params)
    del raw["verb"]
    return msgspec.convert(raw, kind, dec_hook=lambda wanted, value: wanted(value))


def deadline_of(request: ParsedRequest, now: datetime) -> datetime:
    """Return when to give up: what the caller said, else what makes sense for the verb."""
    if request.deadline_at is not None:
        return request.deadline_at
    match request.params:
        case PasscodeAdd(valid_until=datetime() as end):
            return end
        case PasscodeAdd() | PasscodeDelete() | PasscodeSync() | LockEnrol() | LockRestore():
            return now + WRITE_PATIENCE
        case _:
            return now + READ_PATIENCE


def wish_of(params: Request, *, lock: str, source: str) -> WantedPasscode | None:
    """Return what a request wants of the lock's memory, if it is about one passcode."""
    match params:
        case PasscodeAdd():
            return WantedPasscode(
                lock=lock,
                digits=params.passcode.digits,
                kind=PasscodeKind(params.kind.value),
                valid_from=params.valid_from,
                valid_until=params.valid_until,
                label=params.label,
                owner=params.owner or source,
            )
        case PasscodeDelete():
            return WantedPasscode(
                lock=lock,
                digits=params.passcode.digits,
                kind=PasscodeKind.PERMANENT,
                owner=source,
                is_wanted=False,
            )
        case _:
            return None


def wish_of_job(job: Job) -> WantedPasscode | None:
    """Return what an open job wants of the lock's memory, if it is about one passcode."""
    return wish_of(params_of(job, VERBS[job.verb]), lock=job.lock, source=job.source)


async def _list_passcodes(errand: Errand) -> Outcome:
    listing = await errand.visit.passcodes(is_fresh=False)
    await errand.memory.keep_listing(errand.profile, listing, errand.clock.now())
    described = describe_listing(listing, errand.wanted, errand.profile.zone)
    return Outcome(JobState.DONE, {"passcodes": described, "as_of": _now(errand)})


async def _read_clock(errand: Errand) -> Outcome:
    reading = await errand.visit.read_clock()
    return Outcome(JobState.DONE, _clock_result(reading, errand))


async def _sync_clock(errand: Errand) -> Outcome:
    await errand.visit.set_clock()
    reading = await errand.visit.read_clock()
    if reading is None or reading.error_s is None:
        return Outcome(JobState.DONE, _clock_result(reading, errand))
    is_right = abs(reading.error_s) <= errand.profile.clock_tolerance_s
    state = JobState.PROVED if is_right else JobState.DONE
    return Outcome(state, _clock_result(reading, errand) | {"proof_at": _now(errand)})


async def _read_state(errand: Errand) -> Outcome:
    state = await errand.visit.ask(GetState())
    body = {"lock": state.bolt.name, "battery_percent": _percent(state.battery_percent)}
    await errand.memory.keep_state(errand.profile, body)
    return Outcome(JobState.DONE, body | {"as_of": _now(errand)})


async def _read_features(errand: Errand) -> Outcome:
    words = await errand.visit.ask(GetFeatures())
    bits = [bit for bit in range(words.bits.bit_length()) if words.bits >> bit & 1]
    return Outcome(JobState.DONE, {"features": bits, "as_of": _now(errand)})


async def _read_info(errand: Errand) -> Outcome:
    texts: dict[str, Any] = {}
    for kind in (DeviceText.MODEL, DeviceText.HARDWARE, DeviceText.FIRMWARE, DeviceText.PRODUCED):
        try:
            answer = await errand.visit.ask(GetDeviceText(kind=kind))
        except CommandRefused:
            texts[kind.name.lower()] = None
        else:
            texts[kind.name.lower()] = answer.text
    return Outcome(JobState.DONE, texts | {"as_of": _now(errand)})


async def _read_log(errand: Errand) -> Outcome:
    params = params_of(errand.job, LogRead)
    part = await errand.visit.run(
        read_log(cursor=params.since, limit=params.max_records), auth=Auth.NOTHING
    )
    labels = {wish.digits: wish.label for wish in errand.wanted}
    records = [_describe_record(record, labels, errand) for record in part.records]
    return Outcome(
        JobState.DONE, {"records": records, "next": part.next_cursor, "as_of": _now(errand)}
    )


def _describe_record(
    record: LogRecord | Unreadable, labels: Mapping[str, str], errand: Errand
) -> dict[str, Any]:
    """Return a record without the digits that it holds."""
    if isinstance(record, Unreadable):
        return {"type": "unreadable"}
    body: dict[str, Any] = {
        "type": record.log_type.name.lower(),
        "number": int(record.log_type),
        "battery_percent": _percent(record.battery),
    }
    if record.recorded_at is not None:
        body["at"] = from_lock(record.recorded_at, errand.profile.zone).isoformat()
    if record.passcode is not None:
        body["passcode"] = {"is_known": record.passcode in labels}
        if labels.get(record.passcode):
            body["passcode"]["label"] = labels[record.passcode]
    if record.user_id is not None:
        body["user_id"] = record.user_id
    return body


def _clock_result(reading: ClockReading | None, errand: Errand) -> dict[str, Any]:
    if reading is None:
        return {"has_clock": False, "as_of": _now(errand)}
    return {"has_clock": True, "clock_error_s": reading.error_s, "as_of": _now(errand)}


def _percent(raw: int) -> int | None:
    return raw if raw <= 100 else None


def _now(errand: Errand) -> str:
    return errand.clock.now().isoformat(timespec="seconds")


READS: Final[Mapping[str, Callable[[Errand], Awaitable[Outcome]]]] = MappingProxyType(
    {
        "passcode.list": _list_passcodes,
        "clock.read": _read_clock,
        "clock.sync": _sync_clock,
        "lock.state": _read_state,
        "lock.features": _read_features,
        "lock.info": _read_info,
        "log.read": _read_log,
    }
)
"""Verbs that need the lock and are no passcode jobs; these may be repeated without harm."""
