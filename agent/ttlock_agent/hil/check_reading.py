"""What a lock must tell; nothing is written."""

from __future__ import annotations

from typing import Final

from ttlock_protocol.advertisement import Advertisement, parse
from ttlock_protocol.errors import CommandRefused, Refusal
from ttlock_protocol.features import Feature
from ttlock_protocol.localtime import clock_drift
from ttlock_protocol.message import Auth
from ttlock_protocol.messages.auth import CheckUser
from ttlock_protocol.messages.device import (
    DeviceText,
    GetDeviceClock,
    GetDeviceMac,
    GetDeviceSignal,
    GetDeviceText,
)
from ttlock_protocol.messages.log import OLDEST, GetLog, LogRecord
from ttlock_protocol.messages.operate import GetFeatures, GetState
from ttlock_protocol.messages.pages import Unreadable
from ttlock_protocol.messages.pairing import GetOfflinePasscodes
from ttlock_protocol.messages.rare import Button, ClickRemoteControl, GetHotelItem, GetRemoteControl
from ttlock_protocol.procedures import (
    authenticate_user,
    list_cards,
    list_fingerprints,
    list_passage_entries,
    read_log,
)

from .model import Chapter, Group, expect, skip
from .rig import Rig

CHECKS: Final = Chapter(Group.READING)
MAX_CLOCK_ERROR_S: Final = 60.0
_MAX_RECORDS: Final = 1000
_LATE: Final = range(42, 49)


@CHECKS.check("auth.user", "It takes us as a user, not only as its administrator.")
async def user(rig: Rig) -> None:  # noqa: D103 - the title says it
    async with rig.talk() as talk:
        await talk.client.run(authenticate_user(rig.profile.keys))


@CHECKS.check("features.read", "It says what it can do, passcodes among it.")
async def features(rig: Rig) -> None:  # noqa: D103
    async with rig.visit() as visit:
        words = await visit.ask(GetFeatures())
    expect(words.bits >> Feature.PASSCODE & 1, "Feature bit 0, passcodes, is off.")


@CHECKS.check("state.read", "It tells its bolt and its battery.", answers=(34, 35))
async def state(rig: Rig) -> None:  # noqa: D103
    async with rig.visit() as visit:
        told = await visit.ask(GetState())
    expect(told.bolt.is_known, f"The state of the bolt is {int(told.bolt)}, which means nothing.")
    expect(told.battery_percent <= 100, "The battery is no percentage.")
    rig.answer("D34", f"the third byte of the state is {told.raw_door_sensor}")
    seen = rig.air.sightings[-1] if rig.air.sightings else None
    advertisement = None if seen is None else parse(seen.manufacturer_data)
    if isinstance(advertisement, Advertisement):
        rig.answer(
            "D35",
            f"asked: {told.battery_percent} %, advertised: {advertisement.battery_percent} %",
        )


@CHECKS.check("clock.read", "Its clock can be read and is right within a minute.")
async def clock(rig: Rig) -> None:  # noqa: D103
    async with rig.visit() as visit:
        reading = await visit.read_clock()
    if reading is None:
        skip("this lock has no clock chip")
    expect(reading.error_s is not None, "The lock holds no time: set it with `clock.sync`.")
    assert reading.error_s is not None
    rig.measure("clock error", reading.error_s, "s")
    expect(
        abs(reading.error_s) <= MAX_CLOCK_ERROR_S,
        f"The clock is {reading.error_s:+.0f} s off: set it with `clock.sync`.",
    )


@CHECKS.check("device.texts", "It tells model, hardware and firmware.", answers=(25, 44))
async def texts(rig: Rig) -> None:  # noqa: D103
    async with rig.visit() as visit:
        told = {
            kind.name.lower(): (await visit.ask(GetDeviceText(kind=kind))).text
            for kind in (DeviceText.MODEL, DeviceText.HARDWARE, DeviceText.FIRMWARE)
        }
        produced = (await visit.ask(GetDeviceText(kind=DeviceText.PRODUCED))).text
    for name, text in told.items():
        expect(text, f"The text of its {name} is empty.")
    rig.answer("D25", "texts are whole: " + ", ".join(told.values()))
    rig.answer("D44", f"the production date reads {produced!r}")


@CHECKS.check("device.mac", "It tells the address that stands in its configuration.")
async def mac(rig: Rig) -> None:  # noqa: D103
    async with rig.visit() as visit:
        told = await visit.ask(GetDeviceMac())
    if not rig.is_virtual:
        expect(told.mac == rig.profile.address.upper(), f"It calls itself {told.mac}.")


@CHECKS.check("device.clock", "Its clock shows the same time by the other command.")
async def device_clock(rig: Rig) -> None:  # noqa: D103
    async with rig.visit() as visit:
        if await visit.read_clock() is None:
            skip("this lock has no clock chip")
        told = await visit.ask(GetDeviceClock())
    expect(told.local_time is not None, "It tells no time.")
    assert told.local_time is not None
    drift = clock_drift(told.local_time, rig.clock.now(), rig.profile.zone)
    expect(abs(drift.total_seconds()) <= MAX_CLOCK_ERROR_S, "It tells another time this way.")


@CHECKS.check("passcode.list", "All its passcodes can be read and understood.")
async def passcodes(rig: Rig) -> None:  # noqa: D103
    async with rig.visit() as visit:
        began_s = rig.clock.monotonic()
        listing = await visit.passcodes(is_fresh=True)
        seconds = rig.clock.monotonic() - began_s
    rig.measure("listing", seconds / (len(listing) + 1) * 1000, "ms a record")
    expect(not any(isinstance(r, Unreadable) for r in listing), "A passcode cannot be understood.")


@CHECKS.check("card.list", "All its cards can be read and understood.", feature=Feature.CARD)
async def cards(rig: Rig) -> None:  # noqa: D103
    async with rig.visit() as visit:
        listing = await visit.run(list_cards(), auth=Auth.ADMIN)
    expect(not any(isinstance(each, Unreadable) for each in listing), "A card is not understood.")


@CHECKS.check(
    "fingerprint.list",
    "All its fingerprints can be read and understood.",
    feature=Feature.FINGERPRINT,
    answers=(33,),
)
async def fingerprints(rig: Rig) -> None:  # noqa: D103
    async with rig.visit() as visit:
        listing = await visit.run(list_fingerprints(), auth=Auth.ADMIN)
    unreadable = any(isinstance(each, Unreadable) for each in listing)
    expect(not unreadable, "A fingerprint is not understood.")
    slots = [each.fingerprint[4:] for each in listing if not isinstance(each, Unreadable)]
    is_counted = len(set(slots)) == len(slots) and all(slot[0] == 0 for slot in slots)
    if slots:
        rig.answer(
            "D33",
            f"{len(slots)} identifiers; their last two bytes "
            + ("may be slot numbers" if is_counted else "are no slot numbers"),
        )


@CHECKS.check(
    "passage.list", "All its windows of passage mode can be read.", feature=Feature.PASSAGE_MODE
)
async def passage(rig: Rig) -> None:  # noqa: D103
    async with rig.visit() as visit:
        listing = await visit.run(list_passage_entries(), auth=Auth.ADMIN)
    expect(not any(isinstance(each, Unreadable) for each in listing), "A window is not understood.")


@CHECKS.check(
    "log.read", "Its log can be read, without moving anybody's bookmark.", answers=(17, 28)
)
async def log(rig: Rig) -> None:  # noqa: D103
    async with rig.visit() as visit:
        auth = Auth.ADMIN if rig.quirks.log_needs_admin else Auth.NOTHING
        refusal = await rig.refusal_of(visit, GetLog(cursor=OLDEST))
        is_empty = refusal == Refusal.RECORD_NOT_FOUND.name
        expect(refusal is None or is_empty, f"It refuses: {(refusal or '').lower()}.")
        part = await visit.run(read_log(cursor=OLDEST, limit=_MAX_RECORDS), auth=auth)
    rig.log_cursor = part.next_cursor
    records = [each for each in part.records if isinstance(each, LogRecord)]
    expect(len(records) == len(part.records), "A record of the log cannot be understood.")
    late = sorted({int(each.log_type) for each in records if int(each.log_type) in _LATE})
    rig.answer("D28", f"types seen of 42 to 48: {', '.join(map(str, late)) or 'none'}")
    keypads = [each for each in records if each.log_type == 56]
    rig.answer("D17", f"{len(keypads)} records of a wireless keypad")


@CHECKS.check("offline.read", "It tells the seed of the cloud's passcodes, or that it has none.")
async def offline(rig: Rig) -> None:  # noqa: D103
    async with rig.visit() as visit:
        try:
            await visit.ask(GetOfflinePasscodes())
        except CommandRefused as refused:
            has_none = {Refusal.RECORD_NOT_FOUND, Refusal.NOT_SUPPORTED}
            expect(refused.refusal in has_none, f"It refuses: {refused.refusal.name.lower()}.")


@CHECKS.check("device.signal", "A lock with NB-IoT tells its signal.", feature=Feature.NB_IOT)
async def signal(rig: Rig) -> None:  # noqa: D103
    async with rig.visit() as visit:
        told = await visit.ask(GetDeviceSignal())
    expect(told.rssi_dbm < 0, f"A signal of {told.rssi_dbm} dBm is none.")


@CHECKS.check("hotel.read", "A hotel lock tells its numbers.", feature=Feature.HOTEL_CARD)
async def hotel(rig: Rig) -> None:  # noqa: D103
    async with rig.visit() as visit:
        await visit.ask(GetHotelItem(item=3))


@CHECKS.check("remote.read", "A lock with key fobs tells of them.", feature=Feature.KEY_FOB)
async def remote(rig: Rig) -> None:  # noqa: D103
    async with rig.talk() as talk:
        await talk.client.request(_as_user(rig))
        await talk.client.request(GetRemoteControl())


@CHECKS.check("remote.press", "It takes the button that stops.", feature=Feature.KEY_FOB)
async def press(rig: Rig) -> None:
    """The one button that moves nothing."""
    async with rig.talk() as talk:
        told = await talk.client.request(_as_user(rig))
        await talk.client.request(
            ClickRemoteControl(
                proof=rig.profile.keys.proof(told.challenge),
                unique_id=int(rig.clock.now().timestamp()) & 0xFFFFFFFF,
                button=Button.STOP,
            )
        )


def _as_user(rig: Rig) -> CheckUser:
    return CheckUser(lock_flag_position=rig.profile.keys.lock_flag_position)
