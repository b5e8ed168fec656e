"""Reads the cloud for the watch: lists and gateways often, through a gateway rarely.

Each call is counted. What goes wrong is named, for the account or for one lock, and waited out.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import structlog

from ttlock_agent.call_budget import interval_s
from ttlock_agent.clock import Clock
from ttlock_agent.cloud.client import CloudClient
from ttlock_agent.cloud.codes import GATEWAY_BUSY_RETRY_S
from ttlock_agent.cloud.errors import CloudProblem, CloudRefused, CloudUnreachable, ErrorClass
from ttlock_agent.cloud.models import CloudPasscode, Gateway
from ttlock_agent.cloud.quota import next_month
from ttlock_agent.errors import CloudError, JournalError
from ttlock_agent.jobs.radio import JOURNAL_PAUSE_S
from ttlock_agent.jobs.store import Journal
from ttlock_agent.limits import stop_if_told
from ttlock_agent.watch.book import Book, ClockError
from ttlock_agent.watch.claims import of_cloud, views_of
from ttlock_agent.watch.pace import pause_s
from ttlock_agent.watch.verdict import ProbeResult, Verdict
from ttlock_agent.watch.watch import GatewayWatch

log = structlog.get_logger()

CONFIRM_AFTER_S: Final = 120.0
"""Until a list that has lost an entry is read again: soon, for the agent still keeps that passcode,
and late enough for the cloud to have recovered."""
GATEWAY_SPACING_S: Final = 45.0
"""Between two commands to gateways: integrators leave 30 to 60 s, or meet "busy"."""
LONGEST_SLEEP_S: Final = 60.0
_DAY: Final = timedelta(days=1)

_OF_ONE_LOCK: Final = frozenset(
    {
        ErrorClass.CONFIGURATION,
        ErrorClass.GONE,
        ErrorClass.REFUSED,
        ErrorClass.PATH_BROKEN,
        ErrorClass.BUG,
    }
)
"""Refusals of a call about one lock that say nothing about the others."""
_PROBE_RESULTS: Final = {
    1: ProbeResult.FAILED,
    -2012: ProbeResult.NO_PATH,
    -3002: ProbeResult.OFFLINE,
    -3036: ProbeResult.OFFLINE,
    -3003: ProbeResult.BUSY,
    -3037: ProbeResult.BUSY,
}
_LOOKS_WRONG: Final = frozenset({Verdict.CONNECTED_NOT_DELIVERING, Verdict.BUSY})
"""Where a probe tells more than lists do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudLock:
    """One lock, under its own id and the cloud's."""

    id: str
    cloud_id: int


Tell = Callable[[str, int, Sequence[CloudPasscode]], Awaitable[frozenset[int]]]
"""Tells the cloud of what the agent did in a lock; returns which entries are its own."""


async def tell_nothing(
    _lock: str, _cloud_id: int, _list: Sequence[CloudPasscode]
) -> frozenset[int]:
    """Leave the cloud's list alone."""
    return frozenset()


class CloudEye:
    """Looks at all locks of an account, again and again."""

    def __init__(
        self,
        cloud: CloudClient,
        locks: Sequence[CloudLock],
        watch: GatewayWatch,
        *,
        poll_interval_s: float,
        probes_per_day: int,
        journal: Journal,
        clock: Clock,
        tell: Tell = tell_nothing,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        """``beat`` is called at least once a minute, or for each lock that is looked at."""
        self._beat = beat
        self._cloud = cloud
        self._locks = locks
        self._watch = watch
        self._poll_interval_s = poll_interval_s
        self._probes_per_day = probes_per_day
        self._journal = journal
        self._clock = clock
        self._tell = tell
        self._interval_s = poll_interval_s
        self._failures = 0
        self._calls: int | None = None
        self._next_look_s = clock.monotonic()
        self._commanded_at_s: float | None = None
        watch.show_figures(self.figures)

    @property
    def cloud(self) -> CloudClient:
        """The account that is watched."""
        return self._cloud

    def figures(self) -> dict[str, Any]:
        """Return what the watching costs."""
        return {
            "calls_this_month": self._calls,
            "monthly_call_budget": self._cloud.budget.monthly_limit,
            "poll_interval_s": round(self._interval_s),
        }

    async def run(self) -> None:
        """Serve until cancelled."""
        while True:
            self._beat()
            try:
                if self._clock.monotonic() >= self._next_look_s:
                    await self.try_to_look()
                await self.probe_if_needed()
            except JournalError as error:
                stop_if_told()
                log.error("journal_unusable", code=error.code, hint=error.hint)  # noqa: TRY400
                await self._clock.sleep(JOURNAL_PAUSE_S)
                continue
            pause = self._next_look_s - self._clock.monotonic()
            await self._clock.sleep(min(max(pause, 0.0), LONGEST_SLEEP_S))

    async def try_to_look(self) -> None:
        """Look once; trouble is named, and decides when to look again."""
        try:
            is_to_be_confirmed = await self.look()
        except CloudError as error:
            self._failures += 1
            await self._name(error)
            pause = pause_s(
                error,
                failures=self._failures,
                interval_s=self._interval_s,
                now=self._clock.now(),
            )
        else:
            self._failures = 0
            await self._name(None)
            pause = self._interval_s
            if is_to_be_confirmed:
                pause = min(pause, CONFIRM_AFTER_S)
        self._next_look_s = self._clock.monotonic() + pause

    async def look(self) -> bool:
        """Ask the cloud about every lock once; return whether to look again soon.

        Raises ``CloudError`` for what concerns the whole account.
        """
        try:
            gateways = await self._cloud.gateways()
            return any([await self._look_at(lock, gateways) for lock in self._locks])
        finally:
            await self._count()

    async def _look_at(self, lock: CloudLock, gateways: Sequence[Gateway]) -> bool:
        self._beat()
        try:
            passcodes = await self._cloud.list_passcodes(lock.cloud_id)
            near = await self._cloud.gateways_of_lock(lock.cloud_id)
        except CloudRefused as error:
            if error.row.error_class not in _OF_ONE_LOCK:
                raise
            log.warning("cloud_refuses_lock", lock=lock.id, errcode=error.errcode)
            await self._watch.put_trouble(error, lock=lock.id)
            return False
        own = await self._tell(lock.id, lock.cloud_id, passcodes)
        others = [each for each in passcodes if each.passcode_id not in own]
        return await self._watch.put_list(
            lock.id,
            of_cloud(others, self._clock.now(), self._watch.keyed_hash),
            frozenset(each.digits for each in passcodes),
            views_of(near, gateways),
        )

    async def _name(self, error: CloudError | None) -> None:
        before = self._watch.trouble
        if error is not None:
            log.warning("cloud_unusable", code=error.code, reason=error.message)
        elif before is not None:
            log.info("cloud_usable_again")
        await self._watch.put_trouble(error)

    async def _count(self) -> None:
        """Keep count of the calls, and stretch the interval so that they last."""
        now = self._clock.now()
        budget = self._cloud.budget
        self._calls = await budget.spent(now)
        self._interval_s = interval_s(
            self._poll_interval_s,
            locks=len(self._locks),
            calls_left=await budget.remaining(now),
            month_ends_in_s=(next_month(now) - now).total_seconds(),
        )

    # Probes.

    async def probe_if_needed(self) -> None:
        """Ask one lock's clock through its gateway, where something looks wrong."""
        for lock in self._locks:
            if await self._is_worth_a_probe(lock.id):
                await self._probe(lock)
                return

    async def _is_worth_a_probe(self, lock: str) -> bool:
        now, now_s = self._clock.now(), self._clock.monotonic()
        if self._watch.trouble is not None or self._watch.quiet_for_s(lock) > 0:
            return False
        if self._commanded_at_s is not None and now_s - self._commanded_at_s < GATEWAY_SPACING_S:
            return False
        book = await self._watch.book(lock)
        if not _looks_wrong(book) or not any(each.hears(now) for each in book.gateways):
            return False
        if not self._has_probes_left(book, now):
            return False
        # The lock takes one connection at a time, and the agent is about to want it.
        return not await self._journal.open_jobs(lock)

    def _has_probes_left(self, book: Book, now: datetime) -> bool:
        # One from the future was made before this machine's clock was set back.
        today = [each for each in book.probes if abs(now - each.at) < _DAY]
        if len(today) >= self._probes_per_day:
            return False
        if not today:
            return True
        is_busy = today[-1].result is ProbeResult.BUSY
        gap = (
            timedelta(seconds=2 * GATEWAY_BUSY_RETRY_S) if is_busy else _DAY / self._probes_per_day
        )
        return abs(now - today[-1].at) >= gap

    async def _probe(self, lock: CloudLock) -> None:
        clock: ClockError | None = None
        try:
            told = await self._cloud.query_lock_clock(lock.cloud_id)
        except CloudError as error:
            log.info("gateway_probe_failed", lock=lock.id, code=error.code, reason=error.message)
            result = _result_of(error)
        else:
            result, now = ProbeResult.OK, self._clock.now()
            clock = ClockError(error_s=(told - now).total_seconds(), at=now)
        finally:
            self._commanded_at_s = self._clock.monotonic()
            await self._count()
        log.info("gateway_probed", lock=lock.id, result=result.value)
        await self._watch.put(lock.id, partial(_put_probe, result, clock, self._clock.now()))


def _looks_wrong(book: Book) -> bool:
    candidate = book.standing.candidate
    return book.standing.verdict in _LOOKS_WRONG or (
        candidate is not None and candidate.verdict in _LOOKS_WRONG
    )


def _result_of(error: CloudError) -> ProbeResult:
    """Return what a failed probe says of the gateway; much of what can fail says nothing."""
    if isinstance(error, CloudRefused):
        return _PROBE_RESULTS.get(error.errcode, ProbeResult.NO_ANSWER)
    is_silent = isinstance(error, CloudUnreachable) and error.problem is CloudProblem.TIMEOUT
    return ProbeResult.FAILED if is_silent else ProbeResult.NO_ANSWER


def _put_probe(result: ProbeResult, clock: ClockError | None, at: datetime, book: Book) -> None:
    book.put_probe(result, at)
    if clock is not None:
        book.clock = clock
