"""Restored passcodes in the vendor's cloud: told once, and told only that they are there."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, time
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest

from agent_rig import LOCK, Door
from backup_rig import CARDS, FINGERS, OPENERS, BenchRig, bench_at, furnished_door
from ttlock_agent.backup.cloud import CloudList
from ttlock_agent.clock import SystemClock
from ttlock_agent.cloud.client import CloudClient, open_cloud
from ttlock_agent.cloud.ports import MemoryStore
from ttlock_agent.cloud.quota import QuotaBudget
from ttlock_agent.cloud.token import CloudAccount
from ttlock_agent.fakes.cloud import FakeCloud
from ttlock_agent.fakes.cloud_state import Fault as CloudFault
from ttlock_agent.fakes.cloud_state import (
    FaultKind,
    ListedCard,
    ListedFinger,
    example_world,
)
from ttlock_agent.jobs.model import Job, JobState
from ttlock_protocol.features import Feature
from ttlock_protocol.messages.cards import card_to_decimal
from ttlock_protocol.virtual import Fault, FaultPoint
from ttlock_protocol.virtual import FaultAction as Action
from ttlock_protocol.virtual.memory import StoredSchedule
from virtual_helpers import KEYS, MAC

CLOUD_ID = 1000001
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture
async def fake() -> AsyncIterator[FakeCloud]:
    async with FakeCloud(example_world(), clock=SystemClock()) as fake:
        yield fake


@pytest.fixture
async def cloud(fake: FakeCloud) -> AsyncIterator[CloudClient]:
    (account,) = fake.world.accounts
    async with open_cloud(
        base_url=fake.base_url,
        account=CloudAccount(
            client_id=account.client_id,
            client_secret=account.client_secret,
            username=account.username,
            password_md5=account.password_md5,
        ),
        clock=SystemClock(),
        token_store=MemoryStore(),
        budget=QuotaBudget(monthly_limit=1000, store=MemoryStore()),
    ) as cloud:
        yield cloud


async def test_custom_passcodes_are_registered_once(
    tmp_path: Path, fake: FakeCloud, cloud: CloudClient
) -> None:
    (lock,) = fake.world.locks
    in_the_lock = list(lock.memory)
    told = CloudList(cloud, {LOCK: (CLOUD_ID, BERLIN)})
    async with bench_at(tmp_path, cloud=told) as rig:
        backup = await rig.backup()
        silent = await rig.do("lock.restore", backup=backup, register_in_cloud=False)
        assert silent.result is not None
        assert "cloud" not in silent.result
        assert lock.listed == []
        # The vendor's app has this lock, so nobody needs to ask for it.
        first = await rig.do("lock.restore", backup=backup)
        assert first.result is not None
        # One-time and cyclic ones of one's own are not for the cloud.
        assert first.result["cloud"] == {"registered": 3, "was_there": 0, "not_taken": 2}
        again = await rig.do("lock.restore", backup=backup, register_in_cloud=True)
        assert again.result is not None
        assert again.result["cloud"] == {"registered": 0, "was_there": 3, "not_taken": 2}
    listed = {each.digits: each for each in lock.listed}
    assert listed.keys() == set(OPENERS[:3])
    # As "I wrote it already": the gateway was not asked to write anything.
    assert lock.memory == in_the_lock
    period = listed["777888"]
    assert period.valid_from == datetime(2026, 3, 14, 7, 0, tzinfo=UTC)
    assert period.valid_until == datetime(2026, 3, 20, 10, 0, tzinfo=UTC)


async def test_a_cloud_that_fails_does_not_undo_the_restore(
    tmp_path: Path, fake: FakeCloud, cloud: CloudClient
) -> None:
    fake.world.faults.append(
        CloudFault(kind=FaultKind.ERRCODE, path="/v3/keyboardPwd/add", errcode=90000)
    )
    told = CloudList(cloud, {LOCK: (CLOUD_ID, BERLIN)})
    async with bench_at(tmp_path, cloud=told) as rig:
        backup = await rig.backup()
        job = await rig.do("lock.restore", backup=backup, register_in_cloud=True)
        assert job.state is JobState.PROVED
        assert job.result is not None
        assert job.result["cloud"]["registered"] == 0
        assert "error of its own" in job.result["cloud"]["error"]


async def test_without_a_cloud_it_is_said(tmp_path: Path, cloud: CloudClient) -> None:
    async with bench_at(tmp_path / "none") as rig:
        job = await rig.do("lock.restore", backup=await rig.backup(), register_in_cloud=True)
        assert job.result is not None
        assert job.result["cloud"] == {"error": "No cloud is configured."}
    told = CloudList(cloud, {})
    async with bench_at(tmp_path / "no-id", cloud=told) as rig:
        job = await rig.do("lock.restore", backup=await rig.backup(), register_in_cloud=True)
        assert job.result is not None
        assert "cloud_lock_id" in job.result["cloud"]["error"]


async def test_a_lock_that_is_in_no_cloud_or_the_agents_alone_is_not_registered(
    tmp_path: Path, fake: FakeCloud, cloud: CloudClient
) -> None:
    (lock,) = fake.world.locks
    for number, locks in enumerate(({}, {LOCK: (CLOUD_ID, BERLIN)})):
        async with bench_at(tmp_path / str(number), cloud=CloudList(cloud, locks)) as rig:
            backup = await rig.backup()
            if locks:
                await rig.wipe(backup)
                await rig.do("lock.enrol", gives_up_app=True)
            job = await rig.do("lock.restore", backup=backup)
            assert job.state is JobState.PROVED, job.error
            assert job.result is not None
            assert "cloud" not in job.result
            assert lock.listed == []
            if locks:
                # Back in the app after another reset, it is the cloud's again.
                await rig.locks.put_keys(LOCK, KEYS)
                rig.door.lock._body.memory = furnished_door().lock.memory
                job = await rig.do("lock.restore", backup=backup)
                assert job.result is not None
                assert job.result["cloud"]["registered"] == 3


async def test_a_lock_that_was_added_anew_is_found_by_its_address(
    tmp_path: Path, fake: FakeCloud, cloud: CloudClient
) -> None:
    """The app gives it another id, and the configuration has the one from before."""
    (lock,) = fake.world.locks
    for mac, body in (
        (MAC, {"registered": 3, "was_there": 0, "not_taken": 2, "cloud_lock_id": 1000002}),
        ("02:00:00:00:00:01", None),
    ):
        fake.world.locks[:] = [
            msgspec.structs.replace(lock, lock_id=1000002, mac=mac.lower(), listed=[])
        ]
        told = CloudList(cloud, {LOCK: (CLOUD_ID, BERLIN)})
        async with bench_at(tmp_path / mac[-2:], cloud=told) as rig:
            job = await rig.do("lock.restore", backup=await rig.backup())
            assert job.result is not None
            if body is not None:
                assert job.result["cloud"] == body
            else:
                assert "-1003" in job.result["cloud"]["error"]


MONDAYS = StoredSchedule(credential=CARDS[1], weekday=1, starts_at=time(8), ends_at=time(23, 59))
"""It is Saturday, and the card's window is open."""


async def with_weekly_hours(
    rig: BenchRig, fake: FakeCloud, *, others: tuple[ListedCard, ...] = ()
) -> Job:
    """Make a backup of a lock whose second card may open on Mondays only, as the cloud knows."""
    fake.world.locks[0].cards = [
        ListedCard(number=card_to_decimal(CARDS[1]), hours=[(1, 480, 1440)]),
        *others,
    ]
    rig.door.lock._body.memory = replace(rig.door.lock.memory, schedules=(MONDAYS,))
    return await rig.do("backup.create")


def opens(rig: BenchRig) -> list[bool]:
    return [rig.door.lock.present_card(card, rig.clock.now()).is_opened for card in CARDS]


@pytest.fixture
async def rig(tmp_path: Path, cloud: CloudClient) -> AsyncIterator[BenchRig]:
    told = CloudList(cloud, {LOCK: (CLOUD_ID, BERLIN)})
    async with bench_at(tmp_path, cloud=told) as rig:
        yield rig


async def test_weekly_hours_come_from_the_cloud_and_back_into_the_lock(
    rig: BenchRig, fake: FakeCloud
) -> None:
    plain = ListedCard(number=card_to_decimal(CARDS[0]))
    strange = ListedCard(number="fob", hours=[(9, 0, 1)])
    made = await with_weekly_hours(rig, fake, others=(plain, strange))
    assert made.result is not None
    unread = {each["item"]: each["reason"] for each in made.result["not_in_backup"]}
    assert "0 cards and 2 fingerprints" in unread["weekly_hours"]
    backup = made.result["backup"]
    assert opens(rig) == [True, False]
    rig.door.lock._body.memory = Door(rig.clock).lock.memory
    lost = Fault(action=Action.LOSE, at=FaultPoint.ANSWER, request="AddSchedule", nth=1)
    rig.door.set_faults(lost)
    job = await rig.do("lock.restore", backup=backup)
    assert job.state is JobState.PROVED, job.error
    assert job.result is not None
    assert any("weekly hours of 1 cards" in change for change in job.result["changed"])
    assert rig.door.lock.memory.schedules == (MONDAYS,)
    assert opens(rig) == [True, False]


async def test_a_card_is_not_put_back_into_a_lock_that_would_open_to_it_at_any_hour(
    rig: BenchRig, fake: FakeCloud
) -> None:
    made = await with_weekly_hours(rig, fake)
    assert made.result is not None
    fresh = Door(rig.clock).lock.memory
    features = tuple(each for each in fresh.features if each != Feature.WEEKLY_SCHEDULE)
    rig.door.lock._body.memory = replace(fresh, features=features)
    job = await rig.do("lock.restore", backup=made.result["backup"])
    assert job.result is not None
    (left,) = job.result["not_restorable"]
    assert (left["item"], left["number"], left["weekly_hours"]) == ("cards", 2, 1)
    assert "no weekly hours" in left["reason"]
    assert opens(rig) == [True, False]


async def test_refused_weekly_hours_are_a_failure(rig: BenchRig, fake: FakeCloud) -> None:
    made = await with_weekly_hours(rig, fake)
    assert made.result is not None
    refuse = Fault(action=Action.REFUSE, at=FaultPoint.ANSWER, request="AddSchedule")
    rig.door.set_faults(refuse)
    job = await rig.do("lock.restore", backup=made.result["backup"])
    assert job.error is not None
    assert job.error.code == "restore_incomplete"
    assert job.result is not None
    (failed,) = job.result["failed"]
    assert (failed["item"], failed["number"]) == ("cards", 2)
    assert "opens at any hour" in failed["reason"]


async def test_a_cloud_that_fails_does_not_undo_the_backup(rig: BenchRig, fake: FakeCloud) -> None:
    fake.world.faults.append(
        CloudFault(kind=FaultKind.ERRCODE, path="/v3/identityCard/list", errcode=90000)
    )
    made = await with_weekly_hours(rig, fake)
    assert made.state is JobState.PROVED
    assert made.result is not None
    unread = {each["item"]: each["reason"] for each in made.result["not_in_backup"]}
    assert "No lock tells" in unread["weekly_hours"]


async def test_whose_fingers_are_lost_is_said_by_name(rig: BenchRig, fake: FakeCloud) -> None:
    ids = [str(int.from_bytes(finger, "big")) for finger in FINGERS]
    fake.world.locks[0].fingers = [
        ListedFinger(number=ids[0], name="Anna" + "x" * 100),
        ListedFinger(number="1", name="somebody else"),
    ]
    names = {ids[0]: ("Anna" + "x" * 100)[:64]}
    backup = await rig.backup()
    rehearsal = await rig.do("lock.reset", backup=backup, dry_run=True)
    rig.door.lock._body.memory = Door(rig.clock).lock.memory
    restored = await rig.do("lock.restore", backup=backup)
    for job in (rehearsal, restored):
        assert job.result is not None
        assert job.result["fingerprints"] == {"count": 2, "ids": ids, "names": names}
