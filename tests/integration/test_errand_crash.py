"""The agent dies at any moment of a change that is no passcode: nothing is lost, nothing repeated.

See ``death_rig``. ``TTLOCK_CRASH_POINTS=all`` tries every moment, else a sample whose seed is
printed.
"""

import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from agent_rig import Rig, rig_at
from backup_rig import CARDS, furnished_door
from death_rig import die_at, points_of
from ttlock_agent.jobs.model import JobState
from ttlock_protocol.message import Request
from ttlock_protocol.messages.cards import AddCard, GetCards, card_to_decimal
from ttlock_protocol.messages.log import LogType
from ttlock_protocol.messages.operate import BoltState, Unlock
from ttlock_protocol.messages.passage import AddPassageEntry, GetPassageEntries
from ttlock_protocol.quirks import Quirks
from ttlock_protocol.virtual import Memory

SAMPLE = 8
SEED = 20261121
NEW_CARD = bytes.fromhex("0a0b0c0d")
OPTIONS = {"quirks": Quirks(switches_are_verified=True)}


@dataclass(frozen=True, kw_only=True)
class Change:
    """What is asked, and how it may end; ``is_done`` looks into the lock."""

    verb: str
    params: dict[str, Any]
    is_done: Callable[[Memory], bool]
    ends: Sequence[JobState] = (JobState.PROVED,)


CHANGES = {
    "a card by its number": Change(
        verb="card.add",
        params={"card": card_to_decimal(NEW_CARD)},
        is_done=lambda memory: NEW_CARD in [each.card_number for each in memory.cards],
    ),
    "a card that goes": Change(
        verb="card.delete",
        params={"card": card_to_decimal(CARDS[0])},
        is_done=lambda memory: CARDS[0] not in [each.card_number for each in memory.cards],
    ),
    "a setting": Change(
        verb="setting.set",
        params={"setting": "reset_button", "value": False},
        is_done=lambda memory: not memory.settings.switches & 0x02,
    ),
    "the hours of passage mode": Change(
        verb="passage.set",
        params={"windows": [{"day": 1}, {"day": 2, "starts_at": "08:00", "ends_at": "10:00"}]},
        is_done=lambda memory: [each.day for each in memory.passage] == [1, 2],
    ),
    "the bolt": Change(
        verb="lock.unlock",
        params={},
        is_done=lambda memory: memory.bolt.state == BoltState.UNLOCKED,
        ends=(JobState.PROVED, JobState.EXPIRED, JobState.OUTCOME_UNKNOWN),
    ),
}


async def play(rig: Rig, *, change: Change) -> None:
    """Ask, as somebody does who was not answered: whatever came before."""
    job = await rig.ask(change.verb, source="control", id="the-change", **change.params)
    await rig.final(job)


async def check(rig: Rig, change: Change) -> None:
    job = await rig.journal.job_by_request("the-change")
    assert job is not None
    assert job.state in change.ends
    is_done = change.is_done(rig.door.lock.memory)
    if job.state is JobState.PROVED:
        assert is_done
    if job.state is JobState.EXPIRED:
        assert not is_done, "it was called not done, and it was"
    said = {
        str(answer["result"])
        for answer in await rig.answers()
        if answer["id"] == job.request_id and answer["status"] != "accepted"
    }
    assert said == {job.state.value}


def assert_read_in_between(
    arrived: Sequence[Request[Any]], write: type[Request[Any]], read: type[Request[Any]]
) -> None:
    """Whoever writes the same once more has read the lock first."""
    unread: list[Request[Any]] = []
    for request in arrived:
        if isinstance(request, read):
            unread.clear()
        elif isinstance(request, write):
            assert request not in unread, "it was asked again unread"
            unread.append(request)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", CHANGES)
async def test_death_at_any_moment_of_a_change_leaves_the_truth(tmp_path: Path, name: str) -> None:
    change = CHANGES[name]
    playing = partial(play, change=change)
    points = await points_of(furnished_door(), playing, tmp_path / "whole", **OPTIONS)
    is_all = os.environ.get("TTLOCK_CRASH_POINTS") == "all"
    chosen = points if is_all else random.Random(SEED).sample(points, SAMPLE)
    print(f"{name}: {len(chosen)} of {len(points)} moments, seed {SEED}")
    for number, point in enumerate(chosen):
        door = furnished_door()
        image = await die_at(point, door, playing, tmp_path / str(number), **OPTIONS)
        try:
            async with rig_at(image, door, **OPTIONS) as rig:
                await playing(rig)
                await check(rig, change)
            unlocks = [
                each for each in door.lock.memory.log.records if each.log_type == LogType.APP_UNLOCK
            ]
            assert len(unlocks) <= 1, "the door was opened twice"
            assert door.count(Unlock) <= 1, "it was asked again without knowing"
            numbers = [each.card_number for each in door.lock.memory.cards]
            assert len(numbers) == len(set(numbers))
            assert_read_in_between(door.arrived, AddCard, GetCards)
            assert_read_in_between(door.arrived, AddPassageEntry, GetPassageEntries)
        except BaseException as error:
            error.add_note(f"died {point[0]} {point[1]}")
            raise
