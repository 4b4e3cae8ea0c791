"""Download scripts in shell, read statement by statement. Nothing is run.

Conditions that the script alone decides are decided; under one that a person or the machine
decides, what is fetched is optional, and the condition is a remark. Statements that cannot be
read are remarks with their line.
"""

from __future__ import annotations

import copy
import posixpath
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from fetcher.i18n import t
from fetcher.importers import programs
from fetcher.importers.document_paths import (
    NOWHERE,
    ROOT,
    Unreadable,
    based,
    located,
    not_told,
    visible,
)
from fetcher.importers.programs import Call, Outcome
from fetcher.importers.shell_output import output_of
from fetcher.importers.shell_tests import Tests
from fetcher.importers.shell_words import Expander, Value, Variables, split_words
from fetcher.importers.target_tree import FileOrigin, HubFile, TargetTree

if TYPE_CHECKING:
    from tree_sitter import Node

_MOST_STEPS = 100_000
_DEEPEST = 40
# Programs whose output nobody needs to know.
_FETCHING = re.compile(
    r"\b(wget|curl|aria2c|axel|gdown|hf|huggingface-cli|git|unzip|tar|7z|mv|cp|ln|aws|gsutil|kaggle)\b"
)


class _Stop(Exception):
    """The script, function or loop ends here."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


def read(
    text: str,
    tree: TargetTree,
    script: str = "",
    first_line: int = 1,
    cwd: str = "",
    optional: bool = False,
) -> None:
    """Read a script into the tree; `script` is its path from the root, "" if it lies elsewhere."""
    reader = Reader(tree, Variables(script=script, cwd=cwd), first_line)
    reader.optional = optional
    reader.script(text)


def _parsed(text: str) -> tuple[Node, bytes]:
    import tree_sitter_bash
    from tree_sitter import Language, Parser

    data = text.encode("utf-8", "surrogatepass")
    return Parser(Language(tree_sitter_bash.language())).parse(data).root_node, data


class Reader:
    """Reads one script."""

    def __init__(self, tree: TargetTree, variables: Variables, first_line: int = 1) -> None:
        self.tree = tree
        self.variables = variables
        self.first_line = first_line
        self.called_on = 0  # the document's line that calls this script, if it is another one
        self.functions: dict[str, tuple[Node, bytes]] = {}
        self.data = b""
        self.expander = Expander(variables, self.substitute)
        self.tests = Tests(self)
        self.optional = False
        self.depth = 0
        self.steps = 0
        self.stdin: Outcome = None
        self.to: str | None = None
        self.lines: list[str] | None = None  # what `read` has still to read
        self.exported: dict[str, str] = {}

    # --- the whole

    def script(self, text: str) -> None:
        """Read a whole script."""
        root, data = _parsed(text.replace("\r\n", "\n"))
        before, self.data = self.data, data
        try:
            self._whole(root)
        except _Stop:
            pass
        except RecursionError:
            self.tree.remark(self.first_line, t("it is nested too deeply to be read"))
        finally:
            self.data = before

    def _whole(self, root: Node) -> None:
        """All statements; where the script ends among them, those after it are a remark."""
        children = [child for child in root.children if child.is_named and child.type != "comment"]
        for index, child in enumerate(children):
            try:
                self.statement(child)
            except _Stop as stop:
                rest = children[index + 1 :]
                if stop.what == "chosen":  # only where nothing was given to it
                    self.optional = True
                    continue
                left = next((node for node in rest if _FETCHING.search(self.raw(node))), None)
                if left is not None:
                    why = t(
                        "the script ends in line {line}: see whether this is needed",
                        line=self.line(child),
                    )
                    self.tree.remark(self.line(left), why, self.raw(left))
                return

    def raw(self, node: Node) -> str:
        """The script's text of a node."""
        return self.data[node.start_byte : node.end_byte].decode("utf-8", "replace")

    def line(self, node: Node) -> int:
        """The line of the document that a node begins on."""
        return self.called_on or int(node.start_point[0]) + self.first_line

    def body(self, node: Node) -> bool | None:
        """The statements of a block; the status of the last, None where it is not known."""
        status: bool | None = True
        for child in node.children:
            if (
                child.type in {"do", "done", "{", "}", "(", ")", "then", "fi"}
                and not child.is_named
            ):
                continue
            if child.is_named and child.type != "comment":
                status = self.statement(child)
            elif child.is_missing:
                self.tree.remark(self.line(child), t("this is no shell"), self.raw(node)[:80])
        return status

    def statement(self, node: Node) -> bool | None:
        """One statement; whether it succeeds, None where that is not known."""
        self.steps += 1
        if self.steps > _MOST_STEPS:
            self.tree.remark(self.line(node), t("the script does too much to be read on"))
            raise _Stop("script")
        method = getattr(self, f"_{node.type}", None)
        try:
            if method is None:
                raise Unreadable(t("this statement is not read"))
            result: bool | None = method(node)
            return result
        except Unreadable as why:
            self.complain(node, why)
            return None

    def complain(self, node: Node, why: Unreadable) -> None:
        """A remark on a statement that could not be read, with the values that are known."""
        text = self.raw(node)
        if self.expanded is not None and self.expanded[0] == node:
            text = " ".join(map(visible, self.expanded[1]))
        if re.match(r"\s*(cd|pushd)\s", text):
            self.variables.cwd = based(NOWHERE)
        if self.called_on:
            text = f"{self.variables.script}:{node.start_point[0] + 1}: {text}"
        self.tree.remark(self.line(node), why.args[0], text)
        self._forget(node)

    def _forget(self, node: Node) -> None:
        """Variables that a statement would have set are not known after it."""
        for name in _assigned(node, self.raw):
            self.variables.values.pop(name, None)
            self.variables.unknown.add(name)

    # --- simple statements

    def _ERROR(self, node: Node) -> bool | None:  # noqa: N802 - tree-sitter's name
        raise Unreadable(t("this is no shell that can be read"))

    def _variable_assignments(self, node: Node) -> bool | None:
        for child in node.named_children:
            self.statement(child)
        return True

    def _variable_assignment(self, node: Node) -> bool | None:
        name, value, added = self.assignment(node)
        self.assign(name, value, added)
        self._mark(name, node)
        return True

    def _mark(self, name: str, node: Node) -> None:
        """Remember a variable whose value a person may choose."""
        value = node.child_by_field_name("value")
        marked = value is not None and self.expander.is_chosen(self.raw(value))
        (self.variables.chosen.add if marked else self.variables.chosen.discard)(name)

    def assignment(self, node: Node) -> tuple[str, object, bool]:
        """(name with its index, value, whether it is added)."""
        target = node.child_by_field_name("name")
        value = node.child_by_field_name("value")
        assert target is not None
        name = self.raw(target)
        added = any(child.type == "+=" for child in node.children)
        if value is None:
            return name, "", added
        text = self.raw(value)
        if value.type == "array":
            return name, self._array(text[1:-1]), added
        return name, self.expander.text(text), added

    def _array(self, text: str) -> object:
        words = split_words(text)
        pairs = [
            re.match(r"\[((?:[^\[\]]|\[[^\]]*\])+)\]=(.*)\Z", word, re.DOTALL) for word in words
        ]
        if words and all(pairs):
            return {self.expander.text(p[1]): self.expander.text(p[2]) for p in pairs if p}
        return [item for word in words for item in self.expander.words(word)]

    def assign(self, name: str, value: object, added: bool = False) -> None:
        """Set a variable, or one item of a list."""
        values = self.variables.values
        bare, bracket, index = name.partition("[")
        self.variables.unknown.discard(bare)
        there = values.get(bare)
        if bracket:
            key = self.expander.text(index.rstrip("]"))
            if isinstance(there, list) and key.isdigit():
                there += [""] * (int(key) + 1 - len(there) if int(key) < 10_000 else 0)
                there[int(key)] = str(value)
            else:
                whole = dict(there) if isinstance(there, dict) else {}
                whole[key] = str(value)
                values[bare] = whole
        elif added and isinstance(there, list):
            values[bare] = [*there, *(value if isinstance(value, list) else [str(value)])]
        elif added and isinstance(there, dict) and isinstance(value, dict):
            values[bare] = {**there, **value}
        elif added and isinstance(value, list):
            values[bare] = [*([there] if isinstance(there, str) else []), *value]
        elif added:
            values[bare] = (there if isinstance(there, str) else "") + str(value)
        elif isinstance(value, dict | list):
            values[bare] = value
        else:
            values[bare] = str(value)

    def _declaration_command(self, node: Node) -> bool | None:
        for child in node.named_children:
            if child.type == "variable_assignment":
                name, value, added = self.assignment(child)
                self.assign(name, value, added)
                self._mark(name, child)
                if self.raw(node).startswith("export") and isinstance(value, str):
                    self.exported[name] = value
            elif child.type == "variable_name" and self.raw(node).startswith("local"):
                self.variables.values[self.raw(child)] = ""
        return True

    def _unset_command(self, node: Node) -> bool | None:
        for child in node.named_children:
            self.variables.values.pop(self.raw(child), None)
        return True

    def _command(self, node: Node) -> bool | None:
        words: list[str] = []
        own: dict[str, str] = {}
        saved = self.stdin
        assigned: list[tuple[str, object]] = []
        raw_words: list[str] = []
        end = -1
        try:
            for child in node.children:
                if child.type == "variable_assignment" and not words:
                    name, value, _ = self.assignment(child)
                    assigned.append((name, value))
                    own[name] = str(value)
                elif child.type == "herestring_redirect":
                    self.stdin = (
                        "".join(self.expander.text(self.raw(part)) for part in child.children[1:])
                        + "\n"
                    )
                elif child.type in {"file_redirect", "heredoc_redirect"}:
                    raise Unreadable(t("this statement is not read"))
                elif raw_words and child.start_byte == end:  # one word, which the parser cut
                    raw_words[-1] += self.raw(child)
                elif child.is_named or self.raw(child) == "$":
                    raw_words.append(self.raw(child))
                end = child.end_byte
            words = self._words(raw_words)
            self.expanded = (node, words)
            return self.call(node, words, own)
        finally:
            self.stdin = saved

    def _words(self, raw: Sequence[str]) -> list[str]:
        # What only prints need not be known to the letter.
        first = raw[0] if raw else ""
        found: list[str] = []
        for text in raw:
            self.expander.lenient = first in {"wget", "curl", "aria2c"}
            try:
                found += self.expander.words(text)
            except Unreadable:
                if first not in programs.HARMLESS and first not in {"echo", "printf", "exit"}:
                    raise
                if self.to is not None:
                    raise
                found.append("?")
            finally:
                self.expander.lenient = False
        return found

    def call(self, node: Node, words: list[str], own: dict[str, str]) -> bool | None:
        """One call of a program, function or builtin."""
        if not words:
            for name, value in own.items():
                self.assign(name, value)
            return True
        name = words[0]
        if name in self.functions:
            return self.function(name, words[1:])
        builtin = getattr(self, f"do_{'source' if name == '.' else name}", None)
        if builtin is not None:
            found: bool | None = builtin(node, words[1:], own)
            return found
        call = self._as_call(node, words, own)
        if (
            posixpath.basename(name) in {"bash", "sh", "eval"}
            and words[1:2] == ["-c"]
            and len(words) > 2
        ):
            self._nested(words[2], self.line(node))
            return None
        if posixpath.basename(name).startswith("python") and self._python(node, words):
            return True
        if self._other_script(node, words, own):
            return None
        outcome = programs.run(call, self.tree)
        self._written(outcome)
        if outcome is not None and self.to is None:
            outcome = None
        self.output = outcome
        return True

    output: Outcome = None
    expanded: tuple[Node, list[str]] | None = None  # the last command, and its words

    def _as_call(self, node: Node, words: list[str], own: dict[str, str]) -> Call:
        return Call(
            words,
            self.line(node),
            self.raw(node),
            self.variables.cwd,
            stdin=self.stdin,
            to=self.to,
            optional=self.optional,
            environment={**self.exported, **own},
        )

    def _written(self, outcome: Outcome) -> None:
        """What a command printed goes where its output goes."""
        if self.to is None or self.to in {"|", "/dev/null"}:
            return
        path = located(self.variables.cwd, self.to)
        if isinstance(outcome, str):
            self.tree.texts[path] = (
                self.tree.texts.get(path, "") if self.appends else ""
            ) + outcome
        elif isinstance(outcome, FileOrigin | HubFile):
            self.tree.put(path, outcome)

    appends = False

    def _nested(self, text: str, line: int) -> None:
        inner = Reader(self.tree, self.variables, line)
        inner.functions, inner.optional, inner.depth = self.functions, self.optional, self.depth + 1
        inner.data = self.data
        if inner.depth > _DEEPEST:
            raise Unreadable(t("it is nested too deeply to be read"))
        inner.script(text)

    def _other_script(self, node: Node, words: list[str], own: dict[str, str]) -> bool:
        """Another script of the project, run with arguments of its own; True if it was read."""
        if posixpath.basename(words[0]) in {"bash", "sh", "zsh"}:
            words = words[1:]
            while words and words[0].startswith("-"):
                words = words[1:]
        if not words or not re.search(r"\.(sh|bash|zsh)\Z", words[0]):
            return False
        path = located(self.variables.cwd, words[0])
        if path in self.tree.files:
            programs.install(self._as_call(node, words, own), self.tree, words[0])
        text = self._sibling(path)
        if text is None:
            return False
        values: dict[str, Value] = {**self.exported, **own}
        inner = Variables(values, words[1:], path, self.variables.cwd)
        self._read_other(node, inner, text)
        return True

    def _sibling(self, path: str) -> str | None:
        if not_told(path) or path in self.running or self.depth > _DEEPEST:
            return None
        return self.tree.languages.sibling(path) or None

    def _read_other(self, node: Node, variables: Variables, text: str) -> None:
        inner = Reader(self.tree, variables)
        inner.called_on, inner.optional = self.line(node), self.optional
        inner.depth, inner.running = self.depth + 1, self.running | {variables.script}
        inner.script(text)

    running: frozenset[str] = frozenset()

    def _python(self, node: Node, words: list[str]) -> bool:
        """`python -c "…"` and `python - <<EOF`; True if it was one of them."""
        rest = [word for word in words[1:] if word not in {"-u", "-"}]
        if rest[:1] == ["-c"] and len(rest) > 1:
            text, line = rest[1], self.line(node)
        elif not rest and isinstance(self.stdin, str):
            text, line = self.stdin, self.stdin_line
        else:
            return False
        self.tree.languages.python(text, self.tree, "", line, self.variables.cwd, self.optional)
        return True

    stdin_line = 1

    # --- builtins

    def do_cd(self, node: Node, words: list[str], own: dict[str, str]) -> bool | None:
        """cd, and pushd."""
        target = next((word for word in words if not word.startswith("-") or word == "-"), "~")
        if target == "-":
            self.variables.cwd, self.previous = self.previous, self.variables.cwd
            return True
        try:
            found = located(self.variables.cwd, target)
        except Unreadable:
            self.variables.cwd = based(NOWHERE)
            raise
        if found == based("..") and "/" in self.variables.script and not self.tree.files:
            found = ""  # it is run in its own folder
        self.previous, self.variables.cwd = self.variables.cwd, found
        return True

    previous = ""

    def do_pushd(self, node: Node, words: list[str], own: dict[str, str]) -> bool | None:
        """pushd: a folder to come back from."""
        self.stack.append(self.variables.cwd)
        return self.do_cd(node, words, own)

    def do_popd(self, node: Node, words: list[str], own: dict[str, str]) -> bool | None:
        """popd."""
        if self.stack:
            self.variables.cwd = self.stack.pop()
        return True

    @property
    def stack(self) -> list[str]:
        """Folders that popd goes back to."""
        if not hasattr(self, "_stack"):
            self._stack: list[str] = []
        return self._stack

    def do_exit(self, node: Node, words: list[str], own: dict[str, str]) -> bool | None:
        """exit: under a condition that is not known, the rest may still be meant."""
        if not self.optional:
            raise _Stop("script")
        return False

    def do_return(self, node: Node, words: list[str], own: dict[str, str]) -> bool | None:
        """return."""
        if not self.optional:
            raise _Stop("function")
        return words[:1] in ([], ["0"])

    def do_break(self, node: Node, words: list[str], own: dict[str, str]) -> bool | None:
        """break."""
        if not self.optional:
            raise _Stop("loop")
        return True

    def do_continue(self, node: Node, words: list[str], own: dict[str, str]) -> bool | None:
        """continue."""
        if not self.optional:
            raise _Stop("round")
        return True

    def do_true(self, node: Node, words: list[str], own: dict[str, str]) -> bool | None:
        """true."""
        return True

    def do_false(self, node: Node, words: list[str], own: dict[str, str]) -> bool | None:
        """false."""
        return False

    def do_shift(self, node: Node, words: list[str], own: dict[str, str]) -> bool | None:
        """shift."""
        if self.variables.arguments:
            count = int(words[0]) if words and words[0].isdigit() else 1
            self.variables.arguments = self.variables.arguments[count:]
            return True
        return False

    def do_set(self, node: Node, words: list[str], own: dict[str, str]) -> bool | None:
        """`set -- a b`, and options."""
        if words[:1] == ["--"]:
            self.variables.arguments = words[1:]
        return True

    def do_eval(self, node: Node, words: list[str], own: dict[str, str]) -> bool | None:
        """eval."""
        self._nested(" ".join(words), self.line(node))
        return None

    def do_source(self, node: Node, words: list[str], own: dict[str, str]) -> bool | None:
        """Another script: it is not read."""
        if words and re.search(r"(activate|conda\.sh|bashrc|\.profile|/etc/profile\S*)$", words[0]):
            return True
        path = located(self.variables.cwd, words[0]) if words else ""
        text = self._sibling(path)
        if text is None:
            raise Unreadable(t("another script is read here: import that one as well"))
        script, self.variables.script = self.variables.script, path
        try:
            self._read_other(node, self.variables, text)
        finally:
            self.variables.script = script
        return None

    def do_command(self, node: Node, words: list[str], own: dict[str, str]) -> bool | None:
        """`command -v PROGRAM`: people have what a script needs."""
        return True if words[:1] in (["-v"], ["-V"]) else self.call(node, words, own)

    do_which = do_type = do_hash = do_true

    def do_test(self, node: Node, words: list[str], own: dict[str, str]) -> bool | None:
        """test."""
        return self.tests.words(words)

    def do_let(self, node: Node, words: list[str], own: dict[str, str]) -> bool | None:
        """let."""
        self._forget(node)
        return True

    def do_mapfile(self, node: Node, words: list[str], own: dict[str, str]) -> bool | None:
        """Lines into a list."""
        names = [word for word in words if not word.startswith("-")]
        if not names or not isinstance(self.stdin, str):
            raise Unreadable(t("what it reads is not known"))
        self.assign(names[0], self.stdin.splitlines())
        return True

    do_readarray = do_mapfile

    def do_read(self, node: Node, words: list[str], own: dict[str, str]) -> bool | None:
        """read: from a text that the script has, else from the person."""
        names, into_list, items = [], False, list(words)
        while items:
            word = items.pop(0)
            if re.fullmatch(r"-[a-z]*[pdntu]", word):
                items = items[1:]
            elif word.startswith("-"):
                into_list = into_list or "a" in word
            else:
                names.append(word)
        text: str | None = None
        if self.lines is not None:
            if not self.lines:
                return False
            text = self.lines.pop(0)
        elif isinstance(self.stdin, str):
            text = self.stdin.split("\n")[0]
        if text is None:
            for name in names or ["REPLY"]:
                self.assign(name, based(f"${name}"))
            return None
        self._split_into(names or ["REPLY"], text, own.get("IFS"), into_list)
        return True

    def _split_into(
        self, names: list[str], text: str, separators: str | None, into_list: bool
    ) -> None:
        blank = separators is None
        pattern = (
            r"[ \t]+" if blank else f"[{re.escape(separators or '')}]" if separators else r"(?!)"
        )
        text = text.strip(" \t") if blank or separators in {" ", "\t"} else text
        if into_list:
            self.assign(names[0], re.split(pattern, text) if text else [])
            return
        parts = re.split(pattern, text, maxsplit=len(names) - 1)
        for index, name in enumerate(names):
            self.assign(name, parts[index] if index < len(parts) else "")

    # --- lists, pipes, redirections

    def _list(self, node: Node) -> bool | None:
        left, operator, right = node.children[0], node.children[1].type, node.children[-1]
        status = self.statement(left)
        # A download is taken to succeed; what stands behind `||` then is a second source, or a word
        # of complaint.
        if operator == "||":
            if status is True and _FETCHING.search(self.raw(left)):
                return self._otherwise(left, right)
            return status if status is True else self._under(status, right, left, negated=True)
        if status is False:
            return False
        return self._under(status, right, left)

    def _under(
        self, status: bool | None, node: Node, condition: Node, negated: bool = False
    ) -> bool | None:
        if status is not None or not self.tests.is_test(condition):
            return self.statement(node)
        with self.undecided(condition, negated):
            return self.statement(node)

    @contextmanager
    def undecided(self, condition: Node, negated: bool, text: str = "") -> Iterator[None]:
        """What is read meanwhile is optional; a remark says on what it depends."""
        before, cwd = self.optional, self.variables.cwd
        known = self.tree.count()
        self.optional = True
        try:
            yield
        finally:
            self.optional, self.variables.cwd = before, cwd
            if self.tree.count() > known:
                text = text or self.raw(condition)
                why = (
                    t("optional: fetched only unless {text}", text=text)
                    if negated
                    else t("optional: fetched only if {text}", text=text)
                )
                self.tree.remark(self.line(condition), why)

    def _otherwise(self, left: Node, right: Node) -> bool | None:
        """What runs if a download fails: the same file from elsewhere is a mirror."""
        if not _FETCHING.search(self.raw(right)):
            return True
        before = self.tree
        self.tree = TargetTree(
            folders=set(before.folders), texts=dict(before.texts), languages=before.languages
        )
        try:
            self.statement(right)
            found = self.tree
        finally:
            self.tree = before
        for remark in found.remarks:
            before.remark(remark.line, remark.reason, remark.text)
        for path, origin in found.files.items():
            there = before.files.get(path)
            if isinstance(there, FileOrigin) and isinstance(origin, FileOrigin):
                if origin.address != there.address and origin.address not in there.mirrors:
                    before.files[path] = replace(there, mirrors=(*there.mirrors, origin.address))
            else:
                raise Unreadable(
                    t("it is fetched to {path} only if another download fails", path=path)
                )
        return True

    def _negated_command(self, node: Node) -> bool | None:
        status = self.statement(node.named_children[0])
        return None if status is None else not status

    def _pipeline(self, node: Node) -> bool | None:
        commands = [child for child in node.children if child.is_named]
        saved_in, saved_to, saved_lines = self.stdin, self.to, self.lines
        status: bool | None = True
        try:
            for index, child in enumerate(commands):
                self.to = "|" if index < len(commands) - 1 else saved_to
                self._forget_output()
                if index and child.type in {"while_statement", "compound_statement", "subshell"}:
                    if not isinstance(self.stdin, str):
                        raise Unreadable(t("what it reads is not known"))
                    self.lines = self.stdin.splitlines()
                status = self.statement(child)
                if index < len(commands) - 1:
                    self.stdin = self.output
                    if isinstance(self.output, FileOrigin | HubFile) and not self._takes(
                        commands[index + 1]
                    ):
                        raise Unreadable(t("what it brings goes into another program"))
        finally:
            self.stdin, self.to, self.lines = saved_in, saved_to, saved_lines
        return status

    def _forget_output(self) -> None:
        self.output = None

    def _takes(self, node: Node) -> bool:
        """Whether a program at the end of a pipe does something with an archive that we know."""
        return (
            re.match(
                r"\s*(sudo\s+)?(tar|bsdtar|tee|gunzip|gzip|zcat|unxz|xz|bzip2|bunzip2|unzstd)\b",
                self.raw(node),
            )
            is not None
        )

    def _redirected_statement(self, node: Node) -> bool | None:
        body = node.child_by_field_name("body")
        saved = self.stdin, self.to, self.lines, self.appends, self.stdin_line
        try:
            for child in node.children:
                if child.type == "file_redirect":
                    self._redirect(child)
                elif child.type == "heredoc_redirect":
                    self.stdin = self._heredoc(child)
                    self.to = self._heredoc_target(child)
                elif child.type == "herestring_redirect":
                    self.stdin = (
                        "".join(self.expander.text(self.raw(p)) for p in child.children[1:]) + "\n"
                    )
            if body is None:
                return True
            if body.type in {"while_statement", "compound_statement", "subshell"} and isinstance(
                self.stdin, str
            ):
                self.lines = self.stdin.splitlines()
            status = self.statement(body)
            piped = _piped(node)
            if piped is not None:  # cat <<EOF | program
                return self._into_pipe(piped)
            return status
        finally:
            self.stdin, self.to, self.lines, self.appends, self.stdin_line = saved

    def _into_pipe(self, node: Node) -> bool | None:
        commands = [c for c in node.children if c.is_named]
        self.stdin = self.output if self.output is not None else self.stdin
        self.to = None
        status: bool | None = True
        for child in commands:
            if child.type == "while_statement" and isinstance(self.stdin, str):
                self.lines = self.stdin.splitlines()
            status = self.statement(child)
            self.stdin = self.output
        return status

    def _redirect(self, node: Node) -> None:
        kinds = [child.type for child in node.children if not child.is_named]
        descriptor = next((self.raw(c) for c in node.children if c.type == "file_descriptor"), "")
        destination = node.child_by_field_name("destination")
        if destination is None or any(kind in {">&", "<&", "&>", "&>>"} for kind in kinds):
            return
        if descriptor not in {"", "1"} and ">" in "".join(kinds):
            return
        name = self.expander.text(self.raw(destination))
        if "<" in kinds:
            if name.startswith("/dev/"):
                return
            text = self.tree.texts.get(located(self.variables.cwd, name))
            if text is None:
                raise Unreadable(t("what it reads stands in {name}", name=name))
            self.stdin = text
        elif ">" in kinds or ">>" in kinds or ">|" in kinds:
            self.to = None if name == "/dev/null" else name
            self.appends = ">>" in kinds

    def _heredoc(self, node: Node) -> str:
        body = next((child for child in node.children if child.type == "heredoc_body"), None)
        start = next((child for child in node.children if child.type == "heredoc_start"), None)
        if body is None or start is None:
            return ""
        # The parser leaves the first line's blanks and plain beginning out of the body.
        begin = self.data.rfind(b"\n", 0, body.start_byte) + 1
        text = self.data[begin : body.end_byte].decode("utf-8", "replace")
        self.stdin_line = self.data[:begin].count(b"\n") + self.first_line
        if any(child.type == "<<-" for child in node.children):
            text = re.sub(r"^\t+", "", text, flags=re.MULTILINE)
        if re.search(r"['\"\\]", self.raw(start)):
            return text
        return self.expander.heredoc(text)

    def _heredoc_target(self, node: Node) -> str | None:
        for child in node.children:
            if child.type == "file_redirect":
                self._redirect(child)
            elif child.type in {"pipeline", "|"}:
                return "|"
        return self.to

    # --- compound statements

    def _compound_statement(self, node: Node) -> bool | None:
        return self.body(node)

    _do_group = _compound_statement

    def _subshell(self, node: Node) -> bool | None:
        cwd, values = self.variables.cwd, copy.deepcopy(self.variables.values)
        try:
            return self.body(node)
        except _Stop:
            return None
        finally:
            self.variables.cwd, self.variables.values = cwd, values

    def _test_command(self, node: Node) -> bool | None:
        return self.tests.node(node)

    def _function_definition(self, node: Node) -> bool | None:
        name, body = node.child_by_field_name("name"), node.child_by_field_name("body")
        if name is not None and body is not None:
            self.functions[self.raw(name)] = body, self.data
        return True

    def function(self, name: str, words: list[str]) -> bool | None:
        """A call of a function of the script."""
        if self.depth >= _DEEPEST:
            raise Unreadable(t("functions call each other too deeply"))
        body, data = self.functions[name]
        arguments, kept = self.variables.arguments, self.data
        self.variables.arguments, self.data = words, data
        self.depth += 1
        try:
            return self.statement(body)
        except _Stop as stop:
            if stop.what != "function":
                raise
            return True
        finally:
            self.depth -= 1
            self.variables.arguments, self.data = arguments, kept

    def _if_statement(self, node: Node) -> bool | None:
        clauses, conditions, block = [], [], []
        for child in node.children:
            if child.type in {"elif_clause", "else_clause"}:
                clauses.append(child)
            elif (
                node.field_name_for_child(node.children.index(child)) == "condition"
                and child.is_named
            ):
                conditions.append(child)
            elif child.is_named and child.type != "comment":
                block.append(child)
        return self._branches(conditions, block, clauses)

    def _branches(
        self, conditions: list[Node], block: list[Node], clauses: list[Node]
    ) -> bool | None:
        self.tests.chosen = False
        status: bool | None = True
        for condition in conditions:
            status = self._condition(condition)
        chosen, last = self.tests.chosen, conditions[-1]
        if status is True and self._complains(block):
            return self._clause(clauses)  # whoever runs the script has what it needs
        if status is True:
            try:
                result = self._statements(block)
            except _Stop as stop:
                if chosen and stop.what == "script" and not self.depth:
                    raise _Stop("chosen") from stop
                raise
            if chosen:
                self._perhaps(clauses, last)
            return result
        if status is None or chosen:
            with self.undecided(last, False):
                self._statements(block)
        if status is None:
            self._perhaps(clauses, last)
            return None
        return self._clause(clauses)

    def _complains(self, block: list[Node]) -> bool:
        """Whether a block only says that something is missing, and ends."""
        text = "\n".join(map(self.raw, block))
        for name, (body, data) in self.functions.items():
            if re.search(rf"^[ \t]*{re.escape(name)}\b", text, re.MULTILINE):
                text += "\n" + data[body.start_byte : body.end_byte].decode("utf-8", "replace")
        return bool(re.search(r"\b(exit|return)\b", text)) and not _FETCHING.search(text)

    def _clause(self, clauses: list[Node]) -> bool | None:
        """The first of the clauses that is meant, where those before it are not."""
        if not clauses:
            return True
        first, rest = clauses[0], clauses[1:]
        if first.type == "else_clause":
            return self._statements(_statements_of(first))
        return self._branches(*_until_then(first), rest)

    def _perhaps(self, clauses: list[Node], condition: Node) -> None:
        """Clauses that run only if a person chooses otherwise."""
        for clause in clauses:
            is_else = clause.type == "else_clause"
            block = _statements_of(clause) if is_else else _until_then(clause)[1]
            with self.undecided(condition if is_else else _until_then(clause)[0][-1], is_else):
                self._statements(block)

    def _condition(self, node: Node) -> bool | None:
        """A condition; a command that could not be read decides nothing."""
        count = len(self.tree.remarks)
        status = self.statement(node)
        if status is None and not _FETCHING.search(self.raw(node)):
            del self.tree.remarks[count:]
        return status

    def _statements(self, nodes: Sequence[Node]) -> bool | None:
        status: bool | None = True
        for node in nodes:
            status = self.statement(node)
        return status

    def _case_statement(self, node: Node) -> bool | None:
        value = node.child_by_field_name("value")
        assert value is not None
        try:
            word: str | None = self.expander.text(self.raw(value))
        except Unreadable:
            word = None
        if word is not None and not_told(word):
            word = None
        chosen = self.expander.is_chosen(self.raw(value))
        taken = False
        for item in (child for child in node.children if child.type == "case_item"):
            patterns, block = self._case_item(item)
            matches = word is not None and any(self.tests.matches(word, p) for p in patterns)
            if matches and not taken:
                taken = True
                self._statements(block)
            elif word is None or chosen:
                text = f"{self.raw(value)} = {' | '.join(patterns)}"
                with self.undecided(item, False, text):
                    self._statements(block)
        return True

    def _case_item(self, item: Node) -> tuple[list[str], list[Node]]:
        patterns, block = [], []
        for index, child in enumerate(item.children):
            field = item.field_name_for_child(index)
            if field == "value":
                patterns.append(self.raw(child))
            elif child.is_named and field is None and child.type != "comment":
                block.append(child)
        return patterns, block

    def _for_statement(self, node: Node) -> bool | None:
        variable, body = node.child_by_field_name("variable"), node.child_by_field_name("body")
        assert variable is not None and body is not None
        words: list[str] = []
        if any(child.type == "in" for child in node.children):
            for child in node.children_by_field_name("value"):
                words += self.expander.words(self.raw(child))
            if any(re.search(r"[*?]", word) for word in words):
                words = self._globbed(words)
        else:
            words = list(self.variables.arguments or [])
        for word in words:
            self.assign(self.raw(variable), word)
            if not self._round(body):
                break
        return True

    def _globbed(self, words: list[str]) -> list[str]:
        """Globs over what the script itself has fetched."""
        import fnmatch

        found: list[str] = []
        for word in words:
            if not re.search(r"[*?]", word):
                found.append(word)
                continue
            path = located(self.variables.cwd, word)
            hits = sorted(
                name
                for name in (*self.tree.files, *self.tree.archives)
                if name.count("/") == path.count("/") and fnmatch.fnmatchcase(name, path)
            )
            if not hits:
                raise Unreadable(t("{word} is nothing that this file fetches", word=word))
            found += [f"{ROOT}/{name}" for name in dict.fromkeys(hits)]
        return found

    def _round(self, body: Node) -> bool:
        """One round of a loop; False if it was the last."""
        try:
            self.statement(body)
        except _Stop as stop:
            if stop.what == "loop":
                return False
            if stop.what != "round":
                raise
        return True

    def _while_statement(self, node: Node) -> bool | None:
        body = node.child_by_field_name("body")
        conditions = [c for c in node.children_by_field_name("condition") if c.is_named]
        assert body is not None
        if self.raw(node).startswith("until"):
            raise Unreadable(t("this loop is not read"))
        reads = "read" in self.raw(conditions[0]).split() if conditions else False
        if reads and self.lines is None:
            raise Unreadable(t("what it reads is not known"))
        for _ in range(_MOST_STEPS):
            status = self._statements(conditions)
            if status is False:
                return True
            if status is None or (not reads and not self._counts(conditions)):
                raise Unreadable(t("this loop is not read"))
            if not self._round(body):
                return True
        return True

    def _counts(self, conditions: list[Node]) -> bool:
        """Whether a condition is one that the loop itself can end (`true` is none)."""
        return all(self.tests.is_test(node) for node in conditions)

    def _c_style_for_statement(self, node: Node) -> bool | None:
        body = node.child_by_field_name("body")
        head = self.raw(node).partition("))")[0]
        found = re.search(
            r"\(\(\s*(\w+)\s*=\s*(\S+?)\s*;\s*\1\s*(<=?)\s*([^;]+?)\s*;\s*(?:\1\+\+|\+\+\1|\1\s*\+=\s*1)\s*\Z",
            head,
        )
        if not found or body is None:
            raise Unreadable(t("this loop is not read"))
        first, last = (int(self.expander.arithmetic(_lengths(self, found[i]))) for i in (2, 4))
        if last - first > _MOST_STEPS:
            raise Unreadable(t("this loop is not read"))
        for number in range(first, last + (found[3] == "<=")):
            self.assign(found[1], str(number))
            if not self._round(body):
                break
        return True

    # --- $(…)

    def substitute(self, text: str) -> str:
        """What a command in `$(…)` prints. Raises Unreadable where only a run can tell."""
        text = text.strip()
        if re.match(r"git\s+rev-parse\s+--show-toplevel", text):
            return ROOT
        if found := re.fullmatch(r"<\s*(\S+)", text):
            name = self.expander.text(found[1])
            kept = self.tree.texts.get(located(self.variables.cwd, name))
            if kept is None:
                raise Unreadable(t("what it reads stands in {name}", name=name))
            return kept.rstrip("\n")
        if self.depth >= _DEEPEST:
            raise Unreadable(t("it is nested too deeply to be read"))
        return output_of(self, text)


def _lengths(reader: Reader, text: str) -> str:
    return reader.expander.text(text)


def _statements_of(node: Node) -> list[Node]:
    return [child for child in node.children if child.is_named and child.type != "comment"]


def _until_then(node: Node) -> tuple[list[Node], list[Node]]:
    """The conditions and the statements of an elif clause."""
    head: list[Node] = []
    tail: list[Node] = []
    part = head
    for child in node.children:
        if child.type == "then":
            part = tail
        elif child.is_named and child.type != "comment":
            part.append(child)
    return head, tail


def _piped(node: Node) -> Node | None:
    """The pipeline that the parser hangs below a here-document, if there is one."""
    for child in node.children:
        if child.type == "heredoc_redirect":
            for inner in child.children:
                if inner.type == "pipeline":
                    return inner
    return None


def _assigned(node: Node, raw: object) -> Iterator[str]:
    pending = [node]
    while pending:
        item = pending.pop()
        if item.type == "variable_assignment":
            name = item.child_by_field_name("name")
            if name is not None:
                yield raw(name).partition("[")[0]  # type: ignore[operator]
        pending += item.named_children
