"""The state file's format: whole, readable, and refused with the place where it is wrong."""

import json
from dataclasses import replace
from datetime import UTC, datetime, time
from typing import Any

import pytest

from ttlock_protocol.errors import LocalProtocolError, Refusal
from ttlock_protocol.features import Feature
from ttlock_protocol.messages.log import LogType
from ttlock_protocol.messages.pairing import OfflineSeed
from ttlock_protocol.messages.passage import PassageEntry
from ttlock_protocol.messages.passcodes import PasscodeType
from ttlock_protocol.virtual import (
    Fault,
    FaultAction,
    FaultPlan,
    FaultPoint,
    Memory,
    StateError,
    dump_memory,
    load_fault_plan,
    load_memory,
    new_lock,
    to_plain,
)
from ttlock_protocol.virtual.memory import (
    Bolt,
    BoltState,
    OfflineSeeds,
    OwnClock,
    Special,
    StoredSchedule,
)
from virtual_helpers import KEYS, LOCAL, MAC, NOW, ZONE, Bench, paired, stored

# ruff: noqa: DTZ001 - lock-local times are naive


def lived_in() -> Memory:
    """Return the memory of a lock that has seen everything."""
    bench = Bench(paired(admin_passcode="2468135"))
    for digits in ("0000", "2468135"):
        bench.type(digits)
    return replace(
        bench.memory,
        passcodes=(
            stored("0047", passcode_type=PasscodeType(77), valid_until=LOCAL),
            stored("606060", is_cloud_generated=True, uses_left=3, first_used_at=LOCAL),
        ),
        schedules=(
            StoredSchedule(credential=b"\1\2", weekday=3, starts_at=time(8, 30), ends_at=time(17)),
        ),
        passage=(PassageEntry(),),
        features=(Feature.PASSCODE, Feature(200)),
        offline_seeds=OfflineSeeds(
            first_year=26, seeds=(OfflineSeed(code=1, secret=2),), reset_at=LOCAL
        ),
        special=Special(hotel_aes_key=bytes(16)),
        bolt=Bolt(state=BoltState.UNLOCKED, opened_at=NOW),
    )


def test_a_memory_survives_being_saved() -> None:
    for memory in (paired(), lived_in()):
        assert load_memory(dump_memory(memory)) == memory


def test_the_document_reads_like_the_lock() -> None:
    memory = json.loads(dump_memory(lived_in()))["memory"]
    assert memory["clock"] == {
        "set_to": "2026-03-14T09:00:00",
        "set_at": "2026-03-14T08:00:00+00:00",
    }
    assert memory["features"] == ["passcode", 200]
    assert memory["passcodes"][0] == {
        "passcode_type": 77,
        "passcode": "0047",
        "original_passcode": "0047",
        "valid_from": "2026-03-14T09:00:00",
        "valid_until": "2026-03-14T09:00:00",
    }
    assert memory["administrator"]["aes_key"] == KEYS.aes_key.hex()
    assert memory["schedules"][0]["starts_at"] == "08:30:00"
    assert memory["log"]["records"][0]["log_type"] == "wrong_passcode"
    assert LogType.WRONG_PASSCODE.name.lower() == "wrong_passcode"


def test_what_is_as_usual_may_be_left_out() -> None:
    document = {
        "format": "ttlock-virtual-lock",
        "version": 1,
        "memory": {
            "mac": MAC,
            "name": "S999_332211",
            "clock": {"set_to": "2026-03-14T09:00:00", "set_at": "2026-03-14T10:00:00+02:00"},
            "battery": {"percent": 40},
        },
    }
    memory = load_memory(json.dumps(document))
    assert memory.administrator is None
    assert memory.battery.percent == 40.0
    assert memory.clock == OwnClock(set_to=LOCAL, set_at=NOW)
    assert memory.clock.set_at.tzinfo is UTC


def changed(**changes: Any) -> str:
    document = json.loads(dump_memory(paired(passcodes=(stored("4711"),))))
    document["memory"].update(changes)
    return json.dumps(document)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "not JSON"),
        ("[]", "format"),
        ('{"format": "other"}', "format"),
        ('{"format": "ttlock-virtual-lock", "version": 2}', "version 1"),
        ('{"format": "ttlock-virtual-lock", "version": 1}', "memory must be an object"),
        (changed(nmae="x"), "memory has no field 'nmae'"),
        (changed(name=5), "memory.name must be str"),
        (changed(battery={"percent": True}), "memory.battery.percent must be float"),
        (changed(battery={"percent": "1"}), "memory.battery.percent must be float"),
        (changed(passcodes={}), "memory.passcodes must be a list"),
        (changed(passcodes=[{}]), r"memory.passcodes\[0\] lacks a field"),
        (changed(features=["teleport"]), r"memory.features\[0\] has a form"),
        (changed(administrator={"aes_key": "zz"}), "memory.administrator.aes_key has a form"),
        (changed(clock={"set_to": "now"}), "memory.clock.set_to has a form"),
        (changed(clock={"set_to": "2026-03-14T09:00:00Z"}), "memory.clock.set_to has a form"),
        (changed(clock={"set_at": "2026-03-14T09:00:00"}), "memory.clock.set_at has a form"),
        (changed(clock={"set_at": 5}), "memory.clock.set_at has a form"),
        (
            changed(offline_seeds={"first_year": 1, "seeds": [{"code": 0, "secret": 1}]}),
            r"memory.offline_seeds.seeds\[0\]: the code of a year",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_place(text: str, complaint: str) -> None:
    with pytest.raises(StateError, match=complaint):
        load_memory(text)


def test_a_complaint_never_shows_the_value() -> None:
    with pytest.raises(StateError) as refused:
        load_memory(changed(admin_passcode=2468135))
    assert "2468135" not in str(refused.value)


def test_a_fault_plan_is_json_too() -> None:
    document = {
        "faults": [
            {"action": "lose", "at": "answer", "request": "AddPasscode", "nth": 1},
            {"action": "refuse", "at": "request", "refusal": "memory_full", "chance": 0.5},
            {"action": "delay", "at": "push", "delay_s": 2},
        ],
        "seed": 9,
    }
    plan = load_fault_plan(document)
    assert plan == FaultPlan(
        faults=(
            Fault(action=FaultAction.LOSE, at=FaultPoint.ANSWER, request="AddPasscode", nth=1),
            Fault(
                action=FaultAction.REFUSE,
                at=FaultPoint.REQUEST,
                refusal=Refusal.MEMORY_FULL,
                chance=0.5,
            ),
            Fault(action=FaultAction.DELAY, at=FaultPoint.PUSH, delay_s=2.0),
        ),
        seed=9,
    )
    assert load_fault_plan(json.loads(json.dumps(to_plain(plan)))) == plan
    with pytest.raises(StateError, match=r"plan.faults\[0\]: a fault names"):
        load_fault_plan({"faults": [{"action": "lose", "at": "answer", "request": "Nonsense"}]})


class TestNewLocks:
    def test_the_clock_shows_the_time_of_its_zone_and_its_error(self) -> None:
        memory = new_lock(mac=MAC, name="S", keys=KEYS, now=NOW, zone=ZONE, clock_error_s=7 * 3600)
        assert memory.clock.read(NOW) == datetime(2026, 3, 14, 16)

    def test_passcodes_of_the_set_up(self) -> None:
        memory = new_lock(
            mac=MAC,
            name="S",
            keys=KEYS,
            now=NOW,
            zone=ZONE,
            admin_passcode="2468135",
            permanent_passcodes=("0047", "111111"),
        )
        assert [each.passcode for each in memory.passcodes] == ["0047", "111111"]
        assert memory.admin_passcode == "2468135"

    @pytest.mark.parametrize("digits", ["123", "1234567890", "12a4"])
    def test_impossible_ones(self, digits: str) -> None:
        for wrong in ({"admin_passcode": digits}, {"permanent_passcodes": (digits,)}):
            with pytest.raises(LocalProtocolError):
                new_lock(mac=MAC, name="S", keys=KEYS, now=NOW, zone=ZONE, **wrong)  # type: ignore[arg-type]

    def test_a_clock_is_set_to_a_naive_time_at_an_aware_one(self) -> None:
        for wrong in ((NOW, NOW), (LOCAL, LOCAL)):
            with pytest.raises(LocalProtocolError):
                OwnClock(set_to=wrong[0], set_at=wrong[1])
