"""Requests over a link, and the truth about what became of each."""

from typing import Any

import pytest

from agent_rig import ADDRESS, Door, DoorLink
from ttlock_agent.errors import KeysRejected, LinkLost, OutcomeUnknown, ResponseTimeout
from ttlock_agent.lock.client import MAX_SENDS, LockClient
from ttlock_protocol.errors import CommandRefused, Refusal
from ttlock_protocol.message import Response
from ttlock_protocol.messages.clock import Clock, GetClock
from ttlock_protocol.messages.operate import GetState, State
from ttlock_protocol.messages.passcodes import AddPasscode, DeletePasscode, PasscodeType
from ttlock_protocol.procedures import authenticate_admin, list_passcodes
from ttlock_protocol.session import Session
from ttlock_protocol.virtual import Fault, FaultAction, FaultPoint
from virtual_helpers import KEYS, ManualClock

ADD = AddPasscode(passcode_type=PasscodeType.PERMANENT, passcode="482913")
DELETE = DeletePasscode(passcode="482913")
TIMEOUT_S = 0.05


async def connected(*faults: Fault, key: bytes = KEYS.aes_key) -> tuple[LockClient, Door]:
    door = Door(ManualClock(), passcodes=["111111", "222222"])
    link: DoorLink = await door.connect(ADDRESS, timeout_s=1)
    session = Session(key=key, version=KEYS.version)
    heard: list[Response] = []
    client = LockClient(link, session, response_timeout_s=TIMEOUT_S, on_push=heard.append)
    door.pushes = heard  # type: ignore[attr-defined]
    if key == KEYS.aes_key:
        await client.run(authenticate_admin(KEYS))
    door.arrived.clear()
    door.set_faults(*faults)
    return client, door


def fault(action: FaultAction, at: FaultPoint, nth: int | None = 1, **more: Any) -> Fault:
    return Fault(action=action, at=at, nth=nth, **more)


async def test_a_request_is_answered() -> None:
    client, door = await connected()
    assert isinstance(await client.request(GetClock()), Clock)
    assert client.round_trips == 3  # two of them to authenticate
    assert len(door.arrived) == 1


@pytest.mark.parametrize(
    "first",
    [
        fault(FaultAction.LOSE, FaultPoint.REQUEST),
        fault(FaultAction.LOSE, FaultPoint.ANSWER),
        fault(FaultAction.CORRUPT, FaultPoint.REQUEST),
        fault(FaultAction.CORRUPT, FaultPoint.ANSWER),
        fault(FaultAction.TEAR, FaultPoint.ANSWER),
    ],
    ids=lambda each: f"{each.action} {each.at}",
)
async def test_what_may_be_repeated_is_repeated(first: Fault) -> None:
    client, door = await connected(first)
    assert isinstance(await client.request(GetClock()), Clock)
    assert door.count(GetClock) == 2


async def test_repeats_come_to_an_end() -> None:
    client, door = await connected(fault(FaultAction.LOSE, FaultPoint.ANSWER, None))
    with pytest.raises(ResponseTimeout):
        await client.request(DELETE)
    assert door.count(DeletePasscode) == MAX_SENDS


async def test_damage_that_never_ends_is_the_locks_refusal() -> None:
    client, door = await connected(fault(FaultAction.CORRUPT, FaultPoint.REQUEST, None))
    with pytest.raises(CommandRefused) as refused:
        await client.request(ADD)
    assert refused.value.refusal is Refusal.CHECKSUM
    assert door.count(AddPasscode) == MAX_SENDS
    assert "482913" not in door.digits


@pytest.mark.parametrize(
    "first",
    [
        fault(FaultAction.LOSE, FaultPoint.REQUEST),
        fault(FaultAction.DROP, FaultPoint.REQUEST),
        fault(FaultAction.LOSE, FaultPoint.ANSWER),
        fault(FaultAction.DROP, FaultPoint.ANSWER),
        fault(FaultAction.CORRUPT, FaultPoint.ANSWER),
        fault(FaultAction.TEAR, FaultPoint.ANSWER),
    ],
    ids=lambda each: f"{each.action} {each.at}",
)
async def test_a_change_without_an_answer_is_unknown_and_not_repeated(first: Fault) -> None:
    client, door = await connected(first)
    with pytest.raises(OutcomeUnknown):
        await client.request(ADD)
    assert door.count(AddPasscode) == 1
    is_done = first.at is FaultPoint.ANSWER
    assert ("482913" in door.digits) is is_done


async def test_after_a_lost_answer_the_conversation_goes_on() -> None:
    client, _ = await connected(fault(FaultAction.LOSE, FaultPoint.ANSWER))
    with pytest.raises(OutcomeUnknown):
        await client.request(ADD)
    listing = await client.run(list_passcodes())
    assert len(listing) == 3


async def test_a_cut_before_the_last_piece_is_no_change() -> None:
    client, door = await connected()

    async def cut(_number: int) -> None:
        assert door.link is not None
        door.link.cut()

    door.before_write = cut
    with pytest.raises(LinkLost):
        await client.request(ADD)
    assert door.arrived == []


async def test_a_cut_at_the_last_piece_may_be_one() -> None:
    client, door = await connected()
    pieces = 0

    async def cut(_number: int) -> None:
        nonlocal pieces
        pieces += 1
        if pieces == 2:
            assert door.link is not None
            door.link.cut()

    door.before_write = cut
    with pytest.raises(OutcomeUnknown):
        await client.request(ADD)
    door.before_write = door.after_write
    with pytest.raises(LinkLost):
        await client.request(GetClock())


async def test_what_the_lock_says_unasked_goes_elsewhere() -> None:
    client, door = await connected(fault(FaultAction.INTERLEAVE, FaultPoint.ANSWER, None))
    assert isinstance(await client.request(GetClock()), Clock)
    await client.request(ADD)
    assert [type(each) for each in door.pushes] == [State, State]  # type: ignore[attr-defined]


async def test_an_answer_that_comes_twice_answers_once() -> None:
    client, _ = await connected(fault(FaultAction.DUPLICATE, FaultPoint.ANSWER, None))
    for _ in range(2):
        assert isinstance(await client.request(GetClock()), Clock)
        assert isinstance(await client.request(GetState()), State)
    assert len(await client.run(list_passcodes())) == 2


async def test_a_lock_with_another_key_is_told_apart() -> None:
    client, _ = await connected(key=b"\x01" * 16)
    with pytest.raises(KeysRejected):
        await client.request(GetClock())


async def test_a_no_is_the_locks_own() -> None:
    client, _ = await connected()
    with pytest.raises(CommandRefused) as refused:
        await client.request(DeletePasscode(passcode="999999"))
    assert refused.value.refusal is Refusal.PASSCODE_NOT_FOUND
