"""The committed inputs: one file a target, one input a line, in hexadecimal."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

FOLDER = Path(__file__).parent / "corpus"


def load(target: str) -> list[bytes]:
    """Return the inputs of ``target``."""
    path = FOLDER / f"{target}.hex"
    return [bytes.fromhex(line) for line in path.read_text().splitlines()] if path.exists() else []


def save(target: str, inputs: Iterable[bytes]) -> None:
    """Write the inputs, shortest first, each once."""
    ordered = sorted({each for each in inputs if each}, key=lambda each: (len(each), each))
    (FOLDER / f"{target}.hex").write_text("".join(f"{each.hex()}\n" for each in ordered))
