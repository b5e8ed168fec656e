"""Keypad passcodes: add, modify, delete, clear, recover, list (reference 6.6)."""

from __future__ import annotations

from dataclasses import replace

from ttlock_protocol.errors import Refusal
from ttlock_protocol.features import Feature
from ttlock_protocol.messages.passcodes import (
    AddPasscode,
    ClearPasscodes,
    DeletePasscode,
    GetPasscodes,
    ModifyPasscode,
    PasscodePage,
    PasscodesChanged,
    PasscodeType,
    RecoverPasscode,
)
from ttlock_protocol.virtual.memory import StoredPasscode
from ttlock_protocol.virtual.visit import Refused, Visit, handles


@handles(AddPasscode)
def add(visit: Visit, request: AddPasscode) -> PasscodesChanged:
    """Store a custom passcode."""
    _store(
        visit,
        StoredPasscode(
            passcode_type=request.passcode_type,
            passcode=request.passcode,
            original_passcode=request.passcode,
            valid_from=request.valid_from,
            valid_until=request.valid_until,
        ),
    )
    return _changed(visit, request.operation)


@handles(RecoverPasscode)
def recover(visit: Visit, request: RecoverPasscode) -> PasscodesChanged:
    """Put a passcode back, of any type."""
    if request.passcode_type == PasscodeType.CYCLIC:
        visit.require_feature(Feature.RECOVER_CYCLIC_PASSCODE)
    _store(
        visit,
        StoredPasscode(
            passcode_type=request.passcode_type,
            passcode=request.passcode,
            original_passcode=request.original_passcode,
            valid_from=request.valid_from,
            valid_until=request.valid_until,
            cycle_number=request.cycle_number,
        ),
    )
    return _changed(visit, request.operation)


@handles(ModifyPasscode)
def modify(visit: Visit, request: ModifyPasscode) -> PasscodesChanged:
    """Change digits, validity or both; a permanent passcode that gets dates becomes a period."""
    visit.require_feature(Feature.MODIFY_PASSCODE)
    stored = _find(visit, request.passcode)
    new = request.new_passcode or stored.passcode
    if new != stored.passcode and _exists(visit, new):
        raise Refused(Refusal.PASSCODE_EXISTS)
    changed = replace(stored, passcode=new)
    if request.valid_from is not None:
        is_permanent = stored.passcode_type == PasscodeType.PERMANENT
        changed = replace(
            changed,
            passcode_type=PasscodeType.PERIOD if is_permanent else stored.passcode_type,
            valid_from=request.valid_from,
            valid_until=None if stored.cycle_number is not None else request.valid_until,
        )
    passcodes = visit.body.memory.passcodes
    at = passcodes.index(stored)
    visit.body.change(passcodes=(*passcodes[:at], changed, *passcodes[at + 1 :]))
    return _changed(visit, request.operation)


@handles(DeletePasscode)
def delete(visit: Visit, request: DeletePasscode) -> PasscodesChanged:
    """Remove one passcode, whatever its type is said to be."""
    stored = _find(visit, request.passcode)
    passcodes = visit.body.memory.passcodes
    visit.body.change(passcodes=tuple(each for each in passcodes if each is not stored))
    return _changed(visit, request.operation)


@handles(ClearPasscodes)
def clear(visit: Visit, request: ClearPasscodes) -> PasscodesChanged:
    """Remove all that is stored; unused cloud-generated passcodes are not, and stay good."""
    passcodes = visit.body.memory.passcodes
    visit.body.change(passcodes=tuple(each for each in passcodes if not each.is_listed))
    return _changed(visit, request.operation)


@handles(GetPasscodes)
def get_page(visit: Visit, request: GetPasscodes) -> PasscodePage:
    """Tell one passcode; the page behind the last one is empty (D12)."""
    listed = [each for each in visit.body.memory.passcodes if each.is_listed]
    if request.cursor >= len(listed):
        return PasscodePage(next_cursor=None)
    return PasscodePage(next_cursor=request.cursor + 1, records=(listed[request.cursor].record,))


def _store(visit: Visit, passcode: StoredPasscode) -> None:
    memory = visit.body.memory
    if _exists(visit, passcode.passcode):
        raise Refused(Refusal.PASSCODE_EXISTS)
    if memory.has_no_room_for_passcodes:
        raise Refused(Refusal.PASSCODE_MEMORY_FULL)
    visit.body.change(passcodes=(*memory.passcodes, passcode))


def _exists(visit: Visit, digits: str) -> bool:
    memory = visit.body.memory
    return digits == memory.admin_passcode or any(
        each.passcode == digits for each in memory.passcodes
    )


def _find(visit: Visit, digits: str) -> StoredPasscode:
    for each in visit.body.memory.passcodes:
        if each.passcode == digits and each.is_listed:
            return each
    raise Refused(Refusal.PASSCODE_NOT_FOUND)


def _changed(visit: Visit, operation: int) -> PasscodesChanged:
    return PasscodesChanged(battery_percent=visit.battery_percent, operation=operation)
