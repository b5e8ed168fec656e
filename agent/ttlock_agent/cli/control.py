"""What commands share that talk to the agent: where it is, or one that is started for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from ttlock_agent.cli.one_shot import one_shot
from ttlock_agent.cli.refused import AgentSaidNo
from ttlock_agent.config import load_config
from ttlock_agent.control.client import call, is_answering
from ttlock_agent.control.messages import Failure, Progress, Result
from ttlock_agent.errors import ControlUnavailable

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_SOCKET: Final = Path("/run/ttlock-agent/control.sock")
DEFAULT_CONFIG: Final = Path("/etc/ttlock-agent/agent.yaml")
CONFIG: Final = "ttlock_agent.config"
"""Where the context of a command keeps the configuration that was named."""


def socket_option(command: F) -> F:
    """Add ``--socket`` and ``--config``; where no agent runs, one is started for the command."""
    return _options(command, _agent_or_one_shot)


def running_agent_option(command: F) -> F:
    """Add ``--socket`` and ``--config`` for what only a running agent can tell."""
    return _options(command, lambda ctx, socket: socket or _socket_of(ctx))


def _options(command: F, find: Callable[[click.Context, Path | None], Path]) -> F:
    def on_socket(ctx: click.Context, _: click.Parameter, value: Path | None) -> Path:
        # A shell that completes must not start anything.
        return value or DEFAULT_SOCKET if ctx.resilient_parsing else find(ctx, value)

    def on_config(ctx: click.Context, _: click.Parameter, value: Path | None) -> None:
        ctx.meta[CONFIG] = value

    command = click.option(
        "--socket",
        type=click.Path(path_type=Path),
        callback=on_socket,
        envvar="TTLOCK_AGENT_SOCKET",
        help=f"Control socket of the agent. [default: {DEFAULT_SOCKET}, or as --config says]",
    )(command)
    return click.option(
        "--config",
        type=click.Path(path_type=Path),
        is_eager=True,
        expose_value=False,
        callback=on_config,
        envvar="TTLOCK_AGENT_CONFIG",
        help="Configuration of the agent: where its socket is, and what to start where none runs."
        f" [default: {DEFAULT_CONFIG}]",
    )(command)


def _socket_of(ctx: click.Context) -> Path:
    config: Path | None = ctx.meta[CONFIG]
    return DEFAULT_SOCKET if config is None else load_config(config).agent.control_socket


def _agent_or_one_shot(ctx: click.Context, socket: Path | None) -> Path:
    if socket is not None:
        return socket
    socket = _socket_of(ctx)
    config = ctx.meta[CONFIG] or DEFAULT_CONFIG
    if is_answering(socket) or not config.exists():
        return socket
    return ctx.with_resource(one_shot(config))


def ask_agent(
    socket: Path,
    verb: str,
    request: dict[str, Any] | None = None,
    *,
    on_progress: Callable[[dict[str, Any]], None] = lambda _: None,
) -> dict[str, Any]:
    """Return the agent's answer; raises ``AgentSaidNo``, and ``ControlUnavailable``."""
    for line in call(socket, verb, request):
        match line:
            case Result(body=body):
                return body
            case Progress(body=body):
                on_progress(body)
            case Failure():
                raise AgentSaidNo(line)
    raise ControlUnavailable("The agent hung up without an answer.")
