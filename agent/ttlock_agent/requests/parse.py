"""From a caller's bytes to a request that may become a job, or to a named refusal.

Nothing a caller wrote is repeated in a message: the digits may stand in any field. Names are an
exception, as far as they look like names.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final, NoReturn, TypeVar

import msgspec

from ttlock_agent.errors import JobRejected, Rejection
from ttlock_agent.validation import BadValue, closest, example_of, expectation, quoted_name

from .backup import Passphrase
from .bolt import MAX_DELAY
from .credentials import CardNumber
from .hours import WeeklyHours
from .passcode import Passcode
from .secrets import revealed
from .settings import PassageWindow
from .structs import (
    MAX_ID,
    MAX_SET,
    LockRequest,
    PasscodeAdd,
    Priority,
    Request,
    SyncPasscode,
)
from .verbs import VERBS

MAX_PAYLOAD_BYTES: Final = 64 * 1024
"""A full lock's set of passcodes with all that can be said of each; a single one is under 1 KiB."""


_SETS: Final[Mapping[str, type[msgspec.Struct]]] = MappingProxyType(
    {
        "passcodes": SyncPasscode,
        "passcodes_listed": SyncPasscode,
        "windows": PassageWindow,
        "hours": WeeklyHours,
    }
)
"""Lists of entries, by the name of their field."""

S = TypeVar("S", bound=msgspec.Struct)


class RequestRejected(JobRejected):
    """A request that cannot become a job; ``request_id`` is None if no id could be read."""

    def __init__(
        self, message: str, *, reason: Rejection, hint: str, request_id: str | None
    ) -> None:
        super().__init__(message, reason=reason, hint=hint)
        self.request_id = request_id


@dataclass(frozen=True, slots=True)
class ParsedRequest:
    """A valid request. Its repr shows no digits."""

    id: str
    verb: str
    params: Request
    """The verb's own struct from :data:`VERBS`."""

    @property
    def lock(self) -> str | None:
        """Id of the lock it is for; None for ``job.*``."""
        return self.params.lock if isinstance(self.params, LockRequest) else None

    @property
    def deadline_at(self) -> datetime | None:
        """When to give up; None if the caller does not care."""
        return self.params.deadline_at

    @property
    def priority(self) -> Priority:
        """Which job of the lock goes first."""
        return self.params.priority


def parse_request(
    verb: str,
    payload: bytes,
    *,
    known_locks: Collection[str],
    is_retained: bool = False,
    correlation_id: str | None = None,
) -> ParsedRequest:
    """Judge one request by itself; raises ``RequestRejected``.

    ``correlation_id`` is what an MQTT 5 caller sent as correlation data; it serves as the id where
    the payload has none. Whether it comes too late is for :func:`refuse_late` to say.
    """
    fallback_id = correlation_id if correlation_id and _is_id(correlation_id) else None
    raw = _object_from(payload, fallback_id)
    own_id = raw.get("id")
    refuse = _Refuse(own_id if _is_id(own_id) else fallback_id)
    if is_retained:
        refuse(
            "The request was retained by the broker, so it may be old.",
            Rejection.RETAINED,
            "Publish requests without the retain flag, and clear the retained one.",
        )
    kind = VERBS.get(verb)
    if kind is None:
        meant = closest(verb, VERBS)
        refuse(
            f"There is no verb {quoted_name(verb)}.",
            Rejection.UNKNOWN_VERB,
            f"Did you mean {meant}?" if meant else f"Known are {', '.join(VERBS)}.",
        )
    try:
        params = _build(kind, raw)
    except BadValue as bad:
        refuse(bad.message, Rejection.INVALID, bad.hint)
    request_id = params.id or fallback_id
    if request_id is None:
        refuse("`id` is missing.", Rejection.INVALID, "Choose one; the answers will carry it.")
    if isinstance(params, LockRequest) and params.lock not in known_locks:
        meant = closest(params.lock, known_locks)
        refuse(
            f"There is no lock {quoted_name(params.lock)}.",
            Rejection.UNKNOWN_LOCK,
            f"Did you mean {meant}?" if meant else "Use a lock's id from the configuration.",
        )
    return ParsedRequest(request_id, verb, params)


def refuse_late(request: ParsedRequest, now: datetime) -> None:
    """Raise ``RequestRejected`` for a request that nobody can fulfil in time any more.

    Not for one that is asked again: its job has an answer, however late.
    """
    params, refuse = request.params, _Refuse(request.id)
    if params.deadline_at is not None and params.deadline_at <= now:
        refuse("`deadline_at` is over.", Rejection.EXPIRED, "Send a new request, with a new id.")
    if params.is_for_now and params.deadline_at and params.deadline_at > now + MAX_DELAY:
        refuse(
            f"`deadline_at` is too far away: {request.verb} is done now or not at all.",
            Rejection.INVALID,
            f"Give one within {MAX_DELAY.seconds} seconds, or leave it out.",
        )
    if isinstance(params, PasscodeAdd) and params.valid_until and params.valid_until <= now:
        refuse(
            "`valid_until` is over: the passcode would never open anything.",
            Rejection.EXPIRED,
            "Check the dates, their UTC offsets, and the agent's clock.",
        )


def canonical_content(request: ParsedRequest) -> bytes:
    """Return what the request asks for, the same bytes however it was written.

    Field order, defaults and UTC offsets make no difference; the id is not part of it. Two requests
    with one id and different content are a conflict. Holds the digits: keep only a keyed hash.
    """
    content = _canonical_fields(request.params)
    return msgspec.json.encode({"verb": request.verb, **content}, order="deterministic")


def _canonical_fields(value: msgspec.Struct) -> dict[str, Any]:
    content = {
        field.encode_name: _canonical(getattr(value, field.name))
        for field in msgspec.structs.fields(value)
        if field.name != "id"
    }
    if isinstance(value, PasscodeAdd | SyncPasscode):
        content["kind"] = value.kind
    return content


def _canonical(value: object) -> object:
    match value:
        case datetime():
            return value.astimezone(UTC)
        case Passcode() | CardNumber() | Passphrase():
            return revealed(value)
        case tuple():
            # A set: the order in which it was written means nothing.
            return sorted(map(_canonical_fields, value), key=msgspec.json.encode)
        case _:
            return value


class _Refuse:
    """Raises refusals of one request, so that none forgets whom to answer."""

    def __init__(self, request_id: str | None) -> None:
        self._request_id = request_id

    def __call__(self, message: str, reason: Rejection, hint: str) -> NoReturn:
        # Without its cause: parsers keep what they parsed in their exceptions.
        raise RequestRejected(
            message, reason=reason, hint=hint, request_id=self._request_id
        ) from None


def _is_id(value: object) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= MAX_ID and value.isprintable()


def _object_from(payload: bytes, request_id: str | None) -> dict[str, Any]:
    refuse = _Refuse(request_id)
    if len(payload) > MAX_PAYLOAD_BYTES:
        refuse(
            f"The request has {len(payload)} bytes; at most {MAX_PAYLOAD_BYTES} are read.",
            Rejection.TOO_LARGE,
            "Send one request per message; a set has at most 250 passcodes.",
        )
    try:
        # The standard parser, because msgspec keeps the last of two equal keys silently.
        raw = json.loads(
            payload.decode(), object_pairs_hook=_without_duplicates, parse_constant=_no_constant
        )
    except UnicodeDecodeError:
        refuse("The request is not UTF-8 text.", Rejection.MALFORMED, "Encode JSON as UTF-8.")
    except RecursionError:
        refuse("The request is nested too deeply.", Rejection.MALFORMED, "See the schema.")
    except BadValue as bad:
        refuse(bad.message, Rejection.MALFORMED, bad.hint)
    except ValueError:
        refuse("The request is not JSON.", Rejection.MALFORMED, "Check quotes, commas and braces.")
    if not isinstance(raw, dict):
        refuse("The request is not a JSON object.", Rejection.MALFORMED, 'Write {"id": ...}.')
    return raw


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        names = [name for name, _ in pairs]
        name = next(name for name in names if names.count(name) > 1)
        raise BadValue(f"The key {quoted_name(name)} stands there twice.", hint="Keep one of them.")
    return result


def _no_constant(_name: str) -> NoReturn:
    raise BadValue("NaN and Infinity are not JSON.", hint="Write a number, or leave the key out.")


def _build(kind: type[S], raw: dict[str, Any]) -> S:
    """Make a struct; field by field, because only so is it known which one is wrong."""
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    for name in raw:
        if name not in fields:
            meant = closest(name, fields.keys() - raw.keys())
            raise BadValue(
                f"The request has an unknown key {quoted_name(name)}.",
                hint=f"Did you mean {meant}?" if meant else f"Known are {', '.join(fields)}.",
            )
    values: dict[str, Any] = {}
    for name, field in fields.items():
        if name in raw:
            values[field.name] = _convert(name, field.type, raw[name])
        elif field.required:
            raise BadValue(f"`{name}` is missing.", hint=_example(name, field.type))
    return kind(**values)


def _convert(name: str, expected: Any, raw: object) -> object:
    if name in _SETS and isinstance(raw, list) and len(raw) <= MAX_SET:
        # One by one, so that a message can say which.
        kind = _SETS[name]
        return tuple(_entry(kind, f"{name}[{number}]", entry) for number, entry in enumerate(raw))
    try:
        return msgspec.convert(raw, expected, dec_hook=_decode)
    except msgspec.ValidationError as error:
        if isinstance(error.__cause__, BadValue):
            bad = BadValue(f"`{name}` {error.__cause__.message}.", hint=error.__cause__.hint)
        else:
            bad = BadValue(f"`{name}` must be {expectation(expected)}.",
                           hint=_example(name, expected))  # fmt: skip
    raise bad


def _entry(kind: type[S], place: str, raw: object) -> S:
    if not isinstance(raw, dict):
        raise BadValue(f"`{place}` must be an object.", hint='Write {"...": ...}, see the schema.')
    try:
        return _build(kind, raw)
    except BadValue as bad:
        raise BadValue(f"In `{place}`: {bad.message}", hint=bad.hint) from None


def _decode(kind: type, raw: Any) -> object:
    return kind(raw)


def _example(name: str, expected: object) -> str:
    example = example_of(expected)
    if example is None:
        return f"Write {expectation(expected)}."
    return f'Write for example "{name}": {example}.'
