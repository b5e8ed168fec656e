import socket
from pathlib import Path
from typing import Any

import pytest

from ttlock_agent.demo import broker
from ttlock_agent.demo.broker import BrokerKind, BrokerNotStarted, BrokerProcess


def listens(process: BrokerProcess) -> bool:
    try:
        socket.create_connection((process.host, process.port), timeout=1).close()
    except ConnectionRefusedError:
        return False
    return True


@pytest.mark.parametrize("kind", list(BrokerKind))
def test_it_listens_from_start_to_stop(kind: BrokerKind, start_broker: Any) -> None:
    process = start_broker(kind)
    assert listens(process)
    process.stop()
    assert not listens(process)
    process.start()
    assert listens(process)
    process.kill()
    assert not listens(process)


def test_a_broker_that_ends_at_once_is_named(start_broker: Any) -> None:
    with pytest.raises(BrokerNotStarted, match="exit code") as caught:
        start_broker(BrokerKind.MOSQUITTO, mosquitto_lines=["no_such_option"])
    assert "broker.log" in caught.value.hint


def test_a_machine_without_a_broker_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker, "available_kinds", list)
    with pytest.raises(BrokerNotStarted) as caught:
        BrokerProcess(tmp_path)
    assert "mosquitto" in caught.value.hint


def test_mosquitto_is_preferred(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(broker, "available_kinds", lambda: list(BrokerKind))
    assert BrokerProcess(tmp_path).kind is BrokerKind.MOSQUITTO
    monkeypatch.setattr(broker, "available_kinds", lambda: [BrokerKind.AMQTT])
    assert BrokerProcess(tmp_path).kind is BrokerKind.AMQTT
    with pytest.raises(BrokerNotStarted):
        BrokerProcess(tmp_path, kind=BrokerKind.MOSQUITTO)
