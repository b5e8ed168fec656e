"""A job that others are done for: when it is over, and how.

``passcode.sync`` is such a job, with one part for each passcode that changes. Its result, which
lists them, is written with it and filled in when the last part has ended.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from ttlock_agent.errors import PartsFailed
from ttlock_agent.jobs.model import Job, JobFailure, JobState, Move, WaitReason, WantedPasscode

ENTRIES: Final = "passcodes"
PART: Final = "job"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What becomes a job of its own, under the roof of another."""

    verb: str
    params: bytes = field(repr=False)
    deadline_at: datetime
    wish: WantedPasscode


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """The parts of a job and how it describes them: ``entries`` begin with those of the parts."""

    parts: Sequence[Part]
    entries: Sequence[Mapping[str, Any]]
    is_dry_run: bool = False

    def result(self, part_ids: Sequence[str]) -> dict[str, Any]:
        """Return the description, with the id of the job that sees to each part."""
        entries = [dict(entry) for entry in self.entries]
        for entry, part_id in zip(entries, part_ids, strict=False):
            entry[PART] = part_id
        return {ENTRIES: entries}

    def first_moves(self, result: dict[str, Any]) -> list[Move]:
        """Return how the job goes on right after it was accepted."""
        if self.is_dry_run:
            return [Move(to=JobState.WORKING), Move(to=JobState.DONE, result=result)]
        if not self.parts:
            return [Move(to=JobState.WORKING), Move(to=JobState.PROVED, result=result)]
        return [Move(to=JobState.WAITING, reason=WaitReason.PARTS, result=result)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What a new request changes about what is wanted.

    ``wanted`` are the wishes of its own job, ``kept`` those whose job is another, and ``family`` is
    what is seen to by parts.
    """

    wanted: Sequence[WantedPasscode] = ()
    kept: Sequence[WantedPasscode] = ()
    family: Family | None = None


def last_moves(family_job: Job, parts: Sequence[Job]) -> list[Move]:
    """Return how a job ends when all its ``parts`` have; nothing while one is open."""
    if not all(part.is_final for part in parts):
        return []
    by_id = {part.id: part for part in parts}
    result = dict(family_job.result or {})
    result[ENTRIES] = [_ended(entry, by_id) for entry in result.get(ENTRIES, ())]
    failed = [part for part in parts if part.state is not JobState.PROVED]
    if not failed:
        return [Move(to=JobState.WORKING), Move(to=JobState.PROVED, result=result)]
    if all(part.state is JobState.CANCELLED for part in failed):
        return [Move(to=JobState.CANCELLED, result=result, error=failed[0].error)]
    error = PartsFailed(f"{len(failed)} of {len(parts)} changes could not be proved.")
    return [Move(to=JobState.FAILED, result=result, error=JobFailure.of(error))]


def _ended(entry: Mapping[str, Any], parts: Mapping[str, Job]) -> dict[str, Any]:
    part = parts.get(entry.get(PART, ""))
    if part is None:
        return dict(entry)
    ended = dict(entry) | {"result": part.state.value}
    if part.error is not None:
        ended["error"] = part.error.code
    return ended
