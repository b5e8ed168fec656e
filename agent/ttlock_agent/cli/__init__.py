"""The command line: arguments in, calls out, no logic of its own."""

from __future__ import annotations

from ttlock_agent.cli.main import main

__all__ = ["main"]
