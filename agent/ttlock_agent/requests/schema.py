"""JSON schema of all requests, for callers: ``python -m ttlock_agent.requests.schema > FILE``."""

from __future__ import annotations

import json
import sys
from typing import Any

import msgspec

from .backup import MAX_PASSPHRASE, MIN_PASSPHRASE, Passphrase
from .credentials import CardNumber
from .passcode import Passcode
from .verbs import VERBS

_CUSTOM: dict[type, dict[str, Any]] = {
    Passcode: {"type": "string", "pattern": "^[0-9]{4,9}$"},
    CardNumber: {"type": "string", "pattern": "^[0-9]{1,20}$"},
    Passphrase: {"type": "string", "minLength": MIN_PASSPHRASE, "maxLength": MAX_PASSPHRASE},
}


def requests_schema() -> str:
    """Return the schema of an object that maps each verb to its request, as JSON text."""
    references, definitions = msgspec.json.schema_components(
        VERBS.values(), schema_hook=_CUSTOM.__getitem__, ref_template="#/$defs/{name}"
    )
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Requests of ttlock-agent",
        "description": "One property per verb: what is published on request/VERB, or sent to the "
        "control socket.",
        "type": "object",
        "properties": dict(zip(VERBS, references, strict=True)),
        "$defs": definitions,
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(requests_schema())
