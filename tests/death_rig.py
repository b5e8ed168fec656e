"""Deaths of the agent at chosen moments: a copy of its state as it is on disk then.

That is what SIGKILL leaves; the lock lives on. Moments are the pieces of each frame and the
transactions of the journal, before and after.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

from agent_rig import Door, Rig, no_hook, rig_at

Point = tuple[str, int]
Play = Callable[[Rig], Awaitable[None]]


async def points_of(door: Door, play: Play, directory: Path, **options: Any) -> list[Point]:
    """Return every moment of a run in which nobody dies."""
    counts = {"journal": 0}

    async def count(write: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        counts["journal"] += 1
        return await write(*args)

    directory.mkdir()
    async with rig_at(directory, door, **options) as rig:
        database = rig.journal._database
        database.write = partial(count, database.write)  # type: ignore[method-assign]
        await play(rig)
        pieces = rig.door.writes
    names = {"before piece": pieces, "after piece": pieces}
    names |= {"before step": counts["journal"], "after step": counts["journal"]}
    return [(name, number) for name, last in names.items() for number in range(1, last + 1)]


class Death:
    """Strikes once, at one moment; who is struck never goes on."""

    def __init__(self, point: Point, rig: Rig, image: Path) -> None:
        self._name, self._number = point
        self._rig = rig
        self._image = image
        self._steps = 0
        self.has_struck = asyncio.Event()

    async def at_piece(self, name: str, number: int) -> None:
        await self._strike_if(name, number)

    async def at_step(self, write: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        self._steps += 1
        number = self._steps
        await self._strike_if("before step", number)
        result = await write(*args)
        await self._strike_if("after step", number)
        return result

    async def _strike_if(self, name: str, number: int) -> None:
        if (name, number) == (self._name, self._number):
            self.strike()
            await asyncio.Event().wait()

    def strike(self) -> None:
        self._rig.image(self._image)
        self.has_struck.set()


async def die_at(point: Point, door: Door, play: Play, directory: Path, **options: Any) -> Path:
    """Run until ``point``; return what is left of the agent."""
    image = directory.with_name(f"{directory.name}-image")
    directory.mkdir()
    async with rig_at(directory, door, **options) as rig:
        death = Death(point, rig, image)
        rig.door.before_write = partial(death.at_piece, "before piece")
        rig.door.after_write = partial(death.at_piece, "after piece")
        database = rig.journal._database
        real_write = database.write
        database.write = partial(death.at_step, real_write)  # type: ignore[method-assign]
        playing = asyncio.ensure_future(play(rig))
        dying = asyncio.ensure_future(death.has_struck.wait())
        async with asyncio.timeout(20):
            await asyncio.wait({playing, dying}, return_when=asyncio.FIRST_COMPLETED)
        if not death.has_struck.is_set():
            playing.result()
            death.strike()  # this time it took fewer steps: dead at the very end
        for task in (playing, dying):
            task.cancel()
        await asyncio.gather(playing, dying, return_exceptions=True)
        database.write = real_write  # type: ignore[method-assign]
        rig.door.before_write = rig.door.after_write = no_hook
    return image
