"""How far the long jobs are: kept in memory only, for whoever waits for an answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from ttlock_agent.clock import Clock

TELL_EVERY_S: Final = 1.0
"""Often enough for a person who watches, seldom enough for the disk that each ring wakes."""


class Progress:
    """What each job is at, by its id."""

    def __init__(self, clock: Clock, ring: Callable[[], None]) -> None:
        """``ring`` tells those who wait that there is something new."""
        self._clock = clock
        self._ring = ring
        self._steps: dict[str, dict[str, Any]] = {}
        self._listeners: Counter[str] = Counter()
        self._whispers: dict[str, dict[str, Any]] = {}
        self._rang_at_s = 0.0

    def tell(self, job_id: str, doing: str, count: int, total: int | None = None) -> None:
        """Note that ``count`` (of ``total``, if that is known) of something is done."""
        before = self._steps.get(job_id, {})
        step: dict[str, Any] = {"doing": doing, "count": count}
        self._steps[job_id] = step if total is None else step | {"total": total}
        is_new = before.get("doing") != doing
        if is_new or self._clock.monotonic() >= self._rang_at_s + TELL_EVERY_S:
            self._rang_at_s = self._clock.monotonic()
            self._ring()

    def of(self, job_id: str) -> dict[str, Any] | None:
        """Return what a job is at, if it has said anything."""
        return self._steps.get(job_id)

    def forget(self, job_id: str) -> None:
        """Note that a job rests or is over."""
        self._steps.pop(job_id, None)

    @contextmanager
    def listener(self, job_id: str) -> Iterator[None]:
        """Have secrets that a job yields kept for as long as somebody waits for them."""
        self._listeners[job_id] += 1
        try:
            yield
        finally:
            self._listeners[job_id] -= 1
            if not self._listeners[job_id]:
                del self._listeners[job_id]
                self._whispers.pop(job_id, None)

    def whisper(self, job_id: str, secret: dict[str, Any]) -> None:
        """Keep ``secret``, part of a job's answer, for those who listen; it is written nowhere."""
        if job_id in self._listeners:
            self._whispers[job_id] = secret

    def whispered(self, job_id: str) -> dict[str, Any]:
        """Return what was whispered."""
        return self._whispers.get(job_id, {})
