"""The link to a virtual lock: a Unix socket where others have a radio.

Addresses are ``virtual:<name>``, which stands for ``<runtime directory>/<name>.sock``, or
``virtual:<path>`` with a slash in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from ttlock_agent.clock import Clock
from ttlock_agent.errors import ConnectFailed, LinkLost, LockNotSeen
from ttlock_agent.limits import time_limit

from . import CHUNK_BYTES, Sighting
from .virtual_wire import (
    MAX_LINE_BYTES,
    Advertised,
    Connect,
    Connected,
    Notified,
    RadioEvent,
    Scan,
    Write,
    encode_line,
)

ADDRESS_PREFIX: Final = "virtual:"
CLOSE_LIMIT_S: Final = 5.0
"""How long a lock may take to let go of the link; a local process needs milliseconds."""
SCAN_AGAIN_S: Final = 1.0
"""Pause before the next look for a lock whose process is not there."""

_decoder: Final = msgspec.json.Decoder(RadioEvent)
E = TypeVar("E", bound=msgspec.Struct)


class VirtualLinkFactory:
    """Finds virtual locks and connects to them."""

    def __init__(
        self, runtime_directory: Path, *, clock: Clock, addresses: Iterable[str] = ()
    ) -> None:
        """``addresses`` are the locks whose advertisements :meth:`sightings` tells."""
        self._runtime_directory = runtime_directory
        self._clock = clock
        self._addresses = tuple(addresses)

    def socket_path(self, address: str) -> Path:
        """Return the socket behind ``virtual:...``."""
        name = address.removeprefix(ADDRESS_PREFIX)
        return Path(name) if "/" in name else self._runtime_directory / f"{name}.sock"

    async def connect(self, address: str, *, timeout_s: float) -> VirtualLink:
        """Wait for an advertisement, then connect.

        Raises ``LockNotSeen`` (no process there, or it says nothing) or ``ConnectFailed`` (somebody
        else was faster).
        """
        channel = await _open(self.socket_path(address), address)
        is_seen = False
        try:
            async with time_limit(timeout_s):
                await channel.send(Scan())
                seen = await channel.await_event(Advertised)
                is_seen = True
                await channel.send(Connect())
                await channel.await_event(Connected)
        except (TimeoutError, LinkLost) as cause:
            channel.abort()
            if is_seen:
                raise ConnectFailed(f"{address} advertises and did not let us in.") from cause
            raise LockNotSeen(f"No advertisement of {address} arrived.") from cause
        except BaseException:
            channel.abort()
            raise
        return VirtualLink(channel, seen)

    async def sightings(self) -> AsyncIterator[Sighting]:
        """Advertisements of the locks named at construction, until cancelled."""
        queue: asyncio.Queue[Sighting] = asyncio.Queue()
        # Not a task group: a generator must not yield inside one, for it may be left at any yield.
        watchers = [asyncio.create_task(self._watch(each, queue)) for each in self._addresses]
        getting = None
        try:
            while True:
                getting = asyncio.create_task(queue.get())
                await asyncio.wait({getting, *watchers}, return_when=asyncio.FIRST_COMPLETED)
                for watcher in watchers:
                    if watcher.done():
                        watcher.result()
                yield await getting
        finally:
            tasks = watchers if getting is None else [*watchers, getting]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self, address: str, queue: asyncio.Queue[Sighting]) -> None:
        while True:
            try:
                channel = await _open(self.socket_path(address), address)
                try:
                    await channel.send(Scan())
                    while True:
                        seen = await channel.await_event(Advertised)
                        queue.put_nowait(
                            Sighting(
                                address=address,
                                rssi_dbm=seen.rssi_dbm,
                                manufacturer_data=seen.manufacturer_data,
                                seen_at_monotonic_s=self._clock.monotonic(),
                            )
                        )
                finally:
                    channel.abort()
            except (LockNotSeen, LinkLost):
                await self._clock.sleep(SCAN_AGAIN_S)


class VirtualLink:
    """One connection to a virtual lock."""

    def __init__(self, channel: _Channel, seen: Advertised) -> None:
        self._channel = channel
        self.manufacturer_data = seen.manufacturer_data
        self.rssi_dbm: int | None = seen.rssi_dbm

    async def write(self, chunk: bytes) -> None:
        """Send at most 20 bytes; raises ``LinkLost``, and ``ValueError`` for more."""
        if len(chunk) > CHUNK_BYTES:
            raise ValueError(f"a write has at most {CHUNK_BYTES} bytes")
        await self._channel.send(Write(chunk))

    async def read(self) -> bytes:
        """Return the next notification; raises ``LinkLost`` once the link is gone."""
        return (await self._channel.await_event(Notified)).data

    async def close(self) -> None:
        """End the connection and wait until the lock has let go of it."""
        await self._channel.close()


class _Channel:
    """Lines to and from one lock. A second reader waits for the first: nothing is torn."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._reading = asyncio.Lock()

    async def send(self, message: msgspec.Struct) -> None:
        if self._writer.is_closing():
            raise LinkLost("The link to the virtual lock is closed.")
        try:
            self._writer.write(encode_line(message))
            await self._writer.drain()
        except OSError as error:
            raise LinkLost("The virtual lock's process is gone.") from error

    async def await_event(self, kind: type[E]) -> E:
        """Return the next ``kind``; advertisements in between are passed over."""
        async with self._reading:
            while True:
                event = await self._next()
                if isinstance(event, kind):
                    return event
                if not isinstance(event, Advertised):
                    raise LinkLost("The virtual lock ended the connection.")

    async def close(self) -> None:
        """Say that nothing more comes, wait for the end of the stream, close."""
        try:
            if not self._writer.is_closing():
                self._writer.write_eof()
            async with time_limit(CLOSE_LIMIT_S), self._reading:
                while await self._reader.read(MAX_LINE_BYTES):
                    pass
        except OSError:
            # Includes the time-out: either way nobody is there to say goodbye to.
            pass
        finally:
            self.abort()

    def abort(self) -> None:
        """Close at once."""
        self._writer.transport.abort()

    async def _next(self) -> RadioEvent:
        try:
            line = await self._reader.readline()
        except (OSError, ValueError) as error:
            raise LinkLost("The virtual lock's process is gone.") from error
        if not line.endswith(b"\n"):
            raise LinkLost("The virtual lock's process is gone.")
        try:
            event: RadioEvent = _decoder.decode(line)
        except msgspec.DecodeError as error:
            raise LinkLost("The virtual lock said something that is not understood.") from error
        return event


async def _open(path: Path, address: str) -> _Channel:
    try:
        reader, writer = await asyncio.open_unix_connection(path, limit=MAX_LINE_BYTES)
    except OSError as error:
        raise LockNotSeen(
            f"No virtual lock runs behind {address}: {error.strerror or error}.",
            hint="Start it with `ttlock-agent virtual-lock --state FILE --socket PATH`.",
        ) from error
    return _Channel(reader, writer)
