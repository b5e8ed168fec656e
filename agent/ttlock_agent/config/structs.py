"""The configuration as types: every setting, its range, its default and the reason for it.

The JSON schema in ``config/`` is made from these, so the descriptions are written for the person
who edits the file.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct, field

from ttlock_agent.logs import LogLevel
from ttlock_agent.validation import Id

from .locks import LockConfig
from .values import SecretRef

Name = Annotated[str, Meta(min_length=1, max_length=256)]
Topic = Annotated[
    str,
    Meta(
        pattern=r"^[^/+#$\s][^/+#\s]*(/[^/+#\s]+)*$(?!\n)",
        max_length=128,
        extra={"words": "a topic without spaces, wildcards, $ or / at its ends"},
    ),
]
Url = Annotated[
    str,
    Meta(
        pattern=r"^https?://[a-zA-Z0-9.:\[\]-]+$(?!\n)",
        extra={"words": "https:// and a host name, without path or user"},
    ),
]


def _state_directory() -> Path:
    # systemd separates several directories by colons; the first is ours.
    return Path(os.environ.get("STATE_DIRECTORY", "/var/lib/ttlock-agent").partition(":")[0])


def _control_socket() -> Path:
    directory = os.environ.get("RUNTIME_DIRECTORY", "/run/ttlock-agent").partition(":")[0]
    return Path(directory) / "control.sock"


class AgentConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The agent itself."""

    id: Annotated[
        Id,
        Meta(
            description="Name of this agent, unique on the broker: it is part of every topic. "
            "Letters, digits, - and _, at most 64.",
            examples=["house-12"],
        ),
    ]
    state_directory: Annotated[
        Path,
        Meta(
            description="Where the job journal and the vault are kept. Default: the directory that "
            "systemd makes for the service ($STATE_DIRECTORY), else /var/lib/ttlock-agent.",
            examples=["/var/lib/ttlock-agent"],
        ),
    ] = field(default_factory=_state_directory)
    control_socket: Annotated[
        Path,
        Meta(
            description="Socket for the command line; at most 107 bytes. Default: control.sock in "
            "$RUNTIME_DIRECTORY, else in /run/ttlock-agent.",
            examples=["/run/ttlock-agent/control.sock"],
        ),
    ] = field(default_factory=_control_socket)
    log_level: Annotated[
        LogLevel,
        Meta(
            description="How much is logged. Default info: one line per job and per change. "
            "trace adds the encrypted frames on the air; secrets are logged at no level.",
            examples=["info"],
        ),
    ] = LogLevel.INFO
    firmware_faults: Annotated[
        Path | None,
        Meta(
            description="TOML file with faults of firmware that you know of, in addition to those "
            "that `diagnose` knows; firmware.toml in the package explains the form. Default: none.",
            examples=["/etc/ttlock-agent/firmware-faults.toml"],
        ),
    ] = None


class TlsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Encryption towards the broker; the broker's name is always checked."""

    ca_file: Annotated[
        Path | None,
        Meta(
            description="PEM file of the authority that signed the broker's certificate. "
            "Default: the authorities this system trusts.",
            examples=["/etc/ttlock-agent/broker-ca.pem"],
        ),
    ] = None
    cert_file: Annotated[
        Path | None,
        Meta(
            description="PEM file of the agent's own certificate, for brokers that ask for one.",
            examples=["/etc/ttlock-agent/agent.pem"],
        ),
    ] = None
    key_file: Annotated[
        Path | None,
        Meta(
            description="PEM file of the private key that belongs to cert_file.",
            examples=["/etc/ttlock-agent/agent.key"],
        ),
    ] = None


class MqttConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The broker."""

    host: Annotated[
        Name,
        Meta(
            description="Host name or address of the broker.",
            examples=["localhost"],
        ),
    ]
    port: Annotated[
        int,
        Meta(
            ge=1,
            le=65535,
            description="Port of the broker. Default 1883, the one for plaintext; with tls it is "
            "usually 8883.",
            examples=[1883],
        ),
    ] = 1883
    username: Annotated[
        Name | None,
        Meta(
            description="Name to log in with; without it the agent logs in anonymously.",
            examples=["ttlock-agent"],
        ),
    ] = None
    password: Annotated[
        SecretRef | None,
        Meta(
            description="Where the password is: credential:NAME, file:PATH or env:NAME.",
            examples=["credential:mqtt-password"],
        ),
    ] = None
    tls: Annotated[
        TlsConfig | None,
        Meta(description="Present: encrypted connection. An empty section {} is enough."),
    ] = None
    allow_plaintext: Annotated[
        bool,
        Meta(
            description="Allow a connection without tls to another machine. Default false: "
            "requests contain passcodes, which anyone on the way could read.",
            examples=[False],
        ),
    ] = False
    base_topic: Annotated[
        Topic,
        Meta(
            description="Topics begin with this and the agent's id: ttlock/house-12/...",
            examples=["ttlock"],
        ),
    ] = "ttlock"
    keepalive_s: Annotated[
        int,
        Meta(
            ge=5,
            le=3600,
            description="Seconds between signs of life. Default 30: the broker tells others after "
            "one and a half times this that the agent is gone.",
            examples=[30],
        ),
    ] = 30
    response_topic_prefix: Annotated[
        Topic | None,
        Meta(
            description="MQTT 5 callers may have answers sent to a topic of theirs below this one. "
            "Default: none, so that nobody can make the agent publish where he may not himself.",
            examples=["ttlock-clients"],
        ),
    ] = None


class CloudConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The vendor's Open API, for watching whether the gateway delivers."""

    base_url: Annotated[
        Url,
        Meta(
            description="Server of the account's region. Default: everywhere but mainland China.",
            examples=["https://euapi.ttlock.com"],
        ),
    ] = "https://euapi.ttlock.com"
    client_id: Annotated[
        Name,
        Meta(
            description="Id of the application, from the vendor's developer site.",
            examples=["0123456789abcdef"],
        ),
    ]
    client_secret: Annotated[
        SecretRef,
        Meta(
            description="Where the application's secret is: credential:NAME, file:PATH or "
            "env:NAME.",
            examples=["credential:cloud-client-secret"],
        ),
    ]
    username: Annotated[
        Name,
        Meta(
            description="Account that the locks belong to.",
            examples=["owner@example.org"],
        ),
    ]
    password_md5: Annotated[
        SecretRef,
        Meta(
            description="Where the MD5 sum of the account's password is (32 hexadecimal digits in "
            "lower case, the only form the API takes).",
            examples=["credential:cloud-password-md5"],
        ),
    ]
    poll_interval_s: Annotated[
        int,
        Meta(
            ge=1,
            le=86400,
            description="Least seconds between two looks at the cloud. Default 1800. A look takes "
            "two calls for each lock and one for the gateways; the pause is stretched so that "
            "monthly_call_budget lasts.",
            examples=[1800],
        ),
    ] = 1800
    monthly_call_budget: Annotated[
        int,
        Meta(
            ge=1,
            description="Calls the agent may spend in a calendar month. Default 5000, the smallest "
            "quota known; all sites of one application share it.",
            examples=[5000],
        ),
    ] = 5000
    tell_passcodes: Annotated[
        bool,
        Meta(
            description="Record in the cloud, so that the app shows them, the passcodes that "
            "others had the agent write; and remove them there when they are removed. Default "
            "false. What the cloud lists by itself is never touched.",
            examples=[False],
        ),
    ] = False


class CallbackConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the vendor's cloud may post what happens, as news and evidence."""

    path: Annotated[
        SecretRef,
        Meta(
            description="Where the secret path is (16 to 128 letters, digits, - and _): the cloud "
            "signs nothing, so whoever knows the path is believed. The callback URL in the "
            "developer console is https://YOUR-HOST/PATH.",
            examples=["credential:callback-path"],
        ),
    ]
    host: Annotated[
        Name,
        Meta(
            description="Address to listen on, plain HTTP. Default 127.0.0.1, for a reverse proxy "
            "in front that speaks TLS.",
            examples=["127.0.0.1"],
        ),
    ] = "127.0.0.1"
    port: Annotated[
        int, Meta(ge=0, le=65535, description="Port to listen on.", examples=[8480])
    ] = 8480


class WatchConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the gateways are watched, by whatever source: the cloud, callbacks, or reports."""

    grace_s: Annotated[
        int,
        Meta(
            ge=0,
            le=86400,
            description="Seconds the gateway gets to deliver a passcode that the cloud lists, "
            "before the agent looks into the lock. Default 180, longer than a gateway's own "
            "repeats.",
            examples=[180],
        ),
    ] = 180
    quiet_s: Annotated[
        int,
        Meta(
            ge=0,
            le=3600,
            description="Seconds for which the watch leaves a lock alone after each visit, so that "
            "gateway and phones get through: a lock takes one connection at a time. Default 30. "
            "Requests and guests at the door do not wait for it.",
            examples=[30],
        ),
    ] = 30
    probes_per_day: Annotated[
        int,
        Meta(
            ge=0,
            le=48,
            description="How often in a day a lock's clock may be asked through its gateway, where "
            "something looks wrong. Default 4: each wakes the lock and occupies the gateway.",
            examples=[4],
        ),
    ] = 4
    callbacks: Annotated[
        CallbackConfig | None,
        Meta(description="Present: the cloud's callbacks are received. Default: they are not."),
    ] = None


class BluetoothConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The radio, and patience with it."""

    adapters: Annotated[
        tuple[Name, ...],
        Meta(
            description="Adapters to use, by name or by address in quotes. Each works by itself: "
            "two visit two locks at once. A lock without `adapter` is reached by the first. "
            "Default: the first usable one that the system has.",
            examples=[["hci0", "hci1"]],
        ),
    ] = ()

    connect_timeout_s: Annotated[
        int,
        Meta(
            ge=1,
            le=300,
            description="Seconds to wait for a lock's advertisement and the connection. Default "
            "20: a dozing lock advertises only about every ten.",
            examples=[20],
        ),
    ] = 20
    response_timeout_s: Annotated[
        int,
        Meta(
            ge=1,
            le=60,
            description="Seconds to wait for a lock's answer. Default 6: a lock disconnects after "
            "about five seconds of silence, so that waiting longer gains nothing.",
            examples=[6],
        ),
    ] = 6


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Configuration of ttlock-agent."""

    agent: AgentConfig
    mqtt: MqttConfig
    cloud: Annotated[
        CloudConfig | None,
        Meta(
            description="Access to the vendor's cloud. Without it gateways are watched only by "
            "what others report."
        ),
    ] = None
    watch: WatchConfig = WatchConfig()
    bluetooth: BluetoothConfig = BluetoothConfig()
    locks: Annotated[
        tuple[LockConfig, ...], Meta(min_length=1, description="The locks; at least one.")
    ]

    def adapter_of(self, lock: LockConfig) -> str | None:
        """Return which adapter reaches ``lock``; ``None`` is the first usable one."""
        return lock.adapter or next(iter(self.bluetooth.adapters), None)
