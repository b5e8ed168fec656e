"""Enrolling a factory lock, and the seeds of its offline passcodes (reference 5.2, 6.1, 6.6.9)."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field as plain_field
from datetime import datetime
from typing import Final

from ttlock_protocol.cipher import KEY_BYTES
from ttlock_protocol.errors import LocalProtocolError
from ttlock_protocol.message import Auth, Opcode, Request, Response, field, request, response
from ttlock_protocol.wire import DATE5, TOKEN, U8, U32, Octets, OrNone, Reader

from .operate import CLIENT_TOKEN

SEED_YEARS: Final = 10
MAX_SEED_CODE: Final = 1070
MAX_SEED_SECRET: Final = 9_999_999_999
_SEED_BYTES: Final = 6
_SECRET_BITS: Final = 36


@response(Opcode.HELLO)
class HelloAnswered(Response):
    """The lock is there. Nobody knows what the body means, so none of it is read (D42)."""

    body: bytes = field(Octets(), default=b"", is_secret=True)


@request(Opcode.HELLO, auth=Auth.NOTHING, is_repeatable=True)
class Hello(Request[HelloAnswered]):
    """Greet; the version in the header of the answer is all that is of use."""


@response(Opcode.GET_AES_KEY)
class AesKey(Response):
    """The key for everything from now on: 16 bytes, chosen by the lock."""

    key: bytes = field(Octets(KEY_BYTES), is_secret=True)


@request(Opcode.GET_AES_KEY, auth=Auth.SETTING_MODE, is_repeatable=False)
class GetAesKey(Request[AesKey]):
    """Ask a lock in setting mode for its key; a paired one refuses as ``NOT_IN_SETTING_MODE``.

    Not repeated: the lock may make a new key each time, and the first answer may come late.

    ``token`` names the vendor; a white-label lock that wants another one refuses as
    ``CLIENT_TOKEN_REFUSED`` (disagreement D29).
    """

    token: bytes = field(TOKEN, default=CLIENT_TOKEN)


@response(Opcode.ADD_ADMIN)
class AdminAdded(Response):
    """The lock knows its administrator from now on; it sends the token back."""

    token: bytes = field(TOKEN, default=CLIENT_TOKEN)


@request(Opcode.ADD_ADMIN, auth=Auth.SETTING_MODE, is_repeatable=False)
class AddAdmin(Request[AdminAdded]):
    """Give the lock the administrator's two secrets, unsigned 32-bit numbers of our choice."""

    admin_secret: int = field(U32, is_secret=True)
    unlock_key: int = field(U32, is_secret=True)
    token: bytes = field(TOKEN, default=CLIENT_TOKEN)


@response(Opcode.PAIRING_FINISHED)
class PairingFinished(Response):
    """The lock keeps what it was given."""

    battery_percent: int | None = field(U8, is_optional=True)


@request(Opcode.PAIRING_FINISHED, auth=Auth.SETTING_MODE, is_repeatable=False)
class FinishPairing(Request[PairingFinished]):
    """Commit the pairing; until then the lock may fall back to setting mode.

    Not repeated: a lock that has kept it may refuse the second one, and that would look like a no.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class OfflineSeed:
    """What one year's cloud-generated passcodes are computed from.

    ``code`` is 1 to 1070, ``secret`` a number of up to ten digits.
    """

    code: int
    secret: int = plain_field(repr=False)

    def __post_init__(self) -> None:
        if not 1 <= self.code <= MAX_SEED_CODE:
            raise LocalProtocolError(f"the code of a year is 1 to {MAX_SEED_CODE}")
        if not 0 <= self.secret <= MAX_SEED_SECRET:
            raise LocalProtocolError("the secret of a year has at most ten digits")


class _SeedCodec:
    """Twelve bits of code, then 36 bits of secret."""

    def encode(self, value: OfflineSeed, out: bytearray) -> None:
        out += (value.code << _SECRET_BITS | value.secret).to_bytes(_SEED_BYTES, "big")

    def decode(self, reader: Reader) -> OfflineSeed:
        code, secret = divmod(reader.integer(_SEED_BYTES), 1 << _SECRET_BITS)
        return OfflineSeed(code=code, secret=secret)


class _SeedsCodec:
    """One seed for each of ten consecutive years."""

    _one = _SeedCodec()

    def encode(self, value: tuple[OfflineSeed, ...], out: bytearray) -> None:
        if len(value) != SEED_YEARS:
            raise LocalProtocolError(f"seeds are needed for {SEED_YEARS} years")
        for seed in value:
            self._one.encode(seed, out)

    def decode(self, reader: Reader) -> tuple[OfflineSeed, ...]:
        return tuple(self._one.decode(reader) for _ in range(SEED_YEARS))


@response(Opcode.INIT_OFFLINE_PASSCODES)
class OfflinePasscodesReset(Response):
    """The lock has new seeds."""

    battery_percent: int | None = field(U8, is_optional=True)


@request(Opcode.INIT_OFFLINE_PASSCODES, auth=Auth.ADMIN, is_repeatable=True)
class InitOfflinePasscodes(Request[OfflinePasscodesReset]):
    """Set the seeds, which ends the life of every cloud-generated passcode.

    ``first_year`` is the year of the first seed modulo 100; on the first of January the vendor's
    client still sends the old year.
    """

    first_year: int = field(U8)
    seeds: tuple[OfflineSeed, ...] = field(_SeedsCodec(), is_secret=True)


@response(Opcode.READ_OFFLINE_PASSCODES)
class OfflinePasscodes(Response):
    """This year's seed, and when (lock-local) all passcodes were deleted last."""

    battery_percent: int = field(U8)
    seed: OfflineSeed = field(_SeedCodec(), is_secret=True)
    cleared_at: datetime | None = field(OrNone(DATE5, 5))


@request(Opcode.READ_OFFLINE_PASSCODES, auth=Auth.USER, is_repeatable=True)
class GetOfflinePasscodes(Request[OfflinePasscodes]):
    """Read the seed in force."""
