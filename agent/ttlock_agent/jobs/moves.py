"""Steps of several jobs while somebody else may end one of them: a deadline, or who cancels it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from ttlock_agent.errors import IllegalMove
from ttlock_agent.jobs.model import Job, Move
from ttlock_agent.jobs.store import Journal, Outbox, no_publications


async def move_those_open(
    journal: Journal, moves: Mapping[str, Move], *, outbox: Outbox = no_publications
) -> list[Job]:
    """Take jobs one step on and return all of them as they are now.

    One transaction if all can go where they shall; else each on its own, and those that cannot
    stay as they are.
    """
    if not moves:
        return []
    try:
        return await journal.move_many(moves, outbox=outbox)
    except IllegalMove:
        pass
    for job_id, move in moves.items():
        with suppress(IllegalMove):
            await journal.move(job_id, move, outbox=outbox)
    jobs = [await journal.job(job_id) for job_id in moves]
    return [job for job in jobs if job is not None]
