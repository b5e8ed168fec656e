"""Questions that only hardware can answer: each is put to the lock, and its answer written down.

A probe does not judge the lock. It fails only when the lock answers in no way that is understood.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from ttlock_agent.errors import AgentError
from ttlock_agent.limits import time_limit
from ttlock_agent.link import CHUNK_BYTES
from ttlock_protocol.errors import CommandRefused
from ttlock_protocol.features import Feature
from ttlock_protocol.frame import Version
from ttlock_protocol.message import Request
from ttlock_protocol.messages.auth import CheckRandom, CheckUser
from ttlock_protocol.messages.clock import GetClock
from ttlock_protocol.messages.device import DeviceText, GetDeviceText
from ttlock_protocol.messages.log import GetLog
from ttlock_protocol.messages.operate import GetFeatures, GetState
from ttlock_protocol.messages.pairing import Hello

from .model import Chapter, Group, expect, skip
from .rig import Rig

CHECKS: Final = Chapter(Group.QUESTIONS)
_OVERFLOWS: Final = 40
"""Challenges that are asked for until one and the unlock key are more than 32 bits hold."""
_U32: Final = 1 << 32


async def _works(rig: Rig, request: Request[Any], **quirks: bool) -> bool:
    try:
        async with rig.visit(**quirks) as visit:
            await visit.be_admin()
            await visit.ask(request)
    except (CommandRefused, AgentError):
        return False
    return True


@CHECKS.check("probe.header", "Does it mind a header that is not its own?", answers=(6,))
async def header(rig: Rig) -> None:  # noqa: D103 - the title says it
    version = rig.profile.keys.version
    other = Version(
        protocol_type=version.protocol_type,
        protocol_version=version.protocol_version,
        scene=version.scene + 1,
        group=version.group,
        organisation=version.organisation,
    )
    try:
        async with rig.talk(header=other) as talk:
            await talk.client.request(CheckUser())
    except (CommandRefused, AgentError) as error:
        rig.answer("D6", f"a header with another scene is not taken ({_named(error)})")
    else:
        rig.answer("D6", "a header with another scene is taken all the same")


@CHECKS.check("probe.padding", 'How does it want "nothing" to be sent?', answers=(7,))
async def padding(rig: Rig) -> None:  # noqa: D103
    bare = await _works(rig, GetFeatures(), pads_empty_payload=False)
    padded = await _works(rig, GetFeatures(), pads_empty_payload=True)
    told = f"without payload {_yes(bare)}, as a block of padding {_yes(padded)}"
    if padded and not bare:
        rig.answer("D7", told, pads_empty_payload=True)
    else:
        rig.answer("D7", told)
    expect(bare or padded, "It takes neither form of an empty payload.")


@CHECKS.check("probe.greeting", "Does it want a greeting first, and answer one?", answers=(20, 42))
async def greeting(rig: Rig) -> None:  # noqa: D103
    async with rig.talk() as talk:
        answer = await talk.client.request(Hello())
    rig.answer("D42", f"the answer to a greeting has {len(answer.body)} bytes")
    if rig.quirks.says_hello_first:
        return
    is_silent = await _works(rig, GetState(), says_hello_first=False)
    rig.answer("D20", "no greeting is needed" if is_silent else "it wants to be greeted")


@CHECKS.check(
    "probe.rights", "What does it tell whom, before anybody has proved anything?", answers=(19,)
)
async def rights(rig: Rig) -> None:  # noqa: D103
    asked: tuple[tuple[str, Request[Any]], ...] = (
        ("state", GetState()),
        ("clock", GetClock()),
        ("log", GetLog(cursor=0)),
        ("features", GetFeatures()),
        ("device information", GetDeviceText(kind=DeviceText.MODEL)),
    )
    told: dict[str, str] = {}
    for name, request in asked:
        async with rig.talk() as talk:
            try:
                await talk.client.request(request)
            except CommandRefused as refused:
                told[name] = refused.refusal.name.lower()
            else:
                told[name] = "told"
    closed = [name for name in ("state", "clock", "log") if told[name] == "no_permission"]
    words = ", ".join(f"{name}: {what}" for name, what in told.items())
    if closed and await _works(rig, GetState(), log_needs_admin=True):
        rig.answer("D19", words, log_needs_admin=True)
    else:
        rig.answer("D19", words)


@CHECKS.check("probe.dates", "Are the dates of an eKey plain numbers?", answers=(3,))
async def dates(rig: Rig) -> None:  # noqa: D103
    now = rig.local_now().replace(second=0)
    flag = rig.profile.keys.lock_flag_position
    day = timedelta(days=1)
    async with rig.talk() as talk:
        present = CheckUser(valid_from=now - day, valid_until=now + day, lock_flag_position=flag)
        over = CheckUser(valid_from=now - 3 * day, valid_until=now - day, lock_flag_position=flag)
        is_taken = await rig.refusal_of(talk.visit, present)
        is_refused = await rig.refusal_of(talk.visit, over)
    rig.answer(
        "D3",
        f"an eKey of today: {_said(is_taken)}, one of last week: {_said(is_refused)}"
        + (": plain numbers" if is_taken is None and is_refused is not None else ""),
    )


@CHECKS.check("probe.flag", "What does it say to an eKey that was reset?", answers=(40,))
async def flag(rig: Rig) -> None:
    """Ask as a user: as administrator the same number would reset everybody's eKeys."""
    async with rig.talk() as talk:
        old = CheckUser(lock_flag_position=rig.profile.keys.lock_flag_position + 5)
        rig.answer("D40", f"another flag position: {_said(await rig.refusal_of(talk.visit, old))}")


@CHECKS.check("probe.overflow", "Does it count modulo 2**32?", answers=(5,))
async def overflow(rig: Rig) -> None:  # noqa: D103
    keys = rig.profile.keys
    async with rig.talk() as talk:
        for _ in range(_OVERFLOWS):
            told = await talk.client.request(CheckUser(lock_flag_position=keys.lock_flag_position))
            if told.challenge + keys.unlock_key < _U32:
                continue
            proof = CheckRandom(proof=keys.proof(told.challenge))
            refusal = await rig.refusal_of(talk.visit, proof)
            rig.answer("D5", f"a sum beyond 32 bits, taken modulo 2**32: {_said(refusal)}")
            return
    rig.answer("D5", f"no sum of {_OVERFLOWS} went beyond 32 bits")


@CHECKS.check("probe.damage", "Does it answer a damaged frame?", answers=(43,))
async def damage(rig: Rig) -> None:  # noqa: D103
    async with rig.talk() as talk:
        frame = bytearray(talk.session.send(GetState()))
        frame[-3] ^= 0x55
        for at in range(0, len(frame), CHUNK_BYTES):
            await talk.link.write(bytes(frame[at : at + CHUNK_BYTES]))
        heard = 0
        try:
            async with time_limit(rig.pace.silence_s):
                while not heard:
                    heard = len(talk.session.receive(await talk.link.read()))
        except TimeoutError:
            rig.answer("D43", "a damaged frame gets no answer")
        except AgentError:
            rig.answer("D43", "at a damaged frame it hangs up")
        else:
            rig.answer("D43", "a damaged frame is answered")
        talk.session.abandon()


@CHECKS.check("probe.writes", "Does it want each write acknowledged?", answers=(38,))
async def writes(rig: Rig) -> None:  # noqa: D103
    if rig.quirks.writes_with_response:
        rig.answer("D38", "only acknowledged writes reach it", writes_with_response=True)
        return
    began_s = rig.clock.monotonic()
    async with rig.talk() as talk:
        for _ in range(5):
            await talk.client.request(CheckUser())
        repeats = talk.client.round_trips - 5 - rig.quirks.says_hello_first
        each_ms = (rig.clock.monotonic() - began_s) / 5 * 1000
    rig.answer("D38", f"writes without response: {repeats} of 5 sent again, {each_ms:.0f} ms each")


@CHECKS.check("probe.silence", "Does it advertise while nobody touches it?", answers=(1, 39))
async def silence(rig: Rig) -> None:  # noqa: D103
    if rig.features is None:
        skip("it did not tell its features")
    since_s = rig.clock.monotonic()
    await rig.wait(rig.pace.listen_s, "its advertisements are counted")
    count = rig.air.count_since(since_s)
    has_bit = Feature.SILENT_WHEN_IDLE in rig.features
    rig.answer("D39", f"feature 21 is {'on' if has_bit else 'off'}; untouched: {count} adverts")
    rig.answer("D1", f"found without a filter by service, {count} times")


def _yes(is_so: bool) -> str:
    return "works" if is_so else "does not"


def _said(refusal: str | None) -> str:
    return "taken" if refusal is None else f"refused ({refusal.lower()})"


def _named(error: Exception) -> str:
    if isinstance(error, CommandRefused):
        return error.refusal.name.lower()
    assert isinstance(error, AgentError)
    return error.code
