"""Logging in and staying logged in.

A token lives 90 days, its refresh token for years. One token serves all calls; while one call
renews it, the others wait. Secrets are hidden in every ``repr`` here and never logged.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Self

import msgspec
import structlog

from ttlock_agent.clock import Clock
from ttlock_agent.cloud.answer import Fields
from ttlock_agent.cloud.errors import CloudMisconfigured, CloudRefused
from ttlock_agent.cloud.ports import StateStore
from ttlock_agent.errors import ConfigError

TOKEN_PATH = "/oauth2/token"  # noqa: S105 - a path

# Renewing a week early leaves time for an outage of ours or of the cloud's.
RENEW_BEFORE = timedelta(days=7)
DEFAULT_LIFE_S = 7_776_000

_MD5 = re.compile(r"[0-9a-f]{32}")

log = structlog.get_logger()

Post = Callable[[str, Mapping[str, str]], Awaitable[Fields]]
"""Sends one form to a path of the cloud and reads the answer; raises ``CloudError``."""


class CloudAccount(msgspec.Struct, frozen=True, kw_only=True):
    """Who we are to the cloud: the developer's application and the app account.

    ``password_md5`` is the lower-case digest of the app password, which is all the cloud takes.
    """

    client_id: str
    client_secret: str
    username: str
    password_md5: str

    def __post_init__(self) -> None:
        if not _MD5.fullmatch(self.password_md5):
            raise ConfigError(
                "The cloud password is not a lower-case MD5 digest of 32 characters.",
                hint="Give the plain password, or the output of `printf %s PASSWORD | md5sum`.",
            )

    @classmethod
    def with_password(
        cls, *, client_id: str, client_secret: str, username: str, password: str
    ) -> Self:
        """Account from the plain password, which is not kept."""
        return cls(
            client_id=client_id,
            client_secret=client_secret,
            username=username,
            password_md5=hashlib.md5(password.encode(), usedforsecurity=False).hexdigest(),
        )

    def __repr__(self) -> str:
        return f"CloudAccount(client_id={self.client_id!r}, <secrets hidden>)"


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """What a login gives; ``client_id`` and ``username`` say to whom."""

    client_id: str
    username: str
    access: str
    refresh: str
    expires_at: datetime

    def __repr__(self) -> str:
        return f"Token(expires_at={self.expires_at!r}, <secrets hidden>)"


class TokenKeeper:
    """Gives a token that should work, and a fresh one when it did not."""

    def __init__(
        self, *, account: CloudAccount, store: StateStore, clock: Clock, post: Post
    ) -> None:
        self._account = account
        self._store = store
        self._clock = clock
        self._post = post
        self._token: Token | None = None
        self._turn = asyncio.Lock()

    async def access(self) -> str:
        """Access token with some life left; logs in or refreshes first where needed."""
        async with self._turn:
            if self._token is None:
                self._token = await self._load()
            if self._token is None:
                await self._log_in()
            elif self._token.expires_at - self._clock.now() < RENEW_BEFORE:
                await self._renew(self._token)
            return self._current().access

    async def replace(self, refused: str) -> str:
        """Another token, after the cloud refused ``refused``: by refresh, else by logging in."""
        async with self._turn:
            current = self._current()
            # Another call may have renewed it while this one waited.
            if current.access == refused:
                await self._renew(current)
            return self._current().access

    def _current(self) -> Token:
        assert self._token is not None
        return self._token

    async def _renew(self, token: Token) -> None:
        try:
            answer = await self._post(
                TOKEN_PATH,
                {
                    **self._client(),
                    "grant_type": "refresh_token",
                    "refresh_token": token.refresh,
                },
            )
        except CloudMisconfigured:
            raise
        except CloudRefused as error:
            log.info("cloud.refresh_refused", errcode=error.errcode)
            await self._log_in()
        else:
            await self._keep(answer)
            log.info("cloud.token_refreshed")

    async def _log_in(self) -> None:
        answer = await self._post(
            TOKEN_PATH,
            {
                **self._client(),
                "username": self._account.username,
                "password": self._account.password_md5,
            },
        )
        await self._keep(answer)
        log.info("cloud.logged_in")

    def _client(self) -> dict[str, str]:
        return {
            "clientId": self._account.client_id,
            "clientSecret": self._account.client_secret,
        }

    async def _keep(self, answer: Fields) -> None:
        life_s = answer.maybe_integer("expires_in") or DEFAULT_LIFE_S
        # A life beyond the default would only put off a refresh that costs nothing.
        life = timedelta(seconds=min(max(life_s, 0), DEFAULT_LIFE_S))
        token = Token(
            client_id=self._account.client_id,
            username=self._account.username,
            access=answer.text("access_token"),
            refresh=answer.text("refresh_token"),
            expires_at=self._clock.now() + life,
        )
        self._token = token
        await self._store.save(msgspec.json.encode(token))

    async def _load(self) -> Token | None:
        saved = await self._store.load()
        if saved is None:
            return None
        try:
            token = msgspec.json.decode(saved, type=Token)
        except (msgspec.MsgspecError, ValueError):
            log.warning("cloud.saved_token_unreadable")
            return None
        is_ours = (token.client_id, token.username) == (
            self._account.client_id,
            self._account.username,
        )
        return token if is_ours and token.expires_at.tzinfo is not None else None
