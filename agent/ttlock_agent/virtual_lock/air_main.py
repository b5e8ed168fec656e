"""The process of virtual locks that share one air."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

from ttlock_agent.clock import Clock
from ttlock_agent.errors import ConfigError

from .main import serve


async def serve_on_air(locks: Iterable[tuple[Path, Path]], transport: str, clock: Clock) -> None:
    """Run the locks, each a pair of state file and socket, until cancelled; ``ConfigError``."""
    try:
        from .air import on_air  # noqa: PLC0415 - the extra may be missing
        from .air_radio import AirTransport, open_radio  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(
            f"Virtual locks cannot go on the air: the Python package {error.name} is missing.",
            hint="Install the extra: pip install 'ttlock-agent[air]'",
        ) from error
    async with open_radio(AirTransport(transport)) as radio:
        # Not a task group, which would wrap the error that the command line explains.
        await asyncio.gather(
            *(
                serve(state, socket, clock, on_air=lambda server: on_air(server, radio, clock))
                for state, socket in locks
            )
        )
