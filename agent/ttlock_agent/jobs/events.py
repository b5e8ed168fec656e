"""What happened at a lock, told once over MQTT: never retained, never with digits.

An event has an id that is the same if it is told again, so that a repeat can be recognised.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import msgspec

from ttlock_agent.mqtt.topics import Topics
from ttlock_agent.publication import Publication

EVENT_EXPIRY_S: Final = 3600
"""What happened an hour ago is no news: who wants the history asks for the log."""


class EventType(StrEnum):
    """What the agent itself notices about a lock's memory."""

    PASSCODE_MISSING = "passcode_missing"
    """Proved before, and not there any more; a job puts it back."""
    PASSCODE_RETURNED = "passcode_returned"
    """Removed before, and there again; a job removes it."""
    PASSCODE_UNKNOWN = "passcode_unknown"
    """Nobody the agent knows wants it."""


def event(
    topics: Topics, lock: str, event_id: str, event_type: str, at: datetime, **more: Any
) -> Publication:
    """Return one event; ``more`` is anything for JSON without digits."""
    body = {
        "id": event_id,
        "event_type": event_type,
        "at": at.isoformat(timespec="seconds"),
    } | more
    return Publication(topics.lock_event(lock), msgspec.json.encode(body), expiry_s=EVENT_EXPIRY_S)
