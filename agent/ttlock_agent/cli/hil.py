"""``ttlock-agent hil``: the technician's suite for a real lock."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import sys
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from ttlock_agent.cli.one_shot import owner_of
from ttlock_agent.clock import SystemClock
from ttlock_agent.config import load_config
from ttlock_agent.errors import EX_OK, EX_REJECTED, EX_TRY_LATER
from ttlock_agent.hil.book import Book, Closed, Opened
from ttlock_agent.hil.catalogue import CHECKS, choose
from ttlock_agent.hil.hands import AtTerminal, Nobody, Person
from ttlock_agent.hil.model import DEFAULT_LIMITS, Check, Limits, Verdict
from ttlock_agent.hil.report import write_report
from ttlock_agent.hil.report.account import account_of
from ttlock_agent.hil.session import Options, Session, open_session, resumed
from ttlock_agent.link.virtual import ADDRESS_PREFIX
from ttlock_agent.logs import LogLevel, Redactor, configure_logging

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
_DIRECTORY = click.Path(path_type=Path, file_okay=False, resolve_path=True)
"""Whole, for agents of the run are started elsewhere, and it may be resumed from elsewhere."""


@click.group("hil")
def hil_command() -> None:
    """Test a real lock from the Pi beside it, and print a page to sign.

    Stop the service first (sudo systemctl stop ttlock-agent): the suite takes the radio for itself.
    To try it without a lock: ttlock-agent hil run --lock virtual:front-door
    """


@hil_command.command("list")
def list_command() -> None:
    """List the checks: name, what it needs, what the lock must do."""
    for check in CHECKS:
        needs = ",".join(sorted(need.value for need in check.needs)) or "-"
        click.echo(f"{check.group.value:12} {check.name:24} {needs:22} {check.title}")


def _limits(command: F) -> F:
    """Add what a run may cost, and from when on it does not begin."""
    for name, words in (
        ("connections", "Most connections of the run."),
        ("motor-runs", "Most runs of the motor."),
        ("battery", "Least battery in percent to begin with."),
        ("rssi", "Least signal in dBm to begin with."),
    ):
        option = f"--{'max' if name in ('connections', 'motor-runs') else 'min'}-{name}"
        command = click.option(
            option, type=int, default=_default(name), show_default=True, help=words
        )(command)
    return command


def _default(name: str) -> int:
    known = {"battery": "battery_percent", "rssi": "rssi_dbm"}
    return int(getattr(DEFAULT_LIMITS, known.get(name, name.replace("-", "_"))))


@hil_command.command("run")
@click.option("--lock", help="Its id in the configuration; virtual:NAME makes one up.")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    default=Path("/etc/ttlock-agent/agent.yaml"),
    show_default=True,
    help="Configuration of the agent.",
)
@click.option("--run", "directory", type=_DIRECTORY, help="Keep the run here (default: a new one).")
@click.option("--resume", type=_DIRECTORY, help="Go on with the run in this directory.")
@click.option("--only", multiple=True, help="Checks or groups to run, as `hil list` names them.")
@click.option("--skip", multiple=True, help="Checks or groups to leave out.")
@click.option("--destructive", is_flag=True, help="Also back up, WIPE, enrol and restore the lock.")
@click.option("--unattended", is_flag=True, help="Ask nobody; what needs a person is skipped.")
@click.option("--confirm", help="The lock's id once more, instead of typing it.")
@click.option("--mac-digits", help="Last six digits of its address, instead of typing them.")
@click.option("--door-open", is_flag=True, help="The door stands open, and will for 15 minutes.")
@click.option("--soak", type=click.IntRange(1, 10000), help="Deliveries in a row.")
@_limits
def run_command(
    *,
    lock: str | None,
    config: Path,
    directory: Path | None,
    resume: Path | None,
    only: tuple[str, ...],
    skip: tuple[str, ...],
    destructive: bool,
    unattended: bool,
    confirm: str | None,
    mac_digits: str | None,
    door_open: bool,
    soak: int | None,
    max_connections: int,
    max_motor_runs: int,
    min_battery: int,
    min_rssi: int,
) -> None:
    """Test one lock. Exit 0: all passed. 65: a check failed. 75: stopped, to be resumed."""
    clock, person = SystemClock(), _person(is_there=not unattended)
    _become_owner(lock, config, resume)
    answers: dict[str, Any] = {
        "confirmed": confirm,
        "mac_digits": mac_digits,
        "is_door_open": door_open,
    }
    if resume is not None:
        book = Book.read(resume, clock)
        options, checks = resumed(book, **answers)
    elif lock is None:
        raise click.UsageError("Name the lock: --lock ID, or --resume DIRECTORY.")
    else:
        limits = Limits(
            connections=max_connections,
            motor_runs=max_motor_runs,
            battery_percent=min_battery,
            rssi_dbm=min_rssi,
        )
        options = Options(lock=lock, config=config, soak=soak, limits=limits, **answers)
        checks = choose(only=only, without=skip, is_destructive=destructive)
        book = Book.create(directory or _new_directory(lock, config), clock)
    click.echo(f"run: {book.directory}")
    try:
        _in_session(book, options, checks, person, lambda session: session.run(checks))
    finally:
        _tell(book)
    _leave(book)


@hil_command.command("clean-up")
@click.argument("directory", type=_DIRECTORY)
@click.option("--confirm", help="The lock's id, instead of typing it.")
@click.option("--unattended", is_flag=True, help="Ask nobody.")
def clean_up_command(directory: Path, *, confirm: str | None, unattended: bool) -> None:
    """Put back what an aborted run in DIRECTORY left in the lock, and compare the whole lock."""
    _become_owner(None, None, directory)
    book = Book.read(directory, SystemClock())
    options, _ = resumed(book, confirmed=confirm)
    checks = choose(only=("leftovers",))

    async def clean(session: Session) -> None:
        await session.go_on()
        for check in checks:
            await session.judge(check)

    _in_session(book, options, checks, _person(is_there=not unattended), clean)
    write_report(book)
    looked = book.verdicts().get("leftovers.none")
    is_clean = looked is not None and looked.verdict is Verdict.PASSED
    click.echo("the lock is as it was" if is_clean else "something is left behind: see above")
    sys.exit(EX_OK if is_clean else EX_TRY_LATER)


@hil_command.command("report")
@click.argument("directory", type=_DIRECTORY)
@click.option("--out", type=_DIRECTORY, help="Write the files here.")
def report_command(directory: Path, *, out: Path | None) -> None:
    """Write report.html and junit.xml of the run in DIRECTORY anew."""
    for path in write_report(Book.read(directory, SystemClock()), out):
        click.echo(str(path))


def _person(*, is_there: bool) -> Person:
    return AtTerminal() if is_there else Nobody()


def _become_owner(lock: str | None, config: Path | None, run: Path | None) -> None:
    """Go on as whom the agent's state belongs to, or the run that is resumed.

    Root would leave files that neither the service nor the next part of the run can write.
    """
    if os.geteuid() != 0:
        return
    place = run
    if place is None and config is not None and not (lock or "").startswith(ADDRESS_PREFIX):
        place = load_config(config).agent.state_directory
    owner = {} if place is None else owner_of(place)
    if owner:
        os.setgroups(owner["extra_groups"])
        os.setgid(owner["group"])
        os.setuid(owner["user"])


def _new_directory(lock: str, config: Path) -> Path:
    stamp = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{lock.removeprefix(ADDRESS_PREFIX)}"
    if lock.startswith(ADDRESS_PREFIX):
        return Path("hil-runs").absolute() / stamp
    return load_config(config).agent.state_directory / "hil" / stamp


def _in_session(
    book: Book,
    options: Options,
    checks: tuple[Check, ...],
    person: Person,
    do: Callable[[Session], Coroutine[Any, Any, None]],
) -> None:
    """Run ``do`` until it ends, or SIGTERM or Ctrl-C end it in order."""
    redactor = Redactor()
    # Open until the command ends: what goes wrong later is logged, too.
    log = click.get_current_context().with_resource(
        (book.directory / "suite.log").open("a", encoding="utf-8")
    )

    async def session() -> None:
        async with open_session(
            options,
            book,
            checks=checks,
            person=person,
            clock=SystemClock(),
            randbelow=secrets.randbelow,
            register_secret=redactor.register,
        ) as opened:
            await do(opened)

    async def until_told() -> None:
        running = asyncio.create_task(session())
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, running.cancel)
        await running

    configure_logging(LogLevel.INFO, redactor, stream=log)
    try:
        asyncio.run(until_told())
    except asyncio.CancelledError:
        click.echo("\nstopped", err=True)


def _tell(book: Book) -> None:
    """Say how it stands, where the report is, and how to go on."""
    if book.last(Opened) is None:
        return  # nothing happened that could be told
    verdicts = [each.verdict for each in book.verdicts().values()]
    counts = ", ".join(f"{verdicts.count(each)} {each.value}" for each in Verdict)
    click.echo(f"\n{counts}")
    for path in write_report(book):
        click.echo(f"  {path}")
    if lines := account_of(book).quirks_yaml:
        click.echo(f"\nthis lock wants, in the configuration:\n{lines}")
    if book.last(Closed) is None:
        click.echo(f"to go on:    ttlock-agent hil run --resume {book.directory}")
    left = book.verdicts().get("leftovers.none")
    if left is None or left.verdict is Verdict.FAILED:
        click.echo(f"to clean up: ttlock-agent hil clean-up {book.directory}")


def _leave(book: Book) -> NoReturn:
    if book.last(Closed) is None:
        sys.exit(EX_TRY_LATER)
    failed = any(each.verdict is Verdict.FAILED for each in book.verdicts().values())
    sys.exit(EX_REJECTED if failed else EX_OK)
