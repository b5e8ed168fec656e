"""``ttlock-agent run``: the daemon in the foreground."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import click

from ttlock_agent.app import Surroundings, run_agent
from ttlock_agent.clock import SystemClock
from ttlock_agent.config import Config, check_config, load_config
from ttlock_agent.errors import AgentError
from ttlock_agent.link.adapters import Adapters
from ttlock_agent.link.start import link_factory
from ttlock_agent.logs import Redactor, configure_logging
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
def run_command(file: Path) -> None:
    """Run the agent until it is told to stop (SIGTERM, Ctrl-C)."""
    config = load_config(file)
    redactor = Redactor()
    configure_logging(config.agent.log_level, redactor)
    for finding in check_config(file):
        click.echo(str(finding), err=True)
    try:
        asyncio.run(_run(config, redactor))
    except BaseExceptionGroup as group:
        raise _cause(group) from None


def _cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the error that ended the agent: one with a name, if there is one."""
    error: BaseException = group.subgroup(AgentError) or group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _run(config: Config, redactor: Redactor) -> None:
    clock, adapters = SystemClock(), Adapters()
    surroundings = Surroundings(
        clock=clock,
        links=lambda c: link_factory(c, clock, adapters),
        adapters=adapters,
        time_sync=SystemTimeSync(clock),
        register_secret=redactor.register,
    )
    running = asyncio.create_task(run_agent(config, surroundings))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, running.cancel)
    try:
        await running
    except asyncio.CancelledError:
        return  # told to stop: a good end
