"""All verbs, from the modules that declare them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from .backup import BACKUP_VERBS
from .bolt import BOLT_VERBS
from .clear import CLEAR_VERBS
from .credentials import CREDENTIAL_VERBS
from .diagnose import DIAGNOSE_VERBS
from .gateway import GATEWAY_VERBS
from .hours import HOURS_VERBS
from .settings import SETTING_VERBS
from .structs import DOOR_VERBS, Request

VERBS: Final[Mapping[str, type[Request]]] = MappingProxyType(
    {
        **DOOR_VERBS,
        **BOLT_VERBS,
        **CREDENTIAL_VERBS,
        **HOURS_VERBS,
        **SETTING_VERBS,
        **CLEAR_VERBS,
        **GATEWAY_VERBS,
        **BACKUP_VERBS,
        **DIAGNOSE_VERBS,
    }
)
"""Every verb and the struct of its request."""
