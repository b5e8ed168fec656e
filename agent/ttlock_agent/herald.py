"""The task that tells the service manager how the agent is: watchdog and status line."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from ttlock_agent.clock import Clock
from ttlock_agent.errors import JournalError
from ttlock_agent.heartbeats import Heartbeats
from ttlock_agent.systemd import Notifier

log = structlog.get_logger()

LOOK_EVERY_S: Final = 5.0
"""How old the status line may be; a person who reads it waits no longer than this."""


class Herald:
    """Feeds the watchdog for as long as every task makes progress, and keeps the status line."""

    def __init__(
        self,
        notifier: Notifier,
        heartbeats: Heartbeats,
        *,
        summary: Callable[[], Awaitable[str]],
        clock: Clock,
        watchdog_interval_s: float | None,
    ) -> None:
        """``watchdog_interval_s`` is how often the watchdog wants to be fed; None if never."""
        self._notifier = notifier
        self._heartbeats = heartbeats
        self._summary = summary
        self._clock = clock
        self._pause_s = min(LOOK_EVERY_S, watchdog_interval_s or LOOK_EVERY_S)
        self._is_fed = watchdog_interval_s is not None
        self._said = ""
        self._overdue: list[str] = []

    async def run(self) -> None:
        """Serve until cancelled."""
        while True:
            self._feed()
            await self._tell()
            await self._clock.sleep(self._pause_s)

    def _feed(self) -> None:
        overdue = self._heartbeats.overdue()
        if overdue and overdue != self._overdue:
            log.error("tasks_stuck", tasks=overdue)
        self._overdue = overdue
        if self._is_fed and not overdue:
            self._notifier.watchdog()

    async def _tell(self) -> None:
        try:
            line = await self._summary()
        except JournalError as error:
            line = f"journal unusable: {error.message}"
        if self._overdue:
            line = f"stuck: {', '.join(self._overdue)}; {line}"
        if line != self._said:
            self._said = line
            self._notifier.status(line)
