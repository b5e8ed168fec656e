"""Tables of the reference, written down a second time: numbers, authentication, repeats, tails."""

import dataclasses
from enum import IntEnum
from typing import Any

import pytest

from ttlock_protocol.errors import Refusal
from ttlock_protocol.features import Feature
from ttlock_protocol.frame import Version
from ttlock_protocol.keyfiles import ImportedKey
from ttlock_protocol.keys import LockKeys
from ttlock_protocol.message import Auth, Opcode, Request, requests
from ttlock_protocol.messages.cards import CardRecord
from ttlock_protocol.messages.device import DeviceText
from ttlock_protocol.messages.fingerprints import FingerprintRecord
from ttlock_protocol.messages.learning import LearnStatus
from ttlock_protocol.messages.log import LogPage, LogRecord, LogType
from ttlock_protocol.messages.operate import BoltState
from ttlock_protocol.messages.pairing import OfflineSeed
from ttlock_protocol.messages.passage import PassageKind
from ttlock_protocol.messages.passcodes import CycleDays, PasscodeRecord, PasscodeType, check_digits
from ttlock_protocol.messages.rare import Button
from ttlock_protocol.messages.schedules import CredentialKind
from ttlock_protocol.messages.settings import Switch
from ttlock_protocol.procedures import Enrolment, NewSecrets

ALL: dict[str, type[Request[Any]]] = {
    kind.__name__: kind for kinds in requests().values() for kind in kinds
}

# Reference 6.0: command, then what is said with it.
COMMANDS = """
01 GetFeatures
03 ClearPasscodes AddPasscode DeletePasscode ModifyPasscode RecoverPasscode
05 GetCards LearnCard AddCard DeleteCard ClearCards ModifyCard
06 GetFingerprints EnrolFingerprint DeleteFingerprint ClearFingerprints ModifyFingerprint
07 GetPasscodes
12 SetNbAddress
14 GetState
19 GetAesKey
25 GetLog
30 CheckRandom
31 InitOfflinePasscodes
32 GetOfflinePasscodes
33 SetMaxPasscodes
34 GetClock
35 SetWristbandKey
36 GetAutoLock SetLockingOnClose SetAutoLock
37 GetRemoteUnlock SetRemoteUnlock
41 CheckAdmin
43 SetClock
45 Hello
47 Unlock
4e SetLockName
52 Reset
53 SetAdminPasscode
55 CheckUser
56 AddAdmin
57 FinishPairing
58 Lock
59 GetPasscodeDisplay SetPasscodeDisplay
62 GetSound SetSound SetVolume
63 GetRemoteControl ClickRemoteControl
64 GetHotelItem SetHotelCardKey SetHotelAesKey SetHotelNumbers
65 GetAdminPasscode
66 GetPassageEntries AddPassageEntry DeletePassageEntry ClearPassageEntries
68 GetSwitches SetSwitch
70 AddSchedule ClearSchedules
90 GetDeviceMac GetDeviceClock GetDeviceSignal GetDeviceText
ff SetDeviceParameter
"""
# Reference 5.5; what is not named needs an administrator.
NOTHING = """CheckAdmin CheckUser GetClock GetDeviceClock GetDeviceMac GetDeviceSignal GetDeviceText
GetFeatures GetLog GetState Hello"""
AUTHENTICATION = {
    Auth.NOTHING: NOTHING,
    Auth.SETTING_MODE: "AddAdmin FinishPairing GetAesKey",
    Auth.USER_CHALLENGE: "CheckRandom ClickRemoteControl GetRemoteControl Lock Unlock",
    Auth.USER: "GetOfflinePasscodes",
}
NEVER_REPEATED = """AddAdmin AddCard AddPassageEntry AddPasscode AddSchedule ClickRemoteControl
EnrolFingerprint FinishPairing GetAesKey LearnCard Lock ModifyPasscode RecoverPasscode Reset
SetDeviceParameter Unlock"""

# Reference 6.16: types, then the parts of their tail, then an example of it.
TAILS: list[tuple[str, dict[str, Any], str]] = [
    ("1 3 26 28 41 52 75 76 77", {"user_id": 7, "record_id": 9}, "00000007 00000009"),
    ("37", {"user_id": 7, "record_id": 9, "key": 5}, "00000007 00000009 05"),
    (
        "4 5 6 9 10 11 12 13 34 38 78 92",
        {"passcode": "1234", "other_passcode": "98765"},
        "04 31323334 05 3938373635",
    ),
    ("7", {"passcode": "0000"}, "04 30303030"),
    ("15 17 18 25 35 39 51 74 80 91", {"card_number": b"\1\xe2\x8f\x3a"}, "01e28f3a"),
    ("15 17 18 25 35 39 51 74 80 91", {"card_number": bytes(8)}, "0000000000000000"),
    (
        "20 21 22 23 33 40 79",
        {"credential": b"\x5f\x3a\x91\xc4\0\7", "passcode": "1234"},
        "5f3a91c40007 04 31323334",
    ),
    ("19 94 95 96 97 98 99 100", {"mac": "AA:BB:CC:11:22:33"}, "332211ccbbaa"),
    ("30 31", {"accessory_battery": 91}, "5b"),
    (
        "55 82",
        {"mac": "AA:BB:CC:11:22:33", "key": 2, "accessory_battery": 80},
        "332211ccbbaa 02 50",
    ),
    ("57 58 61 62", {"credential": b"\1\2"}, "0102"),
    (
        "67 68 69 70 71 72 81 83 84 85 86 87 88 89",
        {"credential": b"\1\2\3\4\5\6"},
        "010203040506",
    ),
    ("14 16 24 27 29 32 36 42 43 44 45 46 47 48 50 64 73 90 101 107 111 115 116 249", {}, ""),
]

NUMBERS: dict[type[IntEnum], str] = {
    Refusal: """0 NO_DETAIL 1 CHECKSUM 2 NO_PERMISSION 3 WRONG_ADMIN_SECRET 4 MEMORY_FULL
        5 IN_SETTING_MODE 6 NO_ADMINISTRATOR 7 NOT_IN_SETTING_MODE 8 WRONG_DYNAMIC_CODE
        10 BATTERY_TOO_LOW 11 RESET_PASSCODES_FAILED 12 PASSCODE_SEQUENCE 13 EKEYS_WERE_RESET
        14 EKEY_EXPIRED 15 PASSCODE_LENGTH 16 SAME_AS_ERASE_CODE 17 EKEY_NOT_YET_VALID
        18 NO_AES_KEY 19 FAILED 20 PASSCODE_EXISTS 21 PASSCODE_NOT_FOUND 22 PASSCODE_MEMORY_FULL
        23 PARAMETER_LENGTH 24 CARD_NOT_FOUND 25 FINGERPRINT_EXISTS 26 FINGERPRINT_NOT_FOUND
        27 NOT_SUPPORTED 28 FROZEN 29 CLIENT_TOKEN_REFUSED 30 PRIVACY_LOCK_ENGAGED
        31 RECORD_NOT_FOUND 32 INVALID_PARAMETER 36 STILL_PROCESSING 37 WRONG_WIFI_NAME
        38 WRONG_WIFI_PASSWORD""",
    BoltState: "0 LOCKED 1 UNLOCKED 2 UNKNOWN 3 DEAD_LOCKED",
    PasscodeType: "1 PERMANENT 2 ONE_TIME 3 PERIOD 4 CYCLIC",
    CycleDays: """0 WEEKEND 1 EVERY_DAY 2 WORKDAYS 3 MONDAY 4 TUESDAY 5 WEDNESDAY 6 THURSDAY
        7 FRIDAY 8 SATURDAY 9 SUNDAY""",
    LearnStatus: "1 DONE 2 READY 3 SCAN_AGAIN 4 SEND_TEMPLATE",
    PassageKind: "1 WEEKLY 2 MONTHLY 3 YEARLY",
    CredentialKind: "1 FINGERPRINT 2 CARD",
    Button: "0 STOP 1 UNLOCK 2 LOCK 4 PAUSE 8 HOLD",
    DeviceText: """1 MODEL 2 HARDWARE 3 FIRMWARE 4 PRODUCED 7 NB_OPERATOR 8 NB_NODE_ID
        9 NB_CARD_NUMBER 12 PASSCODE_KEY_NUMBER 13 CAMERA_SERIAL 14 UUID 15 AUTH_CODE""",
    LogType: """1 APP_UNLOCK 3 SERVER_UNLOCK 4 PASSCODE_UNLOCK 5 PASSCODE_CHANGED_AT_KEYPAD
        6 PASSCODE_DELETED_AT_KEYPAD 7 WRONG_PASSCODE 8 PASSCODES_CLEARED_AT_KEYPAD
        9 PASSCODE_PUSHED_OUT 10 ERASE_PASSCODE_USED 11 PASSCODE_OUT_OF_WINDOW 12 PASSCODE_NO_SPACE
        13 PASSCODE_BLACKLISTED 14 REBOOTED 15 CARD_ADDED 16 CARDS_CLEARED 17 CARD_UNLOCK
        18 CARD_DELETED 19 WRISTBAND_UNLOCK 20 FINGERPRINT_UNLOCK 21 FINGERPRINT_ADDED
        22 FINGERPRINT_OUT_OF_WINDOW 23 FINGERPRINT_DELETED 24 FINGERPRINTS_CLEARED 25 CARD_REFUSED
        26 APP_LOCK 27 KEY_UNLOCK 28 GATEWAY_UNLOCK 29 FORCED 30 DOOR_CLOSED 31 DOOR_OPENED
        32 WENT_OUT 33 FINGERPRINT_LOCK 34 PASSCODE_LOCK 35 CARD_LOCK 36 KEY_LOCK 37 REMOTE_CONTROL
        38 PASSCODE_REVERSE_LOCKED 39 CARD_REVERSE_LOCKED 40 FINGERPRINT_REVERSE_LOCKED
        41 APP_REVERSE_LOCKED 50 HIGH_TEMPERATURE_UNLOCK 51 CARD_BLACKLISTED 52 APP_DEAD_LOCK
        55 KEY_FOB 56 WIRELESS_KEYPAD 57 QR_CODE_UNLOCK 58 QR_CODE_REFUSED 61 QR_CODE_LOCK
        62 QR_CODE_REVERSE_LOCKED 64 DOOR_LEFT_OPEN 67 FACE_UNLOCK 68 FACE_REVERSE_LOCKED
        69 FACE_LOCK 70 FACE_ADDED 71 FACE_OUT_OF_WINDOW 72 FACE_DELETED 73 FACES_CLEARED
        74 CPU_CARD_REFUSED 75 AUTHORISED_APP_UNLOCK 76 AUTHORISED_GATEWAY_UNLOCK
        77 DOUBLE_AUTHENTICATION_KEY 78 DOUBLE_AUTHENTICATION_PASSCODE
        79 DOUBLE_AUTHENTICATION_FINGERPRINT 80 DOUBLE_AUTHENTICATION_CARD
        81 DOUBLE_AUTHENTICATION_FACE 82 DOUBLE_AUTHENTICATION_FOB 83 DOUBLE_AUTHENTICATION_PALM
        84 PALM_UNLOCK 85 PALM_REVERSE_LOCKED 86 PALM_LOCK 87 PALM_ADDED 88 PALM_REFUSED
        89 PALM_DELETED 90 PALMS_CLEARED 91 CARD_FAILED 92 ADMIN_PASSCODE_UNLOCK 93 PASSCODE_ADDED
        94 THIRD_PARTY_UNLOCK 95 THIRD_PARTY_LOCK 96 THIRD_PARTY_REVERSE_LOCKED
        97 THIRD_PARTY_OUT_OF_WINDOW 98 THIRD_PARTY_DOUBLE_AUTHENTICATION 99 THIRD_PARTY_ADDED
        100 THIRD_PARTY_DELETED 101 THIRD_PARTY_CLEARED 107 VENDOR_SPECIFIC 111 LOW_BATTERY_UNLOCK
        115 HIGH_TEMPERATURE_ALARM 116 FIRE_ALARM 249 NFC_QUERY""",
    Switch: """1 TAMPER_ALERT 2 RESET_BUTTON 4 PRIVACY_LOCK 16 UNLOCK_DIRECTION_LEFT
        32 PASSAGE_AUTO_UNLOCK 128 WIFI_POWER_SAVING""",
}
SOME_FEATURES = {
    "PASSCODE": 0,
    "CARD": 1,
    "FINGERPRINT": 2,
    "AUTO_LOCK": 4,
    "MODIFY_PASSCODE": 7,
    "LOCK_BY_COMMAND": 8,
    "PASSCODE_DISPLAY": 9,
    "GATEWAY_UNLOCK": 10,
    "CYCLIC_PASSCODE": 12,
    "REMOTE_UNLOCK_SWITCH": 14,
    "SOUND": 15,
    "NB_IOT": 16,
    "GET_ADMIN_PASSCODE": 18,
    "NO_CLOCK": 20,
    "SILENT_WHEN_IDLE": 21,
    "PASSAGE_MODE": 22,
    "AUTO_LOCK_CAN_BE_OFF": 23,
    "TAMPER_ALERT": 28,
    "RESET_BUTTON": 29,
    "PRIVACY_LOCK": 30,
    "WEEKLY_SCHEDULE": 34,
    "RECOVER_CYCLIC_PASSCODE": 40,
    "VOLUME": 43,
    "DOOR_SENSOR": 45,
    "PASSAGE_AUTO_UNLOCK": 46,
    "WIRELESS_DOOR_SENSOR": 50,
    "WIFI": 56,
    "PASSCODE_KEY_NUMBER": 60,
    "PROOF_CAPTURE": 126,
}
"""Those that something in this project decides by."""


SECRET = """admin_secret unlock_key challenge proof key passcode new_passcode original_passcode
other_passcode card_number fingerprint credential seeds seed secret aes_key admin_passcode"""
OPEN = {("LogRecord", "key")}
"""Fields that share the name of a secret and are none: the number of a key on a remote control."""
HOLDERS: list[type] = [
    *ALL.values(),
    *{kind.response_type for kind in ALL.values()},
    PasscodeRecord,
    CardRecord,
    FingerprintRecord,
    LogRecord,
    OfflineSeed,
    LockKeys,
    NewSecrets,
    Enrolment,
    ImportedKey,
]


@pytest.mark.parametrize("holder", HOLDERS, ids=lambda each: each.__name__)
def test_no_secret_is_in_a_representation(holder: type) -> None:
    for field in dataclasses.fields(holder):
        if field.name in SECRET.split() and (holder.__name__, field.name) not in OPEN:
            assert not field.repr, field.name


def test_every_request_belongs_to_its_command() -> None:
    expected = {
        int(line.split()[0], 16): line.split()[1:] for line in COMMANDS.strip().splitlines()
    }
    found = {int(each): [kind.__name__ for kind in requests()[each]] for each in requests()}
    assert found == expected
    assert Opcode.RESPONSE == 0x54


@pytest.mark.parametrize("name", ALL)
def test_authentication(name: str) -> None:
    expected = [auth for auth, names in AUTHENTICATION.items() if name in names.split()]
    assert ALL[name].auth is (expected[0] if expected else Auth.ADMIN)


@pytest.mark.parametrize("name", ALL)
def test_what_may_be_sent_twice(name: str) -> None:
    assert ALL[name]._is_repeatable is (name not in NEVER_REPEATED.split())


@pytest.mark.parametrize("kind", NUMBERS, ids=lambda kind: kind.__name__)
def test_numbers(kind: type[IntEnum]) -> None:
    words = NUMBERS[kind].split()
    expected = {name: int(number) for number, name in zip(words[::2], words[1::2], strict=True)}
    assert {member.name: member.value for member in kind} == expected


def test_numbers_of_features() -> None:
    assert {name: Feature[name].value for name in SOME_FEATURES} == SOME_FEATURES


@pytest.mark.parametrize(("types", "parts", "tail"), TAILS, ids=lambda each: str(each)[:30])
def test_tails_of_log_records(types: str, parts: dict[str, Any], tail: str) -> None:
    for log_type in map(int, types.split()):
        body = bytes((log_type,)) + bytes.fromhex("1a030e091e0057" + tail)
        raw = (len(body) + 3).to_bytes(2, "big") + b"\0\x09" + bytes([len(body)]) + body
        (record,) = LogPage.decode(raw).records
        assert isinstance(record, LogRecord)
        found = {name: getattr(record, name) for name in parts}
        assert (record.log_type, found, record.tail) == (log_type, parts, b"")
        assert LogPage(next_cursor=9, records=(record,)).encode() == raw


def test_log_types_of_unknown_meaning_have_no_name() -> None:
    for number in (2, 42, 43, 44, 45, 46, 47, 48, 49, 250):
        assert not LogType(number).is_known


@pytest.mark.parametrize("digits", ["1234", "123456789"])
def test_shortest_and_longest_passcode(digits: str) -> None:
    check_digits(digits)


def test_header_of_most_locks() -> None:
    assert Version().encode().hex() == "05030200010001"
