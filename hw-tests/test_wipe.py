"""Reset and restore; with --destructive only."""

from collections.abc import Callable

import pytest

from ttlock_agent.hil.model import Check, Group

GROUPS = (Group.DESTRUCTIVE,)


@pytest.mark.timeout(0)  # each check has a limit of its own
def test_wipe(judge: Callable[[Check], None], check: Check) -> None:
    judge(check)
