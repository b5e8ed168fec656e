"""Several locks of one account, watched by one agent: each is judged and served by itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import deepcopy
from datetime import timedelta
from pathlib import Path
from typing import Any

from ttlock_agent.fakes.cloud_state import Fault, FaultKind, ListedPasscode, World, example_world

from . import simulated
from .broker import TOPICS
from .house import House, house
from .scenarios import BACK, FRONT, later, lock
from .simulated import START, TrueClock

LIST = "/v3/lock/listKeyboardPwd"
GRACE_S = 600
SIDE = "side-door"
LOCKS = {FRONT: 1000001, BACK: 1000002, SIDE: 1000003}


def entry(number: int, digits: str, **more: Any) -> ListedPasscode:
    more = {"sent_at": START - timedelta(days=1), "name": "a guest", "cloud_type": 2} | more
    return ListedPasscode(passcode_id=number, digits=digits, **more)


def world_with(**listed: list[ListedPasscode]) -> World:
    world = example_world()
    for lock_id in list(LOCKS.values())[1:]:
        another = deepcopy(world.locks[0])
        another.lock_id = lock_id
        world.locks.append(another)
        for gateway in world.gateways:
            for heard in list(gateway.last_heard):
                gateway.last_heard[lock_id] = deepcopy(gateway.last_heard[heard])
    for each, name in zip(world.locks, LOCKS, strict=True):
        each.listed = listed.get(name.replace("-", "_"), [])
    return world


@asynccontextmanager
async def watched(directory: Path, world: World, **passcodes: list[str]) -> AsyncIterator[House]:
    doors = {
        name: lock(number, passcodes=passcodes.get(name.replace("-", "_"), []))
        for number, name in enumerate(LOCKS, start=1)
    }
    sections = {
        "watch": {
            "grace_s": GRACE_S,
            "quiet_s": 0,
            "callbacks": {"path": "file:callback-path"},
        }
    }
    async with house(directory, doors, cloud=world, sections=sections) as stage:
        stage.start()
        await asyncio.sleep(60)
        yield stage


def verdict(stage: House, name: str) -> dict[str, Any]:
    """What stands on the broker."""
    *_, last = [said.body for said in stage.broker.said if said.topic == TOPICS.lock_gateway(name)]
    return last


def held(stage: House) -> list[list[str]]:
    return [sorted(door.held) for door in stage.doors.values()]


def test_each_lock_has_its_own_verdict_and_its_own_passcodes(tmp_path: Path) -> None:
    async def play() -> None:
        world = world_with(
            front_door=[entry(1, "482913"), entry(2, "771204")],
            back_door=[entry(3, "482913"), entry(4, "320586")],
        )
        async with watched(tmp_path, world, back_door=["482913", "320586"]) as stage:
            assert held(stage) == [["482913", "771204"], ["320586", "482913"], []]
            assert verdict(stage, FRONT)["verdict"] == "connected_not_delivering"
            assert verdict(stage, FRONT)["delivers"] == "agent"
            assert verdict(stage, BACK)["verdict"] == "healthy"
            assert verdict(stage, BACK)["delivers"] == "gateway"
            assert verdict(stage, SIDE)["verdict"] == "unknown"
            assert stage.doors[BACK].executed == []
            assert world.calls[LIST] == len(LOCKS), "one look"

    simulated.run(play())


def test_a_lock_that_the_cloud_refuses_leaves_the_others_alone(tmp_path: Path) -> None:
    async def play() -> None:
        world = world_with(
            front_door=[entry(1, "482913")], back_door=[entry(2, "771204")], side_door=[]
        )
        refused = Fault(kind=FaultKind.ERRCODE, errcode=-1003, lock_id=LOCKS[BACK], times=99)
        world.faults = [refused]
        async with watched(tmp_path, world) as stage:
            assert held(stage) == [["482913"], [], []]
            assert verdict(stage, FRONT)["trouble"] is None
            world.faults = []
            await asyncio.sleep(3700)
            assert held(stage) == [["482913"], ["771204"], []]

    simulated.run(play())


def test_a_callback_about_one_lock_moves_no_other(tmp_path: Path) -> None:
    async def play() -> None:
        just_now = {"sent_at": START, "cloud_type": 3, "valid_from": later(days=-1)}
        just_now["valid_until"] = later(days=2)
        world = world_with(
            front_door=[entry(1, "482913", **just_now)], back_door=[entry(2, "482913", **just_now)]
        )
        async with watched(tmp_path, world) as stage:
            assert held(stage) == [[], [], []], "the gateway has its grace time"
            now_ms = int(TrueClock().now().timestamp() * 1000)
            record = {"recordTypeFromLock": 7, "keyboardPwd": "482913", "lockDate": now_ms}
            await stage.post(
                {
                    "notifyType": "1",
                    "lockId": str(LOCKS[BACK]),
                    "records": json.dumps([record]),
                }
            )
            await asyncio.sleep(60)
            assert held(stage) == [[], ["482913"], []]
            await asyncio.sleep(GRACE_S)
            assert held(stage) == [["482913"], ["482913"], []]

    simulated.run(play())


def test_what_vanishes_from_one_list_is_removed_from_that_lock_only(tmp_path: Path) -> None:
    async def play() -> None:
        world = world_with(
            front_door=[entry(1, "482913"), entry(2, "771204")],
            back_door=[entry(3, "482913"), entry(4, "771204")],
        )
        async with watched(tmp_path, world) as stage:
            both = ["482913", "771204"]
            assert held(stage) == [both, both, []]
            world.locks[1].listed.pop()
            await asyncio.sleep(2 * 3700)
            assert held(stage) == [both, ["482913"], []]

    simulated.run(play())
