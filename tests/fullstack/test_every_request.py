"""Every request that has a layout, once over each rig: written, heard, answered."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest
from hypothesis import Phase, find, settings

from protocol_strategies import messages
from ttlock_agent.clock import SystemClock
from ttlock_agent.errors import LinkError
from ttlock_agent.lock.visit import visit_lock
from ttlock_protocol.errors import CommandRefused
from ttlock_protocol.message import Opcode, Request, Response, requests
from ttlock_protocol.messages.cards import CardLearning
from ttlock_protocol.messages.fingerprints import FingerprintLearning

from .rigs import Rig

CLOCK = SystemClock()
LEARNING = (CardLearning, FingerprintLearning)
LAST = (Opcode.RESET,)
"""After these the lock has other keys."""


def one_of_each() -> list[Request[Any]]:
    kinds = [kind for each in requests().values() for kind in each]
    kinds.sort(key=lambda kind: kind.opcode in LAST)
    # The first that comes, which is about the simplest: looking for a simpler one takes minutes.
    first = settings(phases=[Phase.generate], max_examples=1, database=None)
    return [find(messages(kind), lambda _: True, settings=first) for kind in kinds]


async def ask_while_it_lasts(
    rig: Rig, pending: deque[Request[Any]], answers: dict[str, Response | CommandRefused]
) -> None:
    """Ask in one connection, until all is asked or the lock hangs up, as some requests make it."""
    asked = 0
    async with visit_lock(rig.factory, rig.profile, CLOCK) as visit:
        while pending:
            name = type(pending[0]).__name__
            try:
                answers[name] = await visit.ask(pending[0])
            except CommandRefused as refused:
                # Numbers that hypothesis likes best are not always ones that a lock likes.
                answers[name] = refused
            except LinkError:
                if not asked:
                    raise
                return
            asked += 1
            pending.popleft()
            if isinstance(answers[name], LEARNING):
                return  # nobody will come with a card


@pytest.mark.timeout(600)
async def test_every_request_is_answered(rig: Rig) -> None:
    answers: dict[str, Response | CommandRefused] = {}
    pending = deque(one_of_each())
    while pending:
        await ask_while_it_lasts(rig, pending, answers)
    assert len(answers) == sum(len(kinds) for kinds in requests().values())
    carried_out = [name for name, each in answers.items() if isinstance(each, Response)]
    assert len(carried_out) > len(answers) / 2, answers
