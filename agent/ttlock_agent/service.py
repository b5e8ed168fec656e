"""What the running agent offers to callers, the same over MQTT and over the control socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import msgspec

from ttlock_agent import __version__
from ttlock_agent.backup.desk import FILE_VERBS, Desk
from ttlock_agent.clock import Clock
from ttlock_agent.control.messages import Call, Line, Progress, Result
from ttlock_agent.errors import ConfigError, JobError, JobRejected, Rejection
from ttlock_agent.health import Health
from ttlock_agent.jobs.answers import Answers, answer_body, job_body, summaries
from ttlock_agent.jobs.bell import Bell
from ttlock_agent.jobs.facts import lock_facts
from ttlock_agent.jobs.heard import Heard
from ttlock_agent.jobs.intake import Intake
from ttlock_agent.jobs.model import FINAL_STATES, Job, JobState, ReplyTo
from ttlock_agent.jobs.progress import Progress as JobProgress
from ttlock_agent.jobs.radio import Report
from ttlock_agent.jobs.store import Journal
from ttlock_agent.keyring import decode_keys
from ttlock_agent.locks import Locks
from ttlock_agent.mqtt.bridge import IncomingRequest
from ttlock_agent.mqtt.topics import Topics
from ttlock_agent.publication import Publication
from ttlock_agent.requests import (
    BENCH_VERBS,
    JobList,
    ParsedRequest,
    canonical_content,
    parse_request,
    passphrase_of,
)
from ttlock_agent.watch.watch import GatewayWatch

STATUS: Final = "status"
KEYS_IMPORT: Final = "keys.import"
MAX_OPEN_JOBS: Final = 100
"""So many open jobs, the youngest, stand in a status; the counts are complete."""


_SAYS_NOTHING_OF_CONTENT: Final = frozenset({Rejection.RETAINED, Rejection.UNKNOWN_LOCK})
"""Refusals that a request may meet when it is delivered again after it was accepted."""


@dataclass(slots=True, kw_only=True)
class LockStatus:
    """How a lock is doing, since this agent started."""

    address: str
    is_reachable: bool | None = None
    last_visit_at: str | None = None
    last_error: str | None = None
    visits: int = 0
    failed_visits: int = 0
    round_trips: int = 0
    connected_s: float = 0.0


@dataclass(slots=True, kw_only=True)
class Vitals:
    """What the other parts of the agent tell about themselves when asked."""

    mqtt: Callable[[], dict[str, Any]]
    cloud: Callable[[], dict[str, Any]]
    health: Health
    heard: Heard
    vault_key: str
    journal_set_aside: str | None
    locks: dict[str, LockStatus] = field(default_factory=dict)


class KeysImport(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What ``keys.import`` takes: keys in the form of :mod:`ttlock_agent.keyring`."""

    lock: str
    keys: msgspec.Raw

    def __repr__(self) -> str:
        return f"KeysImport(lock={self.lock!r})"


class Service:
    """Takes requests, answers them, and knows how the agent is."""

    def __init__(
        self,
        *,
        journal: Journal,
        locks: Locks,
        intake: Intake,
        answers: Answers,
        topics: Topics,
        clock: Clock,
        bell: Bell,
        vitals: Vitals,
        desk: Desk,
        progress: JobProgress,
        watch: GatewayWatch | None = None,
    ) -> None:
        self._journal = journal
        self._locks = locks
        self._intake = intake
        self._answers = answers
        self._topics = topics
        self._clock = clock
        self._bell = bell
        self._vitals = vitals
        self._desk = desk
        self._watch = watch
        self._progress = progress
        self._started_s = clock.monotonic()

    async def on_mqtt(self, request: IncomingRequest) -> None:
        """Take a request from the broker; raises ``JournalError`` when it could not be kept."""
        request_id: str | None = None
        reply_to = ReplyTo(request.response_topic, request.correlation_data)
        try:
            parsed = self._parse(
                request.verb,
                request.payload,
                is_retained=request.is_retained,
                correlation_data=request.correlation_data,
            )
            request_id = parsed.id
            _refuse_passphrase(parsed)
            if isinstance(parsed.params, JobList):
                jobs = await self._list_jobs(parsed.params)
                answer = self._answers.listing(parsed.verb, parsed.id, jobs, reply_to)
                await self._journal.post([answer])
            elif (told := await self._told(parsed)) is not None:
                answer = self._answers.told(parsed.verb, parsed.id, told, reply_to)
                await self._journal.post([answer])
            else:
                await self._intake.take(parsed, source="mqtt", reply_to=reply_to)
        except JobError as error:
            request_id = getattr(error, "request_id", request_id)
            job = await self._answered_before(error, request_id)
            if job is None:
                answers = [self._answers.rejected(request.verb, error, request_id, reply_to)]
            else:
                answers = self._answers.of_job(job)
            await self._journal.post(answers)

    async def _answered_before(self, error: JobError, request_id: str | None) -> Job | None:
        """Return the job of a request that is refused only for how or when it came again."""
        if request_id is None or not isinstance(error, JobRejected):
            return None
        if error.reason not in _SAYS_NOTHING_OF_CONTENT:
            return None
        return await self._journal.job_by_request(request_id)

    async def on_control(self, call: Call) -> AsyncIterator[Line]:
        """Answer a call from the control socket; raises ``AgentError`` for a refusal."""
        if call.verb == STATUS:
            yield Result(body=await self.status())
            return
        if call.verb == KEYS_IMPORT:
            yield Result(body=await self._import_keys(call.request))
            return
        if call.verb in FILE_VERBS:
            yield Result(body=await self._desk.serve_file(call.verb, call.request))
            return
        parsed = self._parse(call.verb, bytes(call.request))
        if isinstance(parsed.params, JobList):
            yield Result(body={"jobs": summaries(await self._list_jobs(parsed.params))})
            return
        if (told := await self._told(parsed)) is not None:
            yield Result(body=told)
            return
        with self._bell.listener() as news:
            job = await self._same_job(parsed) or await self._intake.take(parsed, source="control")
            if parsed.lock is None:
                yield Result(body=job_body(job))
                return
            said = ""
            with self._progress.listener(job.id):
                while not job.is_final:
                    step = self._progress.of(job.id)
                    if (now := f"{_stage(job)}/{step}") != said:
                        said = now
                        told = {} if step is None else {"step": step}
                        yield Progress(body=job_body(job) | told)
                    await news.wait()
                    news.clear()
                    job = await self._journal.job(job.id) or job
                answer = answer_body(job) | self._progress.whispered(job.id)
        yield Result(body=answer)

    async def _same_job(self, request: ParsedRequest) -> Job | None:
        """Return the open job of the bench that asks for the same, whatever its id.

        A person who gives a command again after an interruption means the one that still runs.
        """
        if request.verb not in BENCH_VERBS or request.lock is None:
            return None
        content = canonical_content(request)
        jobs = await self._journal.open_jobs(request.lock)
        return next((job for job in jobs if job.params == content), None)

    async def _list_jobs(self, params: JobList) -> list[Job]:
        return await self._journal.recent(
            params.limit, lock=params.lock, is_open_only=params.is_open_only
        )

    async def _told(self, request: ParsedRequest) -> dict[str, Any] | None:
        """Return the answer to a request that is served at once; ``None`` if it takes a job."""
        told = await self._desk.answer(request)
        if told is None and self._watch is not None:
            told = await self._watch.answer(request)
        return told

    async def on_report(self, report: Report) -> None:
        """Count a visit, and publish whether the lock could be reached."""
        if self._watch is not None:
            self._watch.visited(report.lock)
        lock = self._vitals.locks[report.lock]
        was_reachable, lock.is_reachable = lock.is_reachable, report.is_reached
        lock.last_visit_at = report.ended_at.isoformat(timespec="seconds")
        lock.last_error = None if report.error is None else report.error.message
        lock.visits += 1
        lock.failed_visits += not report.is_reached
        lock.round_trips += report.round_trips
        lock.connected_s += report.connected_s
        if report.is_reached:
            self._vitals.heard.visited(report.lock)
        if was_reachable != report.is_reached:
            await self._journal.post(
                [
                    Publication(
                        self._topics.lock_availability(report.lock),
                        b"online" if report.is_reached else b"offline",
                        retain=True,
                    )
                ]
            )

    async def summary(self) -> str:
        """Return how the agent is, in one line."""
        locks = self._vitals.locks.values()
        reached = len([lock for lock in locks if lock.is_reachable])
        keyless = len(self._vitals.locks.keys() - self._locks.profiles.keys())
        counts = await self._journal.counts()
        waiting = sum(count for state, count in counts.items() if state not in FINAL_STATES)
        unknown = counts[JobState.UNKNOWN]
        trouble = self._vitals.health.trouble
        return (
            (f"{trouble}; " if trouble else "") + f"broker {self._vitals.mqtt()['status']}; "
            f"{reached} of {len(locks)} locks reached"
            + (f", {keyless} without keys" if keyless else "")
            + f"; {waiting} open jobs"
            + (f", {unknown} of them to be read back" if unknown else "")
        )

    async def status(self) -> dict[str, Any]:
        """Return how the agent is, without any secret."""
        counts = await self._journal.counts()
        open_jobs = await self._journal.recent(MAX_OPEN_JOBS, is_open_only=True)
        return {
            "version": __version__,
            "uptime_s": round(self._clock.monotonic() - self._started_s, 1),
            "mqtt": self._vitals.mqtt(),
            "cloud": self._vitals.cloud(),
            "vault_key": self._vitals.vault_key,
            "journal_set_aside": self._vitals.journal_set_aside,
            **await self._vitals.health.now(),
            "locks": {
                name: asdict(lock)
                | {"has_keys": name in self._locks.profiles}
                | await lock_facts(self._journal, name, self._vitals.heard)
                for name, lock in self._vitals.locks.items()
            },
            "jobs": {state.value: counts[state] for state in JobState},
            "open_jobs": [job_body(job) for job in open_jobs],
        }

    async def _import_keys(self, raw: msgspec.Raw) -> dict[str, Any]:
        try:
            request = msgspec.json.decode(raw, type=KeysImport)
        except msgspec.DecodeError:
            # Without the cause, which may quote a key.
            raise ConfigError("The call does not name a lock and its keys.") from None
        await self._locks.put_keys(request.lock, decode_keys(bytes(request.keys)))
        return {"lock": request.lock}

    def _parse(
        self,
        verb: str,
        payload: bytes,
        *,
        is_retained: bool = False,
        correlation_data: bytes | None = None,
    ) -> ParsedRequest:
        return parse_request(
            verb,
            payload,
            known_locks=self._vitals.locks.keys(),
            is_retained=is_retained,
            correlation_id=_text(correlation_data),
        )


def _refuse_passphrase(request: ParsedRequest) -> None:
    if passphrase_of(request.params) is not None:
        raise JobRejected(
            "A passphrase does not travel over MQTT: the broker would see it.",
            reason=Rejection.INVALID,
            hint="Use the command line, or a backup whose key is in the vault.",
        )


def _stage(job: Job) -> str:
    return f"{job.state}/{job.reason}"


def _text(correlation_data: bytes | None) -> str | None:
    try:
        return None if correlation_data is None else correlation_data.decode()
    except UnicodeDecodeError:
        return None
