"""Simulated time, and one life of the agent's process within it.

The loop never waits: when nobody has anything to do, time jumps to the next moment at which
somebody wants to wake up. The journal's thread works inline, so that a run is the same each time.
"""

from __future__ import annotations

import asyncio
import selectors
import sqlite3
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from ttlock_agent.jobs.database import _named_errors

T = TypeVar("T")

START = datetime(2026, 3, 14, 8, 0, tzinfo=UTC)
STUCK_S = 5.0
"""Real seconds without any news, while nobody waits for a time."""
MAX_CLEANUPS = 100


class _Selector(selectors.DefaultSelector):
    """Looks for real news without waiting for them; lets time pass instead."""

    def __init__(self) -> None:
        super().__init__()
        self.pass_time: Callable[[float], None] = lambda _seconds: None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            ready = super().select(STUCK_S)
            assert ready, "everybody waits for ever"
            return ready
        self.pass_time(max(timeout, 0.0))
        return ready


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is nobody's but its own."""

    def __init__(self, start: datetime = START) -> None:
        selector = _Selector()
        super().__init__(selector)
        self.start = start
        self._now_s = 0.0
        selector.pass_time = self._pass_time

    def time(self) -> float:
        return self._now_s

    def _pass_time(self, seconds: float) -> None:
        self._now_s += seconds


def run(main: Coroutine[Any, Any, T], *, start: datetime = START) -> T:
    """Run ``main`` in simulated time, which begins at ``start``."""
    with asyncio.Runner(loop_factory=lambda: SimulatedLoop(start)) as runner:
        return runner.run(main)


class TrueClock:
    """The time that locks and people live by."""

    def now(self) -> datetime:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimulatedLoop)
        return loop.start + timedelta(seconds=loop.time())

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class PiClock(TrueClock):
    """What the agent's machine takes for the time: ``error_s`` ahead of it."""

    def __init__(self) -> None:
        self.error_s = 0.0
        self.is_synchronised_now: bool | None = None

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self.error_s)

    async def is_synchronised(self) -> bool | None:
        """The port of :mod:`ttlock_agent.timesync`."""
        return self.is_synchronised_now


class Life:
    """One life of the agent's process: counts its steps, and may end at one of them.

    A step is an act that leaves a trace outside of the process. Once the life is over, nothing it
    still tries leaves any.
    """

    def __init__(
        self,
        *,
        dies_at: int | None = None,
        on_death: Callable[[], None],
        struck_at: int | None = None,
        on_strike: Callable[[], None] = lambda: None,
    ) -> None:
        """``on_strike`` is called at the step ``struck_at``, right before it is done."""
        self.steps: list[str] = []
        self.is_over = False
        self.is_swept = False
        """Whoever still waits is let go, by errors."""
        self.is_disk_bad_at_start = False
        self.ended = asyncio.Event()
        self._dies_at = dies_at
        self._struck_at = struck_at
        self._on_strike = on_strike
        self._on_death = on_death

    def step(self, name: str) -> bool:
        """Note a step; return whether the process lives on after it."""
        if self.is_over:
            return False
        self.steps.append(name)
        if len(self.steps) == self._struck_at:
            self._on_strike()
        if len(self.steps) == self._dies_at:
            self.die()
        return not self.is_over

    def die(self) -> None:
        """End now: what SIGKILL does."""
        if not self.is_over:
            self.is_over = True
            self._on_death()
            self.ended.set()

    async def go_on(self, name: str) -> None:
        """Note a step; never return if it is the last one."""
        if not self.step(name):
            await self.freeze()

    async def freeze(self) -> None:
        """Never go on."""
        await asyncio.Event().wait()


class Disk:
    """The journal's one thread, inline. What is asked of it are steps; it may be out of order."""

    def __init__(self, life: Life, disk: DiskState) -> None:
        self._life = life
        self._disk = disk

    def submit(self, function: Callable[..., T], *args: Any) -> Future[T]:
        name = function.__name__
        if name == "_close":
            return _result_of(function, *args)
        if self._life.is_over:
            if self._life.is_swept:
                raise RuntimeError("the process is gone")
            return Future()
        if name == "_read":
            return _result_of(function, *args)
        step = "checkpoint" if name == "_checkpoint" else "commit"
        if not self._life.step(f"before {step}"):
            return Future()
        outcome = _result_of(self._disk.filled(function), *args)
        return outcome if self._life.step(f"after {step}") else Future()

    def shutdown(self, *, wait: bool) -> None:
        assert not wait


class DiskState:
    """How the disk is doing, whoever uses it."""

    def __init__(self) -> None:
        self.error: int | None = None
        """What SQLite says of every write, as one of its codes."""

    def filled(self, function: Callable[..., T]) -> Callable[..., T]:
        """Return ``function`` as this disk carries it out."""
        name = function.__name__
        if self.error is None or (self.error == sqlite3.SQLITE_FULL and name == "_open"):
            return function  # opening takes no space

        def fail(*_: Any) -> T:
            with _named_errors():
                error = sqlite3.OperationalError("the disk is as the weather wants it")
                error.sqlite_errorcode = self.error or 0
                error.sqlite_errorname = "SIMULATED"
                raise error

        return fail


def _result_of(function: Callable[..., T], *args: Any) -> Future[T]:
    future: Future[T] = Future()
    try:
        future.set_result(function(*args))
    except Exception as error:
        future.set_exception(error)
    return future


async def put_down(task: asyncio.Task[Any], life: Life) -> None:
    """Take away what is left of a process that has ended."""
    life.is_swept = True
    for _ in range(MAX_CLEANUPS):
        task.cancel()
        await asyncio.wait({task}, timeout=1)
        if task.done():
            break
    assert task.done(), "the agent cannot be stopped"
    with suppress(BaseException):
        task.result()
