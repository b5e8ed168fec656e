"""Fixtures every test gets: nothing that is logged may hold a secret or fail to format."""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import structlog
from structlog.typing import EventDict, WrappedLogger

from ttlock_agent.logs import TRACE, Redactor, bound_logger, common_processors

# A busy machine is no failure: hypothesis would otherwise judge single examples by the clock.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

WELL_KNOWN_PASSCODES = ("555666", "777888", "999000", "1123334", "004711")
"""The passcodes of the field case and the handbook, watched for in every test."""


class LogGuard:
    """All that one test logged, unredacted, and the secrets it must not hold."""

    def __init__(self) -> None:
        self.entries: list[EventDict] = []
        """What was logged through structlog, one dictionary each."""
        self.lines: list[str] = []
        """The same as text, and the records of stdlib loggers."""
        self.unformattable: list[str] = []
        self._secrets = Redactor()

    def register(self, *secrets: str) -> None:
        """Fail the test if one of these is ever logged."""
        for secret in secrets:
            self._secrets.register(secret)

    def record(self, logger: WrappedLogger, method_name: str, entry: EventDict) -> EventDict:
        """Keep an entry; the last processor of the chain."""
        self.entries.append(dict(entry))
        self.lines.append(" ".join(f"{key}={value!s} {value!r}" for key, value in entry.items()))
        raise structlog.DropEvent

    def verify(self) -> None:
        """Fail on a leaked secret or on a record that cannot be formatted."""
        assert not self.unformattable, f"log records that cannot be formatted: {self.unformattable}"
        leaks = [masked for line in self.lines if (masked := self._secrets.mask(line)) != line]
        assert not leaks, f"secrets were logged (masked here): {leaks}"


class _StdlibTrap(logging.Handler):
    def __init__(self, guard: LogGuard) -> None:
        super().__init__()
        self._guard = guard

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = record.getMessage()
        except Exception as error:
            self._guard.unformattable.append(f"{record.name}: {type(error).__name__}")
            return
        if record.exc_info:
            line += "".join(traceback.format_exception(*record.exc_info))
        self._guard.lines.append(line)


@pytest.fixture(autouse=True)
def log_guard() -> Iterator[LogGuard]:
    """Capture every log entry of the test at every level; check them when it ends."""
    guard = LogGuard()
    guard.register(*WELL_KNOWN_PASSCODES)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    hooks: tuple[Any, Any] = sys.excepthook, threading.excepthook
    root.addHandler(_StdlibTrap(guard))
    root.setLevel(TRACE)
    structlog.configure(
        processors=[*common_processors(), guard.record],
        wrapper_class=bound_logger(TRACE),
        logger_factory=lambda *_: None,
        cache_logger_on_first_use=False,
    )
    try:
        yield guard
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.captureWarnings(False)
        sys.excepthook, threading.excepthook = hooks
        structlog.contextvars.clear_contextvars()
        structlog.reset_defaults()
    guard.verify()
