"""What only an owner does: admin passcode, name, limits, reset (reference 6.5, 6.18, 6.21)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from ttlock_protocol.errors import Refusal
from ttlock_protocol.features import Feature
from ttlock_protocol.messages.admin import (
    MAX_NAME_BYTES,
    AdminPasscode,
    AdminPasscodeSet,
    DeviceParameterSet,
    GetAdminPasscode,
    LockNameSet,
    MaxPasscodesSet,
    Reset,
    ResetDone,
    SetAdminPasscode,
    SetDeviceParameter,
    SetLockName,
    SetMaxPasscodes,
)
from ttlock_protocol.virtual.visit import Refused, Visit, handles

_NAME_COMMAND: Final = "AT+NAME="


@handles(SetAdminPasscode)
def set_admin_passcode(visit: Visit, request: SetAdminPasscode) -> AdminPasscodeSet:
    """Set the administrator's keypad passcode, unless it is somebody else's."""
    for each in visit.body.memory.passcodes:
        if each.passcode == request.passcode:
            raise Refused(
                Refusal.SAME_AS_ERASE_CODE if each.is_erase_code else Refusal.PASSCODE_EXISTS
            )
    visit.body.change(admin_passcode=request.passcode)
    return AdminPasscodeSet(battery_percent=visit.battery_percent)


@handles(GetAdminPasscode)
def get_admin_passcode(visit: Visit, _: GetAdminPasscode) -> AdminPasscode:
    """Tell the administrator's keypad passcode."""
    visit.require_feature(Feature.GET_ADMIN_PASSCODE)
    return AdminPasscode(
        battery_percent=visit.battery_percent, passcode=visit.body.memory.admin_passcode or ""
    )


@handles(SetLockName)
def set_name(visit: Visit, request: SetLockName) -> LockNameSet:
    """Take another name."""
    visit.body.change(name=request.name)
    return LockNameSet(battery_percent=visit.battery_percent)


@handles(SetDeviceParameter)
def set_parameter(visit: Visit, request: SetDeviceParameter) -> DeviceParameterSet:
    """Take another name, the other way; no other command is known."""
    if not request.command.startswith(_NAME_COMMAND):
        raise Refused(Refusal.NOT_SUPPORTED)
    name = request.command.removeprefix(_NAME_COMMAND)
    if not 1 <= len(name) <= MAX_NAME_BYTES:
        raise Refused(Refusal.INVALID_PARAMETER)
    visit.body.change(name=name)
    return DeviceParameterSet(body=bytes((visit.battery_percent,)))


@handles(SetMaxPasscodes)
def set_max_passcodes(visit: Visit, request: SetMaxPasscodes) -> MaxPasscodesSet:
    """Take no more passcodes than that; those that are there stay."""
    memory = visit.body.memory
    visit.body.change(capacity=replace(memory.capacity, passcodes=request.count))
    return MaxPasscodesSet(battery_percent=visit.battery_percent)


@handles(Reset)
def reset(visit: Visit, _: Reset) -> ResetDone:
    """Forget everything; the link goes with it."""
    visit.body.memory = visit.body.memory.wiped()
    visit.is_over = True
    return ResetDone(battery_percent=None)
