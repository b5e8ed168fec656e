"""Reading what the cloud answered, leniently where that is safe.

Numbers may come as strings, unknown fields are ignored, an optional field that is missing or
unusable counts as absent. A missing required field spoils the whole answer: dropping one passcode
from a list in silence would look as if the cloud did not have it. Messages name fields, never
values, since values may be door codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import msgspec

from ttlock_agent.cloud.errors import CloudProblem, CloudUnreachable, refusal

# Longer names are cut before they reach a log, a terminal or a topic.
LABEL_MAX_CHARS = 80

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HTTP_OK = 200


def not_the_api(what: str) -> CloudUnreachable:
    """Error for an answer that cannot be the Open API's; ``what`` must hold no values."""
    return CloudUnreachable(
        f"The cloud's answer cannot be used: {what}.",
        problem=CloudProblem.NOT_THE_API,
        may_have_acted=True,
    )


def read_answer(status: int, body: bytes) -> Fields:
    """Turn an HTTP answer into fields; raises ``CloudRefused`` or ``CloudUnreachable``.

    Failures normally come with HTTP status 200, so the error code decides and the status only
    counts where no code can be read.
    """
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        decoded = None
    fields = Fields(decoded, "answer") if isinstance(decoded, dict) else None
    if fields is not None and fields.has("errcode"):
        errcode = fields.integer("errcode")
        if errcode != 0:
            raise refusal(errcode)
    if status != _HTTP_OK:
        raise CloudUnreachable(
            f"The cloud answered with HTTP status {status}.",
            problem=CloudProblem.HTTP_STATUS,
            may_have_acted=True,
        )
    if fields is None:
        raise not_the_api("it is not a JSON object")
    return fields


class Fields:
    """One JSON object of an answer."""

    __slots__ = ("_raw", "_where")

    def __init__(self, raw: Mapping[str, object], where: str) -> None:
        self._raw = raw
        self._where = where

    def has(self, key: str) -> bool:
        """Whether ``key`` is there and not null."""
        return self._raw.get(key) is not None

    def integer(self, key: str) -> int:
        """Required whole number."""
        value = self.maybe_integer(key)
        if value is None:
            raise not_the_api(f"{self._where} has no usable {key}")
        return value

    def maybe_integer(self, key: str) -> int | None:
        """Whole number, or None."""
        value = self._raw.get(key)
        if isinstance(value, bool):
            return None
        if isinstance(value, int):
            return value
        try:
            if isinstance(value, float) and value.is_integer():
                return int(value)
            if isinstance(value, str):
                return int(value)
        except ValueError:
            return None
        return None

    def text(self, key: str) -> str:
        """Required text, unchanged; a number counts, since types come mixed."""
        value = self._raw.get(key)
        if isinstance(value, str) and value:
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        raise not_the_api(f"{self._where} has no usable {key}")

    def maybe_text(self, key: str) -> str:
        """Text, unchanged; empty when absent."""
        return self.text(key) if self._raw.get(key) else ""

    def label(self, key: str) -> str:
        """Text for people, printable and cut to :data:`LABEL_MAX_CHARS`; empty when absent."""
        value = self._raw.get(key)
        if not isinstance(value, str):
            return ""
        return "".join(char for char in value if char.isprintable())[:LABEL_MAX_CHARS]

    def instant(self, key: str) -> datetime | None:
        """Time from milliseconds since the epoch; None when absent, zero or out of range."""
        value = self.maybe_integer(key)
        if not value:
            return None
        try:
            return _EPOCH + timedelta(milliseconds=value)
        except OverflowError:
            return None

    def rows(self, key: str) -> list[Fields]:
        """Required list of objects."""
        value = self._raw.get(key)
        if not isinstance(value, list):
            raise not_the_api(f"{self._where} has no usable {key}")
        rows = []
        for index, item in enumerate(value):
            if not isinstance(item, dict):
                raise not_the_api(f"{key}[{index}] is not an object")
            rows.append(Fields(item, f"{key}[{index}]"))
        return rows
