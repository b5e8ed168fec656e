"""What a shell completes besides subcommands and options: the ids of the locks."""

from __future__ import annotations

from pathlib import Path

import click
from click.shell_completion import CompletionItem

from ttlock_agent.cli.control import CONFIG, DEFAULT_CONFIG
from ttlock_agent.config import load_config
from ttlock_agent.control.client import call
from ttlock_agent.control.messages import Result
from ttlock_agent.errors import AgentError


def complete_locks(
    ctx: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the locks of the running agent, else of the configuration; never an error."""
    config = ctx.meta.get(CONFIG) or DEFAULT_CONFIG
    names = _running(ctx.params.get("socket")) or _configured(config)
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def _running(socket: Path | None) -> list[str]:
    if socket is None:
        return []
    try:
        for line in call(socket, "status"):
            if isinstance(line, Result):
                return list(line.body["locks"])
    except AgentError:
        pass
    return []


def _configured(config: Path) -> list[str]:
    try:
        return [lock.id for lock in load_config(config).locks]
    except AgentError:
        return []
