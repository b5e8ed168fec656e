"""Parameters and answers of the fake Open API, and the error codes it gives."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from ttlock_agent.fakes.cloud_state import Refusal

MAX_PAGE_SIZE = 200
DEFAULT_PAGE_SIZE = 20

BAD_PARAMETER = -3
LOCK_UNKNOWN = -1003
TOO_SIMPLE = -2032
PASSCODE_GONE = -2009
BAD_LENGTH = -3006
NEVER_USED = -3008
CLIENT_UNKNOWN = 10000
CLIENT_REFUSED = 10001
TOKEN_UNKNOWN = 10003
TOKEN_EXPIRED = 10004
LOGIN_REFUSED = 10007
REFRESH_REFUSED = 10011
NOT_ADMIN = 20002
NOT_MD5 = 30005
TOO_MANY_CALLS = 30006
QUOTA_USED_UP = 30007
WRONG_REGION = 30008
CLOCK_OFF = 80000

Params = Mapping[str, str]
Answer = dict[str, Any]


def done() -> Answer:
    """Answer of an operation that gives nothing back."""
    return {"errcode": 0, "errmsg": "none error message"}


def refused(errcode: int) -> Answer:
    """Answer of a call that failed; it comes with HTTP status 200."""
    return {"errcode": errcode, "errmsg": "refused", "description": "refused"}


def ms(moment: datetime | None) -> int:
    """Milliseconds since the epoch; 0 for none."""
    return 0 if moment is None else round(moment.timestamp() * 1000)


def integer(params: Params, key: str, default: int | None = None) -> int:
    """Whole number from a parameter; raises ``Refusal``."""
    if key not in params and default is not None:
        return default
    try:
        return int(params[key])
    except (KeyError, ValueError):
        raise Refusal(BAD_PARAMETER) from None


def instant(params: Params, key: str) -> datetime:
    """Time from a parameter in milliseconds; raises ``Refusal``."""
    try:
        return datetime.fromtimestamp(integer(params, key) / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        raise Refusal(BAD_PARAMETER) from None


def lock_id_of(params: Params) -> int | None:
    """Lock a call is about, for choosing faults."""
    text = params.get("lockId", "")
    return int(text) if text.isdecimal() else None


def checked_digits(digits: str) -> str:
    """Digits the cloud takes; raises ``Refusal``."""
    if not digits.isdecimal():
        raise Refusal(BAD_PARAMETER)
    if not 4 <= len(digits) <= 9:
        raise Refusal(BAD_LENGTH)
    steps = {int(b) - int(a) for a, b in pairwise(digits)}
    if steps in ({0}, {1}, {-1}):
        raise Refusal(TOO_SIMPLE)
    return digits


def page(rows: list[Answer], params: Params) -> Answer:
    """One page of a list; raises ``Refusal``."""
    number = integer(params, "pageNo", 1)
    size = integer(params, "pageSize", DEFAULT_PAGE_SIZE)
    if number < 1 or not 1 <= size <= MAX_PAGE_SIZE:
        raise Refusal(BAD_PARAMETER)
    return {
        "list": rows[(number - 1) * size : number * size],
        "pageNo": number,
        "pageSize": size,
        "pages": -(-len(rows) // size),
        "total": len(rows),
    }


def shaped(value: object, *, numbers_as_strings: bool, extra_fields: bool) -> object:
    """Answer as the real cloud sometimes words it: numbers as text, fields nobody announced."""
    if isinstance(value, dict):
        shaped_items: dict[str, object] = {
            key: shaped(item, numbers_as_strings=numbers_as_strings, extra_fields=extra_fields)
            for key, item in value.items()
        }
        return shaped_items | ({"newField": {"since": 2026}} if extra_fields else {})
    if isinstance(value, list):
        return [
            shaped(item, numbers_as_strings=numbers_as_strings, extra_fields=extra_fields)
            for item in value
        ]
    return str(value) if numbers_as_strings and isinstance(value, int) else value
