"""An agent to measure: its configuration, its history, and itself within this process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from ttlock_agent.app import Surroundings, run_agent
from ttlock_agent.clock import Clock, SystemClock
from ttlock_agent.config import load_config
from ttlock_agent.control.client import call
from ttlock_agent.control.messages import Result
from ttlock_agent.errors import ControlUnavailable
from ttlock_agent.jobs.housekeeping import Housekeeper
from ttlock_agent.jobs.model import JobState, Move, NewJob
from ttlock_agent.jobs.params import deadline_of, wish_of
from ttlock_agent.jobs.store import Journal
from ttlock_agent.keyring import encode_keys
from ttlock_agent.link import LinkFactory
from ttlock_agent.requests import canonical_content, parse_request
from ttlock_agent.vault import Vault, load_master_key

from .near import KEYS, ZONE

AGENT_ID = "bench"
POLL_S = 0.02
BATCH = 100
"""Jobs of the history that are written at once, and between two rounds of housekeeping."""
WORK_LIMIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Household:
    """Where an agent lives; ``locks`` are its locks' ids and addresses."""

    directory: Path
    locks: dict[str, str] = field(default_factory=dict)

    @property
    def state(self) -> Path:
        return self.directory / "state"

    @property
    def config(self) -> Path:
        return self.directory / "agent.yaml"

    @property
    def control(self) -> Path:
        return self.directory / "control.sock"

    def furnish(self, *, broker_port: int | None = None) -> None:
        """Write the configuration; without a broker the agent finds nobody where it looks."""
        self.directory.mkdir(exist_ok=True)
        self.state.mkdir(mode=0o700, exist_ok=True)
        keys = self.directory / "keys.json"
        keys.touch(mode=0o600)
        keys.write_bytes(encode_keys(KEYS))
        config = {
            "agent": {
                "id": AGENT_ID,
                "state_directory": str(self.state),
                "control_socket": str(self.control),
            },
            "mqtt": {"host": "127.0.0.1", "port": broker_port or _silent_port()},
            "locks": [
                {"id": lock, "address": address, "time_zone": ZONE.key, "keys": "file:keys.json"}
                for lock, address in self.locks.items()
            ],
        }
        self.config.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")

    def open_journal(self, clock: Clock) -> Awaitable[Journal]:
        """Return the opening of the journal while no agent has it."""
        vault = Vault(load_master_key(self.state, None))
        return Journal.open(self.state, vault, clock)

    def ask(self, verb: str, request: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask the running agent, and return its last word; blocking."""
        *_, last = call(self.control, verb, request)
        assert isinstance(last, Result), last
        return last.body

    def status(self) -> dict[str, Any] | None:
        """Return how the agent is, ``None`` while it does not answer; blocking."""
        try:
            return self.ask("status")
        except ControlUnavailable:
            return None


@asynccontextmanager
async def agent(household: Household, links: LinkFactory) -> AsyncGenerator[asyncio.Task[None]]:
    """Run the agent in this process, all of it but the links, until the context ends."""
    surroundings = Surroundings(clock=SystemClock(), links=lambda _: links)
    running = asyncio.create_task(run_agent(load_config(household.config), surroundings))
    try:
        await until(household, running, lambda _: True)
        yield running
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def until(
    household: Household, running: asyncio.Task[None], is_so: Callable[[dict[str, Any]], bool]
) -> None:
    """Wait until the agent's status is as wanted, or it has ended."""
    async with asyncio.timeout(WORK_LIMIT_S):
        while not running.done():
            status = await asyncio.to_thread(household.status)
            if status is not None and is_so(status):
                return
            await asyncio.sleep(POLL_S)
    running.result()


def add_request(name: str, lock: str, digits: str, *, now: datetime) -> dict[str, Any]:
    """Return what a booking system asks for."""
    start = now.replace(second=0, microsecond=0)
    return {
        "id": name,
        "lock": lock,
        "passcode": digits,
        "valid_from": start.isoformat(),
        "valid_until": (start + timedelta(days=3)).isoformat(),
    }


def delete_request(name: str, lock: str, digits: str) -> dict[str, Any]:
    """Return how it takes that back."""
    return {"id": name, "lock": lock, "passcode": digits}


class SettableClock:
    """A clock for writing history."""

    def __init__(self, now: datetime) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now

    def set(self, now: datetime) -> None:
        self._now = now

    def monotonic(self) -> float:
        return self._now.timestamp()

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody waits in history")


async def queue(journal: Journal, request: dict[str, Any], now: datetime) -> str:
    """Make a job of a request, as the agent would; return its id."""
    payload = json.dumps(request).encode()
    parsed = parse_request("passcode.add", payload, known_locks={request["lock"]})
    assert parsed.lock is not None
    wish = wish_of(parsed.params, lock=parsed.lock, source="mqtt")
    assert wish is not None
    new = NewJob(
        source="mqtt",
        request_id=parsed.id,
        verb=parsed.verb,
        lock=parsed.lock,
        params=canonical_content(parsed),
        priority=0,
        deadline_at=deadline_of(parsed, now),
    )
    accepted = await journal.accept(new, wanted=(wish,))
    return accepted.job.id


async def with_history(household: Household, jobs: int) -> None:
    """Give the journal of a household ``jobs`` stays of guests, all of its first lock.

    What was written once is copied for other households of the same run.
    """
    written = household.directory.parent.parent / f"history-{jobs}"
    if written.exists():
        shutil.copytree(written, household.state, dirs_exist_ok=True)
    else:
        await _write_history(household, jobs)
        shutil.copytree(household.state, written)


async def _write_history(household: Household, jobs: int) -> None:
    """Write stays that are over, spread over the last year, as the agent leaves them."""
    lock = next(iter(household.locks))
    start = datetime.now(UTC) - timedelta(days=365)
    clock = SettableClock(start)
    async with await household.open_journal(clock) as journal:
        # Nobody needs this past after a power cut, and it would take a minute to write.
        await journal._database.read(lambda c: c.execute("PRAGMA synchronous = OFF"))
        housekeeper = Housekeeper(journal, clock)
        for first in range(0, jobs, BATCH):
            batch = []
            for number in range(first, min(first + BATCH, jobs)):
                clock.set(start + timedelta(days=360) * number / jobs)
                request = add_request(f"history-{number}", lock, f"8{number:07}", now=clock.now())
                batch.append(await queue(journal, request, clock.now()))
            await journal.move_many(dict.fromkeys(batch, Move(to=JobState.WORKING, is_sent=True)))
            result = {"proof_at": clock.now().isoformat(), "was_there": False}
            proved = Move(to=JobState.PROVED, result=result)
            await journal.move_many(dict.fromkeys(batch, proved))
            await housekeeper.tidy()
        await journal.sweep()


def virtual_addresses(directory: Path, count: int) -> dict[str, str]:
    """Return ids and addresses for ``count`` locks whose sockets are in ``directory``."""
    return {f"lock-{n}": f"virtual:{directory}/lock-{n}.sock" for n in range(count)}


def is_visited(lock: str) -> Callable[[dict[str, Any]], bool]:
    """Return the question whether a lock was visited, to the end, and nothing is left to do."""
    return lambda status: status["locks"][lock]["visits"] > 0 and not status["open_jobs"]


def unique(numbers: Iterable[int]) -> list[str]:
    """Return digits of which none begins like another."""
    return [f"4{number:05}" for number in numbers]


def _silent_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
