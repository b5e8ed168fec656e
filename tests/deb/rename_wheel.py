"""Gives the agent's own wheel in a wheelhouse another version.

``rename_wheel.py WHEELS VERSION [broken]``: only the version changes, so that a test can upgrade
what it has. With ``broken`` the agent loads and does not run.
"""

from __future__ import annotations

import hashlib
import re
import sys
import zipfile
from pathlib import Path

BROKEN = b"""

async def run_agent(*_: object) -> None:
    raise RuntimeError("broken on purpose")
"""


def main(wheels: Path, version: str, *, is_broken: bool) -> None:
    (old,) = wheels.glob("ttlock_agent-*.whl")
    was = old.name.split("-")[1]
    new = old.with_name(old.name.replace(f"-{was}-", f"-{version}-", 1))
    with zipfile.ZipFile(old) as source, zipfile.ZipFile(new, "w") as target:
        for item in source.infolist():
            data = source.read(item)
            name = item.filename.replace(f"ttlock_agent-{was}.", f"ttlock_agent-{version}.")
            if name.endswith("METADATA"):
                data = re.sub(rb"(?m)^Version: .*$", f"Version: {version}".encode(), data)
            elif name == "ttlock_agent/__init__.py":
                data = data.replace(was.encode(), version.encode())
            elif name == "ttlock_agent/app.py" and is_broken:
                data += BROKEN
            elif name.endswith("RECORD"):
                # Without hashes: pip checks the wheel as a whole.
                lines = data.decode().replace(f"-{was}.", f"-{version}.").splitlines()
                data = "".join(f"{line.split(',')[0]},,\n" for line in lines).encode()
            target.writestr(name, data)
    old.unlink()
    (wheels / "VERSION").write_text(f"{version}\n")
    requirements = wheels / "requirements.txt"
    digest = hashlib.sha256(new.read_bytes()).hexdigest()
    kept = requirements.read_text().partition("ttlock-agent==")[0]
    requirements.write_text(f"{kept}ttlock-agent=={version} \\\n    --hash=sha256:{digest}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], is_broken="broken" in sys.argv[3:])
