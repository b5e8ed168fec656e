"""What never stands in a bundle: pure rules for values, texts, and the configuration."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec

from ttlock_agent.config.values import LockAddress, SecretRef
from ttlock_agent.link.virtual import ADDRESS_PREFIX
from ttlock_agent.logs import MASK, Redactor
from ttlock_protocol.keys import LockKeys

_SHOWN_TEXTS: Final = frozenset({"id", "base_url", "base_topic"})
"""Settings whose text says nothing about people; ``cloud_lock_id`` is a number, and masked."""
_MASKED_NUMBERS: Final = frozenset({"cloud_lock_id"})
_ADAPTER: Final = re.compile(r"hci[0-9]{1,2}")

_LOG_FIELDS: Final = frozenset(
    {
        "timestamp", "level", "lock", "verb", "code", "job_id", "state", "status",
        "problem", "verdict", "errcode", "error_s", "pause_s", "refusal", "adapter",
        "version", "act", "rung", "at", "result",
    }
)  # fmt: skip
_LOG_TEXTS: Final = frozenset({"event", "reason", "why", "detail", "error"})
"""Fields whose texts may quote something; events of other libraries are sentences."""

_MAC: Final = re.compile(r"\b(?:[0-9A-Fa-f]{2}[:-]){4}([0-9A-Fa-f]{2}[:-][0-9A-Fa-f]{2})\b")
_INSTANT: Final = re.compile(r"\b2[0-9]{3}-[01][0-9]-[0-3][0-9](?:[T ][0-2][0-9]:[0-9:.+Z-]*)?")
_DANGEROUS: Final = (
    re.compile(r"\S+@\S+"),
    re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`"),
    re.compile(r"\b[0-9]{1,3}(?:\.[0-9]{1,3}){3}\b"),
    re.compile(r"(?<!\w)/[^\s,;:]*"),
    re.compile(r"(?=[A-Za-z0-9+/]*[0-9])[A-Za-z0-9+/]{16,}={0,2}"),
    re.compile(r"\b(?=\w*[0-9])\w{16,}"),
    re.compile(r"[0-9]{4,}"),
)
"""Addresses, whatever is quoted, IP addresses, paths, long words with digits, runs of digits."""


def scrub(text: str) -> str:
    """Return a text from elsewhere without anything that could be a secret or a name."""
    return "".join(
        part if _INSTANT.fullmatch(part) else _scrubbed(part) for part in _split_at_instants(text)
    )


def tail(address: str) -> str:
    """Return the last four digits of a Bluetooth address, or that a lock is virtual."""
    if address.startswith(ADDRESS_PREFIX):
        return f"{ADDRESS_PREFIX}{MASK}"
    return _MAC.sub(r"..:\1", address) if _MAC.fullmatch(address) else MASK


def masked_config(value: object, name: str = "") -> Any:
    """Return the configuration as JSON; what is not known to be harmless is masked."""
    shown: Any = MASK
    match value:
        case msgspec.Struct():
            shown = {
                field: masked_config(getattr(value, field), field)
                for field in value.__struct_fields__
            }
        case tuple():
            shown = [masked_config(each, name) for each in value]
        case SecretRef():
            shown = f"{value.source}:{MASK}"
        case LockAddress():
            shown = tail(value)
        case Enum():
            shown = value.value
        case ZoneInfo():
            shown = value.key
        case None | bool():
            shown = value
        case int() | float() if name not in _MASKED_NUMBERS:
            shown = value
        case str() if name in _SHOWN_TEXTS or _ADAPTER.fullmatch(value):
            shown = value
    return shown


def log_entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry of the log, which is redacted already, with no more than is needed of it."""
    shown = {name: entry[name] for name in entry if name in _LOG_FIELDS}
    return shown | {
        name: scrub(str(entry[name])) for name in entry if name in _LOG_TEXTS and entry[name]
    }


class Masker:
    """Masks known secrets by value, in every way in which they are usually written."""

    def __init__(self, secrets: Iterable[str | bytes]) -> None:
        self._redactor = Redactor()
        for secret in secrets:
            for form in _forms(secret):
                self._redactor.register(form)

    def mask(self, value: Any) -> Any:
        """Return JSON without any of them."""
        match value:
            case str():
                return self._redactor.mask(value)
            case Mapping():
                # Names of fields are ours, and ids of locks no secret.
                return {key: self.mask(each) for key, each in value.items()}
            case list() | tuple():
                return [self.mask(each) for each in value]
            case int() | float() if not isinstance(value, bool):
                text = str(value)
                return value if self._redactor.mask(text) == text else MASK
            case _:
                return value


def secrets_in(keys: LockKeys) -> list[str | bytes]:
    """Return what of a lock's keys must not be seen."""
    numbers = (keys.admin_secret, keys.unlock_key)
    return [keys.aes_key, *(str(each) for each in numbers if each)]


def _forms(secret: str | bytes) -> set[str]:
    raw = secret.encode() if isinstance(secret, str) else secret
    encoded = base64.b64encode(raw).decode()
    forms = {raw.hex(), raw.hex().upper(), raw.hex(":"), raw.hex(":").upper(), encoded,
             encoded.rstrip("=")}  # fmt: skip
    if isinstance(secret, str):
        forms.add(secret)
        if secret.isascii() and secret.isdigit():
            forms |= {f"{int(secret):x}", f"{int(secret):X}", f"{int(secret):08x}"}
    return forms


def _split_at_instants(text: str) -> list[str]:
    parts, position = [], 0
    for found in _INSTANT.finditer(text):
        parts += [text[position : found.start()], found.group()]
        position = found.end()
    return [*parts, text[position:]]


def _scrubbed(text: str) -> str:
    text = _MAC.sub(r"..:\1", text)
    for pattern in _DANGEROUS:
        text = pattern.sub(MASK, text)
    return text
