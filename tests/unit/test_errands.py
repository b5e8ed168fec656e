"""What the radio does for a lock besides passcodes: each change is proved, and none done twice."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from agent_rig import Door, Rig, rig_at, start_rig
from backup_rig import CARDS, FINGERS, furnished, furnished_door
from ttlock_agent.errors import JobRejected
from ttlock_agent.jobs.errands import credentials, passage
from ttlock_agent.jobs.model import Job, JobState, NewJob
from ttlock_agent.lock.settings import SETTINGS
from ttlock_agent.requests import SettingName
from ttlock_protocol.errors import LocalProtocolError, Refusal
from ttlock_protocol.features import Feature
from ttlock_protocol.message import Request
from ttlock_protocol.messages.auth import CheckUser
from ttlock_protocol.messages.cards import (
    AddCard,
    ClearCards,
    DeleteCard,
    LearnCard,
    ModifyCard,
    card_to_decimal,
)
from ttlock_protocol.messages.fingerprints import EnrolFingerprint
from ttlock_protocol.messages.log import LogType
from ttlock_protocol.messages.operate import BoltState, Unlock
from ttlock_protocol.messages.pages import Unreadable
from ttlock_protocol.messages.passage import AddPassageEntry, ClearPassageEntries
from ttlock_protocol.messages.passcodes import ClearPasscodes
from ttlock_protocol.messages.settings import SetAutoLock, SetSwitch
from ttlock_protocol.quirks import Quirks
from ttlock_protocol.virtual import Fault, FaultAction, FaultPoint
from virtual_helpers import ManualClock

NEW_CARD = bytes.fromhex("0a0b0c0d")
NEW_FINGER = bytes.fromhex("010203040506")
REQUEST, ANSWER = FaultPoint.REQUEST, FaultPoint.ANSWER
LOSE, DROP = FaultAction.LOSE, FaultAction.DROP


def fault(action: FaultAction, at: FaultPoint, request: str, nth: int | None = 1) -> Fault:
    return Fault(action=action, at=at, request=request, nth=nth)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig_at(tmp_path, furnished_door()) as rig:
        yield rig


async def do(rig: Rig, verb: str, /, **params: Any) -> Job:
    """Ask on this machine, and wait for the end."""
    params.setdefault("id", f"{verb}-{len(rig.door.arrived)}-{rig.door.connections}")
    return await rig.final(await rig.ask(verb, source="control", **params))


async def result(rig: Rig, verb: str, /, **params: Any) -> dict[str, Any]:
    job = await do(rig, verb, **params)
    assert job.result is not None, job.error
    return job.result


def error_of(job: Job) -> str:
    assert job.error is not None, job.state
    return job.error.code


def present(rig: Rig, what: Callable[[Door], object]) -> None:
    """Do something at the lock, and let the agent hear of it."""
    what(rig.door)
    assert rig.door.link is not None
    rig.door.link._take_outputs()


async def until_arrived(rig: Rig, kind: type[Request[Any]]) -> None:
    async with asyncio.timeout(10):
        while not rig.door.count(kind):
            await asyncio.sleep(0)


def directory(parent: Path, name: str) -> Path:
    made = parent / name
    made.mkdir()
    return made


def is_open(rig: Rig) -> bool:
    return rig.door.lock.memory.bolt.state == BoltState.UNLOCKED


# The bolt.


async def test_a_door_is_opened_and_the_bolt_proves_it(rig: Rig) -> None:
    job = await do(rig, "lock.unlock")
    assert job.state is JobState.PROVED
    assert job.result is not None
    assert job.result["lock"] == "UNLOCKED"
    assert is_open(rig)
    assert (await do(rig, "lock.lock")).state is JobState.PROVED
    assert not is_open(rig)


async def test_the_bolt_goes_before_everything_else(rig: Rig) -> None:
    rig.door.is_in_range = False
    added = await rig.add("482913", priority="guest_at_the_door")
    await rig.until(added, lambda job: job.state is JobState.WAITING)
    rig.door.is_in_range = True
    await do(rig, "lock.unlock")
    await rig.final(added)
    kinds = [type(each) for each in rig.door.arrived]
    assert kinds[:2] == [CheckUser, Unlock]


@pytest.mark.parametrize("point", [REQUEST, ANSWER], ids=["request lost", "answer lost"])
async def test_an_unlock_without_answer_is_judged_by_the_bolt_and_not_repeated(
    rig: Rig, point: FaultPoint
) -> None:
    rig.door.set_faults(fault(LOSE, point, "Unlock"))
    job = await do(rig, "lock.unlock")
    if point is ANSWER:
        assert job.state is JobState.PROVED
    else:
        assert (job.state, error_of(job)) == (JobState.OUTCOME_UNKNOWN, "outcome_unknown")
    rig.door.set_faults()
    await do(rig, "lock.state")
    assert rig.door.count(Unlock) == 1


def faults() -> list[tuple[FaultAction, FaultPoint]]:
    """All there are, but for a link that repeats itself, and a lock that denies what it did."""
    found = []
    for action in FaultAction:
        for point in (REQUEST, ANSWER):
            with suppress(LocalProtocolError):
                fault(action, point, "Unlock")
                found.append((action, point))
    strange = {(FaultAction.DUPLICATE, REQUEST), (FaultAction.REFUSE, ANSWER)}
    return [each for each in found if each not in strange]


@pytest.mark.parametrize(("action", "point"), faults())
@pytest.mark.parametrize("request_name", ["CheckUser", "Unlock", "GetState"])
async def test_whatever_happens_on_the_way_the_door_opens_once_and_the_truth_is_told(
    rig: Rig, request_name: str, action: FaultAction, point: FaultPoint
) -> None:
    rig.door.set_faults(fault(action, point, request_name))
    job = await do(rig, "lock.unlock")
    opened = [
        each for each in rig.door.lock.memory.log.records if each.log_type == LogType.APP_UNLOCK
    ]
    assert len(opened) <= 1
    if job.state is JobState.PROVED:
        assert opened
    elif job.state not in (JobState.DONE, JobState.OUTCOME_UNKNOWN):
        # Done is what the lock confirmed; anything else promises that the door stayed shut.
        assert not opened, job.state


async def test_after_a_broken_link_the_next_visit_looks_and_does_not_unlock(rig: Rig) -> None:
    rig.door.set_faults(fault(DROP, REQUEST, "Unlock"))
    job = await do(rig, "lock.unlock")
    assert job.state is JobState.OUTCOME_UNKNOWN
    assert rig.door.count(Unlock) == 1
    assert rig.door.connections == 2


async def test_a_link_that_breaks_before_the_unlock_is_tried_again(rig: Rig) -> None:
    rig.door.set_faults(fault(DROP, REQUEST, "CheckUser"))
    job = await do(rig, "lock.unlock")
    assert job.state is JobState.PROVED
    assert rig.door.count(Unlock) == 1


async def test_a_door_out_of_reach_is_not_opened_later(rig: Rig) -> None:
    rig.door.is_in_range = False
    job = await rig.ask("lock.unlock", source="control")
    job = await rig.until(job, lambda job: job.state is JobState.WAITING)
    await rig.clock.advance(31)
    job = await rig.until(job, lambda job: job.is_final)
    assert (job.state, error_of(job)) == (JobState.EXPIRED, "expired")
    rig.door.is_in_range = True
    await do(rig, "lock.state")
    assert rig.door.count(Unlock) == 0


async def test_a_connection_that_takes_too_long_opens_nothing(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = rig.door.connect

    async def dawdle(address: str, *, timeout_s: float) -> Any:
        rig.clock._move_to(rig.clock.monotonic() + 31)
        return await connect(address, timeout_s=timeout_s)

    monkeypatch.setattr(rig.door, "connect", dawdle)
    job = await do(rig, "lock.unlock")
    assert job.state is JobState.EXPIRED
    assert rig.door.count(Unlock) == 0


async def test_a_challenge_that_takes_too_long_opens_nothing(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = rig.door.connect

    async def slow(address: str, *, timeout_s: float) -> Any:
        link = await connect(address, timeout_s=timeout_s)
        read = link.read

        async def dawdle() -> bytes:
            if isinstance(rig.door.arrived[-1], CheckUser):
                rig.clock._move_to(rig.clock.monotonic() + 31)
            return await read()

        monkeypatch.setattr(link, "read", dawdle)
        return link

    monkeypatch.setattr(rig.door, "connect", slow)
    job = await do(rig, "lock.unlock")
    assert (job.state, job.is_sent) == (JobState.EXPIRED, False)
    assert (rig.door.count(CheckUser), rig.door.count(Unlock)) == (1, 0)


async def test_what_an_earlier_run_accepted_is_never_done(tmp_path: Path) -> None:
    """The clock may stand where it stood before the power went."""
    door = furnished_door()
    door.is_in_range = False
    async with rig_at(directory(tmp_path, "one"), door) as rig:
        job = await rig.ask("lock.unlock", source="control")
        await rig.until(job, lambda job: job.state is JobState.WAITING)
        image = rig.image(tmp_path / "two")
    door.is_in_range = True
    again = await start_rig(image, door)
    try:
        after = await again.until(job, lambda job: job.is_final)
        assert after.state is JobState.EXPIRED
        assert door.count(Unlock) == 0
    finally:
        await again.stop()


async def test_nobody_opens_a_door_over_mqtt_unless_the_owner_says_so(tmp_path: Path) -> None:
    async with rig_at(directory(tmp_path, "shut"), furnished_door()) as rig:
        soon = rig.clock.now() + timedelta(seconds=20)
        with pytest.raises(JobRejected) as refused:
            await rig.ask("lock.unlock", deadline_at=soon)
        assert refused.value.code == "forbidden"
        assert (await rig.final(await rig.ask("lock.lock", deadline_at=soon))).is_final
    async with rig_at(directory(tmp_path, "open"), furnished_door(), may_unlock=True) as rig:
        with pytest.raises(JobRejected) as refused:
            await rig.ask("lock.unlock")
        assert "deadline_at" in refused.value.message
        with pytest.raises(JobRejected) as refused:
            await rig.ask("lock.unlock", deadline_at=rig.clock.now() + timedelta(hours=1))
        assert "too far away" in refused.value.message
        job = await rig.ask("lock.unlock", deadline_at=rig.clock.now() + timedelta(seconds=20))
        assert (await rig.final(job)).state is JobState.PROVED


async def test_a_lock_that_tells_no_state_is_believed_when_it_says_yes(rig: Rig) -> None:
    refuse = Fault(action=FaultAction.REFUSE, at=REQUEST, request="GetState")
    rig.door.set_faults(refuse, Fault(action=LOSE, at=FaultPoint.PUSH))
    job = await do(rig, "lock.unlock")
    assert job.state is JobState.DONE
    assert is_open(rig)


# Cards.


async def test_cards_are_listed_without_their_numbers(rig: Rig) -> None:
    told = await result(rig, "card.list")
    first, second = told["cards"]
    assert first["ends_in"] == card_to_decimal(CARDS[0])[-3:]
    assert len(first["name"]) == 8
    assert "valid_until" not in first
    assert second["valid_until"] == "2026-03-20T10:00:00+00:00"
    for number in CARDS:
        assert card_to_decimal(number) not in str(told)
        assert number.hex() not in str(told)


async def test_a_card_of_known_number_is_added_changed_and_removed(rig: Rig) -> None:
    number = card_to_decimal(NEW_CARD)
    job = await do(rig, "card.add", card=number)
    assert job.state is JobState.PROVED
    assert job.result is not None
    assert (job.result["was_there"], job.result["ends_in"]) == (False, number[-3:])
    assert rig.door.lock.present_card(NEW_CARD, rig.clock.now()).is_opened
    assert (await result(rig, "card.add", card=number))["was_there"]
    assert rig.door.count(AddCard) == 1
    until = (rig.clock.now() - timedelta(hours=1)).replace(second=0, microsecond=0)
    name = job.result["name"]
    assert (await do(rig, "card.modify", name=name, valid_until=until)).state is JobState.PROVED
    assert not rig.door.lock.present_card(NEW_CARD, rig.clock.now()).is_opened
    assert (await result(rig, "card.delete", name=name))["was_there"]
    assert NEW_CARD not in [each.card_number for each in rig.door.lock.memory.cards]
    assert error_of(await do(rig, "card.delete", name=name)) == "not_found"
    assert not (await result(rig, "card.delete", card=number))["was_there"]


@pytest.mark.parametrize("point", [REQUEST, ANSWER])
@pytest.mark.parametrize("action", [LOSE, DROP])
async def test_a_card_whose_answer_was_lost_is_looked_for_first(
    rig: Rig, action: FaultAction, point: FaultPoint
) -> None:
    rig.door.set_faults(fault(action, point, "AddCard"))
    job = await do(rig, "card.add", card=card_to_decimal(NEW_CARD))
    assert job.state is JobState.PROVED
    assert rig.door.count(AddCard) == (1 if point is ANSWER else 2)
    numbers = [each.card_number for each in rig.door.lock.memory.cards]
    assert numbers.count(NEW_CARD) == 1


async def test_a_card_held_to_the_lock_is_learnt_and_limited(rig: Rig) -> None:
    until = (rig.clock.now() + timedelta(days=2)).replace(second=0, microsecond=0)
    job = await rig.ask("card.add", source="control", valid_until=until)
    await until_arrived(rig, LearnCard)
    present(rig, lambda door: door.lock.present_card(NEW_CARD, rig.clock.now()))
    job = await rig.final(job)
    assert job.state is JobState.PROVED
    assert job.result is not None
    assert job.result["valid_until"] == until.isoformat(timespec="seconds")
    assert rig.door.count(ModifyCard) == 1
    assert card_to_decimal(NEW_CARD) not in str(job.result)


async def test_a_card_learnt_in_a_link_that_broke_is_found_and_not_learnt_again(rig: Rig) -> None:
    until = (rig.clock.now() + timedelta(days=2)).replace(second=0, microsecond=0)
    job = await rig.ask("card.add", source="control", valid_until=until)
    await until_arrived(rig, LearnCard)
    rig.door.lock.present_card(NEW_CARD, rig.clock.now())
    assert rig.door.link is not None
    rig.door.link.cut()
    job = await rig.final(job)
    assert job.state is JobState.PROVED
    assert rig.door.count(LearnCard) == 1
    assert rig.door.count(ModifyCard) == 1


async def test_when_nobody_comes_with_a_card_nothing_is_learnt(rig: Rig) -> None:
    job = await rig.ask("card.add", source="control")
    await until_arrived(rig, LearnCard)
    assert rig.door.link is not None
    rig.door.link.cut()
    job = await rig.final(job)
    assert (job.state, error_of(job)) == (JobState.FAILED, "nothing_presented")
    assert rig.door.count(LearnCard) == 1


async def test_what_cannot_be_read_is_not_called_gone(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = credentials.Kind.read

    async def read_badly(self: Any, errand: Any) -> tuple[Any, ...]:
        return (*(await read(self, errand))[1:], Unreadable(b"?"))

    monkeypatch.setattr(credentials.Kind, "read", read_badly)
    job = await do(rig, "card.delete", card=card_to_decimal(CARDS[0]))
    assert job.state is JobState.DONE
    assert job.result is not None
    assert job.result["found"] == "not_readable"
    assert CARDS[0] not in [each.card_number for each in rig.door.lock.memory.cards]
    assert rig.door.count(DeleteCard) == 1


async def test_a_lock_that_takes_no_numbers_says_what_to_do(rig: Rig) -> None:
    rig.door.set_faults(
        Fault(
            action=FaultAction.REFUSE,
            at=REQUEST,
            request="AddCard",
            refusal=Refusal.PARAMETER_LENGTH,
        )
    )
    job = await do(rig, "card.add", card=card_to_decimal(NEW_CARD))
    assert error_of(job) == "not_supported"
    assert job.error is not None
    assert "hold the card" in job.error.hint


# Fingerprints.


async def test_a_finger_is_scanned_listed_limited_and_removed(rig: Rig) -> None:
    job = await rig.ask("fingerprint.add", source="control")
    await until_arrived(rig, EnrolFingerprint)
    for _ in range(4):
        present(rig, lambda door: door.lock.present_finger(NEW_FINGER, rig.clock.now()))
    job = await rig.final(job)
    assert job.state is JobState.PROVED
    assert job.result is not None
    name = job.result["name"]
    assert name == str(int.from_bytes(NEW_FINGER, "big"))
    listed = (await result(rig, "fingerprint.list"))["fingerprints"]
    assert [each["name"] for each in listed][-1] == name
    until = (rig.clock.now() + timedelta(days=1)).replace(second=0, microsecond=0)
    changed = await result(rig, "fingerprint.modify", name=name, valid_until=until)
    assert changed["valid_until"] == until.isoformat(timespec="seconds")
    assert (await result(rig, "fingerprint.delete", name=name))["was_there"]
    assert len(rig.door.lock.memory.fingerprints) == len(FINGERS)


@pytest.mark.parametrize(("action", "point"), [(LOSE, ANSWER), (DROP, REQUEST), (None, ANSWER)])
async def test_weekly_hours_are_written_as_a_whole(
    rig: Rig, action: FaultAction | None, point: FaultPoint
) -> None:
    (name, _) = (each["name"] for each in (await result(rig, "card.list"))["cards"])
    if action is not None:
        rig.door.set_faults(fault(action, point, "AddSchedule", 2))
    hours = [{"day": 1, "starts_at": "08:00", "ends_at": "12:00"}, {"day": 3}]
    job = await do(rig, "card.hours", id="hours", name=name, hours=hours)
    assert job.state is JobState.DONE, job.error
    kept = rig.door.lock.memory.schedules
    assert [(each.weekday, each.starts_at.hour, each.ends_at.minute) for each in kept] == [
        (1, 8, 0),
        (3, 0, 59),
    ]
    assert (await do(rig, "card.hours", id="none", name=name, hours=[])).error is None
    assert rig.door.lock.memory.schedules == ()
    assert error_of(await do(rig, "card.hours", id="x", name="00", hours=[])) == "not_found"


# Settings.


def test_the_table_of_settings_is_the_list_of_their_names() -> None:
    assert set(SETTINGS) == {name.value for name in SettingName}


async def test_settings_are_read_as_far_as_the_lock_has_them(rig: Rig) -> None:
    told = await result(rig, "setting.read")
    assert told["settings"]["auto_lock_s"] == 12
    assert told["settings"]["is_passcode_shown"] is True
    assert told["settings"]["tamper_alert"] is True
    assert told["auto_lock_limits_s"] == [1, 900]
    features = rig.door.lock.memory.features
    assert set(told["settings"]) <= {
        name for name, setting in SETTINGS.items() if setting.feature in features
    }


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("auto_lock_s", 30),
        ("is_locking_on_close", False),
        ("is_sound_on", False),
        ("volume", 2),
        ("is_passcode_shown", False),
        ("is_remote_unlock_allowed", True),
        ("tamper_alert", False),
    ],
)
async def test_each_setting_is_set_and_read_back(
    tmp_path: Path, setting: str, value: bool | int
) -> None:
    door = furnished_door()
    rig = await start_rig(tmp_path, door, quirks=Quirks(switches_are_verified=True))
    try:
        job = await do(rig, "setting.set", setting=setting, value=value)
        assert job.state is JobState.PROVED, job.error
        told = await result(rig, "setting.read")
        assert told["settings"][setting] == value
        again = await result(rig, "setting.set", setting=setting, value=value, id="again")
        assert again["was_there"]
    finally:
        await rig.stop()


async def test_switches_that_nobody_verified_are_left_alone(rig: Rig) -> None:
    job = await do(rig, "setting.set", setting="tamper_alert", value=False)
    assert error_of(job) == "switches_unverified"
    assert rig.door.count(SetSwitch) == 0


async def test_impossible_values_are_named(rig: Rig) -> None:
    job = await do(rig, "setting.set", setting="auto_lock_s", value=901)
    assert job.error is not None
    assert "1 to 900 s" in job.error.message
    assert rig.door.count(SetAutoLock) == 0


async def test_a_lock_that_says_yes_and_does_nothing_is_found_out(rig: Rig) -> None:
    keep = rig.door.lock._body.change_settings
    rig.door.lock._body.change_settings = lambda **_: None  # type: ignore[method-assign]
    job = await do(rig, "setting.set", setting="auto_lock_s", value=30)
    rig.door.lock._body.change_settings = keep  # type: ignore[method-assign]
    assert error_of(job) == "not_in_lock"
    assert rig.door.count(SetAutoLock) == 2


async def test_the_administrators_passcode_is_set_and_never_told(rig: Rig) -> None:
    job = await do(rig, "admin_passcode.set", passcode="2468135")
    assert job.state is JobState.PROVED
    assert rig.door.lock.memory.admin_passcode == "2468135"
    told = await result(rig, "admin_passcode.read")
    assert (told["is_set"], told["length"]) == (True, 7)
    assert "2468135" not in str(await rig.answers())


# Passage mode.


async def test_a_window_that_cannot_be_read_goes_with_all_others(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = passage.read_passage

    async def read_badly(errand: Any) -> tuple[Any, ...]:
        held = await read(errand)
        return (Unreadable(b"?"), *held[1:]) if not rig.door.count(ClearPassageEntries) else held

    monkeypatch.setattr(passage, "read_passage", read_badly)
    job = await do(rig, "passage.set", windows=[{"day": 2}])
    assert job.state is JobState.PROVED
    assert [each.day for each in rig.door.lock.memory.passage] == [2]


async def test_passage_mode_becomes_what_was_asked(rig: Rig) -> None:
    windows = (await result(rig, "passage.list"))["windows"]
    assert [(each["day"], each["starts_at"]) for each in windows] == [(7, "10:00")]
    wanted = [
        {"day": 1, "starts_at": "08:00", "ends_at": "18:30"},
        {"day": 0},
        windows[0],
    ]
    job = await do(rig, "passage.set", windows=wanted)
    assert job.state is JobState.PROVED, job.error
    assert len(rig.door.lock.memory.passage) == 3
    again = await result(rig, "passage.set", windows=wanted[::-1], id="again")
    assert again["was_there"]
    assert rig.door.count(AddPassageEntry) == 2
    await do(rig, "passage.set", windows=wanted[:1], id="fewer")
    assert len(rig.door.lock.memory.passage) == 1


# Lists that are emptied.


@pytest.mark.parametrize(
    ("verb", "held"),
    [
        ("passcode.clear", lambda memory: memory.passcodes),
        ("card.clear", lambda memory: memory.cards),
        ("fingerprint.clear", lambda memory: memory.fingerprints),
        ("passage.clear", lambda memory: memory.passage),
    ],
)
async def test_nothing_is_emptied_before_it_was_shown_and_confirmed(
    rig: Rig, verb: str, held: Callable[[Any], tuple[Any, ...]]
) -> None:
    count = len(held(rig.door.lock.memory))
    shown = await result(rig, verb, id="look")
    assert len(shown["would_delete"]) == count > 0
    assert error_of(await do(rig, verb, id="guess", confirm="00000000")) == "interlock"
    assert len(held(rig.door.lock.memory)) == count
    job = await do(rig, verb, id="do", confirm=shown["confirm"])
    assert job.state is JobState.PROVED, job.error
    assert job.result is not None
    assert job.result["deleted"] == count
    assert held(rig.door.lock.memory) == ()


async def test_a_word_is_void_once_the_list_is_another(rig: Rig) -> None:
    shown = await result(rig, "card.clear", id="look")
    await do(rig, "card.add", card=card_to_decimal(NEW_CARD))
    job = await do(rig, "card.clear", id="do", confirm=shown["confirm"])
    assert error_of(job) == "interlock"
    assert rig.door.count(ClearCards) == 0


async def test_a_confirmed_word_still_holds_after_the_answer_was_lost(rig: Rig) -> None:
    shown = await result(rig, "card.clear", id="look")
    rig.door.set_faults(fault(DROP, ANSWER, "ClearCards"))
    job = await do(rig, "card.clear", id="do", confirm=shown["confirm"])
    assert job.state is JobState.PROVED, job.error
    assert rig.door.lock.memory.cards == ()


async def test_passcodes_that_were_cleared_are_not_put_back(rig: Rig) -> None:
    await rig.final(await rig.add("482913"))
    shown = await result(rig, "passcode.clear", id="look")
    assert "482913" not in str(shown)
    assert (await do(rig, "passcode.clear", id="do", confirm=shown["confirm"])).error is None
    await rig.clock.advance(7200)
    await do(rig, "passcode.list")
    assert rig.door.digits == []
    assert rig.door.count(ClearPasscodes) == 1
    assert await rig.journal.wanted("front-door") == []


async def test_passcodes_are_not_cleared_while_others_are_on_their_way(tmp_path: Path) -> None:
    class Unknown:
        async def is_synchronised(self) -> bool | None:
            return False

    door = furnished_door()
    async with rig_at(tmp_path, door, time_sync=Unknown()) as rig:
        until = (rig.clock.now() + timedelta(days=1)).replace(second=0, microsecond=0)
        await rig.add("482913", valid_until=until)  # waits until this machine knows the time
        shown = await result(rig, "passcode.clear", id="look")
        job = await do(rig, "passcode.clear", id="do", confirm=shown["confirm"])
        assert error_of(job) == "interlock"
        assert door.count(ClearPasscodes) == 0


# Locks that lack something.


@pytest.mark.parametrize(
    ("verb", "params", "lacks"),
    [
        ("card.list", {}, Feature.CARD),
        ("fingerprint.list", {}, Feature.FINGERPRINT),
        ("passage.list", {}, Feature.PASSAGE_MODE),
        ("lock.lock", {}, Feature.LOCK_BY_COMMAND),
        ("setting.set", {"setting": "volume", "value": 2}, Feature.VOLUME),
        ("admin_passcode.read", {}, Feature.GET_ADMIN_PASSCODE),
        ("card.hours", {"card": card_to_decimal(CARDS[0]), "hours": []}, Feature.WEEKLY_SCHEDULE),
    ],
)
async def test_a_lock_without_it_says_so(
    tmp_path: Path, verb: str, params: dict[str, Any], lacks: Feature
) -> None:
    door = Door(ManualClock())
    memory = furnished(door.lock.memory)
    features = tuple(each for each in memory.features if each != lacks)
    door.lock._body.memory = type(memory)(
        **{name: getattr(memory, name) for name in memory.__dataclass_fields__}
        | {"features": features}
    )
    async with rig_at(tmp_path, door) as rig:
        assert error_of(await do(rig, verb, **params)) == "not_supported"


async def test_a_verb_of_a_newer_version_waits_for_that_and_harms_nobody(rig: Rig) -> None:
    """After a rollback the journal may hold what this version has never heard of."""
    accepted = await rig.journal.accept(
        NewJob(
            source="mqtt",
            request_id="newer",
            verb="lock.sing",
            lock="front-door",
            params=b'{"verb": "lock.sing", "song": 3}',
            deadline_at=rig.clock.now() + timedelta(minutes=5),
        )
    )
    assert (await do(rig, "lock.state")).state is JobState.DONE
    visits = rig.door.connections
    await rig.clock.advance(200)
    assert (await rig.journal.job(accepted.job.id) or accepted.job).is_final is False
    await rig.clock.advance(200)
    job = await rig.until(accepted.job, lambda job: job.is_final)
    assert job.state is JobState.EXPIRED
    assert rig.door.connections == visits, "nobody visits a lock for what cannot be done"
