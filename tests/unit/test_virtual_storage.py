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

DAY = "2026-03-14T00:00:00"


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


def edited(place: str, value: object) -> str:
    """Return the document of a lock that was lived in, with something else at ``place``."""
    document = json.loads(dump_memory(lived_in()))
    holder = document["memory"]
    *way, last = place.split(".")
    for name in way:
        holder = holder[int(name)] if isinstance(holder, list) else holder.setdefault(name, {})
    if isinstance(holder, list):
        holder[int(last)] = value
    else:
        holder[last] = value
    return json.dumps(document)


@pytest.mark.parametrize(
    ("place", "value", "complaint"),
    [
        ("mac", "front door", "memory.mac: an address"),
        ("admin_passcode", "\u00e9", "memory.admin_passcode: text"),
        ("administrator.aes_key", "00", "memory.administrator: an AES key"),
        ("battery.percent", 256, "memory.battery: a charge"),
        ("battery.percent", float("nan"), "memory.battery.percent must be"),
        ("battery.percent", 10**400, "memory.battery.percent must be"),
        ("battery.percent_per_connected_hour", -1, "memory.battery: a charge"),
        ("bolt.state", 256, "memory.bolt: "),
        ("bolt.opened_at", "0001-01-01T00:00:00+14:00", "memory.bolt.opened_at has a form"),
        ("capacity.cards", 0xFFFF, "memory.cards: none to 65534"),
        ("capacity.passage_entries", -1, "memory.passage: none to 254"),
        ("passage", [{}] * 255, "memory.passage: none to 254"),
        ("clock.drift_ppm", 1e7, "memory.clock: a clock"),
        ("clock.set_to", "9999-12-31T23:59:59", "memory.clock: a lock's clock"),
        ("features", [2**40], "memory.features are 0 to"),
        ("features", [-1], "memory.features are 0 to"),
        ("device.model", "x" * 237, "memory.device does not fit"),
        ("device.nb_rssi_dbm", 128, "memory.device: "),
        ("settings.auto_lock_s", 65536, "memory.settings: "),
        ("settings.volume", -1, "memory.settings: "),
        ("settings.switches", 2**32, "memory.settings: "),
        ("log.written", 1, "memory.a log holds"),
        ("log.records.0.battery", 256, "memory.log.records[0]: "),
        ("offline_seeds.reset_at", "1999-12-31T00:00:00", "memory.offline_seeds: "),
        ("passage.0", {"day": 256}, "memory.passage[0]: "),
        ("passcodes.0.passcode", "", "memory.passcodes[0]: a passcode"),
        ("passcodes.1.valid_from", "2100-01-01T00:00:00", "memory.passcodes[1]: the lock"),
    ],
)
def test_what_a_lock_could_not_say_is_refused_when_it_is_read(
    place: str, value: object, complaint: str
) -> None:
    """Else the lock breaks later, in the middle of a conversation about something else."""
    with pytest.raises(StateError) as refused:
        load_memory(edited(place, value))
    assert str(refused.value).startswith(complaint)


@pytest.mark.parametrize(
    ("credential", "value"),
    [
        ("cards", {"card_number": "0102", "valid_from": DAY, "valid_until": DAY}),
        ("fingerprints", {"fingerprint": "0102", "valid_from": DAY, "valid_until": DAY}),
    ],
)
def test_a_credential_that_no_list_could_hold_is_refused(credential: str, value: object) -> None:
    with pytest.raises(StateError, match=credential):
        load_memory(edited(credential, [value]))


def test_nesting_without_end_is_no_state() -> None:
    with pytest.raises(StateError, match="not JSON"):
        load_memory("[" * 100_000)


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
