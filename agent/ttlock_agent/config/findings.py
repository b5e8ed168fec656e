"""What is wrong with a config file, said so that it can be mended."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ttlock_agent.errors import ConfigError


class Severity(StrEnum):
    """Whether the agent starts in spite of the finding."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing to mend. Neither text holds a secret."""

    severity: Severity
    file: Path
    line: int
    """From 1; 0 if the finding is about the file as a whole."""
    column: int
    """From 1, in characters; 0 like ``line``."""
    setting: str
    """Where in the document, such as ``locks[0].time_zone``; empty for the whole."""
    message: str
    hint: str
    """What to write or do instead."""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else str(self.file)
        return f"{place}: {self.severity}: {self.message} {self.hint}"


class InvalidConfig(ConfigError):
    """The config file has findings that keep the agent from starting."""

    def __init__(self, file: Path, findings: Iterable[Finding]) -> None:
        self.findings = tuple(findings)
        errors = [f for f in self.findings if f.severity is Severity.ERROR]
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        super().__init__(
            f"{errors[0]}{more}", hint=f"Mend {file}; `ttlock-agent check-config {file}` lists all."
        )
