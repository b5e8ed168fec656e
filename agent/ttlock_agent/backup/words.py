"""Items of a backup for people and topics: enough to recognise them, nothing that opens a door."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from ttlock_agent.backup.compare import Finding, Saved, Setting
from ttlock_agent.backup.content import (
    Content,
    SavedCard,
    SavedFingerprint,
    SavedPassage,
    SavedPasscode,
)
from ttlock_agent.backup.file import Header, VaultHeld
from ttlock_protocol.messages.auth import PERMANENT_FROM
from ttlock_protocol.messages.cards import card_to_decimal
from ttlock_protocol.messages.passcodes import PasscodeType

_SHOWN_OF_CARD: Final = 3
"""Last digits of a card's number: they tell apart the cards of one household."""


def describe(finding: Finding, labels: Mapping[str, str]) -> dict[str, Any]:
    """Return one item; ``labels`` are names of passcodes by their digits."""
    body: dict[str, Any] = {"item": finding.item, "number": finding.number}
    saved = finding.saved if finding.saved is not None else finding.held
    return body | _of(saved, labels)


def finger_name(fingerprint: SavedFingerprint) -> str:
    """Return the number under which the vendor's app lists a fingerprint."""
    return str(int.from_bytes(fingerprint.id, "big"))


def summary(header: Header) -> dict[str, Any]:
    """Return what a file says of itself."""
    return {
        "backup": header.backup,
        "lock": header.lock,
        "mac_digits": header.mac_digits,
        "created_at": header.created_at.isoformat(timespec="seconds"),
        "agent_version": header.agent_version,
        "format": header.format,
        "key": "vault" if isinstance(header.key, VaultHeld) else "passphrase",
        "holds": msgspec.to_builtins(header.holds),
    }


def not_read(content: Content) -> list[dict[str, str]]:
    """Return what the lock did not tell, and the records nobody could read."""
    entries = [{"item": each.item, "reason": each.reason} for each in content.not_read]
    unreadable: dict[str, int] = {}
    for record in content.unreadable:
        unreadable[record.item] = unreadable.get(record.item, 0) + 1
    return entries + [
        {
            "item": item,
            "reason": f"{count} record{'s' if count > 1 else ''} in a form that nobody knows:"
            " kept in the backup, but they cannot be put back.",
        }
        for item, count in unreadable.items()
    ]


def fingerprints(found: Iterable[SavedFingerprint]) -> dict[str, Any]:
    """Return how many fingerprints there are, which, and whose as far as somebody knows."""
    fingers = list(found)
    return {
        "count": len(fingers),
        "ids": [finger_name(each) for each in fingers],
        "names": {finger_name(each): each.name for each in fingers if each.name},
    }


def may_open_again(codes: Iterable[SavedPasscode]) -> list[str]:
    """Say how many of these, put back, may open although they were used up."""
    count = sum(code.kind == PasscodeType.ONE_TIME and code.is_used is None for code in codes)
    sentence = (
        f"{count} one-time passcodes may have been used before the backup: the log did not reach"
        " back far enough. Put back, they open once more."
    )
    return [sentence] if count else []


def _of(saved: Saved | None, labels: Mapping[str, str]) -> dict[str, Any]:
    match saved:
        case SavedPasscode():
            body = {"kind": saved.kind.name.lower(), "length": len(saved.passcode)}
            if labels.get(saved.passcode):
                body["label"] = labels[saved.passcode]
            return body | _window(saved.valid_from, saved.valid_until)
        case SavedCard():
            ends_in = card_to_decimal(saved.number)[-_SHOWN_OF_CARD:]
            hours = {"weekly_hours": len(saved.hours)} if saved.hours else {}
            return {"ends_in": ends_in} | hours | _window(saved.valid_from, saved.valid_until)
        case SavedFingerprint():
            name = {"name": saved.name} if saved.name else {}
            window = _window(saved.valid_from, saved.valid_until)
            return {"id": finger_name(saved)} | name | window
        case SavedPassage():
            entry = saved.entry
            return {
                "kind": entry.kind.name.lower(),
                "day": entry.day,
                "month": entry.month,
                "starts_at": entry.starts_at.isoformat("minutes"),
                "ends_at": entry.ends_at.isoformat("minutes"),
            }
        case Setting():
            return {"setting": saved.name, "value": saved.value}
        case _:
            return {}


def _window(begin: datetime, end: datetime | None) -> dict[str, str]:
    """Return the limits by the lock's own clock, without what stands for none."""
    body = {} if begin == PERMANENT_FROM else {"valid_from": begin.isoformat(" ", "minutes")}
    if end is not None and end.year < PERMANENT_YEAR:
        body["valid_until"] = end.isoformat(" ", "minutes")
    return body


PERMANENT_YEAR: Final = 2099
"""The year of every form of "no end"."""
