"""What only time and place show: range, sleep, neighbours, many deliveries, cut power."""

from __future__ import annotations

import asyncio
import json
from statistics import median
from typing import Final
from uuid import uuid4

from ttlock_agent.errors import ConnectFailed, LinkError, LockNotSeen
from ttlock_protocol.advertisement import Advertisement, parse
from ttlock_protocol.message import Auth
from ttlock_protocol.messages.operate import GetState
from ttlock_protocol.messages.passcodes import DeletePasscode, PasscodeRecord
from ttlock_protocol.procedures import read_log

from .check_passcodes import WHAT
from .model import Chapter, Group, Need, expect, skip
from .rig import Rig

CHECKS: Final = Chapter(Group.ENDURANCE)
_MIN_SUCCESS: Final = 0.8
_POWER: Final = "power"
_PER_DELIVERY: Final = 2
"""Connections: one to bring a passcode, one to take it away."""
_MAX_SPOTS: Final = 8


@CHECKS.check("range.success", "From here, it lets us in nearly every time.", limit_s=1800)
async def range_(rig: Rig) -> None:
    """Count the successes; a person may carry the Pi to other spots, which are only plotted."""
    share = await _spot(rig)
    if rig.person.is_there and not rig.is_virtual:
        for _ in range(_MAX_SPOTS):
            if not await rig.person.agrees("Carry the Pi to another spot, to measure there, too?"):
                break
            await _spot(rig)
    expect(share >= _MIN_SUCCESS, f"Only {share:.0%} of the connections came about.")


async def _spot(rig: Rig) -> float:
    good, strengths = 0, []
    for number in range(rig.pace.range_tries):
        if number:
            await rig.clock.sleep(rig.pace.pause_s)
        try:
            async with rig.once() as visit:
                await visit.ask(GetState())
        except LinkError:
            continue
        good += 1
        if rig.air.rssi_dbm is not None:
            strengths.append(rig.air.rssi_dbm)
    share = good / rig.pace.range_tries
    rig.measure("success", share * 100, "%")
    if strengths:
        rig.measure("signal", median(strengths), "dBm")
    return share


@CHECKS.check("sleep.wake", "Left alone until it sleeps, it still lets us in.", limit_s=600)
async def wake(rig: Rig) -> None:  # noqa: D103 - the title says it
    await rig.air.stop()
    await rig.wait(rig.pace.idle_s, "the lock is left alone")
    rig.air.listen(rig.links)
    began_s = rig.clock.monotonic()
    async with rig.visit() as visit:
        await visit.ask(GetState())
    rig.measure("wake up", rig.clock.monotonic() - began_s, "s")
    seen = [parse(each.manufacturer_data) for each in rig.air.sightings]
    dozing = sum(isinstance(each, Advertisement) and each.is_dormant for each in seen)
    rig.answer("D8", f"{dozing} of {len(seen)} advertisements said dormant (flag 10)")


@CHECKS.check("gateway.slot", "Taken by somebody else, it is let in again once they leave.")
async def slot(rig: Rig) -> None:  # noqa: D103
    if rig.is_virtual:
        rival = await rig.links.connect(
            rig.profile.address, timeout_s=rig.profile.connect_timeout_s
        )
        try:
            is_in = await _gets_in(rig)
        finally:
            await rival.close()
    else:
        await rig.person.ask("Open the vendor's app beside the lock, connect, press Enter at once.")
        is_in = await _gets_in(rig)
        await rig.person.ask("Close the app, then press Enter.")
    rig.answer("a second central", "let in beside the first" if is_in else "kept out, by name")
    async with rig.visit() as visit:
        await visit.ask(GetState())


async def _gets_in(rig: Rig) -> bool:
    try:
        async with rig.once() as visit:
            await visit.ask(GetState())
    except (ConnectFailed, LockNotSeen):
        return False
    return True


@CHECKS.check("gateway.bookmark", "Reading its log leaves the gateway's bookmark where it is.")
async def bookmark(rig: Rig) -> None:  # noqa: D103
    before = await _has_news(rig)
    async with rig.visit() as visit:
        auth = Auth.ADMIN if rig.quirks.log_needs_admin else Auth.NOTHING
        await visit.run(read_log(cursor=rig.log_cursor or 0, limit=20), auth=auth)
    after = await _has_news(rig)
    expect(before == after, "The sign for new records changed by our reading.")


async def _has_news(rig: Rig) -> bool:
    seen = await rig.air.wait_for(lambda _: True, limit_s=rig.pace.heard_s)
    return seen.has_new_records


@CHECKS.check(
    "soak.deliveries",
    "The agent delivers one passcode after the other, proved each time.",
    Need.CHANGES,
    limit_s=86400,
)
async def soak(rig: Rig) -> None:  # noqa: D103
    rig.reserve(_PER_DELIVERY * rig.pace.soak)
    several = [rig.new_digits() for _ in range(rig.pace.soak)]
    undo = [DeletePasscode(passcode=digits) for digits in several]
    async with rig.boxed(_request_id()) as box, rig.undoing_boxed(WHAT, box, *undo):
        for digits in several:
            began_s = rig.clock.monotonic()
            answer = await box.ask("passcode.add", _request_id(), passcode=digits)
            rig.measure("delivery", rig.clock.monotonic() - began_s, "s")
            expect(answer["result"] == "proved", f"It ended as {answer['result']}.")
            await box.ask("passcode.delete", _request_id(), passcode=digits)


@CHECKS.check(
    "power.cut",
    "Power cut in the middle of a delivery: the passcode still arrives, once.",
    Need.CHANGES,
    limit_s=1800,
)
async def power(rig: Rig) -> None:
    """Kill the agent at several moments; a run that was itself cut goes on where that was."""
    left = rig.noted(_POWER)
    if left:
        rig.person.say("      the power was cut during this check: going on from there")
        await _comes_back(rig, **json.loads(left), seconds=None)
    taken_s = await _one_delivery(rig)
    for share in rig.pace.cuts:
        await _comes_back(rig, rig.new_digits(), _request_id(), seconds=taken_s * share)
    if rig.person.is_there and not rig.is_virtual:
        await _pull_the_plug(rig)


def _request_id() -> str:
    return f"hil-{uuid4().hex}"


async def _one_delivery(rig: Rig) -> float:
    digits = rig.new_digits()
    async with rig.boxed(_request_id()) as box:
        began_s = rig.clock.monotonic()
        async with rig.undoing_boxed(WHAT, box, DeletePasscode(passcode=digits)):
            await box.ask("passcode.add", _request_id(), passcode=digits)
            taken_s = rig.clock.monotonic() - began_s
            await box.ask("passcode.delete", _request_id(), passcode=digits)
    return taken_s


async def _comes_back(rig: Rig, digits: str, request: str, *, seconds: float | None) -> None:
    """Ask, kill after ``seconds``, start again and ask the same; ``None``: it was killed before."""
    rig.note(_POWER, json.dumps({"digits": digits, "request": request}))
    undo = DeletePasscode(passcode=digits)
    async with rig.boxed(request) as box, rig.undoing_boxed(WHAT, box, undo):
        if seconds is not None:
            asking = asyncio.create_task(box.ask("passcode.add", request, passcode=digits))
            await rig.clock.sleep(seconds)
            await box.kill()
            await asyncio.gather(asking, return_exceptions=True)
            await box.start()
        began_s = rig.clock.monotonic()
        answer = await box.ask("passcode.add", request, passcode=digits)
        rig.measure("delivery after a cut", rig.clock.monotonic() - began_s, "s")
        expect(answer["result"] == "proved", f"It ended as {answer['result']}.")
        await box.stop()
        async with rig.visit() as visit:
            listing = await visit.passcodes(is_fresh=True)
        held = [r for r in listing if isinstance(r, PasscodeRecord) and r.passcode == digits]
        expect(len(held) == 1, f"The lock holds it {len(held)} times.")
    rig.note(_POWER, "")


async def _pull_the_plug(rig: Rig) -> None:
    if not await rig.person.agrees("Will you cut the Pi's power yourself, to see that, too?"):
        return
    rig.person.say(
        f"      Cut it within {rig.pace.person_s:.0f} s. Then start the Pi again, and go on with\n"
        f"      ttlock-agent hil run --resume {rig.book.directory}"
    )
    until_s = rig.clock.monotonic() + rig.pace.person_s
    while rig.clock.monotonic() < until_s:
        await _comes_back(rig, rig.new_digits(), _request_id(), seconds=0.0)
    skip("the power was not cut in time; what was killed came back")
