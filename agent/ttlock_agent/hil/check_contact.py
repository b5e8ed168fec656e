"""Finding the lock, being let in, and keeping what it holds before anything is changed."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

import msgspec

from ttlock_agent.backup.content import Content, decode_content, encode_content
from ttlock_agent.backup.read import read_lock
from ttlock_agent.errors import AgentError, LockNotSeen
from ttlock_agent.lock.visit import Visit
from ttlock_protocol.errors import CommandRefused, ProtocolError, Refusal
from ttlock_protocol.features import FeatureSet
from ttlock_protocol.messages.operate import GetFeatures, GetState

from .book import Identified, Snapshot
from .model import Chapter, CheckFailed, Group
from .rig import Rig

CHECKS: Final = Chapter(Group.CONTACT)

_HABITS: Final[tuple[tuple[str, dict[str, bool], str], ...]] = (
    ("", {}, ""),
    ("D20", {"says_hello_first": True}, "it takes nothing before a greeting"),
    ("D6", {"mirrors_header": False}, "it wants the header it advertises, not the one it answers"),
    ("D7", {"pads_empty_payload": True}, "it wants padding where there is nothing to say"),
    ("D2", {"ignores_checksum": True}, "its checksums are not those of the protocol"),
    ("D38", {"writes_with_response": True}, "it hears only writes that are acknowledged"),
)
"""What may be odd about a lock that does not let us in: question, quirk, and the answer if so."""
_WRONG_KEYS: Final = frozenset(
    {Refusal.WRONG_ADMIN_SECRET, Refusal.EKEYS_WERE_RESET, Refusal.NO_ADMINISTRATOR}
)
_SNAPSHOT: Final = "hil-snapshot"


@CHECKS.check("contact.find", "It is found on the air and takes our keys.")
async def find(rig: Rig) -> None:
    """Try the lock as configured, then with one oddity after the other."""
    first: Exception | None = None
    for question, quirks, meaning in _HABITS:
        try:
            await _try(rig, quirks)
        except CommandRefused as error:
            if error.refusal in _WRONG_KEYS:
                raise CheckFailed(
                    "The lock does not accept the administrator's keys: it was reset, or paired"
                    " anew. Import its new keys."
                ) from error
            first = first or error
        except (AgentError, ProtocolError) as error:
            first = first or error
        else:
            if question:
                rig.answer(question, meaning, **quirks)
            return
    assert first is not None, "the first try failed, or we were in"
    raise CheckFailed(f"The lock does not let us in, whatever is tried: {first}") from first


async def _try(rig: Rig, quirks: dict[str, bool]) -> None:
    before = rig.profile
    rig.use_quirks(**quirks)
    is_in = False
    try:
        async with rig.visit() as visit:
            await visit.be_admin()
            is_in = True
            words = await visit.ask(GetFeatures())
            rig.features = FeatureSet(words.bits)
    except CommandRefused:
        if not is_in:
            rig.use_quirks(**_fields(before.quirks))
            raise
    except (AgentError, ProtocolError):
        rig.use_quirks(**_fields(before.quirks))
        raise


def _fields(quirks: Any) -> dict[str, Any]:
    return {name: getattr(quirks, name) for name in quirks.__slots__}


@CHECKS.check("contact.identify", "It says who it is, and has power and signal enough to go on.")
async def identify(rig: Rig) -> None:
    """Read what it is; the interlocks for battery and signal close here."""
    async with rig.visit() as visit:
        content = await read_lock(visit, rig.profile, rig.clock)
        facts = content.lock
        battery = await _battery(visit)
    rig.mac = facts.mac or ""
    await _be_heard(rig)
    told = {
        "address": facts.mac or rig.profile.address,
        "model": facts.model,
        "hardware": facts.hardware,
        "firmware": facts.firmware,
        "produced": facts.produced,
        "features": facts.features,
        "time zone": facts.zone,
        "clock error": None if facts.clock_error_s is None else f"{facts.clock_error_s:+.0f} s",
        "battery": None if battery is None else f"{battery} %",
        "signal": None if rig.air.rssi_dbm is None else f"{rig.air.rssi_dbm} dBm",
        "passcodes held": str(len(content.passcodes)),
        "cards held": str(len(content.cards)),
        "fingerprints held": str(len(content.fingerprints)),
    }
    rig.book.write(
        Identified(
            at=rig.book.now(), facts={name: text for name, text in told.items() if text is not None}
        )
    )
    rig.held = frozenset(each.passcode for each in content.passcodes)
    if content.admin_passcode:
        rig.held |= {content.admin_passcode}
    if rig.book.last(Snapshot) is None:
        sealed = rig.vault.seal(_SNAPSHOT, encode_content(content))
        rig.book.write(Snapshot(at=rig.book.now(), sealed=sealed))
    rig.interlocks.has_power(battery)
    rig.interlocks.is_heard(rig.air.rssi_dbm)


async def _be_heard(rig: Rig) -> None:
    """Wait for a first advertisement, whose strength the interlock wants; there may be none."""
    if rig.air.rssi_dbm is None:
        with suppress(LockNotSeen):
            await rig.air.wait_for(lambda _: True, limit_s=rig.pace.heard_s)


async def _battery(visit: Visit) -> int | None:
    try:
        return (await visit.ask(GetState())).battery_percent
    except CommandRefused:
        return None


def snapshot_of(rig: Rig) -> Content | None:
    """Return what the lock held before the first change; ``None`` before that was read."""
    kept = rig.book.last(Snapshot)
    if kept is None:
        return None
    try:
        return decode_content(rig.vault.open(_SNAPSHOT, kept.sealed))
    except msgspec.DecodeError as error:
        raise CheckFailed("What the lock held before cannot be read any more.") from error
