"""Frames and sessions under arbitrary bytes, pieces, strays and repeats."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from protocol_helpers import KEY, encode_reply, reply
from protocol_strategies import messages
from ttlock_protocol.errors import CommandRefused, RemoteProtocolError
from ttlock_protocol.frame import (
    MAX_PAYLOAD_BYTES,
    Frame,
    FrameDecoder,
    LegacyFrame,
    Version,
    chunks,
    encode_frame,
)
from ttlock_protocol.message import Request, requests
from ttlock_protocol.messages.clock import GetClock
from ttlock_protocol.messages.operate import OperationPush, State
from ttlock_protocol.messages.settings import SetSound
from ttlock_protocol.quirks import Quirks
from ttlock_protocol.session import Damaged, Failed, Push, Replied, Session, Stray

LARGEST_FRAME = 12 + MAX_PAYLOAD_BYTES + 1
LARGEST_BUFFER = LARGEST_FRAME + 256

VERSIONS = st.builds(
    Version,
    protocol_type=st.integers(5, 0xFF) | st.just(0),
    protocol_version=st.integers(0, 0xFF),
    scene=st.integers(0, 0xFF),
    group=st.integers(0, 0xFFFF),
    organisation=st.integers(0, 0xFFFF),
)
FRAMES = st.builds(
    Frame,
    version=VERSIONS,
    command=st.integers(0, 0xFF),
    payload=st.binary(max_size=MAX_PAYLOAD_BYTES),
    encrypt=st.integers(0, 0xFF),
)
NOISE = st.binary(max_size=40) | st.sampled_from((b"\x7f", b"\x7f\x5a", b"\r\n", b"\x7f\x5a\x05"))
STREAMS = st.lists(NOISE | FRAMES.map(encode_frame), max_size=6).map(b"".join)
REQUESTS: list[type[Request[Any]]] = [kind for kinds in requests().values() for kind in kinds]


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({place % (len(data) + 1) for place in places} | {len(data)})
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


@given(frame=FRAMES, line_end=st.booleans())
def test_frame_round_trips(frame: Frame, line_end: bool) -> None:
    assert FrameDecoder().feed(encode_frame(frame, line_end=line_end)) == [frame]


@given(stream=STREAMS, places=st.lists(st.integers(0, 2000), max_size=30))
def test_any_chunking_gives_the_same_frames(stream: bytes, places: list[int]) -> None:
    whole = FrameDecoder().feed(stream)
    decoder = FrameDecoder()
    pieces: list[Frame | LegacyFrame] = []
    for piece in cut(stream, places):
        pieces += decoder.feed(piece)
        assert decoder.buffered_bytes <= LARGEST_BUFFER
    assert pieces == whole


@given(frames=st.lists(FRAMES, min_size=1, max_size=4))
def test_frames_are_cut_into_pieces_that_a_lock_takes(frames: list[Frame]) -> None:
    decoder = FrameDecoder()
    found: list[Frame | LegacyFrame] = []
    for frame in frames:
        for piece in chunks(encode_frame(frame)):
            assert 1 <= len(piece) <= 20
            found += decoder.feed(piece)
    assert found == frames


@given(noise=st.binary(max_size=300), frame=FRAMES)
def test_a_frame_behind_noise_is_found_in_the_end(noise: bytes, frame: Frame) -> None:
    """Noise may look like the beginning of a frame; it never hides more than its length."""
    decoder = FrameDecoder()
    found = decoder.feed(noise + encode_frame(frame) + bytes(LARGEST_FRAME))
    assert frame in [each for each in found if isinstance(each, Frame)]


@given(stream=st.binary(max_size=600), is_checked=st.booleans())
def test_any_bytes_give_events_and_nothing_else(stream: bytes, is_checked: bool) -> None:
    version = Version()
    session = Session(key=KEY, version=version, quirks=Quirks(ignores_checksum=not is_checked))
    session.send(GetClock())
    for event in session.receive(stream):
        assert isinstance(event, Replied | Failed | Push | Stray | Damaged)
        if isinstance(event, Failed):
            assert isinstance(event.error, RemoteProtocolError | CommandRefused)


@given(
    plaintext=st.binary(min_size=1, max_size=200),
    kind=st.sampled_from(REQUESTS),
    data=st.data(),
)
def test_any_plaintext_gives_one_event(
    plaintext: bytes, kind: type[Request[Any]], data: st.DataObject
) -> None:
    request = data.draw(messages(kind))
    assert isinstance(request, Request)
    session = Session(key=KEY, version=Version())
    session.send(request)
    (event,) = session.receive(reply(plaintext))
    if isinstance(event, Replied):
        assert plaintext[:2] == bytes((request.opcode, 1)) or kind.__name__ == "Hello"
        assert (session.outstanding is None) == event.is_last
    elif isinstance(event, Failed):
        assert isinstance(event.error, RemoteProtocolError | CommandRefused)
        assert session.outstanding is None
    else:
        assert session.outstanding == request


PUSHES = st.one_of(
    messages(OperationPush).map(lambda push: encode_reply(0x14, push)),  # type: ignore[arg-type]
    messages(State).map(lambda push: encode_reply(0x14, push)),  # type: ignore[arg-type]
    st.binary(max_size=30).map(lambda data: reply(bytes((0x47, 1)) + data)),
    st.binary(max_size=30).map(lambda data: reply(bytes((0x05, 1)) + data)),
    st.binary(max_size=30).map(lambda data: reply(bytes((0x62, 1, 0x57, 1)) + data)),
    st.binary(max_size=30).map(lambda data: reply(bytes((0x36, 0)) + data)),
)


@given(before=st.lists(PUSHES, max_size=5), after=st.lists(PUSHES, max_size=5))
def test_pushes_and_strays_never_end_a_request(before: list[bytes], after: list[bytes]) -> None:
    session = Session(key=KEY, version=Version())
    request = SetSound(is_on=True)
    session.send(request)
    for raw in before:
        (event,) = session.receive(raw)
        assert isinstance(event, Push | Stray)
        assert session.outstanding == request
    (event,) = session.receive(reply(bytes((0x62, 1, 0x57, 2))))
    assert isinstance(event, Replied)
    for raw in after:
        (event,) = session.receive(raw)
        assert isinstance(event, Push | Stray)


@given(kind=st.sampled_from(REQUESTS), data=st.data())
def test_the_other_end_reads_what_was_sent(kind: type[Request[Any]], data: st.DataObject) -> None:
    """Requests and answers through the whole stack, each end with its own decoder."""
    request = data.draw(messages(kind))
    answer = data.draw(messages(kind.response_type))
    assert isinstance(request, Request)
    session = Session(key=KEY, version=Version())
    (frame,) = FrameDecoder().feed(session.send(request))
    assert isinstance(frame, Frame)
    assert frame.command == kind.opcode
    (event,) = session.receive(encode_reply(kind.opcode, answer))  # type: ignore[arg-type]
    if isinstance(event, Replied):
        assert event.response == answer
    elif kind.__name__ == "GetAesKey":
        # Its answer comes with the factory's key.
        assert isinstance(event, Failed)
    else:
        assert not request.accepts(answer, None)  # type: ignore[arg-type]
