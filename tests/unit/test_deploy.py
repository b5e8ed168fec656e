"""The service as systemd sees it: sandbox, users, snippets that must agree with the code."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from ttlock_agent.errors import EX_CONFIG, EX_USAGE
from ttlock_agent.link.router import RESTART_REQUEST
from ttlock_agent.vault import CREDENTIAL_NAME

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNIT = DEPLOY / "ttlock-agent.service"
HELPER = DEPLOY / "ttlock-agent-bluetooth"
EXPOSURE_LIMIT = 13
"""In tenths, as `systemd-analyze security --threshold` wants it."""


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "SYSTEMD_PAGER": "cat", "LC_ALL": "C.UTF-8"}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=50, env=environment, check=False
    )


def needs(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed")
    return found


def settings(unit: Path = UNIT) -> dict[str, list[str]]:
    """Every setting of a unit, sections apart from each other by name only."""
    found: dict[str, list[str]] = {}
    for line in unit.read_text().splitlines():
        if match := re.match(r"([A-Z]\w+)=(.*)", line):
            found.setdefault(match[1], []).append(match[2])
    return found


def exposure(unit: Path) -> subprocess.CompletedProcess[str]:
    done = run(
        needs("systemd-analyze"),
        "security",
        "--offline=true",
        f"--threshold={EXPOSURE_LIMIT}",
        unit,
    )
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze cannot judge a file")
    return done


def test_the_sandbox_is_as_tight_as_it_was_measured() -> None:
    done = exposure(UNIT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_gate_notices_a_hole(tmp_path: Path) -> None:
    looser = tmp_path / UNIT.name
    looser.write_text(UNIT.read_text().replace("CapabilityBoundingSet=\n", ""))
    assert exposure(looser).returncode != 0


def test_systemd_finds_nothing_to_complain_about(tmp_path: Path) -> None:
    # The program is there only after the installation; everything else must be right as it is.
    unit = tmp_path / UNIT.name
    unit.write_text(re.sub(r"ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text()))
    done = run(needs("systemd-analyze"), "verify", "--man=no", unit)
    complaints = [line for line in done.stderr.splitlines() if UNIT.name in line]
    assert (done.returncode, complaints) == (0, []), done.stderr


@pytest.mark.parametrize("kind", ["path", "service"])
def test_systemd_understands_the_helper(tmp_path: Path, kind: str) -> None:
    for each in ("path", "service"):
        shutil.copy(HELPER.with_suffix(f".{each}"), tmp_path)
    unit = tmp_path / HELPER.with_suffix(f".{kind}").name
    done = run(needs("systemd-analyze"), "verify", "--man=no", unit)
    complaints = [line for line in done.stderr.splitlines() if HELPER.stem in line]
    assert (done.returncode, complaints) == (0, []), done.stderr


def test_the_helper_waits_for_what_the_agent_writes_and_takes_it_away() -> None:
    request = f"/run/{settings()['RuntimeDirectory'][0]}/{RESTART_REQUEST}"
    assert settings(HELPER.with_suffix(".path"))["PathExists"] == [request]
    service = settings(HELPER.with_suffix(".service"))
    assert service["ExecStart"] == [
        f"/usr/bin/rm -f {request}",
        "/usr/bin/systemctl try-restart bluetooth.service",
    ]
    assert service["ReadWritePaths"] == [f"-{Path(request).parent}"]
    assert service["CapabilityBoundingSet"] == ["CAP_DAC_OVERRIDE"]


def test_nobody_enables_the_helper_but_the_owner() -> None:
    scripts = [DEPLOY / "install.sh", *(DEPLOY / "debian").iterdir()]
    names = re.compile(r"\$helper|ttlock-agent-bluetooth")
    enabling = [
        line
        for script in scripts
        for line in read(script)
        if names.search(line) and re.search(r"\b(enable|preset)\b", line)
    ]
    assert enabling == []


def test_a_wrong_configuration_is_not_tried_again() -> None:
    assert settings()["RestartPreventExitStatus"] == [str(EX_CONFIG)]


def test_the_vault_key_comes_under_the_name_the_agent_asks_for() -> None:
    names = [each.partition(":")[0] for each in settings()["LoadCredentialEncrypted"]]
    assert CREDENTIAL_NAME in names


def test_no_credential_is_required() -> None:
    # A relative path is searched for in the credential stores, and may be missing there.
    for each in settings()["LoadCredentialEncrypted"]:
        assert not each.partition(":")[2].startswith("/"), each


def test_every_credential_of_the_example_is_one_the_unit_knows() -> None:
    example = (ROOT / "config" / "agent.example.yaml").read_text()
    known = {each.partition(":")[0] for each in settings()["LoadCredentialEncrypted"]}
    asked = set(re.findall(r"^ +\w+: credential:([\w-]+)", example, re.MULTILINE))
    # Keys of locks are imported once, from a file: no unit can list every lock.
    assert asked - {"front-door-keys"} <= known


def test_users_and_groups_can_be_made(tmp_path: Path) -> None:
    sysusers = needs("systemd-sysusers")
    target = tmp_path / "usr/lib/sysusers.d/ttlock-agent.conf"
    target.parent.mkdir(parents=True)
    (tmp_path / "etc").mkdir()
    shutil.copy(DEPLOY / "sysusers.conf", target)
    done = run(sysusers, f"--root={tmp_path}")
    if done.returncode and os.geteuid() != 0:
        pytest.skip("only root may make users in another root here")
    assert done.returncode == 0, done.stderr
    users = {line.split(":")[0]: line.split(":") for line in read(tmp_path / "etc/passwd")}
    groups = {line.split(":")[0]: line.split(":") for line in read(tmp_path / "etc/group")}
    service = settings()
    user = users[service["User"][0]]
    # The socket's group must be the main group of the process; see the unit.
    assert user[3] == groups[service["Group"][0]][2]
    assert user[6].endswith("nologin")
    assert "ttlock-agent" in groups["bluetooth"][3].split(",")


def read(path: Path) -> list[str]:
    return path.read_text().splitlines()


def test_the_directories_are_understood(tmp_path: Path) -> None:
    tmpfiles = needs("systemd-tmpfiles")
    if os.geteuid() != 0:
        pytest.skip("only root may make directories that belong to root")
    (tmp_path / "etc").mkdir()
    done = run(tmpfiles, "--create", f"--root={tmp_path}", DEPLOY / "tmpfiles.conf")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "etc/credstore.encrypted").stat().st_mode & 0o777 == 0o700


def test_the_passive_scan_example_changes_the_command_line_only() -> None:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(DEPLOY / "bluetooth" / "passive-scan.conf")
    assert parser.sections() == ["Service"]
    assert settings(DEPLOY / "bluetooth" / "passive-scan.conf") == {
        "ExecStart": ["", "/usr/libexec/bluetooth/bluetoothd --experimental"]
    }


def test_passive_scanning_is_offered_and_can_be_undone(tmp_path: Path) -> None:
    script = DEPLOY / "bluetooth" / "passive-scan.sh"
    conf = tmp_path / "bluetooth.service.d" / "passive-scan.conf"
    bin_dir = tmp_path / "bin"
    bin_dir.mkdir()
    (bin_dir / "systemctl").symlink_to("/bin/true")
    environment = {
        "PATH": f"{bin_dir}:/usr/bin:/bin",
        "TTLOCK_EXAMPLE": str(DEPLOY / "bluetooth" / "passive-scan.conf"),
        "TTLOCK_UNITS": str(tmp_path),
    }

    def call(word: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [script, word], capture_output=True, text=True, timeout=50, env=environment, check=False
        )

    assert f"sudo {script} on" in call("offer").stdout
    assert not conf.exists()
    assert call("on").returncode == 0
    assert conf.read_text() == (DEPLOY / "bluetooth" / "passive-scan.conf").read_text()
    assert call("offer").stdout == ""
    assert call("off").returncode == 0
    assert not conf.exists()
    assert call("maybe").returncode == EX_USAGE


@pytest.mark.parametrize("script", sorted(DEPLOY.rglob("*.sh")), ids=lambda path: path.name)
def test_every_script_is_sound_shell(script: Path) -> None:
    shell = script.read_text().splitlines()[0].rpartition("/")[2].rpartition(" ")[2]
    assert run(needs(shell), "-n", script).returncode == 0
    assert os.access(script, os.X_OK)
