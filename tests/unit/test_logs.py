"""The log chain: what is written where, and that no secret gets through."""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
import types
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import pytest
import structlog

from ttlock_agent import systemd
from ttlock_agent.logs import MASK, LogLevel, Redactor, configure_logging

CODE = "304050"
KEY = "a1b2c3d4e5f60718293a4b5c6d7e8f90"


@pytest.fixture
def redactor() -> Redactor:
    redactor = Redactor()
    redactor.register(CODE)
    redactor.register(KEY)
    return redactor


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def fail(text: str) -> None:
    raise ValueError(text)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_entry_is_one_json_line_with_event_level_time_and_bound_fields(
    redactor: Redactor,
) -> None:
    out = io.StringIO()
    configure_logging(LogLevel.INFO, redactor, stream=out)
    structlog.contextvars.bind_contextvars(job_id="j-1")
    structlog.get_logger().info("job_accepted", lock="front-door", attempt=1)
    (entry,) = lines(out)
    assert entry.pop("timestamp").endswith("Z")
    assert entry == {
        "event": "job_accepted", "level": "info", "job_id": "j-1", "lock": "front-door",
        "attempt": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("level", "heard"),
    [
        (LogLevel.TRACE, ["trace", "debug", "info", "warning", "error"]),
        (LogLevel.DEBUG, ["debug", "info", "warning", "error"]),
        (LogLevel.INFO, ["info", "warning", "error"]),
        (LogLevel.WARNING, ["warning", "error"]),
        (LogLevel.ERROR, ["error"]),
    ],
)
def test_a_level_lets_through_itself_and_what_is_graver(
    redactor: Redactor, level: LogLevel, heard: list[str]
) -> None:
    out = io.StringIO()
    configure_logging(level, redactor, stream=out)
    log = structlog.get_logger()
    for name in ("trace", "debug", "info", "warning", "error"):
        getattr(log, name)("said")
    assert [entry["level"] for entry in lines(out)] == heard


@pytest.mark.parametrize(
    "name",
    ["passcode", "password", "client_secret", "aesKey", "adminPs", "accessToken", "keyboardPwd",
     "password_md5", "lock-key", "payload"],
)  # fmt: skip
def test_a_field_with_a_telling_name_is_masked_whatever_it_holds(
    redactor: Redactor, name: str
) -> None:
    entry = redactor(None, "info", {"event": "e", name: ["x"], "deep": [{name: 1}]})
    assert entry == {"event": "e", name: MASK, "deep": [{name: MASK}]}


@pytest.mark.parametrize("name", ["passcode_count", "keyboard", "monkey", "code", "keys_present"])
def test_a_field_that_only_sounds_like_a_secret_is_kept(redactor: Redactor, name: str) -> None:
    assert redactor(None, "info", {name: 3}) == {name: 3}


def test_registered_values_are_masked_wherever_they_stand(redactor: Redactor) -> None:
    class Battery(IntEnum):
        LOW = int(CODE)

    @dataclass
    class Thing:
        text: str

    entry = redactor(
        None,
        "info",
        {
            "event": f"typed {CODE}.",
            "hex": f"<{KEY}>",
            "number": int(CODE),
            "named": Battery.LOW,
            "deep": {"list": [(f"a{CODE}b",)], CODE: 1},
            "thing": Thing(CODE),
        },
    )
    assert CODE not in repr(entry)
    assert KEY not in repr(entry)
    assert entry["event"] == f"typed {MASK}."
    assert entry["deep"] == {"list": [[f"a{MASK}b"]], MASK: 1}


def test_a_passcode_does_not_blot_out_part_of_a_longer_number(redactor: Redactor) -> None:
    for longer in (f"{CODE}7", f"1{CODE}", f"123456789{CODE}"):
        assert redactor.mask(longer) == longer


def test_a_secret_within_another_leaves_no_rest() -> None:
    redactor = Redactor()
    redactor.register("hunter")
    redactor.register("hunter-two")
    assert redactor.mask("hunter-two") == MASK


def test_short_texts_are_not_registered() -> None:
    redactor = Redactor()
    redactor.register("")
    redactor.register("abc")
    assert redactor.mask("abc") == "abc"


def test_bytes_are_told_by_length_only(redactor: Redactor) -> None:
    assert redactor(None, "info", {"raw": b"\x01\x02"}) == {"raw": "<2 bytes>"}


def test_text_from_outside_is_printable_and_capped(redactor: Redactor) -> None:
    entry = redactor(None, "info", {"name": "Tür\x1b[31m\n", "long": "x" * 5000})
    assert entry["name"] == "Tür\\x1b[31m\\x0a"
    assert len(entry["long"]) < 1100


def test_the_text_of_an_exception_is_redacted_and_keeps_its_lines(redactor: Redactor) -> None:
    out = io.StringIO()
    configure_logging(LogLevel.INFO, redactor, stream=out)
    try:
        fail(CODE + "\x1b[31m")
    except ValueError:
        structlog.get_logger().exception("went_wrong")
    (entry,) = lines(out)
    assert entry["exception"].startswith("Traceback")
    assert entry["exception"].endswith(f"ValueError: {MASK}\\x1b[31m")
    assert len(entry["exception"].splitlines()) >= 3


def test_records_of_other_libraries_join_the_chain_without_arguments(redactor: Redactor) -> None:
    out = io.StringIO()
    configure_logging(LogLevel.INFO, redactor, stream=out)
    other = logging.getLogger("other.library")
    other.warning("sent %s", CODE)
    other.info("not heard")
    try:
        fail(KEY)
    except ValueError:
        other.critical("failed", exc_info=True)
    sent, failed = lines(out)
    assert (sent["event"], sent["logger"], sent["level"]) == (
        f"sent {MASK}", "other.library", "warning",
    )  # fmt: skip
    assert failed["exception"].endswith(MASK)
    assert failed["level"] == "critical"
    assert CODE not in out.getvalue()


def test_at_trace_other_libraries_are_heard_at_every_level(redactor: Redactor) -> None:
    out = io.StringIO()
    configure_logging(LogLevel.TRACE, redactor, stream=out)
    logging.getLogger("other").debug("low")
    logging.getLogger("other").log(1, "lower than any")
    assert [(e["event"], e["level"]) for e in lines(out)] == [("low", "debug")]


def test_a_record_that_cannot_be_formatted_is_named_without_its_arguments(
    redactor: Redactor, capsys: pytest.CaptureFixture[str]
) -> None:
    out = io.StringIO()
    configure_logging(LogLevel.INFO, redactor, stream=out)
    logging.getLogger("sloppy").error("%d", "778899")
    (entry,) = lines(out)
    assert (entry["event"], entry["logger"]) == ("log_record_unformattable", "sloppy")
    assert "778899" not in out.getvalue() + capsys.readouterr().err


def test_crashes_are_told_through_the_chain(redactor: Redactor) -> None:
    out = io.StringIO()
    configure_logging(LogLevel.INFO, redactor, stream=out)
    error = ValueError(CODE)
    sys.excepthook(ValueError, error, None)
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)

    def crash() -> None:
        raise error

    for target in (crash, sys.exit):
        thread = threading.Thread(target=target)
        thread.start()
        thread.join()
    assert [entry["event"] for entry in lines(out)] == ["uncaught_exception"] * 2
    assert CODE not in out.getvalue()


def test_a_terminal_gets_text_for_people(
    redactor: Redactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured, plain = Terminal(), Terminal()
    configure_logging(LogLevel.INFO, redactor, stream=coloured)
    structlog.get_logger().info("hello", lock="front-door", text=CODE)
    monkeypatch.setenv("NO_COLOR", "1")
    configure_logging(LogLevel.INFO, redactor, stream=plain)
    structlog.get_logger().info("hello", lock="front-door", text=CODE)
    assert "\x1b[" in coloured.getvalue()
    assert "\x1b[" not in plain.getvalue()
    assert "lock=front-door" in plain.getvalue()
    assert CODE not in coloured.getvalue() + plain.getvalue()


def test_a_log_that_nobody_takes_stops_nothing(redactor: Redactor) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    configure_logging(LogLevel.INFO, redactor, stream=Full())
    structlog.get_logger().info("hello")


def test_under_the_journal_without_systemd_python_lines_carry_a_priority(
    redactor: Redactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    monkeypatch.setattr(systemd, "is_under_journal", lambda: True)
    monkeypatch.setattr(systemd, "journal_send", lambda: None)
    configure_logging(LogLevel.TRACE, redactor)
    log = structlog.get_logger()
    for name in ("trace", "debug", "info", "warning", "error", "critical"):
        getattr(log, name)("said", text="two\nlines")
    told = out.getvalue().splitlines()
    assert [line[:3] for line in told] == ["<7>", "<7>", "<6>", "<4>", "<3>", "<2>"]
    assert json.loads(told[2][3:]) == {"event": "said", "level": "info", "text": "two\\x0alines"}


def test_under_the_journal_with_systemd_python_fields_are_sent(
    redactor: Redactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[str, dict[str, str]]] = []
    package, journal = types.ModuleType("systemd"), types.ModuleType("systemd.journal")
    journal.send = lambda message, **fields: sent.append((message, fields))  # type: ignore[attr-defined]
    package.journal = journal  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "systemd", package)
    monkeypatch.setitem(sys.modules, "systemd.journal", journal)
    monkeypatch.setattr(systemd, "is_under_journal", lambda: True)
    configure_logging(LogLevel.INFO, redactor)
    structlog.get_logger().warning("job_failed", lock="front-door", text=CODE)
    ((message, fields),) = sent
    assert message == f"job_failed lock=front-door text={MASK}"
    assert fields["PRIORITY"] == "4"
    assert fields["TTL_LOCK"] == "front-door"
    assert CODE not in repr(sent)


@pytest.fixture
def guard(log_guard: Any) -> Any:
    """A second guard in the place of the one that watches this test."""
    guard = type(log_guard)()
    structlog.configure(processors=[guard.record], logger_factory=lambda *_: None)
    return guard


def test_the_guard_of_all_tests_finds_a_logged_secret(guard: Any) -> None:
    guard.register("662266")
    structlog.get_logger().info("told", text="nothing 6622661")
    guard.verify()
    structlog.get_logger().info("told", deep=[{"text": "it was 662266"}])
    with pytest.raises(AssertionError, match="secrets were logged") as caught:
        guard.verify()
    assert "662266" not in str(caught.value).replace("6622661", "")


def test_the_guard_hears_other_libraries_and_what_they_cannot_format(
    log_guard: Any,
) -> None:
    logging.getLogger("other").debug("to %s", "the-secret-word")
    assert "to the-secret-word" in log_guard.lines
    root = logging.getLogger()
    # pytest's own handlers raise at once, but the library may catch that: only ours must remember.
    root.handlers[:] = [h for h in root.handlers if type(h).__name__ == "_StdlibTrap"]
    logging.getLogger("sloppy").debug("%d", "text")
    assert log_guard.unformattable == ["sloppy: TypeError"]
    with pytest.raises(AssertionError, match="cannot be formatted"):
        log_guard.verify()
    log_guard.unformattable.clear()
