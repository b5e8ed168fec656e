"""What commands share that ask for a job: how it goes, how it ended, and the exit code for that."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar
from uuid import uuid4

import click

from ttlock_agent.cli.control import ask_agent
from ttlock_agent.errors import EX_OK, ControlUnavailable, OutcomeUnknown, exit_code_of

F = TypeVar("F", bound=Callable[..., Any])

QUIET_S: Final = 2.0
"""What takes no longer needs no account of how it goes."""
AGAIN_S: Final = 10.0
"""After which it is said again that it still goes on."""
_DOING: Final = {
    "features": "reading what the lock can do",
    "present_card": "hold the card to the lock now",
    "scan_finger": "lay the finger on the lock, again and again: scans",
    "log": "reading the log",
    "sealing": "sealing the backup",
    "connecting": "connecting to the lock",
    "keys": "showing the lock its keys",
    "device": "reading what the lock is",
    "repairing": "repairing, jobs left",
    "enrolling": "becoming the administrator",
    "proving": "asking the lock whether it is so",
    "registering": "telling the cloud",
    "restoring": "putting back",
    "writing_hours": "writing weekly hours",
}


_AT_ONCE: Final = frozenset({"present_card", "scan_finger"})
"""Somebody has to do something."""
_STATES: Final = {
    "accepted": "waiting for the lock",
    "working": "talking to the lock",
}


def json_option(command: F) -> F:
    """Add ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")(command)


def new_id() -> str:
    """Return an id for a request of this command."""
    return f"cli-{uuid4().hex}"


def run_job(socket: Path, verb: str, request: dict[str, Any]) -> dict[str, Any]:
    """Ask for a job and wait for its end, telling on standard error how it goes.

    Raises ``OutcomeUnknown`` when the waiting ends before the job: by Ctrl-C, or with its agent.
    """
    request = {"id": new_id()} | request
    with _Teller().telling() as teller:
        try:
            return ask_agent(socket, verb, request, on_progress=teller.on_progress)
        except KeyboardInterrupt:
            click.echo(err=True)
            raise _not_over(request["id"], "You stopped waiting") from None
        except ControlUnavailable as error:
            if not teller.has_job:
                raise
            raise _not_over(request["id"], "The agent hung up") from error


def _not_over(request_id: str, why: str) -> OutcomeUnknown:
    # Never "give the command again": a second unlock would open the door a second time.
    return OutcomeUnknown(
        f"{why}, and the job is not over.",
        hint=f"`ttlock-agent job get {request_id}` says how it ends; `job cancel` gives it up.",
    )


def finish(
    body: dict[str, Any], *, as_json: bool, readable: Callable[[dict[str, Any]], str]
) -> NoReturn:
    """Print how a job ended and leave with the exit code for that."""
    has_failed = body.get("status", "done") != "done"
    if as_json:
        click.echo(json.dumps(body))
    elif not has_failed or "holds" in body:
        # Some failures come with a report of what was done all the same.
        click.echo(readable(body))
    if not has_failed:
        sys.exit(EX_OK)
    error = body["error"]
    if not as_json:
        click.echo(f"ttlock-agent: {error['message']}\n  {error['hint']}", err=True)
    sys.exit(exit_code_of(error["code"], is_retryable=error["retryable"]))


class _Teller:
    """One line for each thing that is being done, once it takes long enough to wonder."""

    def __init__(self) -> None:
        self._since_s = time.monotonic()
        self._line = _STATES["accepted"]
        self._said = ""
        self._is_over = threading.Event()
        self.has_job = False
        """Whether the agent has taken the job."""

    @contextmanager
    def telling(self) -> Iterator[_Teller]:
        """Tell until the context ends, also while the agent itself says nothing."""
        watch = threading.Thread(target=self._watch, daemon=True)
        watch.start()
        try:
            yield self
        finally:
            self._is_over.set()
            watch.join()

    def on_progress(self, body: dict[str, Any]) -> None:
        self.has_job = True
        self._line = _progress_line(body) or self._line
        is_urgent = body.get("step", {}).get("doing") in _AT_ONCE
        if is_urgent or time.monotonic() - self._since_s >= QUIET_S:
            self._say(self._line)

    def _say(self, line: str) -> None:
        if line != self._said:
            self._said = line
            click.echo(line, err=True)

    def _watch(self) -> None:
        pause_s = QUIET_S
        while not self._is_over.wait(pause_s):
            pause_s = AGAIN_S
            took_s = time.monotonic() - self._since_s
            is_new = self._line != self._said
            self._say(self._line if is_new else f"{self._line} ({took_s:.0f} s)")
            self._said = self._line


def _progress_line(body: dict[str, Any]) -> str:
    step = body.get("step")
    if step is None:
        sentence: str = body.get("waiting", {}).get("sentence", "")
        return sentence or _STATES.get(body.get("state", ""), "")
    doing = step["doing"]
    words = _DOING.get(doing, f"reading {doing.replace('_', ' ')}")
    if "total" in step:
        return f"{words}: {step['count']} of {step['total']}"
    return f"{words}: {step['count']}" if step["count"] else words
