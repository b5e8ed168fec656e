"""Range, sleep, neighbours, many deliveries, cut power."""

from collections.abc import Callable

import pytest

from ttlock_agent.hil.model import Check, Group

GROUPS = (Group.ENDURANCE,)


@pytest.mark.timeout(0)  # each check has a limit of its own
def test_endurance(judge: Callable[[Check], None], check: Check) -> None:
    judge(check)
