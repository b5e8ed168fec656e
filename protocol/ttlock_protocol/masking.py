"""The mask over stored secrets: obfuscation, not encryption (reference 4.3).

Cloud and app write secrets as masked bytes, those as decimal numbers joined by commas, and that in
Base64. Short fields of plain digits are in clear.
"""

from __future__ import annotations

import base64
from typing import Final

from .checksum import TABLE
from .errors import DecodeError, LocalProtocolError

MAX_CLEAR_DIGITS: Final = 10
MIN_SEED: Final = 1
MAX_SEED: Final = 127


def mask(plain: bytes, seed: int) -> bytes:
    """Return ``plain`` masked, with ``seed`` (1 to 127) behind it."""
    if not MIN_SEED <= seed <= MAX_SEED:
        raise LocalProtocolError(f"a seed is {MIN_SEED} to {MAX_SEED}")
    return _apply(plain, seed) + bytes((seed,))


def unmask(masked: bytes) -> bytes:
    """Return what :func:`mask` was given; raises ``DecodeError`` for no bytes at all."""
    if not masked:
        raise DecodeError("a masked field has at least its seed")
    return _apply(masked[:-1], masked[-1])


def mask_text(text: str, seed: int) -> str:
    """Return ASCII ``text`` as cloud and app store it; raises ``LocalProtocolError`` for others."""
    if not text.isascii():
        raise LocalProtocolError("only ASCII can be masked")
    numbers = mask(text.encode("ascii"), seed)
    return base64.b64encode(",".join(map(str, numbers)).encode("ascii")).decode("ascii")


def unmask_text(stored: str) -> str:
    """Return the text of a stored field, which is often a number in digits.

    Raises ``DecodeError``, which does not repeat the field.
    """
    if len(stored) <= MAX_CLEAR_DIGITS and stored.isascii() and stored.isdigit():
        return stored
    try:
        numbers = base64.b64decode(stored, validate=True).decode("ascii").split(",")
        return unmask(bytes(map(int, numbers))).decode("ascii")
    except ValueError:
        # Not "from": the cause would repeat the secret.
        raise DecodeError("the field is neither digits nor a masked text") from None


def _apply(data: bytes, seed: int) -> bytes:
    key = seed ^ TABLE[len(data) % len(TABLE)]
    return bytes(byte ^ key for byte in data)
