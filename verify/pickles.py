"""Which globals a torch pickle asks for, read from its opcodes; nothing of it is executed."""

from __future__ import annotations

import pickletools
import zipfile
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

_LEGACY_PICKLES = 5  # magic number, protocol, system, the object, storage keys; then raw bytes
_STRINGS = frozenset(["SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE"])
_PUTS = frozenset(["PUT", "BINPUT", "LONG_BINPUT"])
_GETS = frozenset(["GET", "BINGET", "LONG_BINGET"])


def wanted_globals(path: Path) -> list[str]:
    """Return the globals (`module.name`) that the torch file at `path` names, sorted.

    This is for messages. It is not a proof of safety: what cannot be read is left out.
    """
    found: set[str] = set()
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for member in archive.namelist():
                    if PurePosixPath(member).suffix == ".pkl":
                        with archive.open(member) as stream:
                            _collect(stream, found)
        else:
            with path.open("rb") as raw:
                for _ in range(_LEGACY_PICKLES):
                    _collect(raw, found)
    except Exception:  # a broken pickle fails in many ways; what was read until then counts
        pass
    return sorted(found)


def _collect(stream: IO[bytes], found: set[str]) -> None:
    strings: list[Any] = []
    memo: dict[int, Any] = {}
    last: Any = None
    argument: Any
    for opcode, argument, _ in pickletools.genops(stream):
        name = opcode.name
        if name in ("GLOBAL", "INST"):
            found.add(str(argument).replace(" ", "."))
        elif name == "STACK_GLOBAL":
            found.add(".".join(str(part) for part in strings[-2:]))
        elif name in _STRINGS:
            last = argument
            strings.append(last)
        elif name == "MEMOIZE":
            memo[len(memo)] = last
        elif name in _PUTS:
            memo[int(argument)] = last
        elif name in _GETS and isinstance(memo.get(int(argument)), str):
            strings.append(memo[int(argument)])
        if name not in _STRINGS and name != "MEMOIZE" and name not in _PUTS:
            last = None
