"""``python -m tests.storm crash|random|real``, from the top of the repository."""

from __future__ import annotations

import argparse
import logging
import random
import sys
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))  # helpers that tests share

import structlog

from ttlock_agent.logs import bound_logger

from .crash import Pair, moments_of, try_pair
from .scenarios import SCENARIOS
from .weather import storm


def main() -> int:
    """Run one of the commands; exit 1 if an invariant did not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.storm", description=__doc__)
    parser.add_argument("--log", action="store_true", help="show what the agent logs")
    commands = parser.add_subparsers(dest="command", required=True)
    crash = commands.add_parser("crash", help="kill at each step of each scenario")
    crash.add_argument("--sample", type=int, help="only so many, chosen by the seed")
    crash.add_argument("--seed", type=int, default=20261120)
    crash.add_argument("--only", help="only scenarios with this in their name")
    crash.add_argument("--number", type=int, help="only the moment of this number")
    crash.add_argument("--list", type=Path, help="file for the list of pairs")
    weather = commands.add_parser("random", help="hours of random faults and kills")
    weather.add_argument("--seed", type=int, default=0, help="of the first hour")
    weather.add_argument("--count", type=int, default=1, help="how many, each with the next seed")
    arguments = parser.parse_args()
    structlog.configure(
        wrapper_class=bound_logger(logging.DEBUG if arguments.log else logging.CRITICAL),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    return {"crash": _crash, "random": _random}[arguments.command](arguments)


def _random(arguments: argparse.Namespace) -> int:
    since, events, failed = time.monotonic(), Counter[str](), []
    for seed in range(arguments.seed, arguments.seed + arguments.count):
        outcome = storm(seed)
        events += outcome.events
        print(f"seed {seed}: {'ok' if not outcome.faults else 'FAILED'}", flush=True)
        for fault in outcome.faults:
            print(f"    {fault}")
        if outcome.faults:
            failed.append(seed)
    for name, count in sorted(events.items()):
        print(f"    {name:30} {count:6}")
    print(
        f"{arguments.count} simulated hours, {len(failed)} failed {failed or ''} "
        f"({time.monotonic() - since:.0f} s)"
    )
    return 1 if failed else 0


def _crash(arguments: argparse.Namespace) -> int:
    names = [name for name in SCENARIOS if (arguments.only or "") in name]
    pairs = [pair for name in names for pair in moments_of(name)]
    if arguments.number is not None:
        pairs = [pair for pair in pairs if pair.number == arguments.number]
    if arguments.sample is not None:
        print(f"seed {arguments.seed}")
        pairs = random.Random(arguments.seed).sample(pairs, arguments.sample)
    if arguments.list is not None:
        arguments.list.write_text("".join(f"{pair}\n" for pair in pairs), encoding="utf-8")
    since = time.monotonic()
    failed = [pair for pair in pairs if not _holds(pair)]
    _tell(pairs, failed)
    print(
        f"{len(pairs)} distinct pairs of scenario and step, {len(failed)} failed "
        f"({time.monotonic() - since:.0f} s)"
    )
    return 1 if failed else 0


def _holds(pair: Pair) -> bool:
    try:
        assert try_pair(pair), "that moment did not come"
    except Exception as error:
        print(f"FAILED {pair}: {error}")
        traceback.print_exception(error, limit=-3)
        return False
    return True


def _tell(pairs: Sequence[Pair], failed: Sequence[Pair]) -> None:
    by_scenario = Counter(pair.scenario for pair in pairs)
    failures = Counter(pair.scenario for pair in failed)
    for name, count in by_scenario.items():
        print(f"{name:34} {count:5} killed, {failures[name]} failed")
    for moment, count in sorted(Counter(pair.moment for pair in pairs).items()):
        print(f"    {moment:30} {count:5}")


if __name__ == "__main__":
    sys.exit(main())
