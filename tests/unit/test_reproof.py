"""What was proved is proved again, and what changed behind the agent's back is set right."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agent_rig import LOCK, ZONE, Door, Rig, minute, no_hook, rig_at, start_rig
from ttlock_agent.jobs.model import (
    Accepted,
    FormerPasscode,
    Job,
    JobState,
    NewJob,
    PasscodeKind,
    WantedPasscode,
)
from ttlock_agent.jobs.reconcile import review
from ttlock_protocol.messages.auth import PERMANENT_FROM
from ttlock_protocol.messages.pages import Unreadable
from ttlock_protocol.messages.passcodes import (
    AddPasscode,
    DeletePasscode,
    GetPasscodes,
    PasscodeRecord,
    PasscodeType,
)
from ttlock_protocol.virtual import StoredPasscode
from ttlock_protocol.virtual.memory import Capacity
from virtual_helpers import ManualClock


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig_at(tmp_path) as rig:
        yield rig


def take_away(door: Door, digits: str) -> None:
    """Remove a passcode behind the agent's back."""
    kept = tuple(each for each in door.held if each.passcode != digits)
    door.lock._body.change(passcodes=kept)


def put_in(door: Door, *passcodes: StoredPasscode) -> None:
    door.lock._body.change(passcodes=(*door.held, *passcodes))


def stored(digits: str, **changes: Any) -> StoredPasscode:
    passcode = StoredPasscode(
        passcode_type=PasscodeType.PERMANENT,
        passcode=digits,
        original_passcode=digits,
        valid_from=PERMANENT_FROM,
    )
    return replace(passcode, **changes)


async def visited(rig: Rig, number: int) -> None:
    """Have the lock visited for something else, as the visit of that number."""
    await rig.final(await rig.ask("clock.read", id=f"visit-{number}"))
    await rig.visits(number)


async def test_what_went_missing_is_put_back_in_the_same_session(rig: Rig) -> None:
    await rig.final(await rig.add("482913", label="booking 1", owner="pms"))
    await rig.final(await rig.add("771204"))
    take_away(rig.door, "482913")
    await rig.clock.advance(3600)
    await visited(rig, 3)
    assert sorted(rig.door.digits) == ["482913", "771204"]
    assert rig.door.connections == 3
    (told,) = await rig.events()
    assert (told["event_type"], told["label"], told["owner"]) == (
        "passcode_missing",
        "booking 1",
        "pms",
    )
    job = await rig.journal.job(told["job"])
    assert job is not None
    assert (job.source, job.state) == ("reproof", JobState.PROVED)
    assert "482913" not in str(told)
    wishes = {wish.digits: wish for wish in await rig.journal.wanted(LOCK)}
    assert wishes["482913"].proved_at == rig.clock.now()
    assert (wishes["482913"].label, wishes["482913"].owner) == ("booking 1", "pms")


async def test_a_fresh_listing_is_believed_for_a_while(rig: Rig) -> None:
    await rig.final(await rig.add("482913"))
    listings = rig.door.count(GetPasscodes)
    await rig.clock.advance(3599)
    await visited(rig, 2)
    assert rig.door.count(GetPasscodes) == listings
    await rig.clock.advance(1)
    await visited(rig, 3)
    assert rig.door.count(GetPasscodes) > listings


async def test_a_lock_without_proved_passcodes_is_not_listed(rig: Rig) -> None:
    await visited(rig, 1)
    assert rig.door.count(GetPasscodes) == 0


async def test_a_listing_made_for_a_job_is_compared_as_well(rig: Rig) -> None:
    await rig.final(await rig.add("482913"))
    take_away(rig.door, "482913")
    await rig.final(await rig.add("771204"))
    await rig.visits(2)
    assert sorted(rig.door.digits) == ["482913", "771204"]


class Meanwhile:
    """Asks for something in the moment between a decision and the job that follows from it."""

    def __init__(self, rig: Rig, monkeypatch: pytest.MonkeyPatch, verb: str, digits: str) -> None:
        self.job: Job | None = None
        real = rig.journal.accept

        async def accept(new: NewJob, **more: Any) -> Accepted:
            if new.source == "reproof" and self.job is None:
                self.job = await rig.ask(verb, id="meanwhile", passcode=digits)
            return await real(new, **more)

        monkeypatch.setattr(rig.journal, "accept", accept)


async def test_what_is_deleted_at_that_very_moment_is_not_put_back(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rig.final(await rig.add("482913"))
    await rig.final(await rig.add("771204"))
    take_away(rig.door, "482913")
    meanwhile = Meanwhile(rig, monkeypatch, "passcode.delete", "482913")
    await rig.clock.advance(3600)
    await visited(rig, 3)
    assert meanwhile.job is not None
    assert (await rig.final(meanwhile.job)).state is JobState.PROVED
    assert rig.door.digits == ["771204"]
    assert await rig.journal.open_jobs() == []


@pytest.mark.parametrize("removes_unknown", [False, True])
async def test_what_is_wanted_at_that_very_moment_is_not_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, removes_unknown: bool
) -> None:
    async with rig_at(tmp_path, removes_unknown=removes_unknown) as rig:
        await rig.final(await rig.add("771204"))
        if not removes_unknown:  # else it is a stranger's
            await rig.final(await rig.add("482913"))
            await rig.final(await rig.delete("482913"))
        put_in(rig.door, stored("482913"))
        meanwhile = Meanwhile(rig, monkeypatch, "passcode.add", "482913")
        await rig.clock.advance(3600)
        await visited(rig, 2 if removes_unknown else 4)
        assert meanwhile.job is not None
        assert (await rig.final(meanwhile.job)).state is JobState.PROVED
        assert sorted(rig.door.digits) == ["482913", "771204"]
        assert await rig.journal.open_jobs() == []


async def test_it_may_go_missing_again_and_again(rig: Rig) -> None:
    await rig.final(await rig.add("482913"))
    for number in (2, 3):
        take_away(rig.door, "482913")
        await rig.clock.advance(3600)
        await visited(rig, number)
        assert rig.door.digits == ["482913"]
    assert len({told["id"] for told in await rig.events()}) == 2


async def test_only_what_two_listings_miss_is_missing(rig: Rig) -> None:
    await rig.final(await rig.add("482913"))
    await rig.final(await rig.add("771204"))
    await rig.visits(2)
    first, second = rig.door.held
    rig.door.lock._body.change(passcodes=(second,))
    await rig.clock.advance(3600)
    listings = rig.door.count(GetPasscodes)

    async def change(_number: int) -> None:
        if rig.door.count(GetPasscodes) == listings + 2:
            rig.door.lock._body.change(passcodes=(first,))

    rig.door.after_write = change
    await visited(rig, 3)
    assert rig.door.count(GetPasscodes) == listings + 4  # twice one record and the end
    assert await rig.events() == []
    assert rig.door.adds == ["482913", "771204"]


async def test_a_validity_that_was_changed_is_set_back(rig: Rig) -> None:
    end = minute(rig.clock.now(), days=2)
    await rig.final(await rig.add("482913", valid_until=end))
    (held,) = rig.door.held
    rig.door.lock._body.change(passcodes=(replace(held, valid_until=held.valid_from),))
    await rig.clock.advance(3600)
    await visited(rig, 2)
    assert rig.door.held[0].valid_until == held.valid_until


async def test_what_came_back_is_removed_again(rig: Rig) -> None:
    await rig.final(await rig.add("482913", label="booking 1"))
    await rig.final(await rig.add("771204"))
    await rig.final(await rig.delete("482913"))
    put_in(rig.door, stored("482913"))
    await rig.clock.advance(3600)
    await visited(rig, 4)
    assert rig.door.digits == ["771204"]
    assert [told["event_type"] for told in await rig.events()] == ["passcode_returned"]


async def test_what_came_back_is_removed_although_the_link_broke_and_nothing_else_is_proved(
    rig: Rig,
) -> None:
    await rig.final(await rig.add("482913"))
    await rig.final(await rig.delete("482913"))
    await rig.visits(2)
    put_in(rig.door, stored("482913"))
    await rig.clock.advance(3600)
    listings = rig.door.count(GetPasscodes)

    async def cut(_number: int) -> None:
        if rig.door.count(GetPasscodes) == listings + 3 and rig.door.link is not None:
            rig.door.link.cut()  # in the second listing

    rig.door.after_write = cut
    await rig.final(await rig.ask("passcode.list"))
    await rig.visits(3)
    assert rig.door.digits == ["482913"]
    rig.door.after_write = no_hook
    await rig.clock.advance(3600)
    await visited(rig, 4)
    assert rig.door.digits == []
    assert [told["event_type"] for told in await rig.events()] == ["passcode_returned"]
    listings = rig.door.count(GetPasscodes)
    for number in (5, 6):
        await rig.clock.advance(3600)
        await visited(rig, number)
    assert rig.door.count(GetPasscodes) - listings <= 2


async def test_a_one_time_passcode_that_was_used_stays_away(rig: Rig) -> None:
    await rig.final(await rig.add("482913", kind="one_time"))
    take_away(rig.door, "482913")
    await rig.clock.advance(3600)
    await visited(rig, 2)
    assert rig.door.digits == []
    assert await rig.events() == []


async def test_strangers_are_told_of_once_and_left_alone(rig: Rig) -> None:
    await rig.final(await rig.add("482913"))
    put_in(rig.door, stored("120948"))
    for number in (2, 3):
        await rig.clock.advance(3600)
        await visited(rig, number)
    assert sorted(rig.door.digits) == ["120948", "482913"]
    (told,) = await rig.events()
    assert (told["event_type"], told["kind"], told["length"]) == (
        "passcode_unknown",
        "permanent",
        6,
    )
    assert "120948" not in str(told)


async def test_strangers_are_removed_where_the_owner_wants_that(tmp_path: Path) -> None:
    door = Door(ManualClock(), passcodes=["120948"])
    async with rig_at(tmp_path, door, removes_unknown=True) as rig:
        await rig.final(await rig.add("482913"))
        await rig.visits(1)
        assert rig.door.digits == ["482913"]
        assert [told["event_type"] for told in await rig.events()] == ["passcode_unknown"]


async def test_guests_are_no_strangers_after_the_journal_was_lost(tmp_path: Path) -> None:
    door = Door(ManualClock())
    async with rig_at(tmp_path, door, removes_unknown=True) as rig:
        await rig.final(await rig.add("482913"))
        image = rig.image(tmp_path / "two")
    (image / "journal.db").write_bytes(b"nonsense" * 1024)
    (image / "journal.db-wal").unlink()
    again = await start_rig(image, door, removes_unknown=True)
    try:
        await again.final(await again.add("330055"))
        await again.visits(1)
        assert sorted(door.digits) == ["330055", "482913"]
        assert [told["event_type"] for told in await again.events()] == ["passcode_unknown"]
    finally:
        await again.stop()


async def test_room_is_made_by_removing_known_passcodes_that_are_over(tmp_path: Path) -> None:
    door = Door(ManualClock(), capacity=Capacity(passcodes=3), passcodes=["120948"])
    async with rig_at(tmp_path, door) as rig:
        soon = minute(rig.clock.now(), hours=1)
        await rig.done(
            await rig.add("482913", valid_until=soon), await rig.add("771204", valid_until=soon)
        )
        await rig.visits(1)
        await rig.clock.advance(7200)
        assert await rig.journal.retire_over() == 2
        assert await rig.journal.wanted(LOCK) == []
        job = await rig.final(await rig.add("330055"))
        assert job.state is JobState.PROVED
        assert len(rig.door.digits) == 3
        assert {"120948", "330055"} < set(rig.door.digits)
        assert rig.door.count(DeletePasscode) == 1
        assert rig.door.count(AddPasscode) == 4
        others = await rig.done(await rig.add("661177"), await rig.add("550012"))
        assert [job.state for job in others] == [JobState.PROVED, JobState.FAILED]
        assert sorted(rig.door.digits) == ["120948", "330055", "661177"]


async def test_digits_are_forgotten_when_their_validity_ends(rig: Rig) -> None:
    soon = minute(rig.clock.now(), hours=1)
    await rig.final(await rig.add("482913", label="booking 1", valid_until=soon))
    assert await rig.journal.retire_over() == 0
    await rig.clock.advance(3600)
    assert await rig.journal.retire_over() == 1
    assert await rig.journal.wanted(LOCK) == []
    known = await rig.journal.former(LOCK, ["482913", "771204"])
    assert {digits: (each.label, each.is_removed) for digits, each in known.items()} == {
        "482913": ("booking 1", False)
    }


# The comparison itself.

NOW = datetime(2026, 3, 14, 8, 0, tzinfo=UTC)


def record(digits: str, **changes: Any) -> PasscodeRecord:
    kept = PasscodeRecord(
        passcode_type=PasscodeType.PERMANENT,
        passcode=digits,
        original_passcode=digits,
        valid_from=PERMANENT_FROM,
    )
    return replace(kept, **changes)


def wish(digits: str, **changes: Any) -> WantedPasscode:
    kept = WantedPasscode(
        lock=LOCK, digits=digits, kind=PasscodeKind.PERMANENT, owner="pms", proved_at=NOW
    )
    return replace(kept, **changes)


def test_a_record_that_cannot_be_read_is_never_taken_for_absent() -> None:
    found = review((Unreadable(b"\1"),), [wish("482913")], {}, zone=ZONE, now=NOW)
    assert not found.is_surprising
    assert found.unreadable == 1


def test_unproved_and_unwanted_wishes_surprise_nobody() -> None:
    wanted = [wish("482913", proved_at=None), wish("771204", is_wanted=False)]
    found = review((record("771204"),), wanted, {}, zone=ZONE, now=NOW)
    assert not found.is_surprising
    assert found.strangers == ()


def test_a_passcode_that_is_over_but_was_put_in_anew_belongs_to_a_stranger() -> None:
    former = {"482913": FormerPasscode(number=1, label="", owner="pms", is_removed=False)}
    over = record(
        "482913",
        passcode_type=PasscodeType.PERIOD,
        valid_until=datetime(2026, 3, 1),  # noqa: DTZ001 - lock-local
    )
    assert review((over,), [], former, zone=ZONE, now=NOW).over == (over,)
    anew = replace(over, valid_until=datetime(2026, 4, 1))  # noqa: DTZ001 - lock-local
    found = review((anew,), [], former, zone=ZONE, now=NOW)
    assert (found.over, found.strangers) == ((), (anew,))


def test_only_what_two_listings_agree_on_is_a_surprise() -> None:
    wanted = [wish("482913"), wish("771204")]
    first = review((), wanted, {}, zone=ZONE, now=NOW)
    second = review((record("482913"),), wanted, {}, zone=ZONE, now=NOW)
    assert [each.digits for each in first.confirmed_by(second).missing] == ["771204"]
    third = review((record("771204"),), wanted, {}, zone=ZONE, now=NOW)
    assert not second.confirmed_by(third).is_surprising
