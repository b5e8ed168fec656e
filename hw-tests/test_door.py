"""The bolt and the keypad."""

from collections.abc import Callable

import pytest

from ttlock_agent.hil.model import Check, Group

GROUPS = (Group.DOOR,)


@pytest.mark.timeout(0)  # each check has a limit of its own
def test_door(judge: Callable[[Check], None], check: Check) -> None:
    judge(check)
