"""What a job costs with a long history behind it, against one with hardly any.

Two whole agents in turns, each with a lock of its own, asked over their control sockets. All the
history is of the one lock, which is the worst case. The limit is on the processor time of all of it
(agents, journal and caller are one process), which other programs hardly disturb; the time that
passes, with the waiting for the disk, is shown beside it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median

from .figures import Figure, compared
from .household import Household, add_request, agent, delete_request, with_history
from .measure import compare, least, looked_at_again
from .near import NearLinks, awake, memory

LOCK = "lock-0"
ADDRESS = "virtual:near"
SHORT = 10
LONG = 10_000
ROUNDS = 9
STAYS = 2
"""Passcodes added and taken back in each turn."""
LIMIT = 1.3


def run(directory: Path) -> list[Figure]:
    with asyncio.Runner() as runner:
        return runner.run(_run(directory))


async def _run(directory: Path) -> list[Figure]:
    long = await _household(directory / "long", LONG)
    short = await _household(directory / "short", SHORT)
    async with agent(long, _links()), agent(short, _links()):
        guests = Guest(long), Guest(short)
        work = await asyncio.to_thread(
            looked_at_again,
            partial(least, ROUNDS, *(partial(each.stays, time.process_time) for each in guests)),
            LIMIT,
        )
        passed = await asyncio.to_thread(
            compare, ROUNDS, *(partial(each.stays, time.perf_counter) for each in guests)
        )
    name, against = f"a job after {LONG} others", f"a job after {SHORT} others"
    return [
        compared(f"{name}, processor time", work, "ms", against, scale=1e3, limit=LIMIT),
        compared(f"{name}, time that passes", passed, "ms", against, scale=1e3),
    ]


async def _household(directory: Path, jobs: int) -> Household:
    household = Household(directory, {LOCK: ADDRESS})
    household.furnish()
    await with_history(household, jobs)
    return household


def _links() -> NearLinks:
    return NearLinks({ADDRESS: awake(memory())})


class Guest:
    """Comes and goes, and never under the same id."""

    def __init__(self, household: Household) -> None:
        self._household = household
        self._number = 0

    def stays(self, clock: Callable[[], float]) -> float:
        """Return the seconds a job takes by ``clock``, from request to proved."""
        return median(self._seconds(clock) for _ in range(STAYS))

    def _seconds(self, clock: Callable[[], float]) -> float:
        self._number += 1
        add = add_request(f"add-{self._number}", LOCK, "482915", now=datetime.now(UTC))
        delete = delete_request(f"delete-{self._number}", LOCK, "482915")
        since = clock()
        for verb, request in (("passcode.add", add), ("passcode.delete", delete)):
            answer = self._household.ask(verb, request)
            assert answer["result"] == "proved", answer
        return (clock() - since) / 2
