"""Whether the owner tasks make progress: what the service manager's watchdog is fed by.

Watched is what depends on this machine alone: the radio, the deadlines, the requests on their way
into the journal, the gateway watch, what goes round by the hour; and that the cloud is looked at at
all. A broker or a cloud that is slow is no reason to start the agent anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ttlock_agent.clock import Clock


class Heartbeats:
    """Knows when each task last made progress, and which are overdue."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due_at_s: dict[str, float] = {}

    def loop(self, name: str, *, limit_s: float) -> Callable[[], None]:
        """Watch a task that never rests; it calls what is returned at least every ``limit_s``."""

        def beat() -> None:
            self._due_at_s[name] = self._clock.monotonic() + limit_s

        beat()
        return beat

    @contextmanager
    def duty(self, name: str, *, limit_s: float) -> Iterator[None]:
        """Watch a piece of work, which must end within ``limit_s``; one of a name at a time."""
        self._due_at_s[name] = self._clock.monotonic() + limit_s
        try:
            yield
        finally:
            del self._due_at_s[name]

    def overdue(self) -> list[str]:
        """Return the names of the tasks that should have made progress by now."""
        now_s = self._clock.monotonic()
        return [name for name, due_at_s in self._due_at_s.items() if due_at_s < now_s]
