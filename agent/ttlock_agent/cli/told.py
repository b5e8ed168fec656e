"""Answers of the bench for people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

_ITEMS: Final = {
    "passcodes": "passcode",
    "cards": "card",
    "fingerprints": "fingerprint",
    "passage_mode": "passage mode",
    "admin_passcode": "administrator's passcode",
}
_SETTINGS: Final = {
    "auto_lock_s": "seconds until it locks by itself",
    "is_locking_on_close": "locking when the door closes",
    "is_sound_on": "sound",
    "is_passcode_shown": "passcodes shown while typed",
    "is_remote_unlock_allowed": "remote unlock",
}
_COUNTED: Final = (
    ("passcodes", "passcodes"),
    ("cards", "cards"),
    ("fingerprints", "fingerprints (listed, not kept)"),
    ("passage", "windows of passage mode"),
    ("unreadable", "unreadable records"),
)


def backup_line(body: dict[str, Any]) -> str:
    """Return one backup in one line."""
    if "problem" in body:
        return f"{body['backup']}  cannot be read: {body['problem']}"
    return (
        f"{body['backup']}  {body['created_at']}  {body['lock']} (..{body['mac_digits'] or '?'})"
        f"  key: {body['key']}  {_holds(body['holds'])}"
    )


def created(body: dict[str, Any]) -> str:
    """Say what a new backup, or one that was opened, is and holds."""
    fingers = _named(body["fingerprints"])
    lines = [backup_line(body)]
    lines += _section("listed only, for they never leave the lock", fingers)
    lines += _section("not in the backup", map(_unread, body["not_in_backup"]))
    return "\n".join(lines)


def verified(body: dict[str, Any]) -> str:
    """Say how a backup and its lock compare."""
    lines = [backup_line(body), f"{body['same']} items are the same in the lock"]
    lines += _section("differing", (f"{item(x)}: {x['standing']}" for x in body["differing"]))
    told = (name.replace("_", " ") for name in body["told_since"])
    lines += _section("told by the lock, and not in the backup", told)
    lines.append("the lock holds what the backup says" if body["agrees"] else "they DIFFER")
    return "\n".join(lines)


def losses(body: dict[str, Any]) -> str:
    """Say what a reset takes that nothing brings back."""
    lines = ["What cannot come back after the reset:"]
    lines += _fingers(body["fingerprints"]) or ["  no fingerprint is lost"]
    lines += _section("cannot be put back", map(_with_reason, body["not_restorable"]))
    lines += _section("not in the backup", map(_unread, body["not_in_backup"]))
    lines += _section("will be otherwise", body["changed"])
    lines.append(body["afterwards"])
    return "\n".join(lines)


def wiped(body: dict[str, Any]) -> str:
    """Say that a lock was reset, and what comes next."""
    return f"The lock is wiped: it does not know its old keys any more.\n{body['afterwards']}"


def enrolled(body: dict[str, Any]) -> str:
    """Say that a lock is ours."""
    if "was_ours" in body:
        return "The lock knows the keys that the agent holds; nothing was changed."
    lines = ["The lock knows the agent as its administrator, and its keys are in the vault."]
    if body.get("admin_passcode") == "random":
        lines.append(
            "Its administrator's passcode is a random one that nobody knows: `restore` brings back"
            " the old one, `enrol --admin-passcode-file` after a reset sets another."
        )
    lines.append(body["dead_keys"])
    return "\n".join(lines)


def rehearsed(body: dict[str, Any]) -> str:
    """Say what a restore would do."""
    lines = [backup_line(body)]
    lines += _section("would be put back", map(item, body["would_restore"]))
    lines += _section("cannot be put back", map(_with_reason, body["not_restorable"]))
    lines += _fingers(body["fingerprints"])
    lines += _section(
        "may not fit: this lock, or others like it, hold",
        (f"no more than {room} {name}" for name, room in body["may_not_fit"].items()),
    )
    lines += _section("will be otherwise", body["changed"])
    lines += _section("only in the lock, and left alone", map(item, body["only_in_lock"]))
    lines.append(f"{body['was_there']} items are there already; nothing was changed")
    return "\n".join(lines)


def restored(body: dict[str, Any]) -> str:
    """Give the closing report of a restore."""
    lines = [backup_line(body)]
    lines += _section("restored and proved", map(item, body["restored"]))
    if body["was_there"]:
        lines.append(f"{body['was_there']} items were there already")
    lines += _section("NOT restored", map(_with_reason, body["failed"]))
    lines += _section("cannot be put back", map(_with_reason, body["not_restorable"]))
    lines += _fingers(body["fingerprints"])
    lines += _section("changed", body["changed"])
    lines += _section("only in the lock, and left alone", map(item, body["only_in_lock"]))
    lines += _section("was not in the backup", map(_unread, body["not_in_backup"]))
    if "cloud" in body:
        told = (f"{name.replace('_', ' ')}: {value}" for name, value in body["cloud"].items())
        lines.append("cloud: " + ", ".join(told))
    return "\n".join(lines)


def erased(body: dict[str, Any]) -> str:
    """Say what is gone, and what nobody can promise."""
    key = "Its key is destroyed." if body["is_key_destroyed"] else "Its key was never here."
    file = "Its file is removed." if body["is_file_removed"] else "No file was here."
    lines = [f"{body['backup']}: {key} {file}"]
    return "\n".join(lines + _section("cannot be promised", body["cannot_promise"]))


def item(body: dict[str, Any]) -> str:
    """Return one item as it is recognised, without what opens a door."""
    name = _ITEMS.get(body["item"], body["item"].replace("_", " "))
    if "setting" in body:
        words = _SETTINGS.get(body["setting"], body["setting"].replace("_", " "))
        value = body["value"]
        return f"{words}: {('off', 'on')[value] if isinstance(value, bool) else value}"
    parts = [f"{name} {body['number']}"]
    if "label" in body:
        parts.append(f'"{body["label"]}"')
    if "length" in body:
        parts.append(f"{body['kind'].replace('_', ' ')}, {body['length']} digits")
    elif "starts_at" in body:
        parts.append(f"{body['kind']}, day {body['day']}, {body['starts_at']} to {body['ends_at']}")
    if "ends_in" in body:
        parts.append(f"..{body['ends_in']}")
    if "weekly_hours" in body:
        parts.append("with weekly hours")
    if "id" in body:
        parts.append(body["id"])
    for name, word in (("valid_from", "from"), ("valid_until", "until")):
        if name in body:
            parts.append(f"{word} {body[name]}")
    return " ".join(parts)


def _holds(holds: dict[str, Any]) -> str:
    parts = [f"{holds[name]} {words}" for name, words in _COUNTED if holds[name]]
    parts += ["settings"] if holds["has_settings"] else []
    parts += ["administrator's passcode"] if holds["has_admin_passcode"] else []
    parts += ["LOCK KEYS"] if holds["has_keys"] else []
    return ", ".join(parts) or "empty"


def _fingers(found: dict[str, Any]) -> list[str]:
    if not found["count"]:
        return []
    return [
        f"{found['count']} fingerprints must be enrolled anew, by their owners:",
        *(f"  {name}" for name in _named(found)),
    ]


def _named(found: dict[str, Any]) -> list[str]:
    names = found["names"]
    return [
        f"fingerprint {each}" + (f' "{names[each]}"' if each in names else "")
        for each in found["ids"]
    ]


def _section(title: str, lines: Iterable[str]) -> list[str]:
    found = [f"  {line}" for line in lines]
    return [f"{title}:", *found] if found else []


def _with_reason(body: dict[str, Any]) -> str:
    return f"{item(body)}: {body['reason']}"


def _unread(body: dict[str, Any]) -> str:
    return f"{body['item'].replace('_', ' ')}: {body['reason']}"
