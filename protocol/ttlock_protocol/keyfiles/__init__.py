"""Lock keys out of other programs' files and the cloud's answers (reference 9).

Pure functions of text and parsed data: whoever has a file or a database reads it and hands over
what is inside. Nothing here shows a secret, in errors neither.

``formats``  tell one format from another and read it
``fields``   find and read the values, under all the names they have
``model``    what comes out, what is missing, and what that forbids
"""

from __future__ import annotations

from .formats import from_fields, from_json, from_lock_data, from_rows, from_text
from .model import ImportedKey, ImportResult, Item, KeyImportError, Missing, Problem

__all__ = [
    "ImportResult",
    "ImportedKey",
    "Item",
    "KeyImportError",
    "Missing",
    "Problem",
    "from_fields",
    "from_json",
    "from_lock_data",
    "from_rows",
    "from_text",
]
