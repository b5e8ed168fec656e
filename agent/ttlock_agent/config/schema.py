"""JSON schema of the config file, for editors: ``python -m ttlock_agent.config.schema > FILE``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from .structs import Config
from .values import LockAddress, SecretRef

_CUSTOM: dict[type, dict[str, Any]] = {
    LockAddress: {
        "type": "string",
        "pattern": "^(virtual:.+|[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5})$",
    },
    SecretRef: {"type": "string", "pattern": "^(credential|file|env):.+$"},
    Path: {"type": "string", "minLength": 1},
    ZoneInfo: {"type": "string", "minLength": 1},
}


def config_schema() -> str:
    """Return the schema as JSON text."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **msgspec.json.schema(Config, schema_hook=_CUSTOM.__getitem__),
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(config_schema())
