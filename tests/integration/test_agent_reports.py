"""The running agent watches a gateway without access to a cloud: reports by MQTT, callbacks."""

import json
import socket
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from agent_site import LOCK, TOPICS, Heard, Site, running_site, wait_until

PATH = "kT3mJ5qWz0bY7nXc"
CLOUD_ID = 1000001
GATEWAY = {"is_online": True, "name": "ruveno g2"}


@pytest.fixture
def port() -> int:
    """A port that was free just now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        number: int = server.getsockname()[1]
    return number


@pytest.fixture
def site(port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("CALLBACK_PATH", PATH)
    sections = {
        "watch": {
            "grace_s": 2,
            "quiet_s": 0,
            "callbacks": {"path": "env:CALLBACK_PATH", "port": port},
        },
        "lock": {"cloud_lock_id": CLOUD_ID},
    }
    with running_site(sections=sections) as made:
        yield made


def is_verdict(verdict: str) -> Any:
    def is_it(heard: Heard) -> bool:
        return heard.topic == TOPICS.lock_gateway(LOCK) and heard.body["verdict"] == verdict

    return is_it


def post(port: int, path: str, **form: str) -> str:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/{path}", data=urllib.parse.urlencode(form).encode()
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        body: str = response.read().decode()
    return body


def test_what_others_report_is_delivered_once_however_often_the_agent_dies(site: Site) -> None:
    caller = site.caller()
    listed = [{"passcode": "482913", "label": "booking 1"}, {"passcode": "771204"}]
    caller.ask("gateway.report", "ha-1", gateway=GATEWAY, passcodes_listed=listed)
    assert caller.answer("gateway.report", "ha-1")["verdict"] == "unknown"
    site.kill_agent()
    site.start_agent()
    told = caller.await_message(
        lambda heard: is_verdict("connected_not_delivering")(heard) and heard.body["missing"] == 2
    ).body
    assert (told["listed"], told["delivers"]) == (2, "agent")
    wait_until(lambda: site.digits() == ["482913", "771204"], "the delivery")
    wait_until(lambda: site.status()["jobs"]["proved"] == 2, "the proof")
    for number in range(2):
        site.kill_agent()
        site.start_agent()
        caller.ask("gateway.report", f"ha-2{number}", gateway=GATEWAY, passcodes_listed=listed)
        assert caller.answer("gateway.report", f"ha-2{number}")["verdict"] == (
            "connected_not_delivering"
        )
    assert sum(site.status()["jobs"].values()) == 2
    said = [each for each in caller.heard if "/request/" not in each.topic]
    assert len(said) > 5
    assert not [each for each in said if b"482913" in each.topic.encode() + each.payload]
    assert "482913" not in site.log("agent")
    retained = site.caller().await_message(is_verdict("connected_not_delivering"))
    assert retained.is_retained


def test_a_callback_lets_a_guest_in(site: Site, port: int) -> None:
    caller = site.caller()
    caller.ask("gateway.report", "ha-1", gateway=GATEWAY, passcodes_listed=[{"passcode": "660011"}])
    assert caller.answer("gateway.report", "ha-1")["status"] == "done"
    now_ms = round(datetime.now(UTC).timestamp() * 1000)
    record = {"recordTypeFromLock": 7, "recordType": 4, "success": 0, "keyboardPwd": "660011"}
    record |= {"lockDate": now_ms, "serverDate": now_ms}
    form = {"notifyType": "1", "lockId": str(CLOUD_ID), "records": json.dumps([record])}
    assert post(port, PATH, **form) == "success"
    wait_until(lambda: site.opens("660011"), "the second try")
    with pytest.raises(urllib.error.HTTPError) as refused:
        post(port, "guess", **form)
    refused.value.close()
    assert refused.value.code == 404
    assert site.status()["cloud"]["callbacks"] == {"received": 1, "refused": 1}
    log = site.log("agent")
    assert PATH not in log
    assert "660011" not in log


def test_an_agent_without_a_cloud_loads_no_http() -> None:
    loaded = (
        "import sys, ttlock_agent.app, ttlock_agent.watch.start; sys.exit('aiohttp' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", loaded], check=False).returncode == 0
