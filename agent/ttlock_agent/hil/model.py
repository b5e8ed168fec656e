"""Checks, verdicts and answers, as values."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NoReturn

from ttlock_protocol.features import Feature

if TYPE_CHECKING:
    from ttlock_agent.hil.rig import Rig

RESERVED_PREFIX: Final = "97"
"""Every passcode of this suite begins so and has nine digits: what is left behind is recognised."""


class Group(StrEnum):
    """Chapters of the suite, in their order."""

    CONTACT = "contact"
    QUESTIONS = "questions"
    READING = "reading"
    PASSCODES = "passcodes"
    CREDENTIALS = "credentials"
    SETTINGS = "settings"
    DOOR = "door"
    ENDURANCE = "endurance"
    DESTRUCTIVE = "destructive"
    LEFTOVERS = "leftovers"


class Need(StrEnum):
    """What a check cannot do without, besides the lock."""

    CHANGES = "changes"
    """It writes something into the lock, and removes it again."""
    MOTOR = "motor"
    """It moves the bolt: the door must stand open."""
    HANDS = "hands"
    """Somebody has to do something at the lock."""
    DESTRUCTIVE = "destructive"
    """It wipes the lock and restores it."""


class Verdict(StrEnum):
    """What became of a check."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


class CheckFailed(Exception):
    """The lock did not do what it must; the text is one sentence for a person."""


class CheckSkipped(Exception):
    """The check means nothing here; the text says why."""


def expect(is_so: object, otherwise: str) -> None:
    """Raise ``CheckFailed`` with the sentence ``otherwise`` unless ``is_so``."""
    if not is_so:
        raise CheckFailed(otherwise)


def skip(reason: str) -> NoReturn:
    """Raise ``CheckSkipped``."""
    raise CheckSkipped(reason)


Run = Callable[["Rig"], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One named test. ``title`` says to a person what the lock must do."""

    name: str
    group: Group
    title: str
    run: Run
    feature: Feature | None = None
    """The lock must have it; otherwise the check is skipped."""
    needs: frozenset[Need] = frozenset()
    motor_runs: int = 0
    answers: tuple[int, ...] = ()
    """Numbers of the disagreements that it asks the lock about."""
    limit_s: float = 180.0
    """A check that takes longer has failed."""


class Chapter:
    """Collects the checks of one group, in the order of their text."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self.checks: list[Check] = []

    def check(
        self,
        name: str,
        title: str,
        *needs: Need,
        feature: Feature | None = None,
        motor_runs: int = 0,
        answers: tuple[int, ...] = (),
        limit_s: float = 180.0,
    ) -> Callable[[Run], Run]:
        """Add the function below as a check; see :class:`Check`."""

        def add(run: Run) -> Run:
            self.checks.append(
                Check(
                    name=name,
                    group=self.group,
                    title=title,
                    run=run,
                    feature=feature,
                    needs=frozenset(needs) | ({Need.MOTOR} if motor_runs else set()),
                    motor_runs=motor_runs,
                    answers=answers,
                    limit_s=limit_s,
                )
            )
            return run

        return add

    def __iter__(self) -> Iterator[Check]:
        return iter(self.checks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long and how often things are tried; hardware needs patience, a virtual lock does not."""

    idle_s: float
    """Without any radio before a lock counts as asleep."""
    person_s: float
    """What a person gets for one thing at the lock."""
    soak: int
    """Deliveries in a row."""
    range_tries: int
    """Connections that tell how well the lock is reached."""
    cuts: tuple[float, ...]
    """How far into a delivery the power is cut, as shares of what one takes."""
    pause_s: float
    """Between two tries to connect."""
    heard_s: float
    """In which an advertisement is heard; a radio that listens in turns takes a minute for one."""
    listen_s: float
    """In which a lock at rest must advertise, if it does that at all."""
    silence_s: float
    """Without an answer, after which none comes."""
    slack_s: float
    """What a motor may take longer than its delay."""


FIELD_PACE: Final = Pace(
    idle_s=90.0,
    person_s=60.0,
    soak=10,
    range_tries=10,
    cuts=(0.25, 0.5, 0.75),
    pause_s=2.0,
    heard_s=120.0,
    listen_s=25.0,
    silence_s=2.0,
    slack_s=3.0,
)
BENCH_PACE: Final = Pace(
    idle_s=0.5,
    person_s=10.0,
    soak=3,
    range_tries=3,
    cuts=(0.5,),
    pause_s=0.1,
    heard_s=10.0,
    listen_s=1.2,
    silence_s=0.4,
    slack_s=0.3,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a run may cost the lock, and from when on it does not begin."""

    connections: int = 250
    motor_runs: int = 24
    battery_percent: int = 30
    rssi_dbm: int = -85
    door_open_s: float = 900.0
    """For how long a person's word that the door stands open counts."""


DEFAULT_LIMITS: Final = Limits()
