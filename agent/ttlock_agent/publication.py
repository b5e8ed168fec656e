"""What the agent wants to say over MQTT: decided by the jobs, sent by the broker connection."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

MAX_EXPIRY_S = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class Publication:
    """One MQTT message to be published.

    ``qos`` is 0 or 1. ``expiry_s`` (1 .. 2**32-1) lets the broker forget the message after so many
    seconds, also when it is retained, and ``correlation_data`` is echoed to a requester; both exist
    in MQTT 5 only and are left out at 3.1.1. The payload is hidden from ``repr``: it may hold what
    a log must not. Raises ``ValueError`` for a topic with wildcards or a number out of range.
    """

    topic: str
    payload: bytes = field(repr=False)
    qos: Literal[0, 1] = 1
    retain: bool = False
    expiry_s: int | None = None
    correlation_data: bytes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not self.topic or any(character in self.topic for character in "+#\0"):
            raise ValueError("a topic to publish on is not empty and has no wildcards")
        if self.qos not in (0, 1):
            raise ValueError("qos is 0 or 1")
        if self.expiry_s is not None and not 1 <= self.expiry_s <= MAX_EXPIRY_S:
            raise ValueError("expiry_s is 1 .. 2**32-1 seconds")
