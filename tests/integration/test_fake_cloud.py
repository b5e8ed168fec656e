"""The fake cloud as the demo uses it: another process, plain HTTP, faults by its admin door."""

from __future__ import annotations

import asyncio
import hashlib
import json
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from ttlock_agent.clock import SystemClock
from ttlock_agent.fakes.cloud import FakeCloud
from ttlock_agent.fakes.cloud_state import MemoryPasscode, Refusal, example_world

LOCK = 1000001
GATEWAY = 2000001
STOP_TIMEOUT_S = 20


class Api:
    """The Open API and the admin API, spoken by hand so that the fake is not its own judge."""

    def __init__(self, http: aiohttp.ClientSession, base_url: str) -> None:
        self._http = http
        self._base_url = base_url
        self._token = ""

    async def log_in(self) -> dict[str, Any]:
        form = {
            "clientId": "demo-client",
            "clientSecret": "demo-secret",
            "username": "host@example.org",
            "password": hashlib.md5(b"demo-password").hexdigest(),
        }
        async with self._http.post(self._base_url + "/oauth2/token", data=form) as response:
            answer: dict[str, Any] = await response.json()
        self._token = answer["access_token"]
        return answer

    async def call(self, path: str, *, method: str = "POST", **params: object) -> dict[str, Any]:
        common = {"clientId": "demo-client", "accessToken": self._token}
        form = {**common, "date": str(int(time.time() * 1000))}
        form |= {key: str(value) for key, value in params.items()}
        where = {"params": form} if method == "GET" else {"data": form}
        async with self._http.request(method, self._base_url + path, **where) as response:
            assert response.status == 200
            answer: dict[str, Any] = await response.json()
            return answer

    async def add(self, digits: str, **params: object) -> dict[str, Any]:
        return await self.call(
            "/v3/keyboardPwd/add",
            lockId=LOCK,
            keyboardPwd=digits,
            **{"keyboardPwdType": 2, "addType": 2, **params},
        )

    async def admin(
        self, path: str, body: object = None, *, method: str = "POST", status: int = 200
    ) -> dict[str, Any]:
        url = self._base_url + "/_fake/" + path
        async with self._http.request(method, url, json=body) as response:
            assert response.status == status
            answer: dict[str, Any] = await response.json()
            return answer


@asynccontextmanager
async def process(*arguments: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ttlock_agent.fakes.cloud", "--port", "0", *arguments),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert child.stdout is not None
        ready = json.loads(await child.stdout.readline())
        assert ready["event"] == "ready"
        yield child, ready["base_url"]
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with (
        FakeCloud(example_world(), clock=SystemClock()) as cloud,
        aiohttp.ClientSession() as http,
    ):
        made = Api(http, cloud.base_url)
        await made.log_in()
        yield made


def memory(state: dict[str, Any]) -> list[str]:
    return [held["digits"] for held in state["locks"][0]["memory"]]


def listed(state: dict[str, Any]) -> list[str]:
    return [entry["digits"] for entry in state["locks"][0]["listed"]]


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
async def test_the_field_case_in_another_process(tmp_path: Path, stop: signal.Signals) -> None:
    world = {
        "accounts": [
            {
                "username": "host@example.org",
                "password_md5": hashlib.md5(b"demo-password").hexdigest(),
                "client_id": "demo-client",
                "client_secret": "demo-secret",
            }
        ],
        "locks": [
            {
                "lock_id": LOCK,
                "account": "host@example.org",
                "name": "SN000_a1b2c3",
                "mac": "02:00:00:A1:B2:C3",
                "memory": [{"digits": "1123334"}],
            }
        ],
        "gateways": [
            {
                "gateway_id": GATEWAY,
                "account": "host@example.org",
                "name": "ruveno g2",
                "mac": "02:00:00:D4:E5:F6",
                "last_heard": {str(LOCK): {"rssi_dbm": -71}},
            }
        ],
        "faults": [{"kind": "lost", "path": "/v3/keyboardPwd/add"}],
    }
    state_file = tmp_path / "world.json"
    state_file.write_text(json.dumps(world))
    async with (
        process("--state", str(state_file)) as (child, base_url),
        aiohttp.ClientSession() as http,
    ):
        api = Api(http, base_url)
        await api.log_in()
        for digits in ("555666", "777888", "999000"):
            assert "keyboardPwdId" in await api.add(digits)
        gateways = await api.call("/v3/gateway/list", method="GET")
        assert gateways["list"][0]["isOnline"] == 1
        state = await api.admin("state", method="GET")
        assert listed(state) == ["555666", "777888", "999000"]
        assert memory(state) == ["1123334"]
        await api.admin("faults", method="DELETE")
        await api.add("246810")
        assert memory(await api.admin("state", method="GET")) == ["1123334", "246810"]
        child.send_signal(stop)
        assert await asyncio.wait_for(child.wait(), STOP_TIMEOUT_S) == 0
    assert json.loads(state_file.read_text()) == world


@pytest.mark.parametrize(
    ("content", "named"), [('{"locks": [{}]}', b"$.locks[0]"), ('{"lokcs": []}', b"lokcs")]
)
async def test_a_bad_state_file_is_named(tmp_path: Path, content: str, named: bytes) -> None:
    state_file = tmp_path / "world.json"
    state_file.write_text(content)
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ttlock_agent.fakes.cloud", "--state", str(state_file)),
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await child.communicate()
    assert child.returncode == 2
    assert named in errors


async def test_reads_come_by_get_and_by_post(api: Api) -> None:
    for method in ("GET", "POST"):
        answer = await api.call("/v3/lock/detail", method=method, lockId=LOCK)
        assert answer["lockId"] == LOCK
        assert "errcode" not in answer


async def test_paging(api: Api) -> None:
    for number in range(5):
        await api.add(f"2468{number}")
    first = await api.call("/v3/lock/listKeyboardPwd", lockId=LOCK, pageNo=1, pageSize=2)
    last = await api.call("/v3/lock/listKeyboardPwd", lockId=LOCK, pageNo=3, pageSize=2)
    assert (first["pages"], first["total"], len(first["list"]), len(last["list"])) == (3, 5, 2, 1)
    answer = await api.call("/v3/lock/listKeyboardPwd", lockId=LOCK, pageSize=201)
    assert answer["errcode"] == -3


async def test_a_call_without_a_right_token_date_or_lock(api: Api) -> None:
    detail = "/v3/lock/detail"
    assert (await api.call(detail, lockId=LOCK, accessToken="x"))["errcode"] == 10003
    assert (await api.call(detail, lockId=LOCK, clientId="x"))["errcode"] == 10000
    assert (await api.call(detail, lockId=LOCK, date=0))["errcode"] == 80000
    assert (await api.call(detail, lockId=LOCK, date="now"))["errcode"] == -3
    assert (await api.call(detail, lockId=1))["errcode"] == -1003
    assert (await api.call(detail, lockId="front"))["errcode"] == -3


async def test_a_password_in_clear(api: Api) -> None:
    answer = await api.call("/oauth2/token", clientSecret="demo-secret", password="demo-password")
    assert answer["errcode"] == 30005


async def test_somebody_elses_lock() -> None:
    world = example_world()
    world.locks[0].account = "neighbour@example.org"
    async with (
        FakeCloud(world, clock=SystemClock()) as cloud,
        aiohttp.ClientSession() as http,
    ):
        api = Api(http, cloud.base_url)
        await api.log_in()
        assert (await api.call("/v3/lock/detail", lockId=LOCK))["errcode"] == 20002


async def test_a_half_given_window_changes_nothing(api: Api) -> None:
    passcode_id = (await api.add("246810"))["keyboardPwdId"]
    before = await api.admin("state", method="GET")
    answer = await api.call(
        "/v3/keyboardPwd/change",
        lockId=LOCK,
        keyboardPwdId=passcode_id,
        startDate=1796126400000,
        changeType=2,
    )
    assert answer["errcode"] == 0
    assert (await api.admin("state", method="GET"))["locks"] == before["locks"]


async def test_updating_the_clock_through_the_gateway(api: Api) -> None:
    await api.admin("lock", {"lock_id": LOCK, "clock_error_s": -25200})
    before = await api.call("/v3/lock/queryDate", lockId=LOCK)
    await api.call("/v3/lock/updateDate", lockId=LOCK)
    after = await api.call("/v3/lock/queryDate", lockId=LOCK)
    assert 25_190_000 < after["date"] - before["date"] < 25_260_000


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("gateway", {"gateway_id": 5}),
        ("gateway", {"gateway_id": GATEWAY, "tcp_upp": True}),
        ("lock", {"lock_id": 5}),
        ("faults", {"faults": [{"kind": "gremlin"}]}),
        ("settings", {"region": 5}),
        ("tokens", []),
    ],
)
async def test_admin_changes_that_make_no_sense(api: Api, path: str, body: object) -> None:
    before = await api.admin("state", method="GET")
    assert "error" in await api.admin(path, body, status=400)
    assert await api.admin("state", method="GET") == before


async def test_admin_changes(api: Api) -> None:
    state = await api.admin(
        "gateway",
        {"gateway_id": GATEWAY, "hears": {str(LOCK): -90}, "busy_for_s": 30, "radio_up": False},
    )
    [gateway] = state["gateways"]
    assert gateway["last_heard"] == {str(LOCK): {"rssi_dbm": -90, "at": None}}
    assert gateway["busy_until"] is not None
    assert gateway["radio_down_at"] is not None
    state = await api.admin("gateway", {"gateway_id": GATEWAY, "radio_up": True})
    assert state["gateways"][0]["radio_down_at"] is None
    state = await api.admin("settings", {"monthly_quota": 7, "extra_fields": True})
    assert (state["monthly_quota"], state["extra_fields"], state["region"]) == (7, True, "eu")
    state = await api.admin("faults", {"faults": [{"kind": "errcode", "times": 1}], "for_s": 60})
    assert state["faults"][0]["until"] is not None
    assert (await api.call("/v3/gateway/list"))["errcode"] == 1
    assert "list" in await api.call("/v3/gateway/list")
    state = await api.admin("lock", {"lock_id": LOCK, "wipe_memory": True, "memory_capacity": 3})
    assert (memory(state), state["locks"][0]["memory_capacity"]) == ([], 3)


class RealMemory:
    """What will be a gateway with a virtual lock: anything behind the port."""

    def __init__(self) -> None:
        self.held: dict[str, MemoryPasscode] = {}
        self.clock_at = datetime(2026, 1, 1, tzinfo=UTC)

    async def add(self, passcode: MemoryPasscode) -> None:
        if passcode.digits == "13579":
            raise Refusal(-3009)
        self.held[passcode.digits] = passcode

    async def delete(self, digits: str) -> None:
        self.held.pop(digits, None)

    async def change(self, digits: str, passcode: MemoryPasscode) -> None:
        del self.held[digits]
        self.held[passcode.digits] = passcode

    async def read_clock(self) -> datetime:
        return self.clock_at

    async def set_clock(self, moment: datetime) -> None:
        self.clock_at = moment


async def test_something_real_behind_the_gateway() -> None:
    lock = RealMemory()
    async with (
        FakeCloud(example_world(), clock=SystemClock(), memories={LOCK: lock}) as cloud,
        aiohttp.ClientSession() as http,
    ):
        api = Api(http, cloud.base_url)
        await api.log_in()
        passcode_id = (await api.add("246810"))["keyboardPwdId"]
        assert list(lock.held) == ["246810"]
        assert (await api.call("/v3/lock/queryDate", lockId=LOCK))["date"] == 1767225600000
        assert (await api.add("13579"))["errcode"] == -3009
        await api.call(
            "/v3/keyboardPwd/delete", lockId=LOCK, keyboardPwdId=passcode_id, deleteType=2
        )
        assert lock.held == {}
        assert [held.digits for held in cloud.world.locks[0].memory] == ["1123334"]
