"""Receives the cloud's callbacks: records of locks, and gateways that come and go.

The cloud signs nothing. What keeps others out is a path that nobody can guess, so it is a secret;
and what comes in is evidence, never a command: digits that nobody lists lead to nothing.
"""

from __future__ import annotations

import asyncio
import hmac
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
import structlog
from aiohttp import web

from ttlock_agent.cloud.answer import Fields, not_the_api
from ttlock_agent.cloud.errors import CloudUnreachable
from ttlock_agent.cloud.models import LockRecord
from ttlock_agent.errors import ConfigError, JournalError
from ttlock_agent.limits import time_limit
from ttlock_agent.watch.watch import GatewayWatch

log = structlog.get_logger()

MAX_BODY_BYTES: Final = 512 * 1024
"""A gateway that was away hands on up to 500 records at once, each some 300 bytes."""
MAX_RECORDS: Final = 1000
BODY_TIMEOUT_S: Final = 10.0
MAX_AT_ONCE: Final = 4
SUCCESS: Final = "success"
"""What the cloud wants to read; anything else it may send again."""
_PATH: Final = re.compile(r"[a-zA-Z0-9_-]{16,128}")
_RECORDS: Final = 1
_GATEWAY: Final = 2


def checked_path(secret: str) -> str:
    """Return the path; raises ``ConfigError`` for one that could be guessed."""
    if not _PATH.fullmatch(secret):
        raise ConfigError(
            "watch.callbacks.path is not 16 to 128 letters, digits, - and _.",
            hint="Make one with `head -c 24 /dev/urandom | base64 | tr +/ -_`.",
        )
    return secret


class Callbacks:
    """Handles what the cloud posts."""

    def __init__(self, watch: GatewayWatch, path: str) -> None:
        self._watch = watch
        self._path = path.encode()
        self._room = asyncio.Semaphore(MAX_AT_ONCE)
        self.received = 0
        self.refused = 0

    def figures(self) -> dict[str, Any]:
        """Return how many came, for a status."""
        return {"callbacks": {"received": self.received, "refused": self.refused}}

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one request."""
        path = request.path.removeprefix("/").encode()
        if not hmac.compare_digest(path, self._path) or request.method != "POST":
            self.refused += 1
            return web.Response(status=404)
        async with self._room:
            try:
                async with time_limit(BODY_TIMEOUT_S):
                    form = await request.post()
            except (TimeoutError, ValueError, web.HTTPException):
                self.refused += 1
                return web.Response(status=400)
            fields = {key: value for key, value in form.items() if isinstance(value, str)}
            try:
                await self._take(Fields(fields, "callback"))
            except CloudUnreachable as error:
                # It will be no better the next time.
                log.warning("callback_not_understood", reason=error.message)
            except JournalError as error:
                log.warning("callback_not_kept", code=error.code)
                return web.Response(status=503)
        self.received += 1
        return web.Response(text=SUCCESS)

    async def _take(self, fields: Fields) -> None:
        kind = fields.maybe_integer("notifyType")
        if kind == _RECORDS:
            lock_id = fields.integer("lockId")
            await self._watch.put_records(lock_id, _records(fields, lock_id))
        elif kind == _GATEWAY:
            await self._watch.put_gateway_state(
                fields.maybe_integer("gatewayId"),
                fields.label("gatewayName"),
                is_online=fields.integer("isOnline") == 1,
            )
        log.debug("callback", kind=kind)


def _records(fields: Fields, lock_id: int) -> list[LockRecord]:
    try:
        decoded = msgspec.json.decode(fields.text("records"), type=list[dict[str, Any]])
    except (msgspec.MsgspecError, RecursionError, ValueError):
        raise not_the_api("callback has no usable records") from None
    # A callback's records have no id; the moment is one of the lock's own.
    return [
        LockRecord.from_answer(Fields({"recordId": row.get("lockDate"), **row}, "record"), lock_id)
        for row in decoded[:MAX_RECORDS]
    ]


@asynccontextmanager
async def serve_callbacks(callbacks: Callbacks, *, host: str, port: int) -> AsyncGenerator[int]:
    """Listen for as long as the context lasts; gives the port. Raises ``ConfigError``.

    No access log: the path is the secret.
    """
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app.router.add_route("*", "/{path:.*}", callbacks.handle)
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise ConfigError(
                f"Callbacks cannot be received on {host}, port {port}: {error.strerror}.",
                hint="Choose another address or port in watch.callbacks.",
            ) from error
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()
