"""Reading the config file: the one way in for the daemon and for ``check-config``."""

from __future__ import annotations

from pathlib import Path

from .checks import cross_check
from .document import Document
from .findings import Finding, InvalidConfig, Severity
from .structs import Config


def load_config(file: Path) -> Config:
    """Return the configuration in ``file``.

    Raises ``InvalidConfig``, which holds all findings, if one of them is an error.
    """
    config, findings = _examine(file)
    if config is None:
        raise InvalidConfig(file, findings)
    return config


def check_config(file: Path) -> list[Finding]:
    """Return all findings about ``file``, in the order of its lines; touches no radio, no network.

    Files and variables that the config names are looked at, as the user who asks sees them.
    """
    return _examine(file)[1]


def _examine(file: Path) -> tuple[Config | None, list[Finding]]:
    """Return the config unless a finding forbids it, and the findings."""
    document = Document(file)
    try:
        raw = file.read_bytes()
    except OSError as error:
        document.report("", f"The file cannot be read: {error.strerror}.", "Check path and mode.")
    else:
        document.read(raw, Config)
        cross_check(document)
    findings = sorted(document.findings, key=lambda finding: (finding.line, finding.column))
    config = document.built.get("")
    if not isinstance(config, Config) or any(f.severity is Severity.ERROR for f in findings):
        return None, findings
    return config, findings
