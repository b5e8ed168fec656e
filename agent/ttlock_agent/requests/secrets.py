"""What in a request no log may ever show, and how it is written down where it must be."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from .backup import Passphrase
from .credentials import CardNumber
from .passcode import Passcode

Hidden = Passcode | CardNumber | Passphrase
"""Values that never show themselves."""


def revealed(value: Hidden) -> str:
    """Return the secret itself, to be sealed or sent."""
    return value.text if isinstance(value, Passphrase) else value.digits


def secrets_of(params: object) -> Iterator[str]:
    """Give every secret in a request, at whatever depth."""
    match params:
        case Passcode() | CardNumber() | Passphrase():
            yield revealed(params)
        case msgspec.Struct():
            for field in params.__struct_fields__:
                yield from secrets_of(getattr(params, field))
        case tuple():
            for each in params:
                yield from secrets_of(each)
