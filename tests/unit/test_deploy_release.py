"""How a release gets into place and back, with a service manager that is told what to say.

The wheelhouse holds toys under the real names. So does most of the time the wheel of pip, which
takes seconds to do what unpacking does here; the tests about pip have the real one.
"""

from __future__ import annotations

import ensurepip
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

RELEASE = Path(__file__).parents[2] / "deploy" / "release.sh"
TAG = f"cp{sys.version_info[0]}{sys.version_info[1]}"

SYSTEMCTL = """#!/bin/sh
echo "$*" >>"$FAKE/calls"
case $1 in
is-active) [ -e "$FAKE/is-active" ] ;;
stop) rm -f "$FAKE/is-active" ;;
start)
    running=$(readlink "$TTLOCK_BASE/current")
    if [ -d "$TTLOCK_STATE" ]; then
        case $running in "$(cat "$FAKE/choosy")"-*)
            ! grep -q "used by 2.0" "$TTLOCK_STATE/journal.db" || exit 1 ;;
        esac
        echo "used by ${running%%-*}" >>"$TTLOCK_STATE/journal.db"
        touch "$TTLOCK_STATE/journal.db-wal"
    fi
    case " $(cat "$FAKE/broken") " in *" ${running%%-*} "*) exit 1 ;; esac
    touch "$FAKE/is-active"
    ;;
show) echo 0 ;;
esac
"""


TOY_PIP = """
import sys, sysconfig, zipfile
from pathlib import Path

(house,) = [Path(each.partition("=")[2]) for each in sys.argv if each.startswith("--find-links=")]
for wheel in house.glob("*.whl"):
    if not wheel.name.startswith("pip-"):
        zipfile.ZipFile(wheel).extractall(sysconfig.get_path("purelib"))
script = Path(sysconfig.get_path("scripts"), "ttlock-agent")
script.write_text(f"#!{sys.executable}\\nfrom ttlock_agent.cli import main\\nmain()\\n")
script.chmod(0o755)
"""


def bundled_pip() -> Path:
    places = [Path(ensurepip.__file__).parent / "_bundled", Path("/usr/share/python-wheels")]
    found = [wheel for place in places for wheel in place.glob("pip-*.whl")]
    if not found:
        pytest.skip("this Python has no wheel of pip")
    return found[0]


def toy_wheel(directory: Path, name: str, version: str, files: dict[str, str], tag: str) -> None:
    info = f"{name}-{version}.dist-info"
    files = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\n"
        f"Tag: {tag}\n",
    }
    record = "".join(f"{each},,\n" for each in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(directory / f"{name}-{version}-{tag}.whl", "w") as wheel:
        for path, text in {**files, f"{info}/RECORD": record}.items():
            wheel.writestr(path, text)


def agent_files(version: str) -> dict[str, str]:
    return {
        "ttlock_agent/__init__.py": "",
        "ttlock_agent/app.py": "",
        "ttlock_agent/cli.py": "import sys\n"
        "def main():\n"
        f"    if sys.argv[1] == '--version': print('ttlock-agent, version {version}')\n"
        "    elif 'bad' in open(sys.argv[2]).read():\n"
        "        print('line 1: bad')\n"
        "        sys.exit(78)\n",
        f"ttlock_agent-{version}.dist-info/entry_points.txt": "[console_scripts]\n"
        "ttlock-agent = ttlock_agent.cli:main\n",
    }


@pytest.fixture
def house(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that makes a wheelhouse of a version."""

    def make(
        version: str,
        *,
        tag: str = TAG,
        files: dict[str, str] | None = None,
        has_real_pip: bool = False,
    ) -> Path:
        directory = tmp_path / f"house-{version}"
        directory.mkdir()
        if has_real_pip:
            shutil.copy(bundled_pip(), directory)
        else:
            toy_wheel(directory, "pip", "0", {"pip/__main__.py": TOY_PIP}, "py3-none-any")
        toy_wheel(directory, "bleak", "3.1", {"bleak.py": ""}, "py3-none-any")
        toy_wheel(directory, "msgspec", "0.22", {"msgspec.py": ""}, f"{tag}-none-any")
        toy_wheel(directory, "ttlock_agent", version, files or agent_files(version), "py3-none-any")
        (directory / "VERSION").write_text(f"{version}\n")
        wheels = [each for each in directory.glob("*.whl") if not each.name.startswith("pip-")]
        lines = [
            "{}=={} --hash=sha256:{}".format(
                *each.name.split("-")[:2], hashlib.sha256(each.read_bytes()).hexdigest()
            )
            for each in wheels
            if tag == TAG or not each.name.startswith("msgspec")
        ]
        (directory / "requirements.txt").write_text("\n".join(lines))
        sums = [
            f"{hashlib.sha256(each.read_bytes()).hexdigest()}  {each.name}\n"
            for each in sorted(directory.iterdir())
        ]
        (directory / "SHA256SUMS").write_text("".join(sums))
        return directory

    return make


class Machine:
    """What the script finds: directories of its own, a service manager, root."""

    def __init__(self, root: Path) -> None:
        self.base, self.state, self.fake = root / "opt", root / "state", root / "fake"
        self.config = root / "agent.yaml"
        programs = self.fake / "bin"
        programs.mkdir(parents=True)
        scripts = {
            "systemctl": SYSTEMCTL,
            "id": "#!/bin/sh\necho 0\n",
            # Drops its own options, runs the rest.
            "setpriv": '#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done; shift; exec "$@"\n',
            "python3": f'#!/bin/sh\nexec {sys.executable} "$@"\n',
        }
        for name, text in scripts.items():
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)
        # The versions that use the journal and then fail; the one that cannot read 2.0's.
        (self.fake / "broken").write_text("")
        (self.fake / "choosy").write_text("")
        self.script = self.fake / "release.sh"
        self.has_systemd()

    def has_systemd(self, *, is_there: bool = True) -> None:
        # The one path that no variable names.
        condition = "true" if is_there else "false"
        text = RELEASE.read_text()
        assert "[ -d /run/systemd/system ]" in text
        self.script.write_text(text.replace("[ -d /run/systemd/system ]", condition))

    def __call__(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "PATH": f"{self.fake / 'bin'}:{os.environ['PATH']}",
            "FAKE": str(self.fake),
            "TTLOCK_BASE": str(self.base),
            "TTLOCK_STATE": str(self.state),
            "TTLOCK_CONFIG": str(self.config),
            "TTLOCK_SETTLE_S": "0",
        }
        return subprocess.run(
            ["sh", self.script, *arguments],
            capture_output=True,
            text=True,
            timeout=50,
            env=environment,
            check=False,
        )

    def install(self, wheelhouse: Path) -> str:
        done = self("install", wheelhouse)
        assert done.returncode == 0, done.stdout + done.stderr
        return self.current

    @property
    def current(self) -> str:
        return str((self.base / "current").readlink())

    @property
    def calls(self) -> list[str]:
        file = self.fake / "calls"
        return [
            line
            for line in (file.read_text().splitlines() if file.exists() else [])
            if line.split()[0] in {"start", "stop"}
        ]

    def service_runs(self) -> None:
        (self.fake / "is-active").touch()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_release_is_built_checked_and_pointed_at(
    machine: Machine, house: Callable[..., Path]
) -> None:
    release = machine.install(house("1.0", has_real_pip=True))
    assert release.startswith(f"1.0-py{TAG.removeprefix('cp')}-")
    command = subprocess.run(
        [machine.base / "current/bin/ttlock-agent", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert command.stdout == "ttlock-agent, version 1.0\n"
    assert not list(machine.base.glob("*/lib/python*/site-packages/pip"))
    assert machine.calls == [], "nothing ran, so nothing is started"


def test_installing_it_again_does_nothing(machine: Machine, house: Callable[..., Path]) -> None:
    wheelhouse = house("1.0")
    inode = (machine.base / machine.install(wheelhouse) / "complete").stat().st_ino
    machine.service_runs()
    assert (machine.base / machine.install(wheelhouse) / "complete").stat().st_ino == inode
    assert machine.calls == []


def test_one_that_works_no_more_is_built_anew(machine: Machine, house: Callable[..., Path]) -> None:
    wheelhouse = house("1.0")
    release = machine.install(wheelhouse)
    (machine.base / release / "bin" / "ttlock-agent").unlink()
    assert machine.install(wheelhouse) == release
    assert (machine.base / release / "bin" / "ttlock-agent").exists()


def test_a_running_service_is_moved_to_the_new_release(
    machine: Machine, house: Callable[..., Path]
) -> None:
    old = machine.install(house("1.0"))
    machine.service_runs()
    machine.state.mkdir()
    (machine.state / "journal.db").write_text("jobs\n")
    new = machine.install(house("2.0"))
    assert new.startswith("2.0-")
    assert machine.calls == ["stop ttlock-agent.service", "start ttlock-agent.service"]
    assert str((machine.base / "previous").readlink()) == old
    assert (machine.state / "journal.db").read_text() == "jobs\nused by 2.0\n"
    assert not (machine.state / ".before-upgrade").exists()


def fail_to_upgrade(
    machine: Machine, house: Callable[..., Path], **programs: str
) -> subprocess.CompletedProcess[str]:
    """Upgrade a running 1.0, which must go on to run; ``programs`` replace the host's."""
    old = machine.install(house("1.0"))
    machine.service_runs()
    machine.state.mkdir()
    (machine.state / "journal.db").write_text("jobs\n")
    for name, text in programs.items():
        (machine.fake / "bin" / name).write_text(text)
        (machine.fake / "bin" / name).chmod(0o755)
    done = machine("install", house("2.0"))
    assert done.returncode == 1
    assert machine.current == old
    assert (machine.fake / "is-active").exists(), "the old release runs again"
    assert not (machine.state / ".before-upgrade").exists()
    return done


def test_one_that_does_not_start_is_taken_back_and_what_it_accepted_is_kept(
    machine: Machine, house: Callable[..., Path]
) -> None:
    (machine.fake / "broken").write_text("2.0")
    assert "did not start" in fail_to_upgrade(machine, house).stderr
    assert (machine.state / "journal.db").read_text() == "jobs\nused by 2.0\nused by 1.0\n"


def test_a_journal_that_the_old_release_refuses_is_taken_back_too(
    machine: Machine, house: Callable[..., Path]
) -> None:
    (machine.fake / "broken").write_text("2.0")
    (machine.fake / "choosy").write_text("1.0")
    # A power cut may come before each move: there must be a journal, and no log but its own.
    watch = (
        '#!/bin/sh\ncase $* in *before-upgrade*)\n    ls "$TTLOCK_STATE" >"$FAKE/moved" ;;\nesac\n'
        f'exec {shutil.which("mv")} "$@"\n'
    )
    done = fail_to_upgrade(machine, house, mv=watch)
    assert "the one before the upgrade" in done.stderr
    assert (machine.state / "journal.db").read_text() == "jobs\nused by 1.0\n"
    assert (machine.fake / "moved").read_text() == "journal.db\n"


def test_without_room_for_a_copy_of_the_journal_the_old_release_runs_on(
    machine: Machine, house: Callable[..., Path]
) -> None:
    done = fail_to_upgrade(machine, house, cp="#!/bin/sh\nexit 1\n")
    assert "no room to keep the journal" in done.stderr
    assert (machine.state / "journal.db").read_text() == "jobs\nused by 1.0\n"


def test_a_configuration_that_the_new_release_refuses_stops_the_upgrade(
    machine: Machine, house: Callable[..., Path]
) -> None:
    old = machine.install(house("1.0"))
    machine.service_runs()
    machine.config.write_text("bad")
    done = machine("install", house("2.0"))
    assert done.returncode == 1
    assert "line 1: bad" in done.stderr
    assert (machine.current, machine.calls) == (old, [])


def test_a_service_at_rest_is_not_started(machine: Machine, house: Callable[..., Path]) -> None:
    machine.install(house("1.0"))
    machine.config.write_text("bad")  # not this upgrade's business
    assert machine.install(house("2.0")).startswith("2.0-")
    assert machine.calls == []


def test_without_systemd_only_the_link_moves(machine: Machine, house: Callable[..., Path]) -> None:
    machine.has_systemd(is_there=False)
    machine.service_runs()
    machine.install(house("1.0"))
    assert machine.install(house("2.0")).startswith("2.0-")
    assert machine.calls == []


@pytest.mark.parametrize("file", ["VERSION", "bleak-3.1-py3-none-any.whl"])
def test_a_damaged_wheelhouse_changes_nothing(
    machine: Machine, house: Callable[..., Path], file: str
) -> None:
    old = machine.install(house("1.0"))
    damaged = house("2.0")
    with (damaged / file).open("a") as text:
        text.write("x")
    done = machine("install", damaged)
    assert done.returncode == 1
    assert "damaged" in done.stderr
    assert machine.current == old


def test_a_wheel_that_is_not_the_locked_one_is_refused(
    machine: Machine, house: Callable[..., Path]
) -> None:
    wheelhouse = house("1.0", has_real_pip=True)
    requirements = wheelhouse / "requirements.txt"
    requirements.write_text(requirements.read_text().replace("sha256:", f"sha256:{'0' * 64} #"))
    sums = wheelhouse / "SHA256SUMS"
    lines = [line for line in sums.read_text().splitlines() if "requirements" not in line]
    sums.write_text("\n".join(lines) + "\n")
    done = machine("install", wheelhouse)
    assert done.returncode != 0
    assert "DO NOT MATCH" in done.stderr
    assert not (machine.base / "current").exists()


def test_one_that_does_not_load_is_never_switched_to(
    machine: Machine, house: Callable[..., Path]
) -> None:
    old = machine.install(house("1.0"))
    machine.service_runs()
    broken = {**agent_files("2.0"), "ttlock_agent/app.py": "import nothing_that_exists"}
    done = machine("install", house("2.0", files=broken))
    assert done.returncode == 1
    assert "nothing was changed" in done.stderr
    assert (machine.current, machine.calls) == (old, [])


def test_another_python_than_the_package_serves_is_named(
    machine: Machine, house: Callable[..., Path]
) -> None:
    done = machine("install", house("1.0", tag="cp399"))
    assert done.returncode == 1
    assert f"no wheels for Python {sys.version_info[0]}.{sys.version_info[1]}" in done.stderr


def test_rolling_back_and_forward(machine: Machine, house: Callable[..., Path]) -> None:
    old = machine.install(house("1.0"))
    new = machine.install(house("2.0"))
    machine.service_runs()
    assert machine("rollback").returncode == 0
    assert machine.current == old
    assert machine("rollback").returncode == 0
    assert machine.current == new


@pytest.mark.parametrize("cause", ["nothing", "damage", "another Python"])
def test_a_refresh_undoes_a_rollback_only_where_it_must(
    machine: Machine, house: Callable[..., Path], cause: str
) -> None:
    old = machine.install(house("1.0"))
    wheelhouse = house("2.0")
    new = machine.install(wheelhouse)
    assert machine("rollback").returncode == 0
    if cause == "damage":
        (machine.base / old / "bin" / "ttlock-agent").unlink()
    elif cause == "another Python":  # which is still there, and goes one day
        other = old.replace(f"-py{TAG.removeprefix('cp')}-", "-py399-")
        (machine.base / other).symlink_to(old)
        (machine.base / "current").unlink()
        (machine.base / "current").symlink_to(other)
    done = machine("refresh", wheelhouse)
    assert done.returncode == 0, done.stderr
    assert machine.current == (old if cause == "nothing" else new)


def test_there_is_nothing_to_roll_back_to(machine: Machine, house: Callable[..., Path]) -> None:
    release = machine.install(house("1.0"))
    done = machine("rollback")
    assert done.returncode == 1
    assert "no previous release" in done.stderr
    assert machine.current == release


def test_older_releases_are_removed_and_the_previous_one_is_kept(
    machine: Machine, house: Callable[..., Path]
) -> None:
    for version in ("1.0", "2.0", "3.0"):
        machine.install(house(version))
    kept = {each.name.partition("-")[0] for each in machine.base.glob("*-py*")}
    assert kept == {"2.0", "3.0"}


def test_removal_leaves_the_state(machine: Machine, house: Callable[..., Path]) -> None:
    machine.install(house("1.0"))
    machine.state.mkdir()
    assert machine("remove").returncode == 0
    assert not machine.base.exists()
    assert machine.state.exists()
