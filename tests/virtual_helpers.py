"""A virtual lock on the bench, and time that stands still until a test moves it."""

# ruff: noqa: DTZ001 - lock-local times are naive
import asyncio
import heapq
import itertools
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from ttlock_protocol.errors import CommandRefused, Refusal
from ttlock_protocol.keys import LockKeys
from ttlock_protocol.message import Request, Response
from ttlock_protocol.messages.passcodes import PasscodeType
from ttlock_protocol.procedures import authenticate_admin
from ttlock_protocol.virtual import (
    Fault,
    FaultPlan,
    Faults,
    KeypadReason,
    Memory,
    StoredPasscode,
    VirtualLock,
    new_lock,
)
from ttlock_protocol.virtual.central import Central

KEYS = LockKeys(
    aes_key=bytes.fromhex("a1b2c3d4e5f60718293a4b5c6d7e8f90"),
    admin_secret=123456789,
    unlock_key=987654321,
    user_id=12345678,
)
MAC = "AA:BB:CC:11:22:33"
ZONE = timezone(timedelta(hours=1))
NOW = datetime(2026, 3, 14, 8, 0, tzinfo=UTC)
"""Saturday, nine o'clock at the lock."""
LOCAL = datetime(2026, 3, 14, 9, 0)


def paired(**changes: Any) -> Memory:
    """Return the memory of a lock that is paired with ``KEYS``."""
    memory = new_lock(mac=MAC, name="S999_332211", keys=KEYS, now=NOW, zone=ZONE)
    return replace(memory, **changes)


def stored(digits: str, **changes: Any) -> StoredPasscode:
    """Return a permanent passcode as the lock holds it, or what ``changes`` make of it."""
    passcode = StoredPasscode(
        passcode_type=PasscodeType.PERMANENT,
        passcode=digits,
        original_passcode=digits,
        valid_from=LOCAL,
    )
    return replace(passcode, **changes)


def counting_entropy() -> Callable[[int], bytes]:
    """Return bytes that differ at each call and are the same in each run."""
    count = itertools.count(1)
    return lambda size: next(count).to_bytes(size, "big")


class Bench:
    """One lock and a clock on the wall."""

    def __init__(self, memory: Memory | None = None, *faults: Fault) -> None:
        self.lock = VirtualLock(memory or paired(), entropy=counting_entropy())
        self.now = NOW
        if faults:
            self.set_faults(*faults)

    @property
    def memory(self) -> Memory:
        return self.lock.memory

    def set_faults(self, *faults: Fault, draw: Callable[[], float] = lambda: 0.0) -> None:
        self.lock.set_faults(Faults(FaultPlan(faults=faults), draw=draw))

    def advance(self, seconds: float) -> None:
        """Let time pass, and everything that happens by itself happen when it is due."""
        end = self.now + timedelta(seconds=seconds)
        while (event_at := self.lock.next_event_at(self.now)) is not None and event_at <= end:
            self.now = max(event_at, self.now)
            self.lock.tick(self.now)
        self.now = end
        self.lock.tick(end)

    def type(self, digits: str) -> KeypadReason:
        return self.lock.type_code(digits, self.now).reason

    def central(self, key: bytes = KEYS.aes_key) -> Central:
        return Central(self.lock, key=key, clock=lambda: self.now)

    def admin(self) -> Central:
        """Connect as the administrator."""
        central = self.central()
        central.run(authenticate_admin(KEYS))
        return central

    def ask(self, *requests: Request[Any]) -> Response:
        """Ask as the administrator in a connection of its own; return the last answer."""
        central = self.admin()
        try:
            answers = [central.request(each) for each in requests]
        finally:
            central.close()
        return answers[-1]


def refusal_of(ask: Callable[..., object], *arguments: object) -> Refusal:
    """Return why the lock refuses what it is asked, which it must."""
    with pytest.raises(CommandRefused) as refused:
        ask(*arguments)
    return refused.value.refusal


class ManualClock:
    """The clock port, moved by hand. ``advance`` wakes sleepers in their order."""

    def __init__(self, now: datetime = NOW) -> None:
        self._now = now
        self._monotonic_s = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Event]] = []
        self._order = itertools.count()

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic_s

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken = asyncio.Event()
        heapq.heappush(self._sleepers, (self._monotonic_s + seconds, next(self._order), woken))
        await woken.wait()

    async def advance(self, seconds: float) -> None:
        """Move on, stopping wherever somebody wants to wake up."""
        end_s = self._monotonic_s + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end_s:
            due_s, _, woken = heapq.heappop(self._sleepers)
            self._move_to(max(due_s, self._monotonic_s))
            woken.set()
            await settle()
        self._move_to(end_s)
        await settle()

    def jump(self, seconds: float) -> None:
        """Set the wall clock, as a time service does."""
        self._now += timedelta(seconds=seconds)

    def _move_to(self, monotonic_s: float) -> None:
        self._now += timedelta(seconds=monotonic_s - self._monotonic_s)
        self._monotonic_s = monotonic_s


async def settle() -> None:
    """Let every task that can run, run."""
    for _ in range(20):
        await asyncio.sleep(0)
