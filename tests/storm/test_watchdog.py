"""The watchdog is fed only while every task of the whole agent makes progress."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from ttlock_agent.fakes.cloud_state import example_world
from ttlock_agent.heartbeats import Heartbeats
from ttlock_agent.jobs.daylight import Daylight
from ttlock_agent.jobs.housekeeping import Housekeeper
from ttlock_agent.jobs.store import Journal
from ttlock_agent.watch.cloud_eye import CloudEye
from ttlock_agent.watch.watch import GatewayWatch

from . import simulated
from .house import house
from .scenarios import FRONT, lock

HOURS = 5


async def overdue_after_hours(directory: Path, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Run the agent for hours; return what was overdue at any time."""
    made: list[Heartbeats] = []

    class Noted(Heartbeats):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            made.append(self)

    monkeypatch.setattr("ttlock_agent.app.Heartbeats", Noted)
    overdue: set[str] = set()
    async with house(directory, {FRONT: lock()}, cloud=example_world()) as stage:
        stage.start()
        for _ in range(HOURS * 60):
            await asyncio.sleep(60)
            overdue |= set(made[0].overdue())
    return overdue


async def hang(*_: object, **__: object) -> None:
    await asyncio.Event().wait()


def test_nothing_is_overdue_while_all_is_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert simulated.run(overdue_after_hours(tmp_path, monkeypatch)) == set()


@pytest.mark.parametrize(
    ("owner", "method", "name"),
    [
        (GatewayWatch, "follow", "gateway watch"),
        (CloudEye, "look", "cloud eye"),
        (Housekeeper, "tidy", "housekeeping"),
        (Daylight, "follow", "daylight saving"),
        (Journal, "open_jobs", "deadlines"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_task_that_hangs_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: type, method: str, name: str
) -> None:
    monkeypatch.setattr(owner, method, hang)
    assert name in simulated.run(overdue_after_hours(tmp_path, monkeypatch))
