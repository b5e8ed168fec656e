"""Chooses the links that a configuration needs."""

from __future__ import annotations

import os
from pathlib import Path

from ttlock_agent.clock import Clock
from ttlock_agent.config import Config
from ttlock_agent.link import LinkFactory
from ttlock_agent.link.adapters import Adapters
from ttlock_agent.link.router import LinksByAddress, open_links


def link_factory(config: Config, clock: Clock, adapters: Adapters) -> LinkFactory:
    """Return what reaches every lock of ``config``, each by its own adapter.

    ``adapters`` is told how those are.
    """
    ways: dict[str, LinkFactory] = {}
    for adapter in {config.adapter_of(lock): None for lock in config.locks}:
        locks = [lock for lock in config.locks if config.adapter_of(lock) == adapter]
        addresses = [str(lock.address) for lock in locks]
        links = open_links(
            addresses,
            runtime_directory=_runtime_directory(),
            clock=clock,
            adapter=adapter,
            answered=[str(lock.address) for lock in locks if lock.quirks.writes_with_response],
            on_adapter=adapters.tell,
        )
        ways |= dict.fromkeys(addresses, links)
    return LinksByAddress(ways)


def _runtime_directory() -> Path:
    return Path(os.environ.get("RUNTIME_DIRECTORY", "/run/ttlock-agent").partition(":")[0])
