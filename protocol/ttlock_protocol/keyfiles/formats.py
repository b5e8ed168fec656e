"""Tell the formats of key files apart, and read each (reference 9.2, 9.3).

Known: this project's manual fields; ttlock-sdk-js ``lockData.json``; ttlock-ble ``keys.json``; the
snake-case files of ttlock-rs and of esphome-ttlock; the cloud's ``lock/detail`` and ``key/list``;
the cloud's ``lockData`` string; rows of the vendor apps' databases.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from ttlock_protocol.cipher import decrypt
from ttlock_protocol.errors import DecodeError

from .fields import Record, flatten
from .model import ImportedKey, ImportResult, KeyImportError, Problem

_MAC_BYTES: Final = 6
_SKIPPED_CHARACTER: Final = 9
"""Of the address in text: what is left are the sixteen characters of the key (reference 9.3)."""
_LISTS: Final = ("list", "keyInfos")
_ESPHOME_NAME: Final = "btname"


def from_text(text: str) -> ImportResult:
    """Read the content of a file: JSON of any known kind, or a ``lockData`` string.

    Raises ``KeyImportError`` when nothing in it is a lock's keys.
    """
    stripped = text.removeprefix("\ufeff").strip()
    if stripped[:1] not in ("{", "["):
        return ImportResult((from_lock_data(stripped),))
    try:
        parsed = json.loads(stripped)
    except (ValueError, RecursionError):
        raise _not_recognised("the file is not whole JSON") from None
    return from_json(parsed)


def from_json(parsed: Any) -> ImportResult:
    """Read parsed JSON of any known kind: one lock, a list, a cloud page, or locks by name.

    Raises ``KeyImportError`` when it holds no record at all; single bad locks are in the result.
    """
    found: list[ImportedKey] = []
    rejected: list[KeyImportError] = []
    for record in _records(parsed):
        try:
            found.append(_one(record))
        except KeyImportError as error:
            rejected.append(error)
    if not found and not rejected:
        raise _not_recognised("there are no locks in it")
    return ImportResult(tuple(found), tuple(rejected))


def from_rows(rows: Iterable[Mapping[str, Any]]) -> ImportResult:
    """Read rows of a vendor app's database, as mappings of column to value.

    Android: ``virtualkey`` joined with ``lockversion``; iOS: ``ZKEY``, whose columns begin with Z.
    """
    return from_json([_without_z(row) for row in rows])


def from_fields(
    *,
    mac: str,
    aes_key: str,
    unlock_key: str = "",
    admin_secret: str = "",
    name: str = "",
    lock_flag_position: int = 0,
    user_id: int = 0,
) -> ImportedKey:
    """Read what a person typed; secrets in any form that :func:`from_json` knows.

    Raises ``KeyImportError``.
    """
    return _one(
        {
            "mac": mac,
            "aes_key": aes_key,
            "unlock_key": unlock_key,
            "admin_secret": admin_secret,
            "name": name,
            "lock_flag_position": lock_flag_position,
            "user_id": user_id,
        }
    )


def from_lock_data(text: str) -> ImportedKey:
    """Read the cloud's ``lockData`` string; raises ``KeyImportError``."""
    return Record(flatten(_opened(text))).key()


def _opened(text: str) -> Mapping[str, Any]:
    """Return the JSON inside: its key is made of the address that stands behind it."""
    try:
        raw = base64.b64decode("".join(text.split()), validate=True)
        mac = raw[-_MAC_BYTES:].hex(":").upper()
        key = (mac[:_SKIPPED_CHARACTER] + mac[_SKIPPED_CHARACTER + 1 :]).encode("ascii")
        opened = json.loads(decrypt(key, raw[:-_MAC_BYTES])) if len(raw) > _MAC_BYTES else None
    except (ValueError, RecursionError, DecodeError):
        opened = None
    if not isinstance(opened, dict):
        raise _not_recognised("this is neither JSON nor a lockData string of the known kind")
    return opened


def _records(parsed: Any) -> list[Mapping[str, Any]]:
    if isinstance(parsed, list):
        return [each for each in parsed if isinstance(each, Mapping)]
    if not isinstance(parsed, Mapping):
        return []
    for name in _LISTS:
        if isinstance(parsed.get(name), list):
            return _records(parsed[name])
    if parsed and all(isinstance(each, Mapping) for each in parsed.values()):
        return [{"name": name, **each} for name, each in parsed.items()]
    return [parsed] if parsed else []


def _one(record: Mapping[str, Any]) -> ImportedKey:
    values = flatten(record)
    if isinstance(values.get("lockdata"), str) and "aeskeystr" not in values:
        # What the record says outside, an alias for instance, counts more.
        values = flatten(_opened(values["lockdata"])) | values
    return Record(values, has_hex_secrets=_ESPHOME_NAME in values).key()


def _without_z(row: Mapping[str, Any]) -> Mapping[str, Any]:
    is_ios = all(str(name).upper().startswith("Z") for name in row)
    return {str(name)[1:] if is_ios else name: value for name, value in row.items()}


def _not_recognised(message: str) -> KeyImportError:
    return KeyImportError(Problem.NOT_RECOGNISED, message, item=None, lock="")
