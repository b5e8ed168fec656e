"""Everything that the virtual machine is for, on the host as root: ``all.py [PART...]``.

The images are built first. Then the parts of all suites run, ``--jobs`` machines at a time; what
they say is shown as they say it and kept in ``build/vm/``. A part that fails does not stop the
others. The end tells what took how long. Every part is bounded in time, and whatever ends this
program ends its machines.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
VM = "tests/fullstack/vm"
LOGS = ROOT / "build" / "vm"
SUITES = ("bookworm", "trixie")
PARTS = ("service", "package", "link", "bench-cuts", "cuts")
"""The longest first, of all suites, so that no hand is idle at the end."""
SMOKE = "smoke"
"""For CI: those scenes of `service` that take little time."""
IN_GUEST = (
    f"HYPOTHESIS_STORAGE_DIRECTORY=/tmp/hypothesis PYTHONPATH=/opt/site:/work/{VM}"
    " /opt/ttlock-agent/current/bin/python"
)
SMOKE_SCENES = "main_job sandbox stop kill"
LINK_TESTS = "tests/fullstack/test_link.py tests/fullstack/test_every_request.py"
CUT_S = 180
"""Allowed for each power cut, with boot and deliveries: several times what it takes."""
BOOT_AGAIN_S = 300
"""For a machine that had to be booted twice; see boot.sh."""
STOP_S = 20
"""A part that is told to end has its machine ended by then."""
_started_s = time.monotonic()
_telling = threading.Lock()


def tell(text: str) -> None:
    with _telling:
        print(f"{time.monotonic() - _started_s:5.0f} s  {text}", flush=True)


@dataclass(frozen=True)
class Part:
    """One machine's run, or several one after the other."""

    name: str
    suite: str
    command: tuple[str, ...]
    limit_s: int

    @property
    def title(self) -> str:
        return f"{self.suite} {self.name}"

    @property
    def out(self) -> Path:
        return LOGS / f"{self.suite}-{self.name}"


@dataclass(frozen=True)
class Outcome:
    part: Part
    status: int
    took_s: float
    cpu_s: float
    """What it takes at least on a single processor that nobody else uses."""

    def __str__(self) -> str:
        held = "ok" if self.status == 0 else "FAILED"
        took = f"{self.took_s:5.0f} s, {self.cpu_s:.0f} s of processor time"
        return f"{self.part.title:20} {held:6} {took}"


def make_part(name: str, suite: str, image: str, package: str, cuts: int, kills: int) -> Part:
    run = ("tests/fullstack/run", "--suite", suite)
    pytest = f"{IN_GUEST} -m pytest -q -p no:cacheprovider --rig vm --timeout 900"
    power_cuts = ("python3", f"{VM}/power_cuts.py", image, "--cuts", str(cuts))
    known: dict[str, tuple[tuple[str, ...], int]] = {
        "link": ((*run, "--fast", "--", f"{pytest} {LINK_TESTS}"), 1200),
        "service": ((*run, "--", f"KILLS={kills} {IN_GUEST} {VM}/scenes.py"), 1800 + 120 * kills),
        SMOKE: ((*run, "--", f"KILLS=1 {IN_GUEST} {VM}/scenes.py {SMOKE_SCENES}"), 1200),
        "cuts": ((*power_cuts, "--story", "deliveries"), CUT_S * (cuts + 2)),
        "bench-cuts": ((*power_cuts, "--story", "bench"), CUT_S * (cuts + 2)),
        "package": ((f"{VM}/package_life.sh", suite, package), 2400),
    }
    command, limit_s = known[name]
    return Part(name, suite, command, limit_s)


class Runner:
    """Works on the parts with several hands."""

    def __init__(self, parts: list[Part], package: str) -> None:
        self._waiting: queue.SimpleQueue[Part] = queue.SimpleQueue()
        for part in parts:
            self._waiting.put(part)
        self._environment = os.environ | {"PACKAGE": package, "FOLLOW": "yes"}
        self._running: dict[Part, subprocess.Popen[str]] = {}
        self._starting = threading.Lock()
        self._is_stopped = False
        self.outcomes: list[Outcome] = []

    def run(self, jobs: int) -> None:
        hands = [threading.Thread(target=self._work, daemon=True) for _ in range(jobs)]
        for hand in hands:
            hand.start()
        for hand in hands:
            while hand.is_alive():
                hand.join(1)  # so that signals are heard

    def stop(self) -> None:
        """End what still runs, machines included."""
        with self._starting:
            self._is_stopped = True
            running = list(self._running.values())
        for process in running:
            signal_group(process, signal.SIGTERM)
        for process in running:
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                signal_group(process, signal.SIGKILL)

    def _work(self) -> None:
        while True:
            try:
                part = self._waiting.get_nowait()
            except queue.Empty:
                return
            since_s = time.monotonic()
            with self._starting:
                if self._is_stopped:
                    return
                process = self._running[part] = self._start(part)
            status, cpu_s = self._follow(part, process)
            outcome = Outcome(part, status, time.monotonic() - since_s, cpu_s)
            tell(str(outcome))
            self.outcomes.append(outcome)

    def _start(self, part: Part) -> subprocess.Popen[str]:
        tell(f"{part.title}: begins")
        shutil.rmtree(part.out, ignore_errors=True)
        part.out.mkdir(parents=True)
        return subprocess.Popen(
            part.command, cwd=ROOT, text=True, start_new_session=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=self._environment | {"OUT": str(part.out), "LIMIT": str(part.limit_s)},
        )  # fmt: skip

    def _follow(self, part: Part, process: subprocess.Popen[str]) -> tuple[int, float]:
        # The machine's own limit comes first and leaves its logs; this one is for what hangs.
        bound_s = part.limit_s + BOOT_AGAIN_S
        bound = threading.Timer(bound_s, signal_group, (process, signal.SIGTERM))
        bound.daemon = True
        bound.start()
        assert process.stdout is not None
        with (part.out / "said.log").open("w") as log:
            for line in process.stdout:
                log.write(line)
                tell(f"{part.title} | {line.rstrip()}")
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        bound.cancel()
        del self._running[part]
        return process.returncode, usage.ru_utime + usage.ru_stime


def signal_group(process: subprocess.Popen[str], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def build(*command: str) -> str:
    """Run a build step; return the last line it says, which names what it built."""
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip().splitlines()[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; or {SMOKE}"
    )
    parser.add_argument("--suite", dest="suites", action="append", choices=SUITES)
    parser.add_argument("--jobs", type=int, default=2, help="machines that run at a time")
    parser.add_argument("--cuts", type=int, default=2, help="power cuts, for each story and suite")
    parser.add_argument("--kills", type=int, default=3, help="kill -9, for each suite")
    options = parser.parse_args()
    if unknown := set(options.parts) - {*PARTS, SMOKE}:
        parser.error(f"no such part: {', '.join(unknown)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

    LOGS.mkdir(parents=True, exist_ok=True)
    # A copy, which stays the same whatever is built meanwhile.
    package = str(shutil.copy(ROOT / build("deploy/deb.sh", "amd64"), LOGS / "ttlock-agent.deb"))
    parts = []
    for suite in options.suites or SUITES:
        build(f"{VM}/image.sh", suite, "amd64")
        image = build(f"{VM}/image.sh", suite, "amd64", package)
        parts += [
            make_part(name, suite, image, package, options.cuts, options.kills)
            for name in options.parts or PARTS
        ]
    tell("the images are there")
    parts.sort(key=lambda part: (*PARTS, SMOKE).index(part.name))
    runner = Runner(parts, package)
    try:
        runner.run(options.jobs)
    finally:
        runner.stop()
    for each in runner.outcomes:
        tell(str(each))
    held = {each.part for each in runner.outcomes if each.status == 0}
    failed = [each.title for each in parts if each not in held]
    tell(f"FAILED: {', '.join(failed)}" if failed else "all of it held")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
