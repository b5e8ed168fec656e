"""Bolt, auto-lock, passage mode, pushes, reboot and reset of the virtual lock."""

# ruff: noqa: DTZ001 - lock-local times are naive
from dataclasses import replace
from datetime import datetime, time, timedelta

import pytest

from ttlock_protocol.errors import KeyMismatch, LocalProtocolError, Refusal
from ttlock_protocol.features import Feature
from ttlock_protocol.message import Response
from ttlock_protocol.messages.admin import Reset
from ttlock_protocol.messages.clock import GetClock, SetClock
from ttlock_protocol.messages.log import LogType
from ttlock_protocol.messages.operate import (
    BoltState,
    GetFeatures,
    GetState,
    OperationPush,
    State,
)
from ttlock_protocol.messages.passage import (
    AddPassageEntry,
    ClearPassageEntries,
    DeletePassageEntry,
    GetPassageEntries,
    PassageEntry,
    PassageKind,
    PassagePage,
)
from ttlock_protocol.messages.settings import SetAutoLock, SetSwitch, Switch
from ttlock_protocol.procedures import LinkDropped, lock, unlock
from ttlock_protocol.virtual import KeypadReason
from ttlock_protocol.virtual.memory import DEFAULT_FEATURES, Battery, Capacity, Settings
from virtual_helpers import KEYS, LOCAL, Bench, paired, refusal_of


def is_open(bench: Bench) -> bool:
    return bench.memory.bolt.state == BoltState.UNLOCKED


def opened(bench: Bench) -> Bench:
    central = bench.central()
    central.run(unlock(KEYS, unique_id=77))
    central.close()
    return bench


def closed(bench: Bench) -> Bench:
    central = bench.central()
    central.run(lock(KEYS, unique_id=78))
    central.close()
    return bench


def features_without(*bits: Feature) -> tuple[Feature, ...]:
    return tuple(bit for bit in DEFAULT_FEATURES if bit not in bits)


def test_unlocking_and_locking_say_who_and_when_and_are_logged() -> None:
    bench = Bench()
    central = bench.central()
    answer = central.run(unlock(KEYS, unique_id=77))
    assert (answer.user_id, answer.unique_id, answer.operated_at) == (KEYS.user_id, 77, LOCAL)
    assert is_open(bench)
    bench.advance(1)
    locked = central.run(lock(KEYS, unique_id=78))
    assert (locked.unique_id, locked.operated_at) == (78, LOCAL + timedelta(seconds=1))
    assert not is_open(bench)
    first, second = bench.memory.log.records
    assert (first.log_type, first.user_id, first.record_id) == (1, KEYS.user_id, 77)
    assert (second.log_type, second.record_id) == (LogType.APP_LOCK, 78)


def test_locking_needs_a_motor_that_locks() -> None:
    central = Bench(paired(features=features_without(Feature.LOCK_BY_COMMAND))).central()
    assert refusal_of(central.run, lock(KEYS, unique_id=1)) == Refusal.NOT_SUPPORTED


def test_a_low_battery_does_not_move_the_bolt() -> None:
    enough = Bench(paired(battery=Battery(percent=5))).central()
    enough.run(unlock(KEYS, unique_id=1))
    central = Bench(paired(battery=Battery(percent=4))).central()
    assert refusal_of(central.run, unlock(KEYS, unique_id=1)) == Refusal.BATTERY_TOO_LOW
    assert refusal_of(central.run, lock(KEYS, unique_id=1)) == Refusal.BATTERY_TOO_LOW


def test_auto_lock_throws_the_bolt_after_its_delay() -> None:
    bench = opened(Bench())
    bench.advance(4.9)
    assert is_open(bench)
    bench.advance(0.1)
    assert not is_open(bench)
    assert bench.memory.log.records[-1].log_type == LogType.APP_UNLOCK


def test_auto_lock_can_be_off() -> None:
    bench = opened(Bench(paired(settings=Settings(auto_lock_s=0))))
    bench.advance(100_000)
    assert is_open(bench)


def test_a_state_push_follows_each_move_and_a_log_push_five_seconds_later() -> None:
    bench = Bench()
    central = bench.central()
    central.run(unlock(KEYS, unique_id=77))
    assert central.pushes == [
        State(battery_percent=100, bolt=BoltState.UNLOCKED, raw_door_sensor=2)
    ]
    bench.advance(4)
    central.request(GetState())
    assert len(central.pushes) == 1
    bench.advance(1)
    central.listen()
    assert central.pushes[1:] == [
        State(battery_percent=100, bolt=BoltState.LOCKED, raw_door_sensor=2),
        OperationPush(battery_percent=100, user_id=KEYS.user_id, record_id=77, operated_at=LOCAL),
    ]


def test_the_keypad_is_heard_of_while_connected() -> None:
    bench = Bench(paired(admin_passcode="2468135"))
    central = bench.central()
    bench.type("2468135")
    central.listen()
    assert [type(each) for each in central.pushes] == [State]
    bench.type("0000")
    bench.advance(5)
    central.listen()
    pushes: list[Response] = [each for each in central.pushes if isinstance(each, OperationPush)]
    assert [each.record_id for each in pushes if isinstance(each, OperationPush)] == [1, 2]


def test_nobody_hears_late_what_was_for_somebody_else() -> None:
    bench = Bench()
    opened(bench)
    central = bench.central()
    bench.advance(4.9)
    central.request(GetState())
    bench.advance(1)
    central.listen()
    assert [type(each) for each in central.pushes] == [State]


def test_the_mechanical_key_turns_both_ways() -> None:
    bench = Bench()
    bench.lock.turn_key(bench.now)
    assert is_open(bench)
    bench.lock.turn_key(bench.now)
    assert not is_open(bench)
    kinds = [each.log_type for each in bench.memory.log.records]
    assert kinds == [LogType.KEY_UNLOCK, LogType.KEY_LOCK]


def test_a_bolt_that_is_open_already_moves_nothing_and_waits_anew() -> None:
    bench = opened(Bench())
    bench.advance(4)
    central = bench.central()
    central.run(unlock(KEYS, unique_id=79))
    assert central.pushes == []
    central.close()
    bench.advance(4)
    assert is_open(bench)


def test_features_follow_the_remote_unlock_switch() -> None:
    allowed = Bench().central().request(GetFeatures()).bits
    settings = Settings(is_remote_unlock_allowed=False)
    forbidden = Bench(
        paired(settings=settings, features=(Feature.GATEWAY_UNLOCK, Feature.KEY_FOB))
    ).central()
    assert allowed >> Feature.GATEWAY_UNLOCK & 1
    assert allowed == sum(1 << bit for bit in (*DEFAULT_FEATURES, Feature.GATEWAY_UNLOCK))
    assert forbidden.request(GetFeatures()).bits == 1 << 41


def test_a_reboot_loses_the_clock_and_says_so_in_the_log() -> None:
    bench = Bench(paired(battery=Battery(percent=3)))
    central = bench.central()
    bench.lock.reboot(bench.now)
    central.listen()
    assert not central.is_open
    assert bench.lock.battery_percent(bench.now) == 100
    bench.advance(60)
    assert bench.central().request(GetClock()).local_time == datetime(2000, 1, 1, 0, 1)
    (only,) = bench.memory.log.records
    assert (only.log_type, only.recorded_at) == (LogType.REBOOTED, datetime(2000, 1, 1))


def test_a_reboot_ends_a_lock_out() -> None:
    bench = Bench(paired(admin_passcode="2468135"))
    for _ in range(5):
        bench.type("0000")
    bench.lock.reboot(bench.now)
    assert bench.type("2468135") == KeypadReason.OPENED_BY_ADMINISTRATOR


def test_the_clock_drifts_and_stays_within_what_it_can_show() -> None:
    bench = Bench()
    clock = bench.memory.clock
    fast = Bench(paired(clock=replace(clock, drift_ppm=100.0)))
    fast.advance(86_400)
    assert fast.lock.local_time(fast.now) - bench.lock.local_time(fast.now) == timedelta(seconds=8)
    fast.ask(SetClock(local_time=LOCAL))
    fast.advance(86_400)
    assert fast.lock.local_time(fast.now) == LOCAL + timedelta(days=1, seconds=8)
    for shift, shown in (
        (-99e8, datetime(2000, 1, 1)),
        (200e8, datetime(2099, 12, 31, 23, 59, 59)),
    ):
        fast.lock.shift_clock(shift)
        assert fast.lock.local_time(fast.now) == shown


def test_a_central_that_comes_back_to_it_finds_what_time_has_done() -> None:
    bench = Bench(paired(settings=Settings(auto_lock_s=3)))
    central = bench.central()
    central.run(unlock(KEYS, unique_id=1))
    bench.now += timedelta(seconds=4)
    assert central.request(GetState()).bolt is BoltState.LOCKED
    assert [each.bolt for each in central.pushes if isinstance(each, State)] == [
        BoltState.UNLOCKED,
        BoltState.LOCKED,
    ]
    bench.now += timedelta(seconds=5)
    with pytest.raises(LinkDropped):
        central.request(GetState())


def test_what_one_central_did_not_fetch_is_not_for_the_next() -> None:
    bench = Bench()
    bench.central()
    bench.advance(5)
    central = bench.central()
    central.listen()
    assert central.is_open


@pytest.mark.parametrize("seconds", [1e20, -1e20, 1e12, 1e11, -1e11])
def test_a_clock_is_not_shifted_out_of_the_calendar(seconds: float) -> None:
    bench = Bench()
    with pytest.raises(LocalProtocolError):
        bench.lock.shift_clock(seconds)
    assert bench.lock.local_time(bench.now) == LOCAL


def test_a_lock_without_a_clock_chip_says_so() -> None:
    bench = Bench(paired(features=(Feature.NO_CLOCK,)))
    central = bench.admin()
    assert refusal_of(central.request, GetClock()) == Refusal.NOT_SUPPORTED
    set_clock = SetClock(local_time=LOCAL)
    assert refusal_of(central.request, set_clock) == Refusal.NOT_SUPPORTED


def test_reset_wipes_everything_answers_with_the_old_key_and_hangs_up() -> None:
    bench = Bench(paired(admin_passcode="2468135"))
    bench.type("0000")
    central = bench.admin()
    central.request(Reset())
    assert not central.is_open
    memory = bench.memory
    assert memory.administrator is None
    assert (memory.admin_passcode, memory.log.records) == (None, ())
    assert memory.clock == paired().clock
    with pytest.raises(KeyMismatch):
        bench.central().request(GetState())


def test_the_reset_button_works_unless_it_is_switched_off() -> None:
    bench = Bench()
    central = bench.admin()
    central.request(SetSwitch(switch=Switch.RESET_BUTTON, is_on=False))
    assert not bench.lock.press_reset_button(bench.now)
    assert bench.memory.administrator is not None
    central.request(SetSwitch(switch=Switch.RESET_BUTTON, is_on=True))
    assert bench.lock.press_reset_button(bench.now)
    assert bench.memory.administrator is None
    central.listen()
    assert not central.is_open


OFFICE = PassageEntry(day=6, starts_at=time(8, 0), ends_at=time(18, 30))
"""Saturdays; LOCAL is one, at nine."""


class TestPassageMode:
    def test_entries_are_listed_one_a_page_and_removed(self) -> None:
        bench = Bench()
        monthly = PassageEntry(kind=PassageKind.MONTHLY, day=14)
        bench.ask(AddPassageEntry(entry=OFFICE), AddPassageEntry(entry=monthly))
        central = bench.admin()
        page = central.request(GetPassageEntries())
        assert (page.next_cursor, page.records) == (1, (OFFICE,))
        assert central.request(GetPassageEntries(cursor=1)).records == (monthly,)
        end = PassagePage(battery_percent=100, next_cursor=0xFF, records=())
        assert central.request(GetPassageEntries(cursor=2)) == end
        central.request(DeletePassageEntry.of(OFFICE))
        assert bench.memory.passage == (monthly,)
        again = DeletePassageEntry.of(OFFICE)
        assert refusal_of(central.request, again) == Refusal.RECORD_NOT_FOUND
        central.request(ClearPassageEntries())
        assert bench.memory.passage == ()

    def test_the_vendors_way_of_removing_takes_all_of_a_day(self) -> None:
        evening = PassageEntry(day=6, starts_at=time(20, 0), ends_at=time(21, 0))
        bench = Bench(paired(passage=(OFFICE, evening)))
        other_hours = DeletePassageEntry(
            kind=PassageKind.WEEKLY, day=6, starts_at=time(8, 0), ends_at=time(9, 0)
        )
        assert refusal_of(bench.ask, other_hours) == Refusal.RECORD_NOT_FOUND
        bench.ask(DeletePassageEntry(kind=PassageKind.WEEKLY, day=6))
        assert bench.memory.passage == ()

    def test_space_and_feature(self) -> None:
        full = Bench(paired(passage=(OFFICE,), capacity=Capacity(passage_entries=1)))
        add = AddPassageEntry(entry=OFFICE)
        assert refusal_of(full.ask, add) == Refusal.MEMORY_FULL
        without = Bench(paired(features=features_without(Feature.PASSAGE_MODE)))
        remove = DeletePassageEntry.of(OFFICE)
        for request in (GetPassageEntries(), add, remove, ClearPassageEntries()):
            assert refusal_of(without.ask, request) == Refusal.NOT_SUPPORTED

    def test_an_unlocked_bolt_stays_open_until_the_window_ends(self) -> None:
        bench = Bench()
        bench.ask(AddPassageEntry(entry=OFFICE))
        assert not is_open(bench)
        opened(bench)
        bench.advance(9.5 * 3600)
        assert is_open(bench)
        bench.advance(61)
        assert not is_open(bench)

    def test_all_day_goes_on_over_midnight_into_the_next_day(self) -> None:
        bench = opened(Bench(paired(passage=(PassageEntry(day=0),))))
        bench.advance(40 * 3600)
        assert is_open(bench)
        weekend = opened(Bench(paired(passage=(PassageEntry(day=6),))))
        weekend.advance(14 * 3600)
        assert is_open(weekend)
        weekend.advance(2 * 3600)
        assert not is_open(weekend)

    @pytest.mark.parametrize(
        ("entry", "holds"),
        [
            (PassageEntry(kind=PassageKind.MONTHLY, day=14), True),
            (PassageEntry(kind=PassageKind.MONTHLY, day=15), False),
            (PassageEntry(kind=PassageKind.YEARLY, day=14, month=3), True),
            (PassageEntry(kind=PassageKind.YEARLY, day=14, month=4), False),
            (PassageEntry(day=5), False),
            (PassageEntry(starts_at=time(9, 1), ends_at=time(10, 0)), False),
            (PassageEntry(starts_at=time(8, 0), ends_at=time(8, 59)), False),
            (PassageEntry(starts_at=time(8, 0), ends_at=time(9, 0)), True),
        ],
    )
    def test_which_days_and_hours_hold(self, entry: PassageEntry, holds: bool) -> None:
        settings = Settings(switches=0)
        bench = opened(Bench(paired(passage=(entry,), settings=settings)))
        bench.advance(20)
        assert is_open(bench) == holds

    def test_locking_by_command_leaves_it_until_the_next_window(self) -> None:
        bench = opened(Bench(paired(passage=(OFFICE,))))
        closed(bench)
        opened(bench)
        bench.advance(6)
        assert not is_open(bench)
        bench.lock.shift_clock(7 * 86_400)
        opened(bench)
        bench.advance(60)
        assert is_open(bench)

    def test_the_lock_opens_by_itself_at_the_start_if_it_is_told_to(self) -> None:
        bench = Bench(paired(passage=(OFFICE,)))
        bench.advance(6 * 86_400 + 22 * 3600)
        assert not is_open(bench)
        bench.advance(3600)
        assert is_open(bench)
        bench.advance(12 * 3600)
        assert not is_open(bench)

    @pytest.mark.parametrize(
        "changes",
        [
            {"settings": Settings(switches=0)},
            {"features": features_without(Feature.PASSAGE_AUTO_UNLOCK)},
        ],
        ids=["switched off", "no feature"],
    )
    def test_and_does_not_otherwise(self, changes: dict[str, object]) -> None:
        bench = Bench(paired(passage=(OFFICE,), **changes))
        bench.advance(7 * 86_400)
        assert not is_open(bench)

    def test_a_window_that_is_over_when_the_lock_looks_again_is_missed(self) -> None:
        bench = Bench(paired(passage=(OFFICE,)))
        bench.advance(0)
        bench.lock.shift_clock(7 * 86_400 + 12 * 3600)
        bench.advance(0)
        assert not is_open(bench)

    def test_a_date_that_does_not_come_within_a_week_is_not_waited_for(self) -> None:
        entry = PassageEntry(kind=PassageKind.YEARLY, day=1, month=1)
        bench = Bench(paired(passage=(entry,)))
        assert bench.lock.next_event_at(bench.now) is None


def test_the_auto_lock_delay_is_heeded_at_once() -> None:
    bench = Bench()
    central = bench.admin()
    central.run(unlock(KEYS, unique_id=1))
    central.request(SetAutoLock(delay_s=900))
    central.close()
    bench.advance(899)
    assert is_open(bench)
    bench.advance(1)
    assert not is_open(bench)
