"""``ttlock-agent demo-restore``: a reset that loses nothing, told in half a minute."""

from __future__ import annotations

from pathlib import Path

import click

from ttlock_agent.clock import SystemClock
from ttlock_agent.demo.narrator import Tell
from ttlock_agent.demo.play import demo_options, play_demo
from ttlock_agent.demo.restore_stage import build_restore_stage
from ttlock_agent.demo.restore_story import RestoreAccount, RestoreStory
from ttlock_agent.demo.restore_tell import RestoreNarrator


@click.command("demo-restore")
@demo_options
def demo_restore_command(*, as_json: bool, keep: Path | None) -> None:
    """Play field case 2 without radio: back up, reset, power cut, enrol, restore, erase.

    Exit code 0 only if all that opened the door before opens it again, and the report names the
    fingers that do not.
    """
    play_demo(_play, RestoreNarrator(), as_json=as_json, keep=keep)


async def _play(directory: Path, tell: Tell) -> RestoreAccount:
    async with build_restore_stage(directory, SystemClock()) as stage:
        return await RestoreStory(stage, tell).play()
