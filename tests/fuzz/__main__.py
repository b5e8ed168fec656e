"""``python -m tests.fuzz [--seconds N] [--keep] [TARGET...]``, from the top of the repository.

Coverage-guided fuzzing of each target in turn; needs the package atheris (x86_64 only). ``--keep``
adds the inputs that reached new code to the committed corpus. Exit code 1 when something broke; the
input is then printed.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz.corpus import load, save
from tests.fuzz.targets import TARGETS

EXECUTED = re.compile(r"stat::number_of_executed_units:\s*(\d+)")


def fuzz(target: str, seconds: int, *, is_kept: bool) -> bool:
    """Fuzz one target for so long; return whether nothing broke."""
    with tempfile.TemporaryDirectory() as folder:
        known, new, broken = (Path(folder) / name for name in ("known", "new", "broken"))
        for each in (known, new, broken):
            each.mkdir()
        for at, data in enumerate(load(target)):
            (known / str(at)).write_bytes(data)
        options = [
            f"-max_total_time={seconds}",
            "-print_final_stats=1",
            "-timeout=10",
            "-max_len=1024",
            f"-artifact_prefix={broken}/",
        ]
        ended = subprocess.run(
            [sys.executable, "-m", "tests.fuzz.one", target, *options, str(new), str(known)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        found = [path.read_bytes() for path in sorted(new.iterdir())]
        bad = [path.read_bytes() for path in sorted(broken.iterdir())]
        executed = EXECUTED.search(ended.stdout)
        count = int(executed[1]) if executed else 0
        print(f"{target}: {count} executions, {len(found)} new inputs, {len(bad)} broke")
        for data in bad:
            print(f"  {data.hex()}")
        if ended.returncode:
            print(ended.stdout[-4000:])
        if is_kept:
            save(target, load(target) + found)
        return ended.returncode == 0


def main() -> int:
    """Fuzz the targets that are named, or all."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--keep", action="store_true", help="add new inputs to the corpus")
    parser.add_argument("targets", nargs="*", default=list(TARGETS), metavar="TARGET")
    arguments = parser.parse_args()
    results = [
        fuzz(target, arguments.seconds, is_kept=arguments.keep) for target in arguments.targets
    ]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
