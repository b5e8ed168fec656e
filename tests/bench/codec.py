"""Frames per second, and what a byte more costs, against the cipher and the checksum alone."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from math import inf
from pathlib import Path

from Crypto.Cipher import AES  # noqa: TID251 - the floor is the cipher itself

from ttlock_protocol.checksum import crc8
from ttlock_protocol.cipher import BLOCK_BYTES, decrypt, encrypt
from ttlock_protocol.frame import Frame, FrameDecoder, Version, chunks, encode_frame
from ttlock_protocol.message import Message, Opcode, Response, decode_request
from ttlock_protocol.messages.auth import CheckAdmin
from ttlock_protocol.messages.cards import CardPage, CardRecord
from ttlock_protocol.messages.passcodes import (
    AddPasscode,
    GetPasscodes,
    PasscodePage,
    PasscodeRecord,
    PasscodesChanged,
    PasscodeType,
)
from ttlock_protocol.session import Session

from .figures import Figure, compared, held_against
from .measure import Comparison, compare, seconds_per_call
from .near import FROM, KEYS, UNTIL

ROUNDS = 15
CALLS = 300
SIZES = (15, 127, 239)
"""Bytes of plaintext that fill 1, 8 and 15 blocks: the shortest frame and the longest."""
VERSION = Version()
KEY = KEYS.aes_key

REQUESTS = (
    CheckAdmin(admin_secret=KEYS.admin_secret, lock_flag_position=0, user_id=0),
    AddPasscode(
        passcode_type=PasscodeType.PERIOD, passcode="482915", valid_from=FROM, valid_until=UNTIL
    ),
    GetPasscodes(cursor=17),
)
RESPONSES = (
    PasscodesChanged(battery_percent=87, operation=2),
    PasscodePage(
        next_cursor=18,
        records=(
            PasscodeRecord(
                passcode_type=PasscodeType.PERIOD,
                passcode="482915",
                original_passcode="482915",
                valid_from=FROM,
                valid_until=UNTIL,
            ),
        ),
    ),
    CardPage(
        battery_percent=87,
        next_cursor=18,
        records=(CardRecord(card_number=b"\x12\x34\x56\x78", valid_from=FROM, valid_until=UNTIL),),
    ),
)


def run(_: Path) -> list[Figure]:
    figures = []
    messages: tuple[Message, ...] = (*REQUESTS, *RESPONSES)
    encoded = _compare(lambda: [_encoded(each) for each in messages], _raw(messages, _raw_encode))
    figures.append(_rate("encode typical messages", encoded, len(messages)))
    frames = [(each, _encoded(each)) for each in messages]
    decoded = _compare(
        lambda: [_decode(each, frame) for each, frame in frames], _raw(messages, _raw_decode)
    )
    figures.append(_rate("decode typical messages", decoded, len(messages)))
    pieces = [(each, list(chunks(frame))) for each, frame in frames]
    split = _compare(
        lambda: [_decode(each, *cut) for each, cut in pieces], _raw(messages, _raw_decode)
    )
    figures.append(_rate("decode them 20 bytes at a time", split, len(messages)))
    figures.append(_exchange())
    return (
        figures
        + _growth("encode", _encode_bytes, _raw_encode)
        + _growth("decode", _decode_bytes, _raw_decode)
    )


def _encoded(message: Message) -> bytes:
    payload = message.encode()
    if isinstance(message, Response):
        return _frame(Opcode.RESPONSE, bytes((message.opcode, 1)) + payload)
    return _frame(message.opcode, payload)


def _frame(command: int, plaintext: bytes) -> bytes:
    return encode_frame(Frame(version=VERSION, command=command, payload=encrypt(KEY, plaintext)))


def _decode(message: Message, *pieces: bytes) -> Message:
    decoder = FrameDecoder()
    for piece in pieces:
        for frame in decoder.feed(piece):
            assert isinstance(frame, Frame)
            assert frame.is_intact
            plaintext = decrypt(KEY, frame.payload)
            if frame.command == Opcode.RESPONSE:
                return type(message).decode(plaintext[2:])
            return decode_request(frame.command, plaintext)
    raise AssertionError("no frame came out")


def _encode_bytes(plaintext: bytes) -> Callable[[], object]:
    return lambda: _frame(Opcode.RESPONSE, plaintext)


def _decode_bytes(plaintext: bytes) -> Callable[[], object]:
    data = _frame(Opcode.RESPONSE, plaintext)

    def decode() -> bytes:
        (frame,) = FrameDecoder().feed(data)
        assert isinstance(frame, Frame)
        return decrypt(KEY, frame.payload)

    return decode


def _raw_encode(plaintext: bytes) -> Callable[[], object]:
    frame = _frame(Opcode.RESPONSE, plaintext)
    body = frame[:-3]
    padding = BLOCK_BYTES - len(plaintext) % BLOCK_BYTES
    padded = plaintext + bytes([padding]) * padding

    def work() -> None:
        AES.new(KEY, AES.MODE_CBC, KEY).encrypt(padded)
        crc8(body)

    return work


def _raw_decode(plaintext: bytes) -> Callable[[], object]:
    frame = _frame(Opcode.RESPONSE, plaintext)
    body = frame[:-3]
    ciphertext = body[12:]

    def work() -> None:
        AES.new(KEY, AES.MODE_CBC, KEY).decrypt(ciphertext)
        crc8(body)

    return work


def _raw(
    messages: tuple[Message, ...], of: Callable[[bytes], Callable[[], object]]
) -> Callable[[], object]:
    works = [of(_plaintext(each)) for each in messages]
    return lambda: [work() for work in works]


def _plaintext(message: Message) -> bytes:
    return bytes(2) * isinstance(message, Response) + message.encode()


def _compare(ours: Callable[[], object], floor: Callable[[], object]) -> Comparison:
    return compare(
        ROUNDS, lambda: seconds_per_call(ours, CALLS), lambda: seconds_per_call(floor, CALLS)
    )


def _rate(name: str, found: Comparison, frames: int) -> Figure:
    return Figure(
        name=name,
        value=frames / found.ours,
        unit="frames/s",
        floor=frames / found.floor,
        against="AES and checksum of the same frames",
        ratio=found.ratio,
    )


def _exchange() -> Figure:
    """What a client spends on one round trip: send a request, understand its answer."""
    session = Session(key=KEY, version=VERSION)
    request, answer = GetPasscodes(cursor=17), _encoded(RESPONSES[1])

    def exchange() -> None:
        session.send(request)
        assert session.receive(answer)

    works = _raw_encode(request.encode()), _raw_decode(_plaintext(RESPONSES[1]))
    found = _compare(exchange, lambda: [work() for work in works])
    return compared(
        "session, request and answer", found, "us", "AES and checksum of both", scale=1e6
    )


def _growth(
    name: str,
    ours: Callable[[bytes], Callable[[], object]],
    floor: Callable[[bytes], Callable[[], object]],
) -> list[Figure]:
    """What one byte more costs, from the shortest frame to one in the middle to the longest.

    The difference of two medians would be mostly noise; nothing makes code faster than it is, so
    the fastest of many turns is what it costs.
    """
    works = [(ours(bytes(size)), floor(bytes(size))) for size in SIZES]
    fastest = [[inf, inf] for _ in SIZES]
    for _ in range(4 * ROUNDS):
        for best, pair in zip(fastest, works, strict=True):
            best[:] = [
                min(old, seconds_per_call(work, 100)) for old, work in zip(best, pair, strict=True)
            ]
    return [
        held_against(
            f"{name}, per byte from {low + 1} to {high + 1}",
            (after[0] - before[0]) / (high - low) * 1e9,
            "ns",
            (after[1] - before[1]) / (high - low) * 1e9,
            "AES and checksum, per byte",
        )
        for (low, before), (high, after) in pairwise(zip(SIZES, fastest, strict=True))
    ]
