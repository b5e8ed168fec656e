"""Lock keys: what lets us talk to a lock as its administrator (reference 4.4, 9.1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from .cipher import KEY_BYTES
from .errors import LocalProtocolError
from .frame import Version

MAX_U32: Final = 0xFFFFFFFF
MAX_U24: Final = 0xFFFFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class LockKeys:
    """The secrets of one lock; none of them appears in the representation.

    ``aes_key`` is 16 bytes; ``admin_secret`` and ``unlock_key`` are unsigned 32-bit numbers, 0
    meaning missing: without the first there are no administrator's commands, without the second
    none that need a challenge. ``lock_flag_position`` (24 bits) changes when eKeys are reset.
    """

    aes_key: bytes = field(repr=False)
    admin_secret: int = field(default=0, repr=False)
    unlock_key: int = field(default=0, repr=False)
    lock_flag_position: int = 0
    user_id: int = 0
    version: Version = field(default_factory=Version)

    def __post_init__(self) -> None:
        if len(self.aes_key) != KEY_BYTES:
            raise LocalProtocolError("an AES key must be 16 bytes")
        for name, value, limit in (
            ("admin_secret", self.admin_secret, MAX_U32),
            ("unlock_key", self.unlock_key, MAX_U32),
            ("lock_flag_position", self.lock_flag_position, MAX_U24),
            ("user_id", self.user_id, MAX_U32),
        ):
            if not 0 <= value <= limit:
                raise LocalProtocolError(f"{name} must be 0 to {limit}")

    @property
    def is_administrator(self) -> bool:
        """Whether both secrets of an administrator are there."""
        return bool(self.admin_secret and self.unlock_key)

    def proof(self, challenge: int) -> int:
        """Return what answers ``challenge``: both added, modulo 2**32 (disagreement D5)."""
        return (challenge + self.unlock_key) & MAX_U32
