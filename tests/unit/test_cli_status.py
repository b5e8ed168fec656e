"""The command line as people and scripts meet it: words, JSON, exit codes."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ttlock_agent import __version__
from ttlock_agent.cli import control, main
from ttlock_agent.cli.main import cli
from ttlock_agent.cli.run import _cause
from ttlock_agent.control.messages import Failure, Line, Progress, Result
from ttlock_agent.errors import (
    EX_CONFIG,
    EX_UNAVAILABLE,
    ConfigError,
    JournalError,
)

LOCK = {
    "address": "virtual:x", "has_keys": True, "is_reachable": True, "last_visit_at": "noon",
    "last_error": None, "visits": 3, "failed_visits": 0, "round_trips": 9, "connected_s": 4.25,
}  # fmt: skip
BODY: dict[str, Any] = {
    "version": "0.1.0", "uptime_s": 61.4,
    "mqtt": {"status": "connected", "version": "5", "since": "noon", "error": None},
    "cloud": {"is_watched": True, "error": None, "verdicts": {"front-door": "All is well."}},
    "vault_key": "file", "journal_set_aside": None, "locks": {"front-door": LOCK},
    "jobs": {"proved": 2, "failed": 0},
    "open_jobs": [
        {"id": "pms-1", "verb": "passcode.add", "lock": "front-door", "state": "waiting",
         "waiting": {"reason": "lock_not_seen", "sentence": "The lock is not heard."}},
    ],
}  # fmt: skip


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> list[Line]:
    """What the agent on the socket says."""
    lines: list[Line] = []

    def call(_path: Path, _verb: str, _request: Any = None) -> Iterator[Line]:
        yield from lines

    monkeypatch.setattr(control, "call", call)
    return lines


def run(*arguments: str) -> Any:
    return CliRunner().invoke(cli, arguments)


def test_status_is_told_in_words(agent: list[Line]) -> None:
    agent += [Progress(body={}), Result(body=BODY)]
    done = run("status")
    assert done.exit_code == 0
    for words in (
        "up 61 s", "connected (MQTT 5)", "watched", "front-door at virtual:x: reached at noon",
        "3 visits", "4.2 s connected", "All is well.", "2 proved",
        "pms-1 passcode.add front-door: waiting. The lock is not heard.",
    ):  # fmt: skip
        assert words in done.output, words
    assert "0 failed" not in done.output


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mqtt": BODY["mqtt"] | {"status": "waiting", "error": "No."}}, "waiting (MQTT 5): No."),
        ({"cloud": {"is_watched": False}}, "not configured"),
        ({"cloud": BODY["cloud"] | {"error": "Spent."}}, "watched: Spent."),
        ({"locks": {"a": LOCK | {"has_keys": False}}}, "a at virtual:x: no keys"),
        ({"locks": {"a": LOCK | {"is_reachable": None}}}, "not visited yet"),
        ({"locks": {"a": LOCK | {"is_reachable": False}}}, "not reached at noon"),
        ({"jobs": {}, "open_jobs": []}, "none yet"),
        ({"journal_set_aside": "/x/journal.damaged"}, "set aside as /x/journal.damaged"),
    ],
    ids=str,
)  # fmt: skip
def test_status_tells_trouble(agent: list[Line], change: dict[str, Any], words: str) -> None:
    agent.append(Result(body=BODY | change))
    assert words in run("status").output


def test_status_as_json_is_what_the_agent_said(agent: list[Line]) -> None:
    agent.append(Result(body=BODY))
    assert json.loads(run("status", "--json").output) == BODY


def test_a_refusal_ends_with_its_exit_code(agent: list[Line]) -> None:
    agent.append(Failure(code="x", message="It cannot be.", hint="Do this.", exit_code=75))
    done = run("status")
    assert done.exit_code == 75
    assert "It cannot be." in done.output
    assert "Do this." in done.output


def run_main(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["ttlock-agent", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_an_agent_that_hangs_up_is_unavailable(
    agent: list[Line], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main(monkeypatch, "status") == EX_UNAVAILABLE
    assert "hung up" in capsys.readouterr().err


def test_no_agent_is_two_lines_and_an_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run_main(monkeypatch, "status", "--socket", str(tmp_path / "nobody"))
    assert code == EX_UNAVAILABLE
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert said[0].startswith("ttlock-agent: No agent answers")
    assert "systemctl start" in said[1]


def test_the_version_is_told() -> None:
    assert __version__ in run("--version").output


def test_a_good_config_is_usable(tmp_path: Path) -> None:
    config = tmp_path / "agent.yaml"
    config.write_text(
        "agent: {id: house-12}\nmqtt: {host: localhost}\n"
        'locks: [{id: front-door, address: "virtual:door", time_zone: Europe/Berlin}]\n'
    )
    done = run("check-config", str(config))
    assert done.exit_code == 0, done.output
    body = json.loads(run("check-config", "--json", str(config)).output)
    assert body["is_usable"]
    assert all(finding["severity"] != "error" for finding in body["findings"])


def test_findings_as_json_say_where(tmp_path: Path) -> None:
    config = tmp_path / "agent.yaml"
    config.write_text("agent:\n  idd: house-12\n")
    done = run("check-config", "--json", str(config))
    assert done.exit_code == EX_CONFIG
    body = json.loads(done.output)
    assert not body["is_usable"]
    assert (2, 3) in {(finding["line"], finding["column"]) for finding in body["findings"]}
    assert all(finding["hint"] for finding in body["findings"])


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        (BaseExceptionGroup("a", [BaseExceptionGroup("b", [JournalError("full")])]), JournalError),
        (BaseExceptionGroup("a", [ZeroDivisionError(), ConfigError("x")]), ConfigError),
        (BaseExceptionGroup("a", [ZeroDivisionError()]), ZeroDivisionError),
    ],
)
def test_what_ended_the_agent_keeps_its_name(
    group: BaseExceptionGroup[BaseException], expected: type[BaseException]
) -> None:
    assert type(_cause(group)) is expected
