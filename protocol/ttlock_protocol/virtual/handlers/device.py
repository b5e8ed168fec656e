"""Device information (reference 6.19)."""

from __future__ import annotations

from typing import Final

from ttlock_protocol.errors import Refusal
from ttlock_protocol.messages.device import (
    DeviceClock,
    DeviceMac,
    DeviceSignal,
    DeviceText,
    DeviceTextAnswer,
    GetDeviceClock,
    GetDeviceMac,
    GetDeviceSignal,
    GetDeviceText,
)
from ttlock_protocol.virtual.visit import Refused, Visit, handles

UNKNOWN_KIND: Final = Refusal.FINGERPRINT_EXISTS
"""What 0x19 means in answer to this command."""


@handles(GetDeviceText)
def get_text(visit: Visit, request: GetDeviceText) -> DeviceTextAnswer:
    """Tell one text."""
    device = visit.body.memory.device
    texts = {
        DeviceText.MODEL: device.model,
        DeviceText.HARDWARE: device.hardware,
        DeviceText.FIRMWARE: device.firmware,
        DeviceText.PRODUCED: device.produced,
    }
    if request.kind not in texts:
        raise Refused(UNKNOWN_KIND)
    return DeviceTextAnswer(text=texts[request.kind])


@handles(GetDeviceMac)
def get_mac(visit: Visit, _: GetDeviceMac) -> DeviceMac:
    """Tell the Bluetooth address."""
    return DeviceMac(mac=visit.body.memory.mac)


@handles(GetDeviceClock)
def get_clock(visit: Visit, _: GetDeviceClock) -> DeviceClock:
    """Tell the local time."""
    return DeviceClock(local_time=visit.local_time)


@handles(GetDeviceSignal)
def get_signal(visit: Visit, _: GetDeviceSignal) -> DeviceSignal:
    """Tell the strength of the NB-IoT signal, where there is such a radio."""
    rssi_dbm = visit.body.memory.device.nb_rssi_dbm
    if rssi_dbm is None:
        raise Refused(UNKNOWN_KIND)
    return DeviceSignal(rssi_dbm=rssi_dbm)
