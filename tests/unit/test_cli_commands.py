"""Every verb is a command, and no command takes a secret as an argument."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from ttlock_agent.alone import config_alone
from ttlock_agent.cli import verbs as verb_commands
from ttlock_agent.cli.fields import parameters_of
from ttlock_agent.cli.main import cli, main
from ttlock_agent.cli.render import readable, table
from ttlock_agent.cli.windows import parse_windows
from ttlock_agent.config import load_config
from ttlock_agent.errors import (
    EX_CONFIG,
    EX_REJECTED,
    EX_TRY_LATER,
    VaultError,
    exit_code_of,
)
from ttlock_agent.requests import BENCH_VERBS, VERBS, PassageSet, parse_request
from ttlock_agent.requests.backup import BACKUP_VERBS

BY_HAND = BENCH_VERBS | BACKUP_VERBS.keys()


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


TREE = dict(commands(cli))
WITHOUT_JSON = {"run", "virtual-lock", "backup export"}
"""Two run until they are stopped, one writes a file. The technician's suite guides a person, and
leaves its report."""


@pytest.mark.parametrize("verb", VERBS.keys() - BY_HAND)
def test_every_verb_is_a_command(verb: str) -> None:
    command = TREE[verb.replace(".", " ").replace("_", "-")]
    assert command.help
    fields = {taken.field for taken in parameters_of(verb, VERBS[verb], without=())}
    assert fields, "a verb without anything to say"


@pytest.mark.parametrize("name", TREE)
def test_every_command_explains_itself_and_speaks_json(name: str) -> None:
    command = TREE[name]
    options = {option for each in command.params for option in each.opts}
    assert command.help or command.callback is not None
    for each in command.params:
        if isinstance(each, click.Option) and not each.hidden:
            assert each.help, f"{name} {each.opts}"
    assert "--json" in options or name in WITHOUT_JSON or name.startswith("hil "), name


@pytest.mark.parametrize("name", TREE)
def test_no_secret_is_an_argument(name: str) -> None:
    for each in TREE[name].params:
        if each.name in ("passcode", "card", "passphrase", "admin_passcode", "key"):
            pytest.fail(f"{name} takes {each.name} on its command line")


def test_what_deletes_can_be_rehearsed() -> None:
    deleting = [verb for verb in VERBS if verb.partition(".")[2] in ("delete", "clear", "reset")]
    assert len(deleting) >= 8
    for verb in [*deleting, "passage.set", "passcode.sync", "lock.restore"]:
        path = "restore" if verb == "lock.restore" else verb.replace(".", " ").replace("_", "-")
        options = {option for each in TREE[path].params for option in each.opts}
        assert "--dry-run" in options, verb
        assert verb in BY_HAND or verb == "passcode.sync" or "--yes" in options, verb


def asked(monkeypatch: pytest.MonkeyPatch, *arguments: str, typed: str = "") -> dict[str, Any]:
    """Return the request that a command makes; the socket is none that anybody listens on."""
    made: dict[str, Any] = {}

    def run_job(_socket: Path, verb: str, request: dict[str, Any]) -> dict[str, Any]:
        made.update({"verb": verb} | request)
        return {"status": "done", "result": "done"}

    monkeypatch.setattr(verb_commands, "run_job", run_job)
    done = CliRunner().invoke(cli, [*arguments, "--socket", "/nowhere"], input=typed)
    assert made, done.output
    return made


def test_arguments_become_the_fields_of_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    made = asked(
        monkeypatch, "passcode", "add", "front-door", "--valid-until", "2026-12-05T11:00+01:00",
        "--label", "a b", "--urgent", "--passcode-file", "-", typed="004711\n",
    )  # fmt: skip
    assert made == {
        "verb": "passcode.add",
        "lock": "front-door",
        "passcode": "004711",
        "label": "a b",
        "valid_until": "2026-12-05T11:00+01:00",
        "priority": "guest_at_the_door",
    }
    made = asked(
        monkeypatch, "gateway", "report", "front-door", "--not-online", "--rssi-dbm", "-70"
    )
    assert made["gateway"] == {"is_online": False, "rssi_dbm": -70}
    made = asked(monkeypatch, "setting", "set", "front-door", "is_sound_on", "off")
    assert (made["setting"], made["value"]) == ("is_sound_on", False)
    made = asked(monkeypatch, "log", "read", "front-door", "--since", "7", "--within", "20")
    assert made["since"] == 7
    assert made["deadline_at"]
    made = asked(monkeypatch, "job", "list")
    assert made == {"verb": "job.list"}


def test_a_time_without_offset_is_this_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    made = asked(monkeypatch, "card", "add", "front-door", "--valid-until", "2026-12-05T11:00")
    assert made["valid_until"].startswith("2026-12-05T11:00:00")
    assert len(made["valid_until"]) > len("2026-12-05T11:00:00")


@pytest.mark.parametrize(
    ("text", "windows"),
    [
        ("mon 08:00-18:00", [(1, 0, "weekly")]),
        ("mon-wed 08:00-18:00", [(1, 0, "weekly"), (2, 0, "weekly"), (3, 0, "weekly")]),
        ("every-day", [(0, 0, "weekly")]),
        ("1st 08:00-18:00", [(1, 0, "monthly")]),
        ("24th of 12", [(24, 12, "yearly")]),
    ],
)
def test_windows_are_written_as_people_do(text: str, windows: list[tuple[int, int, str]]) -> None:
    made = parse_windows([text])
    found = [(each["day"], each.get("month", 0), each["kind"]) for each in made]
    assert found == windows
    payload = json.dumps({"id": "1", "lock": "front-door", "windows": made}).encode()
    parsed = parse_request("passage.set", payload, known_locks=["front-door"]).params
    assert isinstance(parsed, PassageSet)
    if "08:00" in text:
        assert {each.ends_at for each in parsed.windows} == {"18:00"}


@pytest.mark.parametrize("text", ["", "someday", "mon-", "wed-mon", "8-10", "mon 8-10"])
def test_what_is_no_window_is_refused(text: str) -> None:
    with pytest.raises(click.UsageError):
        parse_windows([text])


def test_answers_are_readable() -> None:
    body = {
        "id": "x", "job": "y", "status": "done", "result": "proved", "was_there": False,
        "cards": [{"name": "9f3a1c20", "ends_in": "018"}, {"name": "00", "valid_until": "T"}],
        "settings": {"is_sound_on": True, "auto_lock_s": 5},
    }  # fmt: skip
    assert readable(body).splitlines() == [
        "proved: the lock was read afterwards",
        "was there  no",
        "cards:",
        "  name      ends in  valid until",
        "  9f3a1c20  018      -",
        "  00        -        T",
        "settings:",
        "  is_sound_on  yes",
        "  auto_lock_s  5",
    ]
    assert readable({"status": "done", "result": "done"}) == "done"
    noon = datetime(2026, 7, 1, 12, tzinfo=UTC)
    shown = readable({"as_of": noon.isoformat(), "clock_error_s": -0.888982})
    assert shown == f"as of          {noon.astimezone():%Y-%m-%d %H:%M:%S}\nclock error s  -0.9"
    assert table([{"a": None}]) == ["", ""]


def test_exit_codes_follow_the_code_of_an_error() -> None:
    assert exit_code_of("vault", is_retryable=False) == EX_CONFIG
    assert exit_code_of("expired", is_retryable=False) == EX_TRY_LATER
    assert exit_code_of("battery_too_low", is_retryable=False) == EX_REJECTED
    assert exit_code_of("still_processing", is_retryable=True) == EX_TRY_LATER


CONFIG = """
agent: {{id: house-12, state_directory: {state}}}
mqtt: {{host: broker, username: u, password: "credential:mqtt-password", tls: {{}}}}
cloud: {{client_id: a, client_secret: "credential:x", username: u, password_md5: "credential:y"}}
locks:
  - {{id: one, address: "AA:BB:CC:DD:EE:01", time_zone: UTC, keys: "credential:keys"}}
  - {{id: two, address: "AA:BB:CC:DD:EE:02", time_zone: UTC, keys: "file:keys.json"}}
"""


def test_an_agent_for_one_command_needs_no_secret_of_the_service(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    file = tmp_path / "agent.yaml"
    file.write_text(CONFIG.format(state=state))
    keys = tmp_path / "keys.json"
    keys.write_text("{}")
    keys.chmod(0o600)
    config = config_alone(load_config(file), tmp_path / "socket")
    assert (config.mqtt.password, config.cloud, config.watch.callbacks) == (None, None, None)
    assert [lock.keys is None for lock in config.locks] == [True, False]
    (state / "journal.db").touch()
    with pytest.raises(VaultError) as refused:
        config_alone(load_config(file), tmp_path / "socket")
    assert "systemctl start" in refused.value.hint
    (state / "vault.key").touch()
    assert config_alone(load_config(file), tmp_path / "socket").agent.state_directory == state


@pytest.mark.parametrize(
    ("trouble", "said"),
    [(KeyboardInterrupt, "may have been done"), (click.Abort, "Nothing was changed")],
)
def test_ctrl_c_promises_nothing(
    trouble: type[BaseException],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def stop(_file: object) -> None:
        raise trouble

    monkeypatch.setattr("ttlock_agent.cli.check.check_config", stop)
    monkeypatch.setattr("sys.argv", ["ttlock-agent", "check-config", __file__])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == EX_REJECTED
    assert said in capsys.readouterr().err
