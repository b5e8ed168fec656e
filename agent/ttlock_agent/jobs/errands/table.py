"""Verb by verb, what is done; the struct of each is in ``requests.VERBS``.

A new verb is a struct there, a runner here, and a line in both tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ttlock_agent.jobs.errands.bolt import BOLT_ERRANDS
from ttlock_agent.jobs.errands.clearing import CLEAR_ERRANDS
from ttlock_agent.jobs.errands.credentials import CREDENTIAL_ERRANDS
from ttlock_agent.jobs.errands.errand import Runner
from ttlock_agent.jobs.errands.hours import HOURS_ERRANDS
from ttlock_agent.jobs.errands.passage import PASSAGE_ERRANDS
from ttlock_agent.jobs.errands.reading import READS
from ttlock_agent.jobs.errands.settings import SETTING_ERRANDS

ERRANDS: Final[Mapping[str, Runner]] = MappingProxyType(
    {
        **READS,
        **BOLT_ERRANDS,
        **CREDENTIAL_ERRANDS,
        **HOURS_ERRANDS,
        **SETTING_ERRANDS,
        **PASSAGE_ERRANDS,
        **CLEAR_ERRANDS,
    }
)
"""Verbs that need the lock and are neither about one passcode nor for the bench."""
