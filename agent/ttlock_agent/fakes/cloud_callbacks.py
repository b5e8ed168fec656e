"""The fake cloud's way back: it posts what happened to the URL that the developer gave it."""

from __future__ import annotations

from collections.abc import Sequence

import aiohttp
import msgspec

from ttlock_agent.fakes.cloud_state import Gateway, Lock, Record, World
from ttlock_agent.fakes.cloud_wire import ms

SUCCESS = "success"
RECORDS = 1
GATEWAY = 2


class Caller:
    """Posts callbacks, once each: what the real one does about other answers is not known."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def records(self, lock: Lock, records: Sequence[Record]) -> bool:
        """Tell of records; return whether the receiver took them."""
        rows = [
            {
                "lockId": lock.lock_id,
                "lockMac": lock.mac,
                "recordTypeFromLock": record.lock_record_type,
                "recordType": record.record_type,
                "success": int(record.is_success),
                "keyboardPwd": record.digits,
                "username": record.who,
                "lockDate": ms(record.lock_at),
                "serverDate": ms(record.uploaded_at),
                "electricQuantity": lock.battery_percent,
            }
            for record in records
        ]
        return await self._post(
            {
                "notifyType": str(RECORDS),
                "lockId": str(lock.lock_id),
                "lockMac": lock.mac,
                "admin": lock.account,
                # A string within the form, as the real one has it.
                "records": msgspec.json.encode(rows).decode(),
            }
        )

    async def gateway(self, gateway: Gateway, *, is_online: bool) -> bool:
        """Tell that a gateway came or went; the real one tells of the latter 30 minutes late."""
        return await self._post(
            {
                "notifyType": str(GATEWAY),
                "gatewayId": str(gateway.gateway_id),
                "gatewayName": gateway.name,
                "gatewayMac": gateway.mac,
                "gatewayVersion": str(gateway.version),
                "networkName": gateway.network_name,
                "isOnline": str(int(is_online)),
            }
        )

    async def _post(self, form: dict[str, str]) -> bool:
        if self._world.callback_url is None:
            return False
        async with (
            aiohttp.ClientSession() as http,
            http.post(self._world.callback_url, data=form) as response,
        ):
            is_taken = await response.text() == SUCCESS
        self._world.callbacks += 1
        self._world.callbacks_refused += not is_taken
        return is_taken
