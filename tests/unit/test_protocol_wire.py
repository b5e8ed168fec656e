"""Field codecs: what each cannot say and cannot read."""

from datetime import UTC, datetime, time
from enum import IntEnum
from typing import Any

import pytest
from Crypto.Cipher import AES  # noqa: TID251 - builds what the cipher module refuses

from protocol_helpers import local
from ttlock_protocol.cipher import decrypt, encrypt
from ttlock_protocol.errors import DecodeError, LocalProtocolError, OpenIntEnum, Refusal
from ttlock_protocol.keys import LockKeys
from ttlock_protocol.message import Opcode
from ttlock_protocol.messages.auth import CheckUser
from ttlock_protocol.wire import (
    DATE5,
    DATE6,
    DIGITS,
    MAC,
    TEXT,
    TIME,
    U8,
    U16,
    Enum8,
    Flag,
    Octets,
    OrNone,
    Reader,
    RestText,
    Signed8,
    TerminatedText,
)

KEY = bytes(range(16))


class Colour(OpenIntEnum):
    RED = 1


def said(codec: Any, value: object) -> bytes:
    out = bytearray()
    codec.encode(value, out)
    return bytes(out)


@pytest.mark.parametrize(
    ("codec", "value"),
    [
        (U8, 256),
        (U16, -1),
        (Signed8(), 128),
        (Signed8(), -129),
        (Octets(4), b"123"),
        (TEXT, "käse"),
        (TEXT, "x" * 256),
        (RestText(), "ü"),
        (TerminatedText(), "two\0texts"),
        (TerminatedText(), "naïve"),
        (DIGITS, "12a4"),
        (DIGITS, "١٢٣٤"),
        (DIGITS, ""),
        (MAC, "AA:BB:CC"),
        (MAC, "AA:BB:CC:DD:EE:GG"),
        (DATE5, local(1999, 12, 31, 23, 59)),
        (DATE5, local(2100, 1, 1)),
        (DATE5, datetime(2026, 1, 1, tzinfo=UTC)),
        (DATE5, local(2026, 1, 1, 0, 0, 1)),
        (DATE6, datetime(2026, 1, 1, tzinfo=UTC)),
        (TIME, time(8, 0, 1)),
        (TIME, time(8, 0, 0, 1)),
        (TIME, time(8, tzinfo=UTC)),
    ],
)
def test_what_cannot_be_said(codec: Any, value: object) -> None:
    with pytest.raises(LocalProtocolError):
        said(codec, value)


@pytest.mark.parametrize(
    ("codec", "raw"),
    [
        (U16, "01"),
        (Octets(3), "0102"),
        (TEXT, "0431"),
        (TEXT, "02c3a4"),
        (RestText(), "ff"),
        (DIGITS, "010a"),
        (DATE5, "1a0d0e0800"),
        (DATE5, "640101 0000"),
        (DATE5, "9911301400"),
        (DATE6, "1a030e091a3c"),
        (TIME, "1800"),
        (MAC, "0102030405"),
    ],
)
def test_what_cannot_be_read(codec: Any, raw: str) -> None:
    with pytest.raises(DecodeError):
        codec.decode(Reader(bytes.fromhex(raw)))


@pytest.mark.parametrize(
    ("codec", "value", "raw"),
    [
        (DATE5, local(2026, 3, 14, 9, 26), "1a030e091a"),
        (DATE5, local(2099, 12, 31, 23, 59), "630c1f173b"),
        (DATE6, local(2026, 3, 14, 9, 26, 53), "1a030e091a35"),
        (TIME, time(18, 30), "121e"),
        (DIGITS, "2468135", "02040608010305"),
        (TEXT, "2468135", "0732343638313335"),
        (MAC, "AA:BB:CC:11:22:33", "332211ccbbaa"),
        (Signed8(), -128, "80"),
        (Signed8(), 127, "7f"),
        (Flag(4), True, "00000001"),
        (TerminatedText(), "1.2", "312e3200"),
        (TerminatedText(), " ~", "207e00"),
    ],
)
def test_form_on_the_wire(codec: Any, value: object, raw: str) -> None:
    assert said(codec, value).hex() == raw
    assert codec.decode(Reader(bytes.fromhex(raw))) == value


def test_fractions_of_a_second_are_dropped() -> None:
    assert said(DATE6, local(2026, 3, 14, 9, 26, 53, 999_999)).hex() == "1a030e091a35"


def test_text_of_a_lock_loses_what_is_not_printable() -> None:
    assert TerminatedText().decode(Reader(b"\x1b[31mred\xff")) == "?[31mred?"
    assert TerminatedText().decode(Reader(b"SN999\0junk")) == "SN999"


def test_an_unreadable_value_may_be_none() -> None:
    codec = OrNone(DATE5, 5)
    assert codec.decode(Reader(bytes(5))) is None
    assert said(codec, None) == bytes(5)
    with pytest.raises(DecodeError):
        codec.decode(Reader(bytes(4)))


def test_an_open_enumeration_keeps_what_it_does_not_know() -> None:
    member = Enum8(Colour).decode(Reader(b"\x2a"))
    assert member == 42
    assert member.name == "UNKNOWN_42"
    assert not member.is_known
    assert Colour.RED.is_known
    assert Refusal(0x14) is Refusal.PASSCODE_EXISTS
    with pytest.raises(ValueError, match="red"):
        Colour("red")


def test_a_closed_enumeration_refuses_what_it_does_not_know() -> None:
    class Closed(IntEnum):
        ONE = 1

    assert Enum8(Closed).decode(Reader(b"\x01")) is Closed.ONE
    with pytest.raises(DecodeError):
        Enum8(Closed).decode(Reader(b"\x02"))


def test_cipher_says_whose_mistake_it_is() -> None:
    with pytest.raises(LocalProtocolError):
        encrypt(b"short", b"")
    for ciphertext in (b"", b"x" * 15):
        with pytest.raises(DecodeError):
            decrypt(KEY, ciphertext)
    with pytest.raises(DecodeError):
        decrypt(bytes(16), encrypt(KEY, b"SCIENER"))


@pytest.mark.parametrize("padding", ["00", "11", "0203", "ff"])
def test_wrong_padding_is_told(padding: str) -> None:
    block = bytes.fromhex(padding).rjust(16, b"\x07")
    with pytest.raises(DecodeError):
        decrypt(KEY, AES.new(KEY, AES.MODE_CBC, KEY).encrypt(block))


def test_a_whole_block_gets_a_block_of_padding() -> None:
    assert len(encrypt(KEY, bytes(15))) == 16
    assert len(encrypt(KEY, bytes(16))) == 32
    assert decrypt(KEY, encrypt(KEY, bytes(16))) == bytes(16)


@pytest.mark.parametrize(
    "fields",
    [
        {"aes_key": bytes(15)},
        {"admin_secret": 1 << 32},
        {"unlock_key": -1},
        {"lock_flag_position": 1 << 24},
        {"user_id": 1 << 32},
    ],
)
def test_impossible_keys_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(LocalProtocolError):
        LockKeys(**({"aes_key": KEY} | fields))


def test_keys_hide_and_prove() -> None:
    keys = LockKeys(aes_key=KEY, admin_secret=123456789, unlock_key=987654321)
    for secret in ("123456789", "987654321", repr(KEY)):
        assert secret not in repr(keys)
    assert keys.proof(0x11223344) == 0x4C009BF5
    assert keys.proof(0xFFFFFFFF) == 987654320
    assert keys.is_administrator
    assert not LockKeys(aes_key=KEY, unlock_key=1).is_administrator
    assert not LockKeys(aes_key=KEY, admin_secret=1).is_administrator


def test_flag_position_does_not_overlap_its_neighbours() -> None:
    payload = CheckUser(lock_flag_position=0x010203, user_id=0x04050607).encode()
    assert payload[9:].hex() == "3b" + "010203" + "04050607"
    assert CheckUser.opcode is Opcode.CHECK_USER
