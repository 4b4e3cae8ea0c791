"""How a manifest names a class of a project's own code."""

from __future__ import annotations

import re
from typing import Any

_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
IN_FILE = re.compile(r"(?P<file>[^:]+\.py):(?P<name>[A-Za-z_]\w*(\.[A-Za-z_]\w*)*)")


def problem(value: Any) -> str:
    """Rule: `package.module.Class`, or `folder/file.py:Class` relative to the project's root."""
    if isinstance(value, str) and (_DOTTED.fullmatch(value) or IN_FILE.fullmatch(value)):
        return ""
    return f"expected package.module.Class or folder/file.py:Class, found {value!r}"
