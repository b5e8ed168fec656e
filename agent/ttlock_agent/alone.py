"""The configuration of an agent that serves one command: its locks and journal, and no network.

Secrets that only the systemd service is given are not missed: lock keys are in the vault, and
nobody logs in anywhere.
"""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from ttlock_agent.config import Config, LockConfig
from ttlock_agent.config.values import SecretSource
from ttlock_agent.errors import VaultError
from ttlock_agent.jobs.database import FILE_NAME
from ttlock_agent.vault import KEY_FILE_NAME


def config_alone(config: Config, socket: Path) -> Config:
    """Return what an agent needs to serve ``socket`` alone.

    Raises ``VaultError`` where the vault's key is one that only the service is given.
    """
    state = config.agent.state_directory
    if (state / FILE_NAME).exists() and not (state / KEY_FILE_NAME).exists():
        raise VaultError(
            "The vault's key is a systemd credential, which only the service is given.",
            hint="Start the service (`systemctl start ttlock-agent`) and ask it.",
        )
    return replace(
        config,
        agent=replace(config.agent, control_socket=socket),
        mqtt=replace(config.mqtt, username=None, password=None, tls=None, allow_plaintext=True),
        cloud=None,
        watch=replace(config.watch, callbacks=None),
        locks=tuple(map(_with_known_keys, config.locks)),
    )


def _with_known_keys(lock: LockConfig) -> LockConfig:
    is_for_service = lock.keys is not None and lock.keys.source is SecretSource.CREDENTIAL
    return replace(lock, keys=None) if is_for_service else lock
