"""A lock at no distance: the agent's link port with a virtual lock right behind it.

Nothing is lost, and nothing waits unless told to, so what is measured is the code on both sides.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from ttlock_agent.errors import ConnectFailed, LinkLost
from ttlock_agent.link import Sighting
from ttlock_protocol.cipher import decrypt
from ttlock_protocol.frame import Frame, FrameDecoder
from ttlock_protocol.keys import LockKeys
from ttlock_protocol.message import Request, decode_request
from ttlock_protocol.messages.cards import CardRecord
from ttlock_protocol.virtual import Memory, NotConnectable, Notify, VirtualLock, new_lock
from ttlock_protocol.virtual.memory import Capacity

KEYS = LockKeys(
    aes_key=bytes.fromhex("00112233445566778899aabbccddeeff"),
    admin_secret=11223344,
    unlock_key=55667788,
)
ZONE = ZoneInfo("Europe/Berlin")
FROM = datetime(2026, 7, 1, 15, 0)  # noqa: DTZ001 - lock-local
UNTIL = datetime(2026, 7, 8, 11, 0)  # noqa: DTZ001 - lock-local


def memory(*, passcodes: int = 0, cards: int = 0) -> Memory:
    """Return a lock with a right clock, space enough, and that many passcodes and cards."""
    lock = new_lock(
        mac="AA:BB:CC:00:00:01",
        name="bench",
        keys=KEYS,
        now=datetime.now(UTC),
        zone=ZONE,
        permanent_passcodes=(f"7{number:05}" for number in range(passcodes)),
    )
    return replace(
        lock,
        capacity=Capacity(passcodes=2000, cards=2000),
        cards=tuple(
            CardRecord(card_number=number.to_bytes(4, "big"), valid_from=FROM, valid_until=UNTIL)
            for number in range(1, cards + 1)
        ),
    )


def awake(lock: Memory) -> VirtualLock:
    """Return the lock itself."""
    return VirtualLock(lock, entropy=secrets.token_bytes)


class NearLink:
    """One connection; keeps what went over it."""

    manufacturer_data = b""
    rssi_dbm = None

    def __init__(self, lock: VirtualLock, delay_s: float) -> None:
        self._lock = lock
        self._delay_s = delay_s
        self._notifications: deque[bytes] = deque()
        self.said: list[bytes] = []
        self.heard: list[bytes] = []

    async def write(self, chunk: bytes) -> None:
        self.said.append(chunk)
        self._lock.receive(chunk, datetime.now(UTC))

    async def read(self) -> bytes:
        if not self._notifications:
            if self._delay_s:
                await asyncio.sleep(self._delay_s)
            for output in self._lock.take_outputs():
                if not isinstance(output, Notify):
                    raise LinkLost("The lock hung up.")
                self._notifications.append(output.data)
        if not self._notifications:
            raise AssertionError("the lock owes an answer, and nobody else will make it speak")
        chunk = self._notifications.popleft()
        self.heard.append(chunk)
        return chunk

    def forget(self) -> None:
        """Forget what went over the link so far."""
        self.said.clear()
        self.heard.clear()

    async def close(self) -> None:
        self._lock.disconnect(datetime.now(UTC))


class NearLinks:
    """A link factory for locks by address.

    ``links`` are all connections that were made; in those to come an answer takes ``delay_s``.
    """

    def __init__(self, locks: Mapping[str, VirtualLock]) -> None:
        self._locks = locks
        self.links: list[NearLink] = []
        self.delay_s = 0.0

    async def connect(self, address: str, *, timeout_s: float) -> NearLink:
        lock = self._locks[address]
        try:
            lock.connect(datetime.now(UTC))
        except NotConnectable as error:
            raise ConnectFailed("The lock is taken.") from error
        self.links.append(NearLink(lock, self.delay_s))
        return self.links[-1]

    async def sightings(self) -> AsyncIterator[Sighting]:
        await asyncio.Event().wait()
        yield Sighting(address="", rssi_dbm=None, manufacturer_data=b"", seen_at_monotonic_s=0.0)


def requests_in(said: list[bytes]) -> list[Request[object]]:
    """Return what was asked for, in order."""
    frames = FrameDecoder().feed(b"".join(said))
    found = []
    for frame in frames:
        assert isinstance(frame, Frame)
        payload = decrypt(KEYS.aes_key, frame.payload) if frame.payload else b""
        found.append(decode_request(frame.command, payload))
    return found
