"""How long to wait after trouble with the cloud, by what kind it is. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from ttlock_agent.cloud.errors import CloudRefused, ErrorClass, QuotaExhausted
from ttlock_agent.errors import CloudError

FIRST_PAUSE_S: Final = 60.0
CLOCK_PAUSE_S: Final = 300.0
"""A clock without battery is right within minutes of having a network."""
COUNTED_AGAIN_AFTER_S: Final = 3600.0
"""Whether calls are left is looked up here and costs none, and the clock, by which the month ends,
may be set meanwhile."""
MISCONFIGURED_PAUSE_S: Final = 6 * 3600.0
"""A person must act; until then each try may count against the account."""


def pause_s(error: CloudError, *, failures: int, interval_s: float, now: datetime) -> float:
    """Return how long to wait after the ``failures``-th failure in a row."""
    if isinstance(error, QuotaExhausted):
        left_s = (error.resets_at - now).total_seconds()
        return min(max(FIRST_PAUSE_S, left_s), COUNTED_AGAIN_AFTER_S)
    if isinstance(error, CloudRefused):
        if error.row.error_class is ErrorClass.CONFIGURATION:
            return max(interval_s, MISCONFIGURED_PAUSE_S)
        if error.row.error_class is ErrorClass.OWN_CLOCK:
            return min(interval_s, CLOCK_PAUSE_S)
    # Doubling, but no rarer than in good times: an outage must not cost more than it lasts.
    return float(min(interval_s, FIRST_PAUSE_S * 2 ** min(failures - 1, 20)))
