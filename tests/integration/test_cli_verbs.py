"""The command line as people use it: a running agent, a virtual lock, each a process."""

import json
import os
import pty
import pwd
import re
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent_site import LOCK, PATIENCE_S, Site, empty_site, running_site, wait_until
from ttlock_agent.errors import (
    EX_CONFIG,
    EX_OK,
    EX_REJECTED,
    EX_TRY_LATER,
    EX_UNAVAILABLE,
    EX_USAGE,
)
from ttlock_protocol.messages.cards import card_to_decimal
from ttlock_protocol.messages.operate import BoltState

pytestmark = pytest.mark.timeout(240)

ROOT = Path(__file__).parents[2]
SOURCES = (ROOT / "agent", ROOT / "protocol")
CARD = bytes.fromhex("0a0b0c0d")
FINGER = bytes.fromhex("010203040506")
NUMBER = card_to_decimal(CARD)


@dataclass(frozen=True)
class Said:
    """What a command left behind."""

    exit_code: int
    out: str
    err: str

    @property
    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(self.out)
        return body


class Shell:
    """Somebody at a prompt."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.argv: list[str] = []

    def start(self, *arguments: str, socket: bool = True, **options: Any) -> subprocess.Popen[str]:
        where = ("--socket", str(self.site.control_socket)) if socket else ()
        self.argv += arguments
        return subprocess.Popen(
            [sys.executable, "-m", "ttlock_agent", *arguments, *where],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def run(self, *arguments: str, typed: str = "", **options: Any) -> Said:
        process = self.start(*arguments, **options)
        out, err = process.communicate(typed, timeout=120)
        assert "Traceback" not in err, err
        return Said(process.returncode, out, err)

    def json(self, *arguments: str, typed: str = "", **options: Any) -> dict[str, Any]:
        said = self.run(*arguments, "--json", typed=typed, **options)
        assert said.exit_code == EX_OK, said
        return said.body


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with running_site(sections={"lock": {"quirks": {"switches_are_verified": True}}}) as made:
        yield made


@pytest.fixture
def shell(site: Site) -> Shell:
    return Shell(site)


def test_a_passcode_comes_and_goes_and_never_stands_in_an_argument(
    site: Site, shell: Shell
) -> None:
    said = shell.run("passcode", "add", LOCK, "--label", "cleaner", typed="482913\n")
    assert (said.exit_code, said.out.splitlines()[0][:6]) == (EX_OK, "proved")
    assert site.opens("482913")
    listed = shell.run("passcode", "list", LOCK)
    assert "cleaner" in listed.out
    found = shell.json("passcode", "check", LOCK, "--passcode-file", "-", typed="482913\n")
    assert found["found"] == "listed"
    rehearsed = shell.run("passcode", "delete", LOCK, "--dry-run", typed="482913\n")
    assert (rehearsed.exit_code, rehearsed.out.splitlines()[-1]) == (
        EX_OK,
        "nothing was changed",
    )
    assert site.opens("482913")
    refused = shell.run("passcode", "delete", LOCK, typed="482913\n")  # nobody says yes
    assert (refused.exit_code, site.opens("482913")) == (EX_REJECTED, True)
    assert shell.run("passcode", "delete", LOCK, "--yes", typed="482913\n").exit_code == EX_OK
    assert not site.opens("482913")
    assert "482913" not in " ".join(shell.argv)
    for each in (said, listed, rehearsed):
        assert "482913" not in each.out + each.err


def test_a_set_comes_from_a_file(site: Site, shell: Shell, tmp_path: Any) -> None:
    file = tmp_path / "set.json"
    file.write_text(json.dumps([{"passcode": "330044", "label": "b 1"}]))
    body = shell.json("passcode", "sync", LOCK, "--owner", "pms", "--passcodes", str(file))
    assert body["result"] == "proved"
    assert site.opens("330044")
    file.write_text("[]")
    planned = shell.json(
        "passcode", "sync", LOCK, "--owner", "pms", "--passcodes", str(file), "--dry-run"
    )
    assert [each["act"] for each in planned["passcodes"]] == ["delete"]
    assert site.opens("330044")
    bad = shell.run("passcode", "sync", LOCK, "--owner", "pms", "--passcodes", "/nowhere")
    assert bad.exit_code == EX_USAGE


def test_the_door_is_opened_and_locked_from_here(site: Site, shell: Shell) -> None:
    assert shell.json("lock", "unlock", LOCK)["lock"] == "UNLOCKED"
    assert site.memory().bolt.state == BoltState.UNLOCKED
    said = shell.run("lock", "lock", LOCK)
    assert (said.exit_code, "LOCKED" in said.out) == (EX_OK, True)
    assert shell.json("lock", "state", LOCK)["lock"] == "LOCKED"
    assert shell.json("lock", "features", LOCK)["features"]
    assert "firmware" in shell.run("lock", "info", LOCK).out
    assert shell.json("log", "read", LOCK)["records"]
    assert shell.json("clock", "sync", LOCK)["result"] == "proved"
    assert "clock error s" in shell.run("clock", "read", LOCK).out


def test_a_card_is_learnt_at_the_lock_while_the_command_waits(site: Site, shell: Shell) -> None:
    process = shell.start("card", "add", LOCK, "--json")
    assert process.stderr is not None
    assert "hold the card to the lock" in process.stderr.readline()
    site.lock(lambda lock: lock.present_card(CARD))
    out, _ = process.communicate(timeout=PATIENCE_S)
    learnt = json.loads(out)
    assert (process.returncode, learnt["ends_in"]) == (EX_OK, NUMBER[-3:])
    listed = shell.run("card", "list", LOCK)
    assert learnt["name"] in listed.out
    assert NUMBER not in listed.out + out
    gone = shell.json("card", "delete", LOCK, learnt["name"], "--yes")
    assert gone["was_there"]
    added = shell.json("card", "add", LOCK, "--card-file", "-", typed=f"{NUMBER}\n")
    assert added["name"] == learnt["name"]
    gone = shell.run("card", "delete", LOCK, "--card-file", "-", "--yes", typed=f"{NUMBER}\n")
    assert gone.exit_code == EX_OK
    again = shell.run("card", "delete", LOCK, learnt["name"], "--yes", "--json")
    assert (again.exit_code, again.body["error"]["code"]) == (EX_REJECTED, "not_found")


def test_a_finger_is_counted_scan_by_scan(site: Site, shell: Shell) -> None:
    process = shell.start("fingerprint", "add", LOCK, "--json")
    assert process.stderr is not None
    told = []
    for _ in range(4):
        told.append(process.stderr.readline())
        site.lock(lambda lock: lock.present_finger(FINGER))
    out, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == EX_OK
    assert ["of 4" in line for line in told] == [True] * 4
    name = json.loads(out)["name"]
    assert shell.run("fingerprint", "delete", LOCK, name, "--yes").exit_code == EX_OK


def test_settings_and_passage_mode(site: Site, shell: Shell) -> None:
    assert shell.json("setting", "set", LOCK, "auto_lock_s", "42")["value"] == 42
    assert shell.json("setting", "set", LOCK, "tamper_alert", "off")["value"] is False
    assert re.search(r"auto_lock_s +42", shell.run("setting", "read", LOCK).out)
    wrong = shell.run("setting", "set", LOCK, "volume", "9", "--json")
    assert (wrong.exit_code, wrong.body["error"]["code"]) == (EX_REJECTED, "invalid")
    windows = ("mon-fri 08:00-18:00", "1st of 5")
    body = shell.json("passage", "set", LOCK, *windows, "--yes")
    assert len(body["windows"]) == 6
    assert shell.json("passage", "list", LOCK)["windows"] == body["windows"]
    assert shell.run("passage", "set", LOCK, "someday", "--yes").exit_code == EX_USAGE
    shown = shell.run("passage", "clear", LOCK, "--dry-run")
    assert "weekly" in shown.out
    assert len(site.memory().passage) == 6
    assert shell.json("passage", "clear", LOCK, "--yes")["deleted"] == 6


def test_only_who_asks_here_hears_the_administrators_passcode(site: Site, shell: Shell) -> None:
    caller = site.caller()
    assert shell.run("admin-passcode", "set", LOCK, typed="2468135\n").exit_code == EX_OK
    body = shell.json("admin-passcode", "read", LOCK)
    assert body["passcode"] == "2468135"
    heard = caller.answer("admin_passcode.read", body["id"])
    assert "passcode" not in heard
    asked = shell.json("job", "get", body["job"])
    assert "2468135" not in json.dumps(asked)
    assert b"2468135" not in site.directory.joinpath("agent.log").read_bytes()


def test_jobs_are_listed_and_cancelled(site: Site, shell: Shell) -> None:
    site.stop_lock()
    try:
        waiting = shell.start("passcode", "add", LOCK)
        assert waiting.stdin is not None
        waiting.stdin.write("551207\n")
        waiting.stdin.close()
        (job,) = wait_until(
            lambda: shell.json("job", "list", "--lock", LOCK, "--open-only")["jobs"], "the job"
        )
        assert waiting.stderr is not None
        assert waiting.stderr.readline().strip()  # it says what it waits for
        assert shell.json("job", "get", job["job"])["verb"] == "passcode.add"
        cancelled = shell.run("job", "cancel", job["job"])
        assert cancelled.exit_code == EX_OK
        assert waiting.wait(PATIENCE_S) == EX_REJECTED
        waiting.stderr.close()
        assert waiting.stdout is not None
        waiting.stdout.close()
        nothing = shell.run("lock", "unlock", LOCK, "--within", "1", "--json")
        assert (nothing.exit_code, nothing.body["error"]["code"]) == (EX_TRY_LATER, "expired")
    finally:
        site.start_lock()


def test_what_takes_long_tells_how_it_goes(site: Site, shell: Shell) -> None:
    site.stop_lock()
    try:
        process = shell.start("lock", "state", LOCK, "--within", "30")
        assert process.stderr is not None
        assert process.stderr.readline().strip()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE_S)
        assert (process.returncode, "not over" in err) == (EX_TRY_LATER, True)
        named = re.search(r"job get (\S+)`", err)
        assert named is not None
        assert shell.json("job", "get", named[1])["verb"] == "lock.state"
    finally:
        site.start_lock()
    assert shell.run("lock", "state", LOCK).err == ""


def test_an_agent_that_goes_while_somebody_waits_leaves_no_call_to_unlock_again() -> None:
    with running_site() as site:
        site.stop_lock()
        process = Shell(site).start("lock", "unlock", LOCK, "--json")
        assert process.stderr is not None
        assert process.stderr.readline().strip()
        site.stop_agent()
        out, err = process.communicate(timeout=PATIENCE_S)
        error = json.loads(out)["error"]
        assert (error["code"], error["retryable"]) == ("outcome_unknown", False), err
        assert process.returncode == EX_TRY_LATER


def test_errors_have_the_same_form_in_json(site: Site, shell: Shell) -> None:
    unknown = shell.run("lock", "state", "nowhere", "--json")
    assert (unknown.exit_code, unknown.body["error"]["code"]) == (EX_REJECTED, "unknown_lock")
    usage = shell.run("lock", "state", "--frobnicate", "--json")
    assert (usage.exit_code, usage.body["error"]["code"]) == (EX_USAGE, "usage")
    away = shell.run("status", "--json", "--socket", "/nowhere", socket=False)
    assert (away.exit_code, away.body["error"]["code"]) == (EX_UNAVAILABLE, "control_unavailable")


def test_a_passcode_typed_at_a_terminal_is_not_shown(site: Site) -> None:
    mine, theirs = pty.openpty()
    where = ["--socket", str(site.control_socket)]
    process = subprocess.Popen(
        [sys.executable, "-m", "ttlock_agent", "passcode", "add", LOCK, *where],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    shown = b""
    for prompt in (b"Passcode:", b"confirmation:"):
        while prompt not in shown:
            shown += os.read(mine, 1024)
        os.write(mine, b"606070\n")
    with suppress(OSError):
        while data := os.read(mine, 1024):
            shown += data
    os.close(mine)
    assert process.wait(PATIENCE_S) == EX_OK
    assert b"606070" not in shown
    assert site.opens("606070")


# Without a running agent.


def test_a_command_brings_its_own_agent_and_leaves_nothing_running() -> None:
    with empty_site() as site:
        site.start_lock()
        site.furnish()
        shell = Shell(site)
        where = ("--config", str(site.config_file))
        added = shell.run("passcode", "add", LOCK, *where, typed="482913\n", socket=False)
        assert added.exit_code == EX_OK, added
        assert "one is started for this command" in added.err
        assert site.opens("482913")
        assert not site.control_socket.exists()
        listed = shell.json("passcode", "list", LOCK, *where, socket=False)
        assert [each["is_as_wanted"] for each in listed["passcodes"]] == [True]
        status = shell.run("status", *where, socket=False)
        assert status.exit_code == EX_UNAVAILABLE  # nothing runs, and that is what it says


def test_a_journal_that_somebody_else_holds_is_named() -> None:
    with running_site() as site:
        shell = Shell(site)
        other = site.directory / "other.yaml"
        other.write_text(
            site.config_file.read_text().replace(
                str(site.control_socket), str(site.directory / "other.sock")
            )
        )
        said = shell.run("clock", "read", LOCK, "--config", str(other), "--json", socket=False)
        assert (said.exit_code, said.body["error"]["code"]) == (EX_UNAVAILABLE, "agent_not_started")
        assert "journal" in said.body["error"]["message"]
        assert "Stop the other agent" in said.err


def test_a_bad_configuration_is_told_as_such() -> None:
    with empty_site() as site:
        site.furnish(locks=[])
        said = Shell(site).run(
            "clock", "read", LOCK, "--config", str(site.config_file), "--json", socket=False
        )
        assert said.exit_code == EX_CONFIG
        assert said.body["error"]["code"] == "config"


def test_an_agent_for_one_command_ends_with_a_command_that_is_killed() -> None:
    with empty_site() as site:
        site.furnish()  # and no lock answers
        shell = Shell(site)
        where = ("--config", str(site.config_file))
        process = shell.start("lock", "state", LOCK, *where, socket=False)
        lock_file = site.state_directory / "journal.lock"
        wait_until(lock_file.exists, "the agent's start")
        process.kill()
        process.communicate(timeout=PATIENCE_S)
        site.start_lock()
        again = shell.json("lock", "state", LOCK, *where, socket=False)
        assert again["lock"] == "LOCKED"


# Completion.


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("ttlock-agent pass", {"passcode", "passage"}),
        ("ttlock-agent lock un", {"unlock"}),
        ("ttlock-agent lock unlock fr", {LOCK}),
        ("ttlock-agent job list --lock fr", {LOCK}),
        ("ttlock-agent setting set front-door vol", {"volume"}),
    ],
)
def test_a_shell_completes_commands_and_locks(site: Site, words: str, offered: set[str]) -> None:
    environment = os.environ | {
        "_TTLOCK_AGENT_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
        "TTLOCK_AGENT_SOCKET": str(site.control_socket),
    }
    done = subprocess.run(
        [sys.executable, "-m", "ttlock_agent"],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert {line.partition(",")[2] for line in done.stdout.split()} == offered, done


def test_the_script_that_is_shipped_works_in_bash(site: Site) -> None:
    script = """
        eval "$(_TTLOCK_AGENT_COMPLETE=bash_source ttlock-agent)"
        COMP_WORDS=(ttlock-agent lock unlock fr) COMP_CWORD=3
        _ttlock_agent_completion ttlock-agent
        echo "${COMPREPLY[@]}"
    """
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "TTLOCK_AGENT_SOCKET": str(site.control_socket),
    }
    done = subprocess.run(
        ["bash", "-c", script],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout.split() == [LOCK], done


# As root, for a service of another user.


def test_root_starts_an_agent_as_the_user_who_owns_the_state() -> None:
    python = "/usr/bin/python3"
    paths = [sysconfig.get_paths()["purelib"], *map(str, SOURCES)]
    environment = os.environ | {"PYTHONPATH": ":".join(paths)}
    nobody = pwd.getpwnam("nobody")
    if os.geteuid() != 0:
        pytest.skip("only root can be somebody else")
    can_run = subprocess.run(
        [python, "-c", "import ttlock_agent.app, ttlock_agent.cli"],
        env=environment, user=nobody.pw_uid, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    if can_run.returncode:
        pytest.skip(f"{python} cannot run this checkout as another user")
    with empty_site() as site:
        site.furnish(agent={"id": "house-12", "state_directory": str(site.state_directory)})
        site.directory.chmod(0o755)
        (site.directory / "keys.json").chmod(0o600)
        os.chown(site.directory / "keys.json", nobody.pw_uid, -1)
        site.state_directory.mkdir(mode=0o700)
        os.chown(site.state_directory, nobody.pw_uid, nobody.pw_gid)
        done = subprocess.run(
            [python, "-m", "ttlock_agent", "job", "list", "--config", str(site.config_file)],
            env=environment, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == EX_OK, done
        made = {each.name: each.stat().st_uid for each in site.state_directory.iterdir()}
        assert made["journal.db"] == nobody.pw_uid
        assert set(made.values()) == {nobody.pw_uid}
