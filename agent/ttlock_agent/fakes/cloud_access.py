"""Who may call the fake cloud, and how often: tokens, region, time window, quota."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

from ttlock_agent.fakes.cloud_state import Account, IssuedToken, Refusal, World
from ttlock_agent.fakes.cloud_wire import (
    CLIENT_REFUSED,
    CLIENT_UNKNOWN,
    CLOCK_OFF,
    LOGIN_REFUSED,
    NOT_MD5,
    QUOTA_USED_UP,
    REFRESH_REFUSED,
    TOKEN_EXPIRED,
    TOKEN_UNKNOWN,
    TOO_MANY_CALLS,
    WRONG_REGION,
    Answer,
    Params,
    instant,
)

DATE_WINDOW = timedelta(minutes=5)

_BEIJING = timezone(timedelta(hours=8))
_MD5 = re.compile(r"[0-9a-f]{32}")


class Access:
    """The door to the API; every refusal is a ``Refusal``."""

    def __init__(self, world: World) -> None:
        self._world = world

    def token(self, params: Params, now: datetime) -> Answer:
        """Answer of a login or a refresh."""
        client_id = params.get("clientId", params.get("client_id"))
        secret = params.get("clientSecret", params.get("client_secret"))
        accounts = [found for found in self._world.accounts if found.client_id == client_id]
        if not accounts:
            raise Refusal(CLIENT_UNKNOWN)
        if all(found.client_secret != secret for found in accounts):
            raise Refusal(CLIENT_REFUSED)
        if params.get("grant_type") == "refresh_token":
            username = self._spend_refresh(params.get("refresh_token", ""), now)
        else:
            username = self._log_in(accounts, params)
        token = IssuedToken(
            account=username,
            access=f"{self._world.new_id():032x}",
            refresh=f"{self._world.new_id():032x}",
            expires_at=now + timedelta(seconds=self._world.token_life_s),
        )
        self._world.tokens.append(token)
        return {
            "access_token": token.access,
            "refresh_token": token.refresh,
            "uid": 3000001,
            "expires_in": self._world.token_life_s,
        }

    def _log_in(self, accounts: list[Account], params: Params) -> str:
        password = params.get("password", "")
        if not _MD5.fullmatch(password):
            raise Refusal(NOT_MD5)
        for account in accounts:
            if (account.username, account.password_md5) == (params.get("username"), password):
                if account.region != self._world.region:
                    raise Refusal(WRONG_REGION)
                return account.username
        raise Refusal(LOGIN_REFUSED)

    def _spend_refresh(self, refresh: str, now: datetime) -> str:
        # Chosen, the stricter of two possibilities: a refresh ends the old pair.
        for token in self._world.tokens:
            if token.refresh == refresh and token.can_refresh:
                token.can_refresh = False
                token.expires_at = now
                return token.account
        raise Refusal(REFRESH_REFUSED)

    def admit(self, params: Params, now: datetime) -> Account:
        """Account of an authorised v3 call; the checks every such call meets."""
        self._count(now)
        accounts = {found.username: found for found in self._world.accounts}
        if all(found.client_id != params.get("clientId") for found in accounts.values()):
            raise Refusal(CLIENT_UNKNOWN)
        if abs(instant(params, "date") - now) > DATE_WINDOW:
            raise Refusal(CLOCK_OFF)
        for token in self._world.tokens:
            if token.access == params.get("accessToken"):
                if token.expires_at <= now:
                    raise Refusal(TOKEN_EXPIRED)
                return accounts[token.account]
        raise Refusal(TOKEN_UNKNOWN)

    def _count(self, now: datetime) -> None:
        world = self._world
        month = now.astimezone(_BEIJING).strftime("%Y-%m")
        if month != world.quota_month:
            world.quota_month, world.quota_spent = month, 0
        if world.monthly_quota is not None and world.quota_spent >= world.monthly_quota:
            raise Refusal(QUOTA_USED_UP)
        minute = now.replace(second=0, microsecond=0)
        if minute != world.minute_at:
            world.minute_at, world.minute_spent = minute, 0
        if world.calls_per_minute is not None and world.minute_spent >= world.calls_per_minute:
            raise Refusal(TOO_MANY_CALLS)
        world.quota_spent += 1
        world.minute_spent += 1
