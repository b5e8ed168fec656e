"""How often the cloud may be asked within a month's budget of calls. Pure.

For the watch, which keeps to it, and for the check of a configuration, which says it beforehand.
"""

from __future__ import annotations

from typing import Final

LOOKS_SHARE: Final = 0.9
"""Of the budget; the rest is for probes, tokens, records of what the agent did, and mishaps."""


def calls_per_look(locks: int) -> int:
    """Return the fewest calls of a look: the account's gateways, and two lists for each lock."""
    return 1 + 2 * locks


def interval_s(wanted_s: float, *, locks: int, calls_left: int, month_ends_in_s: float) -> float:
    """Return how long to wait between two looks, so that the calls last until the month ends.

    Never less than ``wanted_s``. Without calls it is the rest of the month.
    """
    looks = calls_left * LOOKS_SHARE / calls_per_look(locks)
    if looks < 1:
        return max(wanted_s, month_ends_in_s)
    return max(wanted_s, month_ends_in_s / looks)
