"""What any user of this machine may see: versions, services, radio switches, room."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from ttlock_agent import __version__
from ttlock_agent.support.masking import log_entry

_EXTRA: Final = "extra =="
_PREFIX: Final = "TTL_"
"""Of the agent's own fields in the system's log."""
_LIMIT_S: Final = 5
_UNITS: Final = ("ttlock-agent.service", "bluetooth.service", "mosquitto.service")
_UNIT_PROPERTIES: Final = "Id,ActiveState,SubState,Result,NRestarts,ExecMainStatus"
_LOG_LINES: Final = 200
_MIB: Final = 1024 * 1024


def versions() -> dict[str, Any]:
    """Return the agent's version, Python's, and those of the packages that the agent needs."""
    required = metadata.requires("ttlock-agent") or []
    names = sorted(
        {
            re.split(r"[^A-Za-z0-9_-]", each, maxsplit=1)[0]
            for each in required
            if _EXTRA not in each
        }
    )
    return {
        "ttlock-agent": __version__,
        "python": platform.python_version(),
        "packages": {name: version for name in names if (version := _version(name)) is not None},
    }


def system(state_directory: Path | None) -> dict[str, Any]:
    """Return operating system, services, radio and room; ``None`` for what this user cannot see."""
    return {
        "os": _os_name(),
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "model": _text_of(Path("/proc/device-tree/model")),
        "bluez": _run("bluetoothctl", "--version"),
        "adapters": sorted(path.name for path in Path("/sys/class/bluetooth").glob("hci*")),
        "rfkill": _rfkill(),
        "throttled": _run("vcgencmd", "get_throttled"),
        "time": _pairs(_run("timedatectl", "show", "--property=NTP,NTPSynchronized,Timezone")),
        "units": [_pairs(_show(unit)) for unit in _UNITS],
        "load": [round(each, 2) for each in os.getloadavg()],
        "memory": _memory(),
        "disk_free_mib": _free_mib(state_directory),
    }


def last_log_entries() -> list[dict[str, Any]] | None:
    """Return the service's last entries in the system's log; ``None`` if there are none to see."""
    said = _run(
        "journalctl", "--unit=ttlock-agent.service", f"--lines={_LOG_LINES}", "--no-pager",
        "--quiet", "--output=json",
    )  # fmt: skip
    if said is None:
        return None
    return [_entry(json.loads(line)) for line in said.splitlines() if line.startswith("{")]


def _entry(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record of the system's log as the agent's own log has it.

    Its message is not used where the agent gave fields: those can be chosen from, a text cannot.
    """
    fields = {
        name.removeprefix(_PREFIX).lower(): value
        for name, value in record.items()
        if name.startswith(_PREFIX) and isinstance(value, str)
    }
    at = datetime.fromtimestamp(int(record.get("__REALTIME_TIMESTAMP", 0)) / 1e6, UTC)
    event = fields.get("event") or str(record.get("MESSAGE", ""))
    return log_entry(fields | {"timestamp": at.isoformat(timespec="seconds"), "event": event})


def _os_name() -> str | None:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME")
    except OSError:
        return None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _show(unit: str) -> str | None:
    return _run("systemctl", "show", unit, f"--property={_UNIT_PROPERTIES}")


def _run(program: str, *arguments: str) -> str | None:
    path = shutil.which(program)
    if path is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603 - fixed words, no shell
            [path, *arguments],
            capture_output=True,
            check=False,
            env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            timeout=_LIMIT_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    said = done.stdout.decode("utf-8", "replace").strip()
    return said if done.returncode == 0 and said else None


def _pairs(said: str | None) -> Mapping[str, str] | None:
    if said is None:
        return None
    return dict(line.split("=", 1) for line in said.splitlines() if "=" in line)


def _rfkill() -> list[dict[str, str | None]]:
    return [
        {name: _text_of(path / name) for name in ("type", "soft", "hard")}
        for path in sorted(Path("/sys/class/rfkill").glob("rfkill*"))
    ]


def _memory() -> dict[str, str] | None:
    text = _text_of(Path("/proc/meminfo"))
    if text is None:
        return None
    wanted = ("MemTotal", "MemAvailable", "SwapFree")
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {name: value.strip() for name, value in pairs if name in wanted}


def _free_mib(directory: Path | None) -> int | None:
    try:
        return shutil.disk_usage(directory or "/").free // _MIB
    except OSError:
        return None


def _text_of(path: Path) -> str | None:
    try:
        return path.read_text("utf-8", "replace").strip("\0\n ")
    except OSError:
        return None
