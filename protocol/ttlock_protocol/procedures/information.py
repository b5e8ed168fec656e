"""What a lock says of itself (reference 6.19)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from ttlock_protocol.errors import CommandRefused, RemoteProtocolError
from ttlock_protocol.message import Request, Response
from ttlock_protocol.messages.device import (
    DeviceText,
    GetDeviceClock,
    GetDeviceMac,
    GetDeviceSignal,
    GetDeviceText,
)

from .core import NoAnswer, Procedure, ask

R = TypeVar("R", bound=Response)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceInfo:
    """Whatever the lock tells, ``None`` where it does not; texts are printable ASCII.

    ``local_time`` is lock-local. The ``nb_`` fields are for NB-IoT locks.
    """

    model: str | None = None
    hardware: str | None = None
    firmware: str | None = None
    produced: str | None = None
    mac: str | None = None
    local_time: datetime | None = None
    nb_operator: str | None = None
    nb_node_id: str | None = None
    nb_card_number: str | None = None
    nb_rssi_dbm: int | None = None


def read_device_info(*, has_nb_iot: bool = False) -> Procedure[DeviceInfo]:
    """Read all kinds of information; a kind that the lock refuses stays ``None``."""
    mac = yield from optional(GetDeviceMac())
    clock = yield from optional(GetDeviceClock())
    info = DeviceInfo(
        model=(yield from _text(DeviceText.MODEL)),
        hardware=(yield from _text(DeviceText.HARDWARE)),
        firmware=(yield from _text(DeviceText.FIRMWARE)),
        produced=(yield from _text(DeviceText.PRODUCED)),
        mac=mac.mac if mac else None,
        local_time=clock.local_time if clock else None,
    )
    if not has_nb_iot:
        return info
    signal = yield from optional(GetDeviceSignal())
    return replace(
        info,
        nb_operator=(yield from _text(DeviceText.NB_OPERATOR)),
        nb_node_id=(yield from _text(DeviceText.NB_NODE_ID)),
        nb_card_number=(yield from _text(DeviceText.NB_CARD_NUMBER)),
        nb_rssi_dbm=signal.rssi_dbm if signal else None,
    )


def optional(request: Request[R]) -> Procedure[R | None]:
    """Ask for something that a lock may not have: refused, silent or garbled counts as not."""
    try:
        return (yield from ask(request))
    except (CommandRefused, RemoteProtocolError, NoAnswer):
        return None


def _text(kind: DeviceText) -> Procedure[str | None]:
    answer = yield from optional(GetDeviceText(kind=kind))
    return answer.text if answer else None
