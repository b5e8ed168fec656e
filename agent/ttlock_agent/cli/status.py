"""``ttlock-agent status``: how the running agent is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from ttlock_agent.cli.control import ask_agent, running_agent_option
from ttlock_agent.service import STATUS


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@running_agent_option
def status_command(*, as_json: bool, socket: Path) -> None:
    """Say how the running agent, its broker, its locks and its open jobs are."""
    body = ask_agent(socket, STATUS)
    click.echo(json.dumps(body) if as_json else _readable(body))


def _readable(body: dict[str, Any]) -> str:
    mqtt, cloud = body["mqtt"], body["cloud"]
    lines = [
        f"ttlock-agent {body['version']}, up {body['uptime_s']:.0f} s",
        f"broker  {mqtt['status']} (MQTT {mqtt['version']})" + _because(mqtt["error"]),
        "cloud   " + (_cloud_calls(cloud) if cloud["is_watched"] else "not configured")
        + _because(cloud.get("error")),
    ]  # fmt: skip
    if body["journal_set_aside"]:
        lines.append(f"journal was damaged and is set aside as {body['journal_set_aside']}")
    if body["journal_trouble"]:
        trouble = body["journal_trouble"]
        lines.append(f"journal {trouble['message']} {trouble['hint']}")
    if body["is_time_synchronised"] is False:
        lines.append("clock   this machine's clock is not synchronised: check `timedatectl`")
    for adapter in body["adapters"]:
        lines += _adapter_lines(adapter)
    for name, lock in body["locks"].items():
        lines.append(f"lock    {name} at {lock['address']}: {_lock_state(lock)}")
        facts = _lock_facts(lock)
        if facts:
            lines.append(f"        {facts}")
        verdict = cloud.get("verdicts", {}).get(name)
        if verdict:
            lines.append(f"        {verdict}")
    counts = ", ".join(f"{count} {state}" for state, count in body["jobs"].items() if count)
    lines.append(f"jobs    {counts or 'none yet'}")
    for job in body["open_jobs"]:
        why = job.get("waiting", {}).get("sentence", "")
        lines.append(f"        {job['id']} {job['verb']} {job['lock']}: {job['state']}. {why}")
    return "\n".join(lines)


def _adapter_lines(adapter: dict[str, Any]) -> list[str]:
    name = adapter["adapter"] or adapter["wanted"] or "(the first usable one)"
    address = f" ({adapter['address']})" if adapter["address"] else ""
    since = f" since {adapter['since']}" if adapter["since"] else ": nobody has looked yet"
    lines = [f"adapter {name}{address}: {adapter['state'].replace('_', ' ')}{since}"]
    if adapter["hint"]:
        lines.append(
            f"        {adapter['message'] or 'It fails again and again.'} {adapter['hint']}"
        )
    tried = {name: count for name, count in adapter["recovery"].items() if count}
    if tried:
        remedies = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in tried.items())
        lines.append(f"        recovery since the start: {remedies}")
    return lines


def _lock_state(lock: dict[str, Any]) -> str:
    if not lock["has_keys"]:
        return "no keys"
    if lock["is_reachable"] is None:
        return "not visited yet"
    reached = "reached" if lock["is_reachable"] else "not reached"
    return (
        f"{reached} at {lock['last_visit_at']}, {lock['visits']} visits,"
        f" {lock['connected_s']:.1f} s connected{_because(lock['last_error'])}"
    )


def _lock_facts(lock: dict[str, Any]) -> str:
    """Say what is known of bolt, clock and battery, as far as anything is."""
    facts = _state_facts(lock.get("state", {}))
    clock, usage = lock.get("clock"), lock.get("usage")
    if clock is not None and clock["clock_error_s"] is not None:
        facts.append(f"clock {clock['clock_error_s']:+.0f} s off at {clock['as_of']}")
        if clock["drift_s_per_day"] is not None:
            facts.append(f"gains {clock['drift_s_per_day']:+.1f} s a day")
    if usage is not None:
        facts.append(
            f"{usage['connections']} connections and {usage['connected_s']:.0f} s on {usage['day']}"
        )
    return ", ".join(facts)


def _state_facts(state: dict[str, Any]) -> list[str]:
    facts = []
    if "lock_as_of" in state:
        bolt = state["lock"].lower().replace("_", " ")
        facts.append(f"{bolt} at {state['lock_as_of']} ({state['lock_source']})")
    if "battery_percent" in state:
        facts.append(
            f"battery {state['battery_percent']} % at {state['battery_as_of']}"
            f" ({state['battery_source']})"
        )
    if "seen_at" in state:
        strength = "" if state["rssi_dbm"] is None else f" with {state['rssi_dbm']} dBm"
        facts.append(f"heard at {state['seen_at']}{strength}")
    return facts


def _cloud_calls(cloud: dict[str, Any]) -> str:
    calls = cloud.get("calls_this_month")
    if calls is None:
        return "not read yet"
    return (
        f"watched every {cloud['poll_interval_s']} s, {calls} of {cloud['monthly_call_budget']} "
        "calls this month"
    )


def _because(reason: str | None) -> str:
    return f": {reason}" if reason else ""
