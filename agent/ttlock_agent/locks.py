"""The configured locks, with what is known of each before it is visited."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import msgspec
import structlog

from ttlock_agent.config import Config, LockConfig, UnknownPasscodes
from ttlock_agent.config.locks import QuirksConfig
from ttlock_agent.errors import ConfigError, JobRejected, Rejection
from ttlock_agent.keyfile import choose, read_keys
from ttlock_agent.keyring import Keyring
from ttlock_agent.lock.visit import Budget, LockProfile
from ttlock_protocol.keyfiles import KeyImportError
from ttlock_protocol.keys import LockKeys
from ttlock_protocol.quirks import Quirks

log = structlog.get_logger()


class Locks:
    """Profiles of the locks whose keys are known; grows when keys are imported."""

    def __init__(
        self,
        config: Config,
        keyring: Keyring,
        *,
        register_secret: Callable[[str], None],
        on_keys: Callable[[], None] = lambda: None,
    ) -> None:
        """``on_keys`` is called when a lock has got keys: what waited for them is due now."""
        self._on_keys = on_keys
        self._config = config
        self._keyring = keyring
        self._register_secret = register_secret
        self.profiles: dict[str, LockProfile] = {}

    async def load(self) -> None:
        """Import the keys that the config names, then take what the vault holds.

        Raises ``ConfigError`` for a key file that cannot be read.
        """
        for lock in self._config.locks:
            if lock.keys is not None:
                await self._keyring.take_configured(lock.id, _configured_keys(lock))
            keys = await self._keyring.get(lock.id)
            if keys is None:
                log.warning("lock_keys_missing", lock=lock.id)
            else:
                self._use(lock, keys)

    async def put_keys(self, lock_id: str, keys: LockKeys) -> None:
        """Keep new keys of a configured lock and use them from now on; raises ``JobRejected``."""
        lock = self._lock(lock_id)
        await self._keyring.put(lock_id, keys)
        self._use(lock, keys)
        log.info("lock_keys_imported", lock=lock_id)
        self._on_keys()

    async def retire_keys(self, lock_id: str) -> None:
        """Forget the keys of a lock that was reset."""
        await self._keyring.retire(lock_id)
        self.profiles.pop(lock_id, None)
        log.info("lock_keys_retired", lock=lock_id)

    def address(self, lock_id: str) -> str:
        """Return the address of a configured lock; raises ``JobRejected``."""
        return str(self._lock(lock_id).address)

    def profile_with(self, lock_id: str, keys: LockKeys) -> LockProfile:
        """Return how to visit a configured lock with these keys; raises ``JobRejected``."""
        lock = self._lock(lock_id)
        self._register_secret(keys.aes_key.hex())
        return LockProfile(
            id=lock.id,
            address=str(lock.address),
            zone=lock.time_zone,
            keys=keys,
            clock_tolerance_s=lock.clock_tolerance_s,
            response_timeout_s=self._config.bluetooth.response_timeout_s,
            connect_timeout_s=self._config.bluetooth.connect_timeout_s,
            adapter=self._config.adapter_of(lock),
            budget=Budget(
                connections_per_day=lock.connections_per_day,
                connected_s_per_day=lock.connected_s_per_day,
            ),
            reproof_interval=timedelta(seconds=lock.reproof_interval_s),
            removes_unknown=lock.unknown_passcodes is UnknownPasscodes.DELETE,
            may_unlock=lock.allow_mqtt_unlock,
            quirks=_quirks(lock.quirks),
        )

    def _lock(self, lock_id: str) -> LockConfig:
        for lock in self._config.locks:
            if lock.id == lock_id:
                return lock
        raise JobRejected(
            "There is no lock of that name.",
            reason=Rejection.UNKNOWN_LOCK,
            hint="Use a lock's id from the configuration.",
        )

    def _use(self, lock: LockConfig, keys: LockKeys) -> None:
        self.profiles[lock.id] = self.profile_with(lock.id, keys)


def _quirks(configured: QuirksConfig) -> Quirks:
    settings = msgspec.structs.asdict(configured)
    return Quirks(**settings | {"client_token": configured.client_token.encode("ascii")})


def _configured_keys(lock: LockConfig) -> LockKeys:
    assert lock.keys is not None
    try:
        return choose(read_keys(lock.keys.resolve()), str(lock.address)).keys
    except KeyImportError as error:
        raise ConfigError(f"{lock.keys} of lock {lock.id} holds no lock keys: {error}.") from None
