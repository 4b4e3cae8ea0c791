"""Download scripts in Python, read from their syntax tree. Nothing is imported or run.

Assignments, loops over what the script itself lists, functions and f-strings are followed; calls
that fetch, unpack or move are done to a tree in memory; a value that only a run knows makes the
call that needs it a remark.
"""

from __future__ import annotations

import ast
import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from fetcher.i18n import t
from fetcher.importers.document_paths import BASE, HOME, ROOT, Unreadable, based, not_told
from fetcher.importers.python_calls import called
from fetcher.importers.python_values import (
    Archive,
    Bytes,
    Function,
    Name,
    OpenFile,
    Options,
    PathValue,
    ScriptEnd,
)
from fetcher.importers.target_tree import TargetTree

_MOST_STEPS = 100_000
_DEEPEST = 30
_LONGEST = 1 << 20
_FETCHES = re.compile(
    r"download|urlretrieve|wget|gdown|curl|snapshot|requests|urlopen|extract|unzip|unpack|clone"
    r"|load_state_dict_from_url|from_pretrained|SentenceTransformer|CrossEncoder|retrieve|system|subprocess|check_call|move|rename|copy"
)


class _Return(Exception):
    def __init__(self, value: object) -> None:
        super().__init__()
        self.value = value


class _Break(Exception):
    pass


class _Continue(Exception):
    pass


def read(
    text: str,
    tree: TargetTree,
    script: str = "",
    first_line: int = 1,
    cwd: str = "",
    optional: bool = False,
) -> None:
    """Read a script into the tree; `script` is its path from the root, "" if it lies elsewhere."""
    try:
        module = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None) or 1
        why = t("this is no Python that can be read: {error}", error=type(error).__name__)
        tree.remark(first_line + line - 1, why)
        return
    reader = Reader(tree, text.splitlines(), script, first_line, cwd)
    reader.optional = optional
    reader.fetching = _fetching(module)
    try:
        reader.block(module.body)
        reader.main(module.body)
    except (ScriptEnd, _Return, _Break, _Continue):
        pass
    except RecursionError:
        tree.remark(first_line, t("it is nested too deeply to be read"))
    for brought in reader.requests:
        if not brought.kept:
            tree.remark(brought.line, t("where this is stored could not be read"), brought.address)


def _fetching(module: ast.Module) -> set[str]:
    """Functions of the script that fetch something, themselves or by another of them."""
    sources = {
        node.name: ast.unparse(node)
        for node in ast.walk(module)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    found = {name for name, source in sources.items() if _FETCHES.search(source)}
    while True:
        more = {
            name
            for name, source in sources.items()
            if name not in found and set(re.findall(r"\b\w+\b", source)) & found
        }
        if not more:
            return found
        found |= more


_OPAQUE = (Name, Bytes, OpenFile, Archive, Function, Options)


class Reader:
    """Reads one script."""

    def __init__(
        self, tree: TargetTree, lines: Sequence[str], script: str, first_line: int, cwd: str
    ) -> None:
        self.tree = tree
        self.lines = lines
        self.script = script
        self.first_line = first_line
        self.cwd = cwd
        self.scopes: list[dict[str, object]] = [
            {"__name__": "__main__", "__file__": f"{ROOT}/{script}"}
        ]
        self.optional = False
        self.steps = 0
        self.depth = 0
        self.called: set[str] = set()
        self.fetching: set[str] = set()
        self.requests: list[Bytes] = []
        self.options: dict[str, object] = {}
        # Whether the value read last is one that a person may set otherwise, and names of such.
        self.chosen = False
        self.chosen_names: set[str] = set()

    # --- statements

    def line(self, node: ast.AST) -> int:
        """The line of the document that a node begins on."""
        return int(getattr(node, "lineno", 1)) + self.first_line - 1

    def raw(self, node: ast.AST) -> str:
        """The first line of a node, as it is written."""
        index = int(getattr(node, "lineno", 1)) - 1
        return self.lines[index].strip() if index < len(self.lines) else ""

    def main(self, body: Sequence[ast.stmt]) -> None:
        """Functions named as the script's beginning, where nothing has called them."""
        for name in ("main", "download", "download_models", "download_all", "download_weights"):
            found = self.scopes[0].get(name)
            if isinstance(found, Function) and not self.called:
                arguments = found.node.args
                needed = len(arguments.args) - len(arguments.defaults)
                if needed == 0:
                    self._guarded(partial(self.enter, found, [], {}), found.node)

    def block(self, body: Sequence[ast.stmt]) -> None:
        """Statements in order."""
        for node in body:
            self.statement(node)

    def statement(self, node: ast.stmt) -> None:
        """One statement; what cannot be read is a remark if it may fetch something."""
        self.steps += 1
        if self.steps > _MOST_STEPS:
            self.tree.remark(self.line(node), t("the script does too much to be read on"))
            raise ScriptEnd
        method = getattr(self, f"_{type(node).__name__.lower()}", None)
        if method is None:
            return
        self._guarded(partial(method, node), node)

    def _guarded(self, action: Callable[[], object], node: ast.AST) -> None:
        try:
            action()
        except Unreadable as why:
            if not isinstance(node, ast.If | ast.Try) and self._may_fetch(node):
                short = isinstance(node, ast.For | ast.With | ast.While | ast.FunctionDef)
                text = self.raw(node) if short else ast.unparse(node)
                self.tree.remark(self.line(node), why.args[0], text)
            self._forget(node)

    def _may_fetch(self, node: ast.AST) -> bool:
        """Whether a statement fetches something, or calls a function that does."""
        source = ast.unparse(node)
        if _FETCHES.search(source):
            return True
        return bool(self.fetching & set(re.findall(r"\b\w+\b", source)))

    def _forget(self, node: ast.AST) -> None:
        for inner in ast.walk(node):
            if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                self.scopes[-1][inner.id] = _unknown(inner.id)

    def _expr(self, node: ast.Expr) -> None:
        self.value(node.value)

    def _assign(self, node: ast.Assign) -> None:
        self.chosen = False
        value = self.value(node.value)
        names = {target.id for target in node.targets if isinstance(target, ast.Name)}
        self.chosen_names = self.chosen_names | names if self.chosen else self.chosen_names - names
        for target in node.targets:
            self.bind(target, value)

    def _annassign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.bind(node.target, self.value(node.value))

    def _augassign(self, node: ast.AugAssign) -> None:
        value = self.binary(node.op, self.value(_loaded(node.target)), self.value(node.value))
        self.bind(node.target, value)

    def bind(self, target: ast.expr, value: object) -> None:
        """Give a name, or several, a value."""
        if isinstance(target, ast.Name):
            self.scopes[-1][target.id] = value
        elif isinstance(target, ast.Tuple | ast.List):
            items = self.items(value)
            if len(items) != len(target.elts) or any(
                isinstance(e, ast.Starred) for e in target.elts
            ):
                raise Unreadable(t("this assignment is not read"))
            for element, item in zip(target.elts, items, strict=True):
                self.bind(element, item)
        elif isinstance(target, ast.Subscript):
            holder = self.value(target.value)
            if isinstance(holder, dict):
                holder[self.value(target.slice)] = value
            elif not isinstance(holder, Name):
                raise Unreadable(t("this assignment is not read"))

    def _functiondef(self, node: ast.FunctionDef) -> None:
        self.scopes[-1][node.name] = Function(node)

    _asyncfunctiondef = _functiondef

    def _classdef(self, node: ast.ClassDef) -> None:
        self.scopes[-1][node.name] = _unknown(node.name)
        if _FETCHES.search(ast.unparse(node)):
            self.tree.remark(self.line(node), t("classes are not read"), self.raw(node))

    def _import(self, node: ast.Import) -> None:
        for alias in node.names:
            bound = alias.asname or alias.name.partition(".")[0]
            self.scopes[-1][bound] = Name(alias.name if alias.asname else bound)

    def _importfrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            self.scopes[-1][alias.asname or alias.name] = Name(f"{node.module or ''}.{alias.name}")

    def _return(self, node: ast.Return) -> None:
        raise _Return(self.value(node.value) if node.value else None)

    def _break(self, node: ast.Break) -> None:
        raise _Break

    def _continue(self, node: ast.Continue) -> None:
        raise _Continue

    def _raise(self, node: ast.Raise) -> None:
        if not self.optional:
            raise ScriptEnd

    def _if(self, node: ast.If) -> None:
        self.chosen = False
        decided = self.truth(node.test)
        chosen = self.chosen
        if decided is not True and (decided is None or chosen):
            with self.undecided(node.test, "if"):
                self._tried(node.body)
        if decided is not False and (decided is None or chosen):
            with self.undecided(node.test, "unless"):
                self._tried(node.orelse)
        if decided is not None:
            self.block(node.body if decided else node.orelse)

    def _tried(self, body: Sequence[ast.stmt]) -> None:
        """A block that may not run: where it ends the loop or function, the rest is still read."""
        try:
            self.block(body)
        except (_Break, _Continue, _Return, ScriptEnd):
            pass

    @contextmanager
    def undecided(self, test: ast.expr, word: str) -> Iterator[None]:
        """What is read meanwhile is optional; a remark says on what it depends."""
        before, known = self.optional, self.tree.count()
        self.optional = True
        try:
            yield
        finally:
            self.optional = before
            if self.tree.count() > known:
                text = ast.unparse(test)
                whys = {
                    "if": t("optional: fetched only if {text}", text=text),
                    "unless": t("optional: fetched only unless {text}", text=text),
                    "for": t("optional: fetched for what a person chooses in {text}", text=text),
                }
                why = whys[word]
                self.tree.remark(self.line(test), why)

    def _for(self, node: ast.For) -> None:
        try:
            items = self.items(self.value(node.iter))
        except Unreadable:
            if not self._may_fetch(node) or not self._once(node):
                raise
            return
        for item in items:
            self.bind(node.target, item)
            try:
                self.block(node.body)
            except _Break:
                return
            except _Continue:
                continue
        self.block(node.orelse)

    def _once(self, node: ast.For) -> bool:
        """A loop over what a person gives: what it fetches for any of it is optional."""
        known, remarks = self.tree.count(), len(self.tree.remarks)
        self.bind_unknown(node.target)
        with self.undecided(node.iter, "for"):
            self._tried(node.body)
        if self.tree.count() == known:
            del self.tree.remarks[remarks:]
        return self.tree.count() > known

    def bind_unknown(self, target: ast.expr) -> None:
        """Give names a value that only a run knows."""
        for inner in ast.walk(target):
            if isinstance(inner, ast.Name):
                self.scopes[-1][inner.id] = _unknown(inner.id)

    def _while(self, node: ast.While) -> None:
        # Retries: a download succeeds at once.
        if self.truth(node.test) is not False:
            try:
                self.block(node.body)
            except (_Break, _Continue):
                pass

    def _try(self, node: ast.Try) -> None:
        self.block(node.body)
        for handler in node.handlers:
            if _FETCHES.search(ast.unparse(handler)) and not _only_tells(handler):
                self.tree.remark(
                    self.line(handler), t("this runs only if a download fails"), self.raw(handler)
                )
        self.block(node.orelse)
        self.block(node.finalbody)

    def _with(self, node: ast.With) -> None:
        for item in node.items:
            try:
                value = self.value(item.context_expr)
            except Unreadable:
                if not _FETCHES.search(ast.unparse(item.context_expr)):
                    value = _unknown("with")
                else:
                    raise
            if item.optional_vars is not None:
                self.bind(item.optional_vars, value)
        self.block(node.body)

    # --- values

    def items(self, value: object) -> list[object]:
        """The items of a list, tuple, mapping or text. Raises Unreadable."""
        if isinstance(value, dict):
            return list(value)
        if isinstance(value, list | tuple | set):
            return list(value)
        if isinstance(value, Bytes):  # piece by piece
            return [value]
        raise Unreadable(t("what the loop goes over is not known"))

    def truth(self, node: ast.expr) -> bool | None:
        """A condition, None where only a person or a run knows it."""
        try:
            value = self.value(node)
        except Unreadable:
            return None
        if isinstance(value, _OPAQUE) or (isinstance(value, str) and not_told(value)):
            return None
        return bool(value)

    def value(self, node: ast.expr) -> object:
        """The value of an expression. Raises Unreadable where only a run knows it."""
        method = getattr(self, f"_v_{type(node).__name__.lower()}", None)
        if method is None:
            raise Unreadable(t("{text} is not read", text=ast.unparse(node)[:80]))
        found: object = method(node)
        if isinstance(found, Unreadable):
            raise found
        if isinstance(found, str) and len(found) > _LONGEST:
            raise Unreadable(t("a text is too long"))
        return found

    def _v_constant(self, node: ast.Constant) -> object:
        return node.value

    def _v_name(self, node: ast.Name) -> object:
        self.chosen = self.chosen or node.id in self.chosen_names
        for scope in reversed(self.scopes):
            if node.id in scope:
                return scope[node.id]
        return Name(node.id)

    def _v_list(self, node: ast.List) -> object:
        found: list[object] = []
        for element in node.elts:
            if isinstance(element, ast.Starred):
                found += self.items(self.value(element.value))
            else:
                found.append(self.value(element))
        return found

    _v_set = _v_list

    def _v_tuple(self, node: ast.Tuple) -> object:
        return tuple(self.value(element) for element in node.elts)

    def _v_dict(self, node: ast.Dict) -> object:
        found: dict[object, object] = {}
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                inner = self.value(value)
                found |= inner if isinstance(inner, dict) else {}
            else:
                try:
                    found[self.value(key)] = self.value(value)
                except TypeError as error:
                    raise Unreadable(t("this mapping is not read")) from error
                except Unreadable as why:
                    found[self.value(key)] = why
        return found

    def _v_joinedstr(self, node: ast.JoinedStr) -> object:
        return "".join(self.text(self.value(part)) for part in node.values)

    def _v_formattedvalue(self, node: ast.FormattedValue) -> object:
        value = self.value(node.value)
        form = self.text(self.value(node.format_spec)) if node.format_spec else ""
        if form and isinstance(value, int | float | str):
            try:
                return (
                    format(value, form)
                    if re.fullmatch(r"0?\d{0,3}[dsf]?(\.\d{1,2}f)?", form)
                    else _unknown(form)
                )
            except ValueError as error:
                raise Unreadable(t("{text} is not read", text=form)) from error
        return self.text(value)

    def text(self, value: object) -> str:
        """A value as text. Raises Unreadable."""
        if isinstance(value, PathValue):
            return value.text
        if isinstance(value, str | int | float):
            return str(value)
        raise Unreadable(t("a text is not known"))

    def _v_binop(self, node: ast.BinOp) -> object:
        return self.binary(node.op, self.value(node.left), self.value(node.right))

    def binary(self, operator: ast.operator, left: object, right: object) -> object:
        """`+`, `/` of paths, `%` of texts, and whole numbers."""
        if isinstance(operator, ast.Div) and (
            isinstance(left, PathValue) or isinstance(right, PathValue)
        ):
            return PathValue(_joined(self.text(left), self.text(right)))
        if isinstance(operator, ast.Add):
            for kind in (str, list, tuple):
                if isinstance(left, kind) and isinstance(right, kind):
                    total: object = left + right  # type: ignore[operator]
                    return total
        if isinstance(operator, ast.Mod) and isinstance(left, str):
            return self._percent(left, right)
        if isinstance(operator, ast.BitOr) and isinstance(left, dict) and isinstance(right, dict):
            return {**left, **right}
        if isinstance(left, int) and isinstance(right, int):
            return _calculated(operator, left, right)
        raise Unreadable(t("this calculation is not read"))

    def _percent(self, text: str, right: object) -> str:
        values = right if isinstance(right, tuple) else (right,)
        try:
            return text % tuple(self.text(v) if isinstance(v, PathValue) else v for v in values)
        except (TypeError, ValueError, MemoryError) as error:
            raise Unreadable(t("{text} is not read", text=text[:80])) from error

    def _v_boolop(self, node: ast.BoolOp) -> object:
        stop = isinstance(node.op, ast.Or)
        unknown = False
        value: object = not stop
        for part in node.values:
            decided = self.truth(part)
            if decided is None:
                unknown = True
            elif decided is stop:
                value = self.value(part)
                return value if not unknown else stop
        if unknown:
            raise Unreadable(t("{text} is decided when it runs", text=ast.unparse(node)[:80]))
        return self.value(node.values[-1])

    def _v_unaryop(self, node: ast.UnaryOp) -> object:
        if isinstance(node.op, ast.Not):
            found = self.truth(node.operand)
            if found is None:
                raise Unreadable(t("{text} is decided when it runs", text=ast.unparse(node)[:80]))
            return not found
        value = self.value(node.operand)
        if isinstance(node.op, ast.USub) and isinstance(value, int):
            return -value
        raise Unreadable(t("this calculation is not read"))

    def _v_compare(self, node: ast.Compare) -> object:
        if len(node.ops) != 1:
            raise Unreadable(t("this condition is not read"))
        operator = node.ops[0]
        left, right = self.value(node.left), self.value(node.comparators[0])
        if any(isinstance(v, Name) or (isinstance(v, str) and not_told(v)) for v in (left, right)):
            raise Unreadable(t("{text} is decided when it runs", text=ast.unparse(node)[:80]))
        if isinstance(operator, ast.Eq | ast.Is):
            return left == right
        if isinstance(operator, ast.NotEq | ast.IsNot):
            return left != right
        if isinstance(operator, ast.In | ast.NotIn) and isinstance(
            right, str | list | tuple | dict | set
        ):
            try:
                return (left in right) is isinstance(operator, ast.In)
            except TypeError as error:
                raise Unreadable(t("this condition is not read")) from error
        if isinstance(left, int) and isinstance(right, int):
            if isinstance(operator, ast.Lt):
                return left < right
            if isinstance(operator, ast.Gt):
                return left > right
            if isinstance(operator, ast.LtE):
                return left <= right
            return left >= right
        raise Unreadable(t("this condition is not read"))

    def _v_ifexp(self, node: ast.IfExp) -> object:
        decided = self.truth(node.test)
        if decided is None:
            raise Unreadable(t("{text} is decided when it runs", text=ast.unparse(node.test)[:80]))
        return self.value(node.body if decided else node.orelse)

    def _v_lambda(self, node: ast.Lambda) -> object:
        return Function(node)

    def _v_namedexpr(self, node: ast.NamedExpr) -> object:
        value = self.value(node.value)
        self.bind(node.target, value)
        return value

    def _v_listcomp(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp) -> object:
        found: list[object] = []
        self._comprehended(node.generators, lambda: found.append(self.value(node.elt)))
        return found

    _v_generatorexp = _v_setcomp = _v_listcomp

    def _v_dictcomp(self, node: ast.DictComp) -> object:
        found: dict[object, object] = {}

        def add() -> None:
            found[self.value(node.key)] = self.value(node.value)

        self._comprehended(node.generators, add)
        return found

    def _comprehended(
        self, generators: Sequence[ast.comprehension], add: Callable[[], object]
    ) -> None:
        if not generators:
            self.steps += 1
            if self.steps > _MOST_STEPS:
                raise Unreadable(t("the script does too much to be read on"))
            add()
            return
        first, *rest = generators
        for item in self.items(self.value(first.iter)):
            self.bind(first.target, item)
            if all(self.truth(test) is True for test in first.ifs):
                self._comprehended(rest, add)

    def _v_subscript(self, node: ast.Subscript) -> object:
        holder = self.value(node.value)
        if isinstance(node.slice, ast.Slice):
            if not isinstance(holder, str | list | tuple):
                raise Unreadable(t("{text} is not read", text=ast.unparse(node)[:80]))
            parts = (node.slice.lower, node.slice.upper, node.slice.step)
            bounds = [self.value(part) if part else None for part in parts]
            numbers = [part for part in bounds if part is None or isinstance(part, int)]
            if len(numbers) != 3 or numbers[2] == 0:
                raise Unreadable(t("{text} is not read", text=ast.unparse(node)[:80]))
            return holder[slice(*numbers)]
        key = self.value(node.slice)
        if isinstance(holder, Name) and holder.dotted == "os.environ":
            return based(f"${key}")
        if isinstance(holder, Name) and holder.dotted == "sys.argv":
            return based(f"sys.argv[{key}]")
        try:
            found: object = holder[key]  # type: ignore[index]
        except (TypeError, LookupError) as error:
            raise Unreadable(t("{text} is not known", text=ast.unparse(node)[:80])) from error
        return found

    def _v_attribute(self, node: ast.Attribute) -> object:
        holder = self.value(node.value)
        if isinstance(holder, Name):
            return Name(f"{holder.dotted}.{node.attr}")
        if isinstance(holder, PathValue):
            return self._path_attribute(holder, node.attr)
        if isinstance(holder, Options):
            if node.attr not in holder.defaults:
                raise Unreadable(t("it is given when the script is run"))
            self.chosen = True
            return holder.defaults[node.attr]
        if isinstance(holder, Bytes):
            return holder
        raise Unreadable(t("{text} is not known", text=ast.unparse(node)[:80]))

    def _path_attribute(self, path: PathValue, name: str) -> object:
        base = posixpath.basename(path.text)
        if name == "parent":
            return PathValue(posixpath.dirname(path.text) or ".")
        if name == "name":
            return base
        if name == "stem":
            return posixpath.splitext(base)[0]
        if name == "suffix":
            return posixpath.splitext(base)[1]
        if name == "parents":
            parents, here = [], path.text
            while posixpath.dirname(here) not in {here, ""}:
                here = posixpath.dirname(here)
                parents.append(PathValue(here))
            return parents
        raise Unreadable(t("{text} is not known", text=f"Path.{name}"))

    def _v_call(self, node: ast.Call) -> object:
        return called(self, node)

    def _v_await(self, node: ast.Await) -> object:
        return self.value(node.value)

    # --- functions of the script

    def enter(
        self, function: Function, arguments: Sequence[object], named: dict[str, object]
    ) -> object:
        """What a function of the script gives for these arguments."""
        if self.depth >= _DEEPEST:
            raise Unreadable(t("functions call each other too deeply"))
        node = function.node
        scope = self._arguments(node.args, arguments, named)
        if isinstance(node, ast.Lambda):
            self.scopes.append(scope)
            try:
                return self.value(node.body)
            finally:
                self.scopes.pop()
        self.called.add(node.name)
        self.scopes.append(scope)
        self.depth += 1
        try:
            self.block(node.body)
        except _Return as result:
            return result.value
        finally:
            self.depth -= 1
            self.scopes.pop()
        return None

    def _arguments(
        self, expected: ast.arguments, given: Sequence[object], named: dict[str, object]
    ) -> dict[str, object]:
        names = [item.arg for item in (*expected.posonlyargs, *expected.args)]
        scope: dict[str, object] = {}
        defaults = dict(zip(reversed(names), reversed(expected.defaults), strict=False))
        for item, default in zip(expected.kwonlyargs, expected.kw_defaults, strict=True):
            if default is not None:
                defaults[item.arg] = default
        for name, node in defaults.items():
            try:
                scope[name] = self.value(node)
            except Unreadable as why:
                scope[name] = why
        scope |= dict(zip(names, given, strict=False)) | named
        if expected.vararg:
            scope[expected.vararg.arg] = list(given[len(names) :])
        if expected.kwarg:
            scope[expected.kwarg.arg] = {k: v for k, v in named.items() if k not in names}
        for name in names:
            scope.setdefault(name, _unknown(name))
        return scope


def _unknown(name: str) -> Unreadable:
    return Unreadable(t("only a run can tell what {name} is", name=name))


def _loaded(node: ast.expr) -> ast.expr:
    copied: ast.expr = ast.parse(ast.unparse(node), mode="eval").body
    return ast.copy_location(copied, node)


def _calculated(operator: ast.operator, left: int, right: int) -> int:
    if isinstance(operator, ast.Add):
        return left + right
    if isinstance(operator, ast.Sub):
        return left - right
    if isinstance(operator, ast.Mult) and abs(left * right) < 10**12:
        return left * right
    if isinstance(operator, ast.FloorDiv) and right:
        return left // right
    raise Unreadable(t("this calculation is not read"))


def _joined(left: str, right: str) -> str:
    return posixpath.join(left, right) if not right.startswith((ROOT, HOME, BASE)) else right


def _only_tells(handler: ast.ExceptHandler) -> bool:
    """Whether an `except` only prints, or raises again."""
    text = ast.unparse(handler)
    return not re.search(
        r"urlretrieve|wget|gdown|curl|snapshot_download|hf_hub_download|requests\.get", text
    )
