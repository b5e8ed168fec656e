"""``ttlock-agent backup``: what a lock holds, in one sealed file."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from uuid import uuid4

import click

from ttlock_agent.backup.desk import CHECK_FILE, EXPORT, TAKE_KEYS
from ttlock_agent.cli import told
from ttlock_agent.cli.bench import (
    backup_and_passphrase,
    key_in,
    passphrase_options,
    read_backup,
    read_passphrase,
)
from ttlock_agent.cli.control import ask_agent, socket_option
from ttlock_agent.cli.jobs import finish, json_option, run_job
from ttlock_agent.errors import BackupProblem, BackupUnusable


@click.group("backup")
def backup_command() -> None:
    """Make, list, verify and erase backups."""


@backup_command.command("create")
@click.argument("lock")
@click.option(
    "--passphrase",
    "has_passphrase",
    is_flag=True,
    help="Seal it with a passphrase, asked for twice.",
)
@passphrase_options
@click.option(
    "--with-keys", is_flag=True, help="Keep the lock's keys in it: whoever opens it owns the lock."
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a copy of the sealed file here, which must not exist.",
)
@json_option
@socket_option
def create_command(
    lock: str,
    *,
    has_passphrase: bool,
    passphrase_file: Path | None,
    with_keys: bool,
    output: Path | None,
    as_json: bool,
    socket: Path,
) -> None:
    """Read all that LOCK tells into a sealed file on the agent's disk.

    Without a passphrase its key stays in the agent's vault, and only this agent can open it.
    """
    if output is not None:
        _check_free(output, "--output")
    request = {"lock": lock, "with_keys": with_keys}
    if has_passphrase or passphrase_file is not None:
        request["passphrase"] = read_passphrase(passphrase_file, is_new=True)
    body = run_job(socket, "backup.create", request)
    if output is not None and body["status"] == "done":
        _copy(_sealed(socket, body["backup"]), output, body["backup"])
    finish(body, as_json=as_json, readable=told.created)


@backup_command.command("list")
@json_option
@socket_option
def list_command(*, as_json: bool, socket: Path) -> None:
    """List the backups on the agent's disk."""
    body = ask_agent(socket, "backup.list", {"id": _id()})
    if as_json:
        click.echo(json.dumps(body))
        return
    lines = [told.backup_line(each) for each in body["backups"]]
    click.echo("\n".join(lines) or "there is no backup yet")


@backup_command.command("verify")
@click.argument("file")
@click.option("--lock", help="Compare it, item by item, with what this lock holds now.")
@passphrase_options
@json_option
@socket_option
def verify_command(
    file: str, *, lock: str | None, passphrase_file: Path | None, as_json: bool, socket: Path
) -> None:
    """Open FILE, a path or the id of a backup, and say what it holds; with --lock, compare.

    Exit code 0 only if it can be opened, and with --lock only if the lock holds the same.
    """
    if lock is not None:
        named = backup_and_passphrase(socket, file, passphrase_file)
        body = run_job(socket, "backup.verify", {"lock": lock} | named)
        if body.get("agrees") is False:
            body |= {"status": "failed", "error": _DIFFERS}
        finish(body, as_json=as_json, readable=told.verified)
    path = Path(file)
    if path.is_file():
        body = ask_agent(socket, CHECK_FILE, _given(path, passphrase_file))
    else:
        named = backup_and_passphrase(socket, file, passphrase_file)
        body = ask_agent(socket, "backup.check", {"id": _id()} | named)
    finish(body, as_json=as_json, readable=told.created)


@backup_command.command("export")
@click.argument("backup")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@socket_option
def export_command(backup: str, file: Path, socket: Path) -> None:
    """Write a copy of BACKUP, sealed as it is, to FILE, which must not exist."""
    _check_free(file, "FILE")
    _copy(_sealed(socket, backup), file, backup)


@backup_command.command("take-keys")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--lock", required=True, help="Id of the lock in the config that they are for.")
@passphrase_options
@json_option
@socket_option
def take_keys_command(
    file: Path, *, lock: str, passphrase_file: Path | None, as_json: bool, socket: Path
) -> None:
    """Hand the lock keys in FILE, made --with-keys, to this agent: after the old one was lost."""
    body = ask_agent(socket, TAKE_KEYS, _given(file, passphrase_file) | {"lock": lock})
    finish(body, as_json=as_json, readable=lambda _: f"the agent holds the keys of {lock} now")


@backup_command.command("erase")
@click.argument("backup")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--give-up", is_flag=True, help="Even if its lock was reset and not restored yet.")
@json_option
@socket_option
def erase_command(backup: str, *, yes: bool, give_up: bool, as_json: bool, socket: Path) -> None:
    """Destroy the key of BACKUP and remove its file from the agent's disk."""
    if not yes:
        click.confirm(f"Erase {backup} for good?", abort=True, err=True)
    body = ask_agent(socket, "backup.erase", {"id": _id(), "backup": backup, "give_up": give_up})
    finish(body, as_json=as_json, readable=told.erased)


_DIFFERS = {
    "code": "backup_stale",
    "message": "The lock does not hold what the backup says.",
    "hint": "Make a new backup, or `restore` this one.",
    "retryable": False,
}


def _sealed(socket: Path, backup: str) -> bytes:
    return base64.b64decode(ask_agent(socket, EXPORT, {"backup": backup})["file"])


def _check_free(path: Path, parameter: str) -> None:
    """Refuse before anything is done what a file could not be written to."""
    if path.exists():
        raise click.BadParameter(f"{path} is there already", param_hint=parameter)
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise click.BadParameter(
            f"{path.parent} is not there, or you may not write to it", param_hint=parameter
        )


def _copy(raw: bytes, path: Path, backup: str) -> None:
    """Put a file there whole and on the disk, or not at all; raises ``BackupUnusable``."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    is_ours = False
    try:
        with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
            is_ours = True
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if is_ours:
            path.unlink(missing_ok=True)
        raise BackupUnusable(
            f"The copy {path} cannot be written: {error.strerror}.",
            problem=BackupProblem.NOT_WRITABLE,
            hint=f"The agent has the backup all the same: `ttlock-agent backup export {backup}"
            " FILE` writes another copy.",
        ) from error


def _given(path: Path, passphrase_file: Path | None) -> dict[str, str]:
    """Return a file for the agent, with what opens it."""
    raw = read_backup(path)
    given = {"file": base64.b64encode(raw).decode()}
    if key_in(raw) == "passphrase":
        given["passphrase"] = read_passphrase(passphrase_file)
    return given


def _id() -> str:
    return f"cli-{uuid4().hex}"
