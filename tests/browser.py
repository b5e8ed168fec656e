"""A real browser without a screen, spoken to by its DevTools protocol."""

from __future__ import annotations

import asyncio
import base64
import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PATIENCE_S = 90.0
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--remote-debugging-port=0",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the browser made of a page."""

    complaints: list[str]
    """Console messages, errors and blocked things."""
    requests: list[str]
    """Addresses that it asked for."""
    text: str
    screenshot: bytes
    pdf: bytes


async def look_at(page: Path, *, width: int = 900) -> Seen:
    """Open ``page`` as a person would, take a picture, print it on A4."""
    async with _browser() as tab:
        for domain in ("Page", "Runtime", "Log", "Network"):
            await tab.call(f"{domain}.enable")
        await tab.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=1200, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip
        await tab.call("Page.navigate", url=page.as_uri())
        await tab.wait_for("Page.loadEventFired")
        text = await tab.call("Runtime.evaluate", expression="document.body.innerText")
        picture = await tab.call("Page.captureScreenshot", captureBeyondViewport=True)
        pdf = await tab.call(
            "Page.printToPDF",
            preferCSSPageSize=True,
            printBackground=True,
            displayHeaderFooter=False,
        )
        return Seen(
            complaints=tab.complaints,
            requests=tab.requests,
            text=text["result"]["value"],
            screenshot=base64.b64decode(picture["data"]),
            pdf=base64.b64decode(pdf["data"]),
        )


@asynccontextmanager
async def _browser() -> AsyncIterator[_Tab]:
    assert CHROMIUM is not None
    async with AsyncExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        process = await asyncio.create_subprocess_exec(
            CHROMIUM, *_FLAGS, f"--user-data-dir={place}", "about:blank",
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        stack.push_async_callback(_end, process)
        async with asyncio.timeout(PATIENCE_S):
            port_file = place / "DevToolsActivePort"
            while not port_file.exists() or "\n" not in port_file.read_text():
                await asyncio.sleep(0.05)
            port = port_file.read_text().split("\n")[0]
        http = await stack.enter_async_context(aiohttp.ClientSession())
        async with http.get(f"http://127.0.0.1:{port}/json") as answer:
            tabs = await answer.json()
        address = next(each["webSocketDebuggerUrl"] for each in tabs if each["type"] == "page")
        socket = await stack.enter_async_context(http.ws_connect(address, max_msg_size=1 << 28))
        yield _Tab(socket)


async def _end(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
    await process.wait()


class _Tab:
    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._events: list[str] = []
        self.complaints: list[str] = []
        self.requests: list[str] = []

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": params})
        async with asyncio.timeout(PATIENCE_S):
            while True:
                message = await self._socket.receive_json()
                if message.get("id") == number:
                    assert "error" not in message, message
                    result: dict[str, Any] = message["result"]
                    return result
                self._note(message)

    async def wait_for(self, event: str) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while event not in self._events:
                self._note(await self._socket.receive_json())

    def _note(self, message: dict[str, Any]) -> None:
        method, params = message.get("method", ""), message.get("params", {})
        self._events.append(method)
        if method in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"):
            self.complaints.append(str(params))
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
