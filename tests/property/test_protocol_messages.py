"""Every message round-trips, and whatever comes from outside gives a value or a named error."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol_strategies import messages
from ttlock_protocol.errors import DecodeError, LocalProtocolError, RemoteProtocolError
from ttlock_protocol.message import (
    Message,
    Request,
    Response,
    decode_push,
    decode_request,
    requests,
)
from ttlock_protocol.messages.operate import OperationPush
from ttlock_protocol.wire import Unsigned

REQUESTS: list[type[Request[Any]]] = [kind for kinds in requests().values() for kind in kinds]
RESPONSES: list[type[Response]] = sorted(
    {kind.response_type for kind in REQUESTS} | {OperationPush}, key=lambda kind: kind.__name__
)
KINDS: list[type[Message]] = [*REQUESTS, *RESPONSES]


FEWER = settings(max_examples=40)
"""For each of the hundred kinds of message."""


def named(kind: type[Message]) -> str:
    return kind.__name__


@pytest.mark.parametrize("kind", KINDS, ids=named)
@FEWER
@given(data=st.data())
def test_message_round_trips(kind: type[Message], data: st.DataObject) -> None:
    message = data.draw(messages(kind))
    assert kind.decode(message.encode()) == message


@pytest.mark.parametrize("kind", REQUESTS, ids=named)
@FEWER
@given(data=st.data())
def test_request_is_told_from_others_of_its_command(
    kind: type[Request[Any]], data: st.DataObject
) -> None:
    request = data.draw(messages(kind))
    assert decode_request(kind.opcode, request.encode()) == request


@pytest.mark.parametrize("kind", KINDS, ids=named)
@FEWER
@given(raw=st.binary(max_size=240))
def test_any_bytes_give_a_message_or_a_named_error(kind: type[Message], raw: bytes) -> None:
    try:
        message = kind.decode(raw)
    except DecodeError:
        return
    assert kind.decode(message.encode()) == message


@given(opcode=st.integers(0, 0xFF), raw=st.binary(max_size=240))
def test_any_request_gives_a_message_or_a_named_error(opcode: int, raw: bytes) -> None:
    for decode in (decode_request, decode_push):
        try:
            message = decode(opcode, raw)
        except (LookupError, RemoteProtocolError):
            continue
        assert message.opcode == opcode


@pytest.mark.parametrize("kind", KINDS, ids=named)
@FEWER
@given(data=st.data())
def test_representation_shows_no_secret(kind: type[Message], data: st.DataObject) -> None:
    message = data.draw(messages(kind))
    for name in ("passcode", "new_passcode", "original_passcode", "other_passcode"):
        secret = getattr(message, name, None)
        assert not secret or f"'{secret}'" not in repr(message)
    for record in getattr(message, "records", ()):
        assert not getattr(record, "passcode", None) or record.passcode not in repr(record)


UNSIGNED = [
    (kind, name, field.codec)
    for kind in KINDS
    for name, field in kind._layout
    if isinstance(field.codec, Unsigned) and name not in kind._constants
]


@pytest.mark.parametrize(("kind", "name", "codec"), UNSIGNED, ids=lambda each: str(each)[:40])
@settings(max_examples=5)
@given(data=st.data())
def test_what_does_not_fit_is_our_own_error(
    kind: type[Message], name: str, codec: Unsigned, data: st.DataObject
) -> None:
    """Numbers that a field cannot hold never leave as bytes, nor as another error."""
    message = data.draw(messages(kind).filter(lambda each: getattr(each, name) is not None))
    for value in (-1, 1 << 8 * codec._size):
        with pytest.raises(LocalProtocolError):
            dataclasses.replace(message, **{name: value}).encode()  # type: ignore[type-var]
