"""Time limits that hold in a task that is being cancelled, too.

That is where things are closed, stopped and given a last word. In the Python of Debian 12 (3.11.2)
``asyncio.timeout`` ends such a limit with ``CancelledError`` instead of ``TimeoutError``, so that
whoever catches the latter never hears of it, and does not finish what was to be done.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager


@asynccontextmanager
async def time_limit(seconds: float | None) -> AsyncGenerator[asyncio.Timeout]:
    """Raise ``TimeoutError`` after ``seconds``; None is no limit, until one is set."""
    task = asyncio.current_task()
    assert task is not None, "only tasks are given limits"
    cancellations = task.cancelling()
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            yield limit
    except asyncio.CancelledError:
        if limit.expired() and task.cancelling() == cancellations:
            raise TimeoutError from None
        raise


def stop_if_told() -> None:
    """Raise ``CancelledError`` if this task was told to stop.

    For loops that go on after an error: one that arises while a cancelled task cleans up takes the
    place of the cancellation, which nobody repeats.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
