"""Puts a bundle together; works as well, and says so, while no agent runs."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from ttlock_agent.control.client import call
from ttlock_agent.control.messages import Result
from ttlock_agent.errors import AgentError
from ttlock_agent.support import at_rest, machine
from ttlock_agent.support.told import SUPPORT

HEAD: Final = (
    "Support bundle of ttlock-agent. Keys, passcodes, passwords, labels, names of gateways and of"
    " requests are left out, and addresses but for their ends. Look through it before you share it."
)


def make(
    socket: Path | None, config_file: Path, now: datetime, *, usual_socket: Path
) -> dict[str, Any]:
    """Return all parts as JSON.

    Without ``socket`` the agent is looked for as configured, else at the usual place.
    """
    loaded, config = at_rest.config(config_file)
    directory = None if loaded is None else loaded.agent.state_directory
    if socket is None:
        socket = usual_socket if loaded is None else loaded.agent.control_socket
    told, silence = _told(socket)
    bundle: dict[str, Any] = {
        "about": HEAD,
        "made_at": now.isoformat(timespec="seconds"),
        "versions": machine.versions(),
        "system": machine.system(directory),
    }
    if told is not None:
        return bundle | {"running": True} | told
    bundle |= {"running": False, "silence": silence, "configuration": config}
    if directory is not None:
        bundle["state"] = at_rest.state(directory)
    return bundle | {"log": machine.last_log_entries()}


def as_text(bundle: dict[str, Any]) -> str:
    """Return a bundle as text: a title for each part, and its content as JSON."""
    lines = [str(bundle["about"]), ""]
    for name, part in bundle.items():
        if name == "about":
            continue
        if isinstance(part, list):
            lines += [f"== {name} ==", *(_compact(each) for each in part), ""]
        elif isinstance(part, dict):
            lines += [f"== {name} ==", json.dumps(part, indent=1, ensure_ascii=False), ""]
        else:
            lines += [f"{name}: {part}", ""]
    return "\n".join(lines)


def _told(socket: Path) -> tuple[dict[str, Any] | None, dict[str, str]]:
    try:
        for line in call(socket, SUPPORT):
            if isinstance(line, Result):
                return line.body, {}
    except AgentError as error:
        return None, {"code": error.code, "hint": error.hint}
    return None, {"code": "control", "hint": "What answers on the socket is of another version."}


def _compact(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
