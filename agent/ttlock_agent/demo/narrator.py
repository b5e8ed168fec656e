"""How a demo is told: a live account for people, or one JSON object a line."""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

import click

Tell = Callable[[str, dict[str, Any]], None]
"""Called with the name of a step and its facts."""


class Account(Protocol):
    """What a story has found out."""

    @property
    def is_good(self) -> bool:
        """Whether it ended as it should."""
        ...

    def summary(self) -> dict[str, Any]:
        """Return it as JSON."""
        ...


A = TypeVar("A", bound=Account)


class Narrator(ABC, Generic[A]):
    """Tells a story in sentences; a method ``_STEP`` for each of its steps returns one."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._started_s = monotonic()

    def tell(self, event: str, fields: dict[str, Any]) -> None:
        """Print one step."""
        sentence = getattr(self, f"_{event}")(fields)
        at = click.style(f"{self._monotonic() - self._started_s:6.1f} s", dim=True)
        click.echo(f"{at}  {sentence}")

    @abstractmethod
    def close(self, account: A) -> None:
        """Print the closing table."""


def tell_as_json(event: str, fields: dict[str, Any]) -> None:
    """Print one step as one JSON object."""
    click.echo(json.dumps({"event": event, **fields}))


def say_verdict(*, is_good: bool, good: str, bad: str) -> None:
    """Print the last line of a closing table."""
    text, colour = (good, "green") if is_good else (bad, "red")
    click.echo("  " + click.style(text, fg=colour, bold=True))


def door(is_open: bool | None, width: int) -> str:
    """Return what the door did, ``None`` for not tried."""
    word, colour = {True: ("opens", "green"), False: ("stays shut", "red"), None: ("-", None)}[
        is_open
    ]
    return click.style(f"{word:<{width}}", fg=colour)
