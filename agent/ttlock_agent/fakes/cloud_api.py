"""The Open API's calls on the fake's state: parameters in, the answer's object out.

Follows the vendor's documented behaviour; where that is unknown, the comment says what was chosen.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from copy import copy
from datetime import UTC, datetime, timedelta

from ttlock_agent.clock import Clock
from ttlock_agent.fakes.cloud_access import Access
from ttlock_agent.fakes.cloud_memory import LockMemory, StateMemory
from ttlock_agent.fakes.cloud_state import (
    FAILED,
    GATEWAY_BUSY,
    PASSCODE_EXISTS,
    PERIOD,
    PERMANENT,
    Account,
    FaultKind,
    ListedPasscode,
    Lock,
    Refusal,
    World,
)
from ttlock_agent.fakes.cloud_wire import (
    BAD_PARAMETER,
    LOCK_UNKNOWN,
    NEVER_USED,
    NOT_ADMIN,
    PASSCODE_GONE,
    Answer,
    Params,
    checked_digits,
    done,
    instant,
    integer,
    lock_id_of,
    ms,
    page,
    refused,
)

TOKEN = "/oauth2/token"  # noqa: S105 - a path
QUERY_CLOCK = "/v3/lock/queryDate"
UPDATE_CLOCK = "/v3/lock/updateDate"
ADD = "/v3/keyboardPwd/add"
DELETE = "/v3/keyboardPwd/delete"
CHANGE = "/v3/keyboardPwd/change"

THROUGH_GATEWAY = "2"


class FakeApi:
    """Answers calls; ``memories`` may put something real behind the gateway, lock by lock."""

    def __init__(
        self, world: World, *, clock: Clock, memories: Mapping[int, LockMemory] | None = None
    ) -> None:
        self.world = world
        self._clock = clock
        self._access = Access(world)
        self._memories = dict(memories or {})
        self._commanding: set[int] = set()
        self._handlers: dict[str, Callable[[Params, Account], Awaitable[Answer]]] = {
            "/v3/lock/list": self._locks,
            "/v3/lock/detail": self._lock_detail,
            "/v3/identityCard/list": self._cards,
            "/v3/fingerprint/list": self._fingers,
            "/v3/lock/listKeyboardPwd": self._list_passcodes,
            QUERY_CLOCK: self._query_clock,
            UPDATE_CLOCK: self._update_clock,
            ADD: self._add,
            DELETE: self._delete,
            CHANGE: self._change,
            "/v3/gateway/list": self._gateways,
            "/v3/gateway/listByLock": self._gateways_of_lock,
            "/v3/lockRecord/list": self._records,
        }

    def now(self) -> datetime:
        """Server's time."""
        return self._clock.now() + timedelta(seconds=self.world.clock_shift_s)

    def serves(self, path: str) -> bool:
        """Whether the fake knows the call."""
        return path == TOKEN or path in self._handlers

    async def answer(self, path: str, params: Params) -> Answer:
        """Answer's object for one call; a refusal is an object with its error code."""
        world, now = self.world, self.now()
        world.calls[path] = world.calls.get(path, 0) + 1
        fault = world.take_fault(FaultKind.ERRCODE, path=path, lock_id=lock_id_of(params), now=now)
        if fault is not None:
            return refused(fault.errcode)
        try:
            if path == TOKEN:
                return self._access.token(params, now)
            account = self._access.admit(params, now)
            return await self._handlers[path](params, account)
        except Refusal as refusal:
            return refused(refusal.errcode)

    def _lock(self, params: Params, account: Account) -> Lock:
        lock = self.world.lock(integer(params, "lockId"))
        if lock is None:
            raise Refusal(LOCK_UNKNOWN)
        if lock.account != account.username:
            raise Refusal(NOT_ADMIN)
        return lock

    async def _lock_detail(self, params: Params, account: Account) -> Answer:
        lock = self._lock(params, account)
        is_near = any(gw.is_near(lock.lock_id, self.now()) for gw in self.world.gateways)
        return {
            "lockId": lock.lock_id,
            "lockName": lock.name,
            "lockAlias": lock.alias,
            "lockMac": lock.mac,
            "noKeyPwd": lock.admin_passcode,
            "aesKeyStr": lock.aes_key,
            "electricQuantity": lock.battery_percent,
            "featureValue": lock.features,
            "timezoneRawOffset": lock.timezone_offset_s * 1000,
            "modelNum": lock.model,
            "hardwareRevision": lock.hardware_revision,
            "firmwareRevision": lock.firmware_revision,
            "autoLockTime": lock.auto_lock_delay_s,
            "hasGateway": int(is_near),
        }

    async def _cards(self, params: Params, account: Account) -> Answer:
        lock = self._lock(params, account)
        return page(
            [
                {
                    "cardId": number,
                    "lockId": lock.lock_id,
                    "cardNumber": card.number,
                    "cardName": f"card {number}",
                    "startDate": 0,
                    "endDate": 0,
                    "cardType": 4 if card.hours else 1,
                    "cyclicConfig": [
                        {"weekDay": weekday, "startTime": begin, "endTime": end}
                        for weekday, begin, end in card.hours
                    ],
                }
                for number, card in enumerate(lock.cards, start=1)
            ],
            params,
        )

    async def _fingers(self, params: Params, account: Account) -> Answer:
        lock = self._lock(params, account)
        return page(
            [
                {
                    "fingerprintId": number,
                    "lockId": lock.lock_id,
                    "fingerprintNumber": finger.number,
                    "fingerprintName": finger.name,
                }
                for number, finger in enumerate(lock.fingers, start=1)
            ],
            params,
        )

    async def _locks(self, params: Params, account: Account) -> Answer:
        return page(
            [
                {
                    "lockId": lock.lock_id,
                    "lockName": lock.name,
                    "lockAlias": lock.alias,
                    "lockMac": lock.mac,
                    "electricQuantity": lock.battery_percent,
                }
                for lock in self.world.locks
                if lock.account == account.username
            ],
            params,
        )

    async def _list_passcodes(self, params: Params, account: Account) -> Answer:
        lock = self._lock(params, account)
        rows = []
        for entry in sorted(lock.listed, key=lambda entry: entry.sent_at, reverse=True):
            row: Answer = {
                "keyboardPwdId": entry.passcode_id,
                "lockId": lock.lock_id,
                "keyboardPwd": entry.digits,
                "keyboardPwdName": entry.name,
                "keyboardPwdType": entry.cloud_type,
                "startDate": ms(entry.valid_from),
                "endDate": ms(entry.valid_until),
                "sendDate": ms(entry.sent_at),
                "isCustom": int(entry.is_custom),
                "senderUsername": account.username,
            }
            if entry.status is not None:
                row["status"] = entry.status
            rows.append(row)
        return page(rows, params)

    async def _gateways(self, params: Params, account: Account) -> Answer:
        now = self.now()
        return page(
            [
                {
                    "gatewayId": gateway.gateway_id,
                    "gatewayMac": gateway.mac,
                    "gatewayName": gateway.name,
                    "gatewayVersion": gateway.version,
                    "networkName": gateway.network_name,
                    "lockNum": sum(gateway.is_near(lock, now) for lock in gateway.last_heard),
                    "isOnline": int(gateway.is_online(now)),
                }
                for gateway in self.world.gateways
                if gateway.account == account.username
            ],
            params,
        )

    async def _gateways_of_lock(self, params: Params, account: Account) -> Answer:
        lock_id, now = self._lock(params, account).lock_id, self.now()
        return {
            "list": [
                {
                    "gatewayId": gateway.gateway_id,
                    "gatewayMac": gateway.mac,
                    "gatewayName": gateway.name,
                    "rssi": gateway.last_heard[lock_id].rssi_dbm,
                    "rssiUpdateDate": ms(gateway.heard_at(lock_id, now)),
                }
                for gateway in self.world.gateways
                if gateway.is_near(lock_id, now)
            ]
        }

    async def _records(self, params: Params, account: Account) -> Answer:
        lock, now = self._lock(params, account), self.now()
        since = integer(params, "startDate", 0)
        until = integer(params, "endDate", 0) or ms(datetime.max.replace(tzinfo=UTC))
        return page(
            [
                {
                    "recordId": record.record_id,
                    "lockId": lock.lock_id,
                    "recordTypeFromLock": record.lock_record_type,
                    "recordType": record.record_type,
                    "success": int(record.is_success),
                    "username": record.who,
                    "keyboardPwd": record.digits,
                    "lockDate": ms(record.lock_at),
                    "serverDate": ms(record.uploaded_at),
                }
                for record in sorted(lock.records, key=lambda record: record.lock_at, reverse=True)
                if record.uploaded_at <= now and since <= ms(record.lock_at) <= until
            ],
            params,
        )

    async def _query_clock(self, params: Params, account: Account) -> Answer:
        lock = self._lock(params, account)
        moments: list[datetime] = []

        async def read(memory: LockMemory) -> None:
            moments.append(await memory.read_clock())

        await self._command(QUERY_CLOCK, lock, read)
        if not moments:  # a lost read has nothing to answer with
            raise Refusal(FAILED)
        return {"date": ms(moments[0])}

    async def _update_clock(self, params: Params, account: Account) -> Answer:
        moment = instant(params, "date")
        await self._command(
            UPDATE_CLOCK,
            self._lock(params, account),
            lambda memory: memory.set_clock(moment),
        )
        return {"date": ms(moment)}

    async def _add(self, params: Params, account: Account) -> Answer:
        lock = self._lock(params, account)
        digits = checked_digits(params.get("keyboardPwd", ""))
        if any(entry.digits == digits for entry in lock.listed):
            raise Refusal(PASSCODE_EXISTS)
        cloud_type = integer(params, "keyboardPwdType", PERIOD)
        if cloud_type not in (PERMANENT, PERIOD):
            raise Refusal(BAD_PARAMETER)
        window = (
            (instant(params, "startDate"), instant(params, "endDate"))
            if cloud_type == PERIOD
            else None
        )
        if window is not None and window[1] <= window[0]:
            raise Refusal(BAD_PARAMETER)
        entry = ListedPasscode(
            passcode_id=self.world.new_id(),
            digits=digits,
            sent_at=self.now(),
            name=params.get("keyboardPwdName", ""),
            cloud_type=cloud_type,
            valid_from=window[0] if window else None,
            valid_until=window[1] if window else None,
        )
        if params.get("addType") == THROUGH_GATEWAY:
            await self._command(ADD, lock, lambda memory: memory.add(entry.in_memory()))
        lock.listed.append(entry)
        return {"keyboardPwdId": entry.passcode_id}

    async def _delete(self, params: Params, account: Account) -> Answer:
        lock = self._lock(params, account)
        entry = self._entry(lock, params)
        if entry is not None:
            if params.get("deleteType") == THROUGH_GATEWAY:
                await self._command(DELETE, lock, lambda memory: memory.delete(entry.digits))
            lock.listed.remove(entry)
        return done()

    async def _change(self, params: Params, account: Account) -> Answer:
        lock = self._lock(params, account)
        entry = self._entry(lock, params)
        if entry is None:
            raise Refusal(PASSCODE_GONE)
        changed = copy(entry)
        changed.name = params.get("keyboardPwdName", entry.name)
        if "newKeyboardPwd" in params:
            changed.digits = checked_digits(params["newKeyboardPwd"])
            if any(other.digits == changed.digits and other is not entry for other in lock.listed):
                raise Refusal(PASSCODE_EXISTS)
        # One end alone is accepted and ignored, as the real one does.
        if "startDate" in params and "endDate" in params:
            changed.valid_from = instant(params, "startDate")
            changed.valid_until = instant(params, "endDate")
        if changed.in_memory() != entry.in_memory():
            if not entry.is_custom and not entry.is_used:
                raise Refusal(NEVER_USED)
            if params.get("changeType") == THROUGH_GATEWAY:
                await self._command(
                    CHANGE,
                    lock,
                    lambda memory: memory.change(entry.digits, changed.in_memory()),
                )
        lock.listed[lock.listed.index(entry)] = changed
        return done()

    def _entry(self, lock: Lock, params: Params) -> ListedPasscode | None:
        wanted = integer(params, "keyboardPwdId")
        return next((entry for entry in lock.listed if entry.passcode_id == wanted), None)

    async def _command(
        self, path: str, lock: Lock, act: Callable[[LockMemory], Awaitable[None]]
    ) -> None:
        """Have the gateway do ``act`` with the lock; raises ``Refusal``."""
        gateway = self.world.gateway_for(lock.lock_id, self.now())
        if gateway.gateway_id in self._commanding:
            raise Refusal(GATEWAY_BUSY)
        lost = self.world.take_fault(
            FaultKind.LOST, path=path, lock_id=lock.lock_id, now=self.now()
        )
        if lost is not None:
            return
        memory = self._memories.setdefault(lock.lock_id, StateMemory(lock, self._clock))
        self._commanding.add(gateway.gateway_id)
        try:
            await act(memory)
        finally:
            self._commanding.discard(gateway.gateway_id)
