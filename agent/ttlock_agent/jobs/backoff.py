"""How long to wait before the next attempt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

FIRST_PAUSE_S: Final = 2.0
"""A lock that has just dropped the link usually takes a new one after this."""
LONGEST_PAUSE_S: Final = 300.0
"""A lock that is out of reach costs only radio time; five minutes keeps most promises in time."""
_SPREAD: Final = 0.5


def pause_s(attempts: int, random: Callable[[], float]) -> float:
    """Return the pause after ``attempts`` (1 or more) failures; ``random`` gives 0 to 1.

    Doubles each time up to five minutes, spread by half so that several agents do not keep step.
    """
    pause = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * float(1 << min(attempts - 1, 10)))
    return pause * (1 - _SPREAD / 2 + _SPREAD * random())
