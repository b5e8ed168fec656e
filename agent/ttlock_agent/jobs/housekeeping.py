"""What must be done now and then, whatever the radio is doing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Final

import structlog

from ttlock_agent.clock import Clock
from ttlock_agent.errors import JournalError
from ttlock_agent.jobs.radio import JOURNAL_PAUSE_S
from ttlock_agent.jobs.store import Journal
from ttlock_agent.timesync import CANNOT_TELL, TimeSync

log = structlog.get_logger()

KEEP_TRAILS_FOR: Final = timedelta(days=90)
"""Finished jobs keep their audit trail for a season; their answers stay known after that."""
ROUND_S: Final = 3600.0
"""Digits outlive their validity by no more than this."""


class Housekeeper:
    """Wipes what is not needed any more: by a clock that is known to be wrong, nothing is."""

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        *,
        time_sync: TimeSync = CANNOT_TELL,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        """``beat`` is called each time round, once in ``ROUND_S``."""
        self._journal = journal
        self._clock = clock
        self._time_sync = time_sync
        self._beat = beat

    async def run(self) -> None:
        """Serve until cancelled."""
        while True:
            self._beat()
            try:
                await self.tidy()
            except JournalError as error:
                log.error("journal_unusable", code=error.code, hint=error.hint)  # noqa: TRY400
                await self._clock.sleep(JOURNAL_PAUSE_S)
                continue
            await self._clock.sleep(ROUND_S)

    async def tidy(self) -> None:
        """Go round once."""
        if await self._time_sync.is_synchronised() is False:
            return
        await self._journal.prune(self._clock.now() - KEEP_TRAILS_FOR)
        if await self._journal.retire_over():
            await self._journal.sweep()
