"""A lock's memory as JSON, so that scenarios are files and a lock outlives its process.

The document is ``{"format": "ttlock-virtual-lock", "version": 1, "memory": {...}}``. Inside, a
dataclass is an object with the names of its fields, where fields that have their default value may
be missing; bytes are hexadecimal text, members of enumerations their names in lower case (unknown
numbers stay numbers), true time is ISO 8601 with its offset, the lock's own time ISO 8601 without
one. **It holds secrets in the clear** (keys, passcodes): it stands for the lock's own memory chip.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import types
import typing
from datetime import UTC, date, datetime, time
from enum import Enum, IntEnum
from typing import Any, Final, TypeVar

from ttlock_protocol.errors import LocalProtocolError, OpenIntEnum

from .faults import FaultPlan
from .memory import Instant, Memory
from .sayable import check_sayable

T = TypeVar("T")

FORMAT: Final = "ttlock-virtual-lock"
FORMAT_VERSION: Final = 1
_PLAIN: Final = (bool, int, float, str)
_MAX_EXACT: Final = 1 << 53
"""Beyond it, floats skip whole numbers."""


class StateError(LocalProtocolError):
    """A saved state cannot be used; the message names the place, never the value."""


def dump_memory(memory: Memory) -> str:
    """Return the document."""
    document = {"format": FORMAT, "version": FORMAT_VERSION, "memory": to_plain(memory)}
    return json.dumps(document, indent=1)


def load_memory(text: str) -> Memory:
    """Read a document; raises ``StateError``."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise StateError(f"the state is not JSON: {error}") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise StateError(f'the state must say "format": "{FORMAT}"')
    if document.get("version") != FORMAT_VERSION:
        raise StateError(f"only version {FORMAT_VERSION} of the state is known here")
    return plain_to_memory(document.get("memory"))


def plain_to_memory(value: object) -> Memory:
    """Read a memory from what JSON holds; raises ``StateError``, for what no lock can say, too."""
    memory = from_plain(Memory, value, "memory")
    try:
        check_sayable(memory)
    except LocalProtocolError as error:
        raise StateError(f"memory.{error}") from None
    return memory


def load_fault_plan(value: object) -> FaultPlan:
    """Read a plan from what JSON holds; raises ``StateError``."""
    return from_plain(FaultPlan, value, "plan")


def to_plain(value: Any) -> Any:  # noqa: PLR0911 - one return per kind of value
    """Return ``value`` as what JSON holds."""
    if dataclasses.is_dataclass(value):
        return {
            each.name: to_plain(content)
            for each in dataclasses.fields(value)
            if not _is_default(each, content := getattr(value, each.name))
        }
    if isinstance(value, tuple):
        return [to_plain(each) for each in value]
    if isinstance(value, OpenIntEnum) and not value.is_known:
        return value.value
    if isinstance(value, IntEnum):
        return value.name.lower()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, date | time):
        return value.isoformat()
    return value


def from_plain(kind: type[T], value: object, place: str) -> T:
    """Return a ``kind`` made of what JSON holds; raises ``StateError``."""
    read: T = _read(kind, value, place)
    return read


def _is_default(each: dataclasses.Field[Any], content: object) -> bool:
    if each.default_factory is not dataclasses.MISSING:
        return bool(content == each.default_factory())
    return each.default is not dataclasses.MISSING and bool(content == each.default)


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind, include_extras=True)


def _read(hint: Any, value: Any, place: str) -> Any:
    arguments = typing.get_args(hint)
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        (inner,) = (each for each in arguments if each is not types.NoneType)
        return None if value is None else _read(inner, value, place)
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, list):
            raise StateError(f"{place} must be a list")
        return tuple(
            _read(arguments[0], each, f"{place}[{index}]") for index, each in enumerate(value)
        )
    if dataclasses.is_dataclass(hint):
        return _read_dataclass(hint, value, place)
    if hint in _PLAIN:
        return _read_plain(hint, value, place)
    try:
        return _read_text(hint, value)
    except (ValueError, TypeError, AttributeError, KeyError, OverflowError):
        raise StateError(f"{place} has a form that is not understood") from None


def _read_dataclass(hint: Any, value: Any, place: str) -> Any:
    if not isinstance(value, dict):
        raise StateError(f"{place} must be an object")
    hints = _hints(hint)
    for name in value:
        if name not in hints:
            raise StateError(f"{place} has no field {name!r}")
    parts = {name: _read(hints[name], each, f"{place}.{name}") for name, each in value.items()}
    try:
        return hint(**parts)
    except TypeError:
        raise StateError(f"{place} lacks a field that must be there") from None
    except LocalProtocolError as error:
        raise StateError(f"{place}: {error}") from None


def _read_plain(hint: Any, value: Any, place: str) -> Any:
    # JSON has one kind of number, Python has three, and True is one of them.
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) <= _MAX_EXACT else math.inf
    if hint is float and isinstance(value, float) and not math.isfinite(value):
        raise StateError(f"{place} must be a number that is not beyond all bounds")
    if type(value) is not hint:
        raise StateError(f"{place} must be {hint.__name__}")
    return value


def _read_text(hint: Any, value: Any) -> Any:
    if hint is bytes:
        return bytes.fromhex(value)
    if hint in (Instant, datetime, time):
        read = time.fromisoformat(value) if hint is time else datetime.fromisoformat(value)
        if (read.tzinfo is not None) != (hint is Instant):
            raise ValueError("true time has a zone, a lock's own has none")
        return read.astimezone(UTC) if isinstance(read, datetime) and read.tzinfo else read
    if issubclass(hint, IntEnum):
        return hint(value) if isinstance(value, int) else hint[value.upper()]
    return hint(value)
