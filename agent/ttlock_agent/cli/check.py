"""``ttlock-agent check-config``: what is wrong with a configuration, without touching anything."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from ttlock_agent.config import Severity, check_config
from ttlock_agent.errors import EX_CONFIG, EX_OK


@click.command("check-config")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the findings as one JSON object.")
def check_config_command(file: Path, *, as_json: bool) -> None:
    """List all that is wrong with FILE; exit 0 if the agent would start, else 78."""
    findings = check_config(file)
    is_usable = all(finding.severity is not Severity.ERROR for finding in findings)
    if as_json:
        rows = [
            {
                "severity": finding.severity.value,
                "line": finding.line,
                "column": finding.column,
                "setting": finding.setting,
                "message": finding.message,
                "hint": finding.hint,
            }
            for finding in findings
        ]
        click.echo(json.dumps({"file": str(file), "is_usable": is_usable, "findings": rows}))
    else:
        for finding in findings:
            click.echo(str(finding))
        click.echo(f"{file}: {'usable' if is_usable else 'not usable'}")
    sys.exit(EX_OK if is_usable else EX_CONFIG)
