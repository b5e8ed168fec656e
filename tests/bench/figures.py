"""What a benchmark finds, and how it is shown."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .measure import Comparison


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the table.

    ``floor`` is what the figure is held against, in the same unit; ``ratio`` is how many times it
    the figure is. With a ``limit``, a larger ratio makes the run exit 1.
    """

    name: str
    value: float
    unit: str
    floor: float | None = None
    against: str = ""
    ratio: float | None = None
    limit: float | None = None

    @property
    def is_within(self) -> bool:
        return self.limit is None or (self.ratio is not None and self.ratio <= self.limit)

    @property
    def verdict(self) -> str:
        if self.limit is None:
            return ""
        return "ok" if self.is_within else "TOO MUCH"


def held_against(
    name: str, value: float, unit: str, floor: float, against: str, **more: Any
) -> Figure:
    """Return the figure whose ratio is that of the two numbers."""
    ratio = value / floor if floor else None
    return Figure(
        name=name, value=value, unit=unit, floor=floor, against=against, ratio=ratio, **more
    )


def compared(
    name: str, found: Comparison, unit: str, against: str, *, scale: float = 1.0, **more: Any
) -> Figure:
    """Return the figure of two times measured in turns; ``scale`` makes ``unit`` of seconds."""
    return Figure(
        name=name,
        value=found.ours * scale,
        unit=unit,
        floor=found.floor * scale,
        against=against,
        ratio=found.ratio,
        **more,
    )


def table(bench: str, figures: Iterable[Figure]) -> str:
    """Return the lines of one benchmark for people."""
    rows = [("figure", "", "floor", "", "ratio", "verdict", "floor is")]
    for each in figures:
        limit = "" if each.limit is None else f"{each.verdict} (limit {each.limit:g})"
        rows.append(
            (
                each.name,
                _number(each.value),
                "" if each.floor is None else _number(each.floor),
                each.unit,
                "" if each.ratio is None else f"{each.ratio:.2f}",
                limit,
                each.against,
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [f"== {bench}"]
    for name, value, floor, unit, ratio, verdict, against in rows:
        cells = (
            name.ljust(widths[0]),
            value.rjust(widths[1]),
            floor.rjust(widths[2]),
            unit.ljust(widths[3]),
            ratio.rjust(widths[4]),
            verdict.ljust(widths[5]),
            against,
        )
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def plain(bench: str, figure: Figure) -> dict[str, Any]:
    """Return the figure as JSON has it."""
    return {
        "bench": bench,
        "name": figure.name,
        "value": figure.value,
        "unit": figure.unit,
        "floor": figure.floor,
        "against": figure.against,
        "ratio": figure.ratio,
        "limit": figure.limit,
        "is_within": figure.is_within,
    }


def _number(value: float) -> str:
    if value == int(value) and value < 1e6:
        return str(int(value))
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"
