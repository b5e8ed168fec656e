"""Whether a memory can be said at all: a file that somebody edited may hold what no frame does.

A lock that finds out in the middle of a conversation can only break.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ttlock_protocol.errors import LocalProtocolError
from ttlock_protocol.features import FeatureSet
from ttlock_protocol.message import Message
from ttlock_protocol.messages.admin import AdminPasscode
from ttlock_protocol.messages.cards import CardPage
from ttlock_protocol.messages.device import DeviceMac, DeviceSignal, DeviceTextAnswer
from ttlock_protocol.messages.fingerprints import FingerprintPage
from ttlock_protocol.messages.log import LogPage
from ttlock_protocol.messages.operate import FeatureWords, State
from ttlock_protocol.messages.pages import NO_MORE
from ttlock_protocol.messages.pairing import OfflinePasscodes
from ttlock_protocol.messages.passage import PASSAGE_END, PassagePage
from ttlock_protocol.messages.passcodes import PasscodePage, check_digits
from ttlock_protocol.messages.settings import AutoLock, Sound, Switches

from .memory import LOG_CAPACITY, Memory

MAX_CONTENT_BYTES: Final = 237
"""What fits into the largest frame behind echo and status, padded."""
_FEATURE_LIMIT: Final = 8 * (MAX_CONTENT_BYTES - 1)


def check_sayable(memory: Memory) -> None:
    """Say once, to nobody, whatever the lock may be asked for.

    Raises ``LocalProtocolError`` with the place of what cannot be said, never with the value.
    """
    _check_numbers(memory)
    for place, message in _sayings(memory):
        try:
            size = len(message.encode())
        except LocalProtocolError as error:
            raise LocalProtocolError(f"{place}: {error}") from None
        if size > MAX_CONTENT_BYTES:
            raise LocalProtocolError(f"{place} does not fit into a frame")


def _check_numbers(memory: Memory) -> None:
    """Refuse what every message could hold and no lock does."""
    if not all(0 <= feature < _FEATURE_LIMIT for feature in memory.features):
        raise LocalProtocolError(f"features are 0 to {_FEATURE_LIMIT - 1}")
    capacity = memory.capacity
    for kind, held, fitting, end in (
        ("passcodes", memory.passcodes, capacity.passcodes, NO_MORE),
        ("cards", memory.cards, capacity.cards, NO_MORE),
        ("fingerprints", memory.fingerprints, capacity.fingerprints, NO_MORE),
        ("passage", memory.passage, capacity.passage_entries, PASSAGE_END),
    ):
        # The page behind the last one needs a number that does not end the list.
        if fitting < 0 or max(fitting, len(held)) >= end:
            raise LocalProtocolError(f"{kind}: none to {end - 1} fit into a lock")
    log = memory.log
    if not len(log.records) <= min(log.written, LOG_CAPACITY):
        raise LocalProtocolError(f"a log holds the last {LOG_CAPACITY} of what was written to it")
    for index, each in enumerate(memory.passcodes):
        try:
            check_digits(each.passcode)
        except LocalProtocolError as error:
            raise LocalProtocolError(f"passcodes[{index}]: {error}") from None


def _sayings(memory: Memory) -> Iterator[tuple[str, Message]]:
    yield "mac", DeviceMac(mac=memory.mac)
    yield "admin_passcode", AdminPasscode(battery_percent=0, passcode=memory.admin_passcode or "")
    bits = FeatureSet.of(memory.features).bits
    yield "features", FeatureWords(battery_percent=0, bits=bits)
    yield "bolt", State(battery_percent=0, bolt=memory.bolt.state, raw_door_sensor=None)
    yield from _settings(memory)
    yield from _device(memory)
    if (held := memory.offline_seeds) is not None:
        for seed in held.seeds:
            told = OfflinePasscodes(battery_percent=0, seed=seed, cleared_at=held.reset_at)
            yield "offline_seeds", told
    for index, passcode in enumerate(memory.passcodes):
        yield f"passcodes[{index}]", PasscodePage(next_cursor=0, records=(passcode.record,))
    for index, record in enumerate(memory.log.records):
        yield f"log.records[{index}]", LogPage(next_cursor=0, records=(record,))
    for index, card in enumerate(memory.cards):
        cards = CardPage(battery_percent=0, next_cursor=0, records=(card,))
        yield f"cards[{index}]", cards
    for index, fingerprint in enumerate(memory.fingerprints):
        fingers = FingerprintPage(battery_percent=0, next_cursor=0, records=(fingerprint,))
        yield f"fingerprints[{index}]", fingers
    for index, entry in enumerate(memory.passage):
        entries = PassagePage(battery_percent=0, next_cursor=0, records=(entry,))
        yield f"passage[{index}]", entries


def _settings(memory: Memory) -> Iterator[tuple[str, Message]]:
    settings = memory.settings
    auto_lock = AutoLock(
        battery_percent=0,
        delay_s=settings.auto_lock_s,
        min_delay_s=settings.auto_lock_min_s,
        max_delay_s=settings.auto_lock_max_s,
        is_locking_on_close=settings.is_locking_on_close,
    )
    yield "settings", auto_lock
    yield "settings", Sound(battery_percent=0, is_on=settings.is_sound_on, volume=settings.volume)
    yield "settings", Switches(battery_percent=0, bits=settings.switches)


def _device(memory: Memory) -> Iterator[tuple[str, Message]]:
    device = memory.device
    for text in (device.model, device.hardware, device.firmware, device.produced):
        yield "device", DeviceTextAnswer(text=text)
    if device.nb_rssi_dbm is not None:
        yield "device", DeviceSignal(rssi_dbm=device.nb_rssi_dbm)
