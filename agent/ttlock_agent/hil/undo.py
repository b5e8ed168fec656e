"""What puts a change back: requests to the lock, kept sealed from before the change.

A request names its opcode and its payload, and that is all that is kept: whatever can be said to a
lock can be promised.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from ttlock_agent.lock.visit import Visit
from ttlock_agent.vault import Vault
from ttlock_protocol.errors import CommandRefused, Refusal
from ttlock_protocol.message import Request, decode_request

_PURPOSE: Final = "hil-promise"
_WAS_GONE: Final = frozenset(
    {
        Refusal.PASSCODE_NOT_FOUND,
        Refusal.CARD_NOT_FOUND,
        Refusal.FINGERPRINT_NOT_FOUND,
        Refusal.RECORD_NOT_FOUND,
    }
)


class _Said(msgspec.Struct, frozen=True):
    opcode: int
    payload: bytes


def seal_requests(vault: Vault, requests: Sequence[Request[Any]]) -> bytes:
    """Return ``requests`` so that only this agent's vault can read them."""
    said = [_Said(int(each.opcode), each.encode()) for each in requests]
    return vault.seal(_PURPOSE, msgspec.json.encode(said))


def open_requests(vault: Vault, sealed: bytes) -> list[Request[Any]]:
    """Return what was sealed; raises ``VaultError`` with another agent's vault."""
    said = msgspec.json.decode(vault.open(_PURPOSE, sealed), type=list[_Said])
    return [decode_request(each.opcode, each.payload) for each in said]


async def put_back(visit: Visit, requests: Sequence[Request[Any]]) -> None:
    """Carry out ``requests``; that something is gone already is as good. Raises like the visit."""
    for request in requests:
        try:
            await visit.ask(request)
        except CommandRefused as refused:
            if refused.refusal not in _WAS_GONE:
                raise
