#!/usr/bin/env python3
"""Everything about wheels: the lock of dependencies, and the wheelhouse that is installed from.

    deploy/wheels.py lock                     # writes deploy/requirements.lock anew
    deploy/wheels.py house amd64 DIRECTORY    # fills DIRECTORY for one architecture

Both need the network and pip; who installs from the wheelhouse needs neither. A wheelhouse serves
every interpreter in ``PYTHONS``, so that an upgrade of Debian does not need the network either.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
LOCK = HERE / "requirements.lock"
PYTHONS = ("3.11", "3.13")
"""Of Debian 12 (bookworm) and 13 (trixie), and of Raspberry Pi OS alike."""
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
MANYLINUX = ("_2_17", "2014", "_2_28", "_2_34")
"""Up to the glibc of bookworm, 2.36."""


def pip(*arguments: str) -> None:
    """Run the pip of the Python that runs this."""
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    subprocess.run(command, check=True)  # noqa: S603 - fixed arguments and our own file names


def download(python: str, machine: str, directory: Path, *wanted: str) -> None:
    """Fetch the wheels of ``wanted`` for another interpreter and machine into ``directory``."""
    pip(
        "download",
        f"--dest={directory}",
        "--only-binary=:all:",
        "--implementation=cp",
        f"--python-version={python}",
        *(f"--abi={abi}" for abi in (f"cp{python.replace('.', '')}", "abi3", "none")),
        *(f"--platform=manylinux{glibc}_{machine}" for glibc in MANYLINUX),
        *wanted,
    )


def digest(file: Path) -> str:
    """Return the SHA-256 of ``file`` in hexadecimal."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def locked(name: str, version: str, digests: set[str]) -> str:
    """Return the entry of a requirements file."""
    hashes = [f"    --hash=sha256:{each}" for each in sorted(digests)]
    return " \\\n".join([f"{name}=={version}", *hashes]) + "\n"


def agent_version() -> str:
    """Return the version that the sources say."""
    text = (ROOT / "agent/ttlock_agent/__init__.py").read_text("utf-8")
    match = re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    assert match is not None, "the version stands in ttlock_agent/__init__.py"
    return match[1]


def lock() -> None:
    """Look up one version of everything, the same for all targets, and pin it with its hashes.

    pip is pinned as well: the wheels are installed with it.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    versions: dict[str, str] = {}
    digests: dict[str, set[str]] = {}
    for python in PYTHONS:
        for machine in MACHINES.values():
            with tempfile.TemporaryDirectory() as directory:
                download(python, machine, Path(directory), *project["dependencies"], "pip")
                for wheel in Path(directory).iterdir():
                    raw_name, version = wheel.name.split("-")[:2]
                    name = raw_name.lower().replace("_", "-")
                    if versions.setdefault(name, version) != version:
                        sys.exit(f"{name}: {version} on Python {python}, elsewhere another one")
                    digests.setdefault(name, set()).add(digest(wheel))
    entries = [locked(name, versions[name], digests[name]) for name in sorted(versions)]
    LOCK.write_text("# Made by `deploy/wheels.py lock`.\n" + "".join(entries), "utf-8")


def house(architecture: str, directory: Path) -> None:
    """Fill ``directory`` with all that an installation without network needs."""
    directory.mkdir(parents=True, exist_ok=True)
    for old in directory.iterdir():
        old.unlink()
    for python in PYTHONS:
        download(
            python, MACHINES[architecture], directory, "--require-hashes", f"--requirement={LOCK}"
        )
    pip("wheel", "--no-deps", f"--wheel-dir={directory}", str(ROOT))
    version = agent_version()
    (own,) = directory.glob(f"ttlock_agent-{version}-*.whl")
    entries = re.split(r"(?m)^(?=[a-z])", LOCK.read_text("utf-8"))[1:]
    # pip runs out of its wheel; nobody needs it in what it installs.
    installed = [entry for entry in entries if not entry.startswith("pip==")]
    installed.append(locked("ttlock-agent", version, {digest(own)}))
    (directory / "requirements.txt").write_text("".join(installed), "utf-8")
    (directory / "VERSION").write_text(f"{version}\n", "utf-8")
    sums = [f"{digest(file)}  {file.name}\n" for file in sorted(directory.iterdir())]
    (directory / "SHA256SUMS").write_text("".join(sums), "utf-8")


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("lock")
    filling = commands.add_parser("house")
    filling.add_argument("architecture", choices=MACHINES)
    filling.add_argument("directory", type=Path)
    arguments = parser.parse_args()
    if arguments.command == "lock":
        lock()
    else:
        house(arguments.architecture, arguments.directory)


if __name__ == "__main__":
    main()
