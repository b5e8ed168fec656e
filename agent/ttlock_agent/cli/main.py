"""The command ``ttlock-agent`` and what all its subcommands share."""

from __future__ import annotations

import importlib
import json
import sys
from types import MappingProxyType
from typing import Final, NoReturn

import click

from ttlock_agent import __version__
from ttlock_agent.cli.refused import AgentSaidNo
from ttlock_agent.errors import EX_REJECTED, EX_TRY_LATER, EX_USAGE, AgentError

_COMMANDS: Final = MappingProxyType(
    {
        "run": "run:run_command",
        "check-config": "check:check_config_command",
        "status": "status:status_command",
        "diagnose": "diagnose:diagnose_command",
        "support-bundle": "support_bundle:support_bundle_command",
        "keys": "keys:keys_command",
        "backup": "backup:backup_command",
        "lock": "lock:lock_command",
        **dict.fromkeys(
            (
                "passcode",
                "card",
                "fingerprint",
                "passage",
                "setting",
                "admin-passcode",
                "clock",
                "log",
                "job",
                "gateway",
            ),
            "verbs:group",
        ),
        "enrol": "lock:enrol_command",
        "restore": "restore:restore_command",
        "hil": "hil:hil_command",
        "demo": "demo:demo_command",
        "demo-restore": "demo_restore:demo_restore_command",
        "virtual-lock": "virtual_lock:virtual_lock_command",
    }
)
"""Where each subcommand lives: the module in this package, and the command in it or its maker."""


class _Commands(click.Group):
    """Loads a subcommand when it is asked for: the daemon has no use for the demo's libraries."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, name = _COMMANDS[cmd_name].split(":")
        found = getattr(importlib.import_module(f"ttlock_agent.cli.{module}"), name)
        command = found if isinstance(found, click.Command) else found(cmd_name)
        assert isinstance(command, click.Command), "the table names commands"
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ttlock-agent")
def cli() -> None:
    """Deliver passcodes to TTLock smart locks over Bluetooth, and prove them."""


def main() -> NoReturn:
    """Run the command line; an error is two lines on standard error and an exit code.

    With ``--json`` it is one JSON object on standard output besides, in the form of every answer.
    """
    try:
        sys.exit(cli.main(prog_name="ttlock-agent", standalone_mode=False))
    except AgentError as error:
        _leave(error.exit_code, error.code, error.message, error.hint, is_retryable=error.retryable)
    except AgentSaidNo as refused:
        said = refused.failure
        is_retryable = said.exit_code == EX_TRY_LATER
        _leave(said.exit_code, said.code, said.message, said.hint, is_retryable=is_retryable)
    except click.UsageError as error:
        error.show()
        _leave_json(EX_USAGE, "usage", error.format_message(), "See --help.")
    except click.ClickException as error:
        error.show()
        _leave_json(error.exit_code, "usage", error.format_message(), "See --help.")
    except click.Abort as abort:
        # click makes one of Ctrl-C, too, whenever that comes; a question ends without that cause.
        if isinstance(abort.__cause__, KeyboardInterrupt):
            _leave(
                EX_REJECTED, "aborted", "Interrupted.", "What was begun may have been done: look."
            )
        _leave(EX_REJECTED, "aborted", "Aborted: it was not confirmed.", "Nothing was changed.")


def _leave(
    exit_code: int, code: str, message: str, hint: str, *, is_retryable: bool = False
) -> NoReturn:
    click.echo(f"ttlock-agent: {message}\n  {hint}", err=True)
    _leave_json(exit_code, code, message, hint, is_retryable=is_retryable)


def _leave_json(
    exit_code: int, code: str, message: str, hint: str, *, is_retryable: bool = False
) -> NoReturn:
    if "--json" in sys.argv:
        error = {"code": code, "message": message, "hint": hint, "retryable": is_retryable}
        click.echo(json.dumps({"status": "failed", "error": error}))
    sys.exit(exit_code)
