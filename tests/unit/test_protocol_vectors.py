"""The reference's 167 frames: whole, byte by byte, with trailing bytes, in both directions."""

import json
from pathlib import Path
from typing import Any

import pytest

from protocol_helpers import decode_frame, encode_reply, shown
from ttlock_protocol.cipher import decrypt
from ttlock_protocol.errors import CommandRefused, DecodeError, Refusal
from ttlock_protocol.frame import Frame, FrameDecoder, Version
from ttlock_protocol.message import Request, decode_request
from ttlock_protocol.quirks import Quirks
from ttlock_protocol.session import Event, Failed, Push, Replied, Session

FOLDER = Path(__file__).parent.parent / "vectors"
VECTORS: dict[str, dict[str, Any]] = {
    each["id"]: each for each in json.loads((FOLDER / "vectors.json").read_text())["vectors"]
}
EXPECTED: dict[str, dict[str, Any]] = json.loads((FOLDER / "expected.json").read_text())
REQUESTS = [name for name, each in VECTORS.items() if each["dir"] == "app"]
REPLIES = [name for name, each in VECTORS.items() if each["dir"] != "app"]
CANONICAL_REQUESTS = [name for name in REQUESTS if EXPECTED[name]["mark"] == "canonical"]
CANONICAL_REPLIES = [
    name
    for name in REPLIES
    if EXPECTED[name]["mark"] == "canonical" and "message" in EXPECTED[name]
]


def frame_of(name: str) -> bytes:
    return bytes.fromhex(VECTORS[name]["frame"])


def session_for(name: str, quirks: Quirks | None = None) -> Session:
    header = Version.decode(bytes.fromhex(VECTORS[name]["header"]))
    return Session(
        key=bytes.fromhex(VECTORS[name]["key"]), version=header, quirks=quirks or Quirks()
    )


def request_of(name: str) -> Request[Any]:
    vector = VECTORS[name]
    return decode_request(vector["cmd"], bytes.fromhex(vector["plaintext"]))


def waiting_session(name: str) -> Session:
    session = session_for(name)
    if (asked := EXPECTED[name].get("answers")) is not None:
        session.send(request_of(asked))
    return session


def check_reply(name: str, event: Event) -> None:
    expected = EXPECTED[name]
    match event:
        case Replied(_, response, is_last):
            assert shown(response) == expected["message"]
            assert is_last == expected["is_last"]
        case Push(message):
            assert "answers" not in expected
            assert shown(message) == expected["message"]
        case Failed(_, CommandRefused(refusal=refusal)):
            assert refusal is Refusal[expected["refusal"]]
        case _:
            pytest.fail(f"{type(event).__name__} was not expected")


def test_there_are_167_and_each_has_its_mark() -> None:
    assert len(VECTORS) == 167
    assert VECTORS.keys() == EXPECTED.keys()
    for expected in EXPECTED.values():
        assert expected["mark"] in {"canonical", "decode-only", "refused"}
        assert ("reason" in expected) == (expected["mark"] != "canonical")


@pytest.mark.parametrize("name", VECTORS)
def test_frame_is_read(name: str) -> None:
    vector = VECTORS[name]
    frame = decode_frame(frame_of(name))
    assert frame.is_intact
    assert frame.version.encode().hex() == vector["header"]
    assert frame.command == vector["frame_cmd"]
    assert frame.payload.hex() == vector["ciphertext"]
    key = bytes.fromhex(vector["key"])
    assert (decrypt(key, frame.payload) if frame.payload else b"").hex() == vector["plaintext"]


@pytest.mark.parametrize("name", VECTORS)
def test_frame_is_read_byte_by_byte(name: str) -> None:
    raw = frame_of(name)
    decoder = FrameDecoder()
    arrived = [decoder.feed(raw[at : at + 1]) for at in range(len(raw))]
    # It is complete with its checksum; the line end behind it is nothing.
    assert [len(each) for each in arrived] == [0] * (len(raw) - 3) + [1, 0, 0]
    assert arrived[-3] == [decode_frame(raw)]


@pytest.mark.parametrize("name", VECTORS)
@pytest.mark.parametrize("trailing", [b"\x00", b"\x7f", b"garbage \r\n", b"\x7f\x5a\x05\x03\x02"])
def test_trailing_bytes_do_not_hide_a_frame(name: str, trailing: bytes) -> None:
    raw = frame_of(name)
    decoder = FrameDecoder()
    assert decoder.feed(raw + trailing) == [decode_frame(raw)]
    assert decoder.buffered_bytes <= len(trailing)


@pytest.mark.parametrize("name", VECTORS)
def test_two_frames_in_one_piece(name: str) -> None:
    raw = frame_of(name)
    whole = decode_frame(raw)
    assert FrameDecoder().feed(raw + raw) == [whole, whole]
    without_line_end = raw[:-2]
    assert FrameDecoder().feed(without_line_end + raw) == [whole, whole]


@pytest.mark.parametrize("name", REQUESTS)
def test_request_is_decoded(name: str) -> None:
    expected = EXPECTED[name]
    if expected["mark"] == "refused":
        with pytest.raises(DecodeError):
            request_of(name)
    else:
        assert shown(request_of(name)) == expected["message"]


@pytest.mark.parametrize("name", CANONICAL_REQUESTS)
def test_request_is_encoded_bit_for_bit(name: str) -> None:
    assert session_for(name).send(request_of(name)).hex() == VECTORS[name]["frame"]


def test_padded_empty_request_is_encoded_with_its_quirk() -> None:
    session = session_for("init.req.padded", Quirks(pads_empty_payload=True))
    sent = session.send(request_of("init.req.padded"))
    assert sent.hex() == VECTORS["init.req.padded"]["frame"]


@pytest.mark.parametrize("name", REPLIES)
def test_reply_is_understood(name: str) -> None:
    (event,) = waiting_session(name).receive(frame_of(name))
    check_reply(name, event)


@pytest.mark.parametrize("name", REPLIES)
def test_reply_is_understood_byte_by_byte(name: str) -> None:
    session = waiting_session(name)
    events = [event for byte in frame_of(name) for event in session.receive(bytes([byte]))]
    assert len(events) == 1
    check_reply(name, events[0])


@pytest.mark.parametrize("name", REPLIES)
def test_trailing_bytes_do_not_hide_a_reply(name: str) -> None:
    (event,) = waiting_session(name).receive(frame_of(name) + b"\x7f\x5a\x05")
    check_reply(name, event)


@pytest.mark.parametrize("name", CANONICAL_REPLIES)
def test_reply_is_encoded_bit_for_bit(name: str) -> None:
    vector = VECTORS[name]
    (event,) = waiting_session(name).receive(frame_of(name))
    message = event.response if isinstance(event, Replied) else event.message  # type: ignore[union-attr]
    header = Version.decode(bytes.fromhex(vector["header"]))
    sent = encode_reply(
        vector["cmd"],
        message,
        key=bytes.fromhex(vector["key"]),
        version=header,
        command=vector["frame_cmd"],
    )
    assert sent.hex() == vector["frame"]


def test_the_empty_reply_is_a_wrong_key_after_anything_but_a_reset() -> None:
    session = session_for("rsp.empty")
    session.send(request_of("autolock.get"))
    (event,) = session.receive(frame_of("rsp.empty"))
    assert isinstance(event, Failed)
    assert type(event.error).__name__ == "KeyMismatch"


def test_frames_that_cross_the_altered_table_entry_are_among_them() -> None:
    assert sum(each["crc_index33"] for each in VECTORS.values()) == 12
    assert isinstance(decode_frame(frame_of("autolock.get")), Frame)
