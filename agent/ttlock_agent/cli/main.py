"""The command ``ttlock-agent`` and what all its subcommands share."""

from __future__ import annotations

import sys
from typing import NoReturn

import click

from ttlock_agent import __version__
from ttlock_agent.cli.backup import backup_command
from ttlock_agent.cli.check import check_config_command
from ttlock_agent.cli.demo import demo_command
from ttlock_agent.cli.demo_restore import demo_restore_command
from ttlock_agent.cli.keys import keys_command
from ttlock_agent.cli.lock import enrol_command, lock_command
from ttlock_agent.cli.restore import restore_command
from ttlock_agent.cli.run import run_command
from ttlock_agent.cli.status import status_command
from ttlock_agent.cli.virtual_lock import virtual_lock_command
from ttlock_agent.errors import AgentError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ttlock-agent")
def cli() -> None:
    """Deliver passcodes to TTLock smart locks over Bluetooth, and prove them."""


for command in (
    run_command,
    check_config_command,
    status_command,
    keys_command,
    backup_command,
    lock_command,
    enrol_command,
    restore_command,
    demo_command,
    demo_restore_command,
    virtual_lock_command,
):
    cli.add_command(command)


def main() -> NoReturn:
    """Run the command line; an error is two lines on standard error and an exit code."""
    try:
        cli.main(prog_name="ttlock-agent", standalone_mode=True)
    except AgentError as error:
        click.echo(f"ttlock-agent: {error.message}\n  {error.hint}", err=True)
        sys.exit(error.exit_code)
    sys.exit(0)  # pragma: no cover - click exits by itself
