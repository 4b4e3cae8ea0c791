"""Which globals a torch pickle asks for, read from its opcodes; nothing of it is executed."""

from __future__ import annotations

import pickletools
import re
import zipfile
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

_LEGACY_PICKLES = 5  # magic number, protocol, system, the object, storage keys; then raw bytes
_UNICODE = ("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE")
_STRINGS = frozenset([*_UNICODE, "SHORT_BINSTRING", "BINSTRING", "STRING"])
_PUTS = frozenset(["PUT", "BINPUT", "LONG_BINPUT"])
_GETS = frozenset(["GET", "BINGET", "LONG_BINGET"])
_MARK = pickletools.markobject

# What tensors, and the containers that state dicts come in, are rebuilt with.
_HARMLESS = re.compile(
    r"collections\.(OrderedDict|Counter)"
    r"|_codecs\.encode"
    r"|(builtins|__builtin__)\.(set|bytearray|complex|frozenset)"
    r"|torch\.(cuda\.)?\w*(Storage|Tensor)"
    r"|torch\.(Size|device|float\w*|bfloat16|int\d+|uint\d+|bool|complex\d+|q?u?int\w+)"
    r"|torch\._utils\._rebuild_\w+"
    r"|torch\._tensor\._rebuild_from_type_v2"
    r"|torch\.nn\.parameter\.(Parameter|Buffer)"
    r"|torch\.storage\.(Typed|Untyped)Storage"
    r"|torch\.serialization\._get_layout"
)
_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", re.ASCII)
# torch lets these through for nobody; and a pickle that carries its own source is not tensors.
_NEVER = re.compile(r"(os|posix|nt|sys)\.\w+|(torch_utils|dnnlib)\..*")


def is_harmless(name: str) -> bool:
    """Tell whether a global only rebuilds tensors and plain containers."""
    return _HARMLESS.fullmatch(name) is not None


def may_be_allowed(name: str) -> bool:
    """Tell whether a person's own word can let this global through at all."""
    return _NAME.fullmatch(name) is not None and _NEVER.fullmatch(name) is None


def refused_globals(path: Path) -> list[str]:
    """Return the globals that the torch file at `path` asks for beyond tensors, sorted."""
    return [name for name in wanted_globals(path) if not is_harmless(name)]


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
    """Follow one pickle's opcodes. Raises what a broken one makes of it."""
    stack: list[Any] = []  # strings, marks, and None for all else
    memo: dict[int, Any] = {}
    argument: Any
    for opcode, argument, _ in pickletools.genops(stream):
        name = opcode.name
        if name in ("GLOBAL", "INST"):
            found.add(str(argument).replace(" ", "."))
        elif name == "STACK_GLOBAL":
            found.add(".".join(part if isinstance(part, str) else "?" for part in stack[-2:]))
        if name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in _PUTS:
            memo[int(argument)] = stack[-1]
        elif name in _STRINGS:
            stack.append(argument)
        elif name in _GETS:
            stack.append(memo[int(argument)])
        elif name == "DUP":
            stack.append(stack[-1])
        else:
            _step(opcode, stack)


def _step(opcode: pickletools.OpcodeInfo, stack: list[Any]) -> None:
    """What an opcode takes from the stack, and puts there."""
    before = opcode.stack_before
    taken = len(before)
    if _MARK in before or (opcode.name == "POP" and stack[-1] is _MARK):
        while stack.pop() is not _MARK:
            pass
        taken = before.index(_MARK) if _MARK in before else 0
    if taken > len(stack):
        raise IndexError("there is less on the stack than is taken")
    del stack[len(stack) - taken :]
    stack += [_MARK if kind is _MARK else None for kind in opcode.stack_after]
