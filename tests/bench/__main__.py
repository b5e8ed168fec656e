"""``python -m tests.bench [NAME...] [--json]``, from the top of the repository."""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from ttlock_agent.logs import bound_logger

from .figures import Figure, plain, table

BENCHES = {
    "codec": "frames encoded and decoded, against AES and checksum alone",
    "round-trips": "round trips of a delivery, against the least the protocol allows",
    "listing": "long lists end to end, per record",
    "journal": "transitions, against bare SQLite commits on the same disk",
    "overhead": "a job from MQTT to proved, against broker, commits and frames alone",
    "history": "a job with a long history behind it, against one with none",
    "footprint": "the daemon, against an interpreter with its libraries",
    "capacity": "the daemon with 50 locks and 10,000 jobs, against one with next to nothing",
}

Bench = Callable[[Path], list[Figure]]
"""Takes a directory of its own on a real disk, beside those of the others."""


def main() -> int:
    names, is_json = _arguments()
    structlog.configure(
        wrapper_class=bound_logger(logging.ERROR),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    exceeded = []
    # Not the default directory, which may be in memory: commits would cost nothing there.
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/var/tmp") as directory:
        for name in names:
            since = time.monotonic()
            figures = _run(name, Path(directory) / name)
            exceeded += [f"{name}: {each.name}" for each in figures if not each.is_within]
            if is_json:
                for figure in figures:
                    print(json.dumps(plain(name, figure)), flush=True)
            else:
                print(table(f"{name}: {BENCHES[name]}", figures))
                print(f"({time.monotonic() - since:.0f} s)\n", flush=True)
    for each in exceeded:
        print(f"Over its limit: {each}", file=sys.stderr)
    return 1 if exceeded else 0


def _arguments() -> tuple[list[str], bool]:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description="Prints figures as ratios; exits 1 when one is over its limit.",
        epilog="Benchmarks: " + "; ".join(f"{name}: {what}" for name, what in BENCHES.items()),
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="which to run (default: all)")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    arguments = parser.parse_args()
    for name in arguments.names:
        if name not in BENCHES:
            parser.error(f"there is no benchmark {name!r}; there are {', '.join(BENCHES)}")
    return arguments.names or list(BENCHES), arguments.json


def _run(name: str, directory: Path) -> list[Figure]:
    module = importlib.import_module(f".{name.replace('-', '_')}", __package__)
    bench: Bench = module.run
    directory.mkdir()
    return bench(directory)


if __name__ == "__main__":
    sys.exit(main())
