"""AES as TTLock uses it (reference 4.1, 4.2); the one module here that imports a cipher.

AES-128 in CBC mode, PKCS#7 padding, initialisation vector = key, fresh for each frame: equal
plaintexts give equal ciphertexts. That is the lock's design, not ours to mend.
"""

from __future__ import annotations

from typing import Final

from Crypto.Cipher import AES  # noqa: TID251 - this is the protocol's cipher module

from .errors import DecodeError, LocalProtocolError

BLOCK_BYTES: Final = 16
KEY_BYTES: Final = 16
DEFAULT_KEY: Final = bytes.fromhex("987623e8a923a1bb3d9e7d0378124588")
"""Public factory constant, used only while a lock has no administrator."""


def encrypt(key: bytes, plaintext: bytes) -> bytes:
    """Return the padded ciphertext; ``key`` is 16 bytes.

    Raises ``LocalProtocolError`` for a key of another length.
    """
    _check_key(key)
    padding = BLOCK_BYTES - len(plaintext) % BLOCK_BYTES
    return AES.new(key, AES.MODE_CBC, key).encrypt(plaintext + bytes([padding]) * padding)


def decrypt(key: bytes, ciphertext: bytes) -> bytes:
    """Return the plaintext without its padding.

    Raises ``DecodeError`` when the padding is wrong: in practice, another key.
    """
    _check_key(key)
    if not ciphertext or len(ciphertext) % BLOCK_BYTES:
        raise DecodeError("an encrypted payload must be one or more whole blocks of 16 bytes")
    padded = AES.new(key, AES.MODE_CBC, key).decrypt(ciphertext)
    padding = padded[-1]
    if not 1 <= padding <= BLOCK_BYTES or padded[-padding:] != bytes([padding]) * padding:
        raise DecodeError("the payload does not decrypt with this key")
    return padded[:-padding]


def _check_key(key: bytes) -> None:
    if len(key) != KEY_BYTES:
        raise LocalProtocolError("an AES key must be 16 bytes")
