"""The Debian package, built from a wheelhouse of toys and unpacked again; no root needed."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from ttlock_agent import __version__

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
PARTS = ("agent", "config", "deploy", "hw-tests", "README.md", "CHANGELOG.md", "LICENSE")


def run(*command: str | Path, cwd: Path | None = None) -> str:
    environment = {
        **os.environ,
        "TTLOCK_COMMAND": str(Path(sys.executable).parent / "ttlock-agent"),
    }
    return subprocess.run(
        command, capture_output=True, text=True, timeout=50, check=True, cwd=cwd, env=environment
    ).stdout


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("dpkg-deb") is None:
        pytest.skip("dpkg-deb is not installed")
    # A copy, so that neither build/ nor dist/ of the checkout is touched.
    checkout = tmp_path_factory.mktemp("checkout")
    for part in PARTS:
        (checkout / part).symlink_to(ROOT / part)
    (checkout / "deploy").unlink()
    shutil.copytree(DEPLOY, checkout / "deploy")
    wheels = checkout / "wheels"
    wheels.mkdir()
    (wheels / "VERSION").write_text("1.2rc1\n")
    (wheels / "toy-1-py3-none-any.whl").write_bytes(b"wheel")
    (wheels / "toy-1-py3-none-any.whl").chmod(0o600)
    built = run(checkout / "deploy/deb.sh", "arm64", wheels, cwd=checkout).strip()
    return checkout / built


@pytest.fixture(scope="module")
def files(package: Path) -> dict[str, tarfile.TarInfo]:
    archive = package.with_suffix(".tar")
    with archive.open("wb") as target:
        subprocess.run(["dpkg-deb", "--fsys-tarfile", package], stdout=target, check=True)
    with tarfile.open(archive) as tar:
        return {member.name.removeprefix("."): member for member in tar}


@pytest.fixture(scope="module")
def control(package: Path) -> Path:
    directory = package.parent / "control"
    run("dpkg-deb", "-e", package, directory)
    return directory


def test_a_candidate_comes_before_its_release(package: Path) -> None:
    assert package.name == "ttlock-agent_1.2~rc1_arm64.deb"
    assert run("dpkg-deb", "-f", package, "Version", "Architecture") == (
        "Version: 1.2~rc1\nArchitecture: arm64\n"
    )


def test_it_depends_on_the_pythons_it_has_wheels_for(package: Path) -> None:
    depends = run("dpkg-deb", "-f", package, "Depends").split(", ")
    oldest, newest = (int(each.partition(".")[2]) for each in wheels_module().PYTHONS)
    assert f"python3 (>= 3.{oldest})" in depends
    assert f"python3 (<< 3.{newest + 1})" in depends
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == f">=3.{oldest}"


def test_all_belongs_to_root_and_only_root_may_write(files: dict[str, tarfile.TarInfo]) -> None:
    for name, member in files.items():
        assert (member.uid, member.gid) == (0, 0), name
        if not member.issym():
            assert member.mode & 0o022 == 0, name
            assert member.mode & 0o444 == 0o444, name
            assert not member.mode & 0o7000, name


@pytest.mark.parametrize(
    "name",
    [
        "/usr/lib/systemd/system/ttlock-agent.service",
        "/usr/lib/systemd/system/ttlock-agent-bluetooth.path",
        "/usr/lib/systemd/system/ttlock-agent-bluetooth.service",
        "/usr/lib/ttlock-agent/passive-scan.sh",
        "/usr/lib/ttlock-agent/release.sh",
        "/usr/lib/sysusers.d/ttlock-agent.conf",
        "/usr/lib/tmpfiles.d/ttlock-agent.conf",
        "/usr/share/bash-completion/completions/ttlock-agent",
        "/usr/share/zsh/vendor-completions/_ttlock-agent",
        "/usr/share/fish/vendor_completions.d/ttlock-agent.fish",
        "/usr/share/doc/ttlock-agent/first-run.md",
        "/usr/share/doc/ttlock-agent/examples/passive-scan.conf",
        "/usr/share/ttlock-agent/wheels/toy-1-py3-none-any.whl",
        "/etc/ttlock-agent/agent.example.yaml",
    ],
)
def test_it_brings(files: dict[str, tarfile.TarInfo], name: str) -> None:
    assert files[name].size > 0


def test_the_command_is_that_of_the_current_release(files: dict[str, tarfile.TarInfo]) -> None:
    assert files["/usr/bin/ttlock-agent"].linkname == "/opt/ttlock-agent/current/bin/ttlock-agent"
    unit = (DEPLOY / "ttlock-agent.service").read_text()
    assert "ExecStart=/opt/ttlock-agent/current/bin/ttlock-agent run" in unit


def test_it_owns_nothing_that_the_machine_makes(files: dict[str, tarfile.TarInfo]) -> None:
    made = ("/opt", "/var", "/run", "/etc/ttlock-agent/agent.yaml", "/etc/credstore")
    assert not [name for name in files if name.startswith(made)]


def test_whatever_is_in_etc_is_the_owners_to_change(
    control: Path, files: dict[str, tarfile.TarInfo]
) -> None:
    listed = (control / "conffiles").read_text().split()
    assert sorted(listed) == sorted(
        name for name, member in files.items() if name.startswith("/etc/") and member.isfile()
    )


def test_python_wakes_the_package_up(control: Path) -> None:
    assert (control / "triggers").read_text() == "interest-noawait /usr/bin/python3\n"
    _, _, triggered = (control / "postinst").read_text().partition("\ntriggered)\n")
    assert "release.sh refresh " in triggered


@pytest.mark.parametrize("script", ["postinst", "prerm", "postrm"])
def test_the_scripts_are_sound_and_mind_their_errors(control: Path, script: str) -> None:
    path = control / script
    run("sh", "-n", path)
    assert os.access(path, os.X_OK)
    assert "\nset -e\n" in path.read_text()


@pytest.mark.parametrize(
    "calls",
    [
        ["postinst", "abort-upgrade", "1.0"],
        ["postinst", "abort-remove"],
        ["prerm", "upgrade", "2.0"],
        ["prerm", "failed-upgrade", "2.0"],
        ["postrm", "upgrade", "2.0"],
        ["postrm", "failed-upgrade", "2.0"],
        ["postrm", "abort-upgrade", "2.0"],
    ],
    ids=" ".join,
)
def test_what_dpkg_does_on_the_way_touches_nothing(control: Path, calls: list[str]) -> None:
    # With an empty PATH anything these did would be an error.
    script, *arguments = calls
    shell = shutil.which("sh")
    assert shell is not None
    subprocess.run([shell, control / script, *arguments], env={"PATH": "/nowhere"}, check=True)


def wheels_module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("wheels", DEPLOY / "wheels.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_lock_pins_all_that_the_project_needs() -> None:
    lines = (DEPLOY / "requirements.lock").read_text().splitlines()
    pinned = {line.partition("==")[0] for line in lines if "==" in line}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = {each.partition(">")[0].lower() for each in project["dependencies"]}
    assert needed | {"pip"} <= pinned
    for number, line in enumerate(lines):
        if "==" in line:
            assert lines[number + 1].strip().startswith("--hash=sha256:"), line


def test_the_version_is_that_of_the_sources() -> None:
    assert wheels_module().agent_version() == __version__
