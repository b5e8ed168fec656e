"""After everything, the lock is as it was."""

from collections.abc import Callable

import pytest

from ttlock_agent.hil.model import Check, Group

GROUPS = (Group.LEFTOVERS,)


@pytest.mark.timeout(0)  # each check has a limit of its own
def test_leftovers(judge: Callable[[Check], None], check: Check) -> None:
    judge(check)
