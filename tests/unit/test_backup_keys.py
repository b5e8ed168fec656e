"""Lock keys through mishearing, mistakes and resets: what a lock knows, the agent has.

Without them a lock is lost to everybody but who unscrews it.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from agent_rig import LOCK
from backup_rig import PASSPHRASE, BenchRig, bench_at, furnished_door
from ttlock_agent.config.values import LockAddress
from ttlock_agent.errors import BackupProblem, BackupUnusable
from ttlock_agent.jobs.model import JobState
from ttlock_agent.keyring import MAX_FORMER
from ttlock_agent.lock.visit import visit_lock
from ttlock_protocol.messages.admin import Reset
from ttlock_protocol.virtual import Fault, FaultAction, FaultPoint
from virtual_helpers import KEYS

OTHERS = replace(KEYS, aes_key=b"\x77" * 16, admin_secret=5)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[BenchRig]:
    async with bench_at(tmp_path) as rig:
        yield rig


def misheard(*looks: int) -> list[Fault]:
    """These times that the lock is asked about its keys, it seems not to know them."""
    return [
        Fault(action=FaultAction.EMPTY, at=FaultPoint.ANSWER, request="CheckAdmin", nth=look)
        for look in looks
    ]


def never_heard() -> Fault:
    """The command to wipe itself does not reach the lock."""
    return Fault(action=FaultAction.LOSE, at=FaultPoint.REQUEST, request="Reset", nth=1)


async def is_reachable(rig: BenchRig) -> bool:
    keys = await rig.keyring.get(LOCK)
    assert keys is not None
    async with visit_lock(rig.door, rig.locks.profile_with(LOCK, keys), rig.clock) as visit:
        await visit.be_admin()
    return True


async def test_new_keys_outlive_a_misheard_no(tmp_path: Path) -> None:
    door = furnished_door()
    door.lock._body.memory = door.lock.memory.wiped()
    async with bench_at(tmp_path, door, keys=None) as rig:
        cut = Fault(action=FaultAction.DROP, at=FaultPoint.ANSWER, request="FinishPairing", nth=1)
        door.set_faults(cut, *misheard(1))
        job = await rig.do("lock.enrol", gives_up_app=True)
        assert job.state is JobState.PROVED, job.error
        assert await is_reachable(rig)
        assert await rig.keyring.pending(LOCK) is None


async def test_one_misheard_no_is_no_proof_of_a_reset(rig: BenchRig) -> None:
    backup = await rig.backup()
    word = await rig.word(backup)
    # The visit of the reset itself authenticates, too.
    rig.door.set_faults(never_heard(), *misheard(2))
    job = await rig.reset(backup, word)
    assert job.state is JobState.PROVED, job.error
    assert rig.door.count(Reset) == 2
    assert rig.door.lock.memory.administrator is None


async def test_a_lock_that_was_never_wiped_is_found_again_by_its_former_keys(
    rig: BenchRig,
) -> None:
    backup = await rig.backup()
    word = await rig.word(backup)
    rig.door.set_faults(never_heard(), *misheard(2, 3))
    assert (await rig.reset(backup, word)).state is JobState.PROVED
    assert await rig.keyring.get(LOCK) is None
    rig.door.set_faults()
    job = await rig.do("lock.enrol", gives_up_app=True)
    assert (job.state, job.result) == (JobState.PROVED, {"was_ours": True})
    assert await is_reachable(rig)


async def test_keys_of_another_lock_do_not_displace_the_right_ones_for_good(rig: BenchRig) -> None:
    await rig.locks.put_keys(LOCK, OTHERS)
    await rig.locks.put_keys(LOCK, replace(OTHERS, admin_secret=6))
    job = await rig.do("lock.enrol", gives_up_app=True)
    assert (job.state, job.result) == (JobState.PROVED, {"was_ours": True})
    assert await rig.keyring.get(LOCK) == KEYS


async def test_former_keys_are_kept_once_each_the_last_first_and_not_for_ever(
    rig: BenchRig,
) -> None:
    many = [replace(KEYS, admin_secret=number) for number in range(1, MAX_FORMER + 3)]
    for keys in many:
        await rig.keyring.put(LOCK, keys)
        await rig.keyring.put(LOCK, keys)
    assert await rig.keyring.former(LOCK) == tuple(reversed(many[:-1]))[:MAX_FORMER]
    await rig.keyring.put(LOCK, many[-2])
    assert (await rig.keyring.former(LOCK))[:2] == (many[-1], many[-2])
    await rig.keyring.retire(LOCK)
    assert (await rig.keyring.former(LOCK))[:2] == (many[-2], many[-1])


async def test_keys_of_another_locks_backup_are_not_taken(rig: BenchRig) -> None:
    sealed = {"passphrase": PASSPHRASE}
    backup = await rig.backup(with_keys=True, **sealed)
    asked = {"lock": LOCK, **sealed} | await rig.told("backup.export", backup=backup)
    await rig.keyring.put(LOCK, OTHERS)
    move(rig, "AA:BB:CC:44:55:66")
    with pytest.raises(BackupUnusable) as caught:
        await rig.over_control("backup.take_keys", **asked)
    assert caught.value.problem is BackupProblem.OTHER_LOCK
    assert await rig.keyring.get(LOCK) == OTHERS
    move(rig, "AA:BB:CC:11:22:33")
    await rig.told("backup.take_keys", **asked)
    assert await rig.keyring.get(LOCK) == KEYS


def move(rig: BenchRig, address: str) -> None:
    """Let the configuration say that the lock is there."""
    config = rig.locks._config
    moved = msgspec.structs.replace(config.locks[0], address=LockAddress(address))
    rig.locks._config = msgspec.structs.replace(config, locks=(moved,))
