"""A support bundle is safe to paste: planted secrets and names are nowhere in it."""

import base64
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_site import LOCK, Site, empty_site, house_lock
from virtual_helpers import KEYS

DIGITS = ("482913", "771204", "90210555", "1123334", "555666")
PASSPHRASE = "correct horse battery staple"
BROKER_PASSWORD = "br0ker-pa55word"
CLIENT_SECRET = "cl13nt-s3cret-of-the-application"
PASSWORD_MD5 = hashlib.md5(b"the password").hexdigest()
CALLBACK_PATH = "kT3mJ5qWz0bY7nXcQ9"
NAMES = ("anna", "muster", "beispiel", "example.org", "booking")
TEXTS = (*DIGITS, PASSPHRASE, BROKER_PASSWORD, CLIENT_SECRET, PASSWORD_MD5, CALLBACK_PATH)
NUMBERS = (KEYS.admin_secret, KEYS.unlock_key, int.from_bytes(KEYS.aes_key, "big"))


def forms() -> set[str]:
    """Every planted secret, in every way in which somebody may have written it."""
    raw = [text.encode() for text in TEXTS] + [KEYS.aes_key, KEYS.aes_key[::-1]]
    found = set(TEXTS)
    for each in raw:
        encoded = base64.b64encode(each).decode().rstrip("=")
        found |= {each.hex(), each.hex(":"), each.hex(" "), encoded}
        found |= {base64.urlsafe_b64encode(each).decode().rstrip("="), ",".join(map(str, each))}
    for number in NUMBERS:
        found |= {str(number), f"{number:x}", f"{number:08x}"}
    for digits in DIGITS:
        found.add(f"{int(digits):x}")
    return found | {each.upper() for each in found}


def leaks(text: str) -> list[str]:
    lowered = text.lower()
    return [form for form in forms() if form in text] + [name for name in NAMES if name in lowered]


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A house with a secret in every place that has room for one."""
    monkeypatch.setenv("CALLBACK_PATH", CALLBACK_PATH)
    with empty_site(lock=house_lock(passcodes=("1123334",))) as made:
        for name, secret in (
            ("broker", BROKER_PASSWORD), ("client", CLIENT_SECRET), ("md5", PASSWORD_MD5)
        ):  # fmt: skip
            (made.directory / name).touch(mode=0o600)
            (made.directory / name).write_text(secret)
        made.broker.start()
        made.start_lock()
        made.furnish(
            mqtt={
                "host": made.broker.host, "port": made.broker.port,
                "username": "anna", "password": "file:broker",
            },
            cloud={
                "base_url": "http://127.0.0.1:9", "client_id": "anna-muster",
                "client_secret": "file:client", "username": "anna@example.org",
                "password_md5": "file:md5",
            },
            watch={"grace_s": 86400, "callbacks": {"path": "env:CALLBACK_PATH", "port": 0}},
            lock={"name": "Flat of Anna Muster"},
        )  # fmt: skip
        made.start_agent()
        yield made


def live(site: Site) -> None:
    """Let everything happen that could leave a trace."""
    caller = site.caller()
    label = "Anna Muster, code 482913"
    caller.ask("passcode.add", "booking-anna-482913", passcode="482913", label=label)
    caller.answer("passcode.add", "booking-anna-482913")
    caller.ask("passcode.add", "booking-anna-482913", passcode="771204", owner="Anna-Muster")
    caller.ask("passcode.add", "anna-90210555", passcode="90210555", owner="anna_muster")
    caller.answer("passcode.add", "anna-90210555")
    caller.ask("passcode.delete", "beispiel-90210555", passcode="90210555")
    caller.answer("passcode.delete", "beispiel-90210555")
    caller.publish("passcode.add", b'{"id": "anna 771204", "passcode": 771204')
    caller.ask("passcode.add", "anna-bad", passcode="482913 anna")
    caller.answer("passcode.add", "anna-bad")
    caller.ask(
        "gateway.report", "anna-report", gateway={"is_online": True, "name": "Annas gateway"},
        passcodes_listed=[{"passcode": "555666", "label": "Herr Beispiel"}],
    )  # fmt: skip
    caller.answer("gateway.report", "anna-report")
    site.opens("771204")
    site.opens("555666")
    site.result("backup.create", {"id": "anna-backup", "lock": LOCK, "passphrase": PASSPHRASE})
    site.result("lock.diagnose", {"id": "anna-diagnose", "lock": LOCK})


def bundle(site: Site, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ttlock_agent", "support-bundle", *options]
    return subprocess.run(
        [*command, "--config", str(site.config_file), "--socket", str(site.control_socket)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def parts(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_what_was_planted_everywhere_is_nowhere_in_the_bundle(site: Site, tmp_path: Path) -> None:
    live(site)
    file = tmp_path / "bundle.txt"
    assert bundle(site, "--output", str(file)).returncode == 0
    assert leaks(file.read_text()) == []
    assert file.stat().st_mode & 0o777 == 0o600
    assert bundle(site, "--output", str(file)).returncode == 78, "no file is overwritten"

    told = parts(bundle(site, "--json", "--output", "-"))
    assert leaks(json.dumps(told, ensure_ascii=False)) == []
    assert told["running"] is True
    assert told["agent"]["mqtt"]["status"] == "connected"
    assert told["agent"]["cloud"]["trouble"] == "cloud_unreachable"
    assert told["config"]["mqtt"]["password"] == "file:***"
    assert {job["verb"] for job in told["jobs"]["recent"]} >= {"passcode.add", "backup.create"}
    lock = told["locks"][LOCK]
    assert lock["device"]["firmware"] == "6.5.08.230228"
    assert lock["diagnosis"]["visited"] is True
    assert lock["diagnosis"]["verdict"] == "fail", "the cloud's passcode is not in the lock"
    assert "agent_ready" in {entry["event"] for entry in told["log"]}
    assert lock["signal"][0]["connected"] > 0


def test_while_no_agent_runs_the_bundle_says_so_and_what_is_on_the_disk(site: Site) -> None:
    live(site)
    site.stop_agent()
    done = bundle(site, "--json", "--output", "-")
    assert leaks(done.stdout) == []
    told = parts(done)
    assert told["running"] is False
    assert told["silence"]["code"] == "control_unavailable"
    assert told["configuration"]["config"]["mqtt"]["password"] == "file:***"
    assert told["state"]["journal"]["counts"]["proved"] >= 2
    assert {job["verb"] for job in told["state"]["journal"]["recent"]} >= {"passcode.add"}
    assert "journal.db" in {file["name"] for file in told["state"]["files"]}


def test_a_broken_configuration_does_not_give_away_what_was_written(site: Site) -> None:
    site.stop_agent()
    text = site.config_file.read_text()
    site.config_file.write_text(text.replace("file:broker", BROKER_PASSWORD) + "anna: muster\n")
    done = bundle(site, "--json", "--output", "-")
    assert leaks(done.stdout + done.stderr) == []
    told = parts(done)
    assert told["configuration"]["problem"]
    assert len(told["configuration"]["findings"]) >= 2
    site.config_file.unlink()
    assert parts(bundle(site, "--json", "--output", "-"))["configuration"]["problem"]
