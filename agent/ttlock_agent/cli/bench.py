"""What the commands of the bench share: passphrases, files and ids."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import click
import msgspec

from ttlock_agent.backup.desk import IMPORT
from ttlock_agent.backup.file import MAX_FILE_BYTES, PassphraseWrapped, unpack
from ttlock_agent.cli.control import ask_agent
from ttlock_agent.errors import BackupProblem, BackupUnusable
from ttlock_agent.validation import Id

F = TypeVar("F", bound=Callable[..., Any])


def passphrase_options(command: F) -> F:
    """Add ``--passphrase-file``; without it a passphrase is asked for where one is needed."""
    return click.option(
        "--passphrase-file",
        type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
        help="Take the passphrase from this file's first line, - for standard input.",
    )(command)


def read_passphrase(file: Path | None, *, is_new: bool = False) -> str:
    """Return a passphrase from ``file``, else from whoever sits at the terminal."""
    if file is None:
        typed = click.prompt("Passphrase", hide_input=True, confirmation_prompt=is_new, err=True)
        return str(typed)
    return first_line(file, "--passphrase-file")


def first_line(file: Path, option: str) -> str:
    """Return the first line of what ``option`` names, - for standard input."""
    try:
        with click.open_file(str(file), encoding="utf-8-sig") as stream:
            return str(stream.readline()).rstrip("\n")
    except OSError as error:
        why = error.strerror
    except UnicodeDecodeError:
        # Without the cause, which quotes what it read.
        why = "its first line is no UTF-8 text"
    raise click.BadParameter(f"{file}: {why}", param_hint=option)


def backup_and_passphrase(
    socket: Path, backup: str, passphrase_file: Path | None
) -> dict[str, Any]:
    """Return the fields that name a backup to the agent; a file is handed to it first."""
    path = Path(backup)
    if not path.is_file():
        _refuse_unless_id(backup)
        return {"backup": backup} | _opener(_key_of(socket, backup), passphrase_file)
    raw = read_backup(path)
    opener = _opener(key_in(raw), passphrase_file)
    given = {"file": base64.b64encode(raw).decode()} | opener
    return {"backup": ask_agent(socket, IMPORT, given)["backup"]} | opener


def read_backup(path: Path) -> bytes:
    """Return a file, or as much as shows that it is none; raises ``BackupUnusable``."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise BackupUnusable(
            f"The file {path} cannot be read: {error.strerror}.",
            problem=BackupProblem.NOT_FOUND,
            hint="Check that it is there and that you may read it.",
        ) from error


def _refuse_unless_id(backup: str) -> None:
    """Say of what can only be a path that there is no such file, instead of taking it for an id."""
    try:
        msgspec.convert(backup, Id)
    except msgspec.ValidationError:
        raise BackupUnusable(
            f"There is no file {backup}, and it is no id of a backup either.",
            problem=BackupProblem.NOT_FOUND,
            hint="Name a backup file, or an id from `ttlock-agent backup list`.",
        ) from None


def key_in(raw: bytes) -> str:
    """Say what opens a backup file; raises ``BackupUnusable``."""
    is_wrapped = isinstance(unpack(raw).header.key, PassphraseWrapped)
    return "passphrase" if is_wrapped else "vault"


def _key_of(socket: Path, backup: str) -> str:
    for known in ask_agent(socket, "backup.list", {"id": f"cli-{uuid4().hex}"})["backups"]:
        if known["backup"] == backup:
            return str(known.get("key", "vault"))
    return "vault"


def _opener(key: str, passphrase_file: Path | None) -> dict[str, Any]:
    if key != "passphrase":
        return {}
    return {"passphrase": read_passphrase(passphrase_file)}
