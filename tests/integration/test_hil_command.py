"""``ttlock-agent hil`` as a technician runs it, killed and resumed, on virtual locks."""

from __future__ import annotations

import json
import os
import pwd
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent_site import LOCK, Site, empty_site, house_lock, running_site, wait_until
from ttlock_agent.errors import EX_OK, EX_REJECTED, EX_TRY_LATER, EX_UNAVAILABLE
from ttlock_agent.hil.model import RESERVED_PREFIX
from ttlock_protocol.virtual import Fault, FaultAction, FaultPlan, FaultPoint, Memory
from ttlock_protocol.virtual.memory import Habits

pytestmark = pytest.mark.timeout(420)  # a busy machine is no failure

SLOWLY = FaultPlan(faults=(Fault(action=FaultAction.DELAY, at=FaultPoint.ANSWER, delay_s=0.08),))
"""Time enough to kill somebody in the middle."""
TEST_PASSCODE = re.compile(rb"(?<![0-9])" + RESERVED_PREFIX.encode() + rb"[0-9]{7}(?![0-9])")


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "ttlock_agent", "hil", *map(str, arguments)]


def hil(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, timeout=400, check=False, cwd=cwd
    )


@pytest.fixture
def site() -> Iterator[Site]:
    """A house with a lock and a configuration; the service is stopped, as it has to be."""
    with empty_site() as made:
        made.start_lock()
        made.furnish()
        yield made


def run_at(site: Site, *options: object) -> subprocess.CompletedProcess[str]:
    return hil("run", "--config", site.config_file, "--lock", LOCK, "--unattended", *options)


def ours(memory: Memory) -> list[str]:
    return [p.passcode for p in memory.passcodes if p.passcode.startswith(RESERVED_PREFIX)]


def kill_once(
    site: Site, is_it: Callable[[Memory], object], *options: object, plan: FaultPlan = SLOWLY
) -> Path:
    """Run the suite and SIGKILL it as soon as the lock ``is_it``; return the run."""
    directory = site.directory / "run"
    site.lock(lambda lock: lock.set_faults(plan))
    arguments = ("run", "--config", site.config_file, "--lock", LOCK, "--unattended")
    process = subprocess.Popen(
        command(*arguments, "--run", directory, *options), stdout=subprocess.DEVNULL
    )
    try:
        while not is_it(site.memory()):
            assert process.poll() is None, "it ended before the moment to kill came"
    finally:
        process.kill()
        process.wait()
    site.lock(lambda lock: lock.set_faults(FaultPlan()))
    return directory


def test_the_whole_suite_is_green_and_tells_no_secret(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    done = hil(
        "run", "--lock", "virtual:front-door", "--unattended", "--destructive", "--run", directory
    )
    assert done.returncode == EX_OK, done.stdout + done.stderr
    suite = ET.parse(directory / "junit.xml").getroot()
    assert suite.get("failures") == "0"
    ran = {case.get("name") for case in suite.iter("testcase") if case.find("skipped") is None}
    assert {"keypad.opens", "soak.deliveries", "power.cut", "wipe.restore"} <= ran
    keys = json.loads((directory / "lock-keys.json").read_text())
    secrets = [str(keys[name]) for name in ("aes_key", "admin_secret", "unlock_key")]
    told = [directory / name for name in ("report.html", "junit.xml", "run.jsonl", "suite.log")]
    agents = list((directory / "agents").glob("*/agent.*"))
    assert agents
    for path in (*told, *agents):
        content = path.read_bytes()
        assert not TEST_PASSCODE.search(content), path.name
        assert [each for each in secrets if each.encode() in content] == [], path.name
    assert not TEST_PASSCODE.search(done.stdout.encode())


def test_an_aborted_run_is_cleaned_up_with_one_command() -> None:
    stubborn = replace(house_lock(), habits=Habits(needs_greeting=True))
    with empty_site(lock=stubborn) as site:
        site.start_lock()
        site.furnish()
        _check_clean_up(site)


def _check_clean_up(site: Site) -> None:
    before = site.memory()
    run = kill_once(site, ours, "--only", "passcodes")
    assert ours(site.memory()), "killed too late"
    done = hil("clean-up", run, "--unattended")
    assert done.returncode == EX_OK, done.stdout + done.stderr
    assert site.memory().passcodes == before.passcodes
    assert "the lock is as it was" in done.stdout


def test_a_killed_run_goes_on_where_it_was(site: Site) -> None:
    run = kill_once(site, ours, "--only", "passcodes", "--only", "sound.set")
    done = hil("run", "--resume", run, "--unattended")
    assert done.returncode == EX_OK, done.stdout + done.stderr
    suite = ET.parse(run / "junit.xml").getroot()
    assert suite.get("skipped") == "0"
    assert ours(site.memory()) == []
    began = (run / "run.jsonl").read_text().count('"check":"features.read"')
    assert began == 0, "what was not asked for is not run on resuming either"


def test_killed_between_reset_and_enrolment_the_lock_gets_everything_back(site: Site) -> None:
    site.lock(lambda lock: lock.type_code("1123334"))
    before = site.memory()
    run = kill_once(
        site, lambda memory: memory.administrator is None, "--destructive", "--only", "wipe.backup",
        "--only", "wipe.reset", "--only", "wipe.enrol", "--only", "wipe.restore", plan=FaultPlan(),
    )  # fmt: skip
    done = hil("run", "--resume", run, "--unattended")
    assert done.returncode == EX_OK, done.stdout + done.stderr
    after = site.memory()
    assert after.administrator is not None
    assert after.admin_passcode == before.admin_passcode
    site.start_agent(is_connected=False)
    assert site.result("lock.state", {"id": "after", "lock": LOCK})["status"] == "done", "new keys"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as somebody else")
def test_root_acts_as_whom_the_state_belongs_to(site: Site) -> None:
    nobody = pwd.getpwnam("nobody")
    site.directory.chmod(0o755)
    site.lock_socket.chmod(0o666)
    site.state_directory.mkdir()
    for path in (site.state_directory, site.directory / "keys.json"):
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    done = run_at(site, "--only", "state.read")
    assert done.returncode == EX_OK, done.stdout + done.stderr
    made = list(site.state_directory.rglob("*"))
    assert any(path.name == "report.html" for path in made)
    assert {path.stat().st_uid for path in made} == {nobody.pw_uid}


def test_it_keeps_off_the_radio_while_the_service_runs() -> None:
    with running_site() as made:
        done = run_at(made, "--only", "state.read")
        assert done.returncode == EX_UNAVAILABLE
        assert "systemctl stop ttlock-agent" in done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--min-battery", 101), "battery"),
        (("--min-rssi", -10), "dBm"),
        (("--max-connections", 3), "budget"),
        (("--max-connections", 20, "--soak", 50, "--only", "soak.*"), "100 connections"),
        (("--destructive", "--mac-digits", "000000", "--only", "destructive"), "six digits"),
    ],
)
def test_an_open_interlock_stops_the_run_before_it_costs(
    site: Site, options: tuple[object, ...], words: str
) -> None:
    before = site.memory()
    done = run_at(site, "--only", "passcode.add", "--run", site.directory / "run", *options)
    assert done.returncode == EX_REJECTED, done.stdout + done.stderr
    assert words in done.stderr
    assert "hil run --resume" in done.stdout
    after = site.memory()
    assert (after.passcodes, after.administrator) == (before.passcodes, before.administrator)


def test_a_run_that_was_told_to_stop_puts_back_and_says_how_to_go_on(site: Site) -> None:
    site.lock(lambda lock: lock.set_faults(SLOWLY))
    directory = site.directory / "run"
    arguments = ("run", "--config", site.config_file, "--lock", LOCK, "--unattended")
    process = subprocess.Popen(
        command(*arguments, "--run", directory, "--only", "passcodes"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_until(lambda: ours(site.memory()), "a test passcode")
    process.terminate()
    out, _ = process.communicate(timeout=200)
    assert process.returncode == EX_TRY_LATER
    assert f"hil run --resume {directory}" in out
    assert ours(site.memory()) == []


def test_checks_are_listed_and_unknown_ones_named(site: Site) -> None:
    listed = hil("list")
    assert "passcode.add" in listed.stdout
    done = run_at(site, "--only", "passcode.ad")
    assert "No check is called passcode.ad" in done.stderr
    report = hil("report", site.directory)
    assert "There is no run in" in report.stderr


@pytest.mark.timeout(180)
def test_a_run_that_was_named_from_here_goes_on_from_anywhere(tmp_path: Path) -> None:
    made_up = ("--lock", "virtual:front-door", "--unattended", "--only", "contact")
    first = hil("run", *made_up, "--run", "mine", cwd=tmp_path)
    assert first.returncode == EX_OK, first.stdout + first.stderr
    again = hil("run", "--resume", tmp_path / "mine", "--unattended")
    assert again.returncode == EX_OK, again.stdout + again.stderr
    assert not (tmp_path / "mine" / "mine").exists()
