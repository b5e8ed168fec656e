"""How well a lock is reached, day by day: connections tried and made, and how it was heard.

Kept in the journal beside the battery's usage, a few hundred bytes a lock. Signal strengths are
counted, not listed, so that a day has its median whatever its number of connections.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

SIGNAL: Final = "signal"
MAX_DAYS: Final = 30

Days = Sequence[Mapping[str, Any]]
"""As they are kept: ``day``, ``connected``, ``lost``, ``failed`` by error code, ``heard`` as counts
by dBm; the oldest first."""


def with_connection(days: Days, today: str, rssi_dbm: int | None) -> list[dict[str, Any]]:
    """Return ``days`` with one more connection that came about."""
    *earlier, day = _until(days, today)
    day["connected"] += 1
    if rssi_dbm is not None:
        key = str(rssi_dbm)
        day["heard"] = {**day["heard"], key: day["heard"].get(key, 0) + 1}
    return [*earlier, day]


def with_failure(days: Days, today: str, code: str) -> list[dict[str, Any]]:
    """Return ``days`` with one more try that came to nothing, for the reason ``code``."""
    *earlier, day = _until(days, today)
    day["failed"] = {**day["failed"], code: day["failed"].get(code, 0) + 1}
    return [*earlier, day]


def with_loss(days: Days, today: str) -> list[dict[str, Any]]:
    """Return ``days`` with one of its connections broken before its end."""
    *earlier, day = _until(days, today)
    day["lost"] += 1
    return [*earlier, day]


def described(days: Days) -> list[dict[str, Any]]:
    """Return ``days`` for people: tries, successes, and the strength of the signal in dBm."""
    return [
        {
            "day": day["day"],
            "tried": day["connected"] + sum(day["failed"].values()),
            "connected": day["connected"],
            "lost": day["lost"],
            "failed": dict(day["failed"]),
            "rssi_min_dbm": min((int(dbm) for dbm in day["heard"]), default=None),
            "rssi_median_dbm": median_dbm([day]),
        }
        for day in days
    ]


def median_dbm(days: Days) -> int | None:
    """Return the median strength (the lower one of two) over ``days``, if any is known."""
    heard = sorted((int(dbm), count) for day in days for dbm, count in day["heard"].items())
    left = (sum(count for _, count in heard) + 1) // 2
    for dbm, count in heard:
        left -= count
        if left <= 0:
            return dbm
    return None


def _until(days: Days, today: str) -> list[dict[str, Any]]:
    kept = [dict(day) for day in days]
    if not kept or kept[-1]["day"] != today:
        kept.append({"day": today, "connected": 0, "lost": 0, "failed": {}, "heard": {}})
    return kept[-MAX_DAYS:]
