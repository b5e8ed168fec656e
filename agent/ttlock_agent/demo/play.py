"""What both demos share: where they play, how they are told, and how they end."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from ttlock_agent.demo.narrator import A, Narrator, Tell, tell_as_json
from ttlock_agent.errors import EX_OK, EX_SOFTWARE

F = TypeVar("F", bound=Callable[..., Any])


def demo_options(command: F) -> F:
    """Add ``--json`` and ``--keep``."""
    keep = click.option(
        "--keep",
        type=click.Path(path_type=Path, file_okay=False),
        callback=_made_directory,
        help="Play in this directory, which must not exist, and leave everything there.",
    )
    as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
    return as_json(keep(command))


def play_demo(
    play: Callable[[Path, Tell], Coroutine[Any, Any, A]],
    narrator: Narrator[A],
    *,
    as_json: bool,
    keep: Path | None,
) -> NoReturn:
    """Play a story and leave with 0 only if it ended as it should.

    Where it did not, the directory stays: the logs in it tell why. Raises like ``play``.
    """
    # SIGTERM ends a demo in order, too: its processes would go on without it. By way of SIGINT, for
    # which asyncio cancels: an exception in the middle of starting a process would forget that one.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    directory = keep or Path(tempfile.mkdtemp(prefix="ttlock-"))
    is_over = False
    try:
        account = asyncio.run(play(directory, tell_as_json if as_json else narrator.tell))
        if as_json:
            tell_as_json("summary", account.summary())
        else:
            narrator.close(account)
        is_over = account.is_good
    except KeyboardInterrupt:
        is_over = True
        raise
    finally:
        if keep is None and is_over:
            shutil.rmtree(directory, ignore_errors=True)
        elif keep is None:
            click.echo(f"The logs of the demo are in {directory}.", err=True)
    sys.exit(EX_OK if account.is_good else EX_SOFTWARE)


def _made_directory(
    _context: click.Context, parameter: click.Parameter, keep: Path | None
) -> Path | None:
    if keep is None:
        return None
    try:
        keep.mkdir(mode=0o700, parents=True)
    except OSError as error:
        raise click.BadParameter(f"{keep}: {error.strerror}", param=parameter) from error
    return keep.absolute()
