"""Watches the cloud's claims, and stands in for the gateway where they do not hold.

It keeps nothing of its own: each look asks for the same jobs under the same ids, which the journal
makes only once, so that a restart forgets nothing and repeats nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
import structlog

from ttlock_agent.clock import Clock
from ttlock_agent.cloud.client import CloudClient
from ttlock_agent.cloud.models import (
    CloudPasscode,
    Gateway,
    LockGateway,
    PasscodeKind,
    PasscodeStatus,
)
from ttlock_agent.errors import CloudError, JobRejected, JournalError
from ttlock_agent.jobs.intake import Intake
from ttlock_agent.jobs.memory import CLOCK
from ttlock_agent.jobs.model import Job, JobState, WantedPasscode
from ttlock_agent.jobs.radio import JOURNAL_PAUSE_S
from ttlock_agent.jobs.store import Journal
from ttlock_agent.jobs.waiting import Alarm
from ttlock_agent.mqtt.topics import Topics
from ttlock_agent.publication import Publication
from ttlock_agent.requests import ParsedRequest, Passcode, PasscodeAdd
from ttlock_agent.requests import PasscodeKind as WantedKind
from ttlock_agent.requests.structs import MAX_LABEL
from ttlock_agent.validation import BadValue
from ttlock_agent.watch.verdict import Evidence, GatewayView, Verdict, judge, sentence

log = structlog.get_logger()

SOURCE: Final = "takeover"
_CUSTOM_KINDS: Final = {
    PasscodeKind.PERMANENT: WantedKind.PERMANENT,
    PasscodeKind.PERIOD: WantedKind.PERIOD,
}
_SHOULD_BE_HELD: Final = frozenset({PasscodeStatus.NORMAL, PasscodeStatus.ADDING})
_ASK_AGAIN: Final = frozenset({JobState.EXPIRED, JobState.OUTCOME_UNKNOWN})
"""Ends after which a new job may do better; refusals by the lock are final."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedLock:
    """One lock, under its own id and the cloud's."""

    id: str
    cloud_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How often to look, and how long a gateway may take."""

    poll_interval_s: float
    grace: timedelta


@dataclass(slots=True, kw_only=True)
class _View:
    """What the cloud said of one lock, and what became of the jobs that this led to."""

    lock: WatchedLock
    listed: list[CloudPasscode] = field(default_factory=list)
    gateways: list[GatewayView] = field(default_factory=list)
    looked_at: datetime
    first_seen: dict[str, datetime] = field(default_factory=dict)
    was_there: dict[str, bool] = field(default_factory=dict)
    """By job: whether the lock held the passcode before the agent did anything."""
    finished: dict[str, Job] = field(default_factory=dict)
    """By entry: jobs that are over for good."""
    refused: set[str] = field(default_factory=set)
    """Entries of which the agent can make no job."""
    shown: str = ""


class GatewayWatch:
    """Looks at each lock's list in the cloud, again and again."""

    def __init__(
        self,
        cloud: CloudClient,
        locks: Sequence[WatchedLock],
        patience: Patience,
        *,
        journal: Journal,
        intake: Intake,
        topics: Topics,
        clock: Clock,
        keyed_hash: Callable[[bytes], bytes],
    ) -> None:
        self._cloud = cloud
        self._locks = locks
        self._patience = patience
        self._journal = journal
        self._intake = intake
        self._topics = topics
        self._clock = clock
        self._keyed_hash = keyed_hash
        self._views: dict[str, _View] = {}
        self.trouble: CloudError | None = None
        """What kept the last look from succeeding."""

    @property
    def cloud(self) -> CloudClient:
        """The account that is watched."""
        return self._cloud

    async def run(self, news: asyncio.Event) -> None:
        """Serve until cancelled; ``news`` is set whenever jobs have moved on.

        Trouble with the cloud is named and waited out.
        """
        alarm = Alarm(self._clock, news)
        next_look_s = self._clock.monotonic()
        while True:
            try:
                if self._clock.monotonic() >= next_look_s:
                    next_look_s = self._clock.monotonic() + self._patience.poll_interval_s
                    await self._try_to_look()
                grace_ends_at = await self.follow()
            except JournalError as error:
                log.error("journal_unusable", code=error.code, hint=error.hint)  # noqa: TRY400
                await self._clock.sleep(JOURNAL_PAUSE_S)
                continue
            pause = timedelta(seconds=next_look_s - self._clock.monotonic())
            next_look_at = self._clock.now() + pause
            await alarm.wait_until(min(next_look_at, grace_ends_at or next_look_at))

    def vitals(self) -> dict[str, Any]:
        """Return how the watch is doing, for a status."""
        return {
            "is_watched": True,
            "error": None if self.trouble is None else self.trouble.message,
            "verdicts": {name: view.shown for name, view in self._views.items()},
        }

    def found(self, lock: str, findings: Mapping[str, bool]) -> None:
        """Note what the first reading of a lock says of each job."""
        if lock in self._views:
            self._views[lock].was_there |= findings

    async def _try_to_look(self) -> None:
        try:
            await self.look()
            self.trouble = None
        except CloudError as error:
            self.trouble = error
            log.warning("cloud_unusable", code=error.code, reason=error.message)

    async def look(self) -> None:
        """Ask the cloud about every lock once; raises ``CloudError``."""
        all_gateways = {gateway.gateway_id: gateway for gateway in await self._cloud.gateways()}
        for lock in self._locks:
            view = self._views.setdefault(lock.id, _View(lock=lock, looked_at=self._clock.now()))
            view.listed = [
                passcode
                for passcode in await self._cloud.list_passcodes(lock.cloud_id)
                if self._should_be_held(passcode)
            ]
            near = await self._cloud.gateways_of_lock(lock.cloud_id)
            view.gateways = [_near(gateway, all_gateways) for gateway in near] or [
                # The cloud has forgotten which of them it was.
                GatewayView(name=gateway.name, is_online=gateway.is_online)
                for gateway in all_gateways.values()
            ]
            view.looked_at = self._clock.now()

    async def follow(self) -> datetime | None:
        """Ask for what the gateways have had time enough to deliver, and publish the verdicts.

        Costs no call to the cloud. Returns when the next grace time ends.
        """
        ends: list[datetime] = []
        for view in self._views.values():
            wishes = {wish.digits: wish for wish in await self._journal.wanted(view.lock.id)}
            jobs: list[Job] = []
            for passcode in view.listed:
                name = self._name(passcode)
                ends_at = self._grace_ends_at(view, name, passcode)
                if ends_at > self._clock.now():
                    ends.append(ends_at)
                    continue
                job = await self._job(view, name, passcode, wishes.get(passcode.digits))
                if job is not None and job.state is not JobState.CANCELLED:
                    jobs.append(job)
            if jobs:
                await self._show(view, jobs)
        return min(ends, default=None)

    def _should_be_held(self, passcode: CloudPasscode) -> bool:
        is_over = passcode.valid_until is not None and passcode.valid_until <= self._clock.now()
        return (
            passcode.is_custom is True
            and passcode.kind in _CUSTOM_KINDS
            and passcode.status in _SHOULD_BE_HELD
            and not is_over
        )

    def _name(self, passcode: CloudPasscode) -> str:
        """Name an entry with its content, so that a changed entry is a new wish."""
        content = (passcode.digits, passcode.cloud_type, passcode.valid_from, passcode.valid_until)
        digest = self._keyed_hash(msgspec.json.encode(content)).hex()[:12]
        return f"{_entry_prefix(passcode)}{digest}"

    def _grace_ends_at(self, view: _View, name: str, passcode: CloudPasscode) -> datetime:
        entry = _entry_prefix(passcode)
        is_change = any(seen.startswith(entry) and seen != name for seen in view.first_seen)
        first_seen = view.first_seen.setdefault(name, self._clock.now())
        if is_change or passcode.sent_at is None:
            # ``sent_at`` tells of the entry as it was first.
            return first_seen + self._patience.grace
        # The cloud's clock may be ahead of ours; that must not stretch the grace.
        return min(passcode.sent_at, first_seen) + self._patience.grace

    async def _job(
        self, view: _View, name: str, passcode: CloudPasscode, wish: WantedPasscode | None
    ) -> Job | None:
        """Return the job that sees to an entry, making it if there is none."""
        finished = view.finished.get(name)
        if finished is not None and not await self._is_overtaken(finished, wish):
            return finished
        attempt = 1
        while True:
            request_id = name if attempt == 1 else f"{name}-{attempt}"
            job = await self._journal.job_by_request(request_id)
            if job is None:
                job = await self._ask(view, request_id, passcode)
            if job is None or not (job.state in _ASK_AGAIN or await self._is_overtaken(job, wish)):
                break
            attempt += 1
        if job is not None and job.is_final:
            view.finished[name] = job
        return job

    async def _is_overtaken(self, job: Job, wish: WantedPasscode | None) -> bool:
        """Whether the entry was changed since, the lock with it, and the entry changed back."""
        if job.state is not JobState.PROVED or wish is None or wish.job_id in (None, job.id):
            return False
        assert wish.job_id is not None
        other = await self._journal.job(wish.job_id)
        return other is not None and other.source == SOURCE

    async def _ask(self, view: _View, request_id: str, passcode: CloudPasscode) -> Job | None:
        try:
            request = _request(request_id, view.lock.id, passcode)
            return await self._intake.take(request, source=SOURCE)
        except (BadValue, JobRejected) as error:
            if request_id not in view.refused:
                view.refused.add(request_id)
                reason = error.message
                log.warning("cloud_entry_refused", entry=passcode.passcode_id, reason=reason)
            return None

    async def _show(self, view: _View, jobs: Sequence[Job]) -> None:
        was_there = [self._was_there(view, job) for job in jobs]
        clock = await self._journal.last_known(view.lock.id, CLOCK)
        evidence = Evidence(
            listed=len(jobs),
            delivered=was_there.count(True),
            missing=was_there.count(False),
            gateways=view.gateways,
            as_of=view.looked_at,
            clock_error_s=None if clock is None else clock.value["clock_error_before_s"],
        )
        verdict = judge(evidence)
        words = sentence(verdict, evidence)
        if words == view.shown:
            return
        view.shown = words
        log.info("gateway_verdict", lock=view.lock.id, verdict=verdict.value, why=words)
        body = msgspec.json.encode(_body(verdict, words, evidence))
        topic = self._topics.lock_gateway(view.lock.id)
        await self._journal.post([Publication(topic, body, retain=True)])

    @staticmethod
    def _was_there(view: _View, job: Job) -> bool | None:
        if job.state is JobState.PROVED and job.result is not None:
            return bool(job.result["was_there"])
        if job.state is JobState.FAILED:
            return False
        return view.was_there.get(job.id)


def _entry_prefix(passcode: CloudPasscode) -> str:
    return f"cloud-{passcode.passcode_id}-"


def _near(gateway: LockGateway, all_gateways: Mapping[int, Gateway]) -> GatewayView:
    known = all_gateways.get(gateway.gateway_id)
    return GatewayView(
        name=gateway.name,
        is_online=known is not None and known.is_online,
        heard_lock_at=gateway.rssi_updated_at,
        rssi_dbm=gateway.rssi_dbm,
    )


def _request(request_id: str, lock: str, passcode: CloudPasscode) -> ParsedRequest:
    kind = _CUSTOM_KINDS[passcode.kind]
    is_period = kind is WantedKind.PERIOD
    # Names are people's; some name a passcode by its digits.
    label = passcode.name.replace(passcode.digits, "***")[:MAX_LABEL]
    params = PasscodeAdd(
        id=request_id,
        lock=lock,
        passcode=Passcode(passcode.digits),
        label=label,
        given_kind=kind,
        valid_from=_whole_minute(passcode.valid_from) if is_period else None,
        valid_until=_whole_minute(passcode.valid_until) if is_period else None,
    )
    return ParsedRequest(request_id, "passcode.add", params)


def _whole_minute(at: datetime | None) -> datetime | None:
    return None if at is None else at.replace(second=0, microsecond=0)


def _body(verdict: Verdict, words: str, evidence: Evidence) -> dict[str, Any]:
    return {
        "verdict": verdict.value,
        "sentence": words,
        "as_of": evidence.as_of.isoformat(timespec="seconds"),
        "listed": evidence.listed,
        "delivered": evidence.delivered,
        "missing": evidence.missing,
        "clock_error_s": evidence.clock_error_s,
        "gateways": [
            {
                "name": gateway.name,
                "is_online": gateway.is_online,
                "heard_lock_at": None
                if gateway.heard_lock_at is None
                else gateway.heard_lock_at.isoformat(timespec="seconds"),
                "rssi_dbm": gateway.rssi_dbm,
            }
            for gateway in evidence.gateways
        ],
    }
