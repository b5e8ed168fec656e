"""What each verb does with a lock, and what a job's parameters mean."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, TypeVar

import msgspec

from ttlock_agent.clock import Clock
from ttlock_agent.jobs.door_log import DoorLog
from ttlock_agent.jobs.drift import drift_s_per_day
from ttlock_agent.jobs.memory import LockMemory, describe_listing
from ttlock_agent.jobs.model import Job, JobState, PasscodeKind, WantedPasscode
from ttlock_agent.jobs.passcodes import find
from ttlock_agent.jobs.records import MAX_PERCENT, describe_record
from ttlock_agent.lock.visit import ClockReading, Listing, LockProfile, Visit
from ttlock_agent.requests import (
    VERBS,
    LockEnrol,
    LockRestore,
    LogRead,
    ParsedRequest,
    PasscodeAdd,
    PasscodeCheck,
    PasscodeDelete,
    PasscodeSync,
    Request,
)
from ttlock_protocol.errors import CommandRefused
from ttlock_protocol.message import Auth
from ttlock_protocol.messages.device import DeviceText, GetDeviceText
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
    door_log: DoorLog
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
    described = describe_listing(listing, errand.wanted, errand.profile.zone, errand.clock.now())
    return Outcome(JobState.DONE, {"passcodes": described, "as_of": _now(errand)})


async def _check_passcode(errand: Errand) -> Outcome:
    """Look one passcode up, in list and log: what is not listed may open all the same."""
    params = params_of(errand.job, PasscodeCheck)
    digits = params.passcode.digits
    listing = await errand.visit.passcodes(is_fresh=False)
    await errand.memory.keep_listing(errand.profile, listing, errand.clock.now())
    await errand.door_log.read(errand.visit, errand.profile)
    use = await errand.door_log.use_of(errand.profile.id, digits)
    found = _word_for(listing, digits, is_generated=params.is_generated)
    return Outcome(JobState.DONE, {"found": found, **asdict(use), "as_of": _now(errand)})


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
    wishes = {wish.digits: wish for wish in errand.wanted}
    records = [describe_record(record, wishes, errand.profile.zone) for record in part.records]
    return Outcome(
        JobState.DONE, {"records": records, "next": part.next_cursor, "as_of": _now(errand)}
    )


def _clock_result(reading: ClockReading | None, errand: Errand) -> dict[str, Any]:
    if reading is None:
        return {"has_clock": False, "as_of": _now(errand)}
    return {"has_clock": True, "clock_error_s": reading.error_s, "as_of": _now(errand)}


def _percent(raw: int) -> int | None:
    return raw if raw <= MAX_PERCENT else None


def _now(errand: Errand) -> str:
    return errand.clock.now().isoformat(timespec="seconds")


READS: Final[Mapping[str, Callable[[Errand], Awaitable[Outcome]]]] = MappingProxyType(
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
"""Verbs that need the lock and are no passcode jobs; these may be repeated without harm."""
