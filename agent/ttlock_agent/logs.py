"""Logging: an event name and fields, redacted before anything can write them down.

There is one chain. Our own loggers feed it directly; records of other libraries (stdlib
``logging``) are turned into entries of the same chain, so that no handler ever sees a record's
arguments. Level ``trace`` lies below ``debug`` and is the only one at which frames on the wire may
be logged, as they are on air; what was decrypted is never logged at any level.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
import threading
import traceback
import types
from collections import deque
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import lru_cache
from pathlib import PurePath
from typing import Any, Final, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from . import systemd

TRACE: Final = 5
"""Number of level ``trace``; stdlib's lowest is 10."""

MASK: Final = "***"

_MAX_TEXT: Final = 1000
"""Characters of one field that are kept; tracebacks are kept whole."""

_LONG_FIELDS: Final = frozenset({"exception", "stack"})

_SECRET_ENDINGS: Final = frozenset(
    {
        "authorization", "digits", "key", "keys", "md5", "passcode", "passcodes", "passwd",
        "password", "payload", "pin", "plaintext", "ps", "pwd", "secret", "secrets", "token",
    }
)  # fmt: skip
"""Last words of field names whose value is masked whatever it is: ``client_secret``, ``aesKey``."""

_DIGIT_RUN: Final = re.compile(r"(?<![0-9])[0-9]{4,9}(?![0-9])")
_MIN_SECRET: Final = 4
"""Shorter texts are not registered: masking every "a" would hide everything but the secret."""

_PRIORITIES: Final = {
    "trace": 7, "debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2,
}  # fmt: skip
"""Syslog priorities."""

_LEVELS: Final = ("debug", "info", "warning", "error", "critical")
"""Names of stdlib's levels 10, 20, 30, 40, 50."""


class LogLevel(StrEnum):
    """How much the agent tells."""

    TRACE = "trace"
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"

    @property
    def number(self) -> int:
        """The level as stdlib counts it."""
        return TRACE if self is LogLevel.TRACE else logging.getLevelNamesMapping()[self.upper()]


class Redactor:
    """A structlog processor that masks secrets, by the field's name and by the value.

    Values are those that were registered: passcodes as whole runs of digits (so that 1234 does not
    blot out a part of 12345), any other secret wherever it stands.
    """

    def __init__(self) -> None:
        self._codes: set[str] = set()
        self._texts: set[str] = set()

    def register(self, secret: str) -> None:
        """Mask ``secret`` from now on. Texts of fewer than 4 characters are ignored."""
        if len(secret) < _MIN_SECRET:
            return
        (self._codes if _DIGIT_RUN.fullmatch(secret) else self._texts).add(secret)

    def mask(self, text: str) -> str:
        """Return ``text`` with every registered secret replaced."""
        for secret in sorted(self._texts, key=len, reverse=True):
            text = text.replace(secret, MASK)
        if self._codes:
            text = _DIGIT_RUN.sub(
                lambda run: MASK if run.group() in self._codes else run.group(), text
            )
        return text

    def __call__(self, logger: WrappedLogger, method_name: str, entry: EventDict) -> EventDict:
        """Return a clean copy of the entry."""
        return {
            self._text(key, is_long=False): self._field(key, value) for key, value in entry.items()
        }

    def _field(self, name: str, value: object) -> object:
        if _is_secret_name(name):
            return MASK
        return self._value(value, is_long=name in _LONG_FIELDS)

    def _value(self, value: object, *, is_long: bool = False) -> object:
        match value:
            case None | bool() | int() | float():
                return MASK if str(value) in self._codes else value
            case bytes() | bytearray() | memoryview():
                return f"<{len(value)} bytes>"
            case str():
                return self._text(value, is_long=is_long)
            case Mapping():
                return {
                    self._text(str(key), is_long=False): self._field(str(key), inner)
                    for key, inner in value.items()
                }
            case list() | tuple() | set() | frozenset():
                return [self._value(inner) for inner in value]
            case _:
                return self._text(repr(value), is_long=False)

    def _text(self, text: str, *, is_long: bool) -> str:
        """Mask, make printable (names come from locks, and terminals obey), and cap."""
        text = self.mask(str(text))
        if is_long:
            return "\n".join(_printable(line) for line in text.split("\n"))
        return _printable(text if len(text) <= _MAX_TEXT else text[:_MAX_TEXT] + "…")


class RecentEntries:
    """A structlog processor that remembers the last entries, redacted, for a support bundle."""

    def __init__(self, most: int = 300) -> None:
        self._entries: deque[EventDict] = deque(maxlen=most)
        self._stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)

    def __call__(self, logger: WrappedLogger, method_name: str, entry: EventDict) -> EventDict:
        """Keep a copy of the entry."""
        self._entries.append(self._stamp(logger, method_name, dict(entry)))
        return entry

    def entries(self) -> list[EventDict]:
        """Return them, the oldest first."""
        return list(self._entries)


class _Writer:
    """What structlog calls a logger: hands the rendered entry on, whatever the level."""

    def __init__(self, write: Callable[[Any], None]) -> None:
        self._write = write

    def write(self, entry: object) -> None:
        self._write(entry)

    trace = debug = info = warning = error = critical = write


class _Bridge(logging.Handler):
    """Feeds the records of other libraries into our chain, formatted and without arguments."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 - a record of theirs that cannot be formatted
            self.handleError(record)
            return
        level = _LEVELS[min(max(record.levelno // 10 - 1, 0), len(_LEVELS) - 1)]
        log = structlog.get_logger()
        getattr(log, level)(message, logger=record.name, exc_info=record.exc_info)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - stdlib's name
        """Say which logger it was; stdlib's own version prints the arguments."""
        structlog.get_logger().error("log_record_unformattable", logger=record.name)


def bound_logger(min_level: int) -> type[structlog.typing.FilteringBoundLogger]:
    """Return structlog's logger class for ``min_level``, with a method ``trace`` added."""
    # structlog knows six thresholds; between "notset" and "debug" the method below decides.
    base = structlog.make_filtering_bound_logger(
        logging.NOTSET if min_level <= TRACE else min_level
    )

    def trace(self: Any, event: str, **fields: Any) -> None:
        if min_level <= TRACE:
            self._proxy_to_logger("trace", event, **fields)

    return type("AgentLogger", (base,), {"trace": trace})


def common_processors() -> list[Processor]:
    """Return the start of the chain: everything that must be there before redaction."""
    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]


def configure_logging(
    level: LogLevel,
    redactor: Redactor,
    *,
    stream: TextIO | None = None,
    recent: RecentEntries | None = None,
) -> None:
    """Set up logging for this process; ``recent`` remembers what was said last.

    On a terminal entries are written for people (colours unless ``NO_COLOR`` is set); under
    systemd they go to the journal, with fields where systemd-python is installed and as JSON lines
    with a ``<priority>`` prefix where not; anywhere else they are JSON lines. ``stream`` is
    standard error unless given. Other libraries are heard from level warning on; at ``trace``,
    always.
    """
    renderers, write = _output(stream or sys.stderr)
    structlog.configure(
        processors=[
            *common_processors(),
            redactor,
            *([] if recent is None else [recent]),
            *renderers,
        ],
        wrapper_class=bound_logger(level.number),
        logger_factory=lambda *_: _Writer(write),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [_Bridge()]
    root.setLevel(TRACE if level is LogLevel.TRACE else max(level.number, logging.WARNING))
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread


def where(error: Exception) -> dict[str, str]:
    """Say what kind of exception came from where, without its text, which may quote a secret."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return {"error": type(error).__name__, "at": f"{PurePath(last.filename).name}:{last.lineno}"}


def _output(out: TextIO) -> tuple[list[Processor], Callable[[Any], None]]:
    """Choose renderer and sink by what stands at the other end of ``out``."""
    lock = threading.Lock()

    def write_line(line: str) -> None:
        # A log nobody can take any more must not stop a delivery.
        with lock, contextlib.suppress(OSError):
            out.write(line + "\n")
            out.flush()

    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    as_json = structlog.processors.JSONRenderer(ensure_ascii=False)
    if out.isatty():
        console = structlog.dev.ConsoleRenderer(
            colors="NO_COLOR" not in os.environ,
            exception_formatter=structlog.dev.plain_traceback,
        )
        return [structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False), console], write_line
    if out is sys.stderr and systemd.is_under_journal():
        if (send := systemd.journal_send()) is not None:
            return [_as_journal_fields], lambda fields: send(fields.pop("MESSAGE"), **fields)
        return [as_json, _with_priority], write_line
    return [stamp, as_json], write_line


def _as_journal_fields(
    logger: WrappedLogger, method_name: str, entry: EventDict
) -> tuple[tuple[dict[str, str]], dict[str, object]]:
    return (systemd.journal_fields(entry, priority=_PRIORITIES[method_name]),), {}


def _with_priority(logger: WrappedLogger, method_name: str, line: Any) -> str:
    return f"<{_PRIORITIES[method_name]}>{line}"


def _log_uncaught(
    kind: type[BaseException], error: BaseException, trace: types.TracebackType | None
) -> None:
    """Keep tracebacks of crashes inside the chain: their texts need redaction too."""
    if issubclass(kind, KeyboardInterrupt):
        return
    structlog.get_logger().critical("uncaught_exception", exc_info=(kind, error, trace))


def _log_uncaught_in_thread(hook: threading.ExceptHookArgs) -> None:
    if hook.exc_value is not None and not issubclass(hook.exc_type, SystemExit):
        _log_uncaught(hook.exc_type, hook.exc_value, hook.exc_traceback)


@lru_cache(maxsize=1024)
def _is_secret_name(name: str) -> bool:
    """``aesKey``, ``client_secret`` and ``TTL_TOKEN`` are secret; ``passcode_count`` is not."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().replace("-", "_").split("_")
    return words[-1] in _SECRET_ENDINGS


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
