"""How often the cloud is asked: what the budget allows, and patience after trouble. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from ttlock_agent.cloud.errors import CloudRefused, ErrorClass, QuotaExhausted
from ttlock_agent.errors import CloudError

LOOKS_SHARE: Final = 0.9
"""Of the budget; the rest is for probes, tokens, records of what the agent did, and mishaps."""
FIRST_PAUSE_S: Final = 60.0
CLOCK_PAUSE_S: Final = 300.0
"""A clock without battery is right within minutes of having a network."""
MISCONFIGURED_PAUSE_S: Final = 6 * 3600.0
"""A person must act; until then each try may count against the account."""


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


def pause_s(error: CloudError, *, failures: int, interval_s: float, now: datetime) -> float:
    """Return how long to wait after the ``failures``-th failure in a row."""
    if isinstance(error, QuotaExhausted):
        return max(FIRST_PAUSE_S, (error.resets_at - now).total_seconds())
    if isinstance(error, CloudRefused):
        if error.row.error_class is ErrorClass.CONFIGURATION:
            return max(interval_s, MISCONFIGURED_PAUSE_S)
        if error.row.error_class is ErrorClass.OWN_CLOCK:
            return min(interval_s, CLOCK_PAUSE_S)
    # Doubling, but no rarer than in good times: an outage must not cost more than it lasts.
    return float(min(interval_s, FIRST_PAUSE_S * 2 ** min(failures - 1, 20)))
