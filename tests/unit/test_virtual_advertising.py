"""What the virtual lock says to everybody, and when it says nothing."""

import pytest

from ttlock_protocol.advertisement import Advertisement, parse
from ttlock_protocol.features import Feature
from ttlock_protocol.messages.log import UNREAD, GetLog
from ttlock_protocol.messages.operate import BoltState
from ttlock_protocol.virtual import NotConnectable, new_factory_lock
from ttlock_protocol.virtual.memory import Battery, Habits
from virtual_helpers import MAC, NOW, ZONE, Bench, paired


def seen(bench: Bench) -> Advertisement:
    data = bench.lock.advertisement(bench.now)
    assert data is not None
    advertisement = parse(data)
    assert isinstance(advertisement, Advertisement)
    return advertisement


def test_a_paired_lock_at_rest() -> None:
    advertisement = seen(Bench(paired(battery=Battery(percent=86.6))))
    assert advertisement.mac == MAC
    assert advertisement.scene == 2
    assert advertisement.battery_percent == 87
    assert advertisement.params == 0


def test_a_factory_lock_says_that_it_can_be_paired() -> None:
    memory = new_factory_lock(mac=MAC, name="S999_332211", now=NOW, zone=ZONE)
    assert seen(Bench(memory)).is_setting_mode


def test_bolt_and_unread_records_show() -> None:
    bench = Bench()
    bench.lock.turn_key(bench.now)
    assert seen(bench).bolt == BoltState.UNLOCKED
    assert seen(bench).has_new_records
    central = bench.central()
    central.request(GetLog(cursor=UNREAD))
    central.close()
    assert not seen(bench).has_new_records


def test_a_touch_shows_for_some_seconds() -> None:
    bench = Bench()
    bench.lock.touch(bench.now)
    assert seen(bench).is_touched
    bench.advance(11)
    assert seen(bench).is_touched
    bench.advance(1)
    assert not seen(bench).is_touched


def test_nothing_is_on_air_while_somebody_is_connected() -> None:
    bench = Bench()
    central = bench.central()
    assert bench.lock.advertisement(bench.now) is None
    central.close()
    assert bench.lock.advertisement(bench.now) is not None


def test_a_flat_battery_is_silent() -> None:
    bench = Bench(paired(battery=Battery(percent=0.0)))
    assert bench.lock.advertisement(bench.now) is None


def test_a_minute_after_the_last_traffic_the_bolt_is_hidden() -> None:
    bench = Bench()
    assert not seen(bench).is_dormant
    bench.central().close()
    bench.lock._body.open_bolt(bench.now)
    bench.lock._body.change_settings(auto_lock_s=0)
    bench.advance(59)
    assert seen(bench).bolt == BoltState.UNLOCKED
    bench.advance(1)
    assert seen(bench).is_dormant
    assert seen(bench).bolt == BoltState.UNKNOWN
    bench.lock.touch(bench.now)
    assert seen(bench).bolt == BoltState.UNLOCKED


def test_a_lock_that_nobody_ever_talked_to_dozes_as_well() -> None:
    bench = Bench()
    bench.advance(0)
    bench.advance(59)
    assert not seen(bench).is_dormant
    bench.advance(1)
    assert seen(bench).is_dormant


def test_not_all_firmware_goes_dormant() -> None:
    bench = Bench(paired(habits=Habits(goes_dormant=False)))
    bench.central().close()
    bench.advance(1000)
    assert not seen(bench).is_dormant


def test_a_silent_lock_must_be_touched_before_it_can_be_reached() -> None:
    bench = Bench(paired(features=(Feature.SILENT_WHEN_IDLE,)))
    assert bench.lock.advertisement(bench.now) is None
    with pytest.raises(NotConnectable):
        bench.central()
    bench.lock.touch(bench.now)
    assert seen(bench).is_touched
    bench.central().close()
    bench.advance(12)
    assert bench.lock.advertisement(bench.now) is None


def test_after_a_reboot_it_is_awake() -> None:
    bench = Bench()
    bench.central().close()
    bench.advance(100)
    bench.lock.reboot(bench.now)
    assert not seen(bench).is_dormant
