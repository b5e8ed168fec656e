"""The last check: the lock is as it was."""

from __future__ import annotations

from typing import Final

from ttlock_agent.backup.compare import Finding, Standing, compare
from ttlock_agent.backup.read import FINGERPRINTS, read_lock
from ttlock_agent.backup.words import describe
from ttlock_protocol.messages.operate import BoltState, GetState

from .book import Ended, Left
from .check_contact import snapshot_of
from .model import Chapter, Group, Verdict, expect, skip
from .rig import Rig

CHECKS: Final = Chapter(Group.LEFTOVERS)


@CHECKS.check("leftovers.none", "After everything it holds what it held before.", limit_s=900)
async def nothing_left(rig: Rig) -> None:
    """Keep what promises are open, then compare the whole lock with what it held at the start."""
    left = await rig.keep_promises()
    before = snapshot_of(rig)
    if before is None:
        skip("what it held before was not read, and nothing was changed")
    async with rig.visit() as visit:
        now = await read_lock(visit, rig.profile, rig.clock)
    bolt = await _settled_bolt(rig)
    findings = [each for each in compare(before, now) if each.standing is not Standing.SAME]
    left += [_words(each) for each in findings]
    if bolt == BoltState.UNLOCKED:
        left.append("the bolt is withdrawn")
    rig.book.write(Left(at=rig.book.now(), items=tuple(left)))
    is_wiped = any(
        each.check == "wipe.reset" and each.verdict is Verdict.PASSED
        for each in rig.book.all(Ended)
    )
    expected = [_words(each) for each in findings if is_wiped and each.item == FINGERPRINTS]
    wrong = [each for each in left if each not in expected]
    expect(not wrong, f"{len(wrong)} things are not as they were: {'; '.join(wrong)}.")


async def _settled_bolt(rig: Rig) -> BoltState:
    """Read the bolt; one that was opened a moment ago gets the time to close by itself."""
    until_s = rig.clock.monotonic() + rig.pace.person_s
    while True:
        async with rig.visit() as visit:
            bolt = (await visit.ask(GetState())).bolt
        if bolt != BoltState.UNLOCKED or rig.clock.monotonic() > until_s:
            return bolt
        await rig.clock.sleep(rig.pace.pause_s * 5)


def _words(finding: Finding) -> str:
    """Return one difference; no digits, no card numbers."""
    told = describe(finding, {})
    name = str(told.get("setting", finding.item)).replace("_", " ")
    kind = f" ({told['kind']})" if "kind" in told else ""
    standing = {
        Standing.MISSING: "is gone",
        Standing.EXTRA: "is new",
        Standing.OTHERWISE: "is otherwise",
        Standing.NOT_READ: "is not told any more",
    }[finding.standing]
    return f"{name} {finding.number}{kind} {standing}"
