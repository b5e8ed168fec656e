"""What callers may ask, over MQTT and the control socket alike."""

from __future__ import annotations

from .parse import (
    MAX_PAYLOAD_BYTES,
    ParsedRequest,
    RequestRejected,
    canonical_content,
    parse_request,
)
from .passcode import Passcode
from .structs import (
    VERBS,
    ClockRead,
    ClockSync,
    JobCancel,
    JobGet,
    LockFeatures,
    LockInfo,
    LockRequest,
    LockState,
    LogRead,
    PasscodeAdd,
    PasscodeDelete,
    PasscodeKind,
    PasscodeList,
    PasscodeSync,
    Priority,
    Request,
    SyncPasscode,
)

__all__ = [
    "MAX_PAYLOAD_BYTES",
    "VERBS",
    "ClockRead",
    "ClockSync",
    "JobCancel",
    "JobGet",
    "LockFeatures",
    "LockInfo",
    "LockRequest",
    "LockState",
    "LogRead",
    "ParsedRequest",
    "Passcode",
    "PasscodeAdd",
    "PasscodeDelete",
    "PasscodeKind",
    "PasscodeList",
    "PasscodeSync",
    "Priority",
    "Request",
    "RequestRejected",
    "SyncPasscode",
    "canonical_content",
    "parse_request",
]
