"""Minutes of real time: the agent, the lock and mosquitto as processes, killed and restarted.

What is simulated elsewhere is real here: SIGKILL, the broker, sockets, the disk and the time.
"""

from __future__ import annotations

import json
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agent_rig import assert_no_blind_repeat
from agent_site import FINAL, TOPICS, Caller, Site, house_lock
from ttlock_agent.demo.broker import BrokerKind
from ttlock_protocol.virtual import Fault, FaultAction, FaultPlan, FaultPoint

PAUSE_S = 1.5
SETTLES_WITHIN_S = 120.0
POLL_S = 0.5
KEPT = [f"7{number:05}" for number in range(4)]
LOCK_FAULTS = (FaultAction.LOSE, FaultAction.DROP, FaultAction.TEAR, FaultAction.DUPLICATE)


def storm(seconds: float, seed: int) -> list[str]:
    """Let it storm; return what was lost, doubled or wrongly reported."""
    directory = Path(tempfile.mkdtemp(prefix="storm-"))
    site = Site(directory, lock=house_lock(passcodes=tuple(KEPT)), is_tapped=True,
                broker=BrokerKind.MOSQUITTO)  # fmt: skip
    try:
        return _Storm(site, random.Random(seed)).rage(seconds)
    finally:
        site.close()
        shutil.rmtree(directory, ignore_errors=True)


class _Storm:
    def __init__(self, site: Site, draw: random.Random) -> None:
        self._site = site
        self._draw = draw
        self._events: Counter[str] = Counter()
        self._asked: dict[str, tuple[str, str]] = {}
        """Verb and digits by request id, in order."""
        self._caller: Caller | None = None

    def rage(self, seconds: float) -> list[str]:
        site = self._site
        site.broker.start()
        site.start_lock()
        site.furnish()
        site.start_agent()
        self._caller = site.caller()
        events: dict[Callable[[], None], int] = {
            self._ask: 10, self._kill_agent: 2, self._restart_broker: 1,
            self._kill_broker: 1, self._strike: 2, self._let_lock_fail: 3,
        }  # fmt: skip
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            do = self._draw.choices(list(events), list(events.values()))[0]
            self._events[do.__name__.strip("_")] += 1
            do()
            self._see_to_agent()
            time.sleep(self._draw.expovariate(1 / PAUSE_S))
        site.lock(lambda lock: lock.set_faults(FaultPlan()))
        self._settle()
        print(", ".join(f"{count} {name}" for name, count in sorted(self._events.items())))
        return self._wrong()

    # What happens.

    def _ask(self) -> None:
        assert self._caller is not None
        name = f"r-{len(self._asked)}"
        digits = f"{self._draw.randint(2, 6)}48291"
        if self._draw.random() < 0.6:
            self._asked[name] = "passcode.add", digits
            until = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(days=2)
            more = {"valid_until": until} if self._draw.random() < 0.5 else {}
            self._caller.ask("passcode.add", name, passcode=digits, **more)
        else:
            self._asked[name] = "passcode.delete", digits
            self._caller.ask("passcode.delete", name, passcode=digits)

    def _kill_agent(self) -> None:
        self._site.kill_agent()

    def _strike(self) -> None:
        """Kill the agent in the middle of a frame, whenever that comes."""
        tap, site = self._site.tap, self._site
        assert tap is not None
        assert site.agent is not None
        tap.strike = site.agent.kill
        tap.strike_after = tap._pieces + self._draw.randint(1, 30)

    def _restart_broker(self) -> None:
        self._site.broker.stop()
        time.sleep(self._draw.uniform(0, 3))
        self._start_broker()

    def _kill_broker(self) -> None:
        """mosquitto writes what it keeps every second; what it had not written is its own loss."""
        time.sleep(2)
        self._site.broker.kill()
        time.sleep(self._draw.uniform(0, 3))
        self._start_broker()

    def _start_broker(self) -> None:
        self._site.broker.start()
        self._caller = self._site.caller()

    def _let_lock_fail(self) -> None:
        fault = Fault(
            action=self._draw.choice(LOCK_FAULTS), at=FaultPoint.ANSWER,
            nth=self._draw.randint(1, 12),
        )  # fmt: skip
        self._site.lock(lambda lock: lock.set_faults(FaultPlan(faults=(fault,))))

    def _see_to_agent(self) -> None:
        """What systemd does."""
        agent = self._site.agent
        assert agent is not None
        if agent.poll() is None:
            return
        self._events["agent started again"] += 1
        assert agent.returncode == -9, f"the agent ended by itself: {self._site.log('agent')}"
        self._site.start_agent(is_connected=False)

    # What must be true.

    def _settle(self) -> None:
        end_s = time.monotonic() + SETTLES_WITHIN_S
        while time.monotonic() < end_s:
            self._see_to_agent()
            if self._answers().keys() >= self._asked.keys() and not self._open_jobs():
                return
            time.sleep(POLL_S)

    def _open_jobs(self) -> list[object]:
        return list(self._site.status()["open_jobs"])

    def _answers(self) -> dict[str, set[str]]:
        """Every final answer to each request, whoever heard it."""
        answers: dict[str, set[str]] = {}
        for caller in self._site._callers:
            for heard in list(caller.heard):
                if not heard.topic.startswith(f"{TOPICS.root}/response/"):
                    continue
                if heard.body["status"] in FINAL:
                    text = json.dumps(heard.body, sort_keys=True)
                    answers.setdefault(heard.body["id"], set()).add(text)
        return answers

    def _wrong(self) -> list[str]:
        answers, found, holds = self._answers(), [], dict.fromkeys(KEPT, True)
        for name, (verb, digits) in self._asked.items():
            said = answers.get(name, set())
            if len(said) != 1:
                found.append(f"{name} was answered in {len(said)} ways")
            elif json.loads(next(iter(said)))["result"] == "proved":
                holds[digits] = verb == "passcode.add"
            else:
                found.append(f"{name} was not proved: {said}")
        if self._site.digits() != sorted(digits for digits, is_held in holds.items() if is_held):
            found.append("the lock holds other passcodes than were proved")
        if self._open_jobs():
            found.append("something is left to do")
        assert self._site.tap is not None
        try:
            assert_no_blind_repeat(self._site.tap.arrived)
        except AssertionError as error:
            found.append(str(error))
        print(f"{len(self._asked)} requests")
        return found
