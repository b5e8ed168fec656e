"""What a status says of a lock: what is known, whoever learnt it, and when."""

from __future__ import annotations

from typing import Any, Final

from ttlock_agent.jobs.drift import drift_s_per_day
from ttlock_agent.jobs.heard import Heard
from ttlock_agent.jobs.memory import CLOCK, CLOCK_HISTORY, STATE, USAGE
from ttlock_agent.jobs.signal import SIGNAL, described
from ttlock_agent.jobs.store import Journal

SHOWN_HISTORY: Final = 5
"""So many of the last readings of a clock; `clock.read` has all."""
SHOWN_DAYS: Final = 7


async def lock_facts(journal: Journal, lock: str, heard: Heard) -> dict[str, Any]:
    """Return what is known of a lock: from the journal, and from what it says by itself."""
    usage = await journal.last_known(lock, USAGE)
    signal = await journal.last_known(lock, SIGNAL)
    return {
        "state": heard.facts(lock, await journal.last_known(lock, STATE)),
        "clock": await _clock(journal, lock),
        "usage": None if usage is None else usage.value,
        "signal": [] if signal is None else described(signal.value)[-SHOWN_DAYS:],
    }


async def _clock(journal: Journal, lock: str) -> dict[str, Any] | None:
    known = await journal.last_known(lock, CLOCK)
    if known is None:
        return None
    past = await journal.last_known(lock, CLOCK_HISTORY)
    history = [] if past is None else past.value
    return {
        **known.value,
        "as_of": known.as_of.isoformat(timespec="seconds"),
        "drift_s_per_day": drift_s_per_day(history),
        "history": history[-SHOWN_HISTORY:],
    }
