"""What the daemon costs to start and to keep, against an interpreter with the same libraries.

It has one virtual lock, and a broker where one is installed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

from .figures import Figure, compared
from .household import Household, virtual_addresses
from .measure import ProcessMemory, comparison_of, memory_of
from .process import Started, bare, broker_if_any, daemon

ROUNDS = 5
SETTLE_S = 0.5
"""For the broker connection and the first round of housekeeping."""

Start = Callable[[], AbstractContextManager[Started]]


def run(directory: Path) -> list[Figure]:
    household = Household(directory / "agent", virtual_addresses(directory, 1))
    with broker_if_any(directory) as broker_port:
        household.furnish(broker_port=broker_port)
        return _run(directory, household)


def _run(directory: Path, household: Household) -> list[Figure]:
    starts = partial(daemon, household.config), partial(bare, directory)
    for start in starts:
        _look(start)  # the first start compiles, and makes key and journal
    looks = [[_look(start) for start in starts] for _ in range(ROUNDS)]
    return [
        _figure("start until ready", "s", [(a[0], b[0]) for a, b in looks]),
        _figure("memory, RSS", "MiB", [(a[1].rss_mib, b[1].rss_mib) for a, b in looks]),
        _figure("memory, PSS", "MiB", [(a[1].pss_mib, b[1].pss_mib) for a, b in looks]),
    ]


def _look(start: Start) -> tuple[float, ProcessMemory]:
    with start() as started:
        time.sleep(SETTLE_S)
        return started.ready_s, memory_of(started.pid)


def _figure(name: str, unit: str, pairs: list[tuple[float, float]]) -> Figure:
    against = "python + bleak, paho, yaml, structlog, AES"
    return compared(name, comparison_of(pairs), unit, against)
