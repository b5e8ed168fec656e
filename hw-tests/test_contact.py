"""The lock is found, and is ours."""

from collections.abc import Callable

import pytest

from ttlock_agent.hil.model import Check, Group

GROUPS = (Group.CONTACT,)


@pytest.mark.timeout(0)  # each check has a limit of its own
def test_contact(judge: Callable[[Check], None], check: Check) -> None:
    judge(check)
