"""A passcode that does not show itself."""

from __future__ import annotations

import re
from typing import Final

from ttlock_agent.validation import BadValue

_DIGITS: Final = re.compile(r"[0-9]{4,9}")


class Passcode:
    """4 to 9 digits; leading zeros count. Only :attr:`digits` shows them, never str or repr."""

    __slots__ = ("digits",)

    def __init__(self, digits: str) -> None:
        """Raise ``BadValue`` unless ``digits`` is 4 to 9 ASCII digits (reference 8.3)."""
        if not isinstance(digits, str):
            raise BadValue(
                "must be text: as a number it loses leading zeros",
                hint='Write it in quotes, such as "004711".',
            )
        if not _DIGITS.fullmatch(digits):
            raise BadValue(
                "must be 4 to 9 digits", hint='Use only the digits 0 to 9, such as "004711".'
            )
        self.digits: Final = digits

    def __repr__(self) -> str:
        return "Passcode(hidden)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Passcode) and other.digits == self.digits

    def __hash__(self) -> int:
        return hash(self.digits)
