"""What is read of a state directory while no agent answers: numbers, names of files, no content."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import msgspec

from ttlock_agent.config import Config, Severity, check_config, load_config
from ttlock_agent.errors import ConfigError
from ttlock_agent.jobs.database import FILE_NAME
from ttlock_agent.support.masking import masked_config

JOBS: Final = 50
_COLUMNS: Final = (
    "id, verb, lock, source, state, reason, is_sent, attempts, created_at, updated_at, error"
)


def config(file: Path) -> tuple[Config | None, dict[str, Any]]:
    """Return the configuration, if it can be used, and what a bundle says of it."""
    try:
        loaded = load_config(file)
    except ConfigError:
        # The texts of findings may quote what was written, such as a password in the wrong place.
        findings = [
            {"severity": each.severity.value, "line": each.line, "column": each.column}
            for each in check_config(file)
            if each.severity is Severity.ERROR
        ]
        return None, {"problem": "It cannot be used.", "findings": findings}
    return loaded, {"config": masked_config(loaded)}


def state(directory: Path) -> dict[str, Any]:
    """Return the files of a state directory, and what the journal counts."""
    try:
        files = [
            {
                "name": str(path.relative_to(directory)),
                "bytes": path.stat().st_size,
                "mode": f"{path.stat().st_mode & 0o777:o}",
            }
            for path in sorted(directory.rglob("*"))
            if path.is_file()
        ]
    except OSError as error:
        return {"problem": f"It cannot be listed: {error.strerror}."}
    return {"files": files, "journal": _journal(directory / FILE_NAME)}


def _journal(path: Path) -> dict[str, Any]:
    try:
        # Read-only: a bundle changes nothing, not even for a journal that is damaged.
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            states = connection.execute("SELECT state, count(*) FROM jobs GROUP BY state")
            counts = {row[0]: row[1] for row in states}
            recent = connection.execute(
                f"SELECT {_COLUMNS} FROM jobs ORDER BY seq DESC LIMIT ?",  # noqa: S608 - constants
                [JOBS],
            )
            jobs = [_job(row) for row in recent]
    except sqlite3.Error as error:
        return {"problem": f"It cannot be read: {type(error).__name__}."}
    return {"version": version, "counts": counts, "recent": jobs}


def _job(row: sqlite3.Row) -> dict[str, Any]:
    job = dict(row)
    error = job.pop("error")
    code = None if error is None else msgspec.json.decode(error).get("code")
    for name in ("created_at", "updated_at"):
        job[name] = datetime.fromtimestamp(job[name] / 1e6, UTC).isoformat(timespec="seconds")
    return job | {"error": code}
