"""An agent for one command, where none runs: the same journal, a socket of its own, no network.

It owns the journal's lock like any other agent, so there never are two. It ends with the command,
also when that is killed: then its standard input ends.
"""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO, Final

import click

from ttlock_agent.cli.refused import AgentSaidNo
from ttlock_agent.config import load_config
from ttlock_agent.control.client import is_answering
from ttlock_agent.control.messages import Failure
from ttlock_agent.errors import ControlForbidden, ControlUnavailable

START_S: Final = 120.0
"""Opening the journal checks it whole; a large one on a slow card takes its time."""
STOP_S: Final = 20.0
"""Hang up, and journal it."""
POLL_S: Final = 0.05
_SAID: Final = "ttlock-agent: "


@contextmanager
def one_shot(config: Path) -> Iterator[Path]:
    """Run an agent while the context lasts, and give its socket.

    Raises ``ControlForbidden`` for who may not, ``ControlUnavailable``, and ``AgentSaidNo`` with
    the exit code of an agent that could not start.
    """
    state = load_config(config).agent.state_directory
    owner = owner_of(state)
    with TemporaryDirectory(prefix="ttlock-agent-") as made:
        directory = Path(made)
        click.echo("No agent is running: one is started for this command.", err=True)
        with (directory / "agent.log").open("w+b") as log:
            # Only now: root opens nothing by name where somebody else may have put a link.
            if "user" in owner:
                os.chown(directory, owner["user"], owner["group"])
            process = subprocess.Popen(  # noqa: S603 - our own command line
                [*_command(config), "--alone", str(directory / "control.sock")],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                # Ctrl-C is for the command, which ends its agent in order.
                start_new_session=True,
                **owner,
            )
            try:
                _await(process, directory / "control.sock", log)
                yield directory / "control.sock"
            finally:
                _stop(process)


def _command(config: Path) -> list[str]:
    return [sys.executable, "-m", "ttlock_agent", "run", "--config", str(config.absolute())]


def owner_of(state: Path) -> dict[str, Any]:
    """Return as whom the agent is run: root would leave files that the service cannot write.

    ``user``, ``group`` and ``extra_groups``, as a new process takes them; empty for whoever asks.
    Raises ``ControlForbidden``.
    """
    if not state.exists():
        return {}
    if os.geteuid() != 0:
        if os.access(state, os.R_OK | os.W_OK | os.X_OK):
            return {}
        raise ControlForbidden(
            "No agent is running, and the state directory is not yours to start one.",
            hint="Start the service (`systemctl start ttlock-agent`), or use sudo.",
        )
    user = state.stat().st_uid
    if user == 0:
        return {}
    known = pwd.getpwuid(user)
    groups = os.getgrouplist(known.pw_name, known.pw_gid)
    return {"user": user, "group": known.pw_gid, "extra_groups": groups}


def _await(process: subprocess.Popen[bytes], socket: Path, log: BinaryIO) -> None:
    end_s = time.monotonic() + START_S
    while not is_answering(socket):
        if process.poll() is not None:
            log.seek(0)
            raise _why_not(process, log.read().decode("utf-8", "replace"))
        if time.monotonic() > end_s:
            raise ControlUnavailable("The agent that was started for this command does not answer.")
        time.sleep(POLL_S)


def _why_not(process: subprocess.Popen[bytes], log: str) -> AgentSaidNo:
    """Return what kept the agent from starting: the last thing it said, in two lines."""
    message, _, hint = log.rpartition(_SAID)[2].strip().partition("\n")
    return AgentSaidNo(
        Failure(
            code="agent_not_started",
            message=message or "The agent ended without a word.",
            hint=hint.strip() or "Run it yourself: `ttlock-agent run --config FILE`.",
            exit_code=process.returncode,
        )
    )


def _stop(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None, "its end is the sign to stop"
    process.stdin.close()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
