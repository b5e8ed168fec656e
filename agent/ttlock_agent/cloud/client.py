"""The Open API as calls of this agent: few, counted, and each a value or a ``CloudError``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from enum import IntEnum
from functools import partial

import aiohttp

from ttlock_agent.clock import Clock
from ttlock_agent.cloud.answer import Fields, not_the_api
from ttlock_agent.cloud.errors import CloudRefused, ErrorClass
from ttlock_agent.cloud.models import (
    CUSTOM_TYPES,
    CloudCard,
    CloudFinger,
    CloudPasscode,
    Gateway,
    LockDetail,
    LockGateway,
    LockRecord,
    PasscodeKind,
    read_clock,
)
from ttlock_agent.cloud.ports import StateStore
from ttlock_agent.cloud.quota import QuotaBudget
from ttlock_agent.cloud.token import CloudAccount, TokenKeeper
from ttlock_agent.cloud.transport import Transport

# The cloud's own database answers within a second or two.
DATABASE_TIMEOUT_S = 20.0
# Through a gateway: 8 s are usual with a sleeping lock, up to 30 s have been seen.
GATEWAY_TIMEOUT_S = 45.0

PAGE_SIZE = 200
# 200 * 50 is forty times what a lock holds: more pages mean an answer that never ends.
MAX_PAGES = 50

# A permanent passcode gets real dates: with start = end = 0 keypads were seen to refuse it.
PERMANENT_FROM = datetime(2000, 1, 1, tzinfo=UTC)
PERMANENT_UNTIL = datetime(2099, 12, 31, tzinfo=UTC)


class Via(IntEnum):
    """How a passcode change reaches the lock; the numbers are the cloud's."""

    DONE_OVER_BLUETOOTH = 1  # the lock has it already; the cloud only takes note
    GATEWAY = 2


class CloudClient:
    """One account in the cloud.

    Every method raises ``CloudRefused`` (``CloudMisconfigured`` where asking again is pointless),
    ``QuotaExhausted`` or ``CloudUnreachable``, and nothing else from the outside world. Calls that
    make a gateway talk run one at a time: the cloud chooses the gateway by signal strength, so only
    one turn for all locks keeps two commands from meeting at one gateway.
    """

    def __init__(
        self,
        *,
        http: aiohttp.ClientSession,
        base_url: str,
        account: CloudAccount,
        clock: Clock,
        token_store: StateStore,
        budget: QuotaBudget,
        database_timeout_s: float = DATABASE_TIMEOUT_S,
        gateway_timeout_s: float = GATEWAY_TIMEOUT_S,
    ) -> None:
        self.budget = budget
        self._transport = Transport(http=http, base_url=base_url, clock=clock, budget=budget)
        self._client_id = account.client_id
        self._clock = clock
        self._database_timeout_s = database_timeout_s
        self._gateway_timeout_s = gateway_timeout_s
        self._gateway_turn = asyncio.Lock()
        self._tokens = TokenKeeper(
            account=account,
            store=token_store,
            clock=clock,
            post=partial(self._transport.post, timeout_s=database_timeout_s),
        )

    async def list_passcodes(self, lock_id: int) -> list[CloudPasscode]:
        """All passcodes the cloud lists for a lock: its database, not the lock's memory."""
        rows = await self._pages("/v3/lock/listKeyboardPwd", {"lockId": lock_id, "orderBy": 1})
        # An entry added while paging shifts the rest, so the same one can come twice.
        found = {
            code.passcode_id: code for code in (CloudPasscode.from_answer(r, lock_id) for r in rows)
        }
        return list(found.values())

    async def gateways_of_lock(self, lock_id: int) -> list[LockGateway]:
        """Gateways that heard the lock in the last 30 minutes; costs no radio time."""
        answer = await self._call("/v3/gateway/listByLock", {"lockId": lock_id})
        return [LockGateway.from_answer(row) for row in answer.rows("list")]

    async def gateways(self) -> list[Gateway]:
        """All gateways of the account; costs no radio time."""
        rows = await self._pages("/v3/gateway/list", {"orderBy": 1})
        return [Gateway.from_answer(row) for row in rows]

    async def lock_detail(self, lock_id: int) -> LockDetail:
        """What the cloud knows of a lock; costs no radio time."""
        return LockDetail.from_answer(await self._call("/v3/lock/detail", {"lockId": lock_id}))

    async def cards(self, lock_id: int) -> list[CloudCard]:
        """All cards the cloud lists for a lock, with their weekly hours."""
        rows = await self._pages("/v3/identityCard/list", {"lockId": lock_id, "orderBy": 1})
        return [CloudCard.from_answer(row) for row in rows]

    async def fingers(self, lock_id: int) -> list[CloudFinger]:
        """All fingerprints the cloud lists for a lock, with the names that the owner gave them."""
        rows = await self._pages("/v3/fingerprint/list", {"lockId": lock_id, "orderBy": 1})
        return [CloudFinger.from_answer(row) for row in rows]

    async def lock_ids(self) -> dict[str, int]:
        """Ids of the locks that the account administers, by their addresses in capitals.

        A lock that was reset and added again has another id than before.
        """
        rows = await self._pages("/v3/lock/list", {})
        return {row.text("lockMac").upper(): row.integer("lockId") for row in rows}

    async def lock_records(
        self, lock_id: int, *, since: datetime | None = None, until: datetime | None = None
    ) -> list[LockRecord]:
        """Log entries that reached the cloud, by time of operation; costs no radio time."""
        params: dict[str, int | str] = {"lockId": lock_id}
        if since is not None:
            params["startDate"] = to_ms(since)
        if until is not None:
            params["endDate"] = to_ms(until)
        rows = await self._pages("/v3/lockRecord/list", params)
        return [LockRecord.from_answer(row, lock_id) for row in rows]

    async def query_lock_clock(self, lock_id: int) -> datetime:
        """Lock's clock through its gateway: the probe of the whole path. Wakes the lock."""
        return read_clock(await self._call_gateway("/v3/lock/queryDate", {"lockId": lock_id}))

    async def add_passcode(
        self,
        lock_id: int,
        digits: str,
        *,
        kind: PasscodeKind,
        via: Via,
        valid_from: datetime | None = None,
        valid_until: datetime | None = None,
        name: str = "",
    ) -> int:
        """Add a custom passcode, permanent or period; gives the cloud's id for it.

        A period needs both ends, to the minute; a permanent passcode may leave them out. Raises
        ``ValueError`` for another kind or a period with an end missing.
        """
        if kind not in CUSTOM_TYPES:
            raise ValueError("the cloud takes only permanent and period passcodes of one's own")
        if kind is PasscodeKind.PERMANENT:
            valid_from, valid_until = valid_from or PERMANENT_FROM, valid_until or PERMANENT_UNTIL
        if valid_from is None or valid_until is None:
            raise ValueError("a period passcode needs valid_from and valid_until")
        params: dict[str, int | str] = {
            "lockId": lock_id,
            "keyboardPwd": digits,
            "keyboardPwdType": CUSTOM_TYPES[kind],
            "startDate": to_ms(valid_from),
            "endDate": to_ms(valid_until),
            "addType": via.value,
        }
        if name:
            params["keyboardPwdName"] = name
        answer = await self._call_via(via, "/v3/keyboardPwd/add", params)
        return answer.integer("keyboardPwdId")

    async def delete_passcode(self, lock_id: int, passcode_id: int, *, via: Via) -> None:
        """Delete a passcode; the cloud says yes to an id that is already gone."""
        await self._call_via(
            via,
            "/v3/keyboardPwd/delete",
            {"lockId": lock_id, "keyboardPwdId": passcode_id, "deleteType": via.value},
        )

    async def rename_passcode(self, lock_id: int, passcode_id: int, name: str) -> None:
        """Change only the name, which the lock does not know."""
        await self._call(
            "/v3/keyboardPwd/change",
            {"lockId": lock_id, "keyboardPwdId": passcode_id, "keyboardPwdName": name},
        )

    async def change_passcode(
        self,
        lock_id: int,
        passcode_id: int,
        *,
        via: Via,
        new_digits: str | None = None,
        window: tuple[datetime, datetime] | None = None,
    ) -> None:
        """Change digits, validity period or both.

        The period goes whole: with one end alone the cloud says yes and changes nothing.
        """
        if new_digits is None and window is None:
            raise ValueError("nothing to change")
        params: dict[str, int | str] = {
            "lockId": lock_id,
            "keyboardPwdId": passcode_id,
            "changeType": via.value,
        }
        if new_digits is not None:
            params["newKeyboardPwd"] = new_digits
        if window is not None:
            params["startDate"], params["endDate"] = to_ms(window[0]), to_ms(window[1])
        await self._call_via(via, "/v3/keyboardPwd/change", params)

    async def _call_via(self, via: Via, path: str, params: Mapping[str, int | str]) -> Fields:
        if via is Via.GATEWAY:
            return await self._call_gateway(path, params)
        return await self._call(path, params)

    async def _call_gateway(self, path: str, params: Mapping[str, int | str]) -> Fields:
        async with self._gateway_turn:
            return await self._call(path, params, timeout_s=self._gateway_timeout_s)

    async def _pages(self, path: str, params: Mapping[str, int | str]) -> list[Fields]:
        rows: list[Fields] = []
        for page_no in range(1, MAX_PAGES + 1):
            answer = await self._call(path, {**params, "pageNo": page_no, "pageSize": PAGE_SIZE})
            page = answer.rows("list")
            rows += page
            pages = answer.maybe_integer("pages")
            is_last = len(page) < PAGE_SIZE if pages is None else page_no >= pages
            if is_last or not page:
                if len(rows) < (answer.maybe_integer("total") or 0):
                    # A list that lacks something must not look like one without it.
                    raise not_the_api("the list is shorter than it says")
                return rows
        raise not_the_api(f"the list has more than {MAX_PAGES} pages")

    async def _call(
        self, path: str, params: Mapping[str, int | str], *, timeout_s: float | None = None
    ) -> Fields:
        """One call with a valid token; a refused token is replaced once."""
        timeout_s = self._database_timeout_s if timeout_s is None else timeout_s
        token = await self._tokens.access()
        try:
            return await self._transport.post(path, self._form(params, token), timeout_s=timeout_s)
        except CloudRefused as error:
            if error.row.error_class is not ErrorClass.TOKEN:
                raise
        token = await self._tokens.replace(token)
        return await self._transport.post(path, self._form(params, token), timeout_s=timeout_s)

    def _form(self, params: Mapping[str, int | str], token: str) -> dict[str, str]:
        return {
            **{key: str(value) for key, value in params.items()},
            "clientId": self._client_id,
            "accessToken": token,
            "date": str(to_ms(self._clock.now())),
        }


@asynccontextmanager
async def open_cloud(
    *,
    base_url: str,
    account: CloudAccount,
    clock: Clock,
    token_store: StateStore,
    budget: QuotaBudget,
) -> AsyncIterator[CloudClient]:
    """Client with an HTTP session of its own, closed at the end."""
    # No cookies: the token is all the state there is.
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        yield CloudClient(
            http=http,
            base_url=base_url,
            account=account,
            clock=clock,
            token_store=token_store,
            budget=budget,
        )


def to_ms(moment: datetime) -> int:
    """Milliseconds since the epoch."""
    return round(moment.timestamp() * 1000)
