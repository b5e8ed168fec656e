"""The client against the fake cloud, over real HTTP on loopback."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from ttlock_agent.cloud.client import CloudClient, Via, open_cloud
from ttlock_agent.cloud.codes import ERROR_ROWS
from ttlock_agent.cloud.errors import (
    CloudError,
    CloudMisconfigured,
    CloudProblem,
    CloudRefused,
    CloudUnreachable,
    ErrorClass,
    QuotaExhausted,
    error_row,
)
from ttlock_agent.cloud.models import PasscodeKind, PasscodeStatus
from ttlock_agent.cloud.ports import MemoryStore
from ttlock_agent.cloud.quota import QuotaBudget
from ttlock_agent.cloud.token import CloudAccount
from ttlock_agent.errors import ConfigError
from ttlock_agent.fakes.cloud import FakeCloud
from ttlock_agent.fakes.cloud_admin import Faults, GatewayChange, Settings, TokenChange
from ttlock_agent.fakes.cloud_memory import StateMemory
from ttlock_agent.fakes.cloud_state import (
    Fault,
    FaultKind,
    Gateway,
    ListedPasscode,
    MemoryPasscode,
    Record,
    Sighting,
    World,
    example_world,
)

LOCK = 1000001
GATEWAY = 2000001
START = datetime(2026, 12, 1, 12, 0, tzinfo=UTC)
FROM, UNTIL = START + timedelta(hours=3), START + timedelta(days=4)
TOKEN = "/oauth2/token"
LIST = "/v3/lock/listKeyboardPwd"
ADD = "/v3/keyboardPwd/add"
QUERY = "/v3/lock/queryDate"

ACCOUNT = CloudAccount.with_password(
    client_id="demo-client",
    client_secret="demo-secret",
    username="host@example.org",
    password="demo-password",
)


class HeldClock:
    """Time that moves only when told."""

    def __init__(self) -> None:
        self.moment = START
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


class Bench:
    """Fake cloud, clock, stores, and clients of them."""

    def __init__(self, cloud: FakeCloud, clock: HeldClock, http: aiohttp.ClientSession) -> None:
        self.cloud = cloud
        self.world: World = cloud.world
        self.clock = clock
        self.tokens = MemoryStore()
        self.calls = MemoryStore()
        self._http = http
        self.client = self.new_client()

    def new_client(
        self,
        *,
        account: CloudAccount = ACCOUNT,
        limit: int = 30_000,
        timeout_s: float = 20.0,
        gateway_timeout_s: float | None = None,
        base_url: str | None = None,
    ) -> CloudClient:
        return CloudClient(
            http=self._http,
            base_url=base_url or self.cloud.base_url,
            account=account,
            clock=self.clock,
            token_store=self.tokens,
            budget=QuotaBudget(monthly_limit=limit, store=self.calls),
            database_timeout_s=timeout_s,
            gateway_timeout_s=gateway_timeout_s or timeout_s,
        )

    def fail(self, **fault: object) -> None:
        self.world.faults.append(msgspec.convert(fault, Fault))

    def counted(self, path: str) -> int:
        return self.world.calls.get(path, 0)

    def memory(self) -> list[str]:
        return [held.digits for held in self.world.locks[0].memory]

    def listed(self) -> list[str]:
        return [entry.digits for entry in self.world.locks[0].listed]


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    clock = HeldClock()
    async with (
        FakeCloud(example_world(), clock=clock) as cloud,
        aiohttp.ClientSession() as http,
    ):
        yield Bench(cloud, clock, http)


async def add(bench: Bench, digits: str = "555666", via: Via = Via.GATEWAY) -> int:
    return await bench.client.add_passcode(
        LOCK, digits, kind=PasscodeKind.PERIOD, via=via, valid_from=FROM, valid_until=UNTIL
    )


# --- passcodes -----------------------------------------------------------------------------------


async def test_a_passcode_through_the_gateway_is_listed_and_in_memory(bench: Bench) -> None:
    passcode_id = await bench.client.add_passcode(
        LOCK,
        "004711",
        kind=PasscodeKind.PERIOD,
        via=Via.GATEWAY,
        valid_from=FROM,
        valid_until=UNTIL,
        name="booking 8841",
    )
    [code] = await bench.client.list_passcodes(LOCK)
    assert (code.passcode_id, code.digits, code.name) == (passcode_id, "004711", "booking 8841")
    assert (code.kind, code.cloud_type, code.is_custom) == (PasscodeKind.PERIOD, 3, True)
    assert (code.valid_from, code.valid_until, code.sent_at) == (FROM, UNTIL, START)
    assert code.status is PasscodeStatus.NORMAL
    assert bench.memory() == ["1123334", "004711"]


async def test_a_passcode_done_over_bluetooth_is_only_recorded(bench: Bench) -> None:
    await add(bench, via=Via.DONE_OVER_BLUETOOTH)
    assert bench.listed() == ["555666"]
    assert bench.memory() == ["1123334"]


async def test_field_case_1_the_cloud_lists_what_the_lock_never_got(bench: Bench) -> None:
    bench.fail(kind="lost", path=ADD)
    for digits in ("555666", "777888", "999000"):
        await add(bench, digits)
    codes = await bench.client.list_passcodes(LOCK)
    assert {code.digits for code in codes} == {"555666", "777888", "999000"}
    assert bench.memory() == ["1123334"]
    [gateway] = await bench.client.gateways()
    assert (gateway.name, gateway.is_online) == ("ruveno g2", True)
    [near] = await bench.client.gateways_of_lock(LOCK)
    assert (near.gateway_id, near.rssi_dbm, near.rssi_updated_at) == (GATEWAY, -71, START)


async def test_a_permanent_passcode_goes_without_dates(bench: Bench) -> None:
    await bench.client.add_passcode(LOCK, "777888", kind=PasscodeKind.PERMANENT, via=Via.GATEWAY)
    [code] = await bench.client.list_passcodes(LOCK)
    assert (code.kind, code.valid_from, code.valid_until) == (PasscodeKind.PERMANENT, None, None)


async def test_a_period_without_an_end_is_our_mistake(bench: Bench) -> None:
    with pytest.raises(ValueError, match="valid_until"):
        await bench.client.add_passcode(
            LOCK, "777888", kind=PasscodeKind.PERIOD, via=Via.GATEWAY, valid_from=FROM
        )
    assert bench.world.calls == {}


async def test_a_kind_that_cannot_be_custom_is_our_mistake(bench: Bench) -> None:
    with pytest.raises(ValueError, match="permanent and period"):
        await bench.client.add_passcode(LOCK, "777888", kind=PasscodeKind.ERASE, via=Via.GATEWAY)


@pytest.mark.parametrize("via", list(Via))
async def test_delete(bench: Bench, via: Via) -> None:
    passcode_id = await add(bench)
    await bench.client.delete_passcode(LOCK, passcode_id, via=via)
    assert bench.listed() == []
    assert ("555666" in bench.memory()) is (via is Via.DONE_OVER_BLUETOOTH)
    await bench.client.delete_passcode(LOCK, passcode_id, via=via)  # gone already: still a yes


async def test_change(bench: Bench) -> None:
    passcode_id = await add(bench)
    later = (FROM + timedelta(days=1), UNTIL + timedelta(days=1))
    await bench.client.change_passcode(
        LOCK, passcode_id, via=Via.GATEWAY, new_digits="777888", window=later
    )
    [code] = await bench.client.list_passcodes(LOCK)
    assert (code.digits, code.valid_from, code.valid_until) == ("777888", *later)
    assert bench.world.locks[0].memory[-1] == MemoryPasscode(
        digits="777888", cloud_type=3, valid_from=later[0], valid_until=later[1]
    )


async def test_rename_leaves_the_lock_alone(bench: Bench) -> None:
    passcode_id = await add(bench)
    bench.cloud.admin.change_gateway(GatewayChange(gateway_id=GATEWAY, tcp_up=False, for_s=600))
    await bench.client.rename_passcode(LOCK, passcode_id, "cleaner")
    [code] = await bench.client.list_passcodes(LOCK)
    assert code.name == "cleaner"


async def test_changing_nothing_is_our_mistake(bench: Bench) -> None:
    with pytest.raises(ValueError, match="nothing"):
        await bench.client.change_passcode(LOCK, 1, via=Via.GATEWAY)


async def test_kinds_follow_the_clouds_numbers(bench: Bench) -> None:
    numbers = {1: "one_time", 2: "permanent", 3: "period", 4: "erase", 5: "cyclic", 14: "cyclic"}
    bench.world.locks[0].listed = [
        ListedPasscode(passcode_id=n, digits=f"9{n:05}", sent_at=START, cloud_type=n)
        for n in (*numbers, 99)
    ]
    codes = await bench.client.list_passcodes(LOCK)
    assert {c.cloud_type: c.kind for c in codes} == {**numbers, 99: "other"}


async def test_all_pages_are_read(bench: Bench) -> None:
    bench.world.locks[0].listed = [
        ListedPasscode(passcode_id=n, digits=f"{n:06}", sent_at=START + timedelta(seconds=n))
        for n in range(450)
    ]
    codes = await bench.client.list_passcodes(LOCK)
    assert sorted(code.passcode_id for code in codes) == list(range(450))
    assert bench.counted(LIST) == 3


async def test_an_entry_that_comes_on_two_pages_counts_once(bench: Bench) -> None:
    row = '{"keyboardPwdId": 1, "keyboardPwdType": 3, "keyboardPwd": "40404"}'
    bench.fail(kind="raw", path=LIST, body=f'{{"list": [{row}], "pages": 2}}')
    assert [code.passcode_id for code in await bench.client.list_passcodes(LOCK)] == [1]


async def test_an_empty_page_ends_the_list(bench: Bench) -> None:
    bench.fail(kind="raw", path=LIST, body='{"list": [], "pages": 9}')
    spent = await bench.client.budget.spent(bench.clock.now())
    assert await bench.client.list_passcodes(LOCK) == []
    assert await bench.client.budget.spent(bench.clock.now()) == spent + 2  # with the login


# --- other reads ---------------------------------------------------------------------------------


async def test_lock_detail_keeps_no_secret(bench: Bench) -> None:
    lock = bench.world.locks[0]
    lock.admin_passcode, lock.aes_key = "48151623", "00ff" * 8
    detail = await bench.client.lock_detail(LOCK)
    assert (detail.lock_id, detail.alias, detail.mac) == (LOCK, "Front door", lock.mac)
    assert (detail.timezone_offset_s, detail.auto_lock_delay_s) == (3600, 5)
    assert detail.features == 0xF44354CD5F3
    assert (detail.has_gateway, detail.firmware_revision) == (True, "6.5.20.240724")
    held = msgspec.json.encode(detail)
    assert b"48151623" not in held
    assert b"00ff" not in held


async def test_query_lock_clock_shows_the_drift(bench: Bench) -> None:
    bench.world.locks[0].clock_error_s = -7 * 3600
    assert await bench.client.query_lock_clock(LOCK) == START - timedelta(hours=7)


async def test_records_by_window_with_late_delivery(bench: Bench) -> None:
    def record(number: int, minute: int, late: int) -> Record:
        at = START + timedelta(minutes=minute)
        return Record(
            record_id=number,
            record_type=4,
            lock_record_type=7,
            lock_at=at,
            uploaded_at=at + timedelta(minutes=late),
            digits="555666",
            is_success=False,
        )

    bench.world.locks[0].records = [record(1, -90, 1), record(2, -20, 1), record(3, -10, 30)]
    found = await bench.client.lock_records(LOCK, since=START - timedelta(hours=1))
    assert [entry.record_id for entry in found] == [2]
    assert (found[0].digits, found[0].is_success, found[0].lock_record_type) == ("555666", False, 7)
    assert found[0].lock_at == START - timedelta(minutes=20)
    assert found[0].received_at == START - timedelta(minutes=19)
    before = await bench.client.lock_records(LOCK, until=START - timedelta(hours=1))
    assert [entry.record_id for entry in before] == [1]


async def test_numbers_as_text_and_unknown_fields_change_nothing(bench: Bench) -> None:
    await add(bench)
    plain = (
        await bench.client.list_passcodes(LOCK),
        await bench.client.gateways(),
        await bench.client.gateways_of_lock(LOCK),
        await bench.client.lock_detail(LOCK),
        await bench.client.query_lock_clock(LOCK),
    )
    bench.cloud.admin.change_settings(Settings(numbers_as_strings=True, extra_fields=True))
    assert plain == (
        await bench.client.list_passcodes(LOCK),
        await bench.client.gateways(),
        await bench.client.gateways_of_lock(LOCK),
        await bench.client.lock_detail(LOCK),
        await bench.client.query_lock_clock(LOCK),
    )
    with pytest.raises(CloudRefused) as caught:
        await add(bench)
    assert caught.value.errcode == -3007


# --- the path to the lock ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "errcode", "is_online"),
    [
        ({"tcp_up": False, "for_s": 60}, 1, True),
        ({"tcp_up": False, "for_s": 479}, 1, True),
        ({"tcp_up": False, "for_s": 480}, -3002, False),
        ({"tcp_up": False, "for_s": 1801}, -2012, False),
        ({"radio_up": False, "for_s": 60}, 1, True),
        ({"radio_up": False, "for_s": 1801}, -2012, True),
        ({"deaf_for_s": 1801}, -2012, True),
        ({"busy_for_s": 40}, -3003, True),
    ],
)
async def test_a_broken_path(
    bench: Bench, change: dict[str, float], errcode: int, is_online: bool
) -> None:
    bench.cloud.admin.change_gateway(
        msgspec.convert({"gateway_id": GATEWAY, **change}, GatewayChange)
    )
    with pytest.raises(CloudRefused) as caught:
        await add(bench)
    assert caught.value.errcode == errcode
    assert caught.value.retryable
    assert caught.value.row.error_class is (
        ErrorClass.RETRY if errcode == 1 else ErrorClass.PATH_BROKEN
    )
    assert [gateway.is_online for gateway in await bench.client.gateways()] == [is_online]
    near = await bench.client.gateways_of_lock(LOCK)
    assert bool(near) is (errcode != -2012)
    assert bench.listed() == []
    assert bench.memory() == ["1123334"]


async def test_memory_full(bench: Bench) -> None:
    bench.world.locks[0].memory_capacity = 1
    with pytest.raises(CloudRefused) as caught:
        await add(bench)
    assert caught.value.row.name == "passcode_space_full"
    assert not caught.value.retryable
    assert bench.listed() == []


@pytest.mark.parametrize(
    ("digits", "errcode"), [("123", -3006), ("0123456789", -3006), ("12345", -2032)]
)
async def test_digits_the_cloud_refuses(bench: Bench, digits: str, errcode: int) -> None:
    with pytest.raises(CloudRefused) as caught:
        await add(bench, digits)
    assert caught.value.errcode == errcode


class GatedMemory(StateMemory):
    """A lock that answers a clock query only when the test says so."""

    def __init__(self, world: World, clock: HeldClock) -> None:
        super().__init__(world.locks[0], clock)
        self.asked = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def read_clock(self) -> datetime:
        self.asked.set()
        await self.may_answer.wait()
        return await super().read_clock()


@pytest.fixture
async def gated() -> AsyncIterator[tuple[Bench, GatedMemory]]:
    clock, world = HeldClock(), example_world()
    memory = GatedMemory(world, clock)
    async with (
        FakeCloud(world, clock=clock, memories={LOCK: memory}) as cloud,
        aiohttp.ClientSession() as http,
    ):
        yield Bench(cloud, clock, http), memory


async def test_gateway_commands_take_turns(gated: tuple[Bench, GatedMemory]) -> None:
    bench, memory = gated
    async with asyncio.TaskGroup() as group:
        group.create_task(bench.client.query_lock_clock(LOCK))
        group.create_task(bench.client.query_lock_clock(LOCK))
        await memory.asked.wait()
        for _ in range(3):
            await bench.client.gateways()  # reads from the database need not wait
        assert bench.counted(QUERY) == 1
        with pytest.raises(CloudRefused) as caught:  # another program is told "busy"
            await bench.new_client().query_lock_clock(LOCK)
        assert caught.value.errcode == -3003
        memory.may_answer.set()
    assert bench.counted(QUERY) == 3


async def test_a_gateway_may_take_longer_than_the_database(
    gated: tuple[Bench, GatedMemory],
) -> None:
    bench, memory = gated
    await bench.client.gateways()  # the login, with time to spare
    client = bench.new_client(timeout_s=0.05, gateway_timeout_s=20)
    async with asyncio.TaskGroup() as group:
        query = group.create_task(client.query_lock_clock(LOCK))
        await memory.asked.wait()
        bench.fail(kind="silent", path=LIST)
        with pytest.raises(CloudUnreachable):
            await client.list_passcodes(LOCK)
        memory.may_answer.set()
    assert query.result() == START


async def test_busy_for_some_seconds(bench: Bench) -> None:
    bench.world.clock_shift_s = 100
    bench.cloud.admin.add_faults(
        Faults(faults=[Fault(kind=FaultKind.ERRCODE, errcode=-3003, lock_id=LOCK)], for_s=40)
    )
    bench.clock.moment += timedelta(seconds=39)
    await bench.client.gateways()  # not about this lock
    with pytest.raises(CloudRefused):
        await bench.client.query_lock_clock(LOCK)
    bench.clock.moment += timedelta(seconds=1)
    await bench.client.query_lock_clock(LOCK)


async def test_the_cloud_picks_the_gateway_that_hears_best(bench: Bench) -> None:
    far = Gateway(
        gateway_id=2000002,
        account=ACCOUNT.username,
        name="attic",
        mac="02:00:00:00:00:02",
        last_heard={LOCK: Sighting(rssi_dbm=-95)},
        radio_down_at=START - timedelta(minutes=1),
    )
    bench.world.gateways = [far, *bench.world.gateways]
    await bench.client.query_lock_clock(LOCK)
    assert len(await bench.client.gateways_of_lock(LOCK)) == 2


async def test_a_passcode_the_lock_has_and_the_cloud_does_not_list(bench: Bench) -> None:
    with pytest.raises(CloudRefused) as caught:
        await add(bench, "1123334")
    assert caught.value.errcode == -3007


async def test_a_period_that_ends_before_it_starts(bench: Bench) -> None:
    with pytest.raises(CloudRefused) as caught:
        await bench.client.add_passcode(
            LOCK,
            "777888",
            kind=PasscodeKind.PERIOD,
            via=Via.DONE_OVER_BLUETOOTH,
            valid_from=UNTIL,
            valid_until=FROM,
        )
    assert caught.value.row.error_class is ErrorClass.BUG


async def test_a_computed_passcode_cannot_change_before_its_first_use(bench: Bench) -> None:
    code = ListedPasscode(passcode_id=1, digits="98765432", sent_at=START, is_custom=False)
    bench.world.locks[0].listed = [code]
    with pytest.raises(CloudRefused) as caught:
        await bench.client.change_passcode(LOCK, 1, via=Via.GATEWAY, new_digits="777888")
    assert caught.value.errcode == -3008
    [listed] = await bench.client.list_passcodes(LOCK)
    assert (listed.digits, listed.is_custom) == ("98765432", False)


# --- tokens --------------------------------------------------------------------------------------


async def test_one_login_serves_many_calls_and_a_restart(bench: Bench) -> None:
    await asyncio.gather(*(bench.client.gateways() for _ in range(5)))
    await bench.new_client().gateways()
    assert bench.counted(TOKEN) == 1


async def test_a_token_with_a_week_left_is_refreshed(bench: Bench) -> None:
    await bench.client.gateways()
    bench.clock.moment += timedelta(days=83)
    await bench.client.gateways()
    assert bench.counted(TOKEN) == 1
    bench.clock.moment += timedelta(seconds=1)
    await bench.client.gateways()
    assert bench.counted(TOKEN) == 2
    assert not bench.world.tokens[0].can_refresh  # by refresh, not by a login
    assert bench.counted("/v3/gateway/list") == 3  # and before the cloud complained


@pytest.mark.parametrize(
    ("change", "token_calls"),
    [
        (TokenChange(expire=True), 1),  # 10004: refresh
        (TokenChange(expire=True, end_refresh=True), 2),  # 10004, 10011: refresh, then login
        (TokenChange(forget=True), 2),  # 10003, 10011
    ],
)
async def test_a_refused_token_is_replaced_once(
    bench: Bench, change: TokenChange, token_calls: int
) -> None:
    await bench.client.gateways()
    bench.cloud.admin.change_tokens(change)
    await asyncio.gather(*(bench.client.gateways() for _ in range(4)))
    assert bench.counted(TOKEN) == 1 + token_calls
    saved = bench.tokens.value
    assert saved is not None
    assert bench.world.tokens[-1].access.encode() in saved


async def test_a_refresh_with_wrong_settings_does_not_go_on_to_log_in(bench: Bench) -> None:
    await bench.client.gateways()
    bench.cloud.admin.change_tokens(TokenChange(expire=True))
    bench.world.accounts[0].client_secret = "changed"
    with pytest.raises(CloudMisconfigured):
        await bench.client.gateways()
    assert bench.counted(TOKEN) == 2


async def test_a_token_that_stays_refused_ends_in_an_error(bench: Bench) -> None:
    bench.fail(kind="errcode", path=LIST, errcode=10004)
    with pytest.raises(CloudRefused) as caught:
        await bench.client.list_passcodes(LOCK)
    assert caught.value.errcode == 10004
    assert bench.counted(LIST) == 2


NAIVE = (
    b'{"client_id":"demo-client","username":"host@example.org","access":"a","refresh":"r",'
    b'"expires_at":"2027-01-01T00:00:00"}'
)


@pytest.mark.parametrize("saved", [b"\xff\x00", b"{}", b'{"expires_at": 5}', NAIVE])
async def test_an_unreadable_saved_token_means_login(bench: Bench, saved: bytes) -> None:
    bench.tokens.value = saved
    await bench.client.gateways()
    assert bench.counted(TOKEN) == 1


async def test_a_token_of_another_account_is_not_used(bench: Bench) -> None:
    await bench.client.gateways()
    other = msgspec.structs.replace(ACCOUNT, username="other@example.org")
    with pytest.raises(CloudMisconfigured) as caught:
        await bench.new_client(account=other).gateways()
    assert caught.value.errcode == 10007


@pytest.mark.parametrize(
    ("changed", "errcode"),
    [
        ({"client_id": "nobody"}, 10000),
        ({"client_secret": "wrong"}, 10001),
        ({"password_md5": "0" * 32}, 10007),
    ],
)
async def test_wrong_settings_stop(bench: Bench, changed: dict[str, str], errcode: int) -> None:
    account = msgspec.structs.replace(ACCOUNT, **changed)
    with pytest.raises(CloudMisconfigured) as caught:
        await bench.new_client(account=account).gateways()
    assert caught.value.errcode == errcode
    assert not caught.value.retryable
    assert bench.counted(TOKEN) == 1


async def test_the_wrong_region(bench: Bench) -> None:
    bench.world.region = "cn"
    with pytest.raises(CloudMisconfigured) as caught:
        await bench.client.gateways()
    assert caught.value.row.name == "wrong_region"


async def test_a_password_that_is_no_digest_is_found_before_any_call() -> None:
    with pytest.raises(ConfigError):
        CloudAccount(client_id="a", client_secret="b", username="c", password_md5="hunter2")


@pytest.mark.parametrize("shift_s", [301, -301])
async def test_a_clock_that_is_off(bench: Bench, shift_s: float) -> None:
    bench.world.clock_shift_s = shift_s
    with pytest.raises(CloudRefused) as caught:
        await bench.client.gateways()
    assert caught.value.row.error_class is ErrorClass.OWN_CLOCK
    bench.world.clock_shift_s = shift_s * 0.9
    await bench.client.gateways()


# --- quota ---------------------------------------------------------------------------------------


async def test_our_own_budget_stops_before_the_call(bench: Bench) -> None:
    client = bench.new_client(limit=3)
    await client.gateways()
    await client.gateways()
    with pytest.raises(QuotaExhausted) as caught:
        await client.gateways()
    assert caught.value.resets_at == datetime(2026, 12, 31, 16, tzinfo=UTC)  # Beijing's new year
    assert sum(bench.world.calls.values()) == 3
    assert await client.budget.remaining(bench.clock.now()) == 0
    with pytest.raises(QuotaExhausted):  # a restart remembers
        await bench.new_client(limit=3).gateways()
    bench.clock.moment = caught.value.resets_at
    await client.gateways()


async def test_the_clouds_own_quota_stops_the_client(bench: Bench) -> None:
    bench.cloud.admin.change_settings(Settings(monthly_quota=1))
    await bench.client.gateways()
    with pytest.raises(QuotaExhausted):
        await bench.client.gateways()
    asked = bench.counted("/v3/gateway/list")
    with pytest.raises(QuotaExhausted) as caught:
        await bench.client.gateways()
    assert bench.counted("/v3/gateway/list") == asked
    bench.cloud.admin.change_settings(Settings(monthly_quota=None))
    bench.clock.moment = caught.value.resets_at
    await bench.client.gateways()


async def test_too_many_calls_is_worth_another_try_later(bench: Bench) -> None:
    bench.cloud.admin.change_settings(Settings(calls_per_minute=1))
    await bench.client.gateways()
    with pytest.raises(CloudRefused) as caught:
        await bench.client.gateways()
    assert (caught.value.errcode, caught.value.retryable) == (30006, True)
    retry_after_s = caught.value.row.retry_after_s
    assert retry_after_s is not None
    bench.clock.moment += timedelta(seconds=retry_after_s)
    await bench.client.gateways()


# --- transport -----------------------------------------------------------------------------------


async def test_no_answer_may_have_acted(bench: Bench) -> None:
    await bench.client.gateways()  # the login, with time to spare
    client = bench.new_client(timeout_s=0.5)
    bench.fail(kind="silent", path=ADD)
    with pytest.raises(CloudUnreachable) as caught:
        await client.add_passcode(LOCK, "555666", kind=PasscodeKind.PERMANENT, via=Via.GATEWAY)
    assert (caught.value.problem, caught.value.may_have_acted) == (CloudProblem.TIMEOUT, True)
    assert bench.listed() == ["555666"]


async def test_a_dropped_connection(bench: Bench) -> None:
    bench.fail(kind="dropped", path=TOKEN, times=1)
    with pytest.raises(CloudUnreachable) as caught:
        await bench.client.gateways()
    assert caught.value.problem is CloudProblem.CONNECTION_LOST
    await bench.client.gateways()


async def test_nobody_there(bench: Bench) -> None:
    with pytest.raises(CloudUnreachable) as caught:
        await bench.new_client(base_url="http://127.0.0.1:1").gateways()
    assert caught.value.problem is CloudProblem.NO_CONNECTION
    assert not caught.value.may_have_acted


@pytest.mark.parametrize(
    ("status", "body", "problem"),
    [
        (200, "<html>Please accept the terms</html>", CloudProblem.NOT_THE_API),
        (200, "[]", CloudProblem.NOT_THE_API),
        (200, "", CloudProblem.NOT_THE_API),
        (200, "[" * 100_000, CloudProblem.NOT_THE_API),
        (200, '{"errcode": "what"}', CloudProblem.NOT_THE_API),
        (200, "{}", CloudProblem.NOT_THE_API),
        (200, '{"list": [7]}', CloudProblem.NOT_THE_API),
        (200, '{"list": [{"keyboardPwdId": 1}]}', CloudProblem.NOT_THE_API),
        (200, " " * 4_200_000 + '{"list": []}', CloudProblem.NOT_THE_API),
        (502, "bad gateway", CloudProblem.HTTP_STATUS),
        (502, "{}", CloudProblem.HTTP_STATUS),
        (302, "", CloudProblem.HTTP_STATUS),
    ],
)
async def test_answers_that_are_none(
    bench: Bench, status: int, body: str, problem: CloudProblem
) -> None:
    bench.fail(kind="raw", path=LIST, status=status, body=body)
    with pytest.raises(CloudUnreachable) as caught:
        await bench.client.list_passcodes(LOCK)
    assert caught.value.problem is problem


async def test_a_redirect_is_not_followed(bench: Bench) -> None:
    asked: list[str] = []

    async def redirect(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=307, headers={"Location": "/elsewhere"})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", redirect)
    async with TestServer(app) as server:
        with pytest.raises(CloudUnreachable) as caught:
            await bench.new_client(base_url=str(server.make_url(""))).gateways()
    assert caught.value.problem is CloudProblem.HTTP_STATUS
    assert asked == [TOKEN]


async def test_an_error_code_counts_whatever_the_http_status(bench: Bench) -> None:
    bench.fail(kind="raw", path=LIST, status=500, body='{"errcode": "90000"}')
    with pytest.raises(CloudRefused) as caught:
        await bench.client.list_passcodes(LOCK)
    assert caught.value.row.name == "server_error"


async def test_a_list_without_end_ends(bench: Bench) -> None:
    row = '{"gatewayId": 1, "isOnline": 1}'
    bench.fail(kind="raw", path="/v3/gateway/list", body=f'{{"list": [{row}], "pages": 99999}}')
    with pytest.raises(CloudUnreachable, match="pages"):
        await bench.client.gateways()


@pytest.mark.parametrize("errcode", [*ERROR_ROWS, 424242])
async def test_every_error_code_has_its_class(bench: Bench, errcode: int) -> None:
    bench.fail(kind="errcode", path=LIST, errcode=errcode)
    with pytest.raises(CloudError) as caught:
        await bench.client.list_passcodes(LOCK)
    error, row = caught.value, error_row(errcode)
    if row.error_class is ErrorClass.QUOTA:
        assert isinstance(error, QuotaExhausted)
        return
    assert isinstance(error, CloudRefused)
    assert error.row == row
    assert isinstance(error, CloudMisconfigured) is (row.error_class is ErrorClass.CONFIGURATION)
    assert bench.counted(LIST) == (2 if row.error_class is ErrorClass.TOKEN else 1)


@pytest.mark.parametrize(
    "url", ["", "euapi.ttlock.com", "ftp://euapi.ttlock.com", "http://euapi.ttlock.com", "http://["]
)
async def test_base_urls_that_are_refused(bench: Bench, url: str) -> None:
    with pytest.raises(ConfigError):
        bench.new_client(base_url=url or "nothing")


async def test_open_cloud_brings_its_own_session(bench: Bench) -> None:
    async with open_cloud(
        base_url=bench.cloud.base_url,
        account=ACCOUNT,
        clock=bench.clock,
        token_store=MemoryStore(),
        budget=QuotaBudget(monthly_limit=10, store=MemoryStore()),
    ) as client:
        assert len(await client.gateways()) == 1


# --- secrets -------------------------------------------------------------------------------------


async def test_no_secret_in_reprs_errors_and_logs(bench: Bench, log_guard: Any) -> None:
    """Runs into many kinds of failure; the log guard looks at what was logged."""
    secrets = ["555666", ACCOUNT.client_secret, ACCOUNT.password_md5]
    await add(bench)
    secrets += [token.access for token in bench.world.tokens]
    secrets += [token.refresh for token in bench.world.tokens]
    log_guard.register(*secrets)
    bench.world.locks[0].records = [
        Record(
            record_id=1,
            record_type=4,
            lock_record_type=7,
            lock_at=START,
            uploaded_at=START,
            digits="555666",
        )
    ]
    seen = [repr(ACCOUNT), str(ACCOUNT), f"{ACCOUNT}", repr(bench.client)]
    seen += [repr(await bench.client.list_passcodes(LOCK))]
    seen += [repr(await bench.client.lock_records(LOCK))]
    assert "digits=<hidden>" in seen[-1]

    async def provoke(call: Callable[[], Awaitable[object]]) -> None:
        with pytest.raises(CloudError) as caught:
            await call()
        # Nothing of the HTTP library hangs on the error for a later handler to print.
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None or caught.value.__suppress_context__
        seen.append("".join(traceback.format_exception(caught.value)))
        seen.append(repr(caught.value))

    await provoke(lambda: add(bench))  # -3007
    echo = '{"errcode": -3, "errmsg": "bad value 555666", "description": "555666"}'
    for fault in (
        Fault(kind=FaultKind.RAW, body=echo, times=1),
        Fault(kind=FaultKind.RAW, body='{"keyboardPwdId": "555666x"}', times=1),
        Fault(kind=FaultKind.RAW, body='{"errcode": "555666x"}', times=1),
        Fault(kind=FaultKind.RAW, body="555666 is broken {", times=1),
        Fault(kind=FaultKind.RAW, status=500, body="555666", times=1),
        Fault(kind=FaultKind.DROPPED, times=1),
    ):
        bench.world.faults = [fault]
        await provoke(lambda: add(bench))
    bench.world.faults = [Fault(kind=FaultKind.SILENT)]
    await provoke(lambda: bench.new_client(timeout_s=0.05).list_passcodes(LOCK))
    bench.tokens.value = None
    bench.world.faults = [Fault(kind=FaultKind.RAW, body=echo)]
    await provoke(lambda: bench.new_client().list_passcodes(LOCK))
    leaks = [secret for secret in secrets if any(secret in text for text in seen)]
    assert leaks == []
