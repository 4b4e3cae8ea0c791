"""Mutants of one module, made and tried by mutmut in a copy of the project."""

from __future__ import annotations

import ast
import difflib
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.mutation import modules

ROOT = Path(__file__).parents[2]
_COPIED = ("fetcher", "tests", "verify", "manifests", "layouts", "setup.cfg")
_ALIVE = {0, 5, 33, None}  # pytest's and mutmut's: passed, no test at all, not tried
_RUN = "from mutmut.__main__ import cli; cli()"


@dataclass(frozen=True)
class Mutant:
    """A changed function: mutmut's name, and both texts."""

    name: str
    before: str
    after: str

    @property
    def diff(self) -> list[str]:
        """The lines that differ, with their surroundings."""
        lines = difflib.unified_diff(
            self.before.splitlines(), self.after.splitlines(), lineterm="", n=2
        )
        return list(lines)[2:]

    def key(self, module: str) -> tuple[str, str, str]:
        """What the mutant is known by where it is explained."""
        before, after = (
            "\n".join(line[1:].strip() for line in self.diff if line.startswith(sign))
            for sign in "-+"
        )
        return module, before, after


@dataclass
class Result:
    """How the tests of a module did: `made` mutants in all, of which `tried` were run."""

    module: str
    made: int
    tried: int
    survivors: list[Mutant]
    explained: int

    @property
    def killed(self) -> int:
        """How many were noticed."""
        return self.tried - len(self.survivors) - self.explained


def undecorated(source: str) -> str:
    """The same module with `f = decorate(f)` below a function in place of `@decorate` above it.

    mutmut leaves decorated functions alone, and properties hold much of what is decided.
    """
    lines = source.splitlines()
    found = [
        node
        for outer in ast.walk(ast.parse(source))
        if isinstance(outer, ast.Module | ast.ClassDef)
        for node in outer.body
        if isinstance(node, ast.FunctionDef) and node.decorator_list
    ]
    for node in sorted(found, key=lambda node: -node.lineno):
        texts = [ast.unparse(decorator) for decorator in node.decorator_list]
        # What is remembered would be the first test's alone.
        if node.name not in modules.ONCE:
            texts = [text for text in texts if not text.startswith("lru_cache")]
        if set(texts) & {"staticmethod", "classmethod", "overload"}:
            continue
        name, indent = node.name, " " * node.col_offset
        after = [f"{indent}{name} = {text}({name})" for text in reversed(texts)]
        lines[node.end_lineno : node.end_lineno] = after
        del lines[node.decorator_list[0].lineno - 1 : node.lineno - 1]
    return "\n".join(lines) + "\n"


class _Bare(ast.NodeTransformer):
    """Takes away what is only said: log lines, texts of messages, annotations."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        if ast.unparse(node).startswith(("_log.", "self.say(", "say(")):
            return ast.Pass()
        return self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        names = {target.id for target in node.targets if isinstance(target, ast.Name)}
        return ast.Pass() if names & modules.TEXT_NAMES else self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if node.value is None:
            return ast.Pass()
        return self.visit_Assign(ast.Assign(targets=[node.target], value=node.value, lineno=0))

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if not isinstance(node.value, str):
            return node
        if node.value.count(" ") > 1:  # a sentence, as nothing else here is
            return ast.Constant("text")
        folded = node.value.lower()
        return ast.Constant(folded) if folded in modules.CODECS else node

    def visit_keyword(self, node: ast.keyword) -> ast.AST:
        if node.arg in modules.FLAGS and isinstance(node.value, ast.Constant):
            node.value = ast.Constant(bool(node.value.value))
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        name = ast.unparse(node.func).rpartition(".")[2]
        if name in modules.TEXT_CALLS:
            return ast.Constant("text")
        self.generic_visit(node)
        if name in modules.SAYING:
            node.args = [one for one in node.args if not _is_text(one)]
        return node


def _is_text(node: ast.AST) -> bool:
    if isinstance(node, ast.IfExp):
        return _is_text(node.body) and _is_text(node.orelse)
    if isinstance(node, ast.Constant):
        return node.value in {None, "text", ""}
    return isinstance(node, ast.Name) and node.id in modules.TEXT_NAMES


def is_only_said(mutant: Mutant) -> bool:
    """Whether the two differ in nothing but texts for people, log lines and annotations."""
    if mutant.before.partition("(")[0].removeprefix("def ") in modules.TEXT_FUNCTIONS:
        return True
    before, after = (_Bare().visit(ast.parse(text)) for text in (mutant.before, mutant.after))
    return ast.unparse(before) == ast.unparse(after)


def _made(path: str, source: str) -> Iterator[Mutant]:
    """Every mutant of a module's text."""
    from mutmut.mutation.file_mutation import mutate_file_contents

    file = mutate_file_contents(path, source)
    texts: dict[str, str] = {}
    for node in ast.walk(ast.parse(file.code)):
        if isinstance(node, ast.FunctionDef) and "__mutmut_" in node.name:
            full, node.name = node.name, node.name.partition("__mutmut_")[0].rpartition("ǁ")[2]
            node.name = node.name.removeprefix("x_")
            texts[full] = ast.unparse(node)
    start = path.removesuffix(".py").replace("/", ".")
    for name in file.mutant_names:
        original = f"{name.partition('__mutmut_')[0]}__mutmut_orig"
        yield Mutant(f"{start}.{name}", texts[original], texts[name])


def _prepare(folder: Path, module: str) -> str:
    """Make a copy of the project in which mutmut is told of one module; returns its path."""
    for name in _COPIED:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "data")
            shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=ignored)
        else:
            shutil.copy(ROOT / name, folder / name)
    path = f"fetcher/{module}.py"
    (folder / path).write_text(undecorated((ROOT / path).read_text("utf-8")), "utf-8")
    tests = [f"tests/{name}" for name in modules.MODULES[module]]
    (folder / "pyproject.toml").write_text(
        f"""[tool.mutmut]
source_paths = ["fetcher"]
only_mutate = ["{path}"]
also_copy = ["verify", "manifests", "layouts"]
pytest_add_cli_args_test_selection = {json.dumps(tests)}
pytest_add_cli_args = ["--hypothesis-profile=mutation", "-p", "no:cacheprovider"]
process_isolation = "forkserver"
timeout_constant = 3.0
timeout_multiplier = 1.5
""",
        "utf-8",
    )
    return path


def run(folder: Path, module: str, sample: int, seed: int) -> Result:
    """Try mutants of a module in a copy of the project at `folder`; all of them for a `sample`
    of 0. Raises RuntimeError where the module's tests fail without any mutant."""
    path = _prepare(folder, module)
    os.chdir(folder)
    found = [one for one in _made(path, Path(path).read_text("utf-8")) if not is_only_said(one)]
    chosen = found
    if 0 < sample < len(found):
        chosen = random.Random(f"{seed}:{module}").sample(found, sample)
    names = [mutant.name for mutant in chosen]
    if not names:
        return Result(module, 0, 0, [], 0)
    done = subprocess.run(
        [sys.executable, "-c", _RUN, "run", "--max-children", "1", *names],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    meta = Path("mutants", f"{path}.meta")
    codes = json.loads(meta.read_bytes())["exit_code_by_key"] if meta.is_file() else {}
    if done.returncode or all(codes.get(name) is None for name in names):
        lines = done.stdout.decode(errors="replace").split("\n")
        said = [line.rpartition("\r")[2] for line in lines[-60:]]
        raise RuntimeError("\n".join([f"{module}: its tests fail", *said]))
    alive = [mutant for mutant in chosen if codes.get(mutant.name) in _ALIVE]
    unexplained = [one for one in alive if one.key(module) not in modules.EXPLAINED]
    return Result(module, len(found), len(names), unexplained, len(alive) - len(unexplained))
