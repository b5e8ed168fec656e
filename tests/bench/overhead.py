"""What the agent adds to a job: from the request on MQTT to ``proved``, with no radio to wait for.

The floor is measured in turns with it, on the same broker, disk and lock: two answers over MQTT,
the commits without which nothing may be sent or said, and the frames between session and lock.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from ttlock_agent.demo.broker import BrokerKind, BrokerProcess, available_kinds
from ttlock_agent.jobs.database import Database
from ttlock_agent.mqtt.topics import Topics
from ttlock_protocol.message import Request
from ttlock_protocol.messages.clock import GetClock
from ttlock_protocol.messages.passcodes import (
    AddPasscode,
    DeletePasscode,
    GetPasscodes,
    PasscodeType,
)
from ttlock_protocol.procedures import authenticate_admin, list_passcodes
from ttlock_protocol.virtual import VirtualLock
from ttlock_protocol.virtual.central import Central

from .figures import Figure, compared, held_against
from .household import AGENT_ID, Household, add_request, agent, delete_request, until
from .journal import BareJournal
from .measure import comparison_of
from .near import KEYS, NearLinks, awake, memory, requests_in
from .peer import Echo, Peer

LOCK = "front-door"
ADDRESS = "virtual:near"
ROUNDS = 25
BURST = 20
RADIO_DELAY_S = 0.03
"""Of an answer while the requests of the burst come in: less than any radio's."""
LEAST_COMMITS = 3
"""The request before its acknowledgement, the mark before the bytes, the verdict with its answer.
"""
DIGITS = "482915"
SETTLE_S = 0.03
"""Between jobs, for what the agent tidies up behind an answer: it must not fall on the floor."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds from the request to each of its answers."""

    accepted_s: float
    final_s: float


def run(directory: Path) -> list[Figure]:
    if BrokerKind.MOSQUITTO not in available_kinds():
        return [Figure(name="not measured: mosquitto is not installed", value=0, unit="")]
    lines = ("allow_anonymous true", "set_tcp_nodelay true")
    with BrokerProcess(directory, kind=BrokerKind.MOSQUITTO, mosquitto_lines=lines) as broker:
        return asyncio.run(_run(directory, broker.port))


async def _run(directory: Path, port: int) -> list[Figure]:
    household = Household(directory / "agent", {LOCK: ADDRESS})
    household.furnish(broker_port=port)
    links = NearLinks({ADDRESS: awake(memory())})
    topics = Topics(agent_id=AGENT_ID)
    with (
        Peer(port, listens_to=f"{topics.root}/response/#") as peer,
        Echo(port, listens_to="floor/request", answers_on="floor/response"),
        Peer(port, listens_to="floor/response") as floor_peer,
        counted() as counts,
    ):
        bare = BareJournal(directory / "bare.db")
        floor = Floor(floor_peer, bare, awake(memory()))
        async with agent(household, links) as running:
            await until(household, running, lambda status: status["mqtt"]["status"] == "connected")
            booking = Booking(peer, topics)
            await asyncio.to_thread(booking.round, "warm")
            counts.clear()
            links.links.clear()
            found, floors = [], []
            for number in range(ROUNDS):
                found += await asyncio.to_thread(booking.round, str(number))
                await asyncio.sleep(SETTLE_S)
                floors.append(await asyncio.to_thread(floor.round))
            jobs = len(found)
            commits, sweeps = counts["commits"] / jobs, counts["sweeps"] / jobs
            visits = len(links.links)
            links.links.clear()
            links.delay_s = RADIO_DELAY_S
            await asyncio.to_thread(booking.burst, BURST)
            burst = [requests_in(link.said) for link in links.links]
        bare.close()
    return [
        *_latency(found, floors),
        held_against("commits, per job", commits, "", LEAST_COMMITS, "needed before an act"),
        Figure(name="checkpoints of the journal, per job", value=sweeps, unit=""),
        held_against("visits, per job", visits / jobs, "", 1, "one each, asked for one by one"),
        *_burst(burst),
    ]


def _latency(found: list[Timing], floors: list[dict[str, float]]) -> list[Figure]:
    whole = comparison_of(
        [
            (median(each.final_s for each in found[2 * n : 2 * n + 2]), sum(parts.values()))
            for n, parts in enumerate(floors)
        ]
    )
    accepted = median(each.accepted_s for each in found)
    medians = {name: median(parts[name] for parts in floors) for name in floors[0]}
    parts = " + ".join(f"{name} {each * 1e3:.2f}" for name, each in medians.items())
    return [
        compared("request to proved", whole, "ms", parts, scale=1e3),
        held_against(
            "request to accepted",
            accepted * 1e3,
            "ms",
            (medians["MQTT"] + medians["commits"] / LEAST_COMMITS) * 1e3,
            "MQTT + one commit",
        ),
    ]


def _burst(visits: list[list[Request[object]]]) -> list[Figure]:
    """Requests that come while the lock is visited cost listings more, but no visits."""
    requests = [each for visit in visits for each in visit]
    pages = [each for each in requests if isinstance(each, GetPasscodes)]
    listings = sum(each.cursor == 0 for each in pages)
    against = "all known beforehand"
    return [
        held_against(f"{BURST} requests at once, visits", len(visits), "", 1, against),
        held_against(f"{BURST} requests at once, listings", listings, "", 1, against),
        held_against(
            f"{BURST} requests at once, round trips", len(requests), "", 2 * BURST + 4, against
        ),
    ]


class Booking:
    """A booking system: one stay after the other, or many at once."""

    def __init__(self, peer: Peer, topics: Topics) -> None:
        self._peer = peer
        self._topics = topics

    def round(self, name: str) -> list[Timing]:
        """Have one passcode added, and taken back."""
        now = datetime.now(UTC)
        return [
            self._ask("passcode.add", add_request(f"add-{name}", LOCK, DIGITS, now=now)),
            self._ask("passcode.delete", delete_request(f"delete-{name}", LOCK, DIGITS)),
        ]

    def burst(self, count: int) -> None:
        """Have many added at once, and wait until all are proved."""
        now = datetime.now(UTC)
        topic = self._topics.request("passcode.add")
        for number in range(count):
            digits = f"5{number:05}"
            self._peer.publish(topic, add_request(f"burst-{number}", LOCK, digits, now=now))
        open_ids = {f"burst-{number}" for number in range(count)}
        while open_ids:
            # Answers may come twice, when the agent makes the broker deliver again.
            ((_, body),) = self._peer.answers(1)
            if body.get("result") == "proved":
                open_ids.discard(str(body["id"]))

    def _ask(self, verb: str, body: dict[str, object]) -> Timing:
        time.sleep(SETTLE_S)
        since = self._peer.publish(self._topics.request(verb), body)
        (accepted_at, accepted), (final_at, final) = self._peer.answers(2)
        assert (accepted["status"], final.get("result")) == ("accepted", "proved"), final
        return Timing(accepted_s=accepted_at - since, final_s=final_at - since)


class Floor:
    """The parts of a job that nobody can leave out, one by one."""

    def __init__(self, peer: Peer, bare: BareJournal, lock: VirtualLock) -> None:
        self._peer = peer
        self._bare = bare
        self._lock = lock

    def round(self) -> dict[str, float]:
        """Return seconds by part."""
        return {
            "MQTT": self._mqtt(),
            "commits": self._commits(),
            "frames": (self._frames(is_add=True) + self._frames(is_add=False)) / 2,
        }

    def _mqtt(self) -> float:
        since = self._peer.publish("floor/request", {"id": "floor"})
        ((at, _),) = self._peer.answers(1)
        return at - since

    def _commits(self) -> float:
        since = time.perf_counter()
        for _ in range(LEAST_COMMITS):
            self._bare.commit()
        return time.perf_counter() - since

    def _frames(self, *, is_add: bool) -> float:
        since = time.perf_counter()
        central = Central(self._lock, key=KEYS.aes_key, clock=lambda: datetime.now(UTC))
        central.request(GetClock())
        central.run(authenticate_admin(KEYS))
        if is_add:
            central.request(AddPasscode(passcode_type=PasscodeType.PERMANENT, passcode=DIGITS))
        else:
            central.request(DeletePasscode(passcode=DIGITS))
        central.run(list_passcodes())
        central.close()
        return time.perf_counter() - since


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """Count the transactions of all journals of this process meanwhile."""
    counts: Counter[str] = Counter()
    write, checkpoint = Database._write, Database._checkpoint

    def counting_write(self: Database, change: object) -> object:
        counts["commits"] += 1
        return write(self, change)

    def counting_checkpoint(self: Database) -> bool:
        counts["sweeps"] += 1
        return checkpoint(self)

    Database._write, Database._checkpoint = counting_write, counting_checkpoint
    try:
        yield counts
    finally:
        Database._write, Database._checkpoint = write, checkpoint
