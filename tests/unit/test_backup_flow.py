"""Backup, reset, enrolment and restore on a virtual lock, as a technician does them."""

from pathlib import Path

from agent_rig import LOCK
from backup_rig import CARDS, OPENERS, bench_at
from ttlock_agent.jobs.model import JobState


async def test_a_reset_that_loses_nothing(tmp_path: Path) -> None:
    async with bench_at(tmp_path) as rig:
        backup = await rig.backup()
        verified = await rig.do("backup.verify", backup=backup)
        assert verified.result
        print(verified.result)
        assert verified.result["agrees"], verified.result
        wiped = await rig.wipe(backup)
        print(wiped)
        assert wiped.state is JobState.PROVED, wiped.error
        assert rig.door.lock.memory.administrator is None
        assert LOCK not in rig.locks.profiles
        enrolled = await rig.do("lock.enrol", gives_up_app=True)
        assert enrolled.state is JobState.PROVED, enrolled.error
        restored = await rig.do("lock.restore", backup=backup)
        assert restored.state is JobState.PROVED, restored
        print(restored.result)
        assert [rig.door.opens(digits) for digits in OPENERS] == [True] * len(OPENERS)
        for card in CARDS:
            assert rig.door.lock.present_card(card, rig.clock.now()).is_opened
