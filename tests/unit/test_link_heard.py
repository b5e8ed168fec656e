"""A lock that falls silent: taken by somebody else, or not there."""

from __future__ import annotations

import pytest

from agent_rig import ADDRESS, Door
from ttlock_agent.errors import ConnectFailed, LockNotSeen, LockTaken
from ttlock_agent.link.heard import LATELY_S, HeardLinks
from virtual_helpers import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def door(clock: ManualClock) -> Door:
    return Door(clock)


@pytest.fixture
def links(door: Door, clock: ManualClock) -> HeardLinks:
    return HeardLinks(door, clock=clock)


async def hear(links: HeardLinks, door: Door) -> None:
    door.advertise()
    await anext(links.sightings())


async def test_a_lock_that_was_heard_just_now_and_is_silent_is_taken(
    links: HeardLinks, door: Door, clock: ManualClock
) -> None:
    await hear(links, door)
    door.is_in_range = False
    await clock.advance(LATELY_S)
    with pytest.raises(LockTaken, match="180 s ago"):
        await links.connect(ADDRESS, timeout_s=1)


async def test_a_connection_of_our_own_counts_as_heard(links: HeardLinks, door: Door) -> None:
    await (await links.connect(ADDRESS, timeout_s=1)).close()
    door.is_in_range = False
    with pytest.raises(LockTaken):
        await links.connect(ADDRESS, timeout_s=1)


@pytest.mark.parametrize("was_heard", [True, False])
async def test_a_lock_that_was_not_heard_lately_is_not_there(
    links: HeardLinks, door: Door, clock: ManualClock, was_heard: bool
) -> None:
    if was_heard:
        await hear(links, door)
    door.is_in_range = False
    await clock.advance(LATELY_S + 1)
    with pytest.raises(LockNotSeen) as caught:
        await links.connect(ADDRESS, timeout_s=1)
    assert not isinstance(caught.value, LockTaken)


async def test_other_failures_stay_what_they_are(links: HeardLinks, door: Door) -> None:
    await hear(links, door)
    door.is_taken = True
    with pytest.raises(ConnectFailed):
        await links.connect(ADDRESS, timeout_s=1)
