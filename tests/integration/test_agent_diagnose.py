"""Field case 1 at the command line: `diagnose` names the causes, `--fix` repairs and proves."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from agent_site import LOCK, Secrets, Site, house_lock, running_site
from ttlock_protocol.virtual.memory import DeviceInfo

PASSCODES = ("555666", "777888", "999000")
SUSPECTED = DeviceInfo(firmware="6.5.20.240724")
HOURS_SLOW = timedelta(hours=7)


@pytest.fixture
def site() -> Iterator[Site]:
    """The lock of field case 1; the gateway has a day for what the cloud calls delivered."""
    lock = replace(house_lock(clock_error_s=-HOURS_SLOW.total_seconds()), device=SUSPECTED)
    with running_site(lock=lock, sections={"watch": {"grace_s": 86400}}) as made:
        caller = made.caller()
        caller.ask(
            "gateway.report",
            "ha-1",
            gateway={"is_online": True, "name": "ruveno g2", "rssi_dbm": -71},
            passcodes_listed=[
                {"passcode": digits, "label": f"booking {number}"}
                for number, digits in enumerate(PASSCODES, start=1)
            ],
        )
        caller.answer("gateway.report", "ha-1")
        yield made


def diagnose(site: Site, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ttlock_agent", "diagnose", LOCK, *options]
    return subprocess.run(
        [*command, "--socket", str(site.control_socket)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def body_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert not done.stderr, done.stderr
    body: dict[str, Any] = json.loads(done.stdout)
    return body


def verdicts(body: dict[str, Any]) -> dict[str, str]:
    return {each["check"]: each["verdict"] for each in body["checks"]}


def test_field_case_1_is_named_repaired_and_proved(site: Site) -> None:
    assert not any(site.opens(digits) for digits in PASSCODES)
    first = diagnose(site, "--json")
    assert first.returncode == 65
    body = body_of(first)
    assert [(each["check"], each["likelihood"]) for each in body["causes"]] == [
        ("gateway", "likely"),
        ("clock", "likely"),
        ("firmware", "possible"),
    ]
    assert "itself failed" not in first.stdout
    assert "holds none of them" in body["causes"][0]["sentence"]
    assert "7 h 00 min slow" in body["causes"][1]["sentence"]
    assert "suspected" in body["causes"][2]["sentence"]
    found = verdicts(body)
    assert found["passcodes_held"] == found["refused_at_the_door"] == "fail"
    assert [each["fix"] for each in body["fixes"]] == ["missing_passcodes", "clock"]
    assert site.digits() == [], "a diagnosis changes nothing"

    dry = diagnose(site, "--fix", "--dry-run")
    assert "--fix would:" in dry.stdout
    assert "deliver 3 missing passcodes" in dry.stdout
    assert site.digits() == []

    fixed = diagnose(site, "--fix")
    assert fixed.returncode == 0, fixed.stdout
    shown, _, repaired = fixed.stdout.partition("Repaired:")
    assert "3 wanted passcodes not in the lock's memory" in shown
    assert repaired.count("proved: ") == 2
    assert "NOT proved" not in repaired
    assert "set the lock's clock" in shown, "each repair is shown before it is done"
    assert site.digits() == sorted(PASSCODES)
    assert all(site.opens(digits) for digits in PASSCODES)

    again = diagnose(site, "--json")
    assert again.returncode == 0
    clean = body_of(again)
    assert "fail" not in verdicts(clean).values()
    assert verdicts(clean)["passcodes_held"] == verdicts(clean)["clock"] == "pass"
    assert clean["fixes"] == []

    caller = site.caller()
    caller.ask("lock.diagnose", "pms-diagnose")
    answer = caller.answer("lock.diagnose", "pms-diagnose")
    assert verdicts(answer) == verdicts(clean)

    secrets = Secrets(*PASSCODES)
    assert secrets.found_in(json.dumps(answer).encode()) == []
    for said in (first, dry, fixed, again):
        assert secrets.found_in((said.stdout + said.stderr).encode()) == []
    assert secrets.found_in(site.log("agent").encode()) == []


def test_without_a_service_the_same_is_measured_and_repaired(site: Site) -> None:
    site.stop_agent()
    command = [sys.executable, "-m", "ttlock_agent", "diagnose", LOCK, "--fix", "--json"]
    done = subprocess.run(
        [*command, "--config", str(site.config_file)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    body: dict[str, Any] = json.loads(done.stdout)
    assert {each["proved"] for each in body["fixed"]} == {True}
    assert body["before"]["causes"][0]["check"] == "gateway"
    assert verdicts(body)["gateway"] == "warn", "the agent delivered, not the gateway"
    assert site.digits() == sorted(PASSCODES)
