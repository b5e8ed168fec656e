"""Frames: bounds, resynchronising, damaged and legacy ones."""

from typing import Any

import pytest

from protocol_helpers import decode_frame
from ttlock_protocol.errors import LocalProtocolError
from ttlock_protocol.frame import Frame, FrameDecoder, LegacyFrame, Version, chunks, encode_frame

FRAME = Frame(version=Version(), command=0x54, payload=bytes(range(32)))
RAW = encode_frame(FRAME)
DAMAGED = RAW[:20] + b"\xff" + RAW[21:]


@pytest.mark.parametrize(
    "fields",
    [
        {"protocol_type": 256},
        {"protocol_version": -1},
        {"scene": 256},
        {"group": 0x10000},
        {"organisation": -1},
    ],
)
def test_impossible_version_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(LocalProtocolError):
        Version(**fields)


def test_version_stands_in_the_header() -> None:
    version = Version(scene=2, group=0x000A, organisation=0x0022)
    assert version.encode().hex() == "050302000a0022"
    assert Version.decode(version.encode()) == version


def test_a_payload_fits_into_one_byte_of_length() -> None:
    largest = Frame(version=Version(), command=1, payload=bytes(255))
    assert decode_frame(encode_frame(largest)) == largest
    with pytest.raises(LocalProtocolError):
        encode_frame(Frame(version=Version(), command=1, payload=bytes(256)))


def test_representation_hides_the_payload() -> None:
    assert "32 bytes" in repr(FRAME)
    assert "0102" not in repr(FRAME)


def test_writes_are_twenty_bytes_at_most() -> None:
    pieces = list(chunks(RAW))
    assert b"".join(pieces) == RAW
    assert [len(piece) for piece in pieces] == [20, 20, 7]


def test_a_damaged_frame_is_told_and_the_next_one_found() -> None:
    damaged, good = FrameDecoder().feed(DAMAGED + RAW)
    assert not damaged.is_intact
    assert good == FRAME


def test_a_frame_behind_a_lost_piece_is_found() -> None:
    found = FrameDecoder().feed(RAW[:20] + RAW + RAW)
    assert found[-1] == FRAME
    assert [each.is_intact for each in found].count(True) == 2


def test_a_decoder_may_ignore_checksums() -> None:
    (frame,) = FrameDecoder(ignores_checksum=True).feed(DAMAGED)
    assert frame.is_intact


def test_clear_forgets_a_half_received_frame() -> None:
    decoder = FrameDecoder()
    decoder.feed(RAW[:30])
    assert decoder.buffered_bytes == 30
    decoder.clear()
    assert decoder.buffered_bytes == 0
    assert decoder.feed(RAW) == [FRAME]


def test_magic_may_be_split_between_pieces() -> None:
    decoder = FrameDecoder()
    assert decoder.feed(b"noise\x7f") == []
    assert decoder.buffered_bytes == 1
    assert decoder.feed(RAW[1:]) == [FRAME]
    assert decoder.feed(b"noise") == []
    assert decoder.buffered_bytes == 0


def test_length_is_unsigned() -> None:
    long = Frame(version=Version(), command=0x54, payload=bytes(240))
    assert decode_frame(encode_frame(long)) == long


def test_protocol_type_zero_has_the_long_header() -> None:
    frame = Frame(version=Version(protocol_type=0), command=0x54, payload=bytes(16))
    assert decode_frame(encode_frame(frame)) == frame


def test_a_legacy_frame_is_recognised_in_a_stream() -> None:
    legacy = bytes.fromhex("7f5a03452a003e0d0a")
    assert FrameDecoder().feed(legacy + RAW) == [LegacyFrame(protocol_type=3, command=0x45), FRAME]
    damaged, _ = FrameDecoder().feed(legacy[:-3] + b"\0\r\n" + RAW)
    assert isinstance(damaged, LegacyFrame)
    assert not damaged.is_intact


def test_a_huge_piece_does_not_make_the_buffer_huge() -> None:
    decoder = FrameDecoder()
    decoder.feed(b"\x7f\x5a\x05\x03\x02\0\1\0\1\x54\xaa\xff" * 10_000)
    assert decoder.buffered_bytes < 600
