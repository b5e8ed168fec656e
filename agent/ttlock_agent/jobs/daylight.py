"""Sets the clocks of locks when daylight saving begins or ends: they know only local time.

A job is made at the change itself, and only where a timed passcode needs it; other locks are set
when they are visited next.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

import structlog

from ttlock_agent.clock import Clock
from ttlock_agent.errors import JobRejected, JournalError
from ttlock_agent.jobs.intake import Intake
from ttlock_agent.jobs.memory import CLOCK
from ttlock_agent.jobs.model import JobState
from ttlock_agent.jobs.passcodes import is_timed
from ttlock_agent.jobs.radio import JOURNAL_PAUSE_S
from ttlock_agent.jobs.store import Journal
from ttlock_agent.lock.visit import LockProfile
from ttlock_agent.requests import ClockSync, ParsedRequest

log = structlog.get_logger()

SOURCE: Final = "daylight"
LONGEST_SLEEP_S: Final = 3600.0
"""The wall clock may jump over a change, or a lock may come to another zone."""
LOOK_BACK: Final = timedelta(days=30)
"""A change longer ago is no news: the lock was visited since, or is gone."""
LOOK_AHEAD: Final = timedelta(days=370)
_PATIENCE: Final = timedelta(hours=24)
_STEP: Final = timedelta(days=1)
_SECOND: Final = timedelta(seconds=1)


class Daylight:
    """Watches the time zones of all locks."""

    def __init__(
        self,
        journal: Journal,
        intake: Intake,
        profiles: Mapping[str, LockProfile],
        clock: Clock,
        *,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        """``beat`` is called each time round, at least once in ``LONGEST_SLEEP_S``."""
        self._beat = beat
        self._journal = journal
        self._intake = intake
        self._profiles = profiles
        self._clock = clock

    async def run(self) -> None:
        """Serve until cancelled."""
        while True:
            self._beat()
            next_at: datetime | None = None
            try:
                next_at = await self.follow()
            except JournalError as error:
                log.error("journal_unusable", code=error.code, hint=error.hint)  # noqa: TRY400
                await self._clock.sleep(JOURNAL_PAUSE_S)
                continue
            pause = LONGEST_SLEEP_S
            if next_at is not None:
                pause = min(pause, max(1.0, (next_at - self._clock.now()).total_seconds()))
            await self._clock.sleep(pause)

    async def follow(self) -> datetime | None:
        """Ask for what the last change makes necessary; return when the next one is."""
        now = self._clock.now()
        for profile in list(self._profiles.values()):
            changed_at = next_change(profile.zone, now - LOOK_BACK, until=now)
            if changed_at is not None and await self._needs_setting(profile, changed_at):
                await self._ask(profile, changed_at)
        zones = {profile.zone for profile in self._profiles.values()}
        ahead = (next_change(zone, now, until=now + LOOK_AHEAD) for zone in zones)
        return min((each for each in ahead if each is not None), default=None)

    async def _needs_setting(self, profile: LockProfile, changed_at: datetime) -> bool:
        known = await self._journal.last_known(profile.id, CLOCK)
        now = self._clock.now()
        # What was read in the future was read before this machine's clock was set back.
        if known is None or changed_at <= known.as_of <= now:
            return False
        return any(is_timed(wish, now) for wish in await self._journal.wanted(profile.id))

    async def _ask(self, profile: LockProfile, changed_at: datetime) -> None:
        # The id makes it one job a change, however often this comes round, and another one only
        # where that found no way to the lock within its day.
        name = f"{SOURCE}-{profile.id}-{changed_at:%Y%m%dT%H%M%SZ}"
        request_id, attempt = name, 1
        while (job := await self._journal.job_by_request(request_id)) is not None:
            if job.state is not JobState.EXPIRED:
                return
            attempt += 1
            request_id = f"{name}-{attempt}"
        params = ClockSync(lock=profile.id, deadline_at=self._clock.now() + _PATIENCE)
        try:
            await self._intake.take(ParsedRequest(request_id, "clock.sync", params), source=SOURCE)
        except JobRejected as error:
            log.warning("clock_not_set_at_change", lock=profile.id, reason=error.message)


def next_change(zone: tzinfo, after: datetime, *, until: datetime) -> datetime | None:
    """Return when the UTC offset of ``zone`` changes first, to the second; ``None`` if it does not.

    Of two changes within one day only one is found; no zone does that.
    """
    low = after.astimezone(UTC).replace(microsecond=0)
    offset = low.astimezone(zone).utcoffset()
    high = low
    while high.astimezone(zone).utcoffset() == offset:
        if high >= until:
            return None
        low, high = high, min(high + _STEP, until)
    while high - low > _SECOND:
        middle = low + (high - low) // 2
        middle = middle.replace(microsecond=0)
        if middle.astimezone(zone).utcoffset() == offset:
            low = middle
        else:
            high = middle
    return high
