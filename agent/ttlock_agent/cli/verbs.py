"""The verbs of the agent as commands: ``passcode.add`` is ``ttlock-agent passcode add``.

Arguments and options are made from the struct of each verb, so a new verb is a command at once. The
commands of the bench (backup, reset, enrol, restore) are written by hand: they go several steps.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

import click

from ttlock_agent.cli.control import socket_option
from ttlock_agent.cli.fields import Taken, parameters_of, put
from ttlock_agent.cli.jobs import finish, json_option, run_job
from ttlock_agent.cli.render import described, readable, table
from ttlock_agent.cli.windows import HELP as WINDOWS_HELP
from ttlock_agent.errors import EX_OK, EX_REJECTED
from ttlock_agent.requests import BENCH_VERBS, VERBS, ClearRequest, LockRequest, Request
from ttlock_agent.requests.backup import BACKUP_VERBS
from ttlock_agent.requests.gateway import GATEWAY_VERBS

_GROUPS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "passcode": "Passcodes: what a lock shall hold, and what it does hold.",
        "card": "Cards.",
        "fingerprint": "Fingerprints.",
        "passage": "Passage mode: hours in which a lock stays open.",
        "setting": "How a lock behaves.",
        "admin-passcode": "The administrator's keypad passcode.",
        "clock": "A lock's clock.",
        "log": "A lock's operation log.",
        "job": "What was asked for, and how it stands.",
        "gateway": "What other systems know of gateways.",
        "lock": "One lock: its state, its bolt, and what cannot be undone.",
    }
)
_BY_HAND: Final = BENCH_VERBS | BACKUP_VERBS.keys()
_OF_A_JOB: Final = ("job", "verb", "lock", "source", "state", "created_at", "deadline_at")
_OF_EVERY_REQUEST: Final = frozenset({"id", "deadline_at", "priority", "confirm"})
REHEARSALS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "passcode.delete": "passcode.check",
        "card.delete": "card.list",
        "fingerprint.delete": "fingerprint.list",
        "passage.set": "passage.list",
    }
)
"""What deletes, and the verb that shows what there is to be deleted."""


def group(name: str) -> click.Group:
    """Return the commands whose verbs begin with ``name``."""
    made = click.Group(name, help=_GROUPS[name])
    noun = name.replace("-", "_")
    for verb, kind in VERBS.items():
        if verb.startswith(f"{noun}.") and verb not in _BY_HAND:
            made.add_command(_command(verb, kind))
    return made


def _command(verb: str, kind: type[Request]) -> click.Command:
    taken = parameters_of(verb, kind, without=_OF_EVERY_REQUEST)

    def run(**values: Any) -> None:
        _run(verb, kind, taken, values)

    run.__doc__ = kind.__doc__
    decorated: Callable[..., None] = run
    for decorate in (socket_option, json_option, *_common_options(verb, kind)):
        decorated = decorate(decorated)
    command = click.command(
        verb.partition(".")[2].replace("_", "-"),
        help=_help(verb, kind),
    )(decorated)
    command.params[:0] = [each.parameter for each in taken]
    return command


def _help(verb: str, kind: type[Request]) -> str:
    text = (kind.__doc__ or "").replace("`", "")
    return f"{text}\n\n{WINDOWS_HELP}" if verb == "passage.set" else text


def _common_options(verb: str, kind: type[Request]) -> list[Callable[..., Any]]:
    options = []
    if issubclass(kind, LockRequest) and verb not in GATEWAY_VERBS:
        options.append(
            click.option(
                "--within",
                type=click.IntRange(min=1),
                metavar="SECONDS",
                help="Give up after so many seconds, in place of the verb's own deadline.",
            )
        )
        options.append(
            click.option("--urgent", is_flag=True, help="Go before all other jobs of this lock.")
        )
    if verb in REHEARSALS or issubclass(kind, ClearRequest):
        options.append(click.option("--yes", is_flag=True, help="Do not ask."))
        options.append(
            click.option("--dry-run", is_flag=True, help="Only show what there is; change nothing.")
        )
    return options


def _run(verb: str, kind: type[Request], taken: list[Taken], values: dict[str, Any]) -> None:
    socket, as_json = values["socket"], values["as_json"]
    request: dict[str, Any] = {}
    for each in taken:
        value = each.convert(values[each.parameter.name or ""])
        if value is not None:
            put(request, each.field, value)
    if values.get("urgent"):
        request["priority"] = "guest_at_the_door"
    if within := values.get("within"):
        request["deadline_at"] = (datetime.now(UTC) + timedelta(seconds=within)).isoformat()
    if issubclass(kind, ClearRequest):
        _clear(verb, request, values)
    if verb in REHEARSALS:
        _rehearse(verb, request, values)
    body = run_job(socket, verb, request)
    if verb.startswith("job."):
        _tell_of_jobs(verb, body, as_json=as_json)
    finish(body, as_json=as_json, readable=readable)


def _rehearse(verb: str, request: dict[str, Any], values: dict[str, Any]) -> None:
    """Show what there is, or ask whether it may go; returns only if it may."""
    as_json = values["as_json"]
    if values["dry_run"]:
        known = {"lock", "passcode", "deadline_at"} if verb == "passcode.delete" else {"lock"}
        shown = {name: value for name, value in request.items() if name in known}
        body = run_job(values["socket"], REHEARSALS[verb], shown)
        finish(body | {"dry_run": True}, as_json=as_json, readable=_unchanged)
    if not values["yes"]:
        click.confirm(f"Let {request['lock']} carry out {verb}?", abort=True, err=True)


def _clear(verb: str, request: dict[str, Any], values: dict[str, Any]) -> None:
    """Show what would go, have it confirmed, and delete it; does not return."""
    socket, as_json = values["socket"], values["as_json"]
    shown = run_job(socket, verb, request)
    if values["dry_run"] or shown["status"] != "done" or not shown["would_delete"]:
        finish(shown | {"dry_run": True}, as_json=as_json, readable=_unchanged)
    if not values["yes"]:
        click.echo(readable(shown), err=True)
        count = len(shown["would_delete"])
        click.confirm(f"Delete these {count} for good?", abort=True, err=True)
    body = run_job(socket, verb, request | {"confirm": shown["confirm"]})
    finish(body, as_json=as_json, readable=readable)


def _unchanged(body: dict[str, Any]) -> str:
    told = {name: value for name, value in body.items() if name != "dry_run"}
    return f"{readable(told)}\nnothing was changed"


def _tell_of_jobs(verb: str, body: dict[str, Any], *, as_json: bool) -> None:
    """Print how jobs stand; a job that failed is no failure to tell of it. Does not return."""
    click.echo(json.dumps(body) if as_json else _job_lines(body))
    is_done = verb != "job.cancel" or body["state"] == "cancelled"
    sys.exit(EX_OK if is_done else EX_REJECTED)


def _job_lines(body: dict[str, Any]) -> str:
    if "jobs" not in body:
        return described(body)
    rows = [{name: job.get(name) for name in _OF_A_JOB} for job in body["jobs"]]
    for row, job in zip(rows, body["jobs"], strict=True):
        row["waits_for"] = job.get("waiting", {}).get("reason")
    return "\n".join(table(rows)) if rows else "no job yet"
