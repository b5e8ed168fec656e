"""``ttlock-agent virtual-lock``: a lock to try things on."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from pathlib import Path

import click

from ttlock_agent.clock import SystemClock
from ttlock_agent.virtual_lock.main import read_faults, serve
from ttlock_agent.virtual_lock.new import create_factory_lock, create_paired_lock
from ttlock_protocol.virtual import Faults

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
    help="File that holds the lock's memory; --new and --factory make one.",
)
@click.option(
    "--socket",
    "sockets",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Unix socket to answer on (default: beside the state, FILE.sock). The agent reaches the"
    " lock as virtual:PATH.",
)
@click.option(
    "--new",
    "new_keys",
    type=click.Path(path_type=Path),
    help="Make the lock first, and its keys: they go to this file, which `keys import` takes.",
)
@click.option("--factory", is_flag=True, help="Make the lock first, without any administrator.")
@click.option(
    "--faults",
    "faults_file",
    type=click.Path(path_type=Path),
    help="JSON file of what goes wrong on the way.",
)
@click.option("--transport", type=click.Choice(["vhci", "uart"]), help=AIR_HELP)
def virtual_lock_command(
    states: tuple[Path, ...],
    sockets: tuple[Path, ...],
    new_keys: Path | None,
    faults_file: Path | None,
    transport: str | None,
    *,
    factory: bool,
) -> None:
    """Run one virtual lock, or several; at a terminal, type on the keypad of a single one.

    To begin with: ttlock-agent virtual-lock --state lock.json --new lock-keys.json
    """
    sockets = sockets or tuple(state.with_name(f"{state.name}.sock") for state in states)
    if len(states) != len(sockets):
        raise click.UsageError("Each --state needs its own --socket.")
    if (new_keys is not None or factory or faults_file is not None) and len(states) > 1:
        raise click.UsageError("--new, --factory and --faults are for a single lock.")
    if new_keys is not None and factory:
        raise click.UsageError("A lock is --new or from the --factory, not both.")
    if transport is not None and faults_file is not None:
        raise click.UsageError("--faults are for a lock on a socket, not for one on the air.")
    faults = read_faults(faults_file) if faults_file is not None else None
    now = SystemClock().now().astimezone()
    assert now.tzinfo is not None
    if new_keys is not None:
        create_paired_lock(states[0], new_keys, now=now, zone=now.tzinfo)
    elif factory:
        create_factory_lock(states[0], now=now, zone=now.tzinfo)
    asyncio.run(_run(list(zip(states, sockets, strict=True)), transport, faults))


async def _run(
    locks: list[tuple[Path, Path]], transport: str | None, faults: Faults | None
) -> None:
    running = asyncio.create_task(_serve(locks, transport, faults))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, running.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def _serve(
    locks: list[tuple[Path, Path]], transport: str | None, faults: Faults | None
) -> None:
    clock = SystemClock()
    if transport is not None:
        from ttlock_agent.virtual_lock.air_main import serve_on_air  # noqa: PLC0415 - an extra

        await serve_on_air(locks, transport, clock)
        return
    has_keypad = sys.stdin.isatty() and len(locks) == 1
    # Not a task group, which would wrap the error that the command line explains.
    await asyncio.gather(
        *(
            serve(state, socket, clock, has_keypad=has_keypad, faults=faults)
            for state, socket in locks
        )
    )
