"""Weekly hours of restored cards: written and not proved, for no lock tells them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ttlock_agent.backup.compare import Finding, Standing
from ttlock_agent.backup.content import SavedCard
from ttlock_agent.errors import OutcomeUnknown
from ttlock_agent.lock.refusals import refused
from ttlock_agent.lock.visit import Visit
from ttlock_protocol.errors import CommandRefused
from ttlock_protocol.messages.schedules import AddSchedule, ClearSchedules, CredentialKind

_TRIES: Final = 2
_LOST: Final = "Whether its weekly hours were written is not known: the lock did not answer."


def with_hours(findings: Iterable[Finding]) -> list[Finding]:
    """Return the cards that the lock holds and that must not open at any hour."""
    return [
        each
        for each in findings
        if each.standing is Standing.SAME and isinstance(each.saved, SavedCard) and each.saved.hours
    ]


async def write_hours(visit: Visit, card: SavedCard) -> str | None:
    """Give a card its weekly hours; return why it may open at any hour, if it may.

    The lock adds up, so what it has is cleared first: that makes it harmless to do all of it again.
    Raises what ends the visit.
    """
    for _ in range(_TRIES):
        try:
            await visit.ask(ClearSchedules(kind=CredentialKind.CARD, credential=card.number))
            for hours in card.hours or ():
                await visit.ask(
                    AddSchedule(
                        kind=CredentialKind.CARD,
                        credential=card.number,
                        weekday=hours.weekday,
                        starts_at=hours.starts_at,
                        ends_at=hours.ends_at,
                    )
                )
        except CommandRefused as error:
            meaning = refused(error)
            if meaning.retryable:
                raise meaning from error
            return f"Its weekly hours were refused, so it opens at any hour. {meaning.message}"
        except OutcomeUnknown:
            continue
        return None
    return _LOST
