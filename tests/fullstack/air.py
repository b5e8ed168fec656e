"""A virtual lock within radio range of a fake adapter."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from ttlock_protocol.virtual import Notify, VirtualLock

NEVER_S = 3600.0


class AirLock:
    """Drives a ``VirtualLock`` for one central at a time, in real time."""

    def __init__(self, lock: VirtualLock) -> None:
        self.lock = lock
        self.is_in_range = True
        self.rssi_dbm = -60
        self.writes: list[bytes] = []
        """All chunks that arrived, in order."""
        self._notify: Callable[[bytes], None] | None = None
        self._hang_up: Callable[[], None] | None = None
        self._outputs: asyncio.Queue[object] = asyncio.Queue()
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def mac(self) -> str:
        return self.lock.memory.mac

    def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._send_outputs()),
            asyncio.create_task(self._keep_time()),
        ]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def advertisement(self) -> bytes | None:
        return self.lock.advertisement(datetime.now(UTC)) if self.is_in_range else None

    def connect(self, notify: Callable[[bytes], None], hang_up: Callable[[], None]) -> None:
        """Take the slot; raises ``NotConnectable``."""
        self.lock.connect(datetime.now(UTC))
        self._notify, self._hang_up = notify, hang_up
        self._settle()

    def receive(self, data: bytes) -> None:
        self.writes.append(data)
        self.lock.receive(data, datetime.now(UTC))
        self._settle()

    def disconnect(self) -> None:
        """The central is gone; what was to be said to it is not said."""
        self._notify = self._hang_up = None
        while not self._outputs.empty():
            self._outputs.get_nowait()
        self.lock.disconnect(datetime.now(UTC))
        self._settle()

    def _settle(self) -> None:
        for output in self.lock.take_outputs():
            if self._notify is not None:
                self._outputs.put_nowait(output)
        self._wake.set()

    async def _send_outputs(self) -> None:
        while True:
            output = await self._outputs.get()
            if isinstance(output, Notify):
                await asyncio.sleep(output.after_s)
                if self._notify is not None:
                    self._notify(output.data)
            elif self._hang_up is not None:
                self._hang_up()

    async def _keep_time(self) -> None:
        while True:
            now = datetime.now(UTC)
            event_at = self.lock.next_event_at(now)
            pause_s = NEVER_S
            if event_at is not None:
                pause_s = max(0.0, (event_at - now) / timedelta(seconds=1))
            self._wake.clear()
            try:
                async with asyncio.timeout(pause_s):
                    await self._wake.wait()
            except TimeoutError:
                self.lock.tick(datetime.now(UTC))
                self._settle()
