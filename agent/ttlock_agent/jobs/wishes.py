"""Desired state within transactions: what is wanted now, and what comes back if that is not done.

A wish ends as its job does. One that a later request replaces while nothing is done yet is kept
aside with its job: if the later one is cancelled, expires or fails, the earlier one counts again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from ttlock_agent.jobs.model import OPEN_STATES, Job, JobState, WantedPasscode
from ttlock_agent.jobs.rows import SealedRows, insert, one, to_micros

_SETTLES_WISH: Final = frozenset(
    {JobState.PROVED, JobState.FAILED, JobState.EXPIRED, JobState.CANCELLED}
)
"""What was said not to be done must not be done later. An unknown outcome settles nothing."""
_OPEN_LIST: Final = ", ".join(f"'{state}'" for state in sorted(OPEN_STATES))
_OF_PLACE: Final = "lock = :lock AND digits_hash = :digits_hash"


class Wishes:
    """The tables ``wanted``, ``overtaken`` and ``former``."""

    def __init__(self, rows: SealedRows) -> None:
        self._rows = rows
        self.damaged: Mapping[int, str] = {}
        """The lock of each present wish whose digits are known not to open, by revision."""

    def of_rows(self, rows: Iterable[sqlite3.Row]) -> list[WantedPasscode]:
        """Return wishes, but for those that are known to be damaged."""
        return [self._rows.wanted_of(row) for row in rows if row["revision"] not in self.damaged]

    def revision(self, connection: sqlite3.Connection, lock: str, digits: str) -> int:
        """Return which wish counts for a passcode; 0 if nobody wants anything of it."""
        present = self._present(connection, lock, digits)
        return 0 if present is None else int(present["revision"])

    def put(
        self, connection: sqlite3.Connection, entries: Iterable[WantedPasscode], now: datetime
    ) -> None:
        """Write wishes; one with a revision that is not the present one is left out."""
        for entry in entries:
            present = self._present(connection, entry.lock, entry.digits)
            revision = 0 if present is None else present["revision"]
            if entry.revision not in (0, revision):
                continue
            row = self._rows.wanted_row(entry, now)
            if present is not None:
                row["is_held"] = entry.is_held or bool(present["is_held"])
                if present["job_id"] != entry.job_id:
                    insert(connection, "overtaken", dict(present))
            self._seen_to(revision)
            # Replacing gives a new revision, for it is the table's AUTOINCREMENT key.
            insert(connection, "wanted", row, or_replace=True)
            if entry.is_wanted:
                connection.execute(f"DELETE FROM former WHERE {_OF_PLACE}", row)  # noqa: S608

    def forget(self, connection: sqlite3.Connection, entries: Iterable[WantedPasscode]) -> None:
        """Drop wishes, and what was wanted before them; leave those that somebody overtook."""
        for entry in entries:
            if self.revision(connection, entry.lock, entry.digits) == entry.revision:
                self._drop(connection, entry)

    def conclude(self, connection: sqlite3.Connection, job: Job, now: datetime) -> None:
        """Let the wish of a job end as the job did."""
        if job.state not in _SETTLES_WISH:
            return
        is_proved, values = job.state is JobState.PROVED, [job.lock, job.id]
        sql = "SELECT * FROM wanted WHERE lock = ? AND job_id = ?"
        for row in connection.execute(sql, values).fetchall():
            if is_proved:
                for wish in self.of_rows([row]):
                    self._fulfil(connection, wish, now)
            else:
                self._give_up(connection, row, now)
        sql = "SELECT * FROM overtaken WHERE lock = ? AND job_id = ?"
        for row in connection.execute(sql, values).fetchall():
            if is_proved:
                self._note_fulfilled(connection, row, now)
            else:
                _drop_overtaken(connection, row, "revision = :revision")

    def retire_over(self, connection: sqlite3.Connection, now: datetime) -> int:
        """Forget the digits of passcodes whose validity has ended; return how many those were."""
        sql = (
            "SELECT wanted.* FROM wanted "  # noqa: S608 - our own state names
            "LEFT JOIN jobs ON jobs.id = wanted.job_id "
            "WHERE wanted.valid_until <= ? "
            f"AND coalesce(jobs.state, '') NOT IN ({_OPEN_LIST})"
        )
        over = self.of_rows(connection.execute(sql, [to_micros(now)]))
        for wish in over:
            self._retire(connection, wish, now)
        return len(over)

    def _seen_to(self, revision: int) -> None:
        """A wish that is replaced or dropped is nobody's trouble any more."""
        self.damaged = {each: lock for each, lock in self.damaged.items() if each != revision}

    def _fulfil(self, connection: sqlite3.Connection, wish: WantedPasscode, now: datetime) -> None:
        if wish.is_wanted:
            self.put(connection, [replace(wish, proved_at=now, is_held=True)], now)
            _drop_overtaken(connection, self._place(wish))
        else:
            self._retire(connection, wish, now)

    def _give_up(self, connection: sqlite3.Connection, row: sqlite3.Row, now: datetime) -> None:
        """Let the wish before it count again.

        Without one it is dropped, unless the lock holds the digits: then whose they are must not be
        forgotten.
        """
        sql = f"SELECT * FROM overtaken WHERE {_OF_PLACE} ORDER BY revision DESC"  # noqa: S608
        before = connection.execute(sql, dict(row)).fetchone()
        if before is not None:
            connection.execute("DELETE FROM wanted WHERE revision = ?", [row["revision"]])
            is_held = bool(row["is_held"] or before["is_held"])
            wish = replace(self._rows.wanted_of(before), revision=0, is_held=is_held)
            self.put(connection, [wish], now)
            _drop_overtaken(connection, before, "revision = :revision")
        elif not row["is_held"]:
            self._seen_to(row["revision"])
            connection.execute("DELETE FROM wanted WHERE revision = ?", [row["revision"]])

    def _note_fulfilled(
        self, connection: sqlite3.Connection, row: sqlite3.Row, now: datetime
    ) -> None:
        """What is wanted meanwhile still counts; but now this is what the lock is left with."""
        wish = self._rows.wanted_of(row)
        if wish.is_wanted:
            _drop_overtaken(connection, row, "revision < :revision")
            connection.execute(
                "UPDATE overtaken SET proved_at = ?, updated_at = ? WHERE revision = ?",
                [to_micros(now), to_micros(now), row["revision"]],
            )
        else:
            _drop_overtaken(connection, row, "revision <= :revision")
            self._keep_former(connection, wish, now)
        for table in ("wanted", "overtaken"):
            connection.execute(
                f"UPDATE {table} SET is_held = :is_now_held WHERE {_OF_PLACE}",  # noqa: S608
                dict(row) | {"is_now_held": wish.is_wanted},
            )

    def _retire(self, connection: sqlite3.Connection, wish: WantedPasscode, now: datetime) -> None:
        """Keep no more of a wish than it takes to recognise its passcode in a lock."""
        if wish.is_held or not wish.is_wanted:
            self._keep_former(connection, wish, now)
        self._drop(connection, wish)

    def _drop(self, connection: sqlite3.Connection, wish: WantedPasscode) -> None:
        place = self._place(wish)
        connection.execute(f"DELETE FROM wanted WHERE {_OF_PLACE}", place)  # noqa: S608
        _drop_overtaken(connection, place)

    def _keep_former(
        self, connection: sqlite3.Connection, wish: WantedPasscode, now: datetime
    ) -> None:
        insert(connection, "former", self._rows.former_row(wish, now), or_replace=True)

    def _present(
        self, connection: sqlite3.Connection, lock: str, digits: str
    ) -> sqlite3.Row | None:
        sql = "SELECT * FROM wanted WHERE lock = ? AND digits_hash = ?"
        return one(connection, sql, lock, self._rows.digits_hash(lock, digits))

    def _place(self, wish: WantedPasscode) -> dict[str, Any]:
        return {
            "lock": wish.lock,
            "digits_hash": self._rows.digits_hash(wish.lock, wish.digits),
        }


def _drop_overtaken(
    connection: sqlite3.Connection, place: Mapping[str, Any] | sqlite3.Row, which: str = "true"
) -> None:
    sql = f"DELETE FROM overtaken WHERE {_OF_PLACE} AND {which}"  # noqa: S608 - words from above
    connection.execute(sql, dict(place))
