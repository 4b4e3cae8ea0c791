"""Values of a Python script that is read, and what its calls need of the reader."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from fetcher.importers.target_tree import TargetTree


@dataclass(frozen=True)
class PathValue:
    """A pathlib path."""

    text: str


@dataclass(frozen=True)
class Function:
    """A function of the script."""

    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


@dataclass(frozen=True)
class Name:
    """A dotted name that the script does not define: a module, class or function of a library."""

    dotted: str


@dataclass
class Bytes:
    """What a request on this line brings: the bytes behind an address; whether they were kept."""

    address: str
    line: int
    kept: bool = False


@dataclass
class OpenFile:
    """A file that was opened."""

    path: str
    writes: bool


@dataclass
class Archive:
    """An archive that was opened."""

    path: str


@dataclass
class Options:
    """What `parse_args` gives: the defaults of the options, by name."""

    defaults: dict[str, object]


class ScriptEnd(Exception):
    """The script is over."""


class PythonReader(Protocol):
    """What reads a script, as the calls in it see it."""

    tree: TargetTree
    cwd: str
    script: str
    optional: bool
    chosen: bool
    options: dict[str, object]
    requests: list[Bytes]

    def line(self, node: ast.AST) -> int:
        """The line of the document that a node begins on."""

    def value(self, node: ast.expr) -> object:
        """The value of an expression. Raises Unreadable."""

    def items(self, value: object) -> list[object]:
        """The items of a list. Raises Unreadable."""

    def text(self, value: object) -> str:
        """A value as text. Raises Unreadable."""

    def enter(
        self, function: Function, arguments: Sequence[object], named: dict[str, object]
    ) -> object:
        """What a function of the script gives."""
