"""What every link must do, over each rig."""

from __future__ import annotations

import asyncio

import pytest

from ttlock_agent.clock import SystemClock
from ttlock_agent.errors import LinkError, LinkLost, LockNotSeen, OutcomeUnknown
from ttlock_agent.link import CHUNK_BYTES
from ttlock_agent.lock.visit import visit_lock
from ttlock_protocol.advertisement import Advertisement, parse
from ttlock_protocol.messages.clock import GetClock
from ttlock_protocol.session import Replied, Session
from ttlock_protocol.virtual import Fault, FaultAction, FaultPoint

from .rigs import KEYS, MAC, SEEN_S, UNSEEN_S, Rig, add_permanent, ask_raw, digits_of

CLOCK = SystemClock()


async def test_a_visit_reads_and_leaves_the_slot_free(rig: Rig) -> None:
    async with visit_lock(rig.factory, rig.profile, CLOCK) as visit:
        assert rig.lock.is_connected
        reading = await visit.read_clock()
    assert reading is not None
    assert reading.error_s is not None
    assert abs(reading.error_s) < 30
    assert not rig.lock.is_connected


async def test_a_sighting_tells_what_is_on_air(rig: Rig) -> None:
    sightings = rig.factory.sightings()
    sighting = await anext(sightings)
    await sightings.aclose()  # type: ignore[attr-defined]
    assert sighting.address == rig.address
    assert sighting.rssi_dbm is not None
    assert sighting.rssi_dbm < 0
    seen = parse(sighting.manufacturer_data)
    assert isinstance(seen, Advertisement)
    assert seen.mac == MAC


async def test_a_lock_that_is_not_there_is_not_seen(rig: Rig) -> None:
    other = rig.address[:-1] + "4"
    with pytest.raises(LockNotSeen):
        await rig.factory.connect(other, timeout_s=UNSEEN_S)


async def test_the_slot_is_taken_once(rig: Rig) -> None:
    link = await rig.factory.connect(rig.address, timeout_s=SEEN_S)
    with pytest.raises(LinkError):
        await rig.factory.connect(rig.address, timeout_s=UNSEEN_S)
    await link.close()
    await (await rig.factory.connect(rig.address, timeout_s=SEEN_S)).close()


async def test_a_chunk_is_at_most_20_bytes(rig: Rig) -> None:
    link = await rig.factory.connect(rig.address, timeout_s=SEEN_S)
    with pytest.raises(ValueError, match="20"):
        await link.write(bytes(CHUNK_BYTES + 1))
    await link.close()


async def test_after_close_nothing_goes_and_closing_again_is_harmless(rig: Rig) -> None:
    link = await rig.factory.connect(rig.address, timeout_s=SEEN_S)
    await link.close()
    await link.close()
    with pytest.raises(LinkLost):
        await link.write(b"x")
    with pytest.raises(LinkLost):
        await link.read()
    with pytest.raises(LinkLost):
        await link.read()


async def test_a_long_answer_arrives_whole(rig: Rig) -> None:
    digits = [f"{number:06}" for number in range(400_000, 400_040)]
    async with visit_lock(rig.factory, rig.profile, CLOCK) as visit:
        for each in digits:
            await add_permanent(visit, each)
        listing = await visit.passcodes(is_fresh=True)
    assert sorted(digits_of(listing)) == digits


async def test_a_change_whose_answer_is_lost_is_unknown_and_read_back(rig: Rig) -> None:
    rig.break_by(Fault(action=FaultAction.DROP, at=FaultPoint.ANSWER, request="AddPasscode", nth=1))
    with pytest.raises(OutcomeUnknown):
        async with visit_lock(rig.factory, rig.profile, CLOCK) as visit:
            await add_permanent(visit, "424242")
    async with visit_lock(rig.factory, rig.profile, CLOCK) as visit:
        listing = await visit.passcodes(is_fresh=True)
    assert digits_of(listing) == ["424242"]


async def test_a_read_ends_when_the_lock_hangs_up(rig: Rig) -> None:
    rig.break_by(Fault(action=FaultAction.DROP, at=FaultPoint.REQUEST, request="GetClock"))
    with pytest.raises(LinkLost):
        async with visit_lock(rig.factory, rig.profile, CLOCK) as visit:
            await visit.ask(GetClock())
    assert not rig.lock.is_connected


async def test_what_was_said_before_the_end_can_still_be_read(rig: Rig) -> None:
    rig.break_by(Fault(action=FaultAction.DROP_AFTER, at=FaultPoint.ANSWER, request="GetClock"))
    async with visit_lock(rig.factory, rig.profile, CLOCK) as visit:
        assert (await visit.ask(GetClock())).local_time is not None


async def test_each_connection_hears_each_notification_once(rig: Rig) -> None:
    for _ in range(3):
        link = await rig.factory.connect(rig.address, timeout_s=SEEN_S)
        session = Session(key=KEYS.aes_key, version=KEYS.version)
        heard = await ask_raw(link, session, GetClock()) + await ask_raw(link, session, GetClock())
        await link.close()
        assert [type(each) for each in heard] == [Replied, Replied]


async def test_a_cancelled_visit_leaves_the_slot_free(rig: Rig) -> None:
    is_in = asyncio.Event()

    async def stay() -> None:
        async with visit_lock(rig.factory, rig.profile, CLOCK):
            is_in.set()
            await asyncio.Event().wait()

    staying = asyncio.create_task(stay())
    await is_in.wait()
    staying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await staying
    assert not rig.lock.is_connected
