"""What wipes the lock: clearing lists, reset, enrolment, restore; only when asked for.

The agent in the box does it, by the same verbs as the service. From the reset on the lock knows
new keys, which are in the box's vault before the lock hears of them, and in the agent's soon after.
"""

from __future__ import annotations

import json
from typing import Any, Final
from uuid import uuid4

from ttlock_agent.errors import InterlockOpen
from ttlock_protocol.errors import CommandRefused, Refusal
from ttlock_protocol.features import Feature
from ttlock_protocol.message import Auth, Request
from ttlock_protocol.messages.cards import AddCard, ClearCards
from ttlock_protocol.messages.fingerprints import ClearFingerprints
from ttlock_protocol.messages.pairing import GetOfflinePasscodes, InitOfflinePasscodes, OfflineSeed
from ttlock_protocol.messages.passage import AddPassageEntry, ClearPassageEntries, PassageEntry
from ttlock_protocol.messages.passcodes import ClearPasscodes, PasscodeType
from ttlock_protocol.messages.rare import (
    SetHotelAesKey,
    SetHotelCardKey,
    SetHotelNumbers,
    SetNbAddress,
    SetWristbandKey,
)
from ttlock_protocol.procedures import (
    Procedure,
    list_cards,
    list_fingerprints,
    list_passage_entries,
    list_passcodes,
)

from .box import Box
from .check_contact import snapshot_of
from .check_passcodes import hour_from, new_passcode
from .model import Chapter, CheckFailed, Group, Need, expect, skip
from .rig import Rig

CHECKS: Final = Chapter(Group.DESTRUCTIVE)
_WIPE: Final = "wipe"
_SEED_YEARS: Final = 10


def _request_id() -> str:
    return f"hil-{uuid4().hex}"


def _wipe(rig: Rig) -> dict[str, Any]:
    """Return the note of the wipe that is under way; skips where there is none."""
    note = rig.noted(_WIPE)
    if not note:
        skip("there is no backup of this run")
    found: dict[str, Any] = json.loads(note)
    return found


@CHECKS.check(
    "wipe.backup", "The agent backs it up, and the backup agrees with it.", Need.DESTRUCTIVE
)
async def backup(rig: Rig) -> None:  # noqa: D103 - the title says it
    digits = rig.mac.replace(":", "")[-6:]
    if not digits:
        raise InterlockOpen(
            "The lock does not tell its address, so nobody can say that it is the right one.",
            hint="Leave out --destructive for this lock.",
        )
    await rig.interlocks.may_wipe(digits, rig.typed_mac_digits)
    async with rig.boxed(_WIPE) as box:
        made = await box.ask("backup.create", _request_id())
        await box.ask("backup.verify", _request_id(), backup=made["backup"])
    rig.note(_WIPE, json.dumps({"backup": made["backup"], "mac_digits": digits, "stage": "backup"}))


async def _clears(
    rig: Rig, fill: Request[Any] | None, clear: Request[Any], listing: Procedure[Any]
) -> None:
    _wipe(rig)
    async with rig.visit() as visit:
        if fill is not None:
            await visit.ask(fill)
        await visit.ask(clear)
        left = await visit.run(listing, auth=Auth.ADMIN)
    expect(not left, f"The lock said yes, and still lists {len(left)}.")


@CHECKS.check("wipe.passcodes", "All passcodes can be cleared at once.", Need.DESTRUCTIVE)
async def clear_passcodes(rig: Rig) -> None:  # noqa: D103
    fill = new_passcode(rig, PasscodeType.PERMANENT, rig.new_digits())
    await _clears(rig, fill, ClearPasscodes(), list_passcodes())


@CHECKS.check(
    "wipe.cards", "All cards can be cleared at once.", Need.DESTRUCTIVE, feature=Feature.CARD
)
async def clear_cards(rig: Rig) -> None:  # noqa: D103
    begin, end = hour_from(rig)
    fill = AddCard(card_number=rig.random_bytes(4), valid_from=begin, valid_until=end)
    await _clears(rig, fill, ClearCards(), list_cards())


@CHECKS.check(
    "wipe.fingerprints",
    "All fingerprints can be cleared at once.",
    Need.DESTRUCTIVE,
    feature=Feature.FINGERPRINT,
)
async def clear_fingerprints(rig: Rig) -> None:  # noqa: D103
    before = snapshot_of(rig)
    if before is None or not before.fingerprints:
        skip("it held none")
    await _clears(rig, None, ClearFingerprints(), list_fingerprints())


@CHECKS.check(
    "wipe.passage",
    "Passage mode can be cleared at once.",
    Need.DESTRUCTIVE,
    feature=Feature.PASSAGE_MODE,
)
async def clear_passage(rig: Rig) -> None:  # noqa: D103
    fill = AddPassageEntry(entry=PassageEntry())
    await _clears(rig, fill, ClearPassageEntries(), list_passage_entries())


@CHECKS.check("wipe.offline", "The seed of the cloud's passcodes can be set.", Need.DESTRUCTIVE)
async def offline(rig: Rig) -> None:
    """The reset that follows takes it away again."""
    _wipe(rig)
    seeds = tuple(
        OfflineSeed(code=1 + rig.random_bytes(1)[0], secret=year) for year in range(_SEED_YEARS)
    )
    async with rig.visit() as visit:
        try:
            await visit.ask(
                InitOfflinePasscodes(first_year=rig.local_now().year % 100, seeds=seeds)
            )
        except CommandRefused as refused:
            if refused.refusal == Refusal.NOT_SUPPORTED:
                skip("it does not know the command")
            raise
        told = await visit.ask(GetOfflinePasscodes())
    expect(told.seed == seeds[0], "The lock said yes, and tells another seed.")


@CHECKS.check("wipe.special", "Special hardware takes its settings.", Need.DESTRUCTIVE)
async def special(rig: Rig) -> None:
    """They cannot be read: that they are taken is all there is to see."""
    _wipe(rig)
    has = rig.features
    requests: list[Request[Any]] = []
    for feature, request in (
        (Feature.NB_IOT, SetNbAddress(port=5683, address="127.0.0.1")),
        (Feature.WRISTBAND, SetWristbandKey(key="hil-test")),
        (Feature.HOTEL_CARD, SetHotelNumbers(hotel=1, building=1, floor=1)),
        (Feature.HOTEL_CARD, SetHotelCardKey(key=rig.random_bytes(6))),
        (Feature.HOTEL_CARD, SetHotelAesKey(key=rig.random_bytes(16))),
    ):
        requests += [request] if has is not None and feature in has else []
    if not requests:
        skip("it has no special hardware")
    async with rig.visit() as visit:
        for each in requests:
            await visit.ask(each)


@CHECKS.check("wipe.reset", "It forgets everything, and our keys with it.", Need.DESTRUCTIVE)
async def reset(rig: Rig) -> None:
    """Back up what is left of it, so that the interlock of the reset is content, then reset."""
    wipe = _wipe(rig)
    async with rig.boxed(_WIPE) as box:
        now = await box.ask("backup.create", _request_id())
        request = {"backup": now["backup"]}
        told = await box.ask("lock.reset", _request_id(), **request, dry_run=True)
        rig.note(_WIPE, json.dumps(wipe | {"stage": "reset"}))
        await box.ask(
            "lock.reset",
            _request_id(),
            **request,
            mac_digits=wipe["mac_digits"],
            confirm=told["confirm"],
        )


@CHECKS.check(
    "wipe.enrol", "It takes us as its new administrator.", Need.DESTRUCTIVE, answers=(29,)
)
async def enrol(rig: Rig) -> None:  # noqa: D103
    wipe = _wipe(rig)
    if wipe["stage"] != "reset":
        skip("it was not reset")
    box = rig.box(_WIPE)
    async with rig.boxed_as(box):
        try:
            await box.ask("lock.enrol", _request_id(), gives_up_app=True)
        except CheckFailed as error:
            if "client_token_refused" in str(error):
                token = rig.quirks.client_token.decode("ascii", "replace")
                rig.answer("D29", f"the token {token} is refused: set quirks.client_token")
            raise
    await _adopt(rig, box)
    rig.answer("D29", f"the token {rig.quirks.client_token.decode('ascii', 'replace')} is taken")
    rig.note(_WIPE, json.dumps(wipe | {"stage": "enrolled"}))


@CHECKS.check("wipe.restore", "It gets back what it held, item by item.", Need.DESTRUCTIVE)
async def restore(rig: Rig) -> None:  # noqa: D103
    wipe = _wipe(rig)
    if wipe["stage"] != "enrolled":
        skip("it was not enrolled")
    box = rig.box(_WIPE)
    async with rig.boxed_as(box):
        await box.ask("lock.restore", _request_id(), backup=wipe["backup"])
    rig.note(_WIPE, "")


async def _adopt(rig: Rig, box: Box) -> None:
    keys = await box.keys()
    if keys is None:
        raise CheckFailed("The lock's new keys are not in the box.")
    await rig.adopt(keys)


async def finish_wipe(rig: Rig) -> bool:
    """Go on with a wipe that a power cut or a failure ended: enrol, adopt, restore.

    Returns whether there was one. Raises ``CheckFailed`` when it cannot be finished now.
    """
    note = rig.noted(_WIPE)
    if not note:
        return False
    wipe = json.loads(note)
    box = rig.box(_WIPE)
    rig.person.say("      going on with the reset and restore of an earlier run")
    if wipe["stage"] == "reset":
        known = await box.keys()
        async with rig.boxed_as(box):
            try:
                await box.ask("lock.enrol", _request_id(), gives_up_app=True)
            except CheckFailed as error:
                # A lock that was not reset after all still knows its old keys.
                if known is None or "not_in_setting_mode" not in str(error):
                    raise
        await _adopt(rig, box)
        rig.note(_WIPE, json.dumps(wipe | {"stage": "enrolled"}))
    async with rig.boxed_as(box):
        await box.ask("lock.restore", _request_id(), backup=wipe["backup"])
    rig.note(_WIPE, "")
    return True
