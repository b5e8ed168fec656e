"""The job ``lock.diagnose``: measure, repair what is harmless if asked to, and measure again.

Repairs are jobs like any others, done by the radio in its next visit and proved by it. Whether a
repair has worked is what the second measurement says.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final

import structlog

from ttlock_agent.clock import Clock
from ttlock_agent.diagnose.compare import reviewed
from ttlock_agent.diagnose.facts import Session, anonymous
from ttlock_agent.diagnose.finding import Fix, Report, body_of, examine
from ttlock_agent.diagnose.gather import FOUND, INFO, Gatherer
from ttlock_agent.diagnose.session import read_session
from ttlock_agent.diagnose.table import CHECKS
from ttlock_agent.errors import (
    JobRejected,
    JournalError,
    KeysRejected,
    LinkError,
    LockMisunderstood,
    LockRefused,
)
from ttlock_agent.jobs.bell import Bell
from ttlock_agent.jobs.budget import Budgets
from ttlock_agent.jobs.counted import counted_visit
from ttlock_agent.jobs.door_log import LOG
from ttlock_agent.jobs.endings import named
from ttlock_agent.jobs.intake import Intake
from ttlock_agent.jobs.memory import LockMemory
from ttlock_agent.jobs.model import WaitReason
from ttlock_agent.jobs.params import params_of
from ttlock_agent.jobs.steps import Steps
from ttlock_agent.jobs.store import Journal
from ttlock_agent.jobs.waiting import Alarm
from ttlock_agent.link import LinkFactory
from ttlock_agent.lock.visit import LockProfile
from ttlock_agent.requests import (
    BENCH_VERBS,
    ClockSync,
    LockDiagnose,
    LockRequest,
    ParsedRequest,
    Passcode,
    PasscodeDelete,
    PasscodeList,
    Priority,
    SettingName,
    SettingSet,
)
from ttlock_agent.watch.watch import GatewayWatch

log = structlog.get_logger()

VERB: Final = "lock.diagnose"
SOURCE: Final = "diagnose"
TRIES: Final = 2
"""A lock that another phone holds just then deserves a second look; a person waits, though."""
REPAIR_PATIENCE: Final = timedelta(seconds=90)
"""As long as a visit of the radio may last."""
_WAITS_FOR_OTHERS: Final = frozenset(
    {WaitReason.NOT_YET, WaitReason.PARTS, WaitReason.CLOCK_NOT_SYNCHRONISED}
)
_TELLS_OF_THE_LOCK: Final = (LinkError, KeysRejected, LockRefused, LockMisunderstood)


class Diagnosis:
    """Carries the job out."""

    def __init__(
        self,
        links: LinkFactory,
        airtime: AbstractAsyncContextManager[None],
        *,
        profiles: Mapping[str, LockProfile],
        gatherer: Gatherer,
        journal: Journal,
        memory: LockMemory,
        budgets: Budgets,
        intake: Intake,
        watch: GatewayWatch,
        bell: Bell,
        clock: Clock,
    ) -> None:
        """``airtime`` is held while the lock is talked to: its adapter has one owner at a time."""
        self._links = links
        self._airtime = airtime
        self._profiles = profiles
        self._gatherer = gatherer
        self._journal = journal
        self._memory = memory
        self._budgets = budgets
        self._intake = intake
        self._watch = watch
        self._bell = bell
        self._clock = clock
        self.verbs = MappingProxyType({VERB: self._run})

    async def _run(self, steps: Steps) -> None:
        params = params_of(steps.job, LockDiagnose)
        profile = self._profiles.get(steps.job.lock)
        if profile is None:
            raise KeysRejected("The agent holds no keys of this lock any more: it was reset.")
        await steps.begin()
        report = await self._examine(steps, profile, is_visiting=params.is_visiting)
        if not params.is_fixing:
            await steps.answer(body_of(report))
            return
        if not report.fixes:
            await steps.answer(body_of(report) | {"fixed": []})
            return
        await self._repair(steps, profile, report)
        after = await self._examine(steps, profile)
        await steps.answer(
            body_of(after)
            | {
                "fixed": [_outcome(fix, words, after) for fix, words in report.fixes.items()],
                "before": body_of(report),
            }
        )

    async def _examine(
        self, steps: Steps, profile: LockProfile, *, is_visiting: bool = True
    ) -> Report:
        session, unreached = None, None
        for _ in range(TRIES if is_visiting else 0):
            try:
                session = await self._visit(steps, profile)
            except JournalError:
                raise
            except Exception as caught:
                unreached = named(caught)
                if not isinstance(unreached, _TELLS_OF_THE_LOCK):
                    raise unreached from caught
                log.info("diagnose_visit_failed", lock=profile.id, code=unreached.code)
                if not isinstance(unreached, LinkError):
                    break
            else:
                unreached = None
                break
        if session is not None:
            await self._keep(profile, session)
        facts = await self._gatherer.facts(profile, session=session, unreached=unreached)
        report = examine(facts, CHECKS)
        if session is not None:
            # For a support bundle: names of people have no place in it.
            nameless = body_of(examine(anonymous(facts), CHECKS))
            await self._journal.remember_lock(profile.id, FOUND, nameless, facts.now)
        return report

    async def _visit(self, steps: Steps, profile: LockProfile) -> Session:
        known = await self._journal.last_known(profile.id, LOG)
        steps.tell("connecting", 0)
        async with (
            self._airtime,
            counted_visit(self._links, profile, self._clock, self._budgets) as visit,
        ):
            return await read_session(
                visit,
                profile,
                self._clock,
                log_cursor=0 if known is None else known.value["cursor"],
                tell=steps.tell,
            )

    async def _keep(self, profile: LockProfile, session: Session) -> None:
        """Keep what the lock said, as after any visit."""
        if session.listing is not None:
            await self._memory.keep_listing(profile, session.listing, session.at)
        if session.clock is not None:
            await self._memory.keep_clock(profile, session.clock, None)
        info = {
            "model": session.model,
            "hardware": session.hardware,
            "firmware": session.firmware,
            "features": None if session.features is None else session.features.to_cloud(),
        }
        await self._journal.remember_lock(profile.id, INFO, info, session.at)
        await self._memory.show(profile)

    async def _repair(self, steps: Steps, profile: LockProfile, report: Report) -> None:
        steps.tell("repairing", 0)
        lock, name = profile.id, f"{SOURCE}-{steps.job.id}"
        log.info("diagnose_repairs", lock=lock, fixes=sorted(report.fixes))
        if Fix.CLOCK in report.fixes:
            await self._ask("clock.sync", self._request(ClockSync, f"{name}-clock", lock))
        if Fix.MISSING in report.fixes:
            await self._watch.deliver_now(lock)
            # Whoever lists the lock compares it with all that was proved, and puts back what lacks.
            await self._ask("passcode.list", self._request(PasscodeList, f"{name}-list", lock))
        if Fix.REMOTE_UNLOCK in report.fixes:
            allowed = self._request(
                SettingSet,
                f"{name}-remote-unlock",
                lock,
                setting=SettingName.IS_REMOTE_UNLOCK_ALLOWED,
                value=True,
            )
            await self._ask("setting.set", allowed)
        if Fix.EXPIRED in report.fixes:
            for record in reviewed(report.facts).over:
                mark = self._journal.mark(lock, record.passcode)
                removal = self._request(
                    PasscodeDelete,
                    f"{name}-over-{mark}",
                    lock,
                    passcode=Passcode(record.passcode),
                )
                await self._ask("passcode.delete", removal)
        await self._settled(steps, lock)
        # What the jobs found is evidence about the gateway.
        await self._watch.follow()

    async def _ask(self, verb: str, params: LockRequest) -> None:
        assert params.id is not None, "requests of the agent's own have names"
        try:
            await self._intake.take(ParsedRequest(params.id, verb, params), source=SOURCE)
        except JobRejected as error:
            log.warning("diagnose_repair_refused", verb=verb, code=error.code)

    def _request(self, kind: type[LockRequest], name: str, lock: str, **more: Any) -> Any:
        # As for a guest: a technician waits, and the battery's budget is not what matters now.
        deadline_at = self._clock.now() + REPAIR_PATIENCE
        return kind(
            id=name,
            lock=lock,
            deadline_at=deadline_at,
            priority=Priority.GUEST_AT_THE_DOOR,
            **more,
        )

    async def _settled(self, steps: Steps, lock: str) -> None:
        """Wait until the radio has done what it can, but not for ever."""
        end = self._clock.now() + REPAIR_PATIENCE
        with self._bell.listener() as news:
            alarm = Alarm(self._clock, news)
            while (count := await self._open(lock)) and self._clock.now() < end:
                steps.tell("repairing", count)
                await alarm.wait_until(end)

    async def _open(self, lock: str) -> int:
        return sum(
            job.verb not in BENCH_VERBS and job.reason not in _WAITS_FOR_OTHERS
            for job in await self._journal.open_jobs(lock)
        )


def _outcome(fix: Fix, words: str, after: Report) -> dict[str, Any]:
    """Say of a repair whether the second measurement still asks for it."""
    is_proved = fix not in after.fixes and after.facts.session is not None
    return {"fix": fix.value, "does": words, "proved": is_proved}
