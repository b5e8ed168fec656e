"""TLS against mosquitto, with certificates made on the spot."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ttlock_agent.demo.broker import BrokerKind, BrokerProcess
from ttlock_agent.mqtt.settings import TlsSettings

# paho leaves it to the garbage collection to close a socket whose handshake failed.
HANDSHAKE_FAILS = pytest.mark.filterwarnings(
    r"ignore:Exception ignored in. <ssl\.SSLSocket:pytest.PytestUnraisableExceptionWarning"
)


class Authority:
    """A certificate authority that lives as long as one test."""

    def __init__(self, directory: Path, openssl: str) -> None:
        self._openssl = openssl
        self.certificate = directory / "ca.pem"
        self._key = directory / "ca.key"
        self._directory = directory
        self._run(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-subj", "/CN=test authority", "-days", "2",
            "-keyout", self._key, "-out", self.certificate,
        )  # fmt: skip

    def issue(self, name: str) -> tuple[Path, Path]:
        """Certificate and key for a host or a client."""
        stem = self._directory / name
        certificate, key = stem.with_suffix(".pem"), stem.with_suffix(".key")
        request, extension = stem.with_suffix(".csr"), stem.with_suffix(".ext")
        extension.write_text(f"subjectAltName=DNS:{name}\n")
        self._run(
            "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-subj", f"/CN={name}", "-keyout", key, "-out", request,
        )  # fmt: skip
        self._run(
            "x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key,
            "-CAcreateserial", "-days", "2", "-extfile", extension, "-out", certificate,
        )  # fmt: skip
        return certificate, key

    def _run(self, *arguments: str | Path) -> None:
        subprocess.run([self._openssl, *arguments], check=True, capture_output=True)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    directory = tmp_path / "authority"
    directory.mkdir()
    return Authority(directory, openssl)


def start_tls_broker(start_broker: Any, authority: Authority, host: str) -> BrokerProcess:
    certificate, key = authority.issue(host)
    lines = [
        f"cafile {authority.certificate}",
        f"certfile {certificate}",
        f"keyfile {key}",
        "require_certificate true",
        "use_identity_as_username true",
        "allow_anonymous false",
    ]
    broker: BrokerProcess = start_broker(BrokerKind.MOSQUITTO, mosquitto_lines=lines)
    return broker


def client_tls(authority: Authority) -> TlsSettings:
    certificate, key = authority.issue("agent")
    return TlsSettings(ca_file=authority.certificate, cert_file=certificate, key_file=key)


async def test_both_sides_prove_who_they_are(
    start_broker: Any, authority: Authority, start_agent: Any
) -> None:
    broker = start_tls_broker(start_broker, authority, "localhost")
    tls = client_tls(authority)
    async with start_agent(broker.port, host="localhost", tls=tls) as agent:
        await agent.connection.wait_connected()


@HANDSHAKE_FAILS
async def test_a_certificate_for_another_host_is_named_and_not_used(
    start_broker: Any, authority: Authority, start_agent: Any
) -> None:
    broker = start_tls_broker(start_broker, authority, "broker.example.org")
    tls = client_tls(authority)
    async with start_agent(broker.port, host="localhost", tls=tls) as agent:
        state = await agent.state(lambda state: state.error is not None)
        assert "its certificate is not trusted (Hostname mismatch" in (state.error or "")
        assert not any(state.is_connected for state in agent.states)


@HANDSHAKE_FAILS
async def test_an_unknown_authority_is_named_and_not_used(
    start_broker: Any, authority: Authority, start_agent: Any
) -> None:
    broker = start_tls_broker(start_broker, authority, "localhost")
    async with start_agent(broker.port, host="localhost", tls=TlsSettings()) as agent:
        state = await agent.state(lambda state: state.error is not None)
        assert "its certificate is not trusted" in (state.error or "")
        assert not any(state.is_connected for state in agent.states)
