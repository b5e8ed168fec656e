"""``python -m tests.hil_faults``: which check finds which fault; exit 1 if one escapes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))  # helpers that tests share

from .bench import JOBS, find_all, table
from .locks import BROKEN


def main() -> int:
    """Break locks, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.hil_faults", description=__doc__)
    parser.add_argument("--only", help="only faults with this in their name")
    parser.add_argument("--jobs", type=int, default=JOBS, help="processes to use")
    arguments = parser.parse_args()
    broken = [each for each in BROKEN if not arguments.only or arguments.only in each.name]
    outcomes = find_all(broken, arguments.jobs)
    print("\n".join(table(outcomes, broken)))
    escaped = [each.name for each in broken if each.finds not in outcomes[each.name].red]
    print(f"\n{len(broken)} faults, {len(escaped)} not found")
    return 1 if escaped else 0


if __name__ == "__main__":
    sys.exit(main())
