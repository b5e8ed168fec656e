"""``ttlock-agent run``: the daemon in the foreground."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import click

from ttlock_agent.alone import config_alone
from ttlock_agent.app import Surroundings, run_agent
from ttlock_agent.clock import SystemClock
from ttlock_agent.config import Config, check_config, load_config
from ttlock_agent.errors import AgentError
from ttlock_agent.link.adapters import Adapters
from ttlock_agent.link.start import link_factory
from ttlock_agent.logs import RecentEntries, Redactor, configure_logging
from ttlock_agent.timesync import SystemTimeSync


@click.command("run")
@click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path),
    default=Path("/etc/ttlock-agent/agent.yaml"),
    show_default=True,
    help="Configuration file.",
)
@click.option(
    "--alone",
    "socket",
    type=click.Path(path_type=Path),
    hidden=True,
    help="Serve this socket alone, without network, until standard input ends.",
)
def run_command(file: Path, socket: Path | None) -> None:
    """Run the agent until it is told to stop (SIGTERM, Ctrl-C)."""
    config = load_config(file)
    if socket is not None:
        config = config_alone(config, socket)
    redactor, recent = Redactor(), RecentEntries()
    configure_logging(config.agent.log_level, redactor, recent=recent)
    for finding in check_config(file):
        click.echo(str(finding), err=True)
    try:
        asyncio.run(_run(config, redactor, recent, is_alone=socket is not None))
    except BaseExceptionGroup as group:
        raise _cause(group) from None


def _cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the error that ended the agent: one with a name, if there is one."""
    error: BaseException = group.subgroup(AgentError) or group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _run(
    config: Config, redactor: Redactor, recent: RecentEntries, *, is_alone: bool
) -> None:
    clock, adapters = SystemClock(), Adapters()
    surroundings = Surroundings(
        clock=clock,
        links=lambda c: link_factory(c, clock, adapters),
        adapters=adapters,
        time_sync=SystemTimeSync(clock),
        register_secret=redactor.register,
        recent_log=recent.entries,
        is_alone=is_alone,
    )
    running = asyncio.create_task(run_agent(config, surroundings))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, running.cancel)
    if is_alone:
        # Whoever started this agent may be killed: then it must not stay.
        await loop.connect_read_pipe(lambda: _Ending(running), sys.stdin)
    try:
        await running
    except asyncio.CancelledError:
        return  # told to stop: a good end


class _Ending(asyncio.Protocol):
    """Ends a task with the input that it listens to."""

    def __init__(self, running: asyncio.Task[None]) -> None:
        self._running = running

    def connection_lost(self, exc: Exception | None) -> None:
        self._running.cancel()
