"""Keys out of every format, what is missing, and errors that name no secret."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttlock_protocol.cipher import encrypt
from ttlock_protocol.features import FeatureSet
from ttlock_protocol.frame import Version
from ttlock_protocol.keyfiles import (
    ImportedKey,
    ImportResult,
    Item,
    KeyImportError,
    Problem,
    from_fields,
    from_json,
    from_lock_data,
    from_rows,
    from_text,
)
from ttlock_protocol.masking import mask_text

MAC = "AA:BB:CC:11:22:33"
AES = "a1b2c3d4e5f60718293a4b5c6d7e8f90"
AES_COMMAS = "a1,b2,c3,d4,e5,f6,07,18,29,3a,4b,5c,6d,7e,8f,90"
ADMIN, UNLOCK = 123456789, 987654321
VERSION = {"protocolType": 5, "protocolVersion": 3, "scene": 2, "groupId": 10, "orgId": 34}
SECRETS = (AES, AES_COMMAS, str(ADMIN), str(UNLOCK), "2468135")

SDK_JS = [
    {
        "address": MAC,
        "battery": 87,
        "rssi": -60,
        "autoLockTime": 5,
        "lockedStatus": 0,
        "privateData": {
            "aesKey": AES,
            "admin": {"adminPs": ADMIN, "unlockKey": UNLOCK},
            "adminPasscode": "2468135",
            "pwdInfo": [],
        },
        "operationLog": [],
    }
]
TTLOCK_BLE = [
    {
        "keyId": 1,
        "lockId": 2,
        "lockMac": MAC,
        "lockAlias": "Front",
        "lockName": "S999_332211",
        "lockVersion": VERSION,
        "aesKeyStr": AES_COMMAS,
        "unlockKey": str(UNLOCK),
        "lockFlagPos": 3,
        "timezoneRawOffSet": 3600000,
        "startTime": 1700000000000,
        "endTime": 0,
        "userType": "110301",
        "adminPs": str(ADMIN),
        "specialValue": -1,
        "uid": 12345678,
    }
]
TTLOCK_RS = {
    "address": MAC.lower(),
    "private_data": {"aes_key": AES, "admin_ps": ADMIN, "unlock_key": UNLOCK},
}
ESPHOME = {
    "Front": {
        "btname": "S999_332211",
        "address": MAC,
        "aes_key": AES,
        "admin_ps": f"{ADMIN:x}",
        "unlock_key": f"{UNLOCK:x}",
        "protocol_type": 5,
        "protocol_version": 3,
        "scene": 2,
        "group_id": 10,
        "org_id": 34,
    }
}
DETAIL: dict[str, Any] = {
    "lockId": 2,
    "lockName": "S999_332211",
    "lockAlias": "Front",
    "lockMac": MAC,
    "aesKeyStr": AES_COMMAS,
    "lockKey": mask_text(f"{UNLOCK:010}", 77),
    "adminPwd": mask_text(f"{ADMIN:010}", 42),
    "noKeyPwd": "2468135",
    "lockFlagPos": 3,
    "lockVersion": json.dumps(VERSION),
    "featureValue": "51071C4F5F1",
    "specialValue": 1908733425,
    "timezoneRawOffset": 3600000,
    "electricQuantity": 87,
}
ANDROID_ROW = {
    "keyname": "Front",
    "lockname": "S999_332211",
    "lockmac": MAC,
    "aeskeystr": AES_COMMAS,
    "adminps": mask_text(f"{ADMIN:010}", 42),
    "unlockkey": mask_text(f"{UNLOCK:010}", 77),
    "protocoltype": 5,
    "protocolversion": 3,
    "scene": 2,
    "groupid": 10,
    "orgid": 34,
}
IOS_ROW = {
    "Z_PK": 1,
    "ZLOCKMAC": MAC,
    "ZLOCKNAME": "S999_332211",
    "ZAESKEYSTR": AES_COMMAS,
    "ZADMINPS": mask_text(f"{ADMIN:010}", 42),
    "ZLOCKKEY": mask_text(f"{UNLOCK:010}", 77),
    "ZAUTOLOCKTIME": None,
}


def lock_data(content: object, mac: str = "AABBCC112233") -> str:
    key = (mac[0:2] + ":" + mac[2:4] + ":" + mac[4:6] + ":" + mac[7] + ":" + mac[8:10]) + ":"
    ciphertext = encrypt((key + mac[10:12]).encode(), json.dumps(content).encode())
    return base64.b64encode(ciphertext + bytes.fromhex(mac)).decode()


def only(result: ImportResult) -> ImportedKey:
    assert result.rejected == ()
    (found,) = result.found
    return found


ALL_FORMATS: dict[str, ImportResult] = {
    "sdk-js": from_text(json.dumps(SDK_JS)),
    "ttlock-ble": from_text("\ufeff" + json.dumps(TTLOCK_BLE)),
    "ttlock-rs": from_text(json.dumps(TTLOCK_RS)),
    "ttlock-rs list": from_json([TTLOCK_RS]),
    "esphome": from_text(json.dumps(ESPHOME, indent=4)),
    "lock/detail": from_json(DETAIL),
    "key/list": from_json({"list": [DETAIL], "pageNo": 1}),
    "key/list with lockData": from_json(
        {"list": [{"lockMac": MAC, "lockData": lock_data(DETAIL)}]}
    ),
    "lockData": from_text(lock_data(DETAIL) + "\n"),
    "android": from_rows([ANDROID_ROW]),
    "ios": from_rows([IOS_ROW]),
    "fields": ImportResult(
        (from_fields(mac=MAC, aes_key=AES, unlock_key=str(UNLOCK), admin_secret=str(ADMIN)),)
    ),
}


@pytest.mark.parametrize("name", ALL_FORMATS)
def test_keys_are_the_same_in_every_format(name: str) -> None:
    found = only(ALL_FORMATS[name])
    assert found.mac == MAC
    assert found.keys.aes_key.hex() == AES
    assert found.keys.admin_secret == ADMIN
    assert found.keys.unlock_key == UNLOCK
    assert {Item.MAC, Item.AES_KEY, Item.UNLOCK_KEY, Item.ADMIN_SECRET} <= found.items
    if Item.VERSION in found.items:
        assert found.keys.version == Version(group=10, organisation=34)


@pytest.mark.parametrize("name", ALL_FORMATS)
def test_nothing_that_is_shown_holds_a_secret(name: str) -> None:
    shown = repr(ALL_FORMATS[name])
    for secret in SECRETS:
        assert secret not in shown


def test_cloud_detail_has_everything() -> None:
    found = only(from_json(DETAIL))
    assert found.name == "Front"
    assert found.keys.lock_flag_position == 3
    assert found.features == FeatureSet.from_cloud("51071C4F5F1")
    assert found.admin_passcode == "2468135"
    assert found.time_zone_offset == timedelta(hours=1)
    assert found.missing == ()


def test_an_ekey_has_its_validity() -> None:
    found = only(from_json(TTLOCK_BLE))
    assert found.valid_from == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert found.valid_until is None
    assert found.limited_until is None
    assert found.keys.user_id == 12345678
    assert found.features == FeatureSet(0xFFFFFFFF)


def test_only_a_guests_keys_have_an_end() -> None:
    guest = {"aesKeyStr": AES, "lockKey": "7", "endDate": 1700000000000}
    end = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert only(from_json(guest)).limited_until == end
    assert only(from_json(guest | {"adminPwd": "9"})).limited_until is None


def test_missing_items_say_what_they_forbid() -> None:
    found = only(from_json({"aesKeyStr": AES, "adminPwd": "0", "timezoneRawOffset": -1}))
    assert found.items == {Item.AES_KEY}
    assert [each.item for each in found.missing] == [item for item in Item if item != Item.AES_KEY]
    forbidden = {each.item: each.forbids for each in found.missing}
    assert "passcodes" in forbidden[Item.ADMIN_SECRET]
    assert "only reading" in forbidden[Item.UNLOCK_KEY]
    assert found.keys.version == Version()


def test_outer_values_count_more_than_those_in_lock_data() -> None:
    found = only(from_json({"lockAlias": "Back", "lockData": lock_data(DETAIL)}))
    assert found.name == "Back"


def test_version_without_groups_has_the_usual_ones() -> None:
    version = {"protocolType": "5", "protocolVersion": "3", "scene": "7"}
    assert only(from_json(DETAIL | {"lockVersion": version})).keys.version == Version(scene=7)
    assert not only(from_json(DETAIL | {"lockVersion": "1.0"})).has_version


def test_version_is_read_under_our_own_names_too() -> None:
    ours = {"protocol_type": 5, "protocol_version": 3, "scene": 2, "group": 10, "organisation": 34}
    found = only(from_json({"mac": MAC, "aes_key": AES, "version": ours}))
    assert found.keys.version == Version(group=10, organisation=34)


def test_a_mark_of_byte_order_is_no_part_of_the_text() -> None:
    assert only(from_text("\ufeff\n " + json.dumps(DETAIL))).mac == MAC


def test_names_are_cut_and_printable() -> None:
    found = only(from_json(DETAIL | {"lockAlias": "\x1b[31m" + "x" * 100}))
    assert found.name == "?[31m" + "x" * 59


@pytest.mark.parametrize(
    ("change", "problem", "item"),
    [
        ({"aesKeyStr": None}, Problem.MISSING, Item.AES_KEY),
        ({"aesKeyStr": "a1,b2"}, Problem.MALFORMED, Item.AES_KEY),
        ({"aesKeyStr": "zz" * 16}, Problem.MALFORMED, Item.AES_KEY),
        ({"lockKey": "!"}, Problem.MALFORMED, Item.UNLOCK_KEY),
        ({"lockKey": mask_text("12ab", 5)}, Problem.MALFORMED, Item.UNLOCK_KEY),
        ({"adminPwd": "9999999999"}, Problem.MALFORMED, Item.ADMIN_SECRET),
        ({"lockMac": "AA:BB"}, Problem.MALFORMED, Item.MAC),
        ({"lockFlagPos": "x"}, Problem.MALFORMED, None),
        ({"lockFlagPos": 1 << 24}, Problem.MALFORMED, None),
        ({"featureValue": "xyz"}, Problem.MALFORMED, Item.FEATURES),
        ({"featureValue": None, "specialValue": "x"}, Problem.MALFORMED, Item.FEATURES),
        ({"featureValue": None, "specialValue": 1 << 40}, Problem.MALFORMED, Item.FEATURES),
        ({"noKeyPwd": "?"}, Problem.MALFORMED, Item.ADMIN_PASSCODE),
        ({"timezoneRawOffset": 10**10}, Problem.MALFORMED, Item.TIME_ZONE),
        ({"startDate": 10**20}, Problem.MALFORMED, None),
        ({"lockVersion": {"protocolType": "x"}}, Problem.MALFORMED, Item.VERSION),
        ({"lockVersion": VERSION | {"scene": 999}}, Problem.MALFORMED, Item.VERSION),
        ({"lockVersion": VERSION | {"protocolVersion": 4}}, Problem.NOT_SUPPORTED, Item.VERSION),
    ],
)
def test_what_is_wrong_has_a_name(
    change: dict[str, Any], problem: Problem, item: Item | None
) -> None:
    result = from_json([DETAIL | change, DETAIL])
    assert len(result.found) == 1
    (error,) = result.rejected
    assert (error.problem, error.item, error.lock) == (problem, item, "Front")
    assert str(error).startswith("Front: ")
    for value in change.values():
        assert not isinstance(value, str) or len(value) < 3 or value not in str(error)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "[1, 2]",
        "{}",
        '{"list": []}',
        "null",
        "[" * 100_000,
        "not base64",
        base64.b64encode(bytes(6)).decode(),
        base64.b64encode(bytes(16 + 6)).decode(),
        lock_data([1, 2]),
    ],
)
def test_what_is_no_key_file_is_refused(text: str) -> None:
    with pytest.raises(KeyImportError) as raised:
        from_text(text)
    assert raised.value.problem is Problem.NOT_RECOGNISED


def test_a_cloud_error_is_a_record_without_keys() -> None:
    (error,) = from_json({"errcode": 10003, "errmsg": "invalid token"}).rejected
    assert error.problem is Problem.MISSING


def test_bad_fields_of_a_person_are_named() -> None:
    with pytest.raises(KeyImportError) as raised:
        from_fields(mac=MAC, aes_key="")
    assert raised.value.item is Item.AES_KEY
    with pytest.raises(KeyImportError):
        from_lock_data("AAAA")


def test_nested_parts_have_an_end() -> None:
    inner: dict[str, Any] = {"aesKey": AES}
    for _ in range(5):
        inner = {"admin": inner}
    (error,) = from_json([inner]).rejected
    assert error.problem is Problem.MISSING


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    *DETAIL,
                    "list",
                    "keyInfos",
                    "privateData",
                    "admin",
                    "lockData",
                    "startDate",
                    "uid",
                ]
            )
            | st.text(max_size=5),
            inner,
            max_size=6,
        )
    ),
    max_leaves=20,
)


@given(parsed=JSON)
def test_any_json_gives_a_result_or_a_named_error(parsed: Any) -> None:
    try:
        result = from_json(parsed)
    except KeyImportError:
        return
    assert result.found or result.rejected


@given(
    text=st.text(max_size=200)
    | st.binary(max_size=100).map(lambda raw: base64.b64encode(raw).decode())
)
def test_any_text_gives_a_result_or_a_named_error(text: str) -> None:
    try:
        from_text(text)
    except KeyImportError:
        return
