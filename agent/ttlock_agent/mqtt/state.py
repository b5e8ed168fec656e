"""How the broker connection is doing, for logs, `status` and whoever waits for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from .events import Refused
from .protocol_choice import MqttVersion

UNSUPPORTED_VERSION = 132
"""Reason code by which a broker refuses a protocol version; paho translates the old one to it."""

_CREDENTIAL_CODES = frozenset({134, 135, 138, 140})
"""Bad user name or password, not authorized, banned, bad authentication method."""


class ConnectionStatus(StrEnum):
    """Where the connection stands. In all but the first, the agent keeps trying."""

    STOPPED = "stopped"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    CREDENTIALS_REFUSED = "credentials_refused"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionState:
    """State of the connection ``since`` that moment.

    ``version`` is the protocol version spoken or being tried. ``error`` is what went wrong last, in
    one sentence without secrets; a connected agent has one if it may not subscribe.
    """

    status: ConnectionStatus
    version: MqttVersion
    since: datetime
    error: str | None = None

    @property
    def is_connected(self) -> bool:
        """Whether publications can be sent now."""
        return self.status is ConnectionStatus.CONNECTED


def refusal(refused: Refused, username: str | None) -> tuple[ConnectionStatus, str]:
    """What it means that the broker refused us."""
    if refused.code in _CREDENTIAL_CODES:
        who = f"the user {username}" if username is not None else "a connection without a user name"
        return (
            ConnectionStatus.CREDENTIALS_REFUSED,
            f"the broker refuses {who}: {refused.reason}",
        )
    return ConnectionStatus.REFUSED, f"the broker refuses the connection: {refused.reason}"
