"""What callers and the config file get wrong: each has its name, and nothing else changes."""

import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.enums import MQTTProtocolVersion  # noqa: TID251 - a caller's, not ours

from agent_site import LOCK, Caller, Site, empty_site, running_site
from ttlock_agent.demo.broker import BrokerKind, available_kinds
from ttlock_agent.errors import EX_CONFIG


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """One agent for all of this: none of it may do anything to it."""
    with running_site() as made:
        yield made


@pytest.fixture
def caller(site: Site) -> Iterator[Caller]:
    caller = Caller(site.broker.port)
    yield caller
    caller.close()


def at(**later: float) -> str:
    moment = datetime.now(UTC) + timedelta(**later)
    return moment.replace(second=0, microsecond=0).isoformat()


def add(**changes: Any) -> bytes:
    body = {"id": "bad", "lock": LOCK, "passcode": "482913"} | changes
    return json.dumps({key: value for key, value in body.items() if value is not None}).encode()


BAD: dict[str, tuple[str, Callable[[], bytes], str | None, str]] = {
    "malformed JSON": ("passcode.add", lambda: b'{"id": "bad", "lock"', None, "malformed"),
    "not an object": ("passcode.add", lambda: b'["bad"]', None, "malformed"),
    "nothing": ("passcode.add", lambda: b"", None, "malformed"),
    "invalid UTF-8": ("passcode.add", lambda: b'{"id": "bad\xff"}', None, "malformed"),
    "nested without end": ("passcode.add", lambda: b"[" * 15_000, None, "malformed"),
    "a key twice": ("passcode.add", lambda: b'{"id": "bad", "id": "bad"}', None, "malformed"),
    "one megabyte": ("passcode.add", lambda: b'"' + b"x" * 1_000_000 + b'"', None, "too_large"),
    "unknown key": ("passcode.add", lambda: add(pasword="x"), "bad", "invalid"),
    "unknown verb": ("passcode.explode", add, "bad", "unknown_verb"),
    "unknown lock": ("passcode.add", lambda: add(lock="back-door"), "bad", "unknown_lock"),
    "three digits": ("passcode.add", lambda: add(passcode="482"), "bad", "invalid"),
    "ten digits": ("passcode.add", lambda: add(passcode="4829130000"), "bad", "invalid"),
    "letters": ("passcode.add", lambda: add(passcode="48a913"), "bad", "invalid"),
    "a number": ("passcode.add", lambda: add(passcode=482913), "bad", "invalid"),
    "end before start": (
        "passcode.add",
        lambda: add(valid_from=at(days=2), valid_until=at(days=1)),
        "bad",
        "invalid",
    ),
    "window in the past": ("passcode.add", lambda: add(valid_until=at(days=-1)), "bad", "expired"),
    "deadline in the past": (
        "passcode.add", lambda: add(deadline_at=at(minutes=-5)), "bad", "expired",
    ),
    "no zone": ("passcode.add", lambda: add(valid_until="2090-01-01T10:00:00"), "bad", "invalid"),
    "no id": ("passcode.add", lambda: add(id=None), None, "invalid"),
    "an id that is no text": ("passcode.add", lambda: add(id=7), None, "invalid"),
    "no such job": ("job.get", lambda: b'{"id": "bad", "job": "nobody"}', "bad", "no_such_job"),
}  # fmt: skip


def content(site: Site) -> tuple[Any, ...]:
    """All that a request could change."""
    return site.status()["jobs"], site.memory().passcodes, site.memory().log.written


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named_and_changes_nothing(site: Site, caller: Caller, name: str) -> None:
    verb, payload, request_id, code = BAD[name]
    before = content(site)
    caller.publish(verb, payload())
    answer = caller.answer(verb, request_id)
    assert (answer["status"], answer["error"]["code"]) == ("rejected", code)
    assert answer["error"]["message"]
    assert answer["error"]["hint"]
    assert answer["error"]["retryable"] is False
    assert content(site) == before
    assert "482913" not in json.dumps(answer)


def test_an_id_that_was_used_for_something_else_is_a_conflict(site: Site, caller: Caller) -> None:
    caller.ask("passcode.add", "used", passcode="593024")
    caller.answer("passcode.add", "used")
    before = content(site)
    asked = len(caller.heard)
    caller.ask("passcode.add", "used", passcode="593025")
    answer = caller.answer("passcode.add", "used", after=asked)
    assert (answer["status"], answer["error"]["code"]) == ("rejected", "conflict")
    assert content(site) == before


def test_a_passcode_that_begins_like_another_is_refused(site: Site, caller: Caller) -> None:
    caller.ask("passcode.add", "long", passcode="614135")
    caller.answer("passcode.add", "long")
    caller.ask("passcode.add", "short", passcode="6141")
    answer = caller.answer("passcode.add", "short")
    assert (answer["status"], answer["error"]["code"]) == ("rejected", "prefix_collision")
    assert "6141" not in site.digits()


def test_a_retained_request_is_refused_when_it_is_replayed() -> None:
    """By a broker of MQTT 3.1.1, which has no way not to."""
    if BrokerKind.AMQTT not in available_kinds():
        pytest.skip("amqtt is not installed")
    with empty_site(broker=BrokerKind.AMQTT) as site:
        site.broker.start()
        site.start_lock()
        site.furnish()
        caller = site.caller(protocol=MQTTProtocolVersion.MQTTv311)
        caller.publish("passcode.add", add(id="kept", passcode="725246"), retain=True)
        site.start_agent()
        answer = caller.answer("passcode.add", "kept")
        assert (answer["status"], answer["error"]["code"]) == ("rejected", "retained")
        assert site.digits() == []
        assert sum(site.status()["jobs"].values()) == 0


def test_a_request_that_was_taken_is_not_refused_when_the_broker_replays_it() -> None:
    """What a caller retains by mistake runs once, by its id, and has one answer."""
    if BrokerKind.AMQTT not in available_kinds():
        pytest.skip("amqtt is not installed")
    with empty_site(broker=BrokerKind.AMQTT) as site:
        site.broker.start()
        site.start_lock()
        site.furnish()
        site.start_agent()
        caller = site.caller(protocol=MQTTProtocolVersion.MQTTv311)
        caller.publish("passcode.add", add(id="kept", passcode="725246"), retain=True)
        first = caller.answer("passcode.add", "kept")
        assert first["result"] == "proved"
        heard = len(caller.heard)
        site.stop_agent()
        site.start_agent()
        assert caller.answer("passcode.add", "kept", after=heard) == first
        assert sum(site.status()["jobs"].values()) == 1


def test_the_daemon_is_still_up(site: Site, caller: Caller) -> None:
    caller.ask("clock.read", "last")
    assert caller.answer("clock.read", "last")["result"] == "done"
    log = site.log("agent")
    assert "defect" not in log
    assert "Traceback" not in log


def test_nonsense_on_the_control_socket_is_named(site: Site) -> None:
    for nonsense in (b"nonsense\n", b"{}\n", b'{"verb": 3}\n', b"x" * (2 << 20) + b"\n"):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(str(site.control_socket))
            try:
                connection.sendall(nonsense)
                answer = connection.makefile("rb").readline()
            except ConnectionError:
                continue  # cut off in the middle of too much: as good an answer
            assert json.loads(answer)["code"] == "malformed"
    assert site.status()["mqtt"]["status"] == "connected"


# The config file.


def run_agent(config: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ttlock_agent", "run", "--config", str(config)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_a_bad_config_is_placed_and_explained(tmp_path: Path) -> None:
    config = tmp_path / "agent.yaml"
    config.write_text(
        "agent:\n  id: house-12\n  state_directory: /tmp/x\nmqtt:\n  hsot: localhost\n"
        'locks:\n  - id: front-door\n    address: "AA:BB:CC:DD:EE"\n    time_zone: Berlin\n'
    )
    for command in (["check-config", str(config)], ["run", "--config", str(config)]):
        done = subprocess.run(
            [sys.executable, "-m", "ttlock_agent", *command],
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        assert done.returncode == EX_CONFIG
        said = done.stdout + done.stderr
        assert f"{config}:5:3" in said
        assert "host" in said
        assert "Traceback" not in said
        if command[0] == "check-config":  # it lists all of them
            assert f"{config}:8:" in said
            assert f"{config}:9:" in said
            assert "Europe/Berlin" in said


def test_a_config_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = run_agent(tmp_path / "nowhere.yaml")
    assert done.returncode == EX_CONFIG
    assert "nowhere.yaml" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_key_file_that_is_none_ends_the_start_without_its_content() -> None:
    with empty_site() as site:
        site.furnish()
        (site.directory / "keys.json").write_text('{"aes_key": "secret-secret-secret"}')
        done = run_agent(site.config_file)
        assert done.returncode == EX_CONFIG
        assert "keys.json" in done.stderr
        assert "secret-secret" not in done.stderr + done.stdout
