"""Cloud, gateway, lock, and the watch between them; time is moved by hand."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from agent_rig import ADDRESS, KEYS, LOCK, TOPICS, ZONE, Door, Rig, minute, rig_at
from ttlock_agent.cloud.client import CloudClient, Via, open_cloud
from ttlock_agent.cloud.models import PasscodeKind
from ttlock_agent.cloud.ports import MemoryStore
from ttlock_agent.cloud.quota import QuotaBudget
from ttlock_agent.cloud.token import CloudAccount
from ttlock_agent.fakes.cloud import FakeCloud
from ttlock_agent.fakes.cloud_state import ListedPasscode, World, example_world
from ttlock_agent.fakes.gateway_lock import LockOverLink
from ttlock_agent.jobs.model import Job
from ttlock_agent.lock.visit import LockProfile
from ttlock_agent.watch.cloud_eye import CloudEye, CloudLock
from ttlock_agent.watch.judgement import WatchedLock
from ttlock_agent.watch.teller import Teller
from ttlock_agent.watch.watch import GatewayWatch
from virtual_helpers import NOW, ManualClock

CLOUD_ID = 1000001
GRACE_S = 180
POLL_S = 1800
QUIET_S = 30
PERIOD = 3
LONG_AGO = NOW - timedelta(days=1)


@dataclass
class Scene:
    """Cloud, lock, and the watch between them."""

    rig: Rig
    world: World
    watch: GatewayWatch
    eye: CloudEye
    remake: Callable[[], tuple[GatewayWatch, CloudEye]]
    cloud: FakeCloud
    client: CloudClient
    entries: int = 0
    said: list[dict[str, Any]] = field(default_factory=list)

    def enter(self, digits: str, *, sent_at: datetime = LONG_AGO, **more: Any) -> ListedPasscode:
        """Add an entry to the cloud's list."""
        self.entries += 1
        options = {"cloud_type": PERIOD, "valid_from": minute(NOW), "name": "a guest"} | more
        options.setdefault("valid_until", minute(NOW, days=3))
        entry = ListedPasscode(passcode_id=self.entries, digits=digits, sent_at=sent_at, **options)
        self.world.locks[0].listed.append(entry)
        return entry

    async def round(self) -> datetime | None:
        """Look once, let the jobs that follow end, and draw the conclusions."""
        await self.eye.try_to_look()
        ends_at = await self.watch.follow()
        await self.rig.done(*await self.jobs())
        await self.watch.follow()
        return ends_at

    async def waiting(self, running: asyncio.Task[None]) -> None:
        """Wait until the next look has its time."""
        clock = self.rig.clock
        await eventually(lambda: self.eye._next_look_s > clock.monotonic(), running)

    async def next_look(self, running: asyncio.Task[None]) -> None:
        """Let time pass until the next look, no further, and wait until that is over."""
        clock = self.rig.clock
        await clock.advance(self.eye._next_look_s - clock.monotonic())
        await self.waiting(running)

    async def looked(self, times: int, running: asyncio.Task[None]) -> None:
        """Wait until the cloud was looked at so often, and the next look has its time."""
        calls, clock = self.world.calls, self.rig.clock
        await eventually(
            lambda: (
                calls.get("/v3/gateway/listByLock") == times
                and self.eye._next_look_s > clock.monotonic()
            ),
            running,
        )

    def restart(self) -> None:
        """Begin anew with what the journal has."""
        self.watch, self.eye = self.remake()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[None]]:
        """Let the watch and the eye run by themselves."""
        with self.rig.bell.listener() as news:

            async def serve() -> None:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self.watch.run(news))
                    group.create_task(self.eye.run())

            running = asyncio.create_task(serve())
            try:
                yield running
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)

    async def book(self, digits: str, **window: Any) -> int:
        """Have the cloud deliver a passcode through its gateway, and wait out the grace time."""
        number = await self.client.add_passcode(
            CLOUD_ID,
            digits,
            kind=PasscodeKind.PERIOD,
            via=Via.GATEWAY,
            valid_from=minute(self.rig.clock.now()),
            valid_until=minute(self.rig.clock.now(), days=3),
            name="a guest",
            **window,
        )
        await self.rig.clock.advance(GRACE_S)
        return number

    async def shown(self) -> dict[str, Any]:
        """What stands on the broker."""
        return (await self.verdicts())[-1]

    async def jobs(self) -> list[Job]:
        return (await self.rig.journal.recent(100))[::-1]

    async def verdicts(self) -> list[dict[str, Any]]:
        topic = TOPICS.lock_gateway(LOCK)
        return [
            json.loads(entry.publication.payload)
            for entry in await self.rig.journal.outbox(limit=1000)
            if entry.publication.topic == topic
        ]

    async def verdict(self) -> str | None:
        verdicts = await self.verdicts()
        return verdicts[-1]["verdict"] if verdicts else None


@asynccontextmanager
async def scene_at(
    directory: Path, *, reads_cloud: bool = True, **door: Any
) -> AsyncIterator[Scene]:
    clock = ManualClock()
    world = example_world()
    at_door = Door(clock, **door)
    profile = LockProfile(
        id=LOCK, address=ADDRESS, zone=ZONE, keys=KEYS, clock_tolerance_s=30, response_timeout_s=1
    )
    memories = {CLOUD_ID: LockOverLink(at_door, profile, clock)}
    async with (
        FakeCloud(world, clock=clock, memories=memories) as cloud,
        rig_at(directory, at_door) as rig,
        open_cloud(
            base_url=cloud.base_url,
            account=CloudAccount(
                client_id="demo-client",
                client_secret="demo-secret",
                username="host@example.org",
                password_md5=world.accounts[0].password_md5,
            ),
            clock=clock,
            token_store=MemoryStore(),
            budget=QuotaBudget(monthly_limit=100_000, store=MemoryStore()),
        ) as client,
    ):

        def make() -> tuple[GatewayWatch, CloudEye]:
            watch = GatewayWatch(
                [WatchedLock(id=LOCK, cloud_id=CLOUD_ID, grace=timedelta(seconds=GRACE_S))],
                quiet=timedelta(seconds=QUIET_S),
                reads_cloud=reads_cloud,
                journal=rig.journal,
                intake=rig.intake,
                topics=TOPICS,
                clock=clock,
                keyed_hash=lambda content: hashlib.sha256(content).digest(),
            )
            rig.heed = watch.found
            rig.on_visit = lambda report: watch.visited(report.lock)
            eye = CloudEye(
                client,
                [CloudLock(id=LOCK, cloud_id=CLOUD_ID)],
                watch,
                poll_interval_s=POLL_S,
                probes_per_day=4,
                journal=rig.journal,
                clock=clock,
                tell=Teller(client, watch, rig.journal, clock).tell,
            )
            return watch, eye

        yield Scene(rig, world, *make(), make, cloud, client)


async def eventually(is_so: Callable[[], Any], running: asyncio.Task[None]) -> None:
    """Let the network do its part until something is so."""
    async with asyncio.timeout(10):
        while not is_so():
            if running.done():
                running.result()
            await settle_network()


async def settle_network() -> None:
    """Give sockets of this machine their turn; nothing is awaited that has an event of its own."""
    for _ in range(5):
        await asyncio.sleep(0.002)
