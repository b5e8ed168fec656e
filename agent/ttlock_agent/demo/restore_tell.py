"""How the demo of field case 2 is told to people."""

from __future__ import annotations

from typing import Any, Final

import click

from ttlock_agent.demo.narrator import Narrator, door, say_verdict
from ttlock_agent.demo.restore_story import RestoreAccount

_WHEN: Final = {
    "before": "before the reset",
    "after_reset": "after the reset",
    "after_restore": "after the restore",
}


class RestoreNarrator(Narrator[RestoreAccount]):
    """Tells the story in sentences; colours only where the terminal has them."""

    def close(self, account: RestoreAccount) -> None:
        """Print the closing table."""
        click.echo()
        click.echo(f"  {'what':<44}{'before':<13}{'after reset':<13}{'after restore':<14}")
        for opener in account.openers:
            name = opener.name if opener.kind == "passcode" else f"{opener.kind} {opener.name}"
            what = f"{name} ({opener.what})" if opener.kind == "passcode" else name
            doors = "".join(door(is_open, 13) for is_open in opener.opened)
            note = "" if opener.kind != "finger" else "enrol anew"
            click.echo(f"  {what:<44}{doors}{note}")
        report = account.report
        click.echo()
        restored, there = len(report["restored"]), report["was_there"]
        click.echo(f"  proved by reading    {restored + there} items, {there} were there")
        click.echo(f"  settings             {'as before' if account.are_settings_back else 'LOST'}")
        for left in report["not_restorable"]:
            click.echo(f"  left out             {left['kind']} passcode: {left['reason']}")
        fingers = report["fingerprints"]
        names = ", ".join(fingers["ids"])
        click.echo(f"  to be enrolled anew  {fingers['count']} fingers: {names}")
        erased = "its key is destroyed" if account.is_backup_erased else "STILL THERE"
        click.echo(f"  the backup           {erased}")
        say_verdict(
            is_good=account.is_good,
            good="all that opened opens again, and nothing else",
            bad="NOT all that opened opens again",
        )

    def _scene(self, fields: dict[str, Any]) -> str:
        return (
            f"A door with {fields['passcodes']} passcodes, {fields['cards']} cards and"
            f" {fields['fingers']} fingers. Its lock must be reset."
        )

    def _tried(self, fields: dict[str, Any]) -> str:
        return f"Door, {_WHEN[fields['when']]}: {fields['opening']} of {fields['of']} open it."

    def _backed_up(self, fields: dict[str, Any]) -> str:
        holds = fields["holds"]
        return (
            f"backup create: {holds['passcodes']} passcodes, {holds['cards']} cards, the settings;"
            f" {holds['fingerprints']} fingers are listed. Sealed as {fields['backup']}."
        )

    def _verified(self, fields: dict[str, Any]) -> str:
        return f"backup verify: {fields['same']} items, each the same in the lock."

    def _refused(self, fields: dict[str, Any]) -> str:
        return f"lock reset, digits mistyped: refused. {fields['message']}"

    def _reset(self, fields: dict[str, Any]) -> str:
        return (
            "lock reset, digits typed: the lock is wiped."
            f" {fields['fingerprints']} fingers are lost, as was said before."
        )

    def _power_cut(self, fields: dict[str, Any]) -> str:
        who = " and ".join(fields["of"])
        return click.style(f"Power cut, {fields['when']}: kill -9 {who}.", bold=True)

    def _enrolled(self, _fields: dict[str, Any]) -> str:
        return "enrol: the lock knows the agent as its administrator again."

    def _rehearsed(self, fields: dict[str, Any]) -> str:
        return (
            f"restore --dry-run: {fields['would_restore']} items would be put back,"
            f" {fields['fingerprints']} fingers cannot be."
        )

    def _restored(self, fields: dict[str, Any]) -> str:
        return (
            f"restore, the same command again: {fields['restored']} items restored,"
            f" {fields['was_there']} there already; each read back."
        )

    def _erased(self, _fields: dict[str, Any]) -> str:
        return "backup erase: its key is destroyed, so that no copy opens."
