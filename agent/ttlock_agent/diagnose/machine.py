"""Checks of this machine: its radio, its clock, its broker, its disk."""

from __future__ import annotations

from typing import Final

from ttlock_agent.diagnose.facts import Facts
from ttlock_agent.diagnose.finding import (
    Evidence,
    Finding,
    Source,
    Verdict,
    passed,
    unknown,
)
from ttlock_agent.errors import AdapterUnavailable

LOW_DISK_BYTES: Final = 100 * 1024 * 1024
_MIB: Final = 1024 * 1024
_CONNECTED: Final = "connected"
_STOPPED: Final = "stopped"
_USABLE: Final = "usable"


def adapter(facts: Facts) -> Finding:
    """Say whether adapter and BlueZ work."""
    error = facts.unreached
    if isinstance(error, AdapterUnavailable):
        return Finding(
            verdict=Verdict.FAIL,
            sentence=f"The Bluetooth adapter cannot be used. {error.message}",
            evidence=(Evidence(f"reason {error.reason.value}", Source.MACHINE, facts.now),),
            remedy=error.hint,
        )
    told = facts.status.get("adapters") or []
    states = [each for each in told if each.get("wanted") == facts.adapter]
    evidence = [
        Evidence(
            f"{each.get('adapter') or each.get('wanted') or 'first usable one'}: {each['state']}"
            + (f" since {each['since']}" if each.get("since") else ""),
            Source.MACHINE,
            facts.now,
        )
        for each in states
    ]
    bad = [each for each in states if each["state"] not in (_USABLE, "unknown")]
    if bad or any(each.get("needs_operator") for each in states):
        worst = (bad or states)[0]
        return Finding(
            verdict=Verdict.FAIL,
            sentence=f"A Bluetooth adapter is not usable. {worst.get('message') or ''}".strip(),
            evidence=evidence,
            remedy=worst.get("hint") or "Check `bluetoothctl show`.",
        )
    if facts.session is not None:
        made = Evidence("a connection was made through it", Source.MACHINE, facts.session.at)
        return passed("The way over Bluetooth works.", made, *evidence)
    if any(each["state"] == _USABLE for each in states):
        return passed("The Bluetooth adapters are usable.", *evidence)
    return unknown("Not measured: nothing has used the adapter yet.")


def own_clock(facts: Facts) -> Finding:
    """Say whether this machine's own clock is synchronised."""
    is_synchronised = facts.status.get("is_time_synchronised")
    if is_synchronised is None:
        return unknown("Not measured: no time service tells, such as in a container.")
    told = Evidence(f"synchronised: {is_synchronised}", Source.MACHINE, facts.now)
    if is_synchronised:
        return passed("This machine's clock is synchronised.", told)
    return Finding(
        verdict=Verdict.FAIL,
        sentence="This machine's clock is not synchronised: timed passcodes and clocks wait.",
        evidence=(told,),
        remedy="timedatectl set-ntp true",
    )


def broker(facts: Facts) -> Finding:
    """Say whether the broker is connected."""
    mqtt = facts.status.get("mqtt")
    if not mqtt:
        return unknown("Not measured: the agent does not say.")
    if mqtt["status"] == _STOPPED:
        return unknown("Not measured: this agent serves one command, and the service the broker.")
    told = Evidence(
        f"{mqtt['status']} since {mqtt.get('since')}, MQTT {mqtt.get('version')}",
        Source.MACHINE,
        facts.now,
    )
    if mqtt["status"] == _CONNECTED:
        return passed("The broker is connected.", told)
    return Finding(
        verdict=Verdict.FAIL,
        sentence="The broker is not connected: no request comes in and no answer goes out."
        + (f" {mqtt['error']}" if mqtt.get("error") else ""),
        evidence=(told,),
        remedy="Check that the broker runs, and `mqtt` in the configuration.",
    )


def journal(facts: Facts) -> Finding:
    """Say whether the journal keeps what it is told, and has room."""
    trouble = facts.status.get("journal_trouble")
    free = facts.disk_free_bytes
    evidence = []
    if free is not None:
        evidence.append(Evidence(f"{free // _MIB} MiB free", Source.MACHINE, facts.now))
    if trouble:
        return Finding(
            verdict=Verdict.FAIL,
            sentence=f"The journal is in trouble. {trouble['message']}",
            evidence=evidence,
            remedy=trouble["hint"],
        )
    aside = facts.status.get("journal_set_aside")
    if aside:
        return Finding(
            verdict=Verdict.WARN,
            sentence="The journal was damaged and set aside; what was known before is in there.",
            evidence=(*evidence, Evidence(f"set aside as {aside}", Source.MACHINE, facts.now)),
            remedy="Check the SD card (`dmesg`), keep the file, and restart the agent.",
        )
    if free is not None and free < LOW_DISK_BYTES:
        return Finding(
            verdict=Verdict.WARN,
            sentence="The disk is nearly full.",
            evidence=evidence,
            remedy="Free some space on the disk of the state directory.",
        )
    return passed("The journal is sound.", *evidence)
