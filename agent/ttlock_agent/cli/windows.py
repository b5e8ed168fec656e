"""Windows of passage mode as people write them: ``mon-fri 08:00-18:00``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import click

_ANY: Final = "any"
_EVERY_DAY: Final = "every-day"
_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOURS: Final = re.compile(r"(\d\d:\d\d)-(\d\d:\d\d)")
HELP: Final = (
    'Write for example "mon-fri 08:00-18:00", "sun", "every-day 09:00-17:00", "1st 10:00-12:00" for'
    ' a day of each month, or "1st of 5" for one of each year.'
)
_OF_MONTH: Final = re.compile(r"(\d{1,2})(?:st|nd|rd|th)(?: of (\d{1,2}))?")


def parse_windows(texts: Sequence[str]) -> list[dict[str, Any]]:
    """Return the fields of each window; the agent judges them."""
    return [window for text in texts for window in _windows(text)]


def parse_hours(texts: Sequence[str]) -> list[dict[str, Any]]:
    """Return the fields of weekly hours; ``any`` is none, for no limit."""
    if list(texts) == [_ANY]:
        return []
    hours = parse_windows(texts)
    if any(each["kind"] != "weekly" or each["day"] == 0 for each in hours):
        raise click.UsageError('Write for example "mon-fri 08:00-18:00", or any for no limit.')
    return [{name: value for name, value in each.items() if name != "kind"} for each in hours]


def _windows(text: str) -> list[dict[str, Any]]:
    hours: dict[str, Any] = {}
    days = text.strip().lower()
    if found := _HOURS.search(days):
        hours = {"starts_at": found[1], "ends_at": found[2]}
        days = days[: found.start()].strip()
    if found := _OF_MONTH.fullmatch(days):
        if found[2] is None:
            return [{"kind": "monthly", "day": int(found[1])} | hours]
        return [{"kind": "yearly", "day": int(found[1]), "month": int(found[2])} | hours]
    if days == _EVERY_DAY:
        return [{"kind": "weekly", "day": 0} | hours]
    first, dash, last = days.partition("-")
    last = last if dash else first
    if first not in _DAYS or last not in _DAYS[_DAYS.index(first) :]:
        raise click.UsageError(f"{text!r} is no window of passage mode. {HELP}")
    week = range(_DAYS.index(first) + 1, _DAYS.index(last) + 2)
    return [{"kind": "weekly", "day": day} | hours for day in week]
