"""What the parameters of a job mean, before any lock is asked."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar

import msgspec

from ttlock_agent.jobs.model import Job, PasscodeKind, WantedPasscode
from ttlock_agent.requests import VERBS, ParsedRequest, PasscodeAdd, PasscodeDelete, Request

ParamsT = TypeVar("ParamsT", bound=Request)


def params_of(job: Job, kind: type[ParamsT]) -> ParamsT:
    """Return the parameters of an open job as its verb's struct."""
    raw: dict[str, Any] = msgspec.json.decode(job.params)
    del raw["verb"]
    return msgspec.convert(raw, kind, dec_hook=lambda wanted, value: wanted(value))


def request_of(job: Job) -> Request | None:
    """Return what an open job asks for.

    ``None`` for a verb of a newer version, which ran before this one was put back: the job waits
    for that one, or for its deadline. So it is for one that waits for its parts, and whose own
    parameters were damaged.
    """
    kind = VERBS.get(job.verb)
    return None if kind is None or not job.params else params_of(job, kind)


def deadline_of(request: ParsedRequest, now: datetime) -> datetime:
    """Return when to give up: what the caller said, else what makes sense for the verb."""
    if request.deadline_at is not None:
        return request.deadline_at
    match request.params:
        case PasscodeAdd(valid_until=datetime() as end):
            return end
        case params:
            return now + params.patience


def is_missed(job: Job, now: datetime, *, first: int) -> bool:
    """Whether the moment of an open job has passed, if it is one that is for now.

    ``first`` is the number of the first job that this run of the agent accepted. What an earlier
    run accepted is missed, whatever the clock says: it may stand where it stood before a power cut.
    So it is when the clock was set back.
    """
    request = request_of(job)
    if request is None or not request.is_for_now:
        return False
    is_from_before = job.number < first or now < job.created_at
    return is_from_before or (job.deadline_at is not None and job.deadline_at <= now)


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
    request = request_of(job)
    return None if request is None else wish_of(request, lock=job.lock, source=job.source)
