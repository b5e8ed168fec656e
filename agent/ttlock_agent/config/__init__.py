"""The config file: types, reading, findings."""

from __future__ import annotations

from .findings import Finding, InvalidConfig, Severity
from .load import check_config, load_config
from .locks import LockConfig, UnknownPasscodes
from .structs import (
    AgentConfig,
    BluetoothConfig,
    CloudConfig,
    Config,
    MqttConfig,
    TlsConfig,
)
from .values import LockAddress, SecretRef

__all__ = [
    "AgentConfig",
    "BluetoothConfig",
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
    "check_config",
    "load_config",
]
