"""The protocol package does no I/O, tells no time and throws no dice (AST, so not by accident)."""

import ast
from pathlib import Path

import pytest

import ttlock_protocol

ROOT = Path(ttlock_protocol.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))
FORBIDDEN_MODULES = {
    "asyncio",
    "concurrent",
    "http",
    "io",
    "logging",
    "multiprocessing",
    "os",
    "pathlib",
    "random",
    "secrets",
    "select",
    "selectors",
    "shutil",
    "signal",
    "socket",
    "sqlite3",
    "ssl",
    "subprocess",
    "sys",
    "tempfile",
    "threading",
    "time",
    "uuid",
}
FORBIDDEN_NAMES = {"open", "input", "print", "eval", "exec", "breakpoint", "__import__"}
FORBIDDEN_CALLS = {"now", "utcnow", "today", "localtime", "gmtime", "getrandbits", "urandom"}
CLOCKS = {"datetime", "date", "dt"}
CIPHER = "cipher.py"


def problems(source: str, name: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                modules = [each.name for each in names]
            case ast.ImportFrom(module=str(module), level=0):
                modules = [module]
            case _:
                modules = []
        for module in modules:
            top = module.partition(".")[0]
            if top in FORBIDDEN_MODULES or (top == "Crypto" and name != CIPHER):
                found.append(f"imports {module}")
        match node:
            case ast.Call(func=ast.Name(id=called)) if called in FORBIDDEN_NAMES:
                found.append(f"calls {called}")
            case ast.Call(func=ast.Attribute(attr=called)) if called in FORBIDDEN_CALLS:
                found.append(f"calls {called}")
            case ast.Attribute(
                attr=called, value=ast.Name(id=owner) | ast.Attribute(attr=owner)
            ) if called in FORBIDDEN_CALLS and owner in CLOCKS:
                found.append(f"uses {owner}.{called}")
            case _:
                pass
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_is_pure(path: Path) -> None:
    assert problems(path.read_text(), path.name) == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_is_small(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400


@pytest.mark.parametrize(
    "impure",
    [
        "import asyncio",
        "import os.path",
        "from socket import socket",
        "from Crypto.Cipher import AES",
        "import datetime; datetime.datetime.now()",
        "from datetime import datetime; datetime.utcnow()",
        "from datetime import date; today = date.today()",
        "from datetime import datetime; clock = datetime.now",
        "open('x')",
        "print('x')",
    ],
)
def test_impurity_is_seen(impure: str) -> None:
    assert problems(impure, "some.py") != []


def test_the_cipher_may_use_a_cipher() -> None:
    assert problems("from Crypto.Cipher import AES", CIPHER) == []
