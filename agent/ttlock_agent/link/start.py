"""Chooses the links that a configuration needs."""

from __future__ import annotations

import os
from pathlib import Path

from ttlock_agent.clock import Clock
from ttlock_agent.config import Config
from ttlock_agent.link import LinkFactory
from ttlock_agent.link.virtual import ADDRESS_PREFIX, VirtualLinkFactory


def link_factory(config: Config, clock: Clock) -> LinkFactory:
    """Return what reaches every lock of ``config``."""
    addresses = [str(lock.address) for lock in config.locks]
    return VirtualLinkFactory(
        _runtime_directory(),
        clock=clock,
        addresses=[address for address in addresses if address.startswith(ADDRESS_PREFIX)],
    )


def _runtime_directory() -> Path:
    return Path(os.environ.get("RUNTIME_DIRECTORY", "/run/ttlock-agent").partition(":")[0])
