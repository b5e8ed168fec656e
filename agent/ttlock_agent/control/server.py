"""The agent's side of the control socket."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec
import structlog

from ttlock_agent.control.messages import MAX_LINE_BYTES, Call, Failure, Line
from ttlock_agent.errors import EX_SOFTWARE, EX_USAGE, AgentError, ConfigError
from ttlock_agent.logs import where

log = structlog.get_logger()

SOCKET_MODE: Final = 0o660
"""The group may talk to the agent; the unit gives the socket's directory its group."""
MAX_PATH_BYTES: Final = 107

Handler = Callable[[Call], AsyncIterator[Line]]


@asynccontextmanager
async def serve_control(path: Path, handler: Handler) -> AsyncIterator[None]:
    """Listen on ``path`` while the context lasts; raises ``ConfigError`` if that cannot be.

    Only the owner of the journal's lock may call this: a socket that is left over is removed.
    Callers that still wait for an answer are hung up on at the end.
    """
    if len(os.fsencode(path)) > MAX_PATH_BYTES:
        raise ConfigError(
            f"The control socket's path is longer than {MAX_PATH_BYTES} bytes.",
            hint="Set `agent.control_socket` to a shorter path.",
        )
    try:
        listener = _listen(path)
    except OSError as error:
        raise ConfigError(
            f"The control socket {path} cannot be made: {error.strerror}.",
            hint="Set `agent.control_socket` to a path that the agent may create.",
        ) from error
    calls: set[asyncio.Task[None]] = set()

    def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        call = asyncio.ensure_future(_serve(reader, writer, handler))
        calls.add(call)
        call.add_done_callback(calls.discard)

    server = await asyncio.start_unix_server(serve, sock=listener, limit=MAX_LINE_BYTES)
    try:
        yield
    finally:
        server.close()
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        _unlink(path)


def _listen(path: Path) -> socket.socket:
    path.parent.mkdir(parents=True, exist_ok=True)
    _unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        path.chmod(SOCKET_MODE)
    except OSError:
        listener.close()
        raise
    return listener


def _unlink(path: Path) -> None:
    # Nothing but a socket: a slip of the pen in the config must not cost somebody a file.
    if path.is_socket():
        path.unlink(missing_ok=True)


async def _serve(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handler: Handler
) -> None:
    with contextlib.suppress(ConnectionError):
        try:
            await _answer(reader, writer, handler)
        finally:
            writer.close()


async def _answer(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handler: Handler
) -> None:
    try:
        call = msgspec.json.decode(await reader.readline(), type=Call)
    except (msgspec.DecodeError, ValueError):
        # ValueError: the line is longer than the limit.
        await _send(writer, _usage())
        return
    try:
        async for line in handler(call):
            await _send(writer, line)
    except AgentError as error:
        await _send(writer, failure(error))
    except (ConnectionError, asyncio.CancelledError):
        raise
    except Exception as error:  # noqa: BLE001 - one caller's trouble is not the daemon's end
        log.error("control_defect", **where(error))  # noqa: TRY400
        await _send(writer, _defect())


async def _send(writer: asyncio.StreamWriter, line: Line) -> None:
    writer.write(msgspec.json.encode(line) + b"\n")
    await writer.drain()


def failure(error: AgentError) -> Failure:
    """Return the line that tells of ``error``."""
    return Failure(
        code=error.code, message=error.message, hint=error.hint, exit_code=error.exit_code
    )


def _usage() -> Failure:
    return Failure(
        code="malformed",
        message="The call is not one JSON object with a verb.",
        hint="Use the `ttlock-agent` command of the same version as the agent.",
        exit_code=EX_USAGE,
    )


def _defect() -> Failure:
    return Failure(
        code=AgentError.code,
        message="The agent failed while it served this call.",
        hint=AgentError.hint,
        exit_code=EX_SOFTWARE,
    )
