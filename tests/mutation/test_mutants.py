"""Which mutants count: those that change what the code does, properties' too."""

from __future__ import annotations

import ast

import pytest

from tests.mutation.modules import EXPLAINED, MODULES, ONCE
from tests.mutation.mutants import ROOT, Mutant, is_only_said, undecorated

SOURCE = '''\
@dataclass(frozen=True)
class Part:
    """A part."""

    size: int

    @property
    def half(self) -> int:
        """Half of it."""
        return self.size // 2

    @staticmethod
    def kept() -> int:
        return 1

    def plain(self) -> int:
        return 2


@outer(
    1,
)
@inner
def made() -> int:
    return 3


LAST = 4
'''


def test_decorators_become_assignments() -> None:
    text = undecorated(SOURCE)
    tree = ast.parse(text)
    assert "    half = property(half)\n" in text
    assert "made = inner(made)\nmade = outer(1)(made)\n" in text
    left = [
        ast.unparse(decorator)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        for decorator in node.decorator_list
    ]
    assert left == ["dataclass(frozen=True)", "staticmethod"]
    assert text.endswith("LAST = 4\n")


@pytest.mark.parametrize("module", MODULES)
def test_every_module_and_its_tests_are_there(module: str) -> None:
    undecorated_ = undecorated((ROOT / f"fetcher/{module}.py").read_text("utf-8"))
    assert compile(undecorated_, module, "exec")
    assert all((ROOT / "tests" / name).is_file() for name in MODULES[module])


@pytest.mark.parametrize(
    ("before", "after", "only_said"),
    [
        ('raise Failure("c", t("{x}", x=x), t("b"))', 'raise Failure("c", None, t("b"))', True),
        ('raise Failure("code", t("a"), t("b"))', 'raise Failure("code", t("a"))', True),
        ('raise Failure("code", t("a"))', 'raise Failure("XXcodeXX", t("a"))', False),
        ('raise Failure("code", t("a"))', 'raise Failure(None, t("a"))', False),
        ('_log.info("a %s", x)', '_log.info("a %s", None)', True),
        ('_log.info("a %s", x)', '_log.info("a %s")', True),
        ('hint = t("a") if x else ""', "hint = None", True),
        ('size = t("a")', "size = None", False),
        ("x: int = 1", "x: int = 2", False),
        ("x: int = 1", "x: str = 1", True),
        ('data = text.encode("utf-8")', 'data = text.encode("UTF-8")', True),
        ('data = text.encode("utf-8")', 'data = text.encode("XXutf-8XX")', False),
        ("os.stat(x, follow_symlinks=False)", "os.stat(x, follow_symlinks=None)", True),
        ("os.stat(x, follow_symlinks=False)", "os.stat(x, follow_symlinks=True)", False),
        ("rmtree(x, ignore_errors=True)", "rmtree(x, ignore_errors=None)", False),
        ("return a < b", "return a <= b", False),
        ("work(a, b)", "work(a)", False),
    ],
)  # fmt: skip
def test_what_is_only_said_does_not_count(before: str, after: str, only_said: bool) -> None:
    mutant = Mutant("m", f"def f():\n    {before}", f"def f():\n    {after}")
    assert is_only_said(mutant) is only_said


def test_a_mutant_is_known_by_the_lines_that_differ() -> None:
    mutant = Mutant(
        "m", "def f():\n    if a:\n        return 1", "def f():\n    if a:\n        return 2"
    )
    assert mutant.key("fs/x") == ("fs/x", "return 1", "return 2")


def plain(module: str) -> str:
    """A module's text in the form that mutants are shown in."""
    return ast.unparse(ast.parse((ROOT / f"fetcher/{module}.py").read_text("utf-8")))


def test_what_is_explained_is_still_there() -> None:
    """Code that moved takes its explanation along."""
    for (module, before, after), why in EXPLAINED.items():
        assert module in MODULES and why and before != after
        lines = {line.strip() for line in plain(module).splitlines()}
        assert set(before.splitlines()) <= lines, (module, before)


def test_what_is_remembered_on_purpose_is_still_there() -> None:
    found = {
        node.name
        for module in MODULES
        for node in ast.walk(ast.parse(plain(module)))
        if isinstance(node, ast.FunctionDef)
        and any("lru_cache" in ast.unparse(decorator) for decorator in node.decorator_list)
    }
    assert found >= ONCE
