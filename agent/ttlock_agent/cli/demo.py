"""``ttlock-agent demo``: the main job, told in under a minute."""

from __future__ import annotations

import asyncio
import signal
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

import click

from ttlock_agent.clock import SystemClock
from ttlock_agent.demo.stage import build_stage
from ttlock_agent.demo.story import Account, Story, Tell
from ttlock_agent.demo.tell import Narrator, tell_as_json
from ttlock_agent.errors import EX_OK, EX_SOFTWARE
from ttlock_agent.logs import LogLevel, Redactor, configure_logging


def made_directory(
    _context: click.Context, parameter: click.Parameter, keep: Path | None
) -> Path | None:
    """Make the directory of ``--keep``, if it was given."""
    if keep is None:
        return None
    try:
        keep.mkdir(mode=0o700, parents=True)
    except OSError as error:
        raise click.BadParameter(f"{keep}: {error.strerror}", param=parameter) from error
    return keep.absolute()


def end_as_by_ctrl_c() -> None:
    """Let SIGTERM end a demo in order, too: its processes would go on without it."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@click.command("demo")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@click.option(
    "--keep",
    type=click.Path(path_type=Path, file_okay=False),
    callback=made_directory,
    help="Play in this directory, which must not exist, and leave everything there.",
)
def demo_command(*, as_json: bool, keep: Path | None) -> None:
    """Play field case 1 without radio: the cloud says delivered, the door says no.

    Exit code 0 only if every passcode that must open the door did open it.
    """
    end_as_by_ctrl_c()
    narrator = Narrator()
    account = asyncio.run(_play(keep, tell_as_json if as_json else narrator.tell))
    if as_json:
        tell_as_json("summary", account.summary())
    else:
        narrator.close(account)
    sys.exit(EX_OK if account.is_good else EX_SOFTWARE)


async def _play(keep: Path | None, tell: Tell) -> Account:
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        directory = keep
        if directory is None:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ttlock-")))
        log = stack.enter_context((directory / "booking-system.log").open("w"))
        configure_logging(LogLevel.INFO, Redactor(), stream=log)
        stage = await stack.enter_async_context(build_stage(directory, clock))
        return await Story(stage, clock, tell).play()
