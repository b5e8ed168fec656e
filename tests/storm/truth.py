"""What the agent said, held against what the locks hold."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .air import local
from .house import House

Place = tuple[str, str]
"""A lock, and digits."""
OPEN = ("accepted", "waiting", "working", "unknown")


def is_quiet(stage: House) -> bool:
    """Whether the journal has neither open jobs nor anything to say, and nobody is connected."""
    if any(door.link is not None and door.link.is_open for door in stage.doors.values()):
        return False
    jobs = rows(stage, f"SELECT count(*) FROM jobs WHERE state IN {OPEN}")
    return jobs == [(0,)] and rows(stage, "SELECT count(*) FROM outbox") == [(0,)]


def rows(stage: House, sql: str) -> list[tuple[Any, ...]]:
    """What stands in the journal."""
    with closing(sqlite3.connect(stage.state / "journal.db")) as connection:
        return connection.execute(sql).fetchall()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What one request, or one entry of a set, asks of one lock."""

    door: str
    digits: str
    is_wanted: bool
    valid_until: datetime | None = None


class Ledger:
    """Every request that was asked, and what follows from the answers to all of them."""

    def __init__(self, stage: House) -> None:
        self._stage = stage
        self._wishes: dict[str, Wish] = {}
        """By request id."""
        self._sets: dict[str, dict[str, Wish]] = {}
        """By request id of a set, and label."""
        self._others: set[str] = set()
        self._held_before = {name: frozenset(door.held) for name, door in stage.doors.items()}

    @property
    def ids(self) -> set[str]:
        """All that must be answered."""
        return {*self._wishes, *self._sets, *self._others}

    def ask(self, verb: str, wish: Wish | None = None, **body: Any) -> None:
        """Have a caller ask, and remember what for."""
        if wish is not None:
            self._wishes[body["id"]] = wish
        else:
            self._others.add(body["id"])
        self._stage.broker.ask(verb, **body)

    def ask_set(self, by_label: dict[str, Wish], **body: Any) -> None:
        """Have the owner of a set ask.

        ``by_label`` are all passcodes it may be about, those of later sets included: one may come
        before another.
        """
        self._sets[body["id"]] = by_label
        self._stage.broker.ask("passcode.sync", **body)

    def faults(self) -> list[str]:
        """Everything that was lost, doubled or wrongly reported."""
        found = [f"the agent ended by itself: {each}" for each in self._stage.deaths]
        for name, door in self._stage.doors.items():
            found += [f"{name} added a passcode twice" for _ in door.added_twice()]
            found += [f"{name} was asked twice without a reading" for _ in door.asked_blindly()]
        for request_id in sorted(self.ids):
            contents = {
                json.dumps(each, sort_keys=True) for each in self._stage.broker.answers(request_id)
            }
            if len(contents) != 1:
                found.append(f"{request_id} was answered in {len(contents)} ways: {contents}")
        if not is_quiet(self._stage):
            found.append("something is left to do")
        return found + self._wrong_reports()

    def _wrong_reports(self) -> list[str]:
        """Replay what was proved, in the order in which the journal accepted it."""
        holds: dict[Place, Wish | None] = {}
        for request_id, job_id, state in rows(
            self._stage, "SELECT request_id, id, state FROM jobs ORDER BY seq"
        ):
            wish = self._wishes.get(request_id) or self._part(job_id)
            if wish is None:
                continue
            key = wish.door, wish.digits
            if state == "proved":
                holds[key] = wish
            elif state == "outcome_unknown":
                holds[key] = None
        return [*self._broken_promises(holds), *self._surprises(holds)]

    def _broken_promises(self, holds: Mapping[Place, Wish | None]) -> Iterator[str]:
        for (name, digits), wish in holds.items():
            if wish is None:
                continue
            held = self._stage.doors[name].held.get(digits)
            if wish.is_wanted is not (held is not None):
                words = "there" if wish.is_wanted else "gone"
                yield f"{name}: a passcode was proved to be {words}, and is not"
            elif held is not None and held.valid_until != local(wish.valid_until):
                yield f"{name}: a passcode has another end than was proved"

    def _surprises(self, holds: Mapping[Place, Wish | None]) -> Iterator[str]:
        for name, door in self._stage.doors.items():
            before = self._held_before[name]
            for digits in before - set(door.held):
                if (name, digits) not in holds:
                    yield f"{name}: a passcode that nobody asked about is gone"
            for digits in set(door.held) - before:
                if not self._is_known(name, digits):
                    yield f"{name}: a passcode that nobody asked for is there"

    def _is_known(self, door: str, digits: str) -> bool:
        listed = self._stage.world.locks[0].listed if self._stage.world else []
        wishes = [*self._wishes.values()]
        wishes += [wish for by_label in self._sets.values() for wish in by_label.values()]
        return any(wish.door == door and wish.digits == digits for wish in wishes) or any(
            entry.digits == digits for entry in listed
        )

    def _part(self, job_id: str) -> Wish | None:
        """What a part of a set was about, by the answer to the set."""
        for request_id, by_label in self._sets.items():
            for answer in self._stage.broker.answers(request_id):
                for entry in answer.get("passcodes", ()):
                    if entry.get("job") == job_id:
                        wish = by_label[entry["label"]]
                        if entry["act"] != "delete":
                            return wish
                        return Wish(door=wish.door, digits=wish.digits, is_wanted=False)
        return None
