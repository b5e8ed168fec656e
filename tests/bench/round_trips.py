"""Round trips of a delivery, counted on the link, against the least the protocol allows.

The whole agent runs, with jobs that wait in its journal when it starts.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from ttlock_agent.clock import SystemClock
from ttlock_protocol.messages.auth import CheckAdmin, CheckRandom
from ttlock_protocol.messages.clock import GetClock
from ttlock_protocol.messages.passcodes import AddPasscode, GetPasscodes

from .figures import Figure, held_against
from .household import Household, add_request, agent, is_visited, queue, unique, until
from .near import NearLinks, awake, memory, requests_in

LOCK = "front-door"
ADDRESS = "virtual:near"
CASES = ((1, 0), (1, 30), (20, 0), (20, 30), (100, 0))
"""How many passcodes are wanted, and how many the lock holds before."""


@dataclass(frozen=True, slots=True)
class Term:
    """One part of the sum: what it is, what it costs us, and what it must cost."""

    name: str
    ours: int
    least: int


def run(directory: Path) -> list[Figure]:
    figures = []
    for wanted, held in CASES:
        terms = asyncio.run(deliver(directory / f"{wanted}-{held}", wanted, held))
        case = f"{wanted} wanted, {held} held"
        figures += [
            held_against(f"{case}: {term.name}", term.ours, "round trips", term.least, "the least")
            for term in terms
        ]
        ours, least = sum(each.ours for each in terms), sum(each.least for each in terms)
        figures.append(
            held_against(f"{case}: sum", ours, "round trips", least, "the least", limit=1.0)
        )
    return figures


async def deliver(directory: Path, wanted: int, held: int) -> list[Term]:
    """Count one visit to a lock that the agent has never met before."""
    household = Household(directory, {LOCK: ADDRESS})
    household.furnish()
    clock = SystemClock()
    lock = awake(memory(passcodes=held))
    links = NearLinks({ADDRESS: lock})
    async with await household.open_journal(clock) as journal:
        for digits in unique(range(wanted)):
            now = clock.now()
            await queue(journal, add_request(digits, LOCK, digits, now=now), now)
    async with agent(household, links) as running:
        await until(household, running, is_visited(LOCK))
    assert {each.passcode for each in lock.memory.passcodes} >= set(unique(range(wanted)))
    return _terms([each for link in links.links for each in requests_in(link.said)], wanted, held)


def _terms(requests: list[object], wanted: int, held: int) -> list[Term]:
    def count(*kinds: type) -> int:
        return sum(isinstance(each, kinds) for each in requests)

    pages = [each for each in requests if isinstance(each, GetPasscodes)]
    listings = sum(each.cursor == 0 for each in pages)
    named = (CheckAdmin, CheckRandom, GetClock, AddPasscode, GetPasscodes)
    return [
        Term("handshake", count(CheckAdmin, CheckRandom), 2),
        Term("clock", count(GetClock), 1),
        Term("passcodes written", count(AddPasscode), wanted),
        Term("records listed", len(pages) - listings, wanted + held),
        Term("ends of listings", listings, 1),
        Term("anything else", len(requests) - count(*named), 0),
    ]
