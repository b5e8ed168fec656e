"""Backup, reset, enrolment and restore on a virtual lock, as a technician does them."""

# ruff: noqa: DTZ001 - lock-local times are naive
import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent_rig import LOCK, Door, no_hook
from backup_rig import (
    ADMIN_PASSCODE,
    CARDS,
    FINGERS,
    MAC_DIGITS,
    OPENERS,
    PASSPHRASE,
    BenchRig,
    bench_at,
    furnished,
    furnished_door,
)
from conftest import LogGuard
from ttlock_agent.backup.content import Content
from ttlock_agent.config.locks import QuirksConfig
from ttlock_agent.jobs.model import Job, JobState
from ttlock_agent.keyring import encode_keys
from ttlock_protocol.errors import DecodeError, Refusal
from ttlock_protocol.features import Feature
from ttlock_protocol.messages.admin import Reset
from ttlock_protocol.messages.auth import PERMANENT_FROM
from ttlock_protocol.messages.passcodes import PasscodePage, PasscodeType
from ttlock_protocol.virtual import Fault, FaultAction, FaultPoint, Memory, StoredPasscode
from ttlock_protocol.virtual.memory import Capacity, Habits
from virtual_helpers import KEYS, ManualClock, stored

SECRETS = (*OPENERS, "864200", KEYS.aes_key.hex(), PASSPHRASE)
OTHER_MAC = "AA:BB:CC:44:55:66"


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[BenchRig]:
    async with bench_at(tmp_path) as rig:
        yield rig


def change(door: Door, **changes: Any) -> None:
    door.lock._body.memory = replace(door.lock.memory, **changes)


def without(memory: Memory, *features: Feature) -> Memory:
    return replace(memory, features=tuple(f for f in memory.features if f not in features))


def error_of(job: Job) -> str:
    assert job.state is JobState.FAILED, job
    assert job.error is not None
    return job.error.code


def items(entries: list[dict[str, Any]]) -> list[tuple[str, int]]:
    return [(entry["item"], entry["number"]) for entry in entries]


async def test_a_reset_that_loses_nothing(rig: BenchRig) -> None:
    before = rig.door.lock.memory
    backup = await rig.backup()
    verified = await rig.do("backup.verify", backup=backup)
    assert verified.result is not None
    assert verified.result["agrees"] is True
    wiped = await rig.wipe(backup)
    assert wiped.state is JobState.PROVED
    assert rig.door.lock.memory.administrator is None
    assert LOCK not in rig.locks.profiles
    enrolled = await rig.do("lock.enrol", gives_up_app=True)
    assert enrolled.state is JobState.PROVED
    assert "dead keys" in str(enrolled.result)
    restored = await rig.do("lock.restore", backup=backup)
    assert restored.state is JobState.PROVED
    assert restored.result is not None
    assert restored.result["fingerprints"]["count"] == len(FINGERS)
    assert len(restored.result["fingerprints"]["ids"]) == len(FINGERS)
    assert restored.result["failed"] == restored.result["not_restorable"] == []
    after = rig.door.lock.memory
    assert [each.record for each in after.passcodes] == [each.record for each in before.passcodes]
    assert after.cards == before.cards
    assert after.passage == before.passage
    assert after.settings == before.settings
    assert after.admin_passcode == before.admin_passcode
    assert [rig.door.opens(digits) for digits in OPENERS] == [True] * len(OPENERS)
    assert all(rig.door.lock.present_card(card, rig.clock.now()).is_opened for card in CARDS)
    assert rig.door.opens(ADMIN_PASSCODE)


async def test_the_app_may_take_the_lock_back_and_its_new_keys_are_imported(rig: BenchRig) -> None:
    backup = await rig.backup()
    await rig.wipe(backup)
    new = replace(KEYS, aes_key=b"\x77" * 16, admin_secret=5, unlock_key=6)
    app = Door(rig.clock).lock.memory.administrator
    assert app is not None
    administrator = replace(app, aes_key=new.aes_key, admin_secret=5, unlock_key=6)
    change(rig.door, administrator=administrator)
    keys = json.loads(encode_keys(new))
    assert await rig.told("keys.import", lock=LOCK, keys=keys) == {"lock": LOCK}
    restored = await rig.do("lock.restore", backup=backup)
    assert restored.state is JobState.PROVED
    assert [rig.door.opens(digits) for digits in OPENERS] == [True] * len(OPENERS)


async def test_a_backup_reads_a_lock_and_changes_nothing(rig: BenchRig) -> None:
    before = replace(rig.door.lock.memory, battery=rig.door.lock.memory.battery)
    job = await rig.do("backup.create", with_keys=True)
    assert job.result is not None
    assert job.result["holds"] == {
        "passcodes": 5,
        "cards": 2,
        "fingerprints": 2,
        "passage": 1,
        "unreadable": 0,
        "has_settings": True,
        "has_admin_passcode": True,
        "has_keys": True,
    }
    opened = await rig.shelf.open(job.result["backup"], None)
    assert opened.content.keys is not None
    assert opened.content.keys.aes_key == KEYS.aes_key.hex()
    assert opened.content.lock.firmware == before.device.firmware
    assert opened.content.lock.zone == "Europe/Berlin"
    assert opened.content.admin_passcode == ADMIN_PASSCODE
    unread = {entry["item"]: entry["reason"] for entry in job.result["not_in_backup"]}
    assert unread.keys() == {"weekly_hours", "unused_cloud_passcodes"}
    after = replace(rig.door.lock.memory, battery=before.battery)
    assert after == before


async def test_keys_are_in_a_backup_only_if_asked_for(rig: BenchRig) -> None:
    opened = await rig.shelf.open(await rig.backup(), None)
    assert opened.content.keys is None


async def test_what_a_lock_does_not_tell_is_listed_with_the_reason(rig: BenchRig) -> None:
    refuse = Fault(
        action=FaultAction.REFUSE,
        at=FaultPoint.ANSWER,
        request="GetCards",
        refusal=Refusal.NOT_SUPPORTED,
    )
    rig.door.set_faults(refuse)
    features = (*rig.door.lock.memory.features, Feature.FACE, Feature.KEY_FOB)
    change(rig.door, features=features)
    job = await rig.do("backup.create")
    assert job.result is not None
    unread = {entry["item"]: entry["reason"] for entry in job.result["not_in_backup"]}
    assert unread["cards"] == "This lock does not know the command."
    assert unread.keys() >= {"faces", "key_fobs", "unused_cloud_passcodes", "weekly_hours"}
    assert job.result["holds"]["cards"] == 0
    # By now it tells them: who resets it with that backup would lose them unseen.
    rig.door.set_faults()
    compared = await rig.do("backup.verify", backup=job.result["backup"])
    assert compared.result is not None
    assert (compared.result["agrees"], compared.result["told_since"]) == (False, ["cards"])
    refused = await rig.do("lock.reset", backup=job.result["backup"], dry_run=True)
    assert error_of(refused) == "backup_stale"
    assert refused.error is not None
    assert "more than it did to the backup: cards" in refused.error.message


async def test_a_strange_record_since_the_backup_is_a_reason_for_another(
    rig: BenchRig, stumble: Callable[[], None]
) -> None:
    change(rig.door, passcodes=rig.door.lock.memory.passcodes[:1])
    backup = await rig.backup()
    change(rig.door, passcodes=furnished_door().lock.memory.passcodes[0:3:2])
    stumble()
    refused = await rig.do("lock.reset", backup=backup, dry_run=True)
    assert error_of(refused) == "backup_stale"
    assert refused.error is not None
    assert "unreadable_passcodes" in refused.error.message


async def test_a_one_time_passcode_used_since_the_backup_is_not_armed_again(rig: BenchRig) -> None:
    rig.door.opens("555666")
    await rig.clock.advance(60)
    now = rig.door.lock.local_time(rig.clock.now()).replace(second=0)
    once = stored("606060", passcode_type=PasscodeType.ONE_TIME, valid_from=now, valid_until=None)
    await rig.clock.advance(60)
    change(rig.door, passcodes=(*rig.door.lock.memory.passcodes, once))
    backup = await rig.backup()
    assert rig.door.opens("606060")
    refused = await rig.do("lock.reset", backup=backup, dry_run=True)
    assert error_of(refused) == "backup_stale"
    assert refused.error is not None
    assert "used_passcodes" in refused.error.message


async def test_an_admin_passcode_set_since_the_backup_is_seen(rig: BenchRig) -> None:
    change(rig.door, admin_passcode=None)
    backup = await rig.backup()
    change(rig.door, admin_passcode="7654321")
    assert error_of(await rig.do("lock.reset", backup=backup, dry_run=True)) == "backup_stale"


@pytest.fixture
def stumble(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From the call on, one passcode of the lock is in a form that nobody knows."""
    codec = PasscodePage._record
    decode = codec.decode

    def stumbling(reader: Any) -> Any:
        record = decode(reader)
        if record.passcode == "777888":
            raise DecodeError("a layout nobody knows")
        return record

    return lambda: monkeypatch.setattr(codec, "decode", stumbling)


async def test_what_is_not_found_among_unreadable_records_is_not_called_missing(
    rig: BenchRig, stumble: Callable[[], None]
) -> None:
    backup = await rig.backup()
    stumble()
    compared = await rig.do("backup.verify", backup=backup)
    assert compared.result is not None
    (entry,) = compared.result["differing"]
    assert (entry["item"], entry["number"], entry["standing"]) == ("passcodes", 3, "not_read")


async def test_unreadable_records_are_kept_and_listed(
    rig: BenchRig, stumble: Callable[[], None]
) -> None:
    stumble()
    job = await rig.do("backup.create")
    assert job.result is not None
    assert job.result["holds"]["passcodes"] == 4
    assert job.result["holds"]["unreadable"] == 1
    (listed,) = [e for e in job.result["not_in_backup"] if e["item"] == "passcodes"]
    assert "1 record in a form that nobody knows" in listed["reason"]
    opened = await rig.shelf.open(job.result["backup"], None)
    assert b"777888" in opened.content.unreadable[0].raw
    compared = await rig.do("backup.verify", backup=job.result["backup"])
    assert compared.result is not None
    assert compared.result["agrees"] is True


async def test_a_used_one_time_passcode_is_not_armed_again(rig: BenchRig) -> None:
    rig.door.opens("555666")
    await rig.clock.advance(120)
    spent = stored(
        "606060",
        passcode_type=PasscodeType.ONE_TIME,
        valid_from=datetime(2026, 3, 14, 9, 0),
        valid_until=datetime(2026, 3, 20, 9, 0),
    )
    fresh = replace(spent, passcode="707070", original_passcode="707070")
    change(rig.door, passcodes=(*rig.door.lock.memory.passcodes, spent, fresh))
    assert rig.door.opens("606060")
    backup = await rig.backup()
    await rig.wipe(backup)
    await rig.do("lock.enrol", gives_up_app=True)
    restored = await rig.do("lock.restore", backup=backup)
    assert restored.result is not None
    (left_out,) = restored.result["not_restorable"]
    assert "would open once more" in left_out["reason"]
    assert not rig.door.opens("606060")
    assert rig.door.opens("707070")


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"mac_digits": "445566"}, "interlock"),
        ({"confirm": "00000000"}, "interlock"),
    ],
)
async def test_the_interlocks_of_a_reset(rig: BenchRig, params: dict[str, str], code: str) -> None:
    backup = await rig.backup()
    rehearsal = await rig.do("lock.reset", backup=backup, dry_run=True)
    assert rehearsal.result is not None
    asked = {"mac_digits": MAC_DIGITS, "confirm": rehearsal.result["confirm"]} | params
    assert error_of(await rig.do("lock.reset", backup=backup, **asked)) == code
    assert rig.door.count(Reset) == 0
    assert rig.door.lock.memory.administrator is not None


async def test_a_reset_says_beforehand_what_cannot_come_back(rig: BenchRig) -> None:
    backup = await rig.backup()
    rehearsal = await rig.do("lock.reset", backup=backup, dry_run=True)
    assert rehearsal.state is JobState.DONE
    assert rehearsal.result is not None
    assert rehearsal.result["fingerprints"]["count"] == 2
    told = {entry["item"] for entry in rehearsal.result["not_in_backup"]}
    assert told == {"weekly_hours", "unused_cloud_passcodes"}
    (warning,) = rehearsal.result["changed"]
    assert "1 one-time passcodes may have been used" in warning
    assert rig.door.count(Reset) == 0
    assert rig.door.digits == [each.passcode for each in furnished_door().lock.memory.passcodes]


@pytest.mark.parametrize(
    "action",
    [
        FaultAction.EMPTY,
        FaultAction.LOSE,
        FaultAction.DROP,
        FaultAction.DROP_AFTER,
        FaultAction.TEAR,
        FaultAction.CORRUPT,
        FaultAction.DUPLICATE,
    ],
)
async def test_however_a_lock_says_goodbye_the_next_look_proves_it(
    rig: BenchRig, action: FaultAction
) -> None:
    backup = await rig.backup()
    rehearsal = await rig.do("lock.reset", backup=backup, dry_run=True)
    assert rehearsal.result is not None
    rig.door.set_faults(Fault(action=action, at=FaultPoint.ANSWER, request="Reset", nth=1))
    word = rehearsal.result["confirm"]
    job = await rig.do("lock.reset", backup=backup, mac_digits=MAC_DIGITS, confirm=word)
    assert job.state is JobState.PROVED
    assert rig.door.count(Reset) == 1
    assert rig.door.lock.memory.administrator is None


async def test_a_lock_that_only_says_it_is_wiped_is_found_out(
    rig: BenchRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup = await rig.backup()
    monkeypatch.setattr(Memory, "wiped", lambda self: self)
    job = await rig.wipe(backup)
    assert error_of(job) == "lock_misunderstood"
    assert LOCK in rig.locks.profiles


async def test_passcodes_asked_for_meanwhile_wait_for_the_new_keys(rig: BenchRig) -> None:
    backup = await rig.backup()
    rehearsal = await rig.do("lock.reset", backup=backup, dry_run=True)
    assert rehearsal.result is not None
    asked = {"mac_digits": MAC_DIGITS, "confirm": rehearsal.result["confirm"]}
    has_asked = asyncio.Event()

    async def wait_for_the_passcode(_number: int) -> None:
        await has_asked.wait()

    rig.door.before_write = wait_for_the_passcode
    reset = await rig.ask("lock.reset", source="control", id="r-1", backup=backup, **asked)
    await rig.until(reset, lambda job: job.state is JobState.WORKING)
    add = await rig.add("482913")
    has_asked.set()
    assert (await rig.final(reset)).state is JobState.PROVED
    waiting = await rig.journal.job(add.id)
    assert waiting is not None
    assert not waiting.is_final
    await rig.do("lock.enrol", gives_up_app=True)
    # At once: nobody moves the clock.
    assert (await rig.final(add)).state is JobState.PROVED
    assert rig.door.digits == ["482913"]


async def test_the_word_to_confirm_with_belongs_to_one_backup(rig: BenchRig) -> None:
    words = []
    for backup in (await rig.backup(), await rig.backup()):
        rehearsal = await rig.do("lock.reset", backup=backup, dry_run=True)
        assert rehearsal.result is not None
        words.append(rehearsal.result["confirm"])
    assert words[0] != words[1]


@pytest.mark.parametrize(
    "changed",
    [
        {"passcodes": ()},
        {"passcodes": (*furnished_door().lock.memory.passcodes, stored("888999"))},
        {"cards": ()},
        {"fingerprints": ()},
        {"admin_passcode": "7654321"},
        {"settings": replace(furnished_door().lock.memory.settings, auto_lock_s=13)},
        {"passage": ()},
    ],
    ids=lambda changed: next(iter(changed)),
)
async def test_a_stale_backup_resets_nothing(rig: BenchRig, changed: dict[str, Any]) -> None:
    backup = await rig.backup()
    rehearsal = await rig.do("lock.reset", backup=backup, dry_run=True)
    assert rehearsal.result is not None
    change(rig.door, **changed)
    word = rehearsal.result["confirm"]
    job = await rig.do("lock.reset", backup=backup, mac_digits=MAC_DIGITS, confirm=word)
    assert error_of(job) == "backup_stale"
    assert rig.door.count(Reset) == 0
    compared = await rig.do("backup.verify", backup=backup)
    assert compared.result is not None
    assert compared.result["agrees"] is False
    assert compared.result["differing"]


@pytest.mark.parametrize("verb", ["backup.verify", "lock.restore", "lock.reset"])
async def test_another_locks_backup_is_refused_and_the_lock_left_alone(
    rig: BenchRig, verb: str
) -> None:
    backup = await rig.backup()
    change(rig.door, mac=OTHER_MAC, passcodes=())
    before = rig.door.lock.memory
    params = {"mac_digits": "445566", "confirm": "x"} if verb == "lock.reset" else {}
    assert error_of(await rig.do(verb, backup=backup, **params)) == "backup_other_lock"
    after = rig.door.lock.memory
    assert replace(after, battery=before.battery) == before


async def test_enrolling_twice_finds_the_lock_ours(rig: BenchRig) -> None:
    before = rig.door.lock.memory.administrator
    job = await rig.do("lock.enrol", gives_up_app=True)
    assert job.state is JobState.PROVED
    assert job.result == {"was_ours": True}
    assert rig.door.lock.memory.administrator == before


async def test_a_job_whose_lock_was_reset_meanwhile_says_so(rig: BenchRig) -> None:
    backup = await rig.backup()
    rehearsal = await rig.do("lock.reset", backup=backup, dry_run=True)
    assert rehearsal.result is not None
    asked = {"mac_digits": MAC_DIGITS, "confirm": rehearsal.result["confirm"]}
    reset = await rig.ask("lock.reset", source="control", id="r-1", backup=backup, **asked)
    after = await rig.ask("lock.restore", source="control", id="r-2", backup=backup)
    ends = await rig.done(reset, after)
    assert ends[0].state is JobState.PROVED
    assert error_of(ends[1]) == "keys_rejected"


async def test_a_lock_with_an_administrator_is_not_enrolled(rig: BenchRig) -> None:
    administrator = rig.door.lock.memory.administrator
    assert administrator is not None
    change(rig.door, administrator=replace(administrator, admin_secret=1))
    before = rig.door.lock.memory.administrator
    job = await rig.do("lock.enrol", gives_up_app=True)
    assert error_of(job) == "not_in_setting_mode"
    assert rig.door.lock.memory.administrator == before
    assert LOCK in rig.locks.profiles
    assert await rig.keyring.pending(LOCK) is None


async def test_enrolling_keeps_what_only_describes_the_lock_optional(rig: BenchRig) -> None:
    change(rig.door, administrator=None)
    rig.door.set_faults(
        *(
            Fault(action=FaultAction.REFUSE, at=FaultPoint.ANSWER, request=request)
            for request in ("SetClock", "GetFeatures", "GetDeviceText", "GetAdminPasscode")
        ),
        Fault(action=FaultAction.LOSE, at=FaultPoint.ANSWER, request="GetSound"),
    )
    job = await rig.do("lock.enrol", gives_up_app=True, admin_passcode="9182736")
    assert job.state is JobState.PROVED, job.error
    assert rig.door.lock.memory.admin_passcode == "9182736"
    assert await rig.keyring.pending(LOCK) is None


async def test_what_a_lock_answers_to_the_greeting_is_nothing_to_go_by(rig: BenchRig) -> None:
    """Reference 5.2: ignored. An empty answer means other keys everywhere else."""
    change(rig.door, administrator=None)
    rig.door.set_faults(Fault(action=FaultAction.EMPTY, at=FaultPoint.ANSWER, request="Hello"))
    job = await rig.do("lock.enrol", gives_up_app=True)
    assert job.state is JobState.PROVED, job.error


async def test_a_white_label_lock_is_enrolled_with_its_own_token(tmp_path: Path) -> None:
    async with bench_at(tmp_path) as rig:
        change(rig.door, administrator=None, habits=Habits(client_token=b"OTHER"))
        job = await rig.do("lock.enrol", gives_up_app=True)
        assert error_of(job) == "client_token_refused"
        config = rig.locks._config
        stubborn = msgspec.structs.replace(
            config.locks[0], quirks=QuirksConfig(client_token="OTHER")
        )
        rig.locks._config = msgspec.structs.replace(config, locks=(stubborn,))
        job = await rig.do("lock.enrol", gives_up_app=True)
        assert job.state is JobState.PROVED, job.error


async def test_restart_does_not_bring_back_the_keys_of_the_configuration(tmp_path: Path) -> None:
    """A config line that names keys is read at each start; those from before a reset are dead."""
    async with bench_at(tmp_path) as rig:
        await rig.keyring.take_configured(LOCK, KEYS)
        await rig.wipe(await rig.backup())
        assert await rig.keyring.get(LOCK) is None
        await rig.keyring.take_configured(LOCK, KEYS)
        assert await rig.keyring.get(LOCK) is None
        new = replace(KEYS, admin_secret=7)
        await rig.keyring.take_configured(LOCK, new)
        assert await rig.keyring.get(LOCK) == new


# Restoring onto a lock that differs.


async def onto(tmp_path: Path, memory: Memory, **params: Any) -> tuple[Job, Memory]:
    """Make a backup of the furnished lock and restore it onto ``memory``."""
    async with bench_at(tmp_path) as rig:
        backup = await rig.backup()
        rig.door.lock._body.memory = memory
        job = await rig.do("lock.restore", backup=backup, onto_another_lock=True, **params)
        return job, rig.door.lock.memory


def empty(**changes: Any) -> Memory:
    return replace(Door(ManualClock()).lock.memory, mac=OTHER_MAC, **changes)


async def test_a_lock_with_fewer_functions_gets_what_it_can_take(tmp_path: Path) -> None:
    poor = without(
        empty(),
        Feature.CARD,
        Feature.RECOVER_CYCLIC_PASSCODE,
        Feature.PASSAGE_MODE,
        Feature.VOLUME,
        Feature.FINGERPRINT,
    )
    rehearsal, untouched = await onto(tmp_path / "dry", poor, dry_run=True)
    assert rehearsal.state is JobState.DONE
    assert untouched.passcodes == ()
    job, memory = await onto(tmp_path / "wet", poor)
    assert job.state is JobState.PROVED, job.error
    for told in (rehearsal.result, job.result):
        assert told is not None
        reasons = {tuple(items([e])[0]): e["reason"] for e in told["not_restorable"]}
        assert reasons["passcodes", 5] == "This lock has no way to take cyclic passcodes back."
        assert reasons["cards", 1] == reasons["cards", 2] == "This lock has no cards."
        assert reasons["passage_mode", 1] == "This lock has no passage mode."
        assert "This lock has no volume." in reasons.values()
        assert told["fingerprints"]["count"] == 2
    assert [each.passcode for each in memory.passcodes] == ["555666", "204060", "777888", "334455"]
    assert memory.settings.auto_lock_s == 12


async def test_a_smaller_memory_keeps_what_still_opens(tmp_path: Path) -> None:
    small = empty(capacity=Capacity(passcodes=3, cards=1))
    job, memory = await onto(tmp_path, small)
    assert error_of(job) == "restore_incomplete"
    assert job.result is not None
    assert items(job.result["failed"]) == [("passcodes", 4), ("passcodes", 5), ("cards", 2)]
    assert {"The lock has no room for passcodes.", "The lock has no room left for it."} <= {
        entry["reason"] for entry in job.result["failed"]
    }
    assert len(memory.passcodes) == 3
    assert len(memory.cards) == 1
    assert memory.settings.auto_lock_s == 12


async def test_what_expired_is_put_back_last(tmp_path: Path) -> None:
    async with bench_at(tmp_path) as rig:
        over = stored(
            "111222",
            passcode_type=PasscodeType.PERIOD,
            valid_from=datetime(2025, 1, 1),
            valid_until=datetime(2025, 2, 1),
        )
        change(rig.door, passcodes=(over, *rig.door.lock.memory.passcodes[:3]))
        backup = await rig.backup()
        rig.door.lock._body.memory = empty(capacity=Capacity(passcodes=3))
        job = await rig.do("lock.restore", backup=backup, onto_another_lock=True)
        assert job.result is not None
        assert items(job.result["failed"]) == [("passcodes", 1)]
        assert sorted(rig.door.digits) == ["204060", "555666", "777888"]


async def test_long_lists_are_said_to_fit_perhaps_not(tmp_path: Path) -> None:
    async with bench_at(tmp_path) as rig:
        many = tuple(stored(f"{number:06}") for number in range(100000, 100160))
        change(rig.door, passcodes=many, capacity=Capacity(passcodes=200))
        backup = await rig.backup()
        job = await rig.do("lock.restore", backup=backup, dry_run=True)
        assert job.result is not None
        assert job.result["may_not_fit"] == {"passcodes": 150}
        assert job.result["was_there"] >= 160


async def test_a_lock_that_was_full_is_said_to_be_too_small_the_next_time(tmp_path: Path) -> None:
    async with bench_at(tmp_path) as rig:
        backup = await rig.backup()
        asked = {"backup": backup, "onto_another_lock": True}
        rig.door.lock._body.memory = empty(capacity=Capacity(passcodes=3, cards=9))
        rehearsals = [await rig.do("lock.restore", dry_run=True, **asked)]
        assert error_of(await rig.do("lock.restore", **asked)) == "restore_incomplete"
        rehearsals.append(await rig.do("lock.restore", dry_run=True, **asked))
        # What is known of one lock says nothing of another.
        rig.door.lock._body.memory = replace(empty(), mac="AA:BB:CC:77:88:99")
        rehearsals.append(await rig.do("lock.restore", dry_run=True, **asked))
    told = [each.result["may_not_fit"] for each in rehearsals if each.result is not None]
    assert told == [{}, {"passcodes": 3}, {}]


async def test_unverified_switches_are_left_to_the_owner(tmp_path: Path) -> None:
    async with bench_at(tmp_path) as rig:
        backup = await rig.backup()
        profile = rig.locks.profiles[LOCK]
        cautious = replace(profile.quirks, switches_are_verified=False)
        rig.locks.profiles[LOCK] = replace(profile, quirks=cautious)
        memory = rig.door.lock.memory
        change(rig.door, settings=replace(memory.settings, switches=0))
        job = await rig.do("lock.restore", backup=backup)
        assert job.state is JobState.PROVED
        assert job.result is not None
        switches = [e for e in job.result["not_restorable"] if e["item"] == "switches"]
        assert {entry["setting"] for entry in switches} == {"tamper_alert", "reset_button"}
        assert rig.door.lock.memory.settings.switches == 0


async def test_what_is_there_otherwise_is_set_right_and_what_is_more_is_left(
    tmp_path: Path,
) -> None:
    async with bench_at(tmp_path) as rig:
        backup = await rig.backup()
        memory = rig.door.lock.memory
        first, _, third, *rest = memory.passcodes
        later = replace(third, valid_until=datetime(2026, 4, 1))
        other = StoredPasscode(
            passcode_type=PasscodeType.PERIOD,
            passcode=first.passcode,
            original_passcode=first.passcode,
            valid_from=PERMANENT_FROM,
            valid_until=datetime(2026, 4, 1),
        )
        change(
            rig.door,
            passcodes=(other, later, *rest, stored("888999")),
            cards=tuple(replace(card, valid_from=datetime(2026, 5, 1)) for card in memory.cards),
            fingerprints=(replace(memory.fingerprints[0], valid_until=datetime(2026, 5, 1)),),
        )
        job = await rig.do("lock.restore", backup=backup)
        assert job.state is JobState.PROVED, job.error
        assert job.result is not None
        after = rig.door.lock.memory
        held = {each.passcode: each.record for each in after.passcodes}
        assert {each.passcode: each.record for each in memory.passcodes}.items() <= held.items()
        assert "888999" in held
        assert items(job.result["only_in_lock"]) == [("passcodes", 6)]
        assert set(after.cards) == set(memory.cards)
        assert after.fingerprints == memory.fingerprints[:1]
        assert job.result["fingerprints"]["count"] == 1


async def test_a_lock_that_says_yes_and_forgets_is_found_out(tmp_path: Path) -> None:
    async with bench_at(tmp_path) as rig:
        backup = await rig.backup()
        rig.door.lock._body.memory = Door(rig.clock).lock.memory
        liar = Fault(action=FaultAction.LOSE, at=FaultPoint.REQUEST, request="AddCard")
        rig.door.set_faults(liar)
        job = await rig.do("lock.restore", backup=backup)
        assert error_of(job) == "restore_incomplete"
        assert job.result is not None
        assert items(job.result["failed"]) == [("cards", 1), ("cards", 2)]
        assert rig.door.lock.memory.cards == ()


async def test_repeating_a_restore_changes_nothing(rig: BenchRig) -> None:
    backup = await rig.backup()
    before = rig.door.lock.memory
    job = await rig.do("lock.restore", backup=backup)
    assert job.state is JobState.PROVED
    assert job.result is not None
    assert job.result["restored"] == []
    assert job.result["was_there"] > 10
    after = rig.door.lock.memory
    assert replace(after, battery=before.battery, log=before.log) == before


async def test_a_restore_sets_the_clock_first(tmp_path: Path) -> None:
    async with bench_at(tmp_path) as rig:
        backup = await rig.backup()
        rig.door.lock.shift_clock(-7 * 3600)
        job = await rig.do("lock.restore", backup=backup)
        assert job.result is not None
        assert any("clock was -25200 s off" in change for change in job.result["changed"])
        assert abs(rig.door.clock_error_s()) < 2


async def test_a_lock_out_of_reach_is_waited_for(rig: BenchRig) -> None:
    backup = await rig.backup()
    change(rig.door, passcodes=())
    rig.door.is_in_range = False
    job = await rig.ask("lock.restore", source="control", id="r-1", backup=backup)
    waiting = await rig.until(job, lambda job: job.state is JobState.WAITING)
    assert waiting.reason is not None
    assert waiting.reason.value == "lock_not_seen"
    rig.door.is_in_range = True
    assert (await rig.final(job)).state is JobState.PROVED


async def broken_off(rig: BenchRig, **params: Any) -> Job:
    """Return a restore whose lock went away with the first passcode written, unanswered."""
    backup = await rig.backup()
    change(rig.door, passcodes=())
    rig.door.set_faults(Fault(action=FaultAction.DROP, at=FaultPoint.ANSWER, request="AddPasscode"))

    async def leave(_number: int) -> None:
        rig.door.is_in_range = not rig.door.adds

    rig.door.after_write = leave
    asked = {"id": "r-1", "backup": backup} | params
    job = await rig.ask("lock.restore", source="control", **asked)
    return await rig.until(job, lambda job: job.state is JobState.UNKNOWN)


async def test_a_restore_that_was_broken_off_is_unknown_until_the_lock_is_read(
    rig: BenchRig,
) -> None:
    job = await broken_off(rig, deadline_at=rig.clock.now() + timedelta(minutes=10))
    assert job.is_sent
    still = await rig.ask("job.cancel", id="x-1", job=job.id)
    assert still.state is JobState.UNKNOWN
    ended = await rig.final(job)
    assert ended.state is JobState.OUTCOME_UNKNOWN
    assert ended.deadline_at is not None
    assert rig.clock.now() >= ended.deadline_at


async def test_nobody_overtakes_a_restore_in_its_middle(rig: BenchRig) -> None:
    job = await broken_off(rig)
    rig.door.is_in_range = True
    rig.door.set_faults()
    rig.door.after_write = no_hook
    # The restore pauses still; the lock is there already.
    asked = await rig.ask("backup.create", source="control", id="b-1")
    for _ in range(50):
        await rig.journal.counts()  # lets the bench go on, if it wants to
    restored, made = await rig.done(job, asked)
    assert restored.state is JobState.PROVED
    assert made.result is not None
    assert made.result["holds"]["passcodes"] == len(furnished_door().held)


async def test_a_restore_ends_with_everything_read_back(rig: BenchRig) -> None:
    job = await broken_off(rig)
    rig.door.is_in_range = True
    rig.door.set_faults()
    rig.door.after_write = no_hook
    assert (await rig.final(job)).state is JobState.PROVED
    trail = await rig.journal.transitions(job.id)
    assert any(entry.is_sent for entry in trail)
    assert [entry.is_sent for entry in trail][-2:] == [False, False]
    assert sorted(rig.door.digits) == sorted(each.passcode for each in furnished_door().held)


async def test_a_reset_does_not_wait_for_hours(rig: BenchRig) -> None:
    backup = await rig.backup()
    rehearsal = await rig.do("lock.reset", backup=backup, dry_run=True)
    assert rehearsal.result is not None
    rig.door.is_in_range = False
    params = {"mac_digits": MAC_DIGITS, "confirm": rehearsal.result["confirm"]}
    job = await rig.ask("lock.reset", source="control", id="r-1", backup=backup, **params)
    assert job.deadline_at is not None
    assert job.deadline_at - rig.clock.now() <= timedelta(minutes=10)
    ended = await rig.later(job)
    assert ended.state is JobState.EXPIRED
    assert rig.door.count(Reset) == 0


# Secrets.


async def test_no_secret_leaves_but_sealed(tmp_path: Path, log_guard: LogGuard) -> None:
    log_guard.register(*SECRETS)
    async with bench_at(tmp_path) as rig:
        lines = await rig.over_control(
            "backup.create", id="c-1", lock=LOCK, passphrase=PASSPHRASE, with_keys=True
        )
        backup = lines[-1].body["backup"]  # type: ignore[union-attr]
        lines += await rig.over_control("backup.list", id="c-2")
        opener = {"backup": backup, "passphrase": PASSPHRASE}
        lines += await rig.over_control("backup.check", id="c-3", **opener)
        lines += await rig.over_control("backup.verify", id="c-4", lock=LOCK, **opener)
        exported = await rig.over_control("backup.export", backup=backup)
        asked = {"lock": LOCK, **opener}
        lines += await rig.over_control("lock.reset", id="c-5", dry_run=True, **asked)
        asked |= {"mac_digits": MAC_DIGITS, "confirm": lines[-1].body["confirm"]}  # type: ignore[union-attr]
        lines += await rig.over_control("lock.reset", id="c-6", **asked)
        lines += await rig.over_control("lock.enrol", id="c-7", lock=LOCK, gives_up_app=True)
        lines += await rig.over_control("lock.restore", id="c-9", lock=LOCK, **opener)
        assert lines[-1].body["result"] == "proved"  # type: ignore[union-attr]
        lines += await rig.over_control("backup.erase", id="c-10", backup=backup)
        new = await rig.keyring.get(LOCK)
        assert new is not None
        log_guard.register(new.aes_key.hex(), str(new.admin_secret), str(new.unlock_key))
        said = [msgspec.json.encode(lines), msgspec.json.encode(exported)]
        published = [e.publication for e in await rig.journal.outbox(limit=1000)]
        said += [each.payload + each.topic.encode() for each in published]
        secrets = [*SECRETS, new.aes_key.hex(), "01e28f3a", "31625018"]
        for text in said:
            leaked = [secret for secret in secrets if secret.encode() in text]
            assert not leaked
    for path in tmp_path.rglob("*"):
        if path.is_file():
            raw = path.read_bytes()
            assert not [secret for secret in SECRETS if secret.encode() in raw], path.name


async def test_contents_do_not_show_themselves(rig: BenchRig) -> None:
    opened = await rig.shelf.open(await rig.backup(with_keys=True), None)
    assert isinstance(opened.content, Content)
    shown = f"{opened!r} {opened.content.passcodes!r} {opened.content.keys!r}"
    assert not [secret for secret in SECRETS if secret in shown]
    assert furnished(rig.door.lock.memory).admin_passcode == ADMIN_PASSCODE
