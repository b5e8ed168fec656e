"""Fingerprints (reference 6.8)."""

from __future__ import annotations

from ttlock_protocol.errors import Refusal
from ttlock_protocol.features import Feature
from ttlock_protocol.message import Opcode
from ttlock_protocol.messages.fingerprints import (
    ClearFingerprints,
    DeleteFingerprint,
    EnrolFingerprint,
    FingerprintLearning,
    FingerprintPage,
    FingerprintRecord,
    FingerprintsChanged,
    GetFingerprints,
    ModifyFingerprint,
)
from ttlock_protocol.messages.learning import LearnStatus
from ttlock_protocol.messages.log import LogType
from ttlock_protocol.messages.pages import NO_MORE
from ttlock_protocol.virtual import panel
from ttlock_protocol.virtual.visit import Refused, Visit, handles


@handles(GetFingerprints)
def get_page(visit: Visit, request: GetFingerprints) -> FingerprintPage:
    """Tell one fingerprint; the page behind the last one is empty."""
    visit.require_feature(Feature.FINGERPRINT)
    fingerprints = visit.body.memory.fingerprints
    is_there = request.cursor < len(fingerprints)
    return FingerprintPage(
        battery_percent=visit.battery_percent,
        next_cursor=request.cursor + 1 if is_there else NO_MORE,
        records=fingerprints[request.cursor : request.cursor + 1],
    )


@handles(EnrolFingerprint)
def enrol(visit: Visit, _: EnrolFingerprint) -> FingerprintLearning:
    """Wait for a finger."""
    visit.require_feature(Feature.FINGERPRINT)
    memory = visit.body.memory
    if len(memory.fingerprints) >= memory.capacity.fingerprints:
        raise Refused(Refusal.MEMORY_FULL)
    visit.learn(Opcode.FINGERPRINTS)
    return FingerprintLearning(
        battery_percent=visit.battery_percent,
        status=LearnStatus.READY,
        scans_done=None,
        scans_total=panel.SCANS_PER_FINGER,
        fingerprint=None,
    )


@handles(ModifyFingerprint)
def modify(visit: Visit, request: ModifyFingerprint) -> FingerprintsChanged:
    """Change the validity of one fingerprint."""
    visit.require_feature(Feature.FINGERPRINT)
    at = _place(visit, request.fingerprint)
    fingerprints = visit.body.memory.fingerprints
    changed = FingerprintRecord(
        fingerprint=request.fingerprint,
        valid_from=request.valid_from,
        valid_until=request.valid_until,
    )
    visit.body.change(fingerprints=(*fingerprints[:at], changed, *fingerprints[at + 1 :]))
    return _changed(visit, request.operation)


@handles(DeleteFingerprint)
def delete(visit: Visit, request: DeleteFingerprint) -> FingerprintsChanged:
    """Remove one fingerprint and its weekly hours."""
    visit.require_feature(Feature.FINGERPRINT)
    at = _place(visit, request.fingerprint)
    fingerprints = visit.body.memory.fingerprints
    visit.body.change(fingerprints=fingerprints[:at] + fingerprints[at + 1 :])
    panel.forget_schedules(visit.body, request.fingerprint)
    visit.body.record(visit.now, LogType.FINGERPRINT_DELETED, credential=request.fingerprint)
    return _changed(visit, request.operation)


@handles(ClearFingerprints)
def clear(visit: Visit, request: ClearFingerprints) -> FingerprintsChanged:
    """Remove all fingerprints and their weekly hours."""
    visit.require_feature(Feature.FINGERPRINT)
    for each in visit.body.memory.fingerprints:
        panel.forget_schedules(visit.body, each.fingerprint)
    visit.body.change(fingerprints=())
    visit.body.record(visit.now, LogType.FINGERPRINTS_CLEARED)
    return _changed(visit, request.operation)


def _place(visit: Visit, fingerprint: bytes) -> int:
    found = panel.find_fingerprint(visit.body, fingerprint)
    if found is None:
        raise Refused(Refusal.FINGERPRINT_NOT_FOUND)
    return visit.body.memory.fingerprints.index(found)


def _changed(visit: Visit, operation: int) -> FingerprintsChanged:
    return FingerprintsChanged(battery_percent=visit.battery_percent, operation=operation)
