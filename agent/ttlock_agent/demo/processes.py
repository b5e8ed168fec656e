"""Processes of a demo: started from here, heard once they are ready, ended with the story."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from ttlock_agent.errors import EX_UNAVAILABLE, AgentError
from ttlock_agent.limits import time_limit

_START_TIMEOUT_S: Final = 20.0
_STOP_TIMEOUT_S: Final = 10.0


class StageFailed(AgentError):
    """One of the demo's processes did not start."""

    code = "demo_stage"
    exit_code = EX_UNAVAILABLE
    hint = "Look at its log in the demo's directory."


@asynccontextmanager
async def run_process(
    directory: Path, name: str, *command: str
) -> AsyncGenerator[asyncio.subprocess.Process]:
    """Start ``python COMMAND``; it logs to ``NAME.log``, and ends with the context."""
    with (directory / f"{name}.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
        )
    try:
        yield process
    finally:
        await _stop(process)


async def _stop(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with time_limit(_STOP_TIMEOUT_S):
            # Reads what is left, so that the pipe is closed with the process.
            await process.communicate()
    except TimeoutError:
        process.kill()
        await process.communicate()


async def wait_ready(process: asyncio.subprocess.Process, name: str) -> dict[str, Any]:
    """Return what a process says of itself once it can be used; raises ``StageFailed``."""
    assert process.stdout is not None, "every process of the stage has a pipe"
    try:
        async with time_limit(_START_TIMEOUT_S):
            line = await process.stdout.readline()
        ready: dict[str, Any] = json.loads(line)
    except (TimeoutError, ValueError) as error:
        raise StageFailed(f"The demo's {name} did not start.") from error
    return ready
