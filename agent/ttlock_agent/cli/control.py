"""What commands share that talk to the running agent."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from ttlock_agent.control.client import call
from ttlock_agent.control.messages import Failure, Progress, Result
from ttlock_agent.errors import ControlUnavailable

F = TypeVar("F", bound=Callable[..., Any])


def socket_option(command: F) -> F:
    """Add ``--socket``."""
    return click.option(
        "--socket",
        type=click.Path(path_type=Path),
        default=Path("/run/ttlock-agent/control.sock"),
        show_default=True,
        envvar="TTLOCK_AGENT_SOCKET",
        help="Control socket of the agent.",
    )(command)


def ask_agent(
    socket: Path,
    verb: str,
    request: dict[str, Any] | None = None,
    *,
    on_progress: Callable[[dict[str, Any]], None] = lambda _: None,
) -> dict[str, Any]:
    """Return the agent's answer; a refusal ends the command with its exit code.

    Raises ``ControlUnavailable``.
    """
    for line in call(socket, verb, request):
        match line:
            case Result(body=body):
                return body
            case Progress(body=body):
                on_progress(body)
            case Failure():
                click.echo(f"ttlock-agent: {line.message}\n  {line.hint}", err=True)
                sys.exit(line.exit_code)
    raise ControlUnavailable("The agent hung up without an answer.")
