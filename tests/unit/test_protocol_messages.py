"""What single messages refuse, tell apart and keep."""

import dataclasses
from datetime import time
from typing import Any

import pytest

from protocol_helpers import local
from ttlock_protocol.errors import DecodeError, LocalProtocolError
from ttlock_protocol.message import OtherLayout, Request, decode_push, decode_request, requests
from ttlock_protocol.messages.admin import SetAdminPasscode, SetLockName
from ttlock_protocol.messages.cards import (
    AddCard,
    CardLearning,
    CardPage,
    DeleteCard,
    LearnCard,
    card_from_decimal,
    card_to_decimal,
)
from ttlock_protocol.messages.device import DeviceText, GetDeviceMac, GetDeviceText
from ttlock_protocol.messages.fingerprints import FingerprintLearning
from ttlock_protocol.messages.learning import LearnStatus
from ttlock_protocol.messages.log import LogPage, LogRecord, LogType
from ttlock_protocol.messages.operate import FeatureWords, State
from ttlock_protocol.messages.pages import Unreadable
from ttlock_protocol.messages.pairing import InitOfflinePasscodes, OfflineSeed
from ttlock_protocol.messages.passage import (
    DAY_END,
    DeletePassageEntry,
    PassageEntry,
    PassageKind,
    PassagePage,
)
from ttlock_protocol.messages.passcodes import (
    AddPasscode,
    Cycle,
    CycleDays,
    ModifyPasscode,
    PasscodePage,
    PasscodeRecord,
    PasscodeType,
    RecoverPasscode,
)
from ttlock_protocol.messages.schedules import AddSchedule, ClearSchedules, CredentialKind
from ttlock_protocol.messages.settings import (
    PasscodeDisplay,
    SetAutoLock,
    SetLockingOnClose,
    SetVolume,
    Switch,
    Switches,
)
from ttlock_protocol.unconfirmed import UNCONFIRMED, check_confirmed

START, END = local(2026, 3, 14, 8), local(2026, 12, 31, 23, 59)
SEEDS = tuple(OfflineSeed(code=1, secret=year) for year in range(10))


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (AddPasscode, {"passcode_type": PasscodeType.PERMANENT, "passcode": "123"}),
        (AddPasscode, {"passcode_type": PasscodeType.PERMANENT, "passcode": "1234567890"}),
        (AddPasscode, {"passcode_type": PasscodeType.PERMANENT, "passcode": "12a4"}),
        (AddPasscode, {"passcode_type": PasscodeType.PERMANENT, "passcode": "١٢٣٤"}),
        (AddPasscode, {"passcode_type": PasscodeType.CYCLIC, "passcode": "1234"}),
        (AddPasscode, {"passcode_type": PasscodeType(9), "passcode": "1234"}),
        (AddPasscode, {"passcode_type": PasscodeType.PERIOD, "passcode": "1234"}),
        (
            AddPasscode,
            {"passcode_type": PasscodeType.PERMANENT, "passcode": "1234", "valid_until": END},
        ),
        (ModifyPasscode, {"passcode": "1234", "new_passcode": "12"}),
        (ModifyPasscode, {"passcode": "1234", "valid_from": START}),
        (ModifyPasscode, {"passcode": "1234", "valid_until": END}),
        (
            RecoverPasscode,
            {
                "passcode_type": PasscodeType.CYCLIC,
                "passcode": "1234",
                "original_passcode": "1234",
            },
        ),
        (
            RecoverPasscode,
            {
                "passcode_type": PasscodeType.PERIOD,
                "passcode": "1234",
                "original_passcode": "1234",
            },
        ),
        (SetAdminPasscode, {"passcode": "123"}),
        (SetLockName, {"name": ""}),
        (SetLockName, {"name": "x" * 16}),
        (SetVolume, {"volume": 0}),
        (SetVolume, {"volume": 6}),
        (SetAutoLock, {"delay_s": 0xFFFF}),
        (GetDeviceText, {"kind": DeviceText(5)}),
        (CardLearning, {"battery_percent": 1, "status": LearnStatus.DONE}),
        (
            CardLearning,
            {"battery_percent": 1, "status": LearnStatus.READY, "card_number": b"\1\2\3\4"},
        ),
        (FingerprintLearning, {"battery_percent": 1, "status": LearnStatus.DONE}),
        (
            AddSchedule,
            {
                "kind": CredentialKind.CARD,
                "credential": b"\1\2\3\4",
                "weekday": 0,
                "starts_at": time(8),
                "ends_at": time(18),
            },
        ),
        (OfflineSeed, {"code": 0, "secret": 1}),
        (OfflineSeed, {"code": 1071, "secret": 1}),
        (OfflineSeed, {"code": 1, "secret": 10_000_000_000}),
        (Cycle, {"days": CycleDays.MONDAY, "hours": 25}),
        (Cycle, {"days": CycleDays(10), "hours": 1}),
    ],
)
def test_what_makes_no_sense_is_refused_at_once(kind: Any, fields: dict[str, Any]) -> None:
    with pytest.raises(LocalProtocolError):
        kind(**fields)


@pytest.mark.parametrize(
    "message",
    [
        DeleteCard(card_number=b"\1\2\3"),
        AddCard(card_number=b"\1\2\3\4\5", valid_from=START, valid_until=END),
        CardLearning(battery_percent=1, status=LearnStatus.DONE, card_number=b"\1"),
        ClearSchedules(kind=CredentialKind.CARD, credential=bytes(256)),
        InitOfflinePasscodes(first_year=26, seeds=SEEDS[:9]),
        PasscodePage(next_cursor=None, records=(Unreadable(b"x"),)),
        PasscodePage(next_cursor=1, records=(Unreadable(bytes(256)),)),
        PasscodePage(next_cursor=1, records=(Unreadable(bytes(255)),) * 256),
        FingerprintLearning(battery_percent=1, status=LearnStatus.READY, scans_done=1),
        DeletePassageEntry(kind=PassageKind.WEEKLY, day=1, ends_at=time(8)),
        LogPage(
            next_cursor=1,
            records=(
                LogRecord(log_type=LogType.APP_UNLOCK, recorded_at=None, battery=1, record_id=5),
            ),
        ),
    ],
    ids=lambda each: type(each).__name__,
)
def test_what_cannot_be_said_is_refused_when_it_is_said(message: Any) -> None:
    with pytest.raises(LocalProtocolError):
        message.encode()


@pytest.mark.parametrize(
    ("opcode", "raw", "kind"),
    [
        (0x36, "02001e", SetAutoLock),
        (0x36, "02ffff01", SetLockingOnClose),
        (0x05, "02", LearnCard),
        (0x05, "0201e28f3a1a030e08001a0c1f173b", AddCard),
        (0x90, "05", GetDeviceMac),
        (0x90, "0c", GetDeviceText),
    ],
)
def test_layouts_of_one_command_are_told_apart(
    opcode: int, raw: str, kind: type[Request[Any]]
) -> None:
    assert type(decode_request(opcode, bytes.fromhex(raw))) is kind


@pytest.mark.parametrize(
    ("opcode", "raw"), [(0x61, ""), (0x03, "09"), (0x05, "0700"), (0x70, "01")]
)
def test_a_command_or_operation_without_layout_is_not_known(opcode: int, raw: str) -> None:
    with pytest.raises(LookupError):
        decode_request(opcode, bytes.fromhex(raw))


@pytest.mark.parametrize(
    ("opcode", "raw"),
    [(0x03, ""), (0x03, "0201"), (0x05, "0201e2"), (0x53, "0b"), (0x31, "1a00"), (0x90, "")],
)
def test_a_known_command_with_a_wrong_payload_is_told(opcode: int, raw: str) -> None:
    with pytest.raises(DecodeError):
        decode_request(opcode, bytes.fromhex(raw))


def test_unconfirmed_commands_have_a_reason_and_no_layout() -> None:
    for opcode, reason in UNCONFIRMED.items():
        assert opcode not in requests()
        with pytest.raises(LocalProtocolError, match=reason):
            check_confirmed(opcode)
    assert {0x02, 0x13, 0x61, 0x67, 0x69, 0x71, 0x73, 0x74, 0x76} <= UNCONFIRMED.keys()
    for opcode in requests():
        check_confirmed(opcode)


def test_bytes_behind_a_layout_are_newer_firmware() -> None:
    assert State.decode(b"\x57\x00\x02\x99") == State.decode(b"\x57\x00\x02")


def test_a_partial_feature_word_is_ignored() -> None:
    whole = FeatureWords.decode(bytes.fromhex("5771c4f5f100000510"))
    assert FeatureWords.decode(bytes.fromhex("5771c4f5f1000005100102")) == whole
    assert FeatureWords.decode(b"\x57").bits == 0
    assert whole.bits == 0x51071C4F5F1


@pytest.mark.parametrize(
    ("decimal", "number"),
    [
        ("31625018", "01e28f3a"),
        ("4294967295", "ffffffff"),
        ("4294967296", "0000000100000000"),
        ("00031625018", "0000000001e28f3a"),
        ("72057594037927936", "0100000000000000"),
    ],
)
def test_card_numbers_as_people_write_them(decimal: str, number: str) -> None:
    raw = card_from_decimal(decimal)
    assert raw.hex() == number
    assert card_to_decimal(raw) == str(int(decimal))


@pytest.mark.parametrize("decimal", ["", "12a4", "-1", "18446744073709551616"])
def test_what_is_no_card_number(decimal: str) -> None:
    with pytest.raises(LocalProtocolError):
        card_from_decimal(decimal)


@pytest.mark.parametrize(
    ("raw", "number"),
    [
        ("01e28f3a", "01e28f3a"),
        ("01e28f3affffffff", "01e28f3a"),
        ("01e28f3affffff00", "01e28f3affffff00"),
        ("01e28f3a00", "01e28f3a"),
        ("01e28f3affffffff00", "01e28f3a"),
    ],
)
def test_filler_behind_a_learnt_card(raw: str, number: str) -> None:
    learnt = CardLearning.decode(bytes.fromhex("570201" + raw))
    assert learnt.card_number == bytes.fromhex(number)


def test_a_record_that_cannot_be_read_is_not_gone() -> None:
    odd = bytes.fromhex("01e28f3a0000000000")
    page = CardPage.decode(bytes.fromhex("57010001") + odd)
    assert page.records == (Unreadable(odd),)
    assert page.encode().endswith(odd)
    codes = PasscodePage.decode(bytes.fromhex("00060017030405ff"))
    assert codes.records == (Unreadable(bytes.fromhex("0405ff")),)
    assert codes.encode().hex() == "00060017030405ff"
    entry = PassageEntry(day=3)
    passage = PassagePage(battery_percent=87, next_cursor=1, records=(entry, Unreadable(b"\1")))
    assert PassagePage.decode(passage.encode()) == passage
    late = PassagePage.decode(bytes.fromhex("57010101030019000000"))
    assert late.records == (Unreadable(bytes.fromhex("01030019000000")),)


def test_unreadable_hides_its_bytes() -> None:
    assert repr(Unreadable(b"1234")) == "Unreadable(<4 bytes>)"
    assert Unreadable(b"1") != b"1"
    assert len({Unreadable(b"1"), Unreadable(b"1")}) == 1


@pytest.mark.parametrize(
    ("tail", "until", "cycle"),
    [("", None, None), ("1a0c1f173b", END, None), ("0439", None, 0x439)],
)
def test_what_follows_the_start_is_told_by_its_length(
    tail: str, until: object, cycle: int | None
) -> None:
    """A one-time passcode may come in all three forms (D11)."""
    body = bytes.fromhex("02" + "0431323334" + "0431323334" + "1a030e0800" + tail)
    raw = (len(body) + 3).to_bytes(2, "big") + b"\0\x09" + bytes([len(body)]) + body
    (record,) = PasscodePage.decode(raw).records
    assert isinstance(record, PasscodeRecord)
    assert (record.valid_until, record.cycle_number) == (until, cycle)


def test_a_permanent_passcode_may_come_with_zeros_behind_it() -> None:
    raw = bytes.fromhex("02010631333537393000011f0e000000000000")
    request = decode_request(3, raw)
    assert isinstance(request, AddPasscode)
    assert request.valid_until is None


def test_battery_in_front_of_the_display_may_be_missing() -> None:
    assert PasscodeDisplay.decode(b"\x57\x01\x01") == PasscodeDisplay(
        battery_percent=87, is_shown=True
    )
    assert PasscodeDisplay.decode(b"\x01\x00") == PasscodeDisplay(is_shown=False)
    with pytest.raises(OtherLayout):
        PasscodeDisplay.decode(b"\x57\x02")


def test_switches_have_names() -> None:
    switches = Switches(battery_percent=87, bits=0x23)
    on = [switch for switch in Switch if switches.is_on(switch)]
    assert on == [Switch.TAMPER_ALERT, Switch.RESET_BUTTON, Switch.PASSAGE_AUTO_UNLOCK]


@pytest.mark.parametrize(
    ("starts_at", "ends_at", "is_all_day"),
    [
        (time(0), time(0), True),
        (time(0), DAY_END, True),
        (time(0), time(12), False),
        (time(8), time(0), False),
    ],
)
def test_all_day_has_two_forms(starts_at: time, ends_at: time, is_all_day: bool) -> None:
    assert PassageEntry(starts_at=starts_at, ends_at=ends_at).is_all_day is is_all_day


def test_a_passage_entry_is_removed_with_its_times() -> None:
    entry = PassageEntry(day=3, starts_at=time(8), ends_at=time(18, 30))
    assert DeletePassageEntry.of(entry).encode().hex() == "030103000800121e"


def record_of(tail: str, log_type: int) -> LogRecord:
    body = bytes((log_type,)) + bytes.fromhex("1a030e091e0057" + tail)
    raw = (len(body) + 3).to_bytes(2, "big") + b"\0\x09" + bytes([len(body)]) + body
    page = LogPage.decode(raw)
    assert page.encode() == raw
    (record,) = page.records
    assert isinstance(record, LogRecord)
    return record


def test_a_wireless_keypads_record_has_two_forms() -> None:
    short = record_of("332211ccbbaa50", 56)
    assert (short.mac, short.key, short.accessory_battery) == ("AA:BB:CC:11:22:33", None, 80)
    long = record_of("332211ccbbaa0250", 56)
    assert (long.mac, long.key, long.accessory_battery) == ("AA:BB:CC:11:22:33", 2, 80)
    other = record_of("3322", 56)
    assert (other.mac, other.tail) == (None, b"\x33\x22")


@pytest.mark.parametrize(
    ("log_type", "tail"),
    [(17, "0102030405"), (4, "0631"), (20, "0102"), (19, "3322"), (42, "0102")],
)
def test_a_tail_that_is_not_understood_is_kept(log_type: int, tail: str) -> None:
    record = record_of(tail, log_type)
    assert record.tail.hex() == tail
    known = dataclasses.replace(record, tail=b"")
    assert known == LogRecord(
        log_type=LogType(log_type), recorded_at=local(2026, 3, 14, 9, 30), battery=87
    )


def test_a_passcode_record_with_an_unreadable_start_keeps_its_end() -> None:
    record = record_of("0431323334" + "0000000000" + "1a0c1f173b", 93)
    assert (record.passcode, record.valid_from, record.valid_until) == ("1234", None, END)


def test_a_push_without_layout_is_not_known() -> None:
    with pytest.raises(LookupError):
        decode_push(0x36, b"\x57")
