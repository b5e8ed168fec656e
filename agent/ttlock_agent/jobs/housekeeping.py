"""What must be done now and then, whatever the radio is doing."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import structlog

from ttlock_agent.clock import Clock
from ttlock_agent.errors import JournalError
from ttlock_agent.jobs.store import Journal

log = structlog.get_logger()

KEEP_TRAILS_FOR: Final = timedelta(days=90)
"""Finished jobs keep their audit trail for a season; their answers stay known after that."""
ROUND_S: Final = 3600.0
"""Digits outlive their validity by no more than this."""


class Housekeeper:
    """Wipes what is not needed any more."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock

    async def run(self) -> None:
        """Serve until cancelled."""
        while True:
            try:
                await self.tidy()
            except JournalError as error:
                log.error("journal_unusable", code=error.code, hint=error.hint)  # noqa: TRY400
            await self._clock.sleep(ROUND_S)

    async def tidy(self) -> None:
        """Go round once."""
        await self._journal.prune(self._clock.now() - KEEP_TRAILS_FOR)
        if await self._journal.retire_over():
            await self._journal.sweep()
