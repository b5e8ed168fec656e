"""The command line's side of the control socket."""

from __future__ import annotations

import socket
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from ttlock_agent.control.messages import MAX_LINE_BYTES, Call, Line
from ttlock_agent.errors import ControlForbidden, ControlUnavailable


def call(path: Path, verb: str, request: dict[str, Any] | None = None) -> Generator[Line]:
    """Ask the agent on ``path``, and give its lines as they come, the last one included.

    Raises ``ControlUnavailable`` when nobody answers, or stops answering.
    """
    raw = msgspec.Raw(msgspec.json.encode(request or {}))
    call_line = msgspec.json.encode(Call(verb=verb, request=raw)) + b"\n"
    with closing(_connect(path)) as connection, connection.makefile("rwb") as stream:
        try:
            stream.write(call_line)
            stream.flush()
            while text := stream.readline(MAX_LINE_BYTES):
                yield msgspec.json.decode(text, type=Line)
        except OSError as error:
            raise ControlUnavailable("The agent hung up in the middle of its answer.") from error
        except msgspec.DecodeError:
            # Without the cause, which may quote what was said.
            raise ControlUnavailable(
                f"What answers on {path} is no agent of this version.",
                hint="Use the `ttlock-agent` command of the same version as the agent.",
            ) from None


def is_answering(path: Path) -> bool:
    """Whether an agent listens on ``path``, be it that it may not be talked to."""
    try:
        _connect(path).close()
    except ControlForbidden:
        return True
    except ControlUnavailable:
        return False
    return True


def _connect(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(str(path))
    except PermissionError as error:
        connection.close()
        raise ControlForbidden(f"You may not talk to the agent on {path}.") from error
    except OSError as error:
        connection.close()
        raise ControlUnavailable(f"No agent answers on {path}.") from error
    return connection
