"""What a handler sees of the conversation it takes part in, and the registry of handlers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from ttlock_protocol.errors import ProtocolError, Refusal
from ttlock_protocol.features import Feature
from ttlock_protocol.message import Opcode, Request, Response

from .body import Body
from .memory import Memory

RequestT = TypeVar("RequestT", bound=Request[Any])
CHALLENGE_BYTES: Final = 4
LEARNING_LASTS: Final = timedelta(seconds=20)
"""Clients wait 10 to 30 s for a card (reference 6.7); how long a lock does is not known."""


class Refused(ProtocolError):
    """The lock says no; raised by handlers, never seen outside of the virtual lock."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.name)
        self.refusal = refusal


@dataclass(slots=True)
class Pairing:
    """A pairing under way: the key that was handed out, and the memory before it."""

    aes_key: bytes = field(repr=False)
    before: Memory
    is_committed: bool = False


@dataclass(slots=True)
class Learning:
    """A card or finger is waited for; ``scans_done`` counts the scans of a finger."""

    opcode: Opcode
    until: datetime
    scans_done: int = 0


@dataclass(slots=True)
class Standing:
    """What the central has proved since it connected (reference 5.5); gone with the link."""

    is_user: bool = False
    is_admin: bool = False
    is_proved: bool = False
    """Whether a challenge was answered with the unlock key."""
    challenge: int | None = None
    """The latest one of either kind; it stays good until the next."""
    is_admin_challenge: bool = False
    has_greeted: bool = False
    user_id: int = 0
    pairing: Pairing | None = None
    learning: Learning | None = None


@dataclass(slots=True)
class Visit:
    """One request at one moment."""

    body: Body
    standing: Standing
    now: datetime
    is_over: bool = False
    """Set by a handler after whose answer the lock hangs up."""

    @property
    def local_time(self) -> datetime:
        """What the lock's own clock shows."""
        return self.body.local_time(self.now)

    @property
    def battery_percent(self) -> int:
        """The battery byte of nearly every answer."""
        return self.body.battery_percent(self.now)

    def new_challenge(self, *, is_admin: bool) -> int:
        """Return a fresh challenge; the one before it is void."""
        self.standing.is_admin_challenge = is_admin
        self.standing.challenge = int.from_bytes(self.body.entropy(CHALLENGE_BYTES), "big")
        return self.standing.challenge

    def learn(self, opcode: Opcode) -> None:
        """Wait for a card or finger; nobody is told when none comes (reference 6.7)."""
        self.standing.learning = Learning(opcode, self.now + LEARNING_LASTS)

    def require_feature(self, feature: Feature) -> None:
        """Refuse as ``NOT_SUPPORTED`` unless this lock has the feature."""
        if feature not in self.body.memory.features:
            raise Refused(Refusal.NOT_SUPPORTED)


Handler = Callable[[Visit, Any], Response]
_handlers: dict[type[Request[Any]], Handler] = {}


def handles(
    *kinds: type[RequestT],
) -> Callable[[Callable[[Visit, RequestT], Response]], Callable[[Visit, RequestT], Response]]:
    """Register the function that carries out requests of these kinds."""

    def register(
        handler: Callable[[Visit, RequestT], Response],
    ) -> Callable[[Visit, RequestT], Response]:
        for kind in kinds:
            _handlers[kind] = handler
        return handler

    return register


def carry_out(visit: Visit, request: Request[Any]) -> Response:
    """Return the answer; raises :class:`Refused`, as ``NOT_SUPPORTED`` where nobody handles it."""
    handler = _handlers.get(type(request))
    if handler is None:
        raise Refused(Refusal.NOT_SUPPORTED)
    return handler(visit, request)
