"""What the config file, MQTT requests and the control socket share when they judge a value.

Messages are made here from the type that was expected, never from the value that came: a value may
be a passcode somebody put into the wrong field.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable
from typing import Annotated, Final

import msgspec
from msgspec import inspect

Id = Annotated[
    str,
    msgspec.Meta(
        # `$` alone would let a final newline pass.
        pattern=r"^[a-zA-Z0-9_-]{1,64}$(?!\n)",
        extra={"words": "1 to 64 letters, digits, - and _"},
    ),
]
"""Id of an agent or lock: it becomes a topic level and a file name."""

_PLAIN_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.-]{0,39}")
_LONG_DIGITS: Final = re.compile(r"[0-9]{4}")


class BadValue(ValueError):
    """One value is not what it should be; ``hint`` says what to write instead."""

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def closest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that was probably meant, or None."""
    by_folded = {name.casefold(): name for name in known}
    matches = difflib.get_close_matches(word.casefold(), list(by_folded), n=1, cutoff=0.6)
    return by_folded[matches[0]] if matches else None


def quoted_name(word: str) -> str:
    """Return a caller's word fit for a message: quoted if it looks like a name, else not shown."""
    if _PLAIN_NAME.fullmatch(word) and not _LONG_DIGITS.search(word):
        return f"`{word}`"
    return "(not shown)"


def expectation(expected: object) -> str:
    """Say in words what ``expected``, a type annotation, accepts.

    A type with a pattern says it itself: ``Meta(extra={"words": ...})``.
    """
    return _in_words(inspect.type_info(expected))


def example_of(expected: object) -> str | None:
    """Return the first example that ``expected`` carries in its ``Meta``, as JSON and as YAML."""
    for meta in getattr(expected, "__metadata__", ()):
        if isinstance(meta, msgspec.Meta) and meta.examples:
            return json.dumps(meta.examples[0])
    return None


def _in_words(info: inspect.Type) -> str:
    match info:
        case inspect.Metadata(extra={"words": str(words)}):
            return words
        case inspect.Metadata(type=inner):
            return _in_words(inner)
        case inspect.UnionType(types=types):
            return " or ".join(_in_words(t) for t in types if not isinstance(t, inspect.NoneType))
        case inspect.StructType(fields=fields):
            return "a section with " + ", ".join(field.encode_name for field in fields)
        case inspect.VarTupleType(item_type=item):
            return f"a list, each item of it {_in_words(item)}"
        case _:
            return _scalar_in_words(info)


def _scalar_in_words(info: inspect.Type) -> str:  # noqa: PLR0911 - one return per kind
    match info:
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType(ge=low, le=None):
            return f"a whole number of at least {low}"
        case inspect.IntType(ge=low, le=high):
            return f"a whole number from {low} to {high}"
        case inspect.EnumType(cls=cls):
            return "one of " + ", ".join(str(member.value) for member in cls)
        case inspect.DateTimeType():
            return "a date and time with its UTC offset"
        case inspect.StrType(max_length=int(most)):
            return f"text of at most {most} characters"
        case _:
            return "text"
