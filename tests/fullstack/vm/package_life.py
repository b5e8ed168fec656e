"""The package's life on a clean system that runs: install, upgrade, failed upgrade, remove, purge.

In a guest without the package, with ``/out/first.deb``, ``8.0.deb`` and ``9.0.deb`` (which does not
run). ``package_life.sh`` on the host prepares them. The agent has no lock here, so it needs nothing
but the system's own Python to be watched from here.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

SLOW = float(os.environ.get("SLOW", "1"))
UNIT = "ttlock-agent.service"
STATE = Path("/var/lib/ttlock-agent")
CONFIG = Path("/etc/ttlock-agent/agent.yaml")
_started_s = time.monotonic()


def say(text: str) -> None:
    print(f"{time.monotonic() - _started_s:7.1f} s  {text}", flush=True)


def sh(*command: str, check: bool = True) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120 * SLOW, check=False)
    if check and done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


def version() -> str:
    return sh("ttlock-agent", "--version").rpartition(" ")[2]


def running_version() -> str:
    body = json.loads(sh("ttlock-agent", "status", "--json"))
    return str(body["version"])


def pid() -> str:
    return sh("systemctl", "show", "-P", "MainPID", UNIT)


def inside() -> dict[str, int]:
    """What an upgrade must not touch: the files of the state, by inode."""
    return {each.name: each.stat().st_ino for each in STATE.iterdir() if each.name == "vault.key"}


def main() -> None:
    sh("dpkg", "-i", "/out/first.deb")
    first = version()
    assert sh("systemctl", "is-enabled", UNIT) == "enabled"
    assert sh("systemctl", "is-active", UNIT, check=False) == "inactive"
    say(f"installed {first}: enabled, and waiting for a configuration")

    CONFIG.write_text(
        "agent:\n  id: house-12\nmqtt:\n  host: localhost\nlocks:\n"
        "  - id: front-door\n    address: virtual:front-door\n    time_zone: Europe/Berlin\n"
    )
    sh("systemctl", "start", UNIT)
    assert running_version() == first
    kept = inside()
    say("started with a configuration, before there is a broker or a lock")

    CONFIG.write_text(CONFIG.read_text() + "    nonsense: yes\n")
    failed = subprocess.run(
        ["dpkg", "-i", "/out/8.0.deb"], capture_output=True, text=True, check=False
    )
    assert failed.returncode != 0
    assert "nonsense" in failed.stdout + failed.stderr, failed
    assert running_version() == first
    say("an upgrade that the configuration would not survive is refused; the service runs on")
    CONFIG.write_text(CONFIG.read_text().replace("    nonsense: yes\n", ""))

    before = pid()
    sh("dpkg", "--configure", "ttlock-agent")
    assert pid() != before
    assert running_version() == "8.0"
    assert inside() == kept
    say("repaired and upgraded to 8.0: restarted, state kept")

    failed = subprocess.run(
        ["dpkg", "-i", "/out/9.0.deb"], capture_output=True, text=True, check=False
    )
    assert failed.returncode != 0
    assert "did not start" in failed.stdout + failed.stderr, failed
    assert running_version() == "8.0"
    assert inside() == kept
    assert not (STATE / ".before-upgrade").exists()
    say("9.0 does not run: 8.0 runs again, state kept")
    sh("dpkg", "-i", "/out/8.0.deb")
    assert running_version() == "8.0"
    say("the package put right again")

    sh("/usr/lib/ttlock-agent/release.sh", "rollback")
    assert running_version() == first
    say(f"rolled back to {first} by one command")

    sh("dpkg", "-r", "ttlock-agent")
    assert sh("systemctl", "is-active", UNIT, check=False) != "active"
    assert not Path("/opt/ttlock-agent").exists()
    assert inside() == kept
    assert CONFIG.exists()
    say("removed: stopped, state and configuration stay")

    sh("dpkg", "-i", "/out/8.0.deb")
    assert running_version() == "8.0"
    assert inside() == kept
    say("installed again: it goes on where it was")

    sh("dpkg", "-P", "ttlock-agent")
    for path in (STATE, CONFIG.parent, Path("/opt/ttlock-agent"), Path("/run/ttlock-agent")):
        assert not path.exists(), path
    assert "ttlock" not in sh("systemctl", "list-unit-files", "--no-pager")
    say("purged: nothing is left")


if __name__ == "__main__":
    main()
