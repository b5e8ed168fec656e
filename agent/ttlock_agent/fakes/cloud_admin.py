"""The fake cloud's second door, under ``/_fake/``: how tests and the demo look in and break it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import TypeVar

import msgspec
from aiohttp import web

from ttlock_agent.clock import Clock
from ttlock_agent.fakes.cloud_state import Fault, Record, Sighting, World


class _Change(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A change names what it changes; what is left out stays."""


_C = TypeVar("_C", bound="_Change")


class GatewayChange(_Change):
    """``for_s`` says how long the halves have been in their new state.

    ``hears`` sets lock id to signal in dBm for good; ``deaf_for_s`` ends all sightings that long
    ago although both halves are up.
    """

    gateway_id: int
    tcp_up: bool | None = None
    radio_up: bool | None = None
    for_s: float = 0.0
    busy_for_s: float | None = None
    hears: dict[int, int] | None = None
    deaf_for_s: float | None = None


class LockChange(_Change):
    """Change of a lock's world side."""

    lock_id: int
    clock_error_s: float | None = None
    memory_capacity: int | None = None
    wipe_memory: bool = False
    records: list[Record] = []


class TokenChange(_Change):
    """Expire all access tokens, forget all tokens, or end all refresh tokens."""

    expire: bool = False
    forget: bool = False
    end_refresh: bool = False


class Settings(_Change):
    """Settings of the whole cloud."""

    region: str | msgspec.UnsetType = msgspec.UNSET
    clock_shift_s: float | msgspec.UnsetType = msgspec.UNSET
    token_life_s: int | msgspec.UnsetType = msgspec.UNSET
    monthly_quota: int | msgspec.UnsetType | None = msgspec.UNSET
    calls_per_minute: int | msgspec.UnsetType | None = msgspec.UNSET
    numbers_as_strings: bool | msgspec.UnsetType = msgspec.UNSET
    extra_fields: bool | msgspec.UnsetType = msgspec.UNSET


class Faults(_Change):
    """Faults to add; ``for_s`` ends them that long from now."""

    faults: list[Fault]
    for_s: float | None = None


class Admin:
    """Handlers of the admin API; answers are the new state or HTTP 400 with a reason."""

    def __init__(self, world: World, clock: Clock) -> None:
        self._world = world
        self._clock = clock

    def routes(self) -> list[web.RouteDef]:
        """Routes to register before the API's own."""
        return [
            web.get("/_fake/state", self._state),
            web.delete("/_fake/faults", self._clear_faults),
            web.post("/_fake/faults", self._changing(Faults, self.add_faults)),
            web.post("/_fake/gateway", self._changing(GatewayChange, self.change_gateway)),
            web.post("/_fake/lock", self._changing(LockChange, self.change_lock)),
            web.post("/_fake/tokens", self._changing(TokenChange, self.change_tokens)),
            web.post("/_fake/settings", self._changing(Settings, self.change_settings)),
        ]

    def add_faults(self, change: Faults) -> None:
        """Add faults."""
        for fault in change.faults:
            if change.for_s is not None:
                fault.until = self._ahead(change.for_s)
            self._world.faults.append(fault)

    def change_gateway(self, change: GatewayChange) -> None:
        """Break or mend a gateway; raises ``LookupError``."""
        gateway = self._world.gateway(change.gateway_id)
        if gateway is None:
            raise LookupError("no such gateway")
        since = self._ahead(-change.for_s)
        if change.tcp_up is not None:
            gateway.tcp_down_at = None if change.tcp_up else since
        if change.radio_up is not None:
            gateway.radio_down_at = None if change.radio_up else since
        if change.busy_for_s is not None:
            gateway.busy_until = self._ahead(change.busy_for_s)
        if change.hears is not None:
            gateway.last_heard = {
                lock_id: Sighting(rssi_dbm=rssi_dbm) for lock_id, rssi_dbm in change.hears.items()
            }
        if change.deaf_for_s is not None:
            for sighting in gateway.last_heard.values():
                sighting.at = self._ahead(-change.deaf_for_s)

    def change_lock(self, change: LockChange) -> None:
        """Change a lock; raises ``LookupError``."""
        lock = self._world.lock(change.lock_id)
        if lock is None:
            raise LookupError("no such lock")
        if change.clock_error_s is not None:
            lock.clock_error_s = change.clock_error_s
        if change.memory_capacity is not None:
            lock.memory_capacity = change.memory_capacity
        if change.wipe_memory:
            lock.memory = []
        lock.records = [*lock.records, *change.records]

    def change_tokens(self, change: TokenChange) -> None:
        """Age the tokens."""
        for token in self._world.tokens:
            if change.expire:
                token.expires_at = self._ahead(0)
            if change.end_refresh:
                token.can_refresh = False
        if change.forget:
            self._world.tokens = []

    def change_settings(self, change: Settings) -> None:
        """Change what is given."""
        for name in change.__struct_fields__:
            value = getattr(change, name)
            if value is not msgspec.UNSET:
                setattr(self._world, name, value)

    def _ahead(self, seconds: float) -> datetime:
        return self._clock.now() + timedelta(seconds=seconds + self._world.clock_shift_s)

    def _changing(
        self, kind: type[_C], change: Callable[[_C], None]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            try:
                change(msgspec.json.decode(await request.read(), type=kind))
            except (msgspec.MsgspecError, LookupError) as error:
                return web.json_response({"error": str(error)}, status=400)
            return await self._state(request)

        return handle

    async def _clear_faults(self, request: web.Request) -> web.Response:
        self._world.faults = []
        return await self._state(request)

    async def _state(self, request: web.Request) -> web.Response:
        return web.Response(body=msgspec.json.encode(self._world), content_type="application/json")
