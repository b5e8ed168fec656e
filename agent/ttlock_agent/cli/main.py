"""The command ``ttlock-agent`` and what all its subcommands share."""

from __future__ import annotations

import importlib
import sys
from types import MappingProxyType
from typing import Final, NoReturn

import click

from ttlock_agent import __version__
from ttlock_agent.errors import EX_USAGE, AgentError

_COMMANDS: Final = MappingProxyType(
    {
        "run": "run:run_command",
        "check-config": "check:check_config_command",
        "status": "status:status_command",
        "diagnose": "diagnose:diagnose_command",
        "keys": "keys:keys_command",
        "backup": "backup:backup_command",
        "lock": "lock:lock_command",
        "enrol": "lock:enrol_command",
        "restore": "restore:restore_command",
        "hil": "hil:hil_command",
        "demo": "demo:demo_command",
        "demo-restore": "demo_restore:demo_restore_command",
        "virtual-lock": "virtual_lock:virtual_lock_command",
    }
)
"""Where each subcommand lives: the module in this package, and the command in it."""


class _Commands(click.Group):
    """Loads a subcommand when it is asked for: the daemon has no use for the demo's libraries."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, name = _COMMANDS[cmd_name].split(":")
        command = getattr(importlib.import_module(f"ttlock_agent.cli.{module}"), name)
        assert isinstance(command, click.Command), "the table names commands"
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ttlock-agent")
def cli() -> None:
    """Deliver passcodes to TTLock smart locks over Bluetooth, and prove them."""


def main() -> NoReturn:
    """Run the command line; an error is two lines on standard error and an exit code."""
    try:
        sys.exit(cli.main(prog_name="ttlock-agent", standalone_mode=False))
    except AgentError as error:
        click.echo(f"ttlock-agent: {error.message}\n  {error.hint}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(EX_USAGE if isinstance(error, click.UsageError) else error.exit_code)
    except click.Abort:
        click.echo("Aborted.", err=True)
        sys.exit(1)
