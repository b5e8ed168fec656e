"""Records of a lock's operation log in words, without the digits that they hold."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, tzinfo
from types import MappingProxyType
from typing import Any, Final

from ttlock_agent.jobs.model import WantedPasscode
from ttlock_protocol.localtime import from_lock
from ttlock_protocol.messages.log import LogRecord, LogType
from ttlock_protocol.messages.pages import Unreadable

MAX_PERCENT: Final = 100
OTHER: Final = "other"

_T = LogType
_TYPES_OF_EVENT: Final = {
    "unlocked_by_passcode": (_T.PASSCODE_UNLOCK, _T.ADMIN_PASSCODE_UNLOCK),
    "unlocked_by_card": (_T.CARD_UNLOCK, _T.WRISTBAND_UNLOCK),
    "unlocked_by_fingerprint": (_T.FINGERPRINT_UNLOCK, _T.FACE_UNLOCK, _T.PALM_UNLOCK),
    "unlocked_by_app": (_T.APP_UNLOCK, _T.AUTHORISED_APP_UNLOCK, _T.QR_CODE_UNLOCK),
    "unlocked_by_gateway": (_T.SERVER_UNLOCK, _T.GATEWAY_UNLOCK, _T.AUTHORISED_GATEWAY_UNLOCK),
    "unlocked_by_key": (_T.KEY_UNLOCK, _T.KEY_FOB, _T.REMOTE_CONTROL),
    "locked": (_T.APP_LOCK, _T.PASSCODE_LOCK, _T.CARD_LOCK, _T.FINGERPRINT_LOCK, _T.KEY_LOCK),
    "denied": (
        _T.WRONG_PASSCODE,
        _T.PASSCODE_OUT_OF_WINDOW,
        _T.PASSCODE_NO_SPACE,
        _T.PASSCODE_BLACKLISTED,
        _T.CARD_REFUSED,
        _T.CARD_FAILED,
        _T.CARD_BLACKLISTED,
        _T.FINGERPRINT_OUT_OF_WINDOW,
        _T.QR_CODE_REFUSED,
    ),
    "tamper": (_T.FORCED,),
}
EVENT_OF_TYPE: Final[Mapping[LogType, str]] = MappingProxyType(
    {log_type: word for word, types in _TYPES_OF_EVENT.items() for log_type in types}
)
"""What home automation wants to know; everything else is ``other``."""


def describe_record(
    record: LogRecord | Unreadable, wishes: Mapping[str, WantedPasscode], zone: tzinfo
) -> dict[str, Any]:
    """Return a record as JSON; ``wishes`` (by digits) tell whose passcode it was."""
    if isinstance(record, Unreadable):
        return {"type": "unreadable"}
    body: dict[str, Any] = {
        "type": record.log_type.name.lower(),
        "number": int(record.log_type),
        "battery_percent": percent(record.battery),
    }
    at = recorded_at(record, zone)
    if at is not None:
        body["at"] = at.isoformat()
    if record.passcode is not None:
        wish = wishes.get(record.passcode)
        body["passcode"] = {"is_known": wish is not None}
        if wish is not None:
            body["passcode"] |= {"label": wish.label, "owner": wish.owner}
    if record.user_id is not None:
        body["user_id"] = record.user_id
    return body


def percent(raw: int) -> int | None:
    """Return a battery byte; ``None`` for those that mean that it is not known."""
    return raw if raw <= MAX_PERCENT else None


def recorded_at(
    record: LogRecord, zone: tzinfo, *, near: datetime | None = None
) -> datetime | None:
    """Return when it happened by the lock's clock, as an instant; ``None`` if that had no date."""
    return None if record.recorded_at is None else from_lock(record.recorded_at, zone, near=near)
