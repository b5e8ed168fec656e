"""All checks, in the order in which they run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Final

from ttlock_agent.errors import ConfigError

from . import (
    check_contact,
    check_credentials,
    check_destructive,
    check_door,
    check_endurance,
    check_leftovers,
    check_passcodes,
    check_probes,
    check_reading,
    check_settings,
)
from .model import Check, Group, Need

CHECKS: Final[tuple[Check, ...]] = (
    *check_contact.CHECKS,
    *check_probes.CHECKS,
    *check_reading.CHECKS,
    *check_passcodes.CHECKS,
    *check_credentials.CHECKS,
    *check_settings.CHECKS,
    *check_door.CHECKS,
    *check_endurance.CHECKS,
    *check_destructive.CHECKS,
    *check_leftovers.CHECKS,
)
ALWAYS: Final = frozenset({Group.CONTACT, Group.LEFTOVERS})
"""Without these, what the others say means nothing."""


def choose(
    *, only: Sequence[str] = (), without: Sequence[str] = (), is_destructive: bool = False
) -> tuple[Check, ...]:
    """Return the checks whose name or group is one of the patterns ``only`` (shell style).

    Raises ``ConfigError`` for a pattern that means no check.
    """
    for pattern in (*only, *without):
        if not any(_is_meant(each, (pattern,)) for each in CHECKS):
            raise ConfigError(
                f"No check is called {pattern}.", hint="`ttlock-agent hil list` has their names."
            )
    return tuple(
        each
        for each in CHECKS
        if each.group in ALWAYS
        or (
            (not only or _is_meant(each, only))
            and not _is_meant(each, without)
            and (is_destructive or Need.DESTRUCTIVE not in each.needs)
        )
    )


def _is_meant(check: Check, patterns: Iterable[str]) -> bool:
    return any(
        fnmatchcase(check.name, pattern) or check.group.value == pattern for pattern in patterns
    )
