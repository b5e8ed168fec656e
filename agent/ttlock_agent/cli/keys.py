"""``ttlock-agent keys``: lock keys into the agent's vault."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import msgspec

from ttlock_agent.cli.control import ask_agent, socket_option
from ttlock_agent.keyfile import choose, read_key_file
from ttlock_agent.keyring import encode_keys
from ttlock_agent.service import KEYS_IMPORT
from ttlock_protocol.keyfiles import ImportedKey, ImportResult


@click.group("keys")
def keys_command() -> None:
    """See and import lock keys."""


@keys_command.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--lock", help="Id of the lock in the config; without it, only say what is found.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@socket_option
def import_command(file: Path, lock: str | None, *, as_json: bool, socket: Path) -> None:
    """Say which keys FILE holds and what they allow; with --lock, hand them to the agent.

    FILE is what the owner has: lockData.json of ttlock-sdk-js, keys.json of ttlock-ble, the cloud's
    lock/detail or key/list answer, a lockData string, or the database of the vendor's app. No
    secret is shown.
    """
    result = read_key_file(file)
    body = describe(result)
    if lock is not None:
        status = ask_agent(socket, "status")
        address = status["locks"].get(lock, {}).get("address", "")
        chosen = choose(result, address)
        request = {"lock": lock, "keys": msgspec.Raw(encode_keys(chosen.keys))}
        body["imported"] = ask_agent(socket, KEYS_IMPORT, request)["lock"]
    click.echo(json.dumps(body) if as_json else _readable(body))


def describe(result: ImportResult) -> dict[str, Any]:
    """Return what was found, without a secret."""
    return {
        "locks": [_lock_body(key) for key in result.found],
        "not_read": [str(error) for error in result.rejected],
    }


def _lock_body(key: ImportedKey) -> dict[str, Any]:
    return {
        "name": key.name,
        "mac": key.mac,
        "has": sorted(item.value for item in key.items),
        "missing": {missing.item.value: missing.forbids for missing in key.missing},
        "limited_until": key.limited_until.isoformat() if key.limited_until else None,
    }


def _readable(body: dict[str, Any]) -> str:
    lines = []
    for lock in body["locks"]:
        lines.append(f"{lock['name'] or 'a lock'} ({lock['mac'] or 'no address'})")
        lines.append("  found:   " + ", ".join(lock["has"]))
        lines.extend(f"  missing: {item} - {why}" for item, why in lock["missing"].items())
        if lock["limited_until"] is not None:
            lines.append(f"  a guest's, until {lock['limited_until']}: the agent does not take it")
    lines.extend(f"not read: {why}" for why in body["not_read"])
    if "imported" in body:
        lines.append(f"imported for lock {body['imported']}")
    else:
        lines.append("nothing was imported; add --lock ID to hand the keys to the agent")
    return "\n".join(lines)
