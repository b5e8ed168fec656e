"""How the demo is told: a live account for people, or one JSON object a line."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, Final

import click

from ttlock_agent.demo.story import Account

_DOOR: Final = {True: ("opens", "green"), False: ("stays shut", "red")}


def tell_as_json(event: str, fields: dict[str, Any]) -> None:
    """Print one step as one JSON object."""
    click.echo(json.dumps({"event": event, **fields}))


class Narrator:
    """Tells the story in sentences; colours only where the terminal has them."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._started_s = monotonic()

    def tell(self, event: str, fields: dict[str, Any]) -> None:
        """Print one step."""
        sentence = getattr(self, f"_{event}")(fields)
        at = click.style(f"{self._monotonic() - self._started_s:6.1f} s", dim=True)
        click.echo(f"{at}  {sentence}")

    def close(self, account: Account) -> None:
        """Print the closing table."""
        click.echo()
        click.echo(f"  {'passcode':<10}{'before':<14}{'result':<10}{'after':<14}{'seconds':>8}")
        for passcode in account.passcodes:
            seconds = "-" if passcode.seconds is None else f"{passcode.seconds:.1f}"
            click.echo(
                f"  {passcode.digits:<10}{_door(passcode.opened_before, 14)}"
                f"{passcode.result or '-':<10}{_door(passcode.opened_after, 14)}{seconds:>8}"
            )
        click.echo()
        before, after = account.clock_error_before_s, account.clock_error_after_s
        click.echo(f"  gateway verdict    {account.verdict.get('verdict')}")
        click.echo(f"  lock clock error   {_span(before)} before, {_span(after)} after")
        if account.guest is not None:
            second = _door(account.guest.second_try, 0)
            click.echo(f"  guest at the door  fails once, is helped; the second try {second}")
        click.echo(f"  Bluetooth sessions {account.ble_sessions}")
        verdict = ("every passcode opens the door", "green")
        if not account.is_good:
            verdict = ("NOT every passcode opens the door", "red")
        click.echo("  " + click.style(verdict[0], fg=verdict[1], bold=True))

    def _scene(self, fields: dict[str, Any]) -> str:
        return (
            f'A door, its lock, gateway "{fields["gateway"]}", the cloud, a broker'
            f" ({fields['broker']}). In the lock: the passcode of its set-up, nothing else."
        )

    def _typed(self, fields: dict[str, Any]) -> str:
        door, colour = _DOOR[fields["opened"]]
        reason = "" if fields["opened"] else f" ({fields['reason'].replace('_', ' ')})"
        return f"Keypad: {fields['passcode']} - the door {click.style(door, fg=colour)}{reason}."

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

    def _mqtt_request(self, fields: dict[str, Any]) -> str:
        return f"Booking system, over plain MQTT: one more passcode, by {fields['deadline_at']}."


def _door(is_open: bool, width: int) -> str:
    word, colour = _DOOR[is_open]
    return click.style(f"{word:<{width}}", fg=colour)


def _span(seconds: float | None) -> str:
    if seconds is None:
        return "not known"
    if abs(seconds) < 60:
        return f"{seconds:+.0f} s"
    hours, minutes = divmod(round(abs(seconds) / 60), 60)
    return f"{'-' if seconds < 0 else '+'}{hours} h {minutes:02} min"
