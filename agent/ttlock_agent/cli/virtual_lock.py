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

AIR_HELP = """\
Put the locks on the air as Bluetooth peripherals near a virtual adapter, which this kernel takes
for a real one: through /dev/vhci, or as a serial line (uart). Needs root and the extra `air`."""


@click.command("virtual-lock")
@click.option(
    "--state",
    "states",
    type=click.Path(path_type=Path),
    required=True,
    multiple=True,
    help="File that holds the lock's memory; `demo --keep DIRECTORY` leaves one behind.",
)
@click.option(
    "--socket",
    "sockets",
    type=click.Path(path_type=Path),
    required=True,
    multiple=True,
    help="Unix socket to answer on; the agent reaches it as virtual:PATH.",
)
@click.option("--transport", type=click.Choice(["vhci", "uart"]), help=AIR_HELP)
def virtual_lock_command(
    states: tuple[Path, ...], sockets: tuple[Path, ...], transport: str | None
) -> None:
    """Run one virtual lock, or several; at a terminal, type on the keypad of a single one."""
    if len(states) != len(sockets):
        raise click.UsageError("Each --state needs its own --socket.")
    asyncio.run(_run(list(zip(states, sockets, strict=True)), transport))


async def _run(locks: list[tuple[Path, Path]], transport: str | None) -> None:
    running = asyncio.create_task(_serve(locks, transport))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, running.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def _serve(locks: list[tuple[Path, Path]], transport: str | None) -> None:
    clock = SystemClock()
    if transport is not None:
        from ttlock_agent.virtual_lock.air_main import serve_on_air  # noqa: PLC0415 - an extra

        await serve_on_air(locks, transport, clock)
        return
    has_keypad = sys.stdin.isatty() and len(locks) == 1
    # Not a task group, which would wrap the error that the command line explains.
    await asyncio.gather(
        *(serve(state, socket, clock, has_keypad=has_keypad) for state, socket in locks)
    )
