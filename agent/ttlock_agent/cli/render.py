"""Answers of the agent for people: one line for a value, a table for a list, local times."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

_ABOUT_THE_REQUEST: Final = frozenset({"id", "job", "status", "result", "error", "confirm"})
_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?[+-]\d\d:\d\d")
_AS_THEY_ARE: Final = frozenset({"settings"})
"""What holds names that a command takes."""
_HEADLINES: Final = {
    "proved": "proved: the lock was read afterwards",
    "outcome_unknown": "nobody knows whether it was done",
}


def readable(body: dict[str, Any]) -> str:
    """Return an answer in words; what the request was is left out."""
    lines = []
    if body.get("result") in _HEADLINES:
        lines.append(_HEADLINES[body["result"]])
    told = {name: value for name, value in body.items() if name not in _ABOUT_THE_REQUEST}
    return "\n".join(lines + _lines(told)) or "done"


def described(body: dict[str, Any]) -> str:
    """Return everything that an answer holds."""
    return "\n".join(_lines(body))


def table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return rows as aligned columns, each headed by its name; empty columns are left out."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    names = [name for name in names if any(row.get(name) not in (None, "") for row in rows)]
    cells = [[_words(name) for name in names]]
    cells += [[_value(row.get(name)) for name in names] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]


def _lines(told: dict[str, Any]) -> list[str]:
    width = max((len(_words(name)) for name in told), default=0)
    lines = []
    for name, value in told.items():
        words = _words(name)
        if isinstance(value, dict) and value:
            below = _as_they_are(value) if name in _AS_THEY_ARE else _lines(value)
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            below = table(value)
        else:
            lines.append(f"{words.ljust(width)}  {_value(value)}")
            continue
        lines += [f"{words}:", *(f"  {line}" for line in below)]
    return lines


def _as_they_are(told: dict[str, Any]) -> list[str]:
    width = max(map(len, told))
    return [f"{name.ljust(width)}  {_value(value)}" for name, value in told.items()]


def _value(value: object) -> str:  # noqa: PLR0911 - one return per kind
    match value:
        case None | "":
            return "-"
        case bool():
            return "yes" if value else "no"
        case dict():
            return ", ".join(f"{_words(name)} {_value(each)}" for name, each in value.items())
        case float():
            return f"{value:.1f}"
        case str() if _INSTANT.fullmatch(value):
            return f"{datetime.fromisoformat(value).astimezone():%Y-%m-%d %H:%M:%S}"
        case list():
            return ", ".join(map(_value, value)) or "none"
        case _:
            return str(value)


def _words(name: str) -> str:
    return name.removeprefix("is_").replace("_", " ")
