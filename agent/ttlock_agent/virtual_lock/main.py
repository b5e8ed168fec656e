"""The virtual lock's process; the command line calls :func:`serve`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, TextIO

from ttlock_agent.clock import Clock
from ttlock_agent.errors import ConfigError
from ttlock_protocol.virtual import Faults, Memory, StateError, VirtualLock

from .server import VirtualLockServer, seeded_faults
from .state_file import StateFile, write_state
from .terminal import PROMPT, describe_change, read_keypad

OnAir = Callable[[VirtualLockServer], AbstractAsyncContextManager[None]]


def create_state(path: Path, memory: Memory) -> None:
    """Save a new lock, as :func:`ttlock_protocol.virtual.new_lock` returns it.

    Raises ``ConfigError`` when the file is there already: that may be somebody's only lock.
    """
    if path.exists():
        raise ConfigError(
            f"The state file {path} is there already.", hint="Name another file, or remove it."
        )
    write_state(path, memory)


def read_faults(path: Path) -> Faults:
    """Return the fault plan in the JSON file ``path``; raises ``ConfigError``."""
    try:
        return seeded_faults(json.loads(path.read_text("utf-8")))
    except OSError as error:
        why = f"cannot be read: {error.strerror}"
    except StateError as error:
        why = f"cannot be used: {error}"
    except (ValueError, RecursionError):
        why = "is not JSON"
    raise ConfigError(
        f"The fault plan {path} {why}.",
        hint='Write, for instance, {"faults": [{"action": "lose", "at": "answer", "nth": 1}]}.',
    )


async def serve(
    state_path: Path,
    socket_path: Path,
    clock: Clock,
    *,
    has_keypad: bool = False,
    source: TextIO | None = None,
    out: TextIO | None = None,
    faults: Faults | None = None,
    on_air: OnAir = lambda _: contextlib.nullcontext(),
) -> None:
    """Run the lock of ``state_path`` on ``socket_path`` until cancelled.

    ``faults`` are what goes wrong on the way. ``on_air`` puts the lock on some air as well, for as
    long as the context that it returns lasts.

    Writes ``{"event":"ready",...}`` to ``out`` (standard output) as one line once it can be
    reached. With ``has_keypad``, lines of ``source`` (standard input) are typed, people read what
    happens on ``out``, and the end of the input ends the lock. Raises ``ConfigError``.
    """
    source, out = source or sys.stdin, out or sys.stdout
    with StateFile(state_path) as file:
        lock = VirtualLock(file.load(), entropy=secrets.token_bytes, faults=faults)

        def tell(before: Memory, after: Memory) -> None:
            for change in describe_change(before, after) if has_keypad else ():
                _write_line(out, change)

        def announce() -> None:
            ready: dict[str, Any] = {
                "event": "ready",
                "mac": lock.memory.mac,
                "name": lock.memory.name,
                "socket": str(socket_path),
            }
            _write_line(out, json.dumps(ready))
            if has_keypad:
                _write_line(out, PROMPT)

        server = VirtualLockServer(lock, clock=clock, save=file.save, watch=tell)
        if not has_keypad:
            async with on_air(server):
                await server.serve(socket_path, on_ready=announce)
            return
        async with on_air(server), asyncio.TaskGroup() as group:
            serving = group.create_task(server.serve(socket_path, on_ready=announce))
            await read_keypad(await _lines_of(source), out, server.type_code)
            serving.cancel()


def _write_line(out: TextIO, line: str) -> None:
    out.write(f"{line}\n")
    out.flush()


async def _lines_of(source: TextIO) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), source
    )
    return reader
