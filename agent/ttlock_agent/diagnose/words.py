"""Small words that several checks use."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ttlock_agent.diagnose.finding import Evidence

MOST_SHOWN: Final = 10
"""So many lines of one kind tell what is the matter."""


def cut(evidence: Iterable[Evidence]) -> list[Evidence]:
    """Return the first few of them, and how many more there are."""
    found = list(evidence)
    if len(found) <= MOST_SHOWN:
        return found
    more = Evidence(f"and {len(found) - MOST_SHOWN} more", found[0].source, found[0].as_of)
    return [*found[:MOST_SHOWN], more]


def counted(number: int, what: str) -> str:
    """Return a number and its noun."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
