"""Answers of the agent for people: one line for a value, a table for a list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

_ABOUT_THE_REQUEST: Final = frozenset({"id", "job", "status", "result", "error", "confirm"})
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


def _lines(told: dict[str, Any], indent: str = "") -> list[str]:
    width = max((len(_words(name)) for name in told), default=0)
    lines = []
    for name, value in told.items():
        if isinstance(value, dict) and value:
            lines.append(f"{indent}{_words(name)}:")
            lines += _lines(value, f"{indent}  ")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            lines.append(f"{indent}{_words(name)}:")
            lines += [f"{indent}  {line}" for line in table(value)]
        else:
            lines.append(f"{indent}{_words(name).ljust(width)}  {_value(value)}")
    return lines


def _value(value: object) -> str:
    match value:
        case None | "":
            return "-"
        case bool():
            return "yes" if value else "no"
        case dict():
            return ", ".join(f"{_words(name)} {_value(each)}" for name, each in value.items())
        case list():
            return ", ".join(map(_value, value)) or "none"
        case _:
            return str(value)


def _words(name: str) -> str:
    return name.removeprefix("is_").replace("_", " ")
