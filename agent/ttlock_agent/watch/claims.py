"""Who says what the lock should hold: the cloud's list and reports, as claims of one form."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from ttlock_agent.cloud.models import (
    CloudPasscode,
    Gateway,
    LockGateway,
    PasscodeStatus,
)
from ttlock_agent.cloud.models import PasscodeKind as CloudKind
from ttlock_agent.jobs.model import CLOUD_OWNER
from ttlock_agent.requests import (
    GatewayState,
    ParsedRequest,
    Passcode,
    PasscodeAdd,
    PasscodeKind,
    Priority,
    SyncPasscode,
)
from ttlock_agent.requests.structs import MAX_LABEL
from ttlock_agent.watch.book import Claim
from ttlock_agent.watch.verdict import GatewayView

CUSTOM_KINDS: Final = {
    CloudKind.PERMANENT: PasscodeKind.PERMANENT,
    CloudKind.PERIOD: PasscodeKind.PERIOD,
}
_SHOULD_BE_HELD: Final = frozenset({PasscodeStatus.NORMAL, PasscodeStatus.ADDING})

KeyedHash = Callable[[bytes], bytes]


def of_cloud(
    passcodes: Iterable[CloudPasscode], now: datetime, keyed_hash: KeyedHash
) -> list[Claim]:
    """Return what the cloud's list says should be in the lock's memory.

    Passcodes that the cloud computed are not expected there before their first use.
    """
    return [
        _claim(
            entry=f"cloud-{each.passcode_id}-",
            content=(each.digits, each.cloud_type, each.valid_from, each.valid_until),
            digits=each.digits,
            label=each.name,
            kind=CUSTOM_KINDS[each.kind],
            window=(each.valid_from, each.valid_until),
            # The cloud's clock may be ahead of ours; that must not stretch the grace.
            listed_at=now if each.sent_at is None else min(each.sent_at, now),
            keyed_hash=keyed_hash,
        )
        for each in passcodes
        if each.is_custom is True
        and each.kind in CUSTOM_KINDS
        and each.status in _SHOULD_BE_HELD
        and not (each.valid_until is not None and each.valid_until <= now)
    ]


def of_report(
    passcodes: Iterable[SyncPasscode], now: datetime, keyed_hash: KeyedHash
) -> list[Claim]:
    """Return what another system says of the cloud's list."""
    claims = [
        _claim(
            entry=f"reported-{_short(keyed_hash, each.passcode.digits)}-",
            content=(each.passcode.digits, each.kind, each.valid_from, each.valid_until),
            digits=each.passcode.digits,
            label=each.label,
            kind=each.kind,
            window=(each.valid_from, each.valid_until),
            listed_at=now,
            keyed_hash=keyed_hash,
        )
        for each in passcodes
        if each.kind is not PasscodeKind.ONE_TIME
    ]
    return [claim for claim in claims if not claim.is_over(now)]


def request_for(
    request_id: str, lock: str, claim: Claim, *, priority: Priority = Priority.NORMAL
) -> ParsedRequest:
    """Return the request that sees to a claim; raises ``BadValue`` for what no lock takes."""
    params = PasscodeAdd(
        id=request_id,
        lock=lock,
        passcode=Passcode(claim.digits),
        label=claim.label,
        given_kind=claim.kind,
        valid_from=claim.valid_from,
        valid_until=claim.valid_until,
        owner=CLOUD_OWNER,
        priority=priority,
    )
    return ParsedRequest(request_id, "passcode.add", params)


def views_of(near: Sequence[LockGateway], known: Sequence[Gateway]) -> list[GatewayView]:
    """Return what the cloud says of the gateways near a lock, or else of all of the account."""
    online = {gateway.gateway_id: gateway.is_online for gateway in known}
    return [
        GatewayView(
            name=gateway.name,
            is_online=online.get(gateway.gateway_id, False),
            heard_lock_at=gateway.rssi_updated_at,
            rssi_dbm=gateway.rssi_dbm,
            gateway_id=gateway.gateway_id,
        )
        for gateway in near
    ] or [
        # The cloud has forgotten which of them it was.
        GatewayView(name=gateway.name, is_online=gateway.is_online, gateway_id=gateway.gateway_id)
        for gateway in known
    ]


def view_of_report(state: GatewayState) -> GatewayView:
    """Return what another system says of a gateway."""
    return GatewayView(
        name=state.name,
        is_online=state.is_online,
        heard_lock_at=state.heard_lock_at,
        rssi_dbm=state.rssi_dbm,
        tells_hearing=state.heard_lock_at is not None,
    )


def _claim(
    *,
    entry: str,
    content: tuple[Any, ...],
    digits: str,
    label: str,
    kind: PasscodeKind,
    window: tuple[datetime | None, datetime | None],
    listed_at: datetime,
    keyed_hash: KeyedHash,
) -> Claim:
    is_period = kind is PasscodeKind.PERIOD
    return Claim(
        # With its content, so that a changed entry is a new wish.
        name=entry + keyed_hash(msgspec.json.encode(content)).hex()[:12],
        entry=entry,
        digits=digits,
        # Names are people's; some name a passcode by its digits.
        label=label.replace(digits, "***")[:MAX_LABEL],
        kind=kind,
        valid_from=_whole_minute(window[0]) if is_period else None,
        valid_until=_whole_minute(window[1]) if is_period else None,
        listed_at=listed_at,
    )


def _short(keyed_hash: KeyedHash, digits: str) -> str:
    return keyed_hash(digits.encode()).hex()[:12]


def _whole_minute(at: datetime | None) -> datetime | None:
    return None if at is None else at.replace(second=0, microsecond=0)
