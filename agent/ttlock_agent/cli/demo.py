"""``ttlock-agent demo``: the main job, told in under a minute."""

from __future__ import annotations

from pathlib import Path

import click

from ttlock_agent.clock import SystemClock
from ttlock_agent.demo.narrator import Tell
from ttlock_agent.demo.play import demo_options, play_demo
from ttlock_agent.demo.stage import build_stage
from ttlock_agent.demo.story import Account, Story
from ttlock_agent.demo.tell import StoryNarrator
from ttlock_agent.logs import LogLevel, Redactor, configure_logging


@click.command("demo")
@demo_options
def demo_command(*, as_json: bool, keep: Path | None) -> None:
    """Play field case 1 without radio: the cloud says delivered, the door says no.

    Exit code 0 only if every passcode that must open the door did open it.
    """
    play_demo(_play, StoryNarrator(), as_json=as_json, keep=keep)


async def _play(directory: Path, tell: Tell) -> Account:
    clock = SystemClock()
    with (directory / "booking-system.log").open("w") as log:
        configure_logging(LogLevel.INFO, Redactor(), stream=log)
        async with build_stage(directory, clock) as stage:
            return await Story(stage, clock, tell).play()
