"""JUnit XML, as continuous integration reads it."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from ttlock_agent.hil.model import Verdict

from .account import NOT_RUN, Account


def junit_xml(account: Account) -> str:
    """Return the run as one test suite; a class per group."""
    suite = ET.Element(
        "testsuite",
        name=f"hil {account.name}",
        tests=str(len(account.rows)),
        failures=str(account.count(Verdict.FAILED)),
        errors="0",
        skipped=str(account.count(Verdict.SKIPPED) + account.count(None)),
        time=f"{sum(row.seconds for row in account.rows):.3f}",
        timestamp=account.opened.at.isoformat(timespec="seconds"),
        hostname=account.opened.machine.get("host", ""),
    )
    properties = ET.SubElement(suite, "properties")
    told = {"agent": account.opened.agent_version, **account.facts}
    for name, value in told.items():
        ET.SubElement(properties, "property", name=name, value=value)
    for row in account.rows:
        case = ET.SubElement(
            suite,
            "testcase",
            classname=f"hil.{row.check.group.value}",
            name=row.check.name,
            time=f"{row.seconds:.3f}",
        )
        if row.verdict is Verdict.FAILED:
            ET.SubElement(case, "failure", message=row.reason).text = row.check.title
        elif row.verdict is not Verdict.PASSED:
            ET.SubElement(case, "skipped", message=row.reason or NOT_RUN)
    ET.indent(suite)
    return ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"
