"""``ttlock-agent restore``: back into the lock, item by item, with proof."""

from __future__ import annotations

from pathlib import Path

import click

from ttlock_agent.cli import told
from ttlock_agent.cli.bench import backup_and_passphrase, passphrase_options
from ttlock_agent.cli.control import socket_option
from ttlock_agent.cli.jobs import finish, json_option, run_job


@click.command("restore")
@click.argument("lock")
@click.argument("file")
@click.option(
    "--dry-run", is_flag=True, help="Only say what would be put back, and what cannot be."
)
@click.option(
    "--onto-another-lock", is_flag=True, help="Allow a lock that the backup was not made of."
)
@click.option(
    "--register-in-cloud/--no-cloud",
    default=None,
    help="Afterwards, tell the vendor's cloud of the custom passcodes, so that the app shows them"
    " (default: if the configuration has the lock's cloud_lock_id and it was not enrolled).",
)
@passphrase_options
@json_option
@socket_option
def restore_command(
    lock: str,
    file: str,
    *,
    dry_run: bool,
    onto_another_lock: bool,
    register_in_cloud: bool | None,
    passphrase_file: Path | None,
    as_json: bool,
    socket: Path,
) -> None:
    """Put back into LOCK what FILE, a path or the id of a backup, holds.

    Repeating it is harmless, and after any interruption it is the command that goes on. Exit code 0
    only if every item that can be put back was found in the lock's memory afterwards.
    """
    request = {
        "lock": lock,
        "dry_run": dry_run,
        "onto_another_lock": onto_another_lock,
        "register_in_cloud": register_in_cloud,
    } | backup_and_passphrase(socket, file, passphrase_file)
    body = run_job(socket, "lock.restore", request)
    finish(body, as_json=as_json, readable=told.rehearsed if dry_run else told.restored)
