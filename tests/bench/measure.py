"""Measuring on a machine that does other things, too."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

MAX_LOOKS = 3
"""A limit counts as exceeded when it is so this often in a row: one look may meet a busy moment."""
NO_DOUBT = 2.0
"""Nobody looks again at a ratio that is this many times the limit: no busy moment does that."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two things measured in turns, and their ratio: by medians, or by the least of each."""

    ours: float
    floor: float
    ratio: float


def compare(rounds: int, ours: Callable[[], float], floor: Callable[[], float]) -> Comparison:
    """Measure in turns, after a turn that does not count; both return seconds.

    The load of the machine changes slowly against a turn, so it falls on both alike.
    """
    ours()
    floor()
    pairs = []
    for number in range(rounds):
        # Who goes first changes, so that neither always finds the caches warmed by the other.
        if number % 2:
            below = floor()
            pairs.append((ours(), below))
        else:
            pairs.append((ours(), floor()))
    return comparison_of(pairs)


def least(rounds: int, ours: Callable[[], float], floor: Callable[[], float]) -> Comparison:
    """Compare the least of each, measured in turns: what the machine does besides only adds to it.

    For processor time, which nothing makes less than the work takes.
    """
    ours()
    floor()
    pairs = [(ours(), floor()) for _ in range(rounds)]
    mine, below = min(each for each, _ in pairs), min(each for _, each in pairs)
    return Comparison(ours=mine, floor=below, ratio=mine / below)


def comparison_of(pairs: list[tuple[float, float]]) -> Comparison:
    """Return what pairs of (ours, floor) come to."""
    return Comparison(
        ours=median(ours for ours, _ in pairs),
        floor=median(floor for _, floor in pairs),
        ratio=median(ours / floor for ours, floor in pairs),
    )


def looked_at_again(measure: Callable[[], Comparison], limit: float) -> Comparison:
    """Measure until the ratio is within ``limit``, a few times at most; return the best."""
    best = measure()
    for _ in range(MAX_LOOKS - 1):
        if best.ratio <= limit or best.ratio > NO_DOUBT * limit:
            break
        best = min(best, measure(), key=lambda each: each.ratio)
    return best


def seconds_per_call(action: Callable[[], object], calls: int) -> float:
    """Return how long one of ``calls`` calls takes."""
    since = time.perf_counter()
    for _ in range(calls):
        action()
    return (time.perf_counter() - since) / calls


@dataclass(frozen=True, slots=True)
class ProcessMemory:
    """What a process holds: RSS with all it shares, PSS with its part of that."""

    rss_mib: float
    pss_mib: float


def memory_of(pid: int) -> ProcessMemory:
    """Return the memory of a process of ours."""
    fields = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()[1:]:
        name, kib, *_ = line.split()
        fields[name] = int(kib) / 1024
    return ProcessMemory(rss_mib=fields["Rss:"], pss_mib=fields["Pss:"])


def cpu_s(pid: int) -> float:
    """Return the processor time all threads of a process have had, finer than clock ticks."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text("ascii").split()[0]) for task in tasks) / 1e9
