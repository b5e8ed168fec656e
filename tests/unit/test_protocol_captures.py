"""The second, separate set: public captures and other projects' examples (tests/vectors)."""

import json
from pathlib import Path
from typing import Any

import pytest

from protocol_helpers import decode_frame, reply, shown
from ttlock_protocol import keyfiles, masking
from ttlock_protocol.advertisement import Advertisement, parse
from ttlock_protocol.checksum import TABLE, crc8
from ttlock_protocol.cipher import decrypt, encrypt
from ttlock_protocol.errors import CommandRefused, Refusal
from ttlock_protocol.frame import FrameDecoder, LegacyFrame, Version
from ttlock_protocol.message import Request, requests
from ttlock_protocol.messages.device import DeviceText
from ttlock_protocol.messages.passcodes import Cycle
from ttlock_protocol.session import Failed, Replied, Session

CAPTURES: dict[str, Any] = json.loads(
    (Path(__file__).parent.parent / "vectors" / "captures.json").read_text()
)
KEY = bytes.fromhex("a1b2c3d4e5f60718293a4b5c6d7e8f90")
FLAGS = ("is_setting_mode", "has_new_records", "is_touched", "is_dormant")
MAXIM_ENTRY_33 = 0x7D


def maxim_crc(data: bytes) -> int:
    """The standard CRC-8, which some projects use and locks do not."""
    table = bytearray(TABLE)
    table[33] = MAXIM_ENTRY_33
    value = 0
    for byte in data:
        value = table[value ^ byte]
    return value


def request_of(description: dict[str, dict[str, Any]]) -> Request[Any]:
    ((name, fields),) = description.items()
    kinds = {kind.__name__: kind for group in requests().values() for kind in group}
    if "kind" in fields:
        fields = fields | {"kind": DeviceText[fields["kind"]]}
    return kinds[name](**fields)


@pytest.mark.parametrize("capture", CAPTURES["frames"], ids=lambda each: each["id"])
def test_captured_frame(capture: dict[str, Any]) -> None:
    raw = bytes.fromhex(capture["frame"])
    frame = decode_frame(raw)
    assert frame.is_intact
    assert frame.command == capture["command"]
    assert frame.version == Version(scene=capture["scene"])
    assert len(frame.payload) % 16 == 0
    if capture["maxim_crc"] is not None:
        assert f"{maxim_crc(raw[:-3]):02x}" == capture["maxim_crc"]


def test_real_locks_use_the_altered_table() -> None:
    replies = [each for each in CAPTURES["frames"] if each["id"].startswith("kj.reply")]
    assert len(replies) == 2
    for each in replies:
        assert each["maxim_crc"] != each["frame"][-6:-4]


def test_a_line_end_inside_ciphertext_ends_nothing() -> None:
    raw = bytes.fromhex(CAPTURES["frames"][-1]["frame"])
    assert raw.index(b"\r\n") < len(raw) - 2
    assert decrypt(KEY, decode_frame(raw).payload).hex() == "47015700bc614e659202231a030e091e00"


@pytest.mark.parametrize("capture", CAPTURES["replies"], ids=lambda each: each["id"])
def test_captured_reply(capture: dict[str, Any]) -> None:
    session = Session(key=KEY, version=Version())
    session.send(request_of(capture["request"]))
    (event,) = session.receive(reply(bytes.fromhex(capture["plaintext"])))
    assert isinstance(event, Replied)
    assert shown(event.response) == capture["message"]
    assert event.response.encode().hex() == capture["plaintext"][4:]


@pytest.mark.parametrize("capture", CAPTURES["refusals"], ids=lambda each: each["id"])
def test_captured_refusal(capture: dict[str, Any]) -> None:
    session = Session(key=KEY, version=Version())
    session.send(request_of(capture["request"]))
    (event,) = session.receive(reply(bytes.fromhex(capture["plaintext"])))
    assert isinstance(event, Failed)
    assert isinstance(event.error, CommandRefused)
    assert event.error.refusal is Refusal[capture["refusal"]]


@pytest.mark.parametrize("capture", CAPTURES["cycles"], ids=lambda each: str(each["number"]))
def test_captured_cycle(capture: dict[str, Any]) -> None:
    cycle = Cycle.from_number(capture["number"])
    assert (cycle.days.name, cycle.hours) == (capture["days"], capture["hours"])
    assert cycle.number == capture["number"]
    assert cycle.number & 0xFF == capture["low_byte"]


@pytest.mark.parametrize("capture", CAPTURES["advertisements"], ids=lambda each: each["data"][:10])
def test_captured_advertisement(capture: dict[str, Any]) -> None:
    data = bytes.fromhex(capture["data"])
    seen = parse(data)
    assert isinstance(seen, Advertisement)
    assert seen.mac == "AA:BB:CC:11:22:33"
    assert seen.scene == capture["scene"]
    assert seen.battery_percent == capture["battery_percent"]
    assert seen.bolt.name == capture["bolt"]
    assert [name for name in FLAGS if getattr(seen, name)] == sorted(
        capture["flags"], key=FLAGS.index
    )
    assert seen.encode() == data


@pytest.mark.parametrize("capture", CAPTURES["checksums"], ids=lambda each: each["data"])
def test_checksum(capture: dict[str, Any]) -> None:
    data = bytes.fromhex(capture["data"])
    assert f"{crc8(data):02x}" == capture["crc"]
    assert f"{maxim_crc(data):02x}" == capture["maxim_crc"]


@pytest.mark.parametrize("capture", CAPTURES["ciphers"], ids=lambda each: each["source"])
def test_cipher(capture: dict[str, Any]) -> None:
    key, plaintext = bytes.fromhex(capture["key"]), bytes.fromhex(capture["plaintext"])
    assert encrypt(key, plaintext).hex() == capture["ciphertext"]
    assert decrypt(key, bytes.fromhex(capture["ciphertext"])) == plaintext


@pytest.mark.parametrize("capture", CAPTURES["masks"], ids=lambda each: each["text"])
def test_mask(capture: dict[str, Any]) -> None:
    text, seed = capture["text"], capture["seed"]
    assert masking.mask(text.encode(), seed).hex() == capture["masked"]
    assert masking.unmask(bytes.fromhex(capture["masked"])) == text.encode()
    assert masking.mask_text(text, seed) == capture["stored"]
    assert masking.unmask_text(capture["stored"]) == text


@pytest.mark.parametrize("capture", CAPTURES["legacy"], ids=lambda each: each["frame"])
def test_legacy_frame_is_recognised(capture: dict[str, Any]) -> None:
    expected = LegacyFrame(protocol_type=capture["protocol_type"], command=capture["command"])
    assert FrameDecoder().feed(bytes.fromhex(capture["frame"])) == [expected]


def test_lock_data_string() -> None:
    (found,) = keyfiles.from_text(CAPTURES["lock_data"]).found
    assert found.mac == "AA:BB:CC:11:22:33"
    assert found.name == "S999_332211"
    assert found.keys.aes_key == KEY
    assert found.keys.unlock_key == 987654321
    assert found.keys.admin_secret == 123456789
    assert found.keys.version == Version(scene=2)
    assert found.features is not None
    assert found.features.bits == 1908733425
    assert found.time_zone_offset is not None
    assert found.time_zone_offset.total_seconds() == 3600
