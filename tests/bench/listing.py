"""Long lists, through the agent's own visit and the lock's own handlers.

A record that costs more the longer the list is would be felt in locks with a thousand cards. Each
page is one round trip, the empty one at the end included, so time is counted per page: processor
time, for nothing here waits for anything.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from statistics import median

from Crypto.Cipher import AES  # noqa: TID251 - the floor is the cipher itself

from ttlock_agent.clock import SystemClock
from ttlock_agent.lock.visit import LockProfile, Visit, visit_lock
from ttlock_protocol.checksum import crc8
from ttlock_protocol.frame import Frame, FrameDecoder
from ttlock_protocol.message import Auth
from ttlock_protocol.procedures import list_cards

from .figures import Figure, compared
from .measure import compare, least, looked_at_again
from .near import KEYS, ZONE, NearLinks, awake, memory

ADDRESS = "virtual:near"
PROFILE = LockProfile(
    id="front-door",
    address=ADDRESS,
    zone=ZONE,
    keys=KEYS,
    clock_tolerance_s=30,
    response_timeout_s=6,
)
ROUNDS = 7
LIMIT = 1.3
SHORT = 10

List = Callable[[Visit], Awaitable[int]]


async def _passcodes(visit: Visit) -> int:
    return len(await visit.passcodes(is_fresh=True))


async def _cards(visit: Visit) -> int:
    return len(await visit.run(list_cards(), auth=Auth.ADMIN))


def run(_: Path) -> list[Figure]:
    figures = []
    with asyncio.Runner() as runner:
        for name, records, listing in (("passcodes", 250, _passcodes), ("cards", 1000, _cards)):
            long = partial(_seconds_per_page, runner, name, records, listing)
            short = partial(_seconds_per_page, runner, name, SHORT, listing)
            frames = runner.run(_frames(name, SHORT, listing))
            floor = compare(ROUNDS, long, partial(_raw_seconds_per_page, frames, SHORT))
            figures.append(
                compared(
                    f"{records} {name}, whole list",
                    floor,
                    "ms",
                    "AES and checksum of the frames, both sides",
                    scale=(records + 1) * 1e3,
                )
            )
            growth = looked_at_again(partial(least, ROUNDS, long, short), LIMIT)
            against = f"the same in a list of {SHORT}"
            figures.append(
                compared(
                    f"{records} {name}, per record", growth, "us", against, scale=1e6, limit=LIMIT
                )
            )
    return figures


def _seconds_per_page(runner: asyncio.Runner, name: str, records: int, listing: List) -> float:
    """Return the median over as many listings as make the samples of all lengths alike."""
    return runner.run(_listed(name, records, listing, times=max(1, 1000 // records)))


async def _listed(name: str, records: int, listing: List, *, times: int) -> float:
    links = NearLinks({ADDRESS: awake(memory(**{name: records}))})
    async with visit_lock(links, PROFILE, SystemClock()) as visit:
        await visit.be_admin()
        taken = []
        for _ in range(times):
            since = time.process_time()
            found = await listing(visit)
            taken.append((time.process_time() - since) / (records + 1))
            assert found == records
            links.links[-1].forget()
    return median(taken)


async def _frames(name: str, records: int, listing: List) -> list[Frame]:
    """Return all that went over the link in one listing, both ways."""
    links = NearLinks({ADDRESS: awake(memory(**{name: records}))})
    async with visit_lock(links, PROFILE, SystemClock()) as visit:
        await visit.be_admin()
        links.links[-1].forget()
        await listing(visit)
        link = links.links[-1]
        found = FrameDecoder().feed(b"".join(link.said + link.heard))
    return [each for each in found if isinstance(each, Frame)]


def _raw_seconds_per_page(frames: list[Frame], records: int) -> float:
    """Encrypt, decrypt and check each frame once on either side, and do nothing else."""
    key = KEYS.aes_key
    bodies = [(each.payload, bytes(12) + each.payload) for each in frames]
    times = max(1, 1000 // records)
    since = time.process_time()
    for _ in range(times):
        for payload, body in bodies:
            AES.new(key, AES.MODE_CBC, key).encrypt(payload)
            crc8(body)
            AES.new(key, AES.MODE_CBC, key).decrypt(payload)
            crc8(body)
    return (time.process_time() - since) / times / (records + 1)
