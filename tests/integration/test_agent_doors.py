"""The running agent through the doors that callers have: MQTT, the control socket, the keypad."""

import json
import stat
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from agent_site import LOCK, TOPICS, Caller, Heard, Site, house_lock, running_site, wait_until
from ttlock_agent.control.messages import Progress
from ttlock_protocol.messages.operate import BoltState


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """One agent for all tests here; each has passcodes and ids of its own."""
    with running_site() as made:
        yield made


@pytest.fixture
def caller(site: Site) -> Iterator[Caller]:
    caller = Caller(site.broker.port)
    yield caller
    caller.close()


def at(**later: float) -> datetime:
    return (datetime.now(UTC) + timedelta(**later)).replace(second=0, microsecond=0)


def test_a_passcode_is_accepted_proved_and_opens_the_door(site: Site, caller: Caller) -> None:
    assert not site.opens("482913")
    caller.ask(
        "passcode.add", "a-1", passcode="482913", label="booking 1",
        valid_from=at(), valid_until=at(days=2),
    )  # fmt: skip
    accepted = caller.answer("passcode.add", "a-1", {"accepted"})
    proved = caller.answer("passcode.add", "a-1")
    assert (proved["status"], proved["result"]) == ("done", "proved")
    assert proved["job"] == accepted["job"]
    assert not proved["was_there"]
    assert datetime.fromisoformat(proved["proof_at"]) <= datetime.now(UTC)
    assert site.opens("482913")


def test_a_deleted_passcode_no_longer_opens(site: Site, caller: Caller) -> None:
    caller.ask("passcode.add", "b-1", passcode="551207")
    assert caller.answer("passcode.add", "b-1")["result"] == "proved"
    assert site.opens("551207")
    caller.ask("passcode.delete", "b-2", passcode="551207")
    assert caller.answer("passcode.delete", "b-2")["result"] == "proved"
    assert not site.opens("551207")


def test_the_same_request_twice_is_one_job_with_one_answer(site: Site, caller: Caller) -> None:
    until = at(days=1)
    for _ in range(2):
        caller.ask("passcode.add", "c-1", passcode="663301", valid_until=until)
    first = caller.answer("passcode.add", "c-1")
    asked_again = len(caller.heard)
    caller.ask("passcode.add", "c-1", passcode="663301", valid_until=until)
    assert caller.answer("passcode.add", "c-1", after=asked_again) == first
    assert {answer["job"] for answer in caller.answers("passcode.add", "c-1")} == {first["job"]}
    assert site.digits().count("663301") == 1


def test_the_control_socket_knows_the_same_jobs(site: Site, caller: Caller) -> None:
    caller.ask("passcode.add", "d-1", passcode="774412")
    proved = caller.answer("passcode.add", "d-1")
    again = site.result("passcode.add", {"id": "d-1", "lock": LOCK, "passcode": "774412"})
    assert again == proved


def test_the_lists_show_no_digits(site: Site, caller: Caller) -> None:
    caller.ask("passcode.add", "e-1", passcode="885523", label="booking 5")
    assert caller.answer("passcode.add", "e-1")["result"] == "proved"
    caller.ask("passcode.list", "e-2")
    listed = caller.answer("passcode.list", "e-2")
    assert listed["result"] == "done"
    (entry,) = [each for each in listed["passcodes"] if each.get("label") == "booking 5"]
    assert entry["is_known"]
    assert entry["is_as_wanted"]
    assert entry["length"] == 6
    topic = TOPICS.lock_passcodes(LOCK)
    shown = caller.await_message(
        lambda heard: heard.topic == topic and b"booking 5" in heard.payload
    )
    assert shown.body["as_of"]
    assert b"885523" not in shown.payload
    assert "885523" not in json.dumps(listed)


def test_the_clock_is_read_and_set(site: Site, caller: Caller) -> None:
    caller.ask("clock.read", "f-1")
    read = caller.answer("clock.read", "f-1")
    assert read["has_clock"]
    assert abs(read["clock_error_s"]) < 30
    caller.ask("clock.sync", "f-2")
    assert caller.answer("clock.sync", "f-2")["result"] == "proved"


def test_the_lock_tells_what_it_is(site: Site, caller: Caller) -> None:
    for verb in ("lock.state", "lock.features", "lock.info"):
        caller.ask(verb, f"g-{verb}")
    state = caller.answer("lock.state", "g-lock.state")
    assert state["lock"] in ("LOCKED", "UNLOCKED")
    assert 0 < state["battery_percent"] <= 100
    assert caller.answer("lock.features", "g-lock.features")["features"]
    assert caller.answer("lock.info", "g-lock.info")["firmware"]


def test_what_the_lock_says_by_itself_is_shown_without_asking_it() -> None:
    with running_site(lock=house_lock(passcodes=("638805",))) as site:
        caller, topic = site.caller(), TOPICS.lock_state(LOCK)

        def is_shown(heard: Heard, bolt: str) -> bool:
            return heard.topic == topic and heard.body["lock"] == bolt

        caller.await_message(lambda heard: is_shown(heard, "LOCKED"))
        assert site.opens("638805")
        opened = caller.await_message(lambda heard: is_shown(heard, "UNLOCKED")).body
        assert opened["lock_source"] == "advertisement"
        assert opened["seen_at"] >= opened["lock_as_of"]
        status = site.status()["locks"][LOCK]
        assert status["state"]["lock_source"] == "advertisement"
        assert status["state"]["rssi_dbm"] < 0
        assert status["visits"] == 0


def test_the_log_names_no_digits(site: Site, caller: Caller) -> None:
    caller.ask("passcode.add", "h-1", passcode="996634", label="booking 8")
    caller.answer("passcode.add", "h-1")
    assert site.opens("996634")
    assert not site.opens("111222")
    caller.ask("log.read", "h-2")
    read = caller.answer("log.read", "h-2")
    by_type = {record["type"]: record for record in read["records"]}
    assert {"is_known": True, "label": "booking 8", "owner": "mqtt"} in [
        record.get("passcode") for record in read["records"]
    ]
    assert by_type["wrong_passcode"]["passcode"] == {"is_known": False}
    assert "996634" not in json.dumps(read)
    assert "111222" not in json.dumps(read)
    caller.ask("log.read", "h-3", since=read["next"])
    assert caller.answer("log.read", "h-3")["records"] == []


def test_a_job_is_told_of_by_either_name(site: Site, caller: Caller) -> None:
    caller.ask("passcode.add", "i-1", passcode="107745")
    job = caller.answer("passcode.add", "i-1")["job"]
    for number, name in enumerate((job, "i-1")):
        caller.ask("job.get", f"i-get-{number}", job=name)
        about = caller.answer("job.get", f"i-get-{number}")["about"]
        assert (about["job"], about["state"], about["verb"]) == (job, "proved", "passcode.add")
    caller.ask("job.get", "i-3", job="nobody")
    assert caller.answer("job.get", "i-3")["error"]["code"] == "no_such_job"


def test_a_job_that_waits_can_be_cancelled(site: Site, caller: Caller) -> None:
    site.stop_lock()
    caller.ask("passcode.add", "j-1", passcode="218856")
    job = caller.answer("passcode.add", "j-1", {"accepted"})["job"]
    caller.ask("job.cancel", "j-2", job=job)
    assert caller.answer("job.cancel", "j-2")["about"]["state"] == "cancelled"
    cancelled = caller.answer("passcode.add", "j-1")
    assert (cancelled["status"], cancelled["error"]["code"]) == ("failed", "cancelled")
    site.start_lock()
    caller.ask("passcode.list", "j-3", priority="guest_at_the_door")
    assert caller.answer("passcode.list", "j-3")["result"] == "done"
    assert "218856" not in site.digits()


def test_a_control_call_tells_how_its_job_goes(site: Site) -> None:
    lines = site.call("passcode.add", {"id": "k-1", "lock": LOCK, "passcode": "329967"})
    assert any(isinstance(line, Progress) for line in lines[:-1])
    assert lines[0].body["state"] in ("accepted", "working")
    assert site.opens("329967")
    refused = site.failure("passcode.add", {"id": "k-2", "lock": "nowhere", "passcode": "329967"})
    assert (refused.code, refused.exit_code) == ("unknown_lock", 65)


def test_the_status_tells_all_without_secrets(site: Site) -> None:
    site.result("clock.read", {"id": "l-1", "lock": LOCK})
    status = site.status()
    assert status["mqtt"]["status"] == "connected"
    assert status["vault_key"] == "new_file"
    lock = status["locks"][LOCK]
    assert (lock["has_keys"], lock["is_reachable"], lock["last_error"]) == (True, True, None)
    assert lock["visits"] >= 1
    assert status["jobs"]["done"] >= 1


def test_the_control_socket_is_for_owner_and_group(site: Site) -> None:
    mode = site.control_socket.stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o660


def test_whoever_comes_later_finds_what_the_agent_is(site: Site, caller: Caller) -> None:
    """Retained: a caller that connects now hears it all."""
    said = {
        TOPICS.status: lambda heard: heard.payload == b"online",
        TOPICS.info: lambda heard: heard.body["agent"] == "house-12",
        TOPICS.lock_availability(LOCK): lambda heard: heard.payload == b"online",
    }
    site.result("lock.state", {"id": f"m-{time.monotonic_ns()}", "lock": LOCK})
    for topic, is_so in said.items():
        heard = caller.await_message(lambda heard, topic=topic: heard.topic == topic)
        assert is_so(heard), topic


def test_an_answer_goes_where_a_version_5_caller_wants_it(site: Site, caller: Caller) -> None:
    caller.publish("clock.read", b'{"lock": "front-door"}', CorrelationData=b"n-1")
    assert caller.answer("clock.read", "n-1")["result"] == "done"


def test_nobody_opens_the_door_over_mqtt(site: Site, caller: Caller) -> None:
    # Whoever came in before: the lock locks itself behind them.
    wait_until(lambda: site.memory().bolt.state == BoltState.LOCKED, "the bolt")
    soon = datetime.now(UTC) + timedelta(seconds=30)
    caller.ask("lock.unlock", "o-1", deadline_at=soon)
    refused = caller.answer("lock.unlock", "o-1")
    assert (refused["status"], refused["error"]["code"]) == ("rejected", "forbidden")
    assert site.memory().bolt.state == BoltState.LOCKED


def test_settings_and_cards_travel_over_mqtt(site: Site, caller: Caller) -> None:
    caller.ask("setting.set", "p-1", setting="auto_lock_s", value=77)
    assert caller.answer("setting.set", "p-1")["result"] == "proved"
    assert site.memory().settings.auto_lock_s == 77
    caller.ask("card.add", "p-2", card="31625018")
    added = caller.answer("card.add", "p-2")
    assert (added["result"], added["ends_in"]) == ("proved", "018")
    caller.ask("card.clear", "p-3")
    shown = caller.answer("card.clear", "p-3")
    caller.ask("card.clear", "p-4", confirm=shown["confirm"])
    assert caller.answer("card.clear", "p-4")["deleted"] == 1
    assert site.memory().cards == ()
    asked = f"{TOPICS.root}/request/"
    said = b"".join(each.payload for each in caller.heard if not each.topic.startswith(asked))
    assert b"018" in said
    assert b"31625018" not in said
    assert b"31625018" not in (site.directory / "agent.log").read_bytes()
