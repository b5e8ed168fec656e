"""``ttlock-agent diagnose``: what keeps passcodes of a lock from working, and what to do."""

from __future__ import annotations

import json
import sys
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

import click

from ttlock_agent.cli.complete import complete_locks
from ttlock_agent.cli.control import socket_option
from ttlock_agent.cli.jobs import finish, json_option, run_job
from ttlock_agent.errors import EX_OK, EX_REJECTED

VERB = "lock.diagnose"
_JUST_NOW_S = 60
_COUNTED = {"fail": "failed", "warn": "warned", "pass": "passed", "unknown": "not measured"}


@click.command("diagnose")
@click.argument("lock", shell_complete=complete_locks)
@click.option("--fix", is_flag=True, help="Repair what is harmless, and measure again.")
@click.option("--dry-run", is_flag=True, help="Only say what --fix would do.")
@click.option("--no-visit", is_flag=True, help="Do not connect: say what is known already.")
@json_option
@socket_option
def diagnose_command(
    lock: str, *, fix: bool, dry_run: bool, no_visit: bool, as_json: bool, socket: Path
) -> None:
    """Measure everything that can keep passcodes of LOCK from working, in one connection.

    Each check says what was read, by whom and when; likely causes are ranked. --fix sets the clock,
    delivers missing passcodes, removes expired ones and switches remote unlock on: shown first,
    proved afterwards. Exit code 65 if a check failed.
    """
    if fix and no_visit:
        raise click.UsageError("Nothing can be repaired without visiting the lock.")
    body = run_job(socket, VERB, {"lock": lock, "visit": not no_visit})
    if body["status"] == "done" and fix and not dry_run and body["fixes"]:
        # Shown first, and the person may still press Ctrl-C.
        click.echo("\n".join(_fixes(body)) if as_json else f"{readable(body)}\n", err=as_json)
        body = run_job(socket, VERB, {"lock": lock, "fix": True})
    if body["status"] != "done":
        finish(body, as_json=as_json, readable=readable)
    _finish(body, as_json=as_json)


def _finish(body: dict[str, Any], *, as_json: bool) -> NoReturn:
    click.echo(json.dumps(body) if as_json else readable(body))
    sys.exit(EX_REJECTED if body["verdict"] == "fail" else EX_OK)


def readable(body: dict[str, Any]) -> str:
    """Return a report for people."""
    lines = []
    if body.get("fixed"):
        lines.append("Repaired:")
        lines += [
            f"  {'proved' if each['proved'] else 'NOT proved'}: {each['does']}"
            for each in body["fixed"]
        ]
        lines.append("")
    if body["causes"]:
        lines.append("Causes, the likeliest first:")
        for number, cause in enumerate(body["causes"], start=1):
            lines.append(f"  {number}. ({cause['likelihood']}) {cause['sentence']}")
            lines += _do(cause, 5)
        lines.append("")
    lines.append("Checks:")
    for check in body["checks"]:
        lines += _check_lines(check, body["as_of"])
    if body["fixes"] and "fixed" not in body:
        lines += ["", "--fix would:", *_fixes(body)]
    counts = Counter(each["verdict"] for each in body["checks"])
    told = ", ".join(f"{counts[each]} {word}" for each, word in _COUNTED.items() if counts[each])
    lines += ["", f"{body['verdict'].upper()}: {told}"]
    return "\n".join(lines)


def _check_lines(check: dict[str, Any], now: str) -> list[str]:
    evidence = [f"{each['text']} ({_age(each, now)})" for each in check["evidence"]]
    line = f"  {check['verdict'].upper():<8}{check['check']:<21}{check['sentence']}"
    if check["verdict"] not in ("fail", "warn"):
        # What is well, or was not measured, needs no more than a line; --json has all of it.
        return [line + (f" {evidence[0]}" if evidence else "")]
    return [line, *(f"{'':10}- {each}" for each in evidence), *_do(check, 10)]


def _fixes(body: dict[str, Any]) -> list[str]:
    return [f"  {each['does']}" for each in body["fixes"]]


def _do(item: dict[str, Any], indent: int) -> list[str]:
    return [f"{'':{indent}}do: {item['remedy']}"] if item["remedy"] else []


def _age(evidence: dict[str, Any], now: str) -> str:
    """Say who said it, and how long ago."""
    source = str(evidence["source"])
    if evidence["as_of"] is None:
        return source
    seconds = (
        datetime.fromisoformat(now) - datetime.fromisoformat(evidence["as_of"])
    ).total_seconds()
    if seconds < _JUST_NOW_S:
        return f"{source}, just now"
    for size, word in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{source}, {seconds / size:.0f} {word} ago"
    return source
