"""Settings, device information, name, admin passcode and special hardware of the virtual lock."""

from dataclasses import replace
from typing import Any

import pytest

from ttlock_protocol.errors import Refusal
from ttlock_protocol.features import Feature
from ttlock_protocol.message import Request
from ttlock_protocol.messages.admin import (
    GetAdminPasscode,
    SetAdminPasscode,
    SetDeviceParameter,
    SetLockName,
)
from ttlock_protocol.messages.auth import CheckUser
from ttlock_protocol.messages.device import (
    DeviceText,
    GetDeviceClock,
    GetDeviceMac,
    GetDeviceSignal,
    GetDeviceText,
)
from ttlock_protocol.messages.log import LogType
from ttlock_protocol.messages.operate import BoltState
from ttlock_protocol.messages.rare import (
    Button,
    ClickRemoteControl,
    GetHotelItem,
    GetRemoteControl,
    SetHotelAesKey,
    SetHotelCardKey,
    SetHotelNumbers,
    SetNbAddress,
    SetWristbandKey,
)
from ttlock_protocol.messages.settings import (
    GetAutoLock,
    GetPasscodeDisplay,
    GetRemoteUnlock,
    GetSound,
    GetSwitches,
    SetAutoLock,
    SetLockingOnClose,
    SetPasscodeDisplay,
    SetRemoteUnlock,
    SetSound,
    SetSwitch,
    SetVolume,
    Switch,
)
from ttlock_protocol.procedures import read_device_info
from ttlock_protocol.virtual import KeypadReason
from ttlock_protocol.virtual.memory import DeviceInfo, Special
from virtual_helpers import KEYS, LOCAL, MAC, Bench, paired, refusal_of, stored

BARE = (Feature.PASSCODE,)


def test_auto_lock_keeps_to_its_limits() -> None:
    bench = Bench()
    central = bench.admin()
    central.request(SetAutoLock(delay_s=900))
    told = central.request(GetAutoLock())
    assert (told.delay_s, told.min_delay_s, told.max_delay_s) == (900, 1, 900)
    assert refusal_of(central.request, SetAutoLock(delay_s=901)) == Refusal.INVALID_PARAMETER
    central.request(SetAutoLock(delay_s=0))
    assert central.request(GetAutoLock()).delay_s == 0
    strict = Bench(paired(features=(Feature.AUTO_LOCK,)))
    assert refusal_of(strict.ask, SetAutoLock(delay_s=0)) == Refusal.INVALID_PARAMETER


def test_locking_on_close_leaves_the_delay() -> None:
    central = Bench().admin()
    central.request(SetLockingOnClose(is_locking_on_close=True))
    told = central.request(GetAutoLock())
    assert (told.is_locking_on_close, told.delay_s) == (True, 5)


def test_sound_and_volume() -> None:
    central = Bench().admin()
    central.request(SetSound(is_on=False))
    assert not central.request(GetSound()).is_on
    central.request(SetVolume(volume=5))
    told = central.request(GetSound())
    assert (told.is_on, told.volume) == (True, 5)


def test_a_mere_beeper_takes_a_volume_and_keeps_none() -> None:
    bench = Bench(paired(features=(Feature.SOUND,)))
    bench.ask(SetSound(is_on=False), SetVolume(volume=5))
    told = bench.admin().request(GetSound())
    assert (told.is_on, told.volume, bench.memory.settings.volume) == (True, None, 3)


def test_display_and_remote_unlock() -> None:
    central = Bench().admin()
    central.request(SetPasscodeDisplay(is_shown=True))
    central.request(SetRemoteUnlock(is_allowed=False))
    assert central.request(GetPasscodeDisplay()).is_shown
    assert not central.request(GetRemoteUnlock()).is_allowed


def test_switches_are_turned_one_by_one() -> None:
    bench = Bench()
    central = bench.admin()
    assert central.request(GetSwitches()).bits == 0x23
    central.request(SetSwitch(switch=Switch.TAMPER_ALERT, is_on=False))
    central.request(SetSwitch(switch=Switch.PRIVACY_LOCK, is_on=True))
    assert central.request(GetSwitches()).bits == 0x26
    for switch in (Switch.WIFI_POWER_SAVING, Switch(0x4000)):
        request = SetSwitch(switch=switch, is_on=True)
        assert refusal_of(central.request, request) == Refusal.NOT_SUPPORTED


@pytest.mark.parametrize(
    "request_",
    [
        GetAutoLock(),
        SetAutoLock(delay_s=5),
        SetLockingOnClose(is_locking_on_close=True),
        GetSound(),
        SetSound(is_on=True),
        SetVolume(volume=1),
        GetPasscodeDisplay(),
        SetPasscodeDisplay(is_shown=True),
        GetRemoteUnlock(),
        SetRemoteUnlock(is_allowed=True),
        GetAdminPasscode(),
        SetNbAddress(port=1, address="example.org"),
        SetWristbandKey(key="k"),
        GetHotelItem(item=1),
        SetHotelCardKey(key=bytes(6)),
        SetHotelAesKey(key=bytes(16)),
        SetHotelNumbers(hotel=1, building=2, floor=3),
    ],
    ids=lambda each: type(each).__name__,
)
def test_what_a_bare_lock_does_not_have(request_: Request[Any]) -> None:
    assert refusal_of(Bench(paired(features=BARE)).ask, request_) == Refusal.NOT_SUPPORTED


def test_device_information() -> None:
    bench = Bench()
    central = bench.central()
    told = central.run(read_device_info())
    assert (told.model, told.hardware, told.firmware) == ("SN999_DEMO", "1.2", "6.5.08.230228")
    assert central.request(GetDeviceText(kind=DeviceText.PRODUCED)).text == "20230228"
    assert central.request(GetDeviceMac()).mac == MAC
    assert central.request(GetDeviceClock()).local_time == LOCAL
    for request in (GetDeviceText(kind=DeviceText.UUID), GetDeviceSignal()):
        assert refusal_of(central.request, request) == Refusal.FINGERPRINT_EXISTS
    radio = Bench(paired(device=DeviceInfo(nb_rssi_dbm=-77))).central()
    assert radio.request(GetDeviceSignal()).rssi_dbm == -77


def test_the_administrators_passcode() -> None:
    erase = stored("909090", is_erase_code=True)
    bench = Bench(paired(passcodes=(stored("4711"), erase)))
    central = bench.admin()
    assert central.request(GetAdminPasscode()).passcode == ""
    central.request(SetAdminPasscode(passcode="2468135"))
    assert central.request(GetAdminPasscode()).passcode == "2468135"
    taken, same = SetAdminPasscode(passcode="4711"), SetAdminPasscode(passcode="909090")
    assert refusal_of(central.request, taken) == Refusal.PASSCODE_EXISTS
    assert refusal_of(central.request, same) == Refusal.SAME_AS_ERASE_CODE
    assert bench.type("2468135") == KeypadReason.OPENED_BY_ADMINISTRATOR


def test_a_name_can_be_set_in_two_ways() -> None:
    bench = Bench()
    bench.ask(SetLockName(name="Front"))
    assert bench.memory.name == "Front"
    bench.ask(SetDeviceParameter(command="AT+NAME=Back"))
    assert bench.memory.name == "Back"
    for name in ("", "x" * 16):
        request = SetDeviceParameter(command=f"AT+NAME={name}")
        assert refusal_of(bench.ask, request) == Refusal.INVALID_PARAMETER
    other = SetDeviceParameter(command="AT+RESET")
    assert refusal_of(bench.ask, other) == Refusal.NOT_SUPPORTED


def test_special_hardware_keeps_what_it_is_told() -> None:
    features = (Feature.NB_IOT, Feature.WRISTBAND, Feature.HOTEL_CARD)
    bench = Bench(paired(features=features))
    bench.ask(
        SetNbAddress(port=5683, address="example.org"),
        SetWristbandKey(key="wrist"),
        SetHotelCardKey(key=b"6bytes"),
        SetHotelAesKey(key=bytes(range(16))),
        SetHotelNumbers(hotel=70000, building=2, floor=3),
        GetHotelItem(item=1),
    )
    assert bench.memory.special == Special(
        nb_port=5683,
        nb_address="example.org",
        wristband_key="wrist",
        hotel_card_key=b"6bytes",
        hotel_aes_key=bytes(range(16)),
        hotel=70000,
        building=2,
        floor=3,
    )


def test_the_buttons_of_a_remote_control() -> None:
    bench = Bench()
    central = bench.central()
    assert refusal_of(central.request, GetRemoteControl()) == Refusal.NO_PERMISSION
    proof = KEYS.proof(central.request(CheckUser(user_id=7)).challenge)
    central.request(GetRemoteControl())
    wrong = ClickRemoteControl(proof=proof ^ 1, unique_id=1, button=Button.UNLOCK)
    assert refusal_of(central.request, wrong) == Refusal.WRONG_DYNAMIC_CODE
    states = []
    for button in (Button.UNLOCK, Button.STOP, Button.LOCK):
        central.request(replace(wrong, proof=proof, button=button))
        states.append(bench.memory.bolt.state)
    assert states == [BoltState.UNLOCKED, BoltState.UNLOCKED, BoltState.LOCKED]
    records = [(each.log_type, each.user_id, each.key) for each in bench.memory.log.records]
    assert records == [(LogType.REMOTE_CONTROL, 7, key) for key in (1, 0, 2)]
