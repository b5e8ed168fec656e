"""Restored passcodes in the vendor's cloud: told once, and told only that they are there."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest

from agent_rig import LOCK, MAC
from backup_rig import OPENERS, bench_at, furnished_door
from ttlock_agent.backup.cloud import CloudList
from ttlock_agent.clock import SystemClock
from ttlock_agent.cloud.client import CloudClient, open_cloud
from ttlock_agent.cloud.ports import MemoryStore
from ttlock_agent.cloud.quota import QuotaBudget
from ttlock_agent.cloud.token import CloudAccount
from ttlock_agent.fakes.cloud import FakeCloud
from ttlock_agent.fakes.cloud_state import Fault, FaultKind, example_world
from ttlock_agent.jobs.model import JobState
from virtual_helpers import KEYS

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
        Fault(kind=FaultKind.ERRCODE, path="/v3/keyboardPwd/add", errcode=90000)
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
