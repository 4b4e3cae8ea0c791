"""Every regular expression of the code, held against long texts made of its own pieces.

Whatever text it is meant for, most come to meet text from outside. One that backtracks takes a
time that grows with the square of the text, or worse: seconds for what others read at once.
"""

from __future__ import annotations

import ast
import importlib
import random
import re
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import fetcher.verify
import pytest

import fetcher
from fetcher.importers import page_places, page_renames

CALLS = {"compile", "match", "fullmatch", "search", "sub", "split", "findall", "finditer"}
_SPEAKS_OF_THEM = re.compile(rf"\.({'|'.join(sorted(CALLS))})\b|\bText\(")
LENGTH = 8000
GLANCE = 2000  # texts of this length tell which ones may take too long
# Some are held against short texts only: how long these are, and why.
SHORT = {
    r"\s*[/,]\s*": 200,  # spellings: names of benchmarks, cut before
    r"(\S[^-–—:]*?) *[-–—:] +(\S.*)": 200,  # spellings: as above
    r"-*([._])-*": 130,  # ids: runs of '-' are one by then
    r"&&|;(?![^\"']*[\"'][^\"']*$)": 1000,  # shell_output: longer commands are not read
    r"\s*[12&]?>\s*(/dev/null|&1)": 1000,  # as above
    r"[^.\s].*\.[A-Za-z][A-Za-z0-9_]{0,14}$|^\.git\w+$": 255,  # page_names: no longer name
    # No more of a sentence is looked at.
    **dict.fromkeys(
        (
            page_places._SAVED_AS.pattern,
            page_places._SAYS_WHERE.pattern,
            page_places._SAYS_NAME.pattern,
            page_places._LEADS.pattern,
        ),
        page_places._LONGEST,
    ),
    **dict.fromkeys([rule.pattern for rule in page_renames._RENAMES], page_renames._LONGEST),
}
SECONDS = 0.1


@dataclass(frozen=True)
class Expression:
    """A regular expression, and how it is used at one place."""

    place: str
    compiled: re.Pattern[Any]
    call: str

    def run(self, text: str) -> None:
        """Use it as the code does."""
        given: Any = text
        if isinstance(self.compiled.pattern, bytes):
            given = text.encode("latin-1", "replace")
        if self.call == "sub":
            self.compiled.sub(given[:0], given)
        elif self.call == "finditer":
            sum(1 for _ in self.compiled.finditer(given))
        else:
            getattr(self.compiled, self.call)(given)


@dataclass
class _Module:
    """What a file of the code says of expressions; no more of it is kept."""

    path: Path
    name: str
    calls: list[tuple[ast.Call, str, str]]  # call, of what, method
    texts: list[ast.expr]  # the first arguments of Text(...)

    @property
    def loaded(self) -> ModuleType:
        return importlib.import_module(self.name)


Users = dict[str, set[tuple[str, str]]]  # by a name: modules that use it, and with which method


def _modules() -> Iterator[_Module]:
    for package, name in ((fetcher, "fetcher"), (fetcher.verify, "fetcher.verify")):
        assert package.__file__
        root = Path(package.__file__).parent
        for path in sorted(root.rglob("*.py")):
            text = path.read_text("utf-8")
            if _SPEAKS_OF_THEM.search(text):  # few do, and to parse all takes seconds
                parts = path.relative_to(root).with_suffix("").parts
                tree = ast.parse(text)
                calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
                yield _Module(
                    path,
                    ".".join([name, *parts]).removesuffix(".__init__"),
                    [*_methods(calls)],
                    [
                        node.args[0]
                        for node in calls
                        if isinstance(node.func, ast.Name) and node.func.id == "Text" and node.args
                    ],
                )


def _methods(calls: list[ast.Call]) -> Iterator[tuple[ast.Call, str, str]]:
    """(call, of what, method) of every `NAME.method(...)` and `module.NAME.method(...)`."""
    for node in calls:
        if isinstance(node.func, ast.Attribute):
            owner = node.func.value
            name = owner.id if isinstance(owner, ast.Name) else getattr(owner, "attr", "")
            if node.func.attr in CALLS and name:
                yield node, name, node.func.attr


def _expressions() -> list[Expression]:
    found: dict[tuple[object, int, str], Expression] = {}
    users: Users = {}
    modules = [*_modules()]
    for module in modules:
        for _, owner, method in module.calls:
            users.setdefault(owner, set()).add((module.name, method))
    for module in modules:
        if not any(owner == "re" for _, owner, _ in module.calls):
            continue
        for key, value in vars(module.loaded).items():
            for item in _patterns_in(value):
                for call in sorted(
                    _used(users, key, value) if item is value else _of_loops(module)
                ):
                    place = f"{module.path.name}:{key}"
                    found[item.pattern, item.flags, call] = Expression(place, item, call)
        for call_node, owner, method in module.calls:
            if owner != "re" or method == "compile":
                continue
            code = compile(ast.Expression(call_node.args[0]), str(module.path), "eval")
            try:
                pattern = eval(code, vars(module.loaded))
            except NameError:
                continue  # a pattern of a schema: see below
            compiled = re.compile(pattern)
            place = f"{module.path.name}:{call_node.lineno}"
            found[compiled.pattern, compiled.flags, method] = Expression(place, compiled, method)
    for pattern in _of_schemas(modules):
        compiled = re.compile(pattern)
        found[pattern, compiled.flags, "fullmatch"] = Expression("schema", compiled, "fullmatch")
    # In one order, whatever sets are like: several processes share the cases.
    return sorted(
        found.values(),
        key=lambda item: (item.place, item.call, str(item.compiled.pattern), item.compiled.flags),
    )


def _used(users: Users, key: str, value: object) -> set[str]:
    """How an expression is used under its name, unless that is another's in the module."""
    return {
        method
        for name, method in users.get(key, ())
        if vars(importlib.import_module(name)).get(key, value) is value
    }


def _of_loops(module: _Module) -> set[str]:
    """How a module uses what stands in its tables, under names of its functions."""
    found = {call for _, owner, call in module.calls if owner not in vars(module.loaded)}
    return found - {"compile", "split"} or {"sub"}


def _patterns_in(value: object) -> Iterator[re.Pattern[Any]]:
    """A module's expression, or those in its tables."""
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _patterns_in(item)
    elif isinstance(value, dict):
        yield from _patterns_in([*value.keys(), *value.values()])


def _of_schemas(modules: list[_Module]) -> Iterator[str]:
    """The patterns that values of manifests, layouts and settings have to match."""
    for module in modules:
        for first in module.texts:
            if isinstance(first, ast.Constant):
                yield str(first.value)
            elif isinstance(first, ast.Name):
                value = getattr(module.loaded, first.id, "")
                if isinstance(value, str):
                    yield value


EXPRESSIONS = _expressions()


@dataclass(frozen=True)
class _Text:
    """How a text begins, and what it goes on with."""

    start: str
    unit: str

    def of(self, length: int) -> str:
        """It, at about this length."""
        return self.start + self.unit * (length // len(self.unit)) + "\x01"


def _texts(compiled: re.Pattern[Any]) -> Iterator[_Text]:
    """Long texts of what the expression is made of, that it nearly matches."""
    pattern = compiled.pattern
    plain = pattern if isinstance(pattern, str) else pattern.decode("latin-1")
    words = re.findall(r"[A-Za-z0-9_]{2,}", plain)[:8]
    letters = set(re.sub(r"\\.", "", plain)) | set('a1-._/: "<\\')
    pieces = [*sorted(char for char in letters if char.isprintable()), "\n", "\t", *words]
    chosen = random.Random(plain)
    units = pieces + ["".join(chosen.choices(pieces, k=2)) for _ in range(30)]
    starts = ["", "", *words, '"', "<", "[", "://", "a", "1"]
    for unit in units:
        for start in ("", chosen.choice(starts)):
            yield _Text(start, unit)


class _TooLong(Exception):
    """The time is over."""


def _expire(*_: object) -> None:
    raise _TooLong


def _slowest(expression: Expression, length: int) -> tuple[float, str]:
    worst = 0.0, ""
    before = signal.signal(signal.SIGALRM, _expire)
    try:
        for text in _texts(expression.compiled):
            for size in sorted({min(GLANCE, length), length}):
                whole = text.of(size)
                spent = _spent(expression, whole)
                if spent > SECONDS:  # what else the machine did may be in it
                    spent = min(spent, _spent(expression, whole))
                if spent > SECONDS or not _could_be_slow(spent, length / size):
                    break
            if spent > worst[0]:
                worst = spent, whole[:20]
            if spent > SECONDS:
                break
    finally:
        signal.signal(signal.SIGALRM, before)
    return worst


def _could_be_slow(spent: float, longer: float) -> bool:
    """Whether that time, if it grows with the fourth power, is over the bound for longer texts.

    What grows faster is slow for short texts already.
    """
    return spent * longer**4 > SECONDS


def _spent(expression: Expression, text: str) -> float:
    started = time.process_time()
    signal.setitimer(signal.ITIMER_REAL, 1)
    try:
        expression.run(text)
    except _TooLong:
        return 1.0
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return time.process_time() - started


@pytest.mark.parametrize(
    "expression", EXPRESSIONS, ids=[f"{item.place}:{item.call}" for item in EXPRESSIONS]
)
def test_an_expression_reads_a_long_text_at_once(expression: Expression) -> None:
    """Text of the expression's own pieces, from a listing, a header, a card or a document."""
    length = SHORT.get(str(expression.compiled.pattern), LENGTH)
    spent, text = _slowest(expression, length)
    assert spent < SECONDS, f"{expression.compiled.pattern!r} on {text!r}…"


def test_the_search_finds_what_backtracks() -> None:
    """Beside it: expressions that are known to backtrack are found by it."""
    for pattern, call in (
        (r"(a+)+b", "match"),
        (r"\s*\s*x", "fullmatch"),
        (r"\w+=", "search"),
        (r"a*a*a*b", "match"),
        (r"[ \t]+$", "sub"),
        (r"\d+\.\d*x", "finditer"),
    ):
        spent, _ = _slowest(Expression("", re.compile(pattern), call), LENGTH)
        assert spent > SECONDS / 4, pattern
    assert len(EXPRESSIONS) > 150
