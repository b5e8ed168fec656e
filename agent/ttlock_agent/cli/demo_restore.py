"""``ttlock-agent demo-restore``: a reset that loses nothing, told in half a minute."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

import click

from ttlock_agent.cli.demo import end_as_by_ctrl_c, made_directory
from ttlock_agent.clock import SystemClock
from ttlock_agent.demo.restore_stage import build_restore_stage
from ttlock_agent.demo.restore_story import RestoreAccount, RestoreStory, Tell
from ttlock_agent.demo.restore_tell import RestoreNarrator
from ttlock_agent.demo.tell import tell_as_json
from ttlock_agent.errors import EX_OK, EX_SOFTWARE


@click.command("demo-restore")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@click.option(
    "--keep",
    type=click.Path(path_type=Path, file_okay=False),
    callback=made_directory,
    help="Play in this directory, which must not exist, and leave everything there.",
)
def demo_restore_command(*, as_json: bool, keep: Path | None) -> None:
    """Play field case 2 without radio: back up, reset, power cut, enrol, restore, erase.

    Exit code 0 only if all that opened the door before opens it again, and the report names the
    fingers that do not.
    """
    end_as_by_ctrl_c()
    narrator = RestoreNarrator()
    account = asyncio.run(_play(keep, tell_as_json if as_json else narrator.tell))
    if as_json:
        tell_as_json("summary", account.summary())
    else:
        narrator.close(account)
    sys.exit(EX_OK if account.is_good else EX_SOFTWARE)


async def _play(keep: Path | None, tell: Tell) -> RestoreAccount:
    async with AsyncExitStack() as stack:
        directory = keep
        if directory is None:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ttlock-")))
        stage = await stack.enter_async_context(build_restore_stage(directory, SystemClock()))
        return await RestoreStory(stage, tell).play()
