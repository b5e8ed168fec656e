"""Fingerprints: enrol, modify, delete, clear, list (reference 6.8).

An identifier is 6 opaque bytes (disagreement D33). Uploading a template is left out: its layout
has one source and was never seen to work on a lock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as plain_field
from datetime import datetime
from typing import Any, Final

from ttlock_protocol.errors import LocalProtocolError
from ttlock_protocol.message import (
    Auth,
    Opcode,
    Request,
    Response,
    const,
    field,
    request,
    response,
)
from ttlock_protocol.wire import DATE5, U8, U16, Enum8, Octets, Reader

from .changes import Changed, ChangeRequest
from .learning import LearnStatus, WindowRecords, is_done
from .pages import Page, PageRequest, Unreadable

FINGERPRINT_BYTES: Final = 6
_ID: Final = Octets(FINGERPRINT_BYTES)
_OLD_LIST_ECHO: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class FingerprintRecord:
    """One fingerprint as the lock holds it; the validity is lock-local.

    Weekly limits (:mod:`.schedules`) do not show here.
    """

    fingerprint: bytes = plain_field(repr=False)
    valid_from: datetime
    valid_until: datetime


class _FingerprintRecordCodec:
    def encode(self, value: FingerprintRecord, out: bytearray) -> None:
        _ID.encode(value.fingerprint, out)
        DATE5.encode(value.valid_from, out)
        DATE5.encode(value.valid_until, out)

    def decode(self, reader: Reader) -> FingerprintRecord:
        return FingerprintRecord(
            fingerprint=_ID.decode(reader),
            valid_from=DATE5.decode(reader),
            valid_until=DATE5.decode(reader),
        )


@response(Opcode.FINGERPRINTS)
class FingerprintPage(Page):
    """One fingerprint or none; ``next_cursor`` FFFF ends the list."""

    battery_percent: int = field(U8)
    operation: int = const(6, also=frozenset({_OLD_LIST_ECHO}))
    next_cursor: int = field(U16)
    records: tuple[FingerprintRecord | Unreadable, ...] = field(
        WindowRecords(_FingerprintRecordCodec()), default=()
    )


@request(Opcode.FINGERPRINTS, auth=Auth.ADMIN, is_repeatable=True)
class GetFingerprints(PageRequest[FingerprintPage]):
    """Read a page; the first cursor is 0."""

    operation: int = const(6)
    cursor: int = field(U16, default=0)


def _is_scan_again(values: Mapping[str, Any]) -> bool:
    return bool(values["status"] == LearnStatus.SCAN_AGAIN)


def _counts_scans(values: Mapping[str, Any]) -> bool:
    return values["status"] in (LearnStatus.READY, LearnStatus.SCAN_AGAIN)


@response(Opcode.FINGERPRINTS, is_push=True)
class FingerprintLearning(Response):
    """Where enrolling stands: ``READY``, ``SCAN_AGAIN`` after each scan but the last, ``DONE``.

    ``scans_done`` comes with ``SCAN_AGAIN``, ``scans_total`` with both of the first (where the
    firmware tells), ``fingerprint`` (6 bytes) with ``DONE``.
    """

    battery_percent: int = field(U8)
    operation: int = const(2)
    status: LearnStatus = field(Enum8(LearnStatus))
    scans_done: int | None = field(U8, is_optional=True, when=_is_scan_again)
    scans_total: int | None = field(U8, is_optional=True, when=_counts_scans)
    fingerprint: bytes | None = field(_ID, when=is_done, is_secret=True)

    def __post_init__(self) -> None:
        if (self.status == LearnStatus.DONE) != (self.fingerprint is not None):
            raise LocalProtocolError("a learnt fingerprint, and only that, has an identifier")


@request(Opcode.FINGERPRINTS, auth=Auth.ADMIN, is_repeatable=False)
class EnrolFingerprint(Request[FingerprintLearning]):
    """Let the lock scan a finger, several times; it answers after each scan.

    The fingerprint is permanent then; :class:`ModifyFingerprint` limits it, at the earliest 0.2 s
    later. A finger that is there already is refused as ``FINGERPRINT_EXISTS``.
    """

    operation: int = const(2)

    def is_answered_by(self, response: Response) -> bool:
        """Whether the fingerprint was learnt."""
        return isinstance(response, FingerprintLearning) and response.status == LearnStatus.DONE


@response(Opcode.FINGERPRINTS)
class FingerprintsChanged(Changed):
    """The lock did it; ``operation`` echoes which of the operations."""

    battery_percent: int = field(U8)
    operation: int = field(U8)


@request(Opcode.FINGERPRINTS, auth=Auth.ADMIN, is_repeatable=True)
class DeleteFingerprint(ChangeRequest[FingerprintsChanged]):
    """Remove one; an unknown one is refused as ``FINGERPRINT_NOT_FOUND``."""

    operation: int = const(3)
    fingerprint: bytes = field(_ID, is_secret=True)


@request(Opcode.FINGERPRINTS, auth=Auth.ADMIN, is_repeatable=True)
class ClearFingerprints(ChangeRequest[FingerprintsChanged]):
    """Remove all."""

    operation: int = const(4)


@request(Opcode.FINGERPRINTS, auth=Auth.ADMIN, is_repeatable=True)
class ModifyFingerprint(ChangeRequest[FingerprintsChanged]):
    """Change the lock-local validity of a fingerprint that the lock holds."""

    operation: int = const(5)
    fingerprint: bytes = field(_ID, is_secret=True)
    valid_from: datetime = field(DATE5)
    valid_until: datetime = field(DATE5)
