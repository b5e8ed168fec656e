"""The running agent says how its adapter is: to the broker, on its socket, and in its log."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest

from agent_site import LOCK, TOPICS, Caller, Site, empty_site, wait_until

from .air import AirLock
from .fake_bluez import FIRST_ADDRESS, FakeBluez
from .rigs import KEYS, MAC, new_virtual_lock


class Bluetooth:
    """A fake BlueZ with one lock in range, in a thread with a loop of its own."""

    def __init__(self) -> None:
        self.bluez = FakeBluez()
        self.air = AirLock(new_virtual_lock())
        self.bluez.locks.append(self.air)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self) -> None:
        self._thread.start()
        self.do(self._start())

    def stop(self) -> None:
        self.do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def now(self, act: Callable[..., None], *arguments: Any) -> None:
        async def run() -> None:
            act(*arguments)

        self.do(run())

    async def _start(self) -> None:
        self.air.start()
        await self.bluez.start()

    async def _stop(self) -> None:
        await self.bluez.kill()
        await self.air.stop()


@contextmanager
def house() -> Iterator[tuple[Site, Bluetooth, Caller]]:
    """A running agent with a real Bluetooth link, on the fake BlueZ."""
    bluetooth = Bluetooth()
    bluetooth.start()
    try:
        with empty_site() as site:
            site.broker.start()
            site.furnish(lock={"address": MAC}, keys=KEYS)
            site.start_agent()
            yield site, bluetooth, site.caller()
    finally:
        bluetooth.stop()


def await_health(caller: Caller, state: str, *, after: int = 0) -> dict[str, Any]:
    """Return the first ``health`` from the ``after``-th message on whose adapter is so."""
    return caller.await_message(
        lambda heard: (
            heard.topic == TOPICS.health
            and [each["state"] for each in heard.body["adapters"]] == [state]
        ),
        after=after,
    ).body


def status_of(site: Site, *options: str) -> str:
    command = [sys.executable, "-m", "ttlock_agent", "status", "--socket", site.control_socket]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.usefixtures("bus")
def test_an_adapter_that_is_unplugged_is_told_everywhere_and_comes_back() -> None:
    with house() as (site, bluetooth, caller):
        first = await_health(caller, "usable")
        assert first["adapters"][0]["address"] == FIRST_ADDRESS
        assert first["journal_trouble"] is None
        said = len(caller.heard)
        bluetooth.now(bluetooth.bluez.remove_adapter, "hci0")
        gone = await_health(caller, "missing", after=said)["adapters"][0]
        assert gone["hint"]
        assert gone["recovery"] == dict.fromkeys(gone["recovery"], 0)
        assert json.loads(status_of(site, "--json"))["adapters"] == [gone]
        text = status_of(site)
        assert f"adapter hci0 ({FIRST_ADDRESS}): missing since {gone['since']}" in text
        assert gone["hint"] in text

        caller.ask("passcode.add", "b-1", passcode="482913")
        waiting = wait_until(lambda: site.status()["open_jobs"], "the job")
        wait_until(lambda: "waiting" in site.status()["open_jobs"][0], "its reason")
        assert waiting[0]["lock"] == LOCK
        bluetooth.now(bluetooth.bluez.add_adapter, "hci0", FIRST_ADDRESS)
        await_health(caller, "usable", after=said + 1)
        assert caller.answer("passcode.add", "b-1")["result"] == "proved"

        lines = [json.loads(line) for line in site.log("agent").splitlines()]
        events = [line for line in lines if line["event"] in {"adapter_usable", "adapter_unusable"}]
        assert [(line["event"], line.get("problem")) for line in events] == [
            ("adapter_usable", None),
            ("adapter_unusable", "missing"),
            ("adapter_usable", None),
        ]


@pytest.mark.usefixtures("bus")
def test_health_is_said_once_and_again_to_a_broker_that_has_forgotten_it() -> None:
    with house() as (site, bluetooth, caller):
        await_health(caller, "usable")
        caller.ask("lock.state", "s-1")
        caller.answer("lock.state", "s-1")
        states = [heard for heard in caller.heard if heard.topic == TOPICS.health]
        bodies = [{k: v for k, v in heard.body.items() if k != "as_of"} for heard in states]
        assert all(before != now for before, now in pairwise(bodies))
        site.broker.kill()
        bluetooth.now(bluetooth.bluez.set_powered, False)
        site.broker.start()
        late = site.caller()
        await_health(late, "powered_off")
