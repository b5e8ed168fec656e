"""What no single setting can tell: contradictions, duplicates, files that are not there."""

from __future__ import annotations

import ipaddress
import math
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from ttlock_agent.call_budget import interval_s
from ttlock_agent.diagnose.firmware import all_faults
from ttlock_agent.errors import ConfigError

from .document import Document
from .findings import Severity
from .locks import LockConfig
from .structs import AgentConfig, CloudConfig, Config, MqttConfig, TlsConfig
from .values import SecretRef, SecretSource

SOCKET_PATH_BYTES: Final = 107
"""Linux keeps 108 bytes for a socket's path, the last one for its end."""

PLAINTEXT_PORT: Final = 1883
MONTH_S: Final = 30 * 86400


def cross_check(document: Document) -> None:
    """Add findings to ``document`` about everything valid that was built from it."""
    for path, value in document.built.items():
        match value:
            case AgentConfig():
                _check_agent(document, path, value)
            case MqttConfig():
                _check_mqtt(document, path, value)
            case TlsConfig():
                _check_tls(document, path, value)
            case CloudConfig():
                _check_cloud(document, path, value)
            case SecretRef():
                _check_secret(document, path, value)
            case Config():
                _check_watching(document, value)
                _check_adapters(document, value)
    _check_locks(document)


def _check_agent(document: Document, path: str, agent: AgentConfig) -> None:
    if len(os.fsencode(agent.control_socket)) > SOCKET_PATH_BYTES:
        document.report(
            f"{path}.control_socket",
            f"The control socket's path is longer than {SOCKET_PATH_BYTES} bytes.",
            "Choose a shorter one, such as /run/ttlock-agent/control.sock.",
        )
    if agent.firmware_faults is not None:
        try:
            all_faults(agent.firmware_faults)
        except ConfigError as error:
            document.report(f"{path}.firmware_faults", error.message, error.hint)


def _check_mqtt(document: Document, path: str, mqtt: MqttConfig) -> None:
    if mqtt.tls is None and not mqtt.allow_plaintext and not _is_loopback(mqtt.host):
        document.report(
            f"{path}.host",
            "The broker is another machine, and the connection is not encrypted.",
            "Add a section `tls: {}`, or `allow_plaintext: true` if the network is trusted.",
        )
    if mqtt.tls is not None and mqtt.port == PLAINTEXT_PORT:
        document.report(
            f"{path}.port",
            f"Port {PLAINTEXT_PORT} is the plaintext port, but tls is on.",
            "Brokers usually speak TLS on port: 8883",
            severity=Severity.WARNING,
        )
    if mqtt.password is not None and mqtt.username is None:
        document.report(
            f"{path}.password",
            "A password is given, but no username.",
            "Write for example username: ttlock-agent",
        )


def _check_tls(document: Document, path: str, tls: TlsConfig) -> None:
    if (tls.cert_file is None) != (tls.key_file is None):
        document.report(
            path,
            "`cert_file` and `key_file` belong together, and one is missing.",
            "Give both, or neither.",
        )
    for name in ("ca_file", "cert_file", "key_file"):
        file: Path | None = getattr(tls, name)
        if file is not None and (problem := _unreadable(file)):
            document.report(
                f"{path}.{name}", f"{file} cannot be read: {problem}.", "Correct path or mode."
            )


def _check_cloud(document: Document, path: str, cloud: CloudConfig) -> None:
    try:
        url = urlsplit(cloud.base_url)
        host, _port = url.hostname or "", url.port
    except ValueError:
        document.report(
            f"{path}.base_url",
            f"{cloud.base_url} is no address of a server.",
            "Write for example base_url: https://euapi.ttlock.com",
        )
        return
    if url.scheme == "http" and not _is_loopback(host):
        document.report(
            f"{path}.base_url",
            "The cloud would get the account's password unencrypted.",
            f"Write https:// instead: base_url: https://{url.netloc}",
        )
    watched = sum(lock.cloud_lock_id is not None for _, lock in _locks(document))
    looks_s = interval_s(
        cloud.poll_interval_s,
        locks=watched,
        calls_left=cloud.monthly_call_budget,
        month_ends_in_s=MONTH_S,
    )
    if watched and looks_s > cloud.poll_interval_s:
        document.report(
            f"{path}.poll_interval_s",
            f"Watching {watched} lock(s) every {cloud.poll_interval_s} s takes more calls than "
            f"{cloud.monthly_call_budget} a month: the agent will look every {math.ceil(looks_s)} "
            "s.",
            f"Write poll_interval_s: {math.ceil(looks_s)} or more, or raise monthly_call_budget.",
            severity=Severity.WARNING,
        )


def _check_secret(document: Document, path: str, secret: SecretRef) -> None:
    file = secret.path()
    if file is None and (secret.source is SecretSource.CREDENTIAL or secret.name not in os.environ):
        document.report(
            path,
            f"{secret} cannot be checked here: it is there only when the service runs.",
            "Nothing to do if the service provides it.",
            severity=Severity.WARNING,
        )
        return
    try:
        secret.resolve()
    except ConfigError as error:
        document.report(path, error.message, error.hint)
        return
    if secret.source is not SecretSource.FILE or file is None:
        return  # systemd guards credentials by access lists, which show up as group bits
    if file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        document.report(
            path,
            f"{file} holds a secret, and others than its owner may open it.",
            f"Run: chmod 0400 {file}",
            severity=Severity.WARNING,
        )


def _check_locks(document: Document) -> None:
    for name in ("id", "address"):
        first: dict[str, str] = {}
        for path, lock in _locks(document):
            value = str(getattr(lock, name))
            if value in first:
                document.report(
                    f"{path}.{name}",
                    f"{first[value]} has the same {name}.",
                    f"Give each lock an {name} of its own.",
                )
            first.setdefault(value, f"`{path}`")


def _check_watching(document: Document, config: Config) -> None:
    """Cloud and locks name each other, or the watch does nothing, silently."""
    watched = [i for i, lock in enumerate(config.locks) if lock.cloud_lock_id is not None]
    if config.cloud is not None and not watched:
        document.report(
            "cloud",
            "No lock has a `cloud_lock_id`, so the cloud watches nothing.",
            "Add cloud_lock_id to the locks whose gateway is to be watched.",
            severity=Severity.WARNING,
        )
    if config.cloud is None and config.watch.callbacks is None:
        for i in watched:
            document.report(
                f"locks[{i}].cloud_lock_id",
                "A cloud_lock_id is of no use without a section `cloud`.",
                "Add that section, or remove this line.",
                severity=Severity.WARNING,
            )


def _check_adapters(document: Document, config: Config) -> None:
    adapters = config.bluetooth.adapters
    for i, lock in enumerate(config.locks):
        if lock.adapter is not None and lock.adapter not in adapters:
            known = ", ".join(adapters) or "none"
            document.report(
                f"locks[{i}].adapter",
                f"{lock.adapter} is not among `bluetooth.adapters` ({known}).",
                "Add it there, or remove this line.",
            )


def _locks(document: Document) -> Iterator[tuple[str, LockConfig]]:
    for path, value in document.built.items():
        if isinstance(value, LockConfig):
            yield path, value


def _is_loopback(host: str) -> bool:
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _unreadable(file: Path) -> str | None:
    try:
        with file.open("rb"):
            return None
    except OSError as error:
        return error.strerror
