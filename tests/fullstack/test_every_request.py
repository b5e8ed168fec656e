"""Every request that has a layout, once over each rig: written, heard, answered."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import find

from protocol_strategies import messages
from ttlock_agent.clock import SystemClock
from ttlock_agent.lock.visit import visit_lock
from ttlock_protocol.errors import CommandRefused
from ttlock_protocol.message import Opcode, Request, Response, requests

from .rigs import Rig

CLOCK = SystemClock()
LAST = (Opcode.RESET,)
"""After these the lock has other keys."""


def one_of_each() -> list[Request[Any]]:
    kinds = [kind for each in requests().values() for kind in each]
    kinds.sort(key=lambda kind: kind.opcode in LAST)
    return [find(messages(kind), lambda _: True) for kind in kinds]


@pytest.mark.timeout(600)
async def test_every_request_is_answered(rig: Rig) -> None:
    answers: dict[str, Response | CommandRefused] = {}
    for request in one_of_each():
        async with visit_lock(rig.factory, rig.profile, CLOCK) as visit:
            try:
                answers[type(request).__name__] = await visit.ask(request)
            except CommandRefused as refused:
                # Numbers that hypothesis likes best are not always ones that a lock likes.
                answers[type(request).__name__] = refused
    assert len(answers) == sum(len(kinds) for kinds in requests().values())
    carried_out = [name for name, each in answers.items() if isinstance(each, Response)]
    assert len(carried_out) > len(answers) / 2, answers
