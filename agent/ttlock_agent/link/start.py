"""Chooses the links that a configuration needs."""

from __future__ import annotations

import os
from pathlib import Path

from ttlock_agent.clock import Clock
from ttlock_agent.config import Config
from ttlock_agent.link import LinkFactory
from ttlock_agent.link.router import open_links


def link_factory(config: Config, clock: Clock) -> LinkFactory:
    """Return what reaches every lock of ``config``."""
    return open_links(
        [str(lock.address) for lock in config.locks],
        runtime_directory=_runtime_directory(),
        clock=clock,
        answered=[str(lock.address) for lock in config.locks if lock.quirks.writes_with_response],
    )


def _runtime_directory() -> Path:
    return Path(os.environ.get("RUNTIME_DIRECTORY", "/run/ttlock-agent").partition(":")[0])
