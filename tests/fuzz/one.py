"""``python -m tests.fuzz.one TARGET [libFuzzer options and folders]``: one target, until told."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["ttlock_protocol"]):
    from tests.fuzz.targets import TARGETS

if __name__ == "__main__":
    target = TARGETS[sys.argv.pop(1)]
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()
