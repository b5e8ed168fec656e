"""Faults as data: what goes wrong on the way, where, and how often.

A plan is JSON, and a plan, its random numbers and the same traffic give the same run again. "The
answer was lost after the passcode had been added" reads::

    {"faults": [{"action": "lose", "at": "answer", "request": "AddPasscode", "nth": 1}]}
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from ttlock_protocol import messages
from ttlock_protocol.errors import LocalProtocolError, Refusal
from ttlock_protocol.frame import CHUNK_BYTES
from ttlock_protocol.message import requests

assert messages  # filling the registry is what the import is for


class FaultPoint(StrEnum):
    """Where on the way."""

    REQUEST = "request"
    """The lock has received a whole request and has not looked at it."""
    ANSWER = "answer"
    """The lock has carried out a request and is about to answer."""
    PUSH = "push"
    """The lock is about to say something unasked."""


class FaultAction(StrEnum):
    """What goes wrong."""

    LOSE = "lose"
    """The frame vanishes."""
    DROP = "drop"
    """The frame vanishes and so does the link."""
    DROP_AFTER = "drop_after"
    """The frame arrives, then the link is gone."""
    DUPLICATE = "duplicate"
    """The frame arrives twice."""
    CORRUPT = "corrupt"
    """One bit behind the magic is wrong."""
    SPLIT = "split"
    """The frame arrives in many small pieces."""
    TEAR = "tear"
    """The last piece of the frame is missing."""
    DELAY = "delay"
    """The frame arrives ``delay_s`` later."""
    INTERLEAVE = "interleave"
    """A state push goes before the frame."""
    REFUSE = "refuse"
    """The answer is ``refusal``; at a request, nothing is carried out."""
    EMPTY = "empty"
    """The answer is the empty frame of a lock with another key; at a request, nothing is done."""
    PRETEND = "pretend"
    """The lock says that it was done, and forgets it at once: what only reading back shows."""


_ALLOWED: Final = {
    FaultPoint.REQUEST: frozenset(
        {
            FaultAction.LOSE,
            FaultAction.DROP,
            FaultAction.DUPLICATE,
            FaultAction.CORRUPT,
            FaultAction.REFUSE,
            FaultAction.EMPTY,
            FaultAction.PRETEND,
        }
    ),
    FaultPoint.ANSWER: frozenset(FaultAction) - {FaultAction.PRETEND},
    FaultPoint.PUSH: frozenset(FaultAction)
    - {FaultAction.REFUSE, FaultAction.EMPTY, FaultAction.PRETEND},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One rule.

    ``request`` is the name of a message class and limits the rule to that request or its answers.
    ``nth`` is the number (from 1) of the frame among those that the rule is about, counted since
    the plan was put in place; without it every one is meant, each with probability ``chance``.
    ``delay_s`` belongs to ``DELAY`` and ``refusal`` to ``REFUSE``.
    """

    action: FaultAction
    at: FaultPoint
    request: str | None = None
    nth: int | None = None
    chance: float = 1.0
    delay_s: float = 0.0
    refusal: Refusal = Refusal.FAILED

    def __post_init__(self) -> None:
        if self.action not in _ALLOWED[self.at]:
            raise LocalProtocolError(f"a fault cannot {self.action} a {self.at}")
        if self.request is not None and self.request not in _request_names():
            raise LocalProtocolError("a fault names a request that does not exist")
        if self.nth is not None and self.nth < 1:
            raise LocalProtocolError("frames are counted from 1")
        if not 0 <= self.chance <= 1 or self.delay_s < 0:
            raise LocalProtocolError("a chance is 0 to 1, and a delay is not negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultPlan:
    """What shall go wrong; ``seed`` is for whoever makes the random numbers."""

    faults: tuple[Fault, ...] = ()
    seed: int = 0


class Faults:
    """A plan at work: counts frames and says what happens to each."""

    def __init__(self, plan: FaultPlan, *, draw: Callable[[], float]) -> None:
        """Start to count; ``draw`` returns numbers from 0 up to, but without, 1."""
        self.plan = plan
        self._draw = draw
        self._counts = [0] * len(plan.faults)

    def hitting(self, at: FaultPoint, request: str | None) -> dict[FaultAction, Fault]:
        """Return what happens to the next frame there; ``request`` is the name of its request."""
        found: dict[FaultAction, Fault] = {}
        for index, fault in enumerate(self.plan.faults):
            if fault.at != at or fault.request not in (None, request):
                continue
            self._counts[index] += 1
            if fault.nth is None:
                is_hit = fault.chance >= 1 or self._draw() < fault.chance
            else:
                is_hit = fault.nth == self._counts[index]
            if is_hit:
                found[fault.action] = fault
        return found

    def corrupted(self, frame: bytes, first: int, last: int) -> bytes:
        """Return ``frame`` with one bit wrong in one of the bytes ``first`` to ``last``."""
        at = first + self._pick(last - first + 1)
        return frame[:at] + bytes((frame[at] ^ 1 << self._pick(8),)) + frame[at + 1 :]

    def pieces(self, frame: bytes) -> Iterable[bytes]:
        """Yield ``frame`` in pieces of random sizes, down to single bytes."""
        while frame:
            size = 1 + self._pick(CHUNK_BYTES - 1)
            yield frame[:size]
            frame = frame[size:]

    def _pick(self, count: int) -> int:
        return int(self._draw() * count)


def _request_names() -> set[str]:
    return {kind.__name__ for kinds in requests().values() for kind in kinds}
