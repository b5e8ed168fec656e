"""What a job costs with a long history behind it, against one with hardly any.

Two whole agents in turns, each with a lock of its own, asked over their control sockets. All the
history is of the one lock, which is the worst case.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median

from .figures import Figure, compared
from .household import Household, add_request, agent, delete_request, with_history
from .measure import compare, looked_at_again
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
        found = await asyncio.to_thread(
            looked_at_again,
            partial(compare, ROUNDS, Guest(long).stays, Guest(short).stays),
            LIMIT,
        )
    against = f"a job after {SHORT} others"
    return [compared(f"a job after {LONG} others", found, "ms", against, scale=1e3, limit=LIMIT)]


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

    def stays(self) -> float:
        """Return the seconds a job takes, from request to proved."""
        return median(self._seconds() for _ in range(STAYS))

    def _seconds(self) -> float:
        self._number += 1
        add = add_request(f"add-{self._number}", LOCK, "482915", now=datetime.now(UTC))
        delete = delete_request(f"delete-{self._number}", LOCK, "482915")
        since = time.perf_counter()
        for verb, request in (("passcode.add", add), ("passcode.delete", delete)):
            answer = self._household.ask(verb, request)
            assert answer["result"] == "proved", answer
        return (time.perf_counter() - since) / 2
