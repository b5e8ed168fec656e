"""Known faults of firmware: data with evidence, not code.

The table ships in the package; a file of the same form adds rows of the owner's.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from ttlock_agent.errors import ConfigError

SHIPPED: Final = "firmware.toml"

_Text = Annotated[str, Meta(min_length=1, max_length=500)]


class Confidence(StrEnum):
    """How sure it is that the firmware is at fault."""

    SUSPECTED = "suspected"
    REPORTED = "reported"
    CONFIRMED = "confirmed"


class Fault(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One row: which locks, what goes wrong, and why that is believed."""

    firmware: _Text
    model: _Text | None = None
    fault: _Text
    confidence: Confidence
    evidence: _Text
    source: _Text
    remedy: _Text

    def concerns(self, firmware: str, model: str | None) -> bool:
        """Whether a lock of this firmware and model has it."""
        return firmware.startswith(self.firmware) and (
            self.model is None or (model or "").startswith(self.model)
        )


class _File(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    fault: tuple[Fault, ...] = ()


def shipped_faults() -> tuple[Fault, ...]:
    """Return the table of the package."""
    return decode_faults(files(__package__).joinpath(SHIPPED).read_bytes(), SHIPPED)


def all_faults(own: Path | None) -> tuple[Fault, ...]:
    """Return the table of the package and the rows in the owner's file; raises ``ConfigError``."""
    if own is None:
        return shipped_faults()
    try:
        content = own.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"The table of firmware faults {own} cannot be read: {error.strerror}.",
            hint="Correct `agent.firmware_faults` in the configuration.",
        ) from error
    return shipped_faults() + decode_faults(content, str(own))


def decode_faults(content: bytes, name: str) -> tuple[Fault, ...]:
    """Read a table; raises ``ConfigError`` that names the row and field."""
    try:
        return msgspec.toml.decode(content, type=_File).fault
    except msgspec.DecodeError as error:
        raise ConfigError(
            f"The table of firmware faults {name} cannot be used: {error}.",
            hint="Compare with `firmware.toml` in the package, which explains each field.",
        ) from None


def matching(faults: Iterable[Fault], firmware: str, model: str | None) -> list[Fault]:
    """Return the faults of a lock, the surest first."""
    order = list(Confidence)
    found = [each for each in faults if each.concerns(firmware, model)]
    return sorted(found, key=lambda each: -order.index(each.confidence))
