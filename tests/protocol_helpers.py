"""What several tests of the protocol share."""

import dataclasses
from datetime import datetime, time
from enum import Enum
from typing import Any

from ttlock_protocol.cipher import encrypt
from ttlock_protocol.frame import Frame, FrameDecoder, Version, encode_frame
from ttlock_protocol.message import Opcode, Response

KEY = bytes.fromhex("a1b2c3d4e5f60718293a4b5c6d7e8f90")
"""The reference's made-up key."""


def local(year: int, month: int, day: int, *clock: int) -> datetime:
    """Return a time as a lock keeps it, without a zone."""
    return datetime(year, month, day, *clock)  # noqa: DTZ001


def decode_frame(raw: bytes) -> Frame:
    (frame,) = FrameDecoder().feed(raw)
    assert isinstance(frame, Frame)
    return frame


def reply(plaintext: bytes, *, key: bytes = KEY, version: Version | None = None) -> bytes:
    """Return the frame in which a lock says ``plaintext``."""
    return encode_frame(
        Frame(
            version=version or Version(),
            command=Opcode.RESPONSE,
            payload=encrypt(key, plaintext) if plaintext else b"",
        )
    )


def encode_reply(
    opcode: int,
    message: Response,
    *,
    key: bytes = KEY,
    version: Version | None = None,
    command: int = Opcode.RESPONSE,
) -> bytes:
    """Return the frame in which a lock successfully answers ``message``."""
    payload = encrypt(key, bytes((opcode, 1)) + message.encode())
    return encode_frame(Frame(version=version or Version(), command=command, payload=payload))


def shown(message: object) -> dict[str, Any]:
    """Return a message as plain data, without constants and missing fields."""
    fields = {
        each.name: _plain(getattr(message, each.name))
        for each in dataclasses.fields(message)  # type: ignore[arg-type]
        if each.init and getattr(message, each.name) is not None
    }
    return {type(message).__name__: fields}


def _plain(value: object) -> object:
    match value:
        case Enum():
            return value.name
        case datetime() | time():
            return value.isoformat()
        case bytes():
            return value.hex()
        case tuple():
            return [_plain(each) for each in value]
        case _:
            return shown(value) if dataclasses.is_dataclass(value) else value
