"""What the journal keeps besides jobs: what locks said, secrets, and what was refused."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar

from ttlock_agent.errors import JournalError
from ttlock_agent.jobs.database import Database
from ttlock_agent.jobs.model import JobFailure, Known, NewJob
from ttlock_agent.jobs.rows import (
    SealedRows,
    failure_of,
    from_micros,
    insert,
    one,
    refusal_row,
    to_micros,
)
from ttlock_agent.jobs.statements import post
from ttlock_agent.publication import Publication
from ttlock_agent.vault import Vault

T = TypeVar("T")

_CHECK: Final = "journal-check"
"""Name of the secret, an empty one, that tells whether anything can be kept."""


class Notes:
    """Values by name, sealed. Every method may raise ``JournalError``; then nothing was changed."""

    def __init__(self, database: Database, vault: Vault, on_change: Callable[[], None]) -> None:
        self._database = database
        self._on_change = on_change
        self._vault = vault
        self._rows = SealedRows(vault)

    @property
    def trouble(self) -> JournalError | None:
        """Why the last change was not kept, if it was not."""
        return self._database.trouble

    async def check(self) -> None:
        """Raise ``JournalError`` unless a change is kept just now."""
        await self.put_secret(_CHECK, b"")

    async def remember_lock(self, lock: str, kind: str, value: object, as_of: datetime) -> None:
        """Keep what a lock said, replacing what it said before; ``value`` is anything for JSON."""
        await self.remember(lock, {kind: value}, as_of)

    async def remember(
        self,
        lock: str,
        values: Mapping[str, object],
        as_of: datetime,
        *,
        events: Sequence[Publication] = (),
    ) -> None:
        """Keep several things a lock said, and queue ``events``, in one transaction."""
        rows = [
            {
                "lock": lock,
                "kind": kind,
                "sealed_value": self._rows.seal_json(f"memory/{lock}/{kind}", value),
                "as_of": to_micros(as_of),
            }
            for kind, value in values.items()
        ]

        def change(connection: sqlite3.Connection) -> None:
            for row in rows:
                insert(connection, "lock_memory", row, or_replace=True)
            post(connection, events, as_of)

        await self._database.write(change)
        if events:
            self._on_change()

    async def last_known(self, lock: str, kind: str) -> Known | None:
        """Return what :meth:`remember_lock` kept."""
        sql = "SELECT sealed_value, as_of FROM lock_memory WHERE lock = ? AND kind = ?"

        def known(row: sqlite3.Row) -> Known:
            value = self._rows.open_json(f"memory/{lock}/{kind}", row["sealed_value"])
            return Known(value=value, as_of=from_micros(row["as_of"]))

        found = await self._read_all(sql, [lock, kind], known)
        return found[0] if found else None

    async def put_secret(self, name: str, value: bytes) -> None:
        """Keep a secret, such as the keys of a lock."""
        row = {"name": name, "sealed_value": self._vault.seal(f"secret/{name}", value)}
        await self._replace("secrets", row)

    async def secret(self, name: str) -> bytes | None:
        """Return what :meth:`put_secret` kept."""
        sql = "SELECT sealed_value FROM secrets WHERE name = ?"
        row = await self._database.read(lambda c: one(c, sql, name))
        return None if row is None else self._vault.open(f"secret/{name}", row["sealed_value"])

    async def refuse(self, new: NewJob, failure: JobFailure, at: datetime) -> None:
        """Keep that a request was refused, so that it is not accepted when it comes again."""
        row = refusal_row(new, self._rows.fingerprint(new), failure, at)
        await self._replace("refusals", row)

    async def refusal(self, new: NewJob) -> JobFailure | None:
        """Return how this very request was refused before; another one may have had its id."""
        sql = "SELECT * FROM refusals WHERE request_id = ? AND fingerprint = ?"
        values = [new.request_id, self._rows.fingerprint(new)]
        row = await self._database.read(lambda c: one(c, sql, *values))
        return None if row is None else failure_of(row)

    # Short forms.

    async def _read_all(
        self, sql: str, values: Sequence[object], convert: Callable[[sqlite3.Row], T]
    ) -> list[T]:
        return await self._database.read(
            lambda connection: [convert(row) for row in connection.execute(sql, values)]
        )

    async def _replace(self, table: str, row: dict[str, Any]) -> None:
        await self._database.write(lambda c: insert(c, table, row, or_replace=True))
