"""``ttlock-agent support-bundle``: what somebody who helps needs, safe to paste."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import click

from ttlock_agent.cli.control import DEFAULT_CONFIG, DEFAULT_SOCKET
from ttlock_agent.cli.jobs import json_option
from ttlock_agent.errors import ConfigError
from ttlock_agent.support.bundle import as_text, make


@click.command("support-bundle")
@click.option(
    "--output",
    type=click.Path(path_type=Path, allow_dash=True),
    help="Write to this new file, - for standard output. Default: ttlock-support-TIME.txt here.",
)
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    default=DEFAULT_CONFIG,
    show_default=True,
    envvar="TTLOCK_AGENT_CONFIG",
    help="Configuration: where the agent's socket is, and what is shown if no agent answers.",
)
@click.option(
    "--socket",
    type=click.Path(path_type=Path),
    envvar="TTLOCK_AGENT_SOCKET",
    help="Control socket of the agent. [default: as --config says]",
)
@json_option
def support_bundle_command(
    *, output: Path | None, config_file: Path, as_json: bool, socket: Path | None
) -> None:
    """Write what somebody who helps needs into one file that is safe to paste.

    Versions, configuration without secrets, status, adapters, journal, last log lines, diagnoses,
    and facts of this machine. No keys, passcodes, passwords, labels or names. Also works, and says
    so, while no agent runs.
    """
    now = datetime.now(UTC)
    bundle = make(socket, config_file, now, usual_socket=DEFAULT_SOCKET)
    text = json.dumps(bundle, ensure_ascii=False) if as_json else as_text(bundle)
    path = output or Path(f"ttlock-support-{now:%Y%m%dT%H%M%SZ}.txt")
    if str(path) == "-":
        click.echo(text)
        return
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(
            f"The file {path} cannot be made: {error.strerror}.",
            hint="Name a file that is not there yet, in a directory that you may write to.",
        ) from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text + "\n")
    click.echo(f"{path}: look through it before you share it", err=True)
