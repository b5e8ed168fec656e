"""The 44 disagreements, each with the check that asks the lock about it, or the reason for none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import yaml

from ttlock_protocol.disagreements import DISAGREEMENTS

from .book import Answered, Book
from .catalogue import CHECKS

_BOTH_WAYS: Final = "every variant is understood, so that nothing follows from it"
UNASKED: Final[Mapping[int, str]] = MappingProxyType(
    {
        2: "asked by contact.find, and only of a lock whose frames all look damaged",
        4: "shows only beyond 16 million resets of the eKeys",
        16: _BOTH_WAYS,
        22: f"{_BOTH_WAYS}; the reset is proved by the setting mode",
        27: "guesses are not sent to a lock",
        30: "only a lock that refuses a larger secret would tell; ours are small",
        37: "an answer with CR LF inside would be cut short; all answers were whole",
        41: _BOTH_WAYS,
    }
)
"""Why a disagreement has no probe of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One row for the report."""

    name: str
    topic: str
    decision: str
    answer: str
    by: str


def questions(book: Book) -> list[Question]:
    """Return all 44, with what this lock answered; then the questions nobody had written down."""
    answers = {each.question: each.answer for each in book.all(Answered)}
    asked = {number: check.name for check in CHECKS for number in check.answers}
    rows = [
        Question(
            name=f"D{each.number}",
            topic=each.topic,
            decision=each.decision,
            answer=answers.pop(f"D{each.number}", ""),
            by=asked.get(each.number) or UNASKED[each.number],
        )
        for each in DISAGREEMENTS
    ]
    return rows + [
        Question(name="", topic=topic, decision="", answer=answer, by="")
        for topic, answer in answers.items()
    ]


def learnt_quirks(book: Book) -> dict[str, bool | str]:
    """Return the settings that follow from the lock's answers."""
    found: dict[str, bool | str] = {}
    for each in book.all(Answered):
        found |= each.quirks
    return found


def as_yaml(lock: str, quirks: Mapping[str, bool | str]) -> str:
    """Return the lines for the configuration; empty when there is nothing to set."""
    if not quirks:
        return ""
    body = yaml.safe_dump({"quirks": dict(quirks)}, sort_keys=True)
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return f"locks:\n  - id: {lock}\n{lines}"
