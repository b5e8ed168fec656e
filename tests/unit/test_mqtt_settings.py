from pathlib import Path

import pytest

from ttlock_agent.errors import ConfigError
from ttlock_agent.mqtt.settings import MqttSettings, TlsSettings, is_loopback


def settings(**changes: object) -> MqttSettings:
    options: dict[str, object] = {"host": "127.0.0.1", "port": 1883, "agent_id": "house-12"}
    return MqttSettings(**(options | changes))  # type: ignore[arg-type]


def test_password_is_hidden() -> None:
    assert "open-sesame" not in repr(settings(password="open-sesame"))


def test_client_id_is_fixed() -> None:
    assert settings().client_id == "ttlock-agent-house-12"


def test_bad_ids_are_refused() -> None:
    with pytest.raises(ValueError, match="id"):
        settings(agent_id="a/b")
    with pytest.raises(ValueError, match="id"):
        settings(base_topic="")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "::1"])
def test_plaintext_stays_on_this_machine(host: str) -> None:
    assert is_loopback(host)
    assert settings(host=host).ssl_context() is None


@pytest.mark.parametrize("host", ["broker.example.org", "192.0.2.1", "localhost.example.org", ""])
def test_plaintext_elsewhere_is_refused_unless_allowed(host: str) -> None:
    assert not is_loopback(host)
    with pytest.raises(ConfigError, match="in the clear") as caught:
        settings(host=host).ssl_context()
    assert "allow_plaintext" in caught.value.hint
    assert settings(host=host, allow_plaintext=True).ssl_context() is None


def test_tls_checks_certificate_and_host_name() -> None:
    context = settings(host="broker.example.org", tls=TlsSettings()).ssl_context()
    assert context is not None
    assert context.check_hostname
    assert context.verify_mode.name == "CERT_REQUIRED"


@pytest.mark.parametrize("name", ["ca_file", "cert_file"])
def test_unusable_files_are_a_config_error(name: str, tmp_path: Path) -> None:
    (tmp_path / "nonsense.pem").write_text("nothing")
    for path in (tmp_path / "missing.pem", tmp_path / "nonsense.pem"):
        with pytest.raises(ConfigError, match=r"mqtt\.tls"):
            settings(tls=TlsSettings(**{name: path})).ssl_context()
