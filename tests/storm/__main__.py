"""``python -m tests.storm crash|disk|random|real``, from the top of the repository."""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import random
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.pool import Pool
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))  # helpers that tests share

import structlog

from ttlock_agent.logs import bound_logger

from .crash import Pair, is_write, moments_of, try_bad_disk, try_pair
from .real import storm as real_storm
from .scenarios import SCENARIOS
from .weather import storm


def main() -> int:
    """Run one of the commands; exit 1 if an invariant did not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.storm", description=__doc__)
    parser.add_argument("--log", action="store_true", help="show what the agent logs")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes to use")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("crash", "kill at each step of each scenario"),
        ("disk", "let the disk fail at each write of each scenario"),
    ):
        steps = commands.add_parser(name, help=text)
        steps.add_argument("--sample", type=int, help="only so many, chosen by the seed")
        steps.add_argument("--seed", type=int, default=20261120)
        steps.add_argument("--only", help="only scenarios with this in their name")
        steps.add_argument("--number", type=int, help="only the moment of this number")
        steps.add_argument("--list", type=Path, help="file for the list of pairs")
    weather = commands.add_parser("random", help="hours of random faults and kills")
    weather.add_argument("--seed", type=int, default=0, help="of the first hour")
    weather.add_argument("--count", type=int, default=1, help="how many, each with the next seed")
    real = commands.add_parser("real", help="real processes and a real broker, in real time")
    real.add_argument("--seed", type=int, default=0)
    real.add_argument("--seconds", type=float, default=300.0)
    arguments = parser.parse_args()
    structlog.configure(
        wrapper_class=bound_logger(logging.DEBUG if arguments.log else logging.CRITICAL),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    run = {"crash": _steps, "disk": _steps, "random": _random, "real": _real}[arguments.command]
    return run(arguments)


def _workers(jobs: int) -> Pool:
    """Processes that share the work; they begin as copies of this one."""
    return multiprocessing.get_context("fork").Pool(jobs)


def _real(arguments: argparse.Namespace) -> int:
    # Told to stop, it must take its processes along.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    print(f"{arguments.seconds:.0f} s, seed {arguments.seed}", flush=True)
    faults = real_storm(arguments.seconds, arguments.seed)
    for fault in faults:
        print(f"    {fault}")
    print("FAILED" if faults else "ok")
    return 1 if faults else 0


def _random(arguments: argparse.Namespace) -> int:
    since, events, failed = time.monotonic(), Counter[str](), []
    seeds = range(arguments.seed, arguments.seed + arguments.count)
    with _workers(arguments.jobs) as workers:
        for outcome in workers.imap(storm, seeds):
            events += outcome.events
            print(f"seed {outcome.seed}: {'FAILED' if outcome.faults else 'ok'}", flush=True)
            for fault in outcome.faults:
                print(f"    {fault}")
            if outcome.faults:
                failed.append(outcome.seed)
    for name, count in sorted(events.items()):
        print(f"    {name:30} {count:6}")
    print(
        f"{arguments.count} simulated hours, {len(failed)} failed {failed or ''} "
        f"({time.monotonic() - since:.0f} s)"
    )
    return 1 if failed else 0


def _steps(arguments: argparse.Namespace) -> int:
    names = [name for name in SCENARIOS if (arguments.only or "") in name]
    pairs = [pair for name in names for pair in moments_of(name)]
    try_it = try_pair
    if arguments.command == "disk":
        pairs, try_it = [pair for pair in pairs if is_write(pair)], try_bad_disk
    if arguments.number is not None:
        pairs = [pair for pair in pairs if pair.number == arguments.number]
    if arguments.sample is not None:
        print(f"seed {arguments.seed}")
        pairs = random.Random(arguments.seed).sample(pairs, arguments.sample)
    if arguments.list is not None:
        arguments.list.parent.mkdir(parents=True, exist_ok=True)
        arguments.list.write_text("".join(f"{pair}\n" for pair in pairs), encoding="utf-8")
    since = time.monotonic()
    with _workers(arguments.jobs) as workers:
        held = list(workers.imap(partial(_holds, try_it), pairs, chunksize=4))
    failed = [pair for pair, is_held in zip(pairs, held, strict=True) if not is_held]
    _tell(pairs, failed)
    print(
        f"{len(pairs)} distinct pairs of scenario and step, {len(failed)} failed "
        f"({time.monotonic() - since:.0f} s)"
    )
    return 1 if failed else 0


def _holds(try_it: Callable[[Pair], bool], pair: Pair) -> bool:
    try:
        assert try_it(pair), "that moment did not come"
    except Exception as error:
        print(f"FAILED {pair}: {error}")
        traceback.print_exception(error, limit=-3)
        return False
    return True


def _tell(pairs: Sequence[Pair], failed: Sequence[Pair]) -> None:
    by_scenario = Counter(pair.scenario for pair in pairs)
    failures = Counter(pair.scenario for pair in failed)
    for name, count in by_scenario.items():
        print(f"{name:34} {count:5} tried, {failures[name]} failed")
    for moment, count in sorted(Counter(pair.moment for pair in pairs).items()):
        print(f"    {moment:30} {count:5}")


if __name__ == "__main__":
    sys.exit(main())
