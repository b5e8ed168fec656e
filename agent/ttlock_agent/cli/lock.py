"""``ttlock-agent lock reset`` and ``enrol``: the end of a lock's life, and a new one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ttlock_agent.cli import told
from ttlock_agent.cli.bench import backup_and_passphrase, first_line, passphrase_options
from ttlock_agent.cli.control import socket_option
from ttlock_agent.cli.jobs import finish, json_option, run_job
from ttlock_agent.cli.verbs import group

_WARNING = """\
Enrolling makes this agent the only one that can speak to the lock: the vendor's app and the gateway
hold DEAD KEYS from then on, and no eKey works any more. To keep the app, add the lock there instead
and hand its new keys to the agent with `ttlock-agent keys import`.\
"""


lock_command = group("lock")


@lock_command.command("reset")
@click.argument("lock")
@click.option(
    "--backup", required=True, help="File or id of a backup that agrees with the lock now."
)
@click.option("--dry-run", is_flag=True, help="Only say what cannot come back.")
@click.option("--mac-digits", help="Last six digits of the lock's address; asked for without it.")
@passphrase_options
@json_option
@socket_option
def reset_command(
    lock: str,
    *,
    backup: str,
    dry_run: bool,
    mac_digits: str | None,
    passphrase_file: Path | None,
    as_json: bool,
    socket: Path,
) -> None:
    """Wipe LOCK: every passcode, card, fingerprint, setting, record and key in it.

    The lock must be in reach and hold exactly what the backup says. First you see what cannot come
    back; then you type the last six digits of the lock's address.
    """
    request = {"lock": lock} | backup_and_passphrase(socket, backup, passphrase_file)
    body = run_job(socket, "lock.reset", request | {"dry_run": True})
    if dry_run or body["status"] != "done":
        finish(body, as_json=as_json, readable=told.losses)
    click.echo(told.losses(body), err=True)
    if mac_digits is None:
        mac_digits = click.prompt("Last six digits of the lock's address", err=True)
    confirmed: dict[str, Any] = {"mac_digits": mac_digits, "confirm": body["confirm"]}
    body = run_job(socket, "lock.reset", request | confirmed)
    finish(body, as_json=as_json, readable=told.wiped)


@click.command("enrol")
@click.argument("lock")
@click.option("--give-up-app", is_flag=True, help="Do not ask: app and gateway may have dead keys.")
@click.option(
    "--admin-passcode-file",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="The administrator's keypad passcode, in this file's first line (- for standard input)."
    " Without it, a random one that nobody is told.",
)
@json_option
@socket_option
def enrol_command(
    lock: str,
    *,
    give_up_app: bool,
    admin_passcode_file: Path | None,
    as_json: bool,
    socket: Path,
) -> None:
    """Become the administrator of LOCK, which was reset, for a life without the vendor's app.

    Interrupted at any moment, the same command goes on.
    """
    if not give_up_app:
        click.echo(_WARNING, err=True)
        click.confirm("Give up the app for this lock?", abort=True, err=True)
    request: dict[str, Any] = {"lock": lock, "gives_up_app": True}
    if admin_passcode_file is not None:
        line = first_line(admin_passcode_file, "--admin-passcode-file")
        request["admin_passcode"] = line.strip()
    finish(run_job(socket, "lock.enrol", request), as_json=as_json, readable=told.enrolled)
