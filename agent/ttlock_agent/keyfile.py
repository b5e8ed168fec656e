"""Reading lock keys from whatever file the owner has; the formats are the protocol's.

Databases of the vendor's apps are opened read-only and never written, not even to repair them.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from ttlock_agent.errors import ConfigError
from ttlock_agent.keyring import decode_keys
from ttlock_protocol.keyfiles import (
    ImportedKey,
    ImportResult,
    KeyImportError,
    from_rows,
    from_text,
)

MAX_BYTES: Final = 16 * 1024 * 1024
"""Far above any key file; a larger one is something else."""
_SQLITE_MAGIC: Final = b"SQLite format 3\0"
_MAC: Final = re.compile(r"(?:[0-9A-F]{2}:){5}[0-9A-F]{2}", re.ASCII)
_ANDROID_TABLES: Final = ("virtualkey", "lockversion")
_IOS_TABLE: Final = "ZKEY"
_HINT: Final = (
    "Give a lockData.json, keys.json, the cloud's lock/detail or key/list answer, a lockData string"
    " or the database of the vendor's app."
)


def read_key_file(path: Path) -> ImportResult:
    """Return the keys in ``path``; raises ``ConfigError``, never with a secret in it."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(f"{path} is larger than any key file.", hint=_HINT)
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.", hint=_HINT) from error
    try:
        if raw.startswith(_SQLITE_MAGIC):
            return from_rows(_rows(path))
        return read_keys(raw.decode())
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is neither text nor a database.", hint=_HINT) from None
    except KeyImportError as error:
        raise ConfigError(f"{path} holds no lock keys: {error}.", hint=_HINT) from None


def read_keys(text: str) -> ImportResult:
    """Return the keys in ``text``: the agent's own form or any other program's.

    Raises ``KeyImportError``.
    """
    try:
        return ImportResult((ImportedKey(keys=decode_keys(text), has_version=True),))
    except ConfigError:
        return from_text(text)


def choose(result: ImportResult, address: str) -> ImportedKey:
    """Return the keys of the lock at ``address``, or the only ones that may be its.

    Raises ``ConfigError`` when it is not clear which ones are meant, and for a guest's that are
    limited in time.
    """
    wanted = address.upper()
    is_mac = _MAC.fullmatch(wanted) is not None
    same = [key for key in result.found if key.mac == wanted]
    possible = [key for key in result.found if key.mac is None or not is_mac]
    candidates = same or possible
    if len(candidates) == 1:
        return _unlimited(candidates[0])
    if not result.found:
        why = str(result.rejected[0]) if result.rejected else "it holds none"
        raise ConfigError(f"No lock keys could be read: {why}.", hint=_HINT)
    found = ", ".join(key.mac or "a lock without address" for key in result.found)
    raise ConfigError(
        f"The file holds the keys of {found}, and not clearly those of {address}.",
        hint="Give a file with this lock alone, or correct the lock's address in the config.",
    )


def _unlimited(key: ImportedKey) -> ImportedKey:
    """Refuse keys that the agent would go on using after their time."""
    if key.limited_until is not None:
        raise ConfigError(
            "These keys are a guest's, and limited in time.",
            hint="Import the owner's keys, or have the owner send an eKey without an end.",
        )
    return key


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        with _opened(path) as connection:
            connection.row_factory = sqlite3.Row
            tables = {
                name.lower(): name
                for (name,) in connection.execute(
                    "SELECT name FROM sqlite_master WHERE type = 'table'"
                )
            }
            if _IOS_TABLE.lower() in tables:
                return _all(connection, tables[_IOS_TABLE.lower()])
            if _ANDROID_TABLES[0] in tables:
                return _android_rows(connection, tables)
    except sqlite3.Error as error:
        raise ConfigError(
            f"{path} is a damaged database: {error}.", hint="Copy it from the phone once more."
        ) from error
    raise ConfigError(f"{path} is a database without lock keys.", hint=_HINT)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a database, and what a phone wrote last: it is in a log beside it until it is merged.

    Merging writes, so that happens to a copy which only we can read.
    """
    log = path.with_name(f"{path.name}-wal")
    if not log.is_file():
        # Immutable: the database must not be given a new log either.
        uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
            yield connection
        return
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory) / "database"
        shutil.copyfile(path, copy)
        shutil.copyfile(log, Path(directory) / "database-wal")
        with contextlib.closing(sqlite3.connect(copy)) as connection:
            yield connection


def _android_rows(connection: sqlite3.Connection, tables: dict[str, str]) -> list[dict[str, Any]]:
    """Join keys and versions: by the version's number, or by whatever names a lock in both."""
    keys = _all(connection, tables[_ANDROID_TABLES[0]])
    name = tables.get(_ANDROID_TABLES[1])
    versions = _all(connection, name) if name is not None else []
    if len(versions) == 1 == len(keys):
        return [versions[0] | keys[0]]
    joined = []
    for key in keys:
        version = next((row for row in versions if _belongs(row, key)), {})
        joined.append(version | key)
    return joined


def _belongs(version: dict[str, Any], key: dict[str, Any]) -> bool:
    if key.get("lockversionid") is not None:
        return bool(version.get("id") == key["lockversionid"])
    links = (column for column in ("lockid", "lockmac", "keyid") if key.get(column) is not None)
    return any(version.get(column) == key[column] for column in links)


def _all(connection: sqlite3.Connection, table: str) -> list[dict[str, Any]]:
    # The name comes from the database's own catalogue.
    quoted = '"' + table.replace('"', '""') + '"'
    rows = connection.execute(f"SELECT * FROM {quoted}")  # noqa: S608
    is_ios = table.upper() == _IOS_TABLE
    return [{key if is_ios else key.lower(): row[key] for key in row.keys()} for row in rows]  # noqa: SIM118
