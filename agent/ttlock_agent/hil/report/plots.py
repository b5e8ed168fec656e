"""Plots as inline SVG: dots over an axis, readable in print and without colour."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

WIDTH: Final = 340
HEIGHT: Final = 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 10, 26, 34
_TICKS: Final = 4


@dataclass(frozen=True, slots=True)
class Dot:
    """One point; a hollow one is a try that failed."""

    x: float
    y: float
    is_hollow: bool = False


@dataclass(frozen=True, slots=True)
class _Scale:
    low: float
    high: float
    begin: float
    end: float
    step: float

    def at(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self.begin + share * (self.end - self.begin)

    def ticks(self) -> list[float]:
        count = round((self.high - self.low) / self.step)
        return [self.low + self.step * number for number in range(count + 1)]


def scatter(title: str, dots: Sequence[Dot], *, x_label: str, y_label: str) -> str:
    """Return a plot; empty without a point."""
    if not dots:
        return ""
    x = _scale([dot.x for dot in dots], _LEFT, WIDTH - _RIGHT)
    y = _scale([dot.y for dot in dots], HEIGHT - _BOTTOM, _TOP)
    base, top = HEIGHT - _BOTTOM, _TOP
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">',
        f'<text class="title" x="{_LEFT}" y="14">{escape(title)}</text>',
    ]
    for tick in y.ticks():
        at = y.at(tick)
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>'
            f'<text class="tick" x="{_LEFT - 5}" y="{at + 3:.1f}" text-anchor="end">'
            f"{_number(tick, y.step)}</text>"
        )
    for tick in x.ticks():
        at = x.at(tick)
        parts.append(
            f'<text class="tick" x="{at:.1f}" y="{base + 13}" text-anchor="middle">'
            f"{_number(tick, x.step)}</text>"
        )
    parts += [
        f'<path class="axis" d="M{_LEFT} {top}V{base}H{WIDTH - _RIGHT}"/>',
        *(
            f'<circle class="{"miss" if dot.is_hollow else "dot"}" cx="{x.at(dot.x):.1f}"'
            f' cy="{y.at(dot.y):.1f}" r="{3.2 if dot.is_hollow else 2.4}"/>'
            for dot in dots
        ),
        *(
            f'<text class="tick" x="{WIDTH - _RIGHT}" y="{at}" text-anchor="end">'
            f"{escape(label)}</text>"
            for label, at in ((x_label, HEIGHT - 6), (y_label, 14))
        ),
        "</svg>",
    ]
    return "".join(parts)


def _scale(values: Sequence[float], begin: float, end: float) -> _Scale:
    """Return round limits around ``values``, with from 2 to 8 steps between them."""
    low, high = min(values), max(values)
    if low >= 0 and low < high / 2:
        low = 0.0
    if high - low < 1e-9:
        high, low = high + max(1.0, abs(high) * 0.1), min(low, low - max(1.0, abs(low) * 0.1))
        low = max(low, 0.0) if values[0] >= 0 else low
    raw = (high - low) / _TICKS
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(m * magnitude for m in (1.0, 2.0, 5.0, 10.0) if m * magnitude >= raw)
    return _Scale(math.floor(low / step) * step, math.ceil(high / step) * step, begin, end, step)


def _number(value: float, step: float) -> str:
    decimals = max(0, -math.floor(math.log10(step)))
    return f"{value:.{decimals}f}" if abs(value) > step / 1000 else "0"
