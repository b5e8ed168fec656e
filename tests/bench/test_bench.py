"""What the benchmarks count is exact, so it is tested like anything else; what they time is not."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from . import __main__ as command
from . import round_trips
from .figures import Figure, held_against, table
from .measure import Comparison, compare, least, looked_at_again


@pytest.mark.parametrize(("wanted", "held"), [(1, 0), (20, 3)])
def test_a_delivery_takes_no_round_trip_too_many(tmp_path: Path, wanted: int, held: int) -> None:
    terms = asyncio.run(round_trips.deliver(tmp_path / "agent", wanted, held))
    assert {term.name: term.ours for term in terms} == {term.name: term.least for term in terms}
    assert sum(term.least for term in terms) == 2 + 1 + wanted + (wanted + held) + 1


def test_one_figure_over_its_limit_fails_the_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = [
        held_against("fine", 12, "ms", 10, "the floor", limit=1.2),
        held_against("not fine", 13, "ms", 10, "the floor", limit=1.2),
        held_against("no limit", 99, "ms", 10, "the floor"),
    ]

    def made_up(name: str, _package: str) -> Any:
        assert name == ".codec"
        return SimpleNamespace(run=lambda _: figures)

    monkeypatch.setattr(command.importlib, "import_module", made_up)
    monkeypatch.setattr(sys, "argv", ["bench", "codec"])
    assert command.main() == 1
    assert capsys.readouterr().err == "Over its limit: codec: not fine\n"
    del figures[1]
    assert command.main() == 0


def test_the_table_shows_figure_floor_ratio_and_verdict() -> None:
    figures = [
        held_against("a job", 12, "ms", 10, "the floor", limit=1.3),
        Figure(name="bare", value=0.5, unit="s"),
    ]
    assert table("jobs", figures).splitlines() == [
        "== jobs",
        "figure       floor      ratio  verdict         floor is",
        "a job    12     10  ms   1.20  ok (limit 1.3)  the floor",
        "bare    0.5         s",
    ]


def test_the_least_of_each_is_what_a_busy_machine_cannot_change() -> None:
    mine, below = iter([0.1, 5.0, 3.0, 9.0]), iter([0.1, 4.0, 8.0, 2.0])
    found = least(3, lambda: next(mine), lambda: next(below))
    assert (found.ours, found.floor, found.ratio) == (3.0, 2.0, 1.5)


def test_figures_are_medians_of_turns_and_the_first_does_not_count() -> None:
    ours, floor = iter([900.0, 2.0, 4.0, 30.0]), iter([900.0, 1.0, 2.0, 2.0])
    found = compare(3, lambda: next(ours), lambda: next(floor))
    assert found == Comparison(ours=4.0, floor=2.0, ratio=2.0)


def test_a_limit_is_exceeded_only_after_several_looks() -> None:
    def looks(*ratios: float) -> Any:
        found = iter([Comparison(ratio, 1.0, ratio) for ratio in ratios])
        return lambda: next(found)

    assert looked_at_again(looks(1.4, 1.2), 1.3).ratio == 1.2
    assert looked_at_again(looks(1.5, 1.4, 1.6), 1.3).ratio == 1.4
    assert looked_at_again(looks(9.0), 1.3).ratio == 9.0
