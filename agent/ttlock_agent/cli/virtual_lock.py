"""``ttlock-agent virtual-lock``: a lock to try things on."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from pathlib import Path

import click

from ttlock_agent.clock import SystemClock
from ttlock_agent.virtual_lock.main import serve


@click.command("virtual-lock")
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    required=True,
    help="File that holds the lock's memory; `demo --keep DIRECTORY` leaves one behind.",
)
@click.option(
    "--socket",
    type=click.Path(path_type=Path),
    required=True,
    help="Unix socket to answer on; the agent reaches it as virtual:PATH.",
)
def virtual_lock_command(state: Path, socket: Path) -> None:
    """Run one virtual lock; at a terminal, type on its keypad."""
    asyncio.run(_run(state, socket))


async def _run(state: Path, socket: Path) -> None:
    running = asyncio.create_task(
        serve(state, socket, SystemClock(), has_keypad=sys.stdin.isatty())
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, running.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await running
