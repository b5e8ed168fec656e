"""Frames on the wire: encode one, and find them again in any stream of pieces (reference 2, 3).

Layout: ``7F 5A``, type, version, scene, group u16, organisation u16, command, encrypt flag,
length, payload, CRC-8, then ``0D 0A`` which neither length nor checksum covers. A frame ends where
its length byte says; ciphertext contains ``0D 0A`` by chance, so a line end is never searched for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from .checksum import crc8
from .errors import LocalProtocolError

MAGIC: Final = b"\x7f\x5a"
LINE_END: Final = b"\r\n"
CHUNK_BYTES: Final = 20
"""Largest single GATT write or notification; no known client relies on a larger MTU."""
ENCRYPTED: Final = 0xAA
MAX_PAYLOAD_BYTES: Final = 255
_HEADER_BYTES: Final = 12
_LEGACY_HEADER_BYTES: Final = 6
_TYPE_OFFSET: Final = 2
_LENGTH_OFFSET: Final = 11
_LEGACY_LENGTH_OFFSET: Final = 5
_FIRST_LONG_TYPE: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """The version fields of a frame header, which name a family of locks (reference 1.6, 3.1).

    ``scene`` is the class of device; ``group`` and ``organisation`` are 0 to 65535 and mostly 1.
    """

    protocol_type: int = 5
    protocol_version: int = 3
    scene: int = 2
    group: int = 1
    organisation: int = 1

    def __post_init__(self) -> None:
        for value, limit in (
            (self.protocol_type, 0xFF),
            (self.protocol_version, 0xFF),
            (self.scene, 0xFF),
            (self.group, 0xFFFF),
            (self.organisation, 0xFFFF),
        ):
            if not 0 <= value <= limit:
                raise LocalProtocolError(f"a version field must be 0 to {limit}, not {value}")

    def encode(self) -> bytes:
        """Return the seven header bytes 2 to 8."""
        return bytes((self.protocol_type, self.protocol_version, self.scene)) + (
            self.group << 16 | self.organisation
        ).to_bytes(4, "big")

    @classmethod
    def decode(cls, data: bytes) -> Version:
        """Read the seven header bytes 2 to 8."""
        return cls(
            protocol_type=data[0],
            protocol_version=data[1],
            scene=data[2],
            group=int.from_bytes(data[3:5], "big"),
            organisation=int.from_bytes(data[5:7], "big"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One frame; ``payload`` is still encrypted and hidden in the representation.

    ``is_intact`` tells whether the received checksum was right; a frame that is sent is always so.
    """

    version: Version
    command: int
    payload: bytes
    encrypt: int = ENCRYPTED
    is_intact: bool = True

    def __repr__(self) -> str:
        return f"Frame(command=0x{self.command:02x}, payload=<{len(self.payload)} bytes>)"


@dataclass(frozen=True, slots=True, kw_only=True)
class LegacyFrame:
    """A short frame of protocol types 1 to 4 (reference 3.5): recognised, never spoken."""

    protocol_type: int
    command: int
    is_intact: bool = True


def encode_frame(frame: Frame, *, line_end: bool = True) -> bytes:
    """Return the bytes of ``frame``.

    Raises ``LocalProtocolError`` for a payload over 255 bytes.
    """
    if len(frame.payload) > MAX_PAYLOAD_BYTES:
        raise LocalProtocolError("a frame carries at most 255 bytes of payload")
    body = b"".join(
        (
            MAGIC,
            frame.version.encode(),
            bytes((frame.command, frame.encrypt, len(frame.payload))),
            frame.payload,
        )
    )
    return body + bytes((crc8(body),)) + (LINE_END if line_end else b"")


def chunks(data: bytes) -> Iterator[bytes]:
    """Cut ``data`` into pieces of at most 20 bytes, as they are written to the lock."""
    for start in range(0, len(data), CHUNK_BYTES):
        yield data[start : start + CHUNK_BYTES]


class FrameDecoder:
    """Finds frames in a stream that arrives in pieces of any size.

    Bytes that belong to no frame are dropped. The buffer never holds more than one frame of the
    largest size plus one piece. A frame with a wrong checksum comes out with ``is_intact`` false,
    and the search goes on right behind its magic: where a piece was lost, the next frame begins
    inside it.
    """

    def __init__(self, *, ignores_checksum: bool = False) -> None:
        """With ``ignores_checksum`` every frame counts as intact (see :mod:`.quirks`)."""
        self._buffer = bytearray()
        self._ignores_checksum = ignores_checksum

    @property
    def buffered_bytes(self) -> int:
        """How many bytes wait for the rest of their frame."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[Frame | LegacyFrame]:
        """Return the frames that ``data`` completes, in order."""
        frames: list[Frame | LegacyFrame] = []
        # Piece by piece, so that one huge argument cannot make the buffer huge.
        for start in range(0, len(data), 256):
            self._buffer += data[start : start + 256]
            while (frame := self._next()) is not None:
                frames.append(frame)
        return frames

    def clear(self) -> None:
        """Forget a half-received frame; to be called when the link drops."""
        self._buffer.clear()

    def _next(self) -> Frame | LegacyFrame | None:
        self._skip_to_magic()
        buffer = self._buffer
        if len(buffer) <= _TYPE_OFFSET:
            return None
        is_long = buffer[_TYPE_OFFSET] >= _FIRST_LONG_TYPE or buffer[_TYPE_OFFSET] == 0
        header = _HEADER_BYTES if is_long else _LEGACY_HEADER_BYTES
        if len(buffer) < header:
            return None
        length = buffer[_LENGTH_OFFSET if is_long else _LEGACY_LENGTH_OFFSET]
        total = header + length + 1
        if len(buffer) < total:
            return None
        raw = bytes(buffer[:total])
        is_intact = self._ignores_checksum or crc8(raw[:-1]) == raw[-1]
        del buffer[: total if is_intact else len(MAGIC)]
        if not is_long:
            return LegacyFrame(protocol_type=raw[_TYPE_OFFSET], command=raw[3], is_intact=is_intact)
        return Frame(
            version=Version.decode(raw[2:9]),
            command=raw[9],
            encrypt=raw[10],
            payload=raw[header:-1],
            is_intact=is_intact,
        )

    def _skip_to_magic(self) -> None:
        at = self._buffer.find(MAGIC)
        if at < 0:
            # A lone 7F at the end may be the first half of the magic.
            at = len(self._buffer) - (self._buffer[-1:] == MAGIC[:1])
        del self._buffer[:at]
