"""The request for a diagnosis."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Final

from msgspec import Meta, field

from ttlock_agent.validation import BadValue

from .structs import LockRequest, Request


class LockDiagnose(LockRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Measure everything that can keep passcodes of this lock from working, in one connection."""

    is_fixing: Annotated[
        bool,
        Meta(
            description="Repair what is harmless, and measure again: set the clock, deliver missing"
            " passcodes, remove expired ones, switch remote unlock on.",
            examples=[False],
        ),
    ] = field(name="fix", default=False)
    is_visiting: Annotated[
        bool,
        Meta(
            description="Default true. False: say what is known already, without connecting.",
            examples=[True],
        ),
    ] = field(name="visit", default=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.is_fixing and not self.is_visiting:
            raise BadValue(
                "Nothing can be repaired without visiting the lock.",
                hint="Leave out `visit`, or `fix`.",
            )


DIAGNOSE_VERBS: Final[Mapping[str, type[Request]]] = MappingProxyType(
    {"lock.diagnose": LockDiagnose}
)
"""The verbs of this module."""
