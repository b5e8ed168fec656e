"""The socket that stands for a virtual lock's radio, keypad and screws.

It owns one lock and its state file. Whatever changes the lock is on disk before anybody is told, so
that a lock which was killed has not forgotten what it confirmed.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Protocol

import msgspec
import structlog

from ttlock_agent.clock import Clock
from ttlock_agent.limits import time_limit
from ttlock_agent.link import CHUNK_BYTES
from ttlock_agent.link.virtual_wire import (
    MAX_LINE_BYTES,
    Advertised,
    Connect,
    Connected,
    Disconnected,
    Notified,
    Refused,
    Scan,
    Write,
    encode_line,
)
from ttlock_protocol.errors import LocalProtocolError
from ttlock_protocol.virtual import (
    Faults,
    KeypadResult,
    Memory,
    NotConnectable,
    Notify,
    Output,
    VirtualLock,
    load_fault_plan,
    to_plain,
)

from .control import (
    ControlRequest,
    Done,
    Inside,
    Inspect,
    PresentCard,
    PresentFinger,
    PressReset,
    Reboot,
    ServiceRequest,
    SetFaults,
    ShiftClock,
    Touch,
    TurnKey,
    TypeCode,
    Typed,
    Wrong,
    request_decoder,
)

ADVERTISING_INTERVAL_S: Final = 1.0
RSSI_DBM: Final = -60
_FOREVER_S: Final = 24 * 3600.0
SOCKET_MODE: Final = 0o600

Save = Callable[[Memory], None]
Watch = Callable[[Memory, Memory], None]
log = structlog.get_logger()


class Central(Protocol):
    """Whoever may hold the lock's one slot: a client of the socket, or of the air."""

    def notify(self, outputs: list[Output]) -> None:
        """Take what the lock says, in order."""
        ...


class VirtualLockServer:
    """Serves one lock to any number of clients, one of which may be connected to its radio."""

    def __init__(
        self, lock: VirtualLock, *, clock: Clock, save: Save, watch: Watch = lambda *_: None
    ) -> None:
        """``save`` keeps a memory safe before it returns; ``watch`` hears of (old, new) ones."""
        self.changed = asyncio.Event()
        """Set whenever something happened that may show in the advertisement; for one listener."""
        self._lock = lock
        self._clock = clock
        self._save = save
        self._watch = watch
        self._saved = lock.durable_memory
        self._clients: set[_Client] = set()
        self._central: Central | None = None
        self._nap: asyncio.Timeout | None = None
        self._advertise_at_s = clock.monotonic()

    async def serve(self, socket_path: Path, *, on_ready: Callable[[], None]) -> None:
        """Listen on ``socket_path`` until cancelled; ``on_ready`` is called once it does."""
        async with asyncio.TaskGroup() as group:
            server = await asyncio.start_unix_server(
                lambda reader, writer: group.create_task(self._talk(reader, writer)),
                socket_path,
                limit=MAX_LINE_BYTES,
            )
            try:
                _protect(socket_path)
                on_ready()
                await self._keep_time()
            finally:
                server.close()
                _remove(socket_path)

    def type_code(self, digits: str) -> KeypadResult:
        """Type ``digits`` and confirm; raises ``LocalProtocolError`` for other than digits."""
        result = self._lock.type_code(digits, self._now())
        self._settle()
        return result

    @property
    def memory(self) -> Memory:
        """All that the lock holds right now."""
        return self._lock.memory

    def advertisement(self) -> bytes | None:
        """Return the manufacturer data on air now, ``None`` while there is none."""
        return self._lock.advertisement(self._now())

    def connect(self, central: Central) -> None:
        """Give the slot to ``central``; raises ``NotConnectable``."""
        self._lock.connect(self._now())
        self._seat(central)

    def write(self, central: Central, data: bytes) -> bool:
        """Take a write; False when ``central`` does not hold the slot, or wrote too much."""
        if central is not self._central or len(data) > CHUNK_BYTES:
            return False
        self._lock.receive(data, self._now())
        self._settle()
        return True

    def leave(self, central: Central) -> None:
        """Note that ``central`` is gone; harmless when it did not hold the slot."""
        if self._central is central:
            self._central = None
            self._lock.disconnect(self._now())
            self._settle()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = _Client(writer, self._clock)
        self._clients.add(client)
        try:
            async with asyncio.TaskGroup() as group:
                sender = group.create_task(client.send_all())
                await self._listen(client, reader)
                self.leave(client)
                sender.cancel()
        finally:
            self._clients.discard(client)
            writer.close()

    async def _listen(self, client: _Client, reader: asyncio.StreamReader) -> None:
        """Carry out what a client says until it has nothing more to say, or nonsense."""
        while client.is_welcome:
            try:
                line = await reader.readline()
                if not line.endswith(b"\n"):
                    return
                request = request_decoder.decode(line)
            except (OSError, ValueError, msgspec.DecodeError) as error:
                log.info("virtual_lock_client_dropped", reason=type(error).__name__)
                return
            match request:
                case Scan():
                    client.is_scanning = True
                    self._advertise((client,))
                    self._wake()
                case Connect():
                    self._connect(client)
                case Write(data):
                    if not self.write(client, data):
                        return
                case _:
                    client.tell(self._control(request))

    def _connect(self, client: _Client) -> None:
        try:
            self._lock.connect(self._now())
        except NotConnectable as error:
            client.tell(Refused(str(error)))
            return
        client.tell(Connected())
        self._seat(client)

    def _seat(self, central: Central) -> None:
        self._central = central
        self._settle()

    def _control(self, request: ControlRequest) -> msgspec.Struct:
        try:
            answer = self._carry_out(request)
        except LocalProtocolError as error:
            return Wrong(str(error))
        self._settle()
        return answer

    def _carry_out(self, request: ControlRequest) -> msgspec.Struct:
        now = self._now()
        match request:
            case TypeCode(digits):
                return _typed(self._lock.type_code(digits, now))
            case PresentCard(number):
                return _typed(self._lock.present_card(number, now))
            case PresentFinger(fingerprint):
                return _typed(self._lock.present_finger(fingerprint, now))
            case Touch():
                self._lock.touch(now)
                self._advertise(self._clients)
            case TurnKey():
                self._lock.turn_key(now)
            case _:
                return self._service(request)
        return Done()

    def _service(self, request: ServiceRequest) -> msgspec.Struct:
        now = self._now()
        match request:
            case Inspect():
                return Inside(
                    memory=to_plain(self._lock.memory),
                    local_time=self._lock.local_time(now).isoformat(),
                    battery_percent=self._lock.battery_percent(now),
                    is_connected=self._lock.is_connected,
                )
            case SetFaults(document):
                self._lock.set_faults(seeded_faults(document))
            case ShiftClock(seconds):
                self._lock.shift_clock(seconds)
            case Reboot():
                self._lock.reboot(now)
            case PressReset():
                if not self._lock.press_reset_button(now):
                    return Wrong("the reset button is switched off")
        return Done()

    def _settle(self) -> None:
        """After anything that may have changed the lock: save, only then tell."""
        memory = self._lock.durable_memory
        if memory is not self._saved:
            self._save(memory)
            before, self._saved = self._saved, memory
            self._watch(before, memory)
        outputs = self._lock.take_outputs()
        if self._central is not None:
            self._central.notify(outputs)
            if not self._lock.is_connected:
                self._central = None
        self.changed.set()
        self._wake()

    async def _keep_time(self) -> None:
        """Let happen in time what the lock does by itself."""
        while True:
            try:
                async with time_limit(None) as self._nap:
                    await self._clock.sleep(self._pause_s())
            except TimeoutError:
                pass
            self._nap = None
            self._lock.tick(self._now())
            self._settle()
            if self._clock.monotonic() >= self._advertise_at_s:
                self._advertise(self._clients)

    def _pause_s(self) -> float:
        pauses = [_FOREVER_S]
        event_at = self._lock.next_event_at(self._now())
        if event_at is not None:
            pauses.append((event_at - self._now()) / timedelta(seconds=1))
        if any(each.is_scanning for each in self._clients):
            pauses.append(self._advertise_at_s - self._clock.monotonic())
        return max(0.0, min(pauses))

    def _wake(self) -> None:
        """End the pause: there may be something new to wait for."""
        if self._nap is not None and not self._nap.expired():
            self._nap.reschedule(0.0)

    def _advertise(self, clients: set[_Client] | tuple[_Client, ...]) -> None:
        data = self._lock.advertisement(self._now())
        self._advertise_at_s = self._clock.monotonic() + ADVERTISING_INTERVAL_S
        if data is None:
            return
        message = Advertised(mac=self._lock.memory.mac, manufacturer_data=data, rssi_dbm=RSSI_DBM)
        for client in clients:
            if client.is_scanning:
                client.tell(message)

    def _now(self) -> datetime:
        return self._clock.now()


class _Client:
    """One client: what is still to be told to it goes out in order, delays included."""

    def __init__(self, writer: asyncio.StreamWriter, clock: Clock) -> None:
        self._writer = writer
        self._clock = clock
        self._queue: asyncio.Queue[tuple[float, msgspec.Struct]] = asyncio.Queue()
        self.is_scanning = False
        self.is_welcome = True

    def tell(self, message: msgspec.Struct, *, after_s: float = 0.0) -> None:
        self._queue.put_nowait((after_s, message))

    def notify(self, outputs: list[Output]) -> None:
        for output in outputs:
            if isinstance(output, Notify):
                self.tell(Notified(output.data), after_s=output.after_s)
            else:
                self.tell(Disconnected())

    async def send_all(self) -> None:
        while True:
            after_s, message = await self._queue.get()
            if after_s:
                await self._clock.sleep(after_s)
            try:
                self._writer.write(encode_line(message))
                await self._writer.drain()
            except OSError:
                return
            if isinstance(message, Disconnected):
                self.is_welcome = False
                self._writer.close()
                return


def seeded_faults(document: object) -> Faults:
    """Return the plan in ``document`` (JSON) at work; raises ``StateError``."""
    plan = load_fault_plan(document)
    # Numbers that a seed reproduces are wanted here, not unpredictable ones.
    return Faults(plan, draw=random.Random(plan.seed).random)  # noqa: S311


def _typed(result: KeypadResult) -> Typed:
    return Typed(result.is_opened, result.reason)


def _protect(socket_path: Path) -> None:
    """Whoever may open the socket may read the lock's secrets."""
    socket_path.chmod(SOCKET_MODE)


def _remove(socket_path: Path) -> None:
    socket_path.unlink(missing_ok=True)
