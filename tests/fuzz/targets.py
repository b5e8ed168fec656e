"""What is fuzzed: functions of bytes that raise nothing, whatever the bytes are.

Each asserts what must hold; any exception that leaves one is a finding. They need no fuzzer, so
the committed corpus runs as an ordinary test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

from ttlock_protocol import advertisement, keyfiles, masking
from ttlock_protocol.cipher import DEFAULT_KEY, encrypt
from ttlock_protocol.errors import (
    CommandRefused,
    DecodeError,
    LocalProtocolError,
    RemoteProtocolError,
)
from ttlock_protocol.frame import Frame, FrameDecoder, LegacyFrame, Version, encode_frame
from ttlock_protocol.keys import LockKeys
from ttlock_protocol.message import (
    Opcode,
    Request,
    Response,
    decode_push,
    decode_request,
    requests,
)
from ttlock_protocol.messages.operate import GetFeatures, GetState, OperationPush
from ttlock_protocol.messages.settings import GetAutoLock, GetSound, GetSwitches
from ttlock_protocol.procedures import (
    LinkDropped,
    Procedure,
    ask,
    authenticate_admin,
    list_cards,
    list_fingerprints,
    list_passage_entries,
    list_passcodes,
    read_device_info,
    read_log,
    unlock,
)
from ttlock_protocol.session import Damaged, Failed, Push, Replied, Session, Stray
from ttlock_protocol.virtual import (
    NotConnectable,
    StateError,
    VirtualLock,
    dump_memory,
    load_memory,
    new_lock,
)
from ttlock_protocol.virtual.central import Central

KEY: Final = bytes.fromhex("a1b2c3d4e5f60718293a4b5c6d7e8f90")
NOW: Final = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
KEYS: Final = LockKeys(aes_key=KEY, admin_secret=123456789, unlock_key=987654321)
LARGEST_BUFFER: Final = 12 + 255 + 1 + 256
MAX_PLAINTEXT: Final = 239
REQUESTS: Final[list[type[Request[Any]]]] = [
    kind for opcode in sorted(requests()) for kind in requests()[opcode]
]
RESPONSES: Final[list[type[Response]]] = sorted(
    {kind.response_type for kind in REQUESTS} | {OperationPush}, key=lambda kind: kind.__name__
)


QUESTIONS: Final[tuple[Callable[[], Procedure[Any]], ...]] = (
    lambda: authenticate_admin(KEYS),
    list_passcodes,
    list_cards,
    list_fingerprints,
    list_passage_entries,
    lambda: read_device_info(has_nb_iot=True),
    lambda: read_log(cursor=0, limit=500),
    *(partial(ask, kind()) for kind in (GetFeatures, GetState, GetSound, GetAutoLock, GetSwitches)),
)
"""All that a lock tells about itself."""


def _records(data: bytes) -> Iterator[bytes]:
    """Cut ``data`` into records that each say their length in their first byte."""
    at = 0
    while at < len(data):
        length = min(data[at], MAX_PLAINTEXT)
        yield data[at + 1 : at + 1 + length]
        at += 1 + length


def _framed(command: int, plaintext: bytes) -> bytes:
    payload = encrypt(KEY, plaintext) if plaintext else b""
    return encode_frame(Frame(version=Version(), command=command, payload=payload))


def frames(data: bytes) -> None:
    """Any chunking gives the same frames, in a bounded buffer; frames come out as they went in."""
    size, stream = (data[0] % 64 + 1, data[1:]) if data else (1, b"")
    whole = FrameDecoder().feed(stream)
    decoder, found = FrameDecoder(), list[Frame | LegacyFrame]()
    for start in range(0, len(stream), size):
        found += decoder.feed(stream[start : start + size])
        assert decoder.buffered_bytes <= LARGEST_BUFFER
    assert found == whole
    for frame in whole:
        if isinstance(frame, Frame) and frame.is_intact:
            assert FrameDecoder().feed(encode_frame(frame)) == [frame]


def session(data: bytes) -> None:
    """A request, then what a lock might say: each saying gives one event, and no other error."""
    if not data:
        return
    kind = REQUESTS[data[0] % len(REQUESTS)]
    client = Session(key=KEY, version=Version())
    for at, record in enumerate(_records(data[1:])):
        if at == 0:
            try:
                client.send(kind.decode(record))
            except (DecodeError, LocalProtocolError):
                return
            continue
        events = client.receive(_framed(Opcode.RESPONSE, record))
        assert len(events) == 1
        event = events[0]
        assert isinstance(event, Replied | Failed | Push | Stray | Damaged)
        if isinstance(event, Replied):
            assert event.response.opcode == kind.opcode


def stream(data: bytes) -> None:
    """Raw bytes into a waiting session."""
    client = Session(key=KEY, version=Version())
    client.send(REQUESTS[0]())
    for event in client.receive(data):
        assert isinstance(event, Replied | Failed | Push | Stray | Damaged)


def messages(data: bytes) -> None:
    """What was decoded can be said, and means the same."""
    if not data:
        return
    kinds = [*REQUESTS, *RESPONSES]
    kind = kinds[data[0] % len(kinds)]
    try:
        message = kind.decode(data[1:])
    except RemoteProtocolError:
        return
    assert kind.decode(message.encode()) == message
    assert repr(message)


def commands(data: bytes) -> None:
    """Any command to a lock, and any push of one."""
    if not data:
        return
    for decode in (decode_request, decode_push):
        try:
            decode(data[0], data[1:])
        except (LookupError, RemoteProtocolError):
            continue


def advertisements(data: bytes) -> None:
    """Manufacturer data of anybody."""
    seen = advertisement.parse(data)
    if isinstance(seen, advertisement.Advertisement):
        assert advertisement.parse(seen.encode()) == seen
        assert seen.bolt is not None
        assert seen.version.protocol_type == advertisement.V3_TYPE


def key_files(data: bytes) -> None:
    """Files that people take for lock keys."""
    text = data.decode(errors="replace")
    try:
        result = keyfiles.from_text(text)
    except keyfiles.KeyImportError:
        return
    assert result.found or result.rejected
    for key in result.found:
        assert KEY.hex() not in repr(key)


def masks(data: bytes) -> None:
    """Masked fields."""
    try:
        text = masking.unmask_text(data.decode("latin-1"))
    except DecodeError:
        return
    assert text.isascii()


def virtual_lock(data: bytes) -> None:
    """Commands of an administrator gone mad: the lock answers or hangs up, and never breaks."""
    now = NOW
    lock = VirtualLock(
        new_lock(mac="AA:BB:CC:11:22:33", name="Fuzzed", keys=KEYS, now=now, zone=UTC),
        entropy=bytes,
    )
    central = Central(lock, key=KEY, clock=lambda: NOW)
    central.run(authenticate_admin(KEYS))
    for record in _records(data):
        if not lock.is_connected or not record:
            break
        now += timedelta(milliseconds=100)
        lock.receive(_framed(record[0], record[1:]), now)
        lock.take_outputs()
    lock.tick(now + timedelta(hours=1))


def states(data: bytes) -> None:
    """A state that somebody edited: refused, or the state of a lock that works."""
    try:
        memory = load_memory(data.decode(errors="replace"))
    except StateError:
        return
    assert load_memory(dump_memory(memory)) == memory
    lock = VirtualLock(memory, entropy=bytes)
    lock.tick(NOW)
    lock.type_code("135790", NOW)
    lock.advertisement(NOW)
    lock.next_event_at(NOW)
    owner = memory.administrator
    with suppress(NotConnectable):
        central = Central(lock, key=owner.aes_key if owner else DEFAULT_KEY, clock=lambda: NOW)
        for ask_for in (*QUESTIONS, lambda: unlock(KEYS, unique_id=1)):
            with suppress(CommandRefused, LinkDropped):
                central.run(ask_for())
    lock.tick(NOW + timedelta(hours=1))


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    target.__name__: target
    for target in (
        frames,
        session,
        stream,
        messages,
        commands,
        advertisements,
        key_files,
        masks,
        virtual_lock,
        states,
    )
}
