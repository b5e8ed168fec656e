"""Locks that outlive the agent, and the air between them, in which pieces of frames may be lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from ttlock_agent.errors import ConnectFailed, LinkLost, LockNotSeen
from ttlock_agent.link import Sighting
from ttlock_protocol.cipher import decrypt
from ttlock_protocol.errors import Refusal
from ttlock_protocol.frame import Frame, FrameDecoder
from ttlock_protocol.keys import LockKeys
from ttlock_protocol.message import Request, decode_request
from ttlock_protocol.messages.passcodes import AddPasscode, GetPasscodes
from ttlock_protocol.virtual import HangUp, Memory, NotConnectable, StoredPasscode, VirtualLock
from virtual_helpers import counting_entropy

from .simulated import Life, TrueClock

ZONE = ZoneInfo("Europe/Berlin")
ADVERTISES_EVERY_S = 2.0
RSSI_DBM = -60


@dataclass(frozen=True, slots=True)
class Executed:
    """A passcode that came into the lock's memory, or left it."""

    digits: str
    is_addition: bool


class Door:
    """A lock with a life of its own. What it carried out is seen in its memory, not in answers."""

    def __init__(self, name: str, memory: Memory, keys: LockKeys) -> None:
        self.name = name
        self.clock = TrueClock()
        self.lock = VirtualLock(memory, entropy=counting_entropy())
        self.keys = keys
        self.executed: list[Executed] = []
        self.arrived: list[Request[Any]] = []
        """Every whole request that reached the lock, whatever became of it there, but for those
        that the lock called damaged on the way."""
        self.is_in_range = True
        self.is_taken = False
        """Somebody else is connected: a phone, a gateway."""
        self.link: DoorLink | None = None

    @property
    def address(self) -> str:
        return f"virtual:{self.name}"

    @property
    def held(self) -> dict[str, StoredPasscode]:
        return {each.passcode: each for each in self.lock.memory.passcodes}

    def receive(self, chunk: bytes) -> None:
        """Let the lock have a piece of a frame."""
        before = self.held
        self.lock.receive(chunk, self.clock.now())
        after = self.held
        self.executed += [Executed(each, True) for each in after.keys() - before.keys()]
        self.executed += [Executed(each, False) for each in before.keys() - after.keys()]

    def note(self, frame: Frame) -> None:
        """Note a whole frame that arrived."""
        with suppress(Exception):  # one that is damaged is for the lock to judge
            payload = decrypt(self.keys.aes_key, frame.payload) if frame.payload else b""
            self.arrived.append(decode_request(frame.command, payload))

    def note_answer(self, frame: Frame) -> None:
        """Note that the lock says it got a damaged frame, and so did nothing."""
        with suppress(Exception):
            _, is_done, refusal = decrypt(self.keys.aes_key, frame.payload)[:3]
            if not is_done and refusal == Refusal.CHECKSUM:
                self.arrived.pop()

    def opens(self, digits: str) -> bool:
        """Type a passcode at the keypad; return whether the door opens."""
        return self.lock.type_code(digits, self.clock.now()).is_opened

    def lose(self, *digits: str) -> None:
        """Lose passcodes behind everybody's back."""
        kept = tuple(each for each in self.lock.memory.passcodes if each.passcode not in digits)
        self.lock._body.change(passcodes=kept)

    def cut(self) -> None:
        """Break the connection, if there is one."""
        if self.link is not None:
            self.link.cut()

    def reboot(self) -> None:
        """Change its batteries."""
        self.cut()
        self.lock.reboot(self.clock.now())

    async def keep_time(self) -> None:
        """Do in time what the lock does by itself, until cancelled."""
        while True:
            now = self.clock.now()
            event_at = self.lock.next_event_at(now)
            pause = timedelta(seconds=1) if event_at is None else event_at - now
            await asyncio.sleep(min(1.0, max(0.01, pause / timedelta(seconds=1))))
            self.lock.tick(self.clock.now())
            if self.link is not None:
                self.link.take_outputs()

    def added_twice(self) -> list[str]:
        """Digits that were added more often than they were taken away, and then some."""
        balance: dict[str, int] = {}
        for each in self.executed:
            balance[each.digits] = balance.get(each.digits, 0) + (1 if each.is_addition else -1)
        return [digits for digits, count in balance.items() if count > 1]

    def asked_blindly(self) -> list[str]:
        """Digits that were sent twice without a reading in between."""
        unread: set[str] = set()
        blindly = []
        for request in self.arrived:
            if isinstance(request, GetPasscodes):
                unread.clear()
            elif isinstance(request, AddPasscode):
                if request.passcode in unread:
                    blindly.append(request.passcode)
                unread.add(request.passcode)
        return blindly


class DoorLink:
    """One connection to a door."""

    manufacturer_data = b""
    rssi_dbm = None

    def __init__(self, door: Door, life: Life, is_lost: Callable[[], bool]) -> None:
        self._door = door
        self._life = life
        self._is_lost = is_lost
        self._decoder = FrameDecoder()
        self._answers = FrameDecoder()
        self._heard: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.is_open = True

    async def write(self, chunk: bytes) -> None:
        await self._life.go_on("before write")
        if self.is_open and self._is_lost():
            self.cut()
        if not self.is_open:
            raise LinkLost("The link is gone.")
        for frame in self._decoder.feed(chunk):
            if isinstance(frame, Frame):
                self._door.note(frame)
        self._door.receive(chunk)
        self.take_outputs()
        await self._life.go_on("after write")

    async def read(self) -> bytes:
        chunk = await self._heard.get() if self.is_open or not self._heard.empty() else None
        if chunk is None:
            raise LinkLost("The link is gone.")
        await self._life.go_on("before hearing")
        if self.is_open and self._is_lost():
            self.cut()
            raise LinkLost("The link is gone.")
        await self._life.go_on("after hearing")
        return chunk

    async def close(self) -> None:
        if not self._life.is_over:
            self.cut()

    def cut(self) -> None:
        if self.is_open:
            self.is_open = False
            self._door.lock.disconnect(self._door.clock.now())
            self._heard.put_nowait(None)

    def take_outputs(self) -> None:
        """Pass on what the lock says, in its own time."""
        later_s = 0.0
        for output in self._door.lock.take_outputs():
            if isinstance(output, HangUp):
                self.is_open = False
                self._after(later_s, None)
            else:
                for frame in self._answers.feed(output.data):
                    if isinstance(frame, Frame):
                        self._door.note_answer(frame)
                later_s += output.after_s
                self._after(later_s, output.data)

    def _after(self, seconds: float, data: bytes | None) -> None:
        if seconds:
            asyncio.get_running_loop().call_later(seconds, self._heard.put_nowait, data)
        else:
            self._heard.put_nowait(data)


class Air:
    """The link port of one life, to doors by address."""

    def __init__(
        self,
        doors: Mapping[str, Door],
        life: Life,
        *,
        is_lost: Callable[[], bool],
        latency_s: float,
    ) -> None:
        self._doors = {door.address.upper(): door for door in doors.values()}
        self._life = life
        self._is_lost = is_lost
        self._latency_s = latency_s

    async def connect(self, address: str, *, timeout_s: float) -> DoorLink:
        door = self._doors[address.upper()]
        await self._life.go_on("before connect")
        if not door.is_in_range:
            await asyncio.sleep(timeout_s)
            raise LockNotSeen("No advertisement arrived.")
        await asyncio.sleep(self._latency_s)
        if door.is_taken:
            raise ConnectFailed("Somebody else is connected.")
        try:
            door.lock.connect(door.clock.now())
        except NotConnectable as error:
            raise ConnectFailed("The lock is taken.") from error
        door.link = DoorLink(door, self._life, self._is_lost)
        await self._life.go_on("after connect")
        return door.link

    async def sightings(self) -> AsyncIterator[Sighting]:
        while True:
            await asyncio.sleep(ADVERTISES_EVERY_S)
            for door in self._doors.values():
                data = door.lock.advertisement(door.clock.now()) if door.is_in_range else None
                if data is not None:
                    yield Sighting(
                        address=door.address,
                        rssi_dbm=RSSI_DBM,
                        manufacturer_data=data,
                        seen_at_monotonic_s=asyncio.get_running_loop().time(),
                    )


def local(at: datetime | None) -> datetime | None:
    """What a lock's clock shows at an instant."""
    return None if at is None else at.astimezone(ZONE).replace(tzinfo=None)
