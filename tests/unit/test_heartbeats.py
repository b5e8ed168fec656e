"""The watchdog is fed by progress: a task that stands still is not fed for."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from ttlock_agent.errors import JournalError, JournalProblem
from ttlock_agent.heartbeats import Heartbeats
from ttlock_agent.herald import LOOK_EVERY_S, Herald
from ttlock_agent.link.observed import ObservedLinks
from ttlock_agent.systemd import Notifier


class StepClock:
    """Time that passes by sleeping, and stops the sleeper after a number of naps."""

    def __init__(self, naps: int = 0) -> None:
        self.time_s = 1000.0
        self.naps = naps

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.time_s, UTC)

    def monotonic(self) -> float:
        return self.time_s

    async def sleep(self, seconds: float) -> None:
        if self.naps == 0:
            raise asyncio.CancelledError
        self.naps -= 1
        self.time_s += seconds


class Ear(Notifier):
    """Hears what would go to the service manager."""

    def __init__(self) -> None:
        super().__init__(None)
        self.heard: list[str] = []

    def _send(self, message: str) -> bool:
        self.heard.append(message)
        return True


def test_a_loop_is_overdue_only_after_its_own_limit() -> None:
    clock = StepClock()
    hearts = Heartbeats(clock)
    beat = hearts.loop("radio", limit_s=10)
    hearts.loop("deadlines", limit_s=100)
    clock.time_s += 10
    assert hearts.overdue() == []
    clock.time_s += 0.1
    assert hearts.overdue() == ["radio"]
    beat()
    assert hearts.overdue() == []


def test_a_duty_is_watched_only_while_it_lasts() -> None:
    clock = StepClock()
    hearts = Heartbeats(clock)
    with hearts.duty("requests", limit_s=10):
        clock.time_s += 11
        assert hearts.overdue() == ["requests"]
    assert hearts.overdue() == []
    clock.time_s += 1000
    assert hearts.overdue() == []


def test_a_duty_that_fails_is_over() -> None:
    hearts = Heartbeats(clock := StepClock())
    with pytest.raises(ValueError, match="it"), hearts.duty("requests", limit_s=10):
        raise ValueError("it")
    clock.time_s += 11
    assert hearts.overdue() == []


async def herald(
    clock: StepClock, hearts: Heartbeats, lines: list[str], *, interval_s: float | None = 20.0
) -> list[str]:
    async def summary() -> str:
        return lines.pop(0) if len(lines) > 1 else lines[0]

    ear = Ear()
    with pytest.raises(asyncio.CancelledError):
        await Herald(
            ear, hearts, summary=summary, clock=clock, watchdog_interval_s=interval_s
        ).run()
    return ear.heard


async def test_it_is_fed_while_everything_moves_and_says_each_change_once() -> None:
    heard = await herald(StepClock(naps=2), Heartbeats(StepClock()), ["a", "a", "b"])
    assert heard == ["WATCHDOG=1", "STATUS=a", "WATCHDOG=1", "WATCHDOG=1", "STATUS=b"]


async def test_a_stuck_task_stops_the_feeding_and_is_named() -> None:
    clock = StepClock(naps=2)
    hearts = Heartbeats(clock)
    hearts.loop("radio", limit_s=LOOK_EVERY_S + 1)
    heard = await herald(clock, hearts, ["a"])
    assert heard == ["WATCHDOG=1", "STATUS=a", "WATCHDOG=1", "STATUS=stuck: radio; a"]


async def test_a_short_watchdog_is_fed_as_often_as_it_wants() -> None:
    clock = StepClock(naps=3)
    started_s = clock.time_s
    await herald(clock, Heartbeats(clock), ["a"], interval_s=1.0)
    assert clock.time_s - started_s == 3.0


async def test_without_a_watchdog_there_is_a_status_all_the_same() -> None:
    heard = await herald(StepClock(naps=1), Heartbeats(StepClock()), ["a"], interval_s=None)
    assert heard == ["STATUS=a"]


async def test_a_journal_that_fails_is_the_status() -> None:
    async def summary() -> str:
        raise JournalError("The disk is full.", problem=JournalProblem.DISK_FULL)

    ear, clock = Ear(), StepClock()
    with pytest.raises(asyncio.CancelledError):
        await Herald(
            ear, Heartbeats(clock), summary=summary, clock=clock, watchdog_interval_s=20
        ).run()
    assert ear.heard == ["WATCHDOG=1", "STATUS=journal unusable: The disk is full."]


class _Link:
    manufacturer_data = b""
    rssi_dbm = None

    def __init__(self) -> None:
        self.calls: list[str] = []

    async def write(self, chunk: bytes) -> None:
        self.calls.append(f"write {chunk.hex()}")

    async def read(self) -> bytes:
        self.calls.append("read")
        return b"\x01"

    async def close(self) -> None:
        self.calls.append("close")


class _Factory:
    def __init__(self) -> None:
        self.link = _Link()

    async def connect(self, address: str, *, timeout_s: float) -> _Link:
        self.link.calls.append(f"connect {address} {timeout_s}")
        return self.link

    def sightings(self) -> str:
        return "sightings"


async def test_traffic_on_a_link_is_progress() -> None:
    beats: list[str] = []
    factory = _Factory()
    links = ObservedLinks(factory, lambda: beats.append("beat"))  # type: ignore[arg-type]
    assert links.sightings() == "sightings"  # type: ignore[comparison-overlap]
    link = await links.connect("AA", timeout_s=3)
    assert len(beats) == 1
    await link.write(b"\x02")
    assert len(beats) == 1, "what we say ourselves is no sign of life"
    assert await link.read() == b"\x01"
    assert len(beats) == 2
    await link.close()
    assert factory.link.calls == ["connect AA 3", "write 02", "read", "close"]
