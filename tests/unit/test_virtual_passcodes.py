"""Passcodes over the air, and what the keypad makes of them by the lock's own clock."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from ttlock_agent.virtual_lock.terminal import describe
from ttlock_protocol.errors import LocalProtocolError, Refusal
from ttlock_protocol.features import Feature
from ttlock_protocol.messages.admin import SetMaxPasscodes
from ttlock_protocol.messages.clock import SetClock
from ttlock_protocol.messages.log import LogType
from ttlock_protocol.messages.passcodes import (
    AddPasscode,
    ClearPasscodes,
    Cycle,
    CycleDays,
    DeletePasscode,
    GetPasscodes,
    ModifyPasscode,
    PasscodePage,
    PasscodeRecord,
    PasscodeType,
    RecoverPasscode,
)
from ttlock_protocol.procedures import list_passcodes
from ttlock_protocol.virtual import KeypadReason, KeypadResult, Memory, StoredPasscode
from ttlock_protocol.virtual.keypad import FIRST_USE_LIMIT, LOCK_OUT
from ttlock_protocol.virtual.memory import DEFAULT_FEATURES, Battery, Capacity, Habits
from virtual_helpers import LOCAL, Bench, paired, refusal_of, stored

HOUR = timedelta(hours=1)
PERMANENT = AddPasscode(passcode_type=PasscodeType.PERMANENT, passcode="135790")
PERIOD = AddPasscode(
    passcode_type=PasscodeType.PERIOD,
    passcode="246800",
    valid_from=LOCAL + HOUR,
    valid_until=LOCAL + 2 * HOUR,
)
ONCE = AddPasscode(passcode_type=PasscodeType.ONE_TIME, passcode="998877", valid_from=LOCAL)


def with_passcodes(*passcodes: StoredPasscode, **changes: object) -> Memory:
    return paired(passcodes=passcodes, **changes)


def cyclic(days: CycleDays, hours: int, start: datetime = LOCAL) -> StoredPasscode:
    return stored(
        "112233",
        passcode_type=PasscodeType.CYCLIC,
        valid_from=start,
        cycle_number=Cycle(days, hours).number,
    )


def listed(bench: Bench) -> list[tuple[str, str]]:
    central = bench.admin()
    records = central.run(list_passcodes())
    central.close()
    assert all(isinstance(each, PasscodeRecord) for each in records)
    return [(each.passcode, each.original_passcode) for each in records]  # type: ignore[union-attr]


def logged(bench: Bench) -> list[tuple[LogType, str | None]]:
    return [(each.log_type, each.passcode) for each in bench.memory.log.records]


def test_added_passcodes_are_listed_one_a_page_and_open() -> None:
    bench = Bench()
    bench.ask(PERMANENT, PERIOD, ONCE)
    central = bench.admin()
    first = central.request(GetPasscodes())
    second = central.request(GetPasscodes(cursor=1))
    assert (first.next_cursor, second.next_cursor) == (1, 2)
    assert second.records == (
        PasscodeRecord(
            passcode_type=PasscodeType.PERIOD,
            passcode="246800",
            original_passcode="246800",
            valid_from=LOCAL + HOUR,
            valid_until=LOCAL + 2 * HOUR,
        ),
    )
    assert central.request(GetPasscodes(cursor=3)) == PasscodePage(next_cursor=None)
    assert bench.type("135790") == KeypadReason.OPENED


def test_what_exists_cannot_be_added_or_recovered() -> None:
    bench = Bench(paired(admin_passcode="2468135"))
    bench.ask(PERMANENT)
    recover = RecoverPasscode(
        passcode_type=PasscodeType.PERMANENT, passcode="135790", original_passcode="4711"
    )
    admins = AddPasscode(passcode_type=PasscodeType.PERMANENT, passcode="2468135")
    for request in (PERMANENT, recover, admins):
        assert refusal_of(bench.ask, request) == Refusal.PASSCODE_EXISTS


def test_memory_is_limited() -> None:
    bench = Bench(paired(capacity=Capacity(passcodes=2)))
    bench.ask(PERMANENT, PERIOD)
    assert refusal_of(bench.ask, ONCE) == Refusal.PASSCODE_MEMORY_FULL
    bench.ask(SetMaxPasscodes(count=3), ONCE)
    assert len(bench.memory.passcodes) == 3


def test_deleting_revokes_and_is_refused_for_what_is_not_there() -> None:
    bench = Bench()
    bench.ask(PERMANENT, ONCE, DeletePasscode(passcode="135790"))
    assert bench.type("135790") == KeypadReason.WRONG
    assert listed(bench) == [("998877", "998877")]
    delete = DeletePasscode(passcode="135790")
    assert refusal_of(bench.ask, delete) == Refusal.PASSCODE_NOT_FOUND


def test_clearing_leaves_the_administrators_passcode() -> None:
    bench = Bench(paired(admin_passcode="2468135"))
    bench.ask(PERMANENT, ONCE, ClearPasscodes())
    assert bench.memory.passcodes == ()
    assert bench.type("2468135") == KeypadReason.OPENED_BY_ADMINISTRATOR


def test_modifying_digits_keeps_the_original_and_the_place_in_the_list() -> None:
    bench = Bench()
    bench.ask(PERMANENT, ONCE)
    bench.ask(ModifyPasscode(passcode="135790", new_passcode="777777"))
    assert listed(bench) == [("777777", "135790"), ("998877", "998877")]
    assert bench.type("135790") == KeypadReason.WRONG
    assert bench.type("777777") == KeypadReason.OPENED


def test_modifying_dates_makes_a_permanent_passcode_a_period() -> None:
    bench = Bench()
    bench.ask(PERMANENT, ONCE)
    window = {"valid_from": LOCAL + HOUR, "valid_until": LOCAL + 2 * HOUR}
    bench.ask(
        ModifyPasscode(passcode="135790", **window),  # type: ignore[arg-type]
        ModifyPasscode(passcode="998877", new_passcode="998877", **window),  # type: ignore[arg-type]
    )
    changed, once = bench.memory.passcodes
    assert (changed.passcode_type, changed.valid_until) == (PasscodeType.PERIOD, LOCAL + 2 * HOUR)
    assert (once.passcode_type, once.valid_until) == (PasscodeType.ONE_TIME, LOCAL + 2 * HOUR)


def test_modifying_a_cyclic_passcode_leaves_its_cycle() -> None:
    bench = Bench(with_passcodes(cyclic(CycleDays.MONDAY, 10)))
    bench.ask(ModifyPasscode(passcode="112233", valid_from=LOCAL + HOUR, valid_until=LOCAL + HOUR))
    (changed,) = bench.memory.passcodes
    assert (changed.cycle_number, changed.valid_until) == (1081, None)
    assert changed.valid_from == LOCAL + HOUR


def test_modifying_needs_the_old_one_a_free_new_one_and_the_feature() -> None:
    bench = Bench()
    bench.ask(PERMANENT, ONCE)
    missing = ModifyPasscode(passcode="4711", new_passcode="777777")
    taken = ModifyPasscode(passcode="135790", new_passcode="998877")
    assert refusal_of(bench.ask, missing) == Refusal.PASSCODE_NOT_FOUND
    assert refusal_of(bench.ask, taken) == Refusal.PASSCODE_EXISTS
    plain = Bench(paired(features=(Feature.PASSCODE,)))
    assert refusal_of(plain.ask, missing) == Refusal.NOT_SUPPORTED


def test_recovering_brings_back_any_type_with_its_original() -> None:
    bench = Bench()
    cycle = Cycle(CycleDays.WEEKEND, 10).number
    bench.ask(
        RecoverPasscode(
            passcode_type=PasscodeType.CYCLIC,
            passcode="777777",
            original_passcode="135790",
            valid_from=LOCAL,
            cycle_number=cycle,
        )
    )
    assert listed(bench) == [("777777", "135790")]
    assert bench.type("777777") == KeypadReason.OPENED


def test_recovering_a_cycle_needs_the_feature() -> None:
    features = tuple(bit for bit in DEFAULT_FEATURES if bit != Feature.RECOVER_CYCLIC_PASSCODE)
    bench = Bench(paired(features=features))
    request = RecoverPasscode(
        passcode_type=PasscodeType.CYCLIC,
        passcode="777777",
        original_passcode="777777",
        cycle_number=1000,
    )
    assert refusal_of(bench.ask, request) == Refusal.NOT_SUPPORTED


def test_a_period_is_judged_by_the_locks_own_clock_to_its_last_second() -> None:
    bench = Bench()
    bench.ask(PERIOD)
    assert bench.type("246800") == KeypadReason.NOT_YET_VALID
    bench.lock.shift_clock(3600)
    assert bench.type("246800") == KeypadReason.OPENED
    bench.lock.shift_clock(3600 + 59)
    assert bench.type("246800") == KeypadReason.OPENED
    bench.lock.shift_clock(1)
    assert bench.type("246800") == KeypadReason.EXPIRED
    bench.ask(SetClock(local_time=LOCAL + HOUR))
    assert bench.type("246800") == KeypadReason.OPENED
    kinds = [each for each, _ in logged(bench)]
    assert kinds == [
        LogType.PASSCODE_OUT_OF_WINDOW,
        LogType.PASSCODE_UNLOCK,
        LogType.PASSCODE_UNLOCK,
        LogType.PASSCODE_OUT_OF_WINDOW,
        LogType.PASSCODE_UNLOCK,
    ]


def test_a_clock_seven_hours_off_keeps_a_good_passcode_from_opening() -> None:
    bench = Bench()
    bench.lock.shift_clock(7 * 3600)
    bench.ask(PERIOD)
    bench.advance(3600)
    assert bench.type("246800") == KeypadReason.EXPIRED


def test_a_one_time_passcode_opens_once_and_is_then_blacklisted() -> None:
    bench = Bench()
    bench.ask(ONCE)
    assert bench.type("998877") == KeypadReason.OPENED
    assert bench.type("998877") == KeypadReason.USED_UP
    assert listed(bench) == [("998877", "998877")]
    assert logged(bench)[-1] == (LogType.PASSCODE_BLACKLISTED, "998877")


def test_other_firmware_forgets_a_one_time_passcode_once_it_was_used() -> None:
    bench = Bench(paired(habits=Habits(keeps_used_passcodes=False)))
    bench.ask(ONCE)
    assert bench.type("998877") == KeypadReason.OPENED
    assert listed(bench) == []
    assert bench.type("998877") == KeypadReason.WRONG


def test_a_passcode_with_a_number_of_uses_counts_down() -> None:
    bench = Bench(with_passcodes(stored("0815"), stored("4711", uses_left=2), stored("1234")))
    assert [bench.type("4711") for _ in range(3)] == [
        KeypadReason.OPENED,
        KeypadReason.OPENED,
        KeypadReason.USED_UP,
    ]
    assert [each.passcode for each in bench.memory.passcodes] == ["0815", "4711", "1234"]


def test_a_shorter_passcode_shadows_a_longer_one_that_begins_with_it() -> None:
    bench = Bench()
    shorter = AddPasscode(passcode_type=PasscodeType.PERMANENT, passcode="1234")
    longer = AddPasscode(passcode_type=PasscodeType.PERMANENT, passcode="12345")
    bench.ask(longer, shorter, DeletePasscode(passcode="12345"))
    assert bench.type("12345") == KeypadReason.OPENED
    assert logged(bench)[-1] == (LogType.PASSCODE_UNLOCK, "1234")


def test_a_shadow_that_does_not_open_lets_the_longer_one_open() -> None:
    bench = Bench(with_passcodes(stored("1234", uses_left=0), stored("12345")))
    assert bench.type("12345") == KeypadReason.OPENED
    assert bench.type("1234") == KeypadReason.USED_UP


def test_five_wrong_entries_in_a_row_lock_the_keypad_for_minutes() -> None:
    bench = Bench(paired(admin_passcode="2468135"))
    bench.ask(PERMANENT)
    for _ in range(4):
        assert bench.type("0000") == KeypadReason.WRONG
    assert bench.type("135790") == KeypadReason.OPENED
    for _ in range(5):
        assert bench.type("0000") == KeypadReason.WRONG
    assert logged(bench)[-2:] == [(LogType.WRONG_PASSCODE, "0000"), (LogType(48), None)]
    assert bench.type("135790") == KeypadReason.LOCKED_OUT
    assert bench.type("2468135") == KeypadReason.LOCKED_OUT
    bench.advance(LOCK_OUT.total_seconds() - 1)
    assert bench.type("135790") == KeypadReason.LOCKED_OUT
    bench.advance(1)
    assert bench.type("135790") == KeypadReason.OPENED


def test_the_administrators_passcode_opens_and_is_logged_as_such() -> None:
    bench = Bench(paired(admin_passcode="2468135"))
    assert bench.type("2468135") == KeypadReason.OPENED_BY_ADMINISTRATOR
    assert logged(bench) == [(LogType.ADMIN_PASSCODE_UNLOCK, "2468135")]


@pytest.mark.parametrize(
    ("days", "hours", "shift_h", "opens"),
    [
        (CycleDays.WEEKEND, 1, 0, True),
        (CycleDays.WEEKEND, 1, 1, False),
        (CycleDays.WEEKEND, 1, -1, False),
        (CycleDays.WORKDAYS, 1, 0, False),
        (CycleDays.WORKDAYS, 1, 48, True),
        (CycleDays.EVERY_DAY, 1, 24, True),
        (CycleDays.MONDAY, 1, 48, True),
        (CycleDays.MONDAY, 1, 72, False),
        (CycleDays.SATURDAY, 24, 23, True),
        (CycleDays.SATURDAY, 24, 24, False),
        (CycleDays.SUNDAY, 1, 24, True),
    ],
)
def test_cycles(days: CycleDays, hours: int, shift_h: int, opens: bool) -> None:
    """LOCAL is a Saturday, nine o'clock, and so is the start; it began a week ago."""
    bench = Bench(with_passcodes(cyclic(days, hours, LOCAL - timedelta(days=7))))
    bench.lock.shift_clock(shift_h * 3600)
    reason = bench.type("112233")
    assert reason == (KeypadReason.OPENED if opens else KeypadReason.OUTSIDE_CYCLE)


def test_a_first_use_needs_room_to_be_remembered() -> None:
    full = paired(
        capacity=Capacity(passcodes=1),
        passcodes=(stored("135790"), stored("606060", is_cloud_generated=True)),
    )
    bench = Bench(full)
    assert bench.type("606060") == KeypadReason.NO_SPACE
    record = bench.memory.log.records[-1]
    assert (record.log_type, record.passcode) == (LogType.PASSCODE_NO_SPACE, "606060")
    bench.ask(DeletePasscode(passcode="135790"))
    assert bench.type("606060") == KeypadReason.OPENED
    # It has its place now, and keeps it.
    assert bench.type("606060") == KeypadReason.OPENED


def test_an_erase_code_needs_no_room() -> None:
    erase = stored("909090", is_cloud_generated=True, is_erase_code=True)
    bench = Bench(paired(capacity=Capacity(passcodes=1), passcodes=(stored("135790"), erase)))
    assert bench.type("909090") == KeypadReason.ERASED_OTHERS


@pytest.mark.parametrize("reason", KeypadReason)
def test_the_terminal_has_words_for_every_reason(reason: KeypadReason) -> None:
    assert describe(KeypadResult(False, reason))


def test_a_cycle_that_nobody_can_explain_never_opens() -> None:
    bench = Bench(with_passcodes(replace(cyclic(CycleDays.EVERY_DAY, 24), cycle_number=9)))
    assert bench.type("112233") == KeypadReason.OUTSIDE_CYCLE


class TestCloudGenerated:
    """Passcodes that the lock works out from its seed."""

    passcode = stored("606060", is_cloud_generated=True)

    def test_is_unknown_to_commands_until_its_first_use(self) -> None:
        bench = Bench(with_passcodes(self.passcode))
        assert listed(bench) == []
        for request in (
            DeletePasscode(passcode="606060"),
            ModifyPasscode(passcode="606060", new_passcode="707070"),
        ):
            assert refusal_of(bench.ask, request) == Refusal.PASSCODE_NOT_FOUND
        bench.ask(ClearPasscodes())
        assert bench.type("606060") == KeypadReason.OPENED
        assert listed(bench) == [("606060", "606060")]
        bench.ask(DeletePasscode(passcode="606060"))
        assert bench.type("606060") == KeypadReason.WRONG

    def test_takes_no_space_before(self) -> None:
        bench = Bench(with_passcodes(self.passcode, capacity=Capacity(passcodes=1)))
        bench.ask(PERMANENT)
        assert refusal_of(bench.ask, ONCE) == Refusal.PASSCODE_MEMORY_FULL

    def test_is_void_when_not_used_within_a_day_of_its_start(self) -> None:
        for late, reason in ((0, KeypadReason.OPENED), (1, KeypadReason.NOT_USED_IN_TIME)):
            bench = Bench(with_passcodes(self.passcode))
            bench.lock.shift_clock(FIRST_USE_LIMIT.total_seconds() + late)
            assert bench.type("606060") == reason

    def test_once_used_it_stays_good(self) -> None:
        bench = Bench(with_passcodes(self.passcode))
        bench.type("606060")
        bench.lock.shift_clock(30 * 86400)
        assert bench.type("606060") == KeypadReason.OPENED

    def test_an_erase_code_wipes_the_others_and_opens_nothing(self) -> None:
        bench = Bench(
            with_passcodes(
                stored("4711"), stored("909090", is_cloud_generated=True, is_erase_code=True)
            )
        )
        assert bench.type("909090") == KeypadReason.ERASED_OTHERS
        assert bench.memory.passcodes == ()
        assert logged(bench) == [(LogType.ERASE_PASSCODE_USED, "909090")]
        assert bench.type("4711") == KeypadReason.WRONG


def test_a_keypad_without_power_opens_nothing() -> None:
    bench = Bench(with_passcodes(stored("4711"), battery=Battery(percent=4.9)))
    assert bench.type("4711") == KeypadReason.BATTERY_TOO_LOW
    assert bench.memory.log.records == ()


@pytest.mark.parametrize("digits", ["", "12a4", "\uff11\uff12\uff13\uff14"])
def test_only_digits_can_be_typed(digits: str) -> None:
    with pytest.raises(LocalProtocolError):
        Bench().type(digits)


def test_nobody_notices_more_than_twenty_digits() -> None:
    bench = Bench()
    assert bench.type("1" * 300) == KeypadReason.WRONG
    assert logged(bench) == [(LogType.WRONG_PASSCODE, "1" * 20)]
