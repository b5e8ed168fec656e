"""A fake of the vendor's cloud: a real HTTP server on loopback with the real one's habits.

``python -m ttlock_agent.fakes.cloud [--port 0] [--state FILE.json]`` prints one JSON line
``{"event":"ready","base_url":"http://127.0.0.1:PORT"}`` and serves until SIGTERM or SIGINT.

The state file is read once and never written. It is one JSON object with the fields of
``cloud_state.World``; every field may be left out except those that name a thing. Times are
RFC 3339 with an offset, keys of ``last_heard`` are lock ids as text::

    {"accounts": [{"username": "host@example.org", "password_md5": "<32 hex digits>",
                   "client_id": "demo-client", "client_secret": "demo-secret"}],
     "locks": [{"lock_id": 1000001, "account": "host@example.org", "name": "SN000_a1b2c3",
                "mac": "02:00:00:A1:B2:C3", "memory": [{"digits": "1123334"}],
                "listed": [{"passcode_id": 1, "digits": "555666", "cloud_type": 2,
                            "sent_at": "2026-12-01T10:00:00Z"}]}],
     "gateways": [{"gateway_id": 2000001, "account": "host@example.org", "name": "ruveno g2",
                   "mac": "02:00:00:D4:E5:F6", "last_heard": {"1000001": {"rssi_dbm": -71}}}],
     "faults": [{"kind": "lost", "path": "/v3/keyboardPwd/add"}]}

Without a file the state is ``cloud_state.example_world()``. The fault above is the field case: the
cloud answers success, the gateway is online, and the lock's memory gets nothing.

Admin API, JSON in and the whole state out (fields: ``cloud_admin``; HTTP 400 for a bad change):
``GET /_fake/state``, ``POST /_fake/faults``, ``DELETE /_fake/faults``, ``POST /_fake/gateway``,
``POST /_fake/lock``, ``POST /_fake/tokens``, ``POST /_fake/settings``. It has no password: the
server listens on loopback only.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import msgspec
from aiohttp import web

from ttlock_agent.clock import Clock, SystemClock
from ttlock_agent.fakes.cloud_admin import Admin
from ttlock_agent.fakes.cloud_api import FakeApi
from ttlock_agent.fakes.cloud_callbacks import Caller
from ttlock_agent.fakes.cloud_memory import LockMemory
from ttlock_agent.fakes.cloud_state import FaultKind, World, example_world
from ttlock_agent.fakes.cloud_wire import lock_id_of, shaped

HOST = "127.0.0.1"


class FakeCloud:
    """The server, as an async context manager.

    ``memories`` puts something real behind the gateway of a lock, by lock id; the others keep
    their memory in the state.
    """

    def __init__(
        self,
        world: World,
        *,
        clock: Clock,
        memories: Mapping[int, LockMemory] | None = None,
        port: int = 0,
    ) -> None:
        self.world = world
        self.admin = Admin(world, clock)
        self.caller = Caller(world)
        """Posts callbacks to ``world.callback_url``."""
        self.base_url = ""
        self._api = FakeApi(world, clock=clock, memories=memories)
        self._clock = clock
        self._port = port
        self._closing = asyncio.Event()
        app = web.Application()
        app.add_routes(self.admin.routes())
        app.add_routes([web.route("*", "/{path:.*}", self._handle)])
        self._runner = web.AppRunner(app, access_log=None)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        site = web.TCPSite(self._runner, HOST, self._port)
        await site.start()
        port = self._runner.addresses[0][1]
        self.base_url = f"http://{HOST}:{port}"
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._closing.set()
        await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.Response:
        path = request.path
        if not self._api.serves(path) or request.method not in ("GET", "POST"):
            return web.Response(status=404, text="not found")
        form = await request.post()
        params = {
            **request.query,
            **{key: value for key, value in form.items() if isinstance(value, str)},
        }
        fault = self.world.take_fault(
            FaultKind.SLOW,
            FaultKind.SILENT,
            FaultKind.DROPPED,
            FaultKind.RAW,
            path=path,
            lock_id=lock_id_of(params),
            now=self._api.now(),
        )
        kind = fault.kind if fault is not None else None
        if fault is not None and kind is FaultKind.RAW:
            return web.Response(status=fault.status, text=fault.body)
        if kind is FaultKind.DROPPED:
            return self._hang_up(request)
        answer = await self._api.answer(path, params)
        if fault is not None and kind is FaultKind.SLOW:
            await self._clock.sleep(fault.delay_s)
        if kind is FaultKind.SILENT:
            await self._closing.wait()
        return web.json_response(
            shaped(
                answer,
                numbers_as_strings=self.world.numbers_as_strings,
                extra_fields=self.world.extra_fields,
            )
        )

    def _hang_up(self, request: web.Request) -> web.Response:
        if request.transport is not None:
            request.transport.abort()
        return web.Response()


async def serve(world: World, *, port: int) -> None:
    """Serve until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with FakeCloud(world, clock=SystemClock(), port=port) as cloud:
        ready = msgspec.json.encode({"event": "ready", "base_url": cloud.base_url})
        sys.stdout.write(ready.decode() + "\n")
        sys.stdout.flush()
        await stop.wait()


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the fake."""
    parser = argparse.ArgumentParser(prog="python -m ttlock_agent.fakes.cloud")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--state", type=Path, help="JSON file, see the module's text")
    options = parser.parse_args(argv)
    try:
        world = (
            msgspec.json.decode(options.state.read_bytes(), type=World)
            if options.state
            else example_world()
        )
    except (OSError, msgspec.MsgspecError) as error:
        parser.error(f"the state file cannot be used: {error}")
    asyncio.run(serve(world, port=options.port))


if __name__ == "__main__":
    main()
