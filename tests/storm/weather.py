"""An hour of bad weather, made from one number; then it clears, and everything must be true.

The same seed is the same hour: what is asked, what fails, who is killed and when.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ttlock_agent.fakes.cloud_state import Fault as CloudFault
from ttlock_agent.fakes.cloud_state import FaultKind, ListedPasscode, World, example_world
from ttlock_protocol.virtual import Fault, FaultAction, FaultPlan, FaultPoint, Faults

from . import simulated
from .air import Door
from .house import RESTART_S, House, house
from .scenarios import BACK, FRONT, lock
from .truth import Ledger, Wish, is_quiet

HOUR_S = 3600.0
CLEARS_WITHIN_S = 30 * 3600.0
LOOK_EVERY_S = 60.0
STARTS = (
    datetime(2026, 3, 14, 8, 0, tzinfo=UTC),
    datetime(2026, 3, 29, 0, 30, tzinfo=UTC),  # half an hour before summer time
    datetime(2026, 10, 25, 0, 30, tzinfo=UTC),  # and before its end
)
POOL = [f"{first}{rest}" for first in "234" for rest in ("48291", "77120", "32058", "66551")]
CLOUD_POOL = ["548291", "577120"]
JUMPS_S = (-86400.0, -7200.0, -3600.0, -40.0, 40.0, 3600.0, 7200.0, 86400.0)
CLOUD_ERRORS = (1, -3, -1003, -2012, -3002, -3003, -3007, 10003, 10004, 10007, 30006, 30007,
                30008, 80000)  # fmt: skip
LOCK_FAULTS = (
    (FaultAction.LOSE, FaultPoint.REQUEST),
    (FaultAction.DROP, FaultPoint.REQUEST),
    (FaultAction.CORRUPT, FaultPoint.REQUEST),
    (FaultAction.LOSE, FaultPoint.ANSWER),
    (FaultAction.DROP, FaultPoint.ANSWER),
    (FaultAction.DROP_AFTER, FaultPoint.ANSWER),
    (FaultAction.DUPLICATE, FaultPoint.ANSWER),
    (FaultAction.CORRUPT, FaultPoint.ANSWER),
    (FaultAction.SPLIT, FaultPoint.ANSWER),
    (FaultAction.TEAR, FaultPoint.ANSWER),
    (FaultAction.DELAY, FaultPoint.ANSWER),
    (FaultAction.INTERLEAVE, FaultPoint.ANSWER),
)
DISK_ERRORS = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR)


@dataclass(slots=True)
class Outcome:
    """What an hour was like, and what was wrong after it."""

    seed: int
    events: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def storm(seed: int, *, hours: float = 1.0) -> Outcome:
    """Play the weather of one seed."""
    start = STARTS[seed % len(STARTS)]
    return simulated.run(_Storm(seed, hours * HOUR_S).play(), start=start)


class _Storm:
    def __init__(self, seed: int, lasts_s: float) -> None:
        self._seed = seed
        self._random = random.Random(seed)
        self._lasts_s = lasts_s
        self._outcome = Outcome(seed)
        self._numbers = 0
        self._labels: dict[str, Wish] = {}

    async def play(self) -> Outcome:
        directory = Path(tempfile.mkdtemp(prefix="storm-"))
        draw = self._random
        locks = {
            FRONT: lock(1, passcodes=draw.sample(POOL[:4], draw.randint(0, 2)),
                        clock_error_s=draw.choice((0.0, 0.0, -7200.0, 90.0))),
            BACK: lock(2),
        }  # fmt: skip
        world = self._world() if draw.random() < 0.5 else None
        options = {"reproof_interval_s": draw.choice((600, 3600))}
        try:
            async with house(
                directory,
                locks,
                cloud=world,
                seed=self._seed,
                sections={"watch": {"grace_s": 60}},
                lock_options=options,
            ) as stage:
                await self._rage(stage)
        finally:
            shutil.rmtree(directory, ignore_errors=True)
        return self._outcome

    async def _rage(self, stage: House) -> None:
        draw, ledger = self._random, Ledger(stage)
        self._stage, self._ledger = stage, ledger
        piece_loss = draw.choice((0.0, 0.002, 0.02))
        stage.is_piece_lost = lambda: draw.random() < piece_loss
        stage.broker.pauses = self._pauses
        stage.broker.loses_confirmation = lambda: draw.random() < 0.03
        stage.start(dies_at=self._some_step())
        events: dict[str, tuple[int, Callable[[], Awaitable[None]]]] = {
            "request": (12, self._ask),
            "kill": (2, self._kill),
            "restart": (1, self._restart),
            "broker drops": (2, self._broker_drops),
            "broker away": (1, self._broker_away),
            "link cut": (3, self._link_cut),
            "out of range": (1, self._out_of_range),
            "taken": (1, self._taken),
            "lock reboots": (1, self._lock_reboots),
            "lock fails": (3, self._lock_fails),
            "clock jumps": (1, self._clock_jumps),
            "disk fails": (1, self._disk_fails),
            "cloud fails": (1, self._cloud_fails),
        }
        end_s = asyncio.get_running_loop().time() + self._lasts_s
        while (left_s := end_s - asyncio.get_running_loop().time()) > 0:
            await self._let_pass(stage, min(left_s, draw.expovariate(1 / 45)))
            names = list(events)
            name = draw.choices(names, [events[name][0] for name in names])[0]
            self._outcome.events[name] += 1
            await events[name][1]()
        await self._clear(stage)
        try:
            await self._settle(stage, ledger)
        except AssertionError as error:
            self._outcome.faults.append(str(error))
        self._outcome.faults += ledger.faults()
        self._outcome.events["not started"] += stage.refused_starts

    # What may happen.

    async def _ask(self) -> None:
        self._request(self._stage, self._ledger)

    async def _kill(self) -> None:
        await self._stage.kill()
        self._begin_again(self._stage)

    async def _restart(self) -> None:
        await self._stage.stop()
        self._begin_again(self._stage)

    async def _broker_drops(self) -> None:
        self._stage.broker.drop()

    async def _broker_away(self) -> None:
        self._stage.broker.go_down()
        self._later(self._random.uniform(5, 300), self._stage.broker.is_up.set)

    async def _link_cut(self) -> None:
        self._some_door().cut()

    async def _out_of_range(self) -> None:
        door = self._some_door()
        door.cut()
        door.is_in_range = False
        self._later(self._random.uniform(10, 600), lambda: setattr(door, "is_in_range", True))

    async def _taken(self) -> None:
        door = self._some_door()
        door.is_taken = True
        self._later(self._random.uniform(5, 60), lambda: setattr(door, "is_taken", False))

    async def _lock_reboots(self) -> None:
        self._some_door().reboot()

    async def _lock_fails(self) -> None:
        draw, door = self._random, self._some_door()
        action, point = draw.choice(LOCK_FAULTS)
        fault = Fault(action=action, at=point, chance=0.15, delay_s=3.0)
        door.lock.set_faults(Faults(FaultPlan(faults=(fault,)), draw=draw.random))
        calm = Faults(FaultPlan(), draw=draw.random)
        self._later(draw.uniform(30, 600), lambda: door.lock.set_faults(calm))

    async def _clock_jumps(self) -> None:
        self._stage.clock.error_s = self._random.choice(JUMPS_S)
        self._stage.clock.is_synchronised_now = self._random.choice((None, False))
        self._later(self._random.uniform(30, 900), lambda: self._set_clock(self._stage))

    async def _disk_fails(self) -> None:
        disk = self._stage.disk
        disk.error = self._random.choice(DISK_ERRORS)
        self._later(self._random.uniform(10, 240), lambda: setattr(disk, "error", None))

    async def _cloud_fails(self) -> None:
        if self._stage.world is not None:
            self._stage.world.faults = [self._cloud_fault()]

    def _some_door(self) -> Door:
        return self._random.choice(list(self._stage.doors.values()))

    # What is asked.

    def _request(self, stage: House, ledger: Ledger) -> None:
        draw = self._random
        self._numbers += 1
        door = draw.choice((FRONT, FRONT, BACK))
        name, kind = f"r-{self._numbers}", draw.random()
        priority = {"priority": "guest_at_the_door"} if draw.random() < 0.2 else {}
        if kind < 0.5:
            wish = self._wish(door, draw.choice(POOL[4:8]), stage)
            ledger.ask("passcode.add", wish, id=name, lock=door, passcode=wish.digits,
                       **_until(wish), **priority)  # fmt: skip
        elif kind < 0.75:
            wish = Wish(door=door, digits=draw.choice(POOL[:8]), is_wanted=False)
            ledger.ask(
                "passcode.delete", wish, id=name, lock=door, passcode=wish.digits, **priority
            )
        elif kind < 0.9:
            self._ask_set(stage, ledger, name)
        else:
            verb = draw.choice(("passcode.list", "clock.read", "lock.state", "log.read"))
            ledger.ask(verb, id=name, lock=door)

    def _ask_set(self, stage: House, ledger: Ledger, name: str) -> None:
        draw = self._random
        chosen = draw.sample(POOL[8:], draw.randint(0, 3))
        entries = []
        for digits in chosen:
            wish = self._wish(FRONT, digits, stage)
            label = f"guest {len(self._labels)}"
            self._labels[label] = wish
            entries.append({"passcode": digits, "label": label, **_until(wish)})
        ledger.ask_set(self._labels, id=name, lock=FRONT, owner="pms", passcodes=entries)

    def _wish(self, door: str, digits: str, stage: House) -> Wish:
        until = None
        if self._random.random() < 0.5:
            day = simulated.TrueClock().now() + timedelta(days=self._random.randint(3, 9))
            until = day.replace(hour=12, minute=0, second=0, microsecond=0)
        return Wish(door=door, digits=digits, is_wanted=True, valid_until=until)

    # What goes wrong.

    def _pauses(self) -> list[float]:
        draw = self._random
        pauses = [draw.uniform(0, 5) if draw.random() < 0.2 else 0.0]
        if draw.random() < 0.15:
            pauses.append(draw.uniform(0, 30))
        return pauses

    def _some_step(self) -> int | None:
        return self._random.randint(1, 400) if self._random.random() < 0.4 else None

    def _cloud_fault(self) -> CloudFault:
        draw, times = self._random, self._random.randint(1, 6)
        kind = draw.choice(list(FaultKind))
        return CloudFault(kind=kind, times=times, errcode=draw.choice(CLOUD_ERRORS),
                          delay_s=draw.uniform(0, 60), status=draw.choice((200, 500, 503)),
                          body=draw.choice(("", "<html>maintenance</html>", "[1]")))  # fmt: skip

    @staticmethod
    def _set_clock(stage: House) -> None:
        stage.clock.error_s, stage.clock.is_synchronised_now = 0.0, None

    @staticmethod
    def _later(seconds: float, do: Callable[[], object]) -> None:
        asyncio.get_running_loop().call_later(seconds, do)

    def _world(self) -> World:
        world, now = example_world(), simulated.TrueClock().now()
        world.locks[0].listed += [
            ListedPasscode(
                passcode_id=number, digits=digits, sent_at=now - timedelta(days=1),
                name="a guest", cloud_type=2,
            )
            for number, digits in enumerate(CLOUD_POOL, start=1)
        ]  # fmt: skip
        return world

    # How time passes.

    async def _let_pass(self, stage: House, seconds: float) -> None:
        """Let time pass; whoever dies meanwhile is started again, as systemd does."""
        end_s = asyncio.get_running_loop().time() + seconds
        while (left_s := end_s - asyncio.get_running_loop().time()) > 0:
            ended = asyncio.ensure_future(stage.life.ended.wait())
            running = stage._running
            assert running is not None
            await asyncio.wait({ended, running}, timeout=left_s,
                               return_when=asyncio.FIRST_COMPLETED)  # fmt: skip
            ended.cancel()
            if stage.life.is_over:
                self._outcome.events["killed at a step"] += 1
                await stage.bury()
                await asyncio.sleep(RESTART_S)
                self._begin_again(stage)
            elif running.done():
                await stage.stop()
                await asyncio.sleep(RESTART_S)
                self._begin_again(stage)

    def _begin_again(self, stage: House) -> None:
        stage.start(dies_at=self._some_step())

    async def _clear(self, stage: House) -> None:
        stage.is_piece_lost = lambda: False
        stage.broker.pauses = lambda: (0.0,)
        stage.broker.loses_confirmation = lambda: False
        stage.broker.is_up.set()
        stage.disk.error = None
        self._set_clock(stage)
        if stage.world is not None:
            stage.world.faults = []
        for door in stage.doors.values():
            door.is_in_range, door.is_taken = True, False
            door.lock.set_faults(Faults(FaultPlan(), draw=lambda: 0.0))
        if not stage.life.is_over:
            await stage.kill()
        else:
            await stage.bury()
        stage.start()

    async def _settle(self, stage: House, ledger: Ledger) -> None:
        """Wait until all is said and done."""
        waited_s = 0.0
        while not (ledger.ids <= stage.broker.final_ids() and is_quiet(stage)):
            assert waited_s < CLEARS_WITHIN_S, "it does not come to an end"
            await self._let_pass(stage, LOOK_EVERY_S)
            waited_s += LOOK_EVERY_S


def _until(wish: Wish) -> dict[str, Any]:
    return {} if wish.valid_until is None else {"valid_until": wish.valid_until.isoformat()}
