"""Whatever JSON comes: values or a ``CloudError``, nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ttlock_agent.cloud.answer import LABEL_MAX_CHARS, read_answer
from ttlock_agent.cloud.client import CloudClient, Via
from ttlock_agent.cloud.errors import CloudError, CloudRefused, CloudUnreachable
from ttlock_agent.cloud.models import (
    CloudPasscode,
    Gateway,
    LockDetail,
    LockGateway,
    LockRecord,
    PasscodeKind,
    PasscodeStatus,
    read_clock,
)
from ttlock_agent.cloud.ports import MemoryStore
from ttlock_agent.cloud.quota import QuotaBudget
from ttlock_agent.cloud.token import CloudAccount
from ttlock_agent.fakes.cloud import FakeCloud
from ttlock_agent.fakes.cloud_state import Fault, FaultKind, World

KEYS = [
    "errcode",
    "list",
    "pages",
    "date",
    "lockId",
    "keyboardPwdId",
    "keyboardPwd",
    "keyboardPwdName",
    "keyboardPwdType",
    "startDate",
    "endDate",
    "sendDate",
    "isCustom",
    "status",
    "gatewayId",
    "gatewayName",
    "gatewayMac",
    "isOnline",
    "rssi",
    "rssiUpdateDate",
    "featureValue",
    "timezoneRawOffset",
    "recordId",
    "recordType",
    "lockDate",
    "serverDate",
    "success",
    "username",
    "access_token",
    "refresh_token",
    "expires_in",
]

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(10**30), 10**30),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.integers().map(str),
    st.sampled_from([0, 1, "0", "", "1e3", "\ud800", "-0", "9" * 5000, 10**14, -(10**17)]),
)
rows = st.dictionaries(st.sampled_from(KEYS), scalars, max_size=len(KEYS))
objects = st.builds(
    lambda row, items: row if items is None else {**row, "list": items},
    rows,
    st.none() | scalars | st.lists(rows | scalars, max_size=3),
)
answers = st.one_of(
    objects,
    objects.map(lambda row: {**row, "errcode": 0}),
    scalars,
    st.lists(scalars, max_size=2),
)
bodies = st.binary(max_size=40) | answers.map(lambda value: json.dumps(value).encode())

READERS: list[Callable[[Any], object]] = [
    lambda row: CloudPasscode.from_answer(row, 1),
    lambda row: LockRecord.from_answer(row, 1),
    LockGateway.from_answer,
    Gateway.from_answer,
    LockDetail.from_answer,
    read_clock,
    lambda row: [CloudPasscode.from_answer(item, 1) for item in row.rows("list")],
]


@given(status=st.sampled_from([200, 404]), body=bodies, reader=st.sampled_from(READERS))
@settings(max_examples=500, deadline=None)
def test_reading_ends_in_a_value_or_a_cloud_error(
    status: int, body: bytes, reader: Callable[[Any], object]
) -> None:
    try:
        value = reader(read_answer(status, body))
    except CloudError:
        return
    repr(value)


class _Now:
    def now(self) -> datetime:
        return datetime(2026, 12, 1, tzinfo=UTC)

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None: ...


CALLS: list[Callable[[CloudClient], Any]] = [
    lambda client: client.list_passcodes(1),
    lambda client: client.gateways(),
    lambda client: client.gateways_of_lock(1),
    lambda client: client.lock_detail(1),
    lambda client: client.lock_records(1),
    lambda client: client.query_lock_clock(1),
    lambda client: client.add_passcode(1, "40404", kind=PasscodeKind.PERMANENT, via=Via.GATEWAY),
    lambda client: client.delete_passcode(1, 1, via=Via.GATEWAY),
]


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as running:
        yield running


def test_a_call_ends_in_a_value_or_a_cloud_error(runner: asyncio.Runner) -> None:
    async def opened() -> tuple[FakeCloud, aiohttp.ClientSession]:
        return await FakeCloud(World(), clock=_Now()).__aenter__(), aiohttp.ClientSession()

    cloud, http = runner.run(opened())
    account = CloudAccount(client_id="c", client_secret="s", username="u", password_md5="0" * 32)
    good_login = json.dumps({"access_token": "a", "refresh_token": "r"})

    @given(
        body=answers,
        login=st.just(good_login) | answers.map(json.dumps),
        call=st.sampled_from(CALLS),
    )
    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def any_answer(body: object, login: str, call: Callable[[CloudClient], Any]) -> None:
        cloud.world.faults = [
            Fault(kind=FaultKind.RAW, path="/oauth2/token", body=login),
            Fault(kind=FaultKind.RAW, body=json.dumps(body)),
        ]
        client = CloudClient(
            http=http,
            base_url=cloud.base_url,
            account=account,
            clock=_Now(),
            token_store=MemoryStore(),
            budget=QuotaBudget(monthly_limit=1000, store=MemoryStore()),
        )
        with contextlib.suppress(CloudError):
            repr(runner.run(call(client)))

    async def closed() -> None:
        await http.close()
        await cloud.__aexit__(None, None, None)

    try:
        any_answer()
    finally:
        runner.run(closed())


def fields(**row: object) -> Any:
    return read_answer(200, json.dumps(row).encode())


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1796126400000, datetime(2026, 12, 1, 12, tzinfo=UTC)),
        ("1796126400000", datetime(2026, 12, 1, 12, tzinfo=UTC)),
        (1796126400000.0, datetime(2026, 12, 1, 12, tzinfo=UTC)),
        (0, None),
        ("", None),
        (None, None),
        (True, None),
        (10**20, None),
    ],
)
def test_instants(value: object, expected: datetime | None) -> None:
    assert fields(date=value).instant("date") == expected


def test_digits_keep_their_leading_zeros_and_may_come_as_a_number() -> None:
    row = {"keyboardPwdId": "7", "keyboardPwdType": "3"}
    as_text = CloudPasscode.from_answer(fields(**row, keyboardPwd="004711"), 1)
    as_number = CloudPasscode.from_answer(fields(**row, keyboardPwd=40404), 1)
    assert (as_text.digits, as_number.digits) == ("004711", "40404")


def test_what_the_cloud_does_not_tell_is_none() -> None:
    code = CloudPasscode.from_answer(
        fields(keyboardPwdId=7, keyboardPwdType=3, keyboardPwd="40404"), 1
    )
    assert (code.is_custom, code.name, code.valid_from, code.sent_at) == (None, "", None, None)
    assert code.status is PasscodeStatus.NORMAL


@pytest.mark.parametrize(
    "status", [(4, "adding"), (5, "add_failed"), (9, "delete_failed"), (3, "other")]
)
def test_statuses(status: tuple[int, str]) -> None:
    row = fields(keyboardPwdId=7, keyboardPwdType=3, keyboardPwd="40404", status=status[0])
    assert CloudPasscode.from_answer(row, 1).status == status[1]


def test_one_broken_passcode_spoils_the_list() -> None:
    whole = {"keyboardPwdId": 1, "keyboardPwdType": 3, "keyboardPwd": "40404"}
    answer = fields(list=[whole, {**whole, "keyboardPwd": None}])
    with pytest.raises(CloudUnreachable, match=r"list\[1\] has no usable keyboardPwd"):
        [CloudPasscode.from_answer(row, 1) for row in answer.rows("list")]


def test_names_are_printable_and_short() -> None:
    gateway = Gateway.from_answer(
        fields(gatewayId=1, isOnline=1, gatewayName="a\x1b[31m\nb" + "x" * 200)
    )
    assert gateway.name.startswith("a[31mb")
    assert len(gateway.name) == LABEL_MAX_CHARS


def test_features_may_exceed_64_bits() -> None:
    assert LockDetail.from_answer(fields(lockId=1, featureValue="F" * 24)).features == 2**96 - 1
    assert LockDetail.from_answer(fields(lockId=1, featureValue="none")).features is None


def test_an_error_code_of_zero_is_success_in_either_type() -> None:
    assert fields(errcode=0, date=5).integer("date") == 5
    assert fields(errcode="0", date=5).integer("date") == 5
    with pytest.raises(CloudRefused):
        fields(errcode="-3003")
