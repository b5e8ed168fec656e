"""What the agent says of itself on the broker when it starts."""

from __future__ import annotations

import msgspec
import structlog

from ttlock_agent import __version__
from ttlock_agent.clock import Clock
from ttlock_agent.config import Config
from ttlock_agent.errors import JournalError
from ttlock_agent.jobs.radio import JOURNAL_PAUSE_S
from ttlock_agent.jobs.store import Journal
from ttlock_agent.mqtt.topics import Topics
from ttlock_agent.publication import Publication

log = structlog.get_logger()


async def introduce(journal: Journal, info: Publication, clock: Clock) -> None:
    """Queue what the agent is, as soon as the journal takes it: a full disk is no reason to end."""
    while True:
        try:
            await journal.post([info])
        except JournalError as error:
            log.error("journal_unusable", code=error.code, hint=error.hint)  # noqa: TRY400
            await clock.sleep(JOURNAL_PAUSE_S)
        else:
            return


def info_of(config: Config, topics: Topics) -> Publication:
    """Return what it is and which locks it has, to be kept by the broker."""
    body = {
        "version": __version__,
        "agent": config.agent.id,
        "locks": [{"id": lock.id, "name": lock.name or lock.id} for lock in config.locks],
    }
    return Publication(topics.info, msgspec.json.encode(body), retain=True)
