"""The agent's process dies, is stopped, is started twice, and loses its broker."""

import random
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from agent_rig import assert_no_blind_repeat
from agent_site import (
    KEYS,
    LOCK,
    PATIENCE_S,
    TOPICS,
    Caller,
    Secrets,
    Site,
    empty_site,
    house_lock,
    running_site,
    wait_until,
)
from ttlock_agent.control.client import call
from ttlock_agent.errors import EX_OK, EX_UNAVAILABLE
from ttlock_protocol.messages.passcodes import AddPasscode
from ttlock_protocol.virtual import Fault, FaultAction, FaultPlan, FaultPoint

SEED = 20261121
PIECES = 24
"""The delivery below takes more pieces than this, however its jobs share the visits."""
KILLS = 3


def lose(site: Site, action: FaultAction, at: FaultPoint, request: str) -> None:
    plan = FaultPlan(faults=(Fault(action=action, at=at, request=request, nth=1),))
    site.lock(lambda lock: lock.set_faults(plan))


def book(caller: Caller) -> None:
    until = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(days=1)
    caller.ask("passcode.add", "k-1", passcode="482913", valid_until=until)
    caller.ask("passcode.add", "k-2", passcode="771204")
    caller.ask("passcode.delete", "k-3", passcode="111111")


@pytest.mark.parametrize(
    ("moment", "piece"),
    [
        ("with", AddPasscode),
        *(
            (random.Random(SEED + n).choice(["before", "after"]), 1 + PIECES * n // KILLS)
            for n in range(1, KILLS)
        ),
    ],
)
def test_a_killed_agent_comes_back_and_proves_everything_once(moment: str, piece: object) -> None:
    """SIGKILL while a piece of a frame is under way; the lock and the broker live on."""
    with empty_site(lock=house_lock(passcodes=("111111",)), is_tapped=True) as site:
        assert site.tap is not None
        site.broker.start()
        site.start_lock()
        site.furnish()
        site.start_agent()
        setattr(site.tap, f"strike_{moment}", piece)
        site.tap.strike = site.agent.kill if site.agent is not None else site.close
        caller = site.caller()
        book(caller)
        wait_until(lambda: site.agent is None or site.agent.poll() is not None, "the agent's death")
        site.start_agent()
        for verb, name in (("add", "k-1"), ("add", "k-2"), ("delete", "k-3")):
            assert caller.answer(f"passcode.{verb}", name)["result"] == "proved"
        assert site.digits() == ["482913", "771204"]
        assert_no_blind_repeat(site.tap.arrived)
        assert set(ends(caller)) == {("k-1", "proved"), ("k-2", "proved"), ("k-3", "proved")}
        assert site.status()["open_jobs"] == []


def ends(caller: Caller) -> list[tuple[str, str]]:
    """Every final word so far."""
    found = {
        (answer["id"], answer["result"])
        for verb in ("passcode.add", "passcode.delete")
        for name in ("k-1", "k-2", "k-3")
        for answer in caller.answers(verb, name)
        if answer["status"] != "accepted"
    }
    return sorted(found)


def test_an_unknown_outcome_survives_a_kill_and_is_proved() -> None:
    with empty_site(is_tapped=True) as site:
        site.broker.start()
        site.start_lock()
        site.furnish()
        site.start_agent()
        lose(site, FaultAction.DROP, FaultPoint.ANSWER, "AddPasscode")
        caller = site.caller()
        caller.ask("passcode.add", "u-1", passcode="482913")
        wait_until(
            lambda: [job for job in site.status()["open_jobs"] if job["state"] == "unknown"],
            "the unknown outcome",
        )
        site.kill_agent()
        journal = sqlite3.connect(site.state_directory / "journal.db")
        ((state, is_sent),) = journal.execute("SELECT state, is_sent FROM jobs").fetchall()
        journal.close()
        assert (state, is_sent) == ("unknown", 1)
        site.start_agent()
        assert caller.answer("passcode.add", "u-1")["result"] == "proved"
        assert site.digits() == ["482913"]


def test_a_stopped_agent_ends_soon_and_leaves_no_job_unclear() -> None:
    with empty_site(is_tapped=True) as site:
        assert site.tap is not None
        site.broker.start()
        site.start_lock()
        site.furnish(bluetooth={"connect_timeout_s": 2, "response_timeout_s": 60})
        site.start_agent()
        caller = site.caller()
        lose(site, FaultAction.LOSE, FaultPoint.ANSWER, "AddPasscode")
        caller.ask("passcode.add", "s-1", passcode="482913")
        wait_until(lambda: "482913" in site.digits(), "the passcode in the lock")
        assert site.stop_agent() == EX_OK
        journal = sqlite3.connect(site.state_directory / "journal.db")
        ((state,),) = journal.execute("SELECT state FROM jobs").fetchall()
        journal.close()
        assert state == "unknown"
        last = caller.await_message(lambda heard: heard.payload == b"offline")
        assert last.topic == TOPICS.status
        assert not site.control_socket.exists()
        log = site.log("agent")
        assert "Traceback" not in log
        site.start_agent()
        assert caller.answer("passcode.add", "s-1")["result"] == "proved"
        assert site.digits() == ["482913"]


def test_a_second_agent_on_the_same_journal_is_refused() -> None:
    with running_site() as site:
        second = subprocess.run(
            [sys.executable, "-m", "ttlock_agent", "run", "--config", str(site.config_file)],
            capture_output=True, text=True, timeout=PATIENCE_S, check=False,
        )  # fmt: skip
        assert second.returncode == EX_UNAVAILABLE
        assert "Another agent" in second.stderr
        assert "Traceback" not in second.stderr
        assert site.status()["mqtt"]["status"] == "connected"


def test_a_dead_broker_costs_no_request_and_no_answer() -> None:
    with running_site() as site:
        caller = site.caller()
        caller.ask("passcode.add", "m-1", passcode="482913")
        caller.answer("passcode.add", "m-1")
        site.broker.kill()
        wait_until(lambda: site.status()["mqtt"]["status"] != "connected", "the loss's notice")
        assert site.status()["mqtt"]["error"]
        proved = site.result("passcode.add", {"id": "m-2", "lock": LOCK, "passcode": "771204"})
        assert proved["result"] == "proved"
        site.broker.start()
        late = site.caller()
        assert late.answer("passcode.add", "m-2")["result"] == "proved"
        late.ask("passcode.add", "m-3", passcode="320586")
        assert late.answer("passcode.add", "m-3")["result"] == "proved"
        assert site.digits() == ["320586", "482913", "771204"]


def test_nothing_says_a_secret() -> None:
    """Through successes and failures, all the agent says and keeps, but for where we put it."""
    digits = ["482913", "771204", "320586", "665511", "998877", "1123334"]
    secrets = Secrets(*digits, KEYS.aes_key.hex(), str(KEYS.admin_secret), str(KEYS.unlock_key))
    with running_site(lock=house_lock(clock_error_s=-7200, passcodes=("665511",))) as site:
        caller = site.caller(listens_to="#")
        lose(site, FaultAction.LOSE, FaultPoint.ANSWER, "AddPasscode")
        caller.ask("passcode.add", "x-1", passcode="482913", label="a guest")
        caller.answer("passcode.add", "x-1")
        caller.ask("passcode.add", "x-2", passcode="4829", label="a collision")
        caller.ask("passcode.add", "x-3", passcode="771204", pasword="771204")
        caller.publish("passcode.add", b'{"id": "x-4", "passcode": "771204"')
        site.opens("482913")
        site.opens("998877")
        for number, verb in enumerate(
            ("passcode.list", "clock.read", "lock.state", "lock.info", "log.read")
        ):
            caller.ask(verb, f"y-{number}")
            caller.answer(verb, f"y-{number}")
        refuse = Fault(action=FaultAction.REFUSE, at=FaultPoint.REQUEST, request="AddPasscode")
        site.lock(lambda lock: lock.set_faults(FaultPlan(faults=(refuse,))))
        caller.ask("passcode.add", "x-5", passcode="320586")
        assert caller.answer("passcode.add", "x-5")["status"] == "failed"
        site.stop_lock()
        caller.ask("passcode.add", "x-6", passcode="320587")
        wait_until(lambda: site.status()["locks"][LOCK]["last_error"], "the lock's absence")
        said = [str(line).encode() for line in call(site.control_socket, "status")]
        assert site.stop_agent() == EX_OK
        said += [
            heard.payload + heard.topic.encode()
            for heard in caller.heard
            if "/request/" not in heard.topic
        ]
        said.append(site.log("agent").encode())
        kept = [path.read_bytes() for path in site.state_directory.rglob("*") if path.is_file()]
        asked = b"".join(heard.payload for heard in caller.heard if "/request/" in heard.topic)
        assert secrets.found_in(asked) == ["482913", "771204", "320586"]
        assert len(said) > 20
        assert len(kept) >= 2
        assert [found for data in [*said, *kept] if (found := secrets.found_in(data))] == []
