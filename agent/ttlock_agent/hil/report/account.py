"""A run's book, summed up for its reports: no secret is left in here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from ttlock_agent.hil.book import (
    Acknowledged,
    Book,
    Broken,
    Closed,
    Connected,
    Ended,
    Identified,
    Left,
    Measured,
    Moved,
    Opened,
)
from ttlock_agent.hil.catalogue import CHECKS
from ttlock_agent.hil.model import Check, Verdict
from ttlock_agent.hil.questions import Question, as_yaml, learnt_quirks, questions
from ttlock_agent.link.virtual import ADDRESS_PREFIX

NOT_RUN: Final = "not run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One check and what became of it; ``verdict`` is ``None`` where the run never got there."""

    check: Check
    verdict: Verdict | None
    seconds: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Everything that the reports say."""

    opened: Opened
    finished_at: datetime | None
    facts: dict[str, str]
    rows: list[Row]
    questions: list[Question]
    quirks_yaml: str
    connections: list[Connected]
    motor_runs: int
    measures: list[Measured]
    interlocks: list[Acknowledged]
    left: list[str] | None
    """How the lock differs from what it was; ``None`` when nobody looked."""
    visits: int
    """How many processes worked on the run: more than one when it was resumed."""

    @property
    def name(self) -> str:
        """The lock's name for people."""
        return self.opened.name

    def count(self, verdict: Verdict | None) -> int:
        """Return how many checks ended so; ``None``: never ran."""
        return sum(row.verdict is verdict for row in self.rows)

    @property
    def is_complete(self) -> bool:
        """Whether the run came to its end."""
        return self.finished_at is not None and not self.count(None)

    @property
    def is_good(self) -> bool:
        """Whether it did, and nothing failed."""
        return self.is_complete and not self.count(Verdict.FAILED)


def account_of(book: Book) -> Account:
    """Sum up ``book``, which somebody opened a lock with."""
    opened = next(book.all(Opened))
    verdicts: dict[str, Ended] = book.verdicts()
    closed = book.last(Closed)
    identified = book.last(Identified)
    lock = opened.lock.removeprefix(ADDRESS_PREFIX)
    return Account(
        opened=opened,
        finished_at=None if closed is None else closed.at,
        facts={} if identified is None else identified.facts,
        rows=[_row(check, verdicts) for check in CHECKS if check.name in opened.checks],
        questions=questions(book),
        quirks_yaml=as_yaml(lock, learnt_quirks(book)),
        connections=list(book.all(Connected)),
        motor_runs=sum(1 for _ in book.all(Moved)),
        measures=list(book.all(Measured)),
        interlocks=list(book.all(Acknowledged)),
        left=_left(book),
        visits=sum(1 for _ in book.all(Opened)),
    )


def _row(check: Check, verdicts: dict[str, Ended]) -> Row:
    ended = verdicts.get(check.name)
    if ended is None:
        return Row(check=check, verdict=None, seconds=0.0, reason=NOT_RUN)
    return Row(check=check, verdict=ended.verdict, seconds=ended.seconds, reason=ended.reason)


def _left(book: Book) -> list[str] | None:
    reasons = {each.promise: each.reason for each in book.all(Broken)}
    promised = [
        f"{each.what}: {reasons.get(each.promise, 'not put back yet')}"
        for each in book.open_promises()
    ]
    compared = book.last(Left)
    if compared is None and not promised:
        return None
    return promised + ([] if compared is None else list(compared.items))
