"""Every command class."""

from collections.abc import Callable

import pytest

from ttlock_agent.hil.model import Check, Group

GROUPS = (
    Group.READING,
    Group.PASSCODES,
    Group.CREDENTIALS,
    Group.SETTINGS,
)


@pytest.mark.timeout(0)  # each check has a limit of its own
def test_commands(judge: Callable[[Check], None], check: Check) -> None:
    judge(check)
