"""Advertisements: flags, dormancy, parking locks, foreign shapes, stale entries."""

from typing import Any

import pytest

from ttlock_protocol.advertisement import (
    Advertisement,
    Foreign,
    ForeignKind,
    Parking,
    build,
    choose,
    parse,
    rejoin,
)
from ttlock_protocol.errors import LocalProtocolError
from ttlock_protocol.frame import Version
from ttlock_protocol.messages.operate import BoltState

MAC = "AA:BB:CC:11:22:33"
TAIL = bytes.fromhex("332211ccbbaa")


def seen(params: int, *, scene: int = 2, battery: int = 87) -> Advertisement:
    return Advertisement(mac=MAC, scene=scene, params=params, battery=battery)


@pytest.mark.parametrize(
    ("params", "bolt"),
    [
        (0x00, BoltState.LOCKED),
        (0x01, BoltState.UNLOCKED),
        (0x10, BoltState.UNKNOWN),
        (0x11, BoltState.UNKNOWN),
        (0x0E, BoltState.LOCKED),
    ],
)
def test_bolt_of_a_door_lock(params: int, bolt: BoltState) -> None:
    assert seen(params).bolt is bolt
    assert seen(params).parking is None


@pytest.mark.parametrize(
    ("params", "parking", "bolt"),
    [
        (0x00, Parking.RAISED, BoltState.LOCKED),
        (0x01, Parking.LOWERED, BoltState.UNLOCKED),
        (0x10, Parking.UNKNOWN, BoltState.UNKNOWN),
        (0x11, Parking.LOWERED_WITH_CAR, BoltState.UNLOCKED),
    ],
)
def test_bolt_of_a_parking_lock(params: int, parking: Parking, bolt: BoltState) -> None:
    lock = seen(params, scene=7)
    assert (lock.parking, lock.bolt) == (parking, bolt)
    assert not lock.is_dormant


def test_each_flag_is_its_own_bit() -> None:
    names = {
        0x02: "has_new_records",
        0x04: "is_setting_mode",
        0x08: "is_touched",
        0x10: "is_dormant",
        0x20: "has_door_sensor_flag",
    }
    for bit in range(8):
        lock = seen(1 << bit)
        assert {name for name in names.values() if getattr(lock, name)} == (
            {names[1 << bit]} if 1 << bit in names else set()
        )


@pytest.mark.parametrize(("raw", "percent"), [(0, 0), (100, 100), (101, None), (200, None)])
def test_battery_that_is_no_percentage_is_not_known(raw: int, percent: int | None) -> None:
    assert seen(0, battery=raw).battery_percent == percent


def test_battery_is_not_believed_right_after_a_connection() -> None:
    assert seen(0).battery_after(119.9) is None
    assert seen(0).battery_after(120.0) == 87


def test_a_newer_advertisement_counts_more_than_an_old_answer() -> None:
    assert seen(0x01).bolt_over(BoltState.LOCKED) is BoltState.UNLOCKED
    assert seen(0x10).bolt_over(BoltState.LOCKED) is BoltState.LOCKED


def test_header_for_the_first_request() -> None:
    assert seen(0, scene=4).version == Version(scene=4)


@pytest.mark.parametrize("length", [15, 16, 17, 20])
def test_address_is_always_at_the_end(length: int) -> None:
    data = bytes((5, 3, 2, 1, 87)) + bytes(length - 11) + TAIL
    lock = parse(data)
    assert isinstance(lock, Advertisement)
    assert (lock.mac, lock.bolt, len(lock.undecoded)) == (MAC, BoltState.UNLOCKED, 6)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\x12\x19", Foreign(ForeignKind.FIRMWARE_UPDATE)),
        (b"\xff\xff" + TAIL, Foreign(ForeignKind.FIRMWARE_UPDATE, MAC)),
        (b"\x13\x19\x00", Foreign(ForeignKind.GATEWAY_FIRMWARE_UPDATE)),
        (b"\x34\x12" + TAIL, Foreign(ForeignKind.WRISTBAND, MAC)),
        (bytes(4) + b"\x05\x04\0\0\0\x57" + bytes(2) + TAIL, Foreign(ForeignKind.LEGACY, MAC)),
        (bytes(4) + b"\x03\x01\0\0\0\x57" + bytes(2) + TAIL, Foreign(ForeignKind.LEGACY, MAC)),
        (bytes(4) + b"\x63\x01\0\0\0\x57" + bytes(2) + TAIL, None),
        (b"", None),
        (b"\x05\x03\x02\x01\x57" + TAIL[:9], None),
        (b"\x4c\x00\x02\x15", None),
    ],
)
def test_other_shapes(data: bytes, expected: Foreign | None) -> None:
    assert parse(data) == expected


def test_a_built_advertisement_is_read_again() -> None:
    lock = build(
        mac=MAC,
        scene=2,
        battery_percent=87,
        is_unlocked=True,
        has_new_records=True,
        is_setting_mode=True,
        is_touched=True,
    )
    assert lock.params == 0x0F
    assert parse(lock.encode()) == lock
    assert lock.encode().hex() == "0503020f57000000000000332211ccbbaa"


def test_a_dormant_lock_hides_its_bolt() -> None:
    lock = build(mac=MAC, scene=2, battery_percent=87, is_unlocked=True, is_dormant=True)
    assert lock.params == 0x10
    assert lock.bolt is BoltState.UNKNOWN


@pytest.mark.parametrize(
    "wrong", [{"scene": 256}, {"battery": -1}, {"undecoded": b""}, {"mac": "here"}]
)
def test_impossible_advertisement_is_refused(wrong: dict[str, Any]) -> None:
    fields: dict[str, Any] = {"mac": MAC, "scene": 2, "params": 0, "battery": 87}
    with pytest.raises(LocalProtocolError):
        Advertisement(**(fields | wrong)).encode()


def test_stacks_split_the_first_two_bytes_off() -> None:
    data = seen(0).encode()
    assert rejoin(0x0305, data[2:]) == data


def test_only_an_entry_with_the_locks_address_is_its_own() -> None:
    own = seen(0x01).encode()[2:]
    other = build(mac="AA:BB:CC:11:22:34", scene=2, battery_percent=1).encode()[2:]
    stale = {0x1912: own[:4], 0xFFFF: TAIL}
    assert choose({**stale, 0x0305: own}, mac=MAC.lower()) == seen(0x01)
    assert choose({0x0305: other}, mac=MAC) is None
    assert choose(stale, mac=MAC) is None
    assert choose({}, mac=MAC) is None
    with pytest.raises(LocalProtocolError):
        choose({}, mac="AA:BB")
