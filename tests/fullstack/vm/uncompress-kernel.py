#!/usr/bin/env python3
"""Takes the ELF kernel out of a vmlinuz: ``uncompress-kernel.py VMLINUZ VMLINUX``.

Started through its PVH entry point it needs neither firmware nor decompression in the guest, which
saves 2.5 s where every instruction is emulated.
"""

from __future__ import annotations

import lzma
import subprocess
import sys
import zlib
from pathlib import Path


def zstd(data: bytes) -> bytes:
    return subprocess.run(["zstd", "-dc"], input=data, capture_output=True, check=False).stdout


UNPACKERS = (
    (b"\xfd7zXZ\0", lambda data: lzma.LZMADecompressor().decompress(data)),
    (b"\x28\xb5\x2f\xfd", zstd),
    (b"\x1f\x8b\x08", lambda data: zlib.decompressobj(31).decompress(data)),
)


def main(source: Path, target: Path) -> None:
    data = source.read_bytes()
    for magic, unpack in UNPACKERS:
        at = data.find(magic)
        while at >= 0:
            try:
                kernel = unpack(data[at:])
            except (lzma.LZMAError, zlib.error):
                kernel = b""
            if kernel.startswith(b"\x7fELF"):
                target.write_bytes(kernel)
                return
            at = data.find(magic, at + 1)
    sys.exit(f"no kernel found in {source}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
