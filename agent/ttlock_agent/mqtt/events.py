"""What the network thread tells the event loop, as plain data; nothing of paho gets past it."""

from __future__ import annotations

from dataclasses import dataclass

from .incoming import Incoming


@dataclass(frozen=True, slots=True)
class Opened:
    """The socket is open, TLS included; the broker's answer to our CONNECT is due."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The broker accepted us; ``session_present`` if it kept our session."""

    session_present: bool


@dataclass(frozen=True, slots=True)
class Ready:
    """The broker has taken our subscriptions and our `online`."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The broker answered and said no; ``code`` is the MQTT 5 reason code, ``reason`` its name."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Closed:
    """The connection ended; ``was_answered`` unless it did so before the broker said anything."""

    was_answered: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Unreachable:
    """No connection came about; ``sentence`` says why."""

    sentence: str


@dataclass(frozen=True, slots=True)
class Received:
    """A message arrived."""

    incoming: Incoming


@dataclass(frozen=True, slots=True)
class Dropped:
    """A message arrived that cannot be anybody's request."""

    reason: str


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The broker took the publication ``mid``, or refused it with ``refusal``."""

    mid: int
    refusal: str | None


@dataclass(frozen=True, slots=True)
class Restricted:
    """The broker accepted us, but does not let us do what we need; ``sentence`` says what."""

    sentence: str


@dataclass(frozen=True, slots=True)
class ThreadEnded:
    """The network thread is over; ``defect`` names the exception that ended it, if one did."""

    defect: str | None


NetworkEvent = (
    Opened
    | Accepted
    | Ready
    | Refused
    | Closed
    | Unreachable
    | Received
    | Dropped
    | Acknowledged
    | Restricted
    | ThreadEnded
)
