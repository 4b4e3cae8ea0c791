"""The line that installs what a probe lacks."""

from __future__ import annotations

import shlex
import sys


def pip_install(arguments: list[str]) -> str:
    """Return the line that installs libraries for this interpreter, and for no other."""
    return f"{shlex.quote(sys.executable)} -m pip install {' '.join(arguments)}"
