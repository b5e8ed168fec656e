"""A large household: 50 locks that advertise, and 10,000 jobs in the journal's history.

The locks are served by this process, behind real sockets, so that the daemon hears them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ttlock_agent.clock import SystemClock
from ttlock_agent.virtual_lock.server import VirtualLockServer

from .figures import Figure, held_against
from .household import Household, virtual_addresses, with_history
from .measure import ProcessMemory, cpu_s, memory_of
from .near import awake, memory
from .process import Started, bare, broker_if_any, daemon

LOCKS = 50
JOBS = 10_000
SETTLE_S = 2.0
"""For the first round of housekeeping, which is not idleness."""
IDLE_S = 5.0


def run(directory: Path) -> list[Figure]:
    with broker_if_any(directory) as broker_port:
        return asyncio.run(_run(directory, broker_port))


async def _run(directory: Path, broker_port: int | None) -> list[Figure]:
    large = Household(directory / "large", virtual_addresses(directory, LOCKS))
    small = Household(directory / "small", virtual_addresses(directory, 1))
    for household in (large, small):
        household.furnish(broker_port=broker_port)
    await with_history(large, JOBS)
    async with _served(large):
        ours = await asyncio.to_thread(_look, daemon(large.config))
        floor = await asyncio.to_thread(_look, daemon(small.config))
    nothing = await asyncio.to_thread(_look, bare(directory))
    against = "the daemon with 1 lock and no history"
    return [
        held_against("memory, RSS", ours.memory.rss_mib, "MiB", floor.memory.rss_mib, against),
        held_against("memory, PSS", ours.memory.pss_mib, "MiB", floor.memory.pss_mib, against),
        held_against("start until ready", ours.ready_s, "s", floor.ready_s, against),
        _idle(f"idle, {LOCKS} locks", ours, nothing),
        _idle("idle, 1 lock", floor, nothing),
    ]


@dataclass(frozen=True, slots=True)
class Look:
    """How a process is when nothing happens; ``load`` is processor time by time."""

    ready_s: float
    memory: ProcessMemory
    load: float


def _look(start: AbstractContextManager[Started]) -> Look:
    with start as started:
        time.sleep(SETTLE_S)
        before_s, since = cpu_s(started.pid), time.perf_counter()
        time.sleep(IDLE_S)
        load = (cpu_s(started.pid) - before_s) / (time.perf_counter() - since)
        return Look(started.ready_s, memory_of(started.pid), load)


def _idle(name: str, ours: Look, nothing: Look) -> Figure:
    return Figure(
        name=name,
        value=ours.load * 100,
        unit="% of a core",
        floor=nothing.load * 100,
        against="a process that sleeps",
    )


@asynccontextmanager
async def _served(household: Household) -> AsyncGenerator[None]:
    """Have all locks of a household there, without a disk of their own."""
    async with asyncio.TaskGroup() as group:
        tasks = []
        for lock, address in household.locks.items():
            mac = f"AA:BB:CC:00:00:{int(lock.removeprefix('lock-')):02X}"
            server = VirtualLockServer(
                awake(replace(memory(), mac=mac)), clock=SystemClock(), save=lambda _: None
            )
            path = Path(address.removeprefix("virtual:"))
            tasks.append(group.create_task(server.serve(path, on_ready=lambda: None)))
        yield
        for task in tasks:
            task.cancel()
