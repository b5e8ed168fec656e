"""The config file: types, reading, findings."""

from __future__ import annotations

from .findings import Finding, InvalidConfig, Severity
from .load import check_config, load_config
from .locks import LockConfig, UnknownPasscodes
from .structs import (
    AgentConfig,
    BluetoothConfig,
    CallbackConfig,
    CloudConfig,
    Config,
    MqttConfig,
    TlsConfig,
    WatchConfig,
)
from .values import LockAddress, SecretRef

__all__ = [
    "AgentConfig",
    "BluetoothConfig",
    "CallbackConfig",
    "CloudConfig",
    "Config",
    "Finding",
    "InvalidConfig",
    "LockAddress",
    "LockConfig",
    "MqttConfig",
    "SecretRef",
    "Severity",
    "TlsConfig",
    "UnknownPasscodes",
    "WatchConfig",
    "check_config",
    "load_config",
]
