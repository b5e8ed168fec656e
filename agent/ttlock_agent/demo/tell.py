"""How the demo of field case 1 is told to people."""

from __future__ import annotations

from typing import Any

import click

from ttlock_agent.demo.narrator import Narrator, door, say_verdict
from ttlock_agent.demo.stage import LOCK_ID
from ttlock_agent.demo.story import Account


class StoryNarrator(Narrator[Account]):
    """Tells the story in sentences; colours only where the terminal has them."""

    def close(self, account: Account) -> None:
        """Print the closing table."""
        click.echo()
        click.echo(f"  {'passcode':<10}{'before':<14}{'result':<10}{'after':<14}{'seconds':>8}")
        for passcode in account.passcodes:
            seconds = "-" if passcode.seconds is None else f"{passcode.seconds:.1f}"
            click.echo(
                f"  {passcode.digits:<10}{door(passcode.opened_before, 14)}"
                f"{passcode.result or '-':<10}{door(passcode.opened_after, 14)}{seconds:>8}"
            )
        click.echo()
        before, after = account.clock_error_before_s, account.clock_error_after_s
        click.echo(f"  gateway verdict    {account.verdict.get('verdict')}")
        click.echo(f"  lock clock error   {_span(before)} before, {_span(after)} after")
        if account.guest is not None:
            second = door(account.guest.second_try, 0)
            click.echo(f"  guest at the door  fails once, is helped; the second try {second}")
        click.echo(f"  Bluetooth sessions {account.ble_sessions}")
        counts = account.diagnosis.get("counts", {})
        click.echo(
            f"  diagnosis          {counts.get('fail', 0)} checks fail,"
            f" {counts.get('warn', 0)} warn, {counts.get('pass', 0)} pass"
        )
        say_verdict(
            is_good=account.is_good,
            good="every passcode opens the door",
            bad="NOT every passcode opens the door",
        )

    def _scene(self, fields: dict[str, Any]) -> str:
        return (
            f'A door, its lock, gateway "{fields["gateway"]}", the cloud, a broker'
            f" ({fields['broker']}). In the lock: the passcode of its set-up, nothing else."
        )

    def _typed(self, fields: dict[str, Any]) -> str:
        reason = "" if fields["opened"] else f" ({fields['reason'].replace('_', ' ')})"
        return f"Keypad: {fields['passcode']} - the door {door(fields['opened'], 0)}{reason}."

    def _cloud_accepted(self, fields: dict[str, Any]) -> str:
        return f"Booking system: the cloud adds {fields['passcode']}, answer: success."

    def _cloud_gateway(self, fields: dict[str, Any]) -> str:
        state = "online" if fields["is_online"] else "offline"
        return f'The cloud reports gateway "{fields["name"]}" {state}.'

    def _agent_started(self, _fields: dict[str, Any]) -> str:
        return "The agent starts beside the lock."

    def _verdict(self, fields: dict[str, Any]) -> str:
        return click.style(f"Agent: {fields['sentence']}", bold=True)

    def _clock(self, fields: dict[str, Any]) -> str:
        return f"Agent: the lock's clock was {_span(fields['before_s'])} off, and is set."

    def _answer(self, fields: dict[str, Any]) -> str:
        result = fields["result"] or fields["status"]
        return f"Agent, over MQTT: {fields['passcode']} ({fields['id']}) - {result}."

    def _removed(self, fields: dict[str, Any]) -> str:
        return f"Somebody deletes {fields['passcode']} from the lock with the vendor's app."

    def _noticed(self, fields: dict[str, Any]) -> str:
        sentence = (
            f'Agent: somebody is at the door, and the passcode of "{fields["label"]}" is missing'
            " from the lock; it is written again."
        )
        return click.style(sentence, bold=True)

    def _repaired(self, fields: dict[str, Any]) -> str:
        return f"Agent: {fields['passcode']} is proved again, {fields['seconds']:.1f} s after that."

    def _diagnosed(self, fields: dict[str, Any]) -> str:
        causes = "".join(
            f"\n{'':10} {each['likelihood']}: {each['sentence']}" for each in fields["causes"]
        )
        return f"`ttlock-agent diagnose {LOCK_ID}` says what is left to see to:{causes}"

    def _mqtt_request(self, fields: dict[str, Any]) -> str:
        return f"Booking system, over plain MQTT: one more passcode, by {fields['deadline_at']}."


def _span(seconds: float | None) -> str:
    if seconds is None:
        return "not known"
    if abs(seconds) < 60:
        return f"{seconds:+.0f} s"
    hours, minutes = divmod(round(abs(seconds) / 60), 60)
    return f"{'-' if seconds < 0 else '+'}{hours} h {minutes:02} min"
