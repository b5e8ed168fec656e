"""All verbs, from the modules that declare them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from .backup import BACKUP_VERBS
from .gateway import GATEWAY_VERBS
from .structs import DOOR_VERBS, Request

VERBS: Final[Mapping[str, type[Request]]] = MappingProxyType(
    {**DOOR_VERBS, **GATEWAY_VERBS, **BACKUP_VERBS}
)
"""Every verb and the struct of its request."""
