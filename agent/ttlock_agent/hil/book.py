"""The run's book: every step on disk before it is taken, so that a power cut leaves a way back.

One JSON object a line, only ever appended, each on the disk before the call returns. A line that a
power cut tore is the last one, and is dropped. Secrets (passcodes to remove, old values, what the
lock held before) stand in it sealed by the agent's vault.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from ttlock_agent.clock import Clock
from ttlock_agent.errors import ConfigError

from .model import Verdict

FILE_NAME: Final = "run.jsonl"
FORMAT: Final = 1


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of all entries; ``at`` is true time."""

    at: datetime


class Opened(Entry, frozen=True, kw_only=True, tag="opened", omit_defaults=True):
    """A process began to work on this run: the first time, or resuming it."""

    format: int = FORMAT
    agent_version: str
    lock: str
    name: str
    address: str
    is_virtual: bool
    config: str
    machine: dict[str, str] = {}
    options: dict[str, int | float | str | bool | None] = {}
    checks: tuple[str, ...] = ()


class Identified(Entry, frozen=True, kw_only=True, tag="identified", omit_defaults=True):
    """What the lock says of itself; no secrets."""

    facts: dict[str, str]


class Acknowledged(Entry, frozen=True, kw_only=True, tag="acknowledged", omit_defaults=True):
    """An interlock was closed, by whom or by what."""

    interlock: str
    how: str


class Began(Entry, frozen=True, kw_only=True, tag="began", omit_defaults=True):
    """A check begins."""

    check: str


class Ended(Entry, frozen=True, kw_only=True, tag="ended", omit_defaults=True):
    """A check has its verdict."""

    check: str
    verdict: Verdict
    seconds: float
    reason: str = ""


class Promised(Entry, frozen=True, kw_only=True, tag="promised", omit_defaults=True):
    """Something is about to be changed; ``sealed`` is what puts it back."""

    promise: int
    what: str
    sealed: bytes


class Kept(Entry, frozen=True, kw_only=True, tag="kept", omit_defaults=True):
    """What was promised is put back."""

    promise: int


class Broken(Entry, frozen=True, kw_only=True, tag="broken", omit_defaults=True):
    """It could not be put back so far."""

    promise: int
    reason: str


class Connected(Entry, frozen=True, kw_only=True, tag="connected", omit_defaults=True):
    """A try to connect."""

    is_ok: bool
    seconds: float
    rssi_dbm: int | None = None
    error: str = ""


class Moved(Entry, frozen=True, kw_only=True, tag="moved", omit_defaults=True):
    """The motor is about to run."""

    check: str


class Measured(Entry, frozen=True, kw_only=True, tag="measured", omit_defaults=True):
    """A number worth a plot."""

    name: str
    value: float
    unit: str
    rssi_dbm: int | None = None


class Answered(Entry, frozen=True, kw_only=True, tag="answered", omit_defaults=True):
    """What the lock answered to an open question; ``quirks`` are settings that follow from it.

    ``question`` is ``D`` and the number of a disagreement, or a topic of its own.
    """

    question: str
    answer: str
    quirks: dict[str, bool | str] = {}


class Snapshot(Entry, frozen=True, kw_only=True, tag="snapshot", omit_defaults=True):
    """What the lock held before the first change, sealed."""

    sealed: bytes


class Left(Entry, frozen=True, kw_only=True, tag="left", omit_defaults=True):
    """How the lock differs from what it was, after everything; empty is as it should be."""

    items: tuple[str, ...] = ()


class Noted(Entry, frozen=True, kw_only=True, tag="noted", omit_defaults=True):
    """Something a check has to remember over a power cut, sealed."""

    name: str
    sealed: bytes


class Closed(Entry, frozen=True, kw_only=True, tag="closed", omit_defaults=True):
    """The run came to its end."""


AnyEntry = (
    Opened
    | Identified
    | Acknowledged
    | Began
    | Ended
    | Promised
    | Kept
    | Broken
    | Connected
    | Moved
    | Measured
    | Answered
    | Snapshot
    | Left
    | Noted
    | Closed
)
E = TypeVar("E", bound=Entry)
_decoder: Final = msgspec.json.Decoder(AnyEntry)


class Book:
    """The entries of one run, in a directory that only its owner may look into."""

    def __init__(self, directory: Path, entries: list[AnyEntry], clock: Clock) -> None:
        self.directory = directory
        self.entries = entries
        self._clock = clock

    @classmethod
    def create(cls, directory: Path, clock: Clock) -> Book:
        """Begin a run in ``directory``, which must not hold one; raises ``ConfigError``."""
        if (directory / FILE_NAME).exists():
            raise ConfigError(
                f"There is a run in {directory} already.",
                hint="Go on with it (--resume DIRECTORY), or name another directory.",
            )
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(directory / FILE_NAME, os.O_WRONLY | os.O_CREAT, 0o600)
            os.close(descriptor)
            _sync(directory)
        except OSError as error:
            raise ConfigError(
                f"No run can be kept in {directory}: {error.strerror}.",
                hint="Name a directory that you may write to.",
            ) from error
        return cls(directory, [], clock)

    @classmethod
    def read(cls, directory: Path, clock: Clock) -> Book:
        """Read a run; raises ``ConfigError`` when there is none or it cannot be understood."""
        path = directory / FILE_NAME
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise ConfigError(
                f"There is no run in {directory}: {error.strerror}.",
                hint="Name the directory that `hil run` printed at its start.",
            ) from error
        entries: list[AnyEntry] = []
        whole = raw[: raw.rfind(b"\n") + 1]
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                entries.append(_decoder.decode(line))
            except msgspec.DecodeError as error:
                raise ConfigError(
                    f"{path}, line {number}, cannot be read.",
                    hint="It was written by another version, or damaged by hand.",
                ) from error
        if len(whole) != len(raw):
            with path.open("r+b") as file:
                file.truncate(len(whole))
                os.fsync(file.fileno())
        return cls(directory, entries, clock)

    def now(self) -> datetime:
        """Return true time, to the millisecond."""
        now = self._clock.now()
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    def write(self, entry: AnyEntry) -> None:
        """Append ``entry``; it is on the disk when this returns."""
        with (self.directory / FILE_NAME).open("ab") as file:
            file.write(msgspec.json.encode(entry) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self.entries.append(entry)

    def all(self, kind: type[E]) -> Iterator[E]:
        """Return the entries of one kind, in order."""
        return (each for each in self.entries if isinstance(each, kind))

    def last(self, kind: type[E]) -> E | None:
        """Return the newest entry of one kind."""
        return next((each for each in reversed(self.entries) if isinstance(each, kind)), None)

    def verdicts(self) -> dict[str, Ended]:
        """Return the last word on each check that has one."""
        return {each.check: each for each in self.all(Ended)}

    def open_promises(self) -> list[Promised]:
        """Return what is still to be put back, newest first."""
        kept = {each.promise for each in self.all(Kept)}
        return [each for each in self.all(Promised) if each.promise not in kept][::-1]


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
