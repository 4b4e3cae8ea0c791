"""Conditions of a shell script: `[ … ]`, `[[ … ]]`, `test`, and what decides nothing."""

from __future__ import annotations

import fnmatch
import re
from typing import TYPE_CHECKING

from fetcher.importers.document_paths import Unreadable, located, not_told, split_base
from fetcher.importers.shell_words import ShellReader, split_words

if TYPE_CHECKING:
    from tree_sitter import Node


_NUMBERS = {"-eq": "==", "-ne": "!=", "-lt": "<", "-le": "<=", "-gt": ">", "-ge": ">="}


class _Chosen(str):
    """A value that a person may set otherwise."""


class Tests:
    """Decides conditions as they are in a fresh clone; None where only a person or a run knows."""

    def __init__(self, reader: ShellReader) -> None:
        self.reader = reader
        # Whether what was decided last depends on what a person may choose.
        self.chosen = False

    def is_test(self, node: Node) -> bool:
        """Whether a statement is a condition, and not a command with an effect of its own."""
        if node.type in {"negated_command", "list", "redirected_statement"}:
            return any(self.is_test(child) for child in node.named_children)
        if node.type == "test_command":
            return True
        return node.type == "command" and "".join(self.reader.raw(node).split()[:1]) in {
            "test",
            "read",
            "grep",
            "ask",
            "confirm",
        }

    def matches(self, word: str, pattern: str) -> bool:
        """Whether a pattern of `case` takes the word."""
        return fnmatch.fnmatchcase(word, self.reader.expander.text(pattern))

    def node(self, node: Node) -> bool | None:
        """`[ … ]` or `[[ … ]]`."""
        text = self.reader.raw(node)
        inner = re.sub(r"^\[\[?|\]\]?$", "", text.strip()).strip()
        if text.startswith("(("):
            return self._numbers(text)
        try:
            return self._raw(split_words(inner))
        except Unreadable:
            return None

    def words(self, words: list[str]) -> bool | None:
        """The words of `test`, already expanded."""
        return self._either(words)

    def _raw(self, words: list[str]) -> bool | None:
        expanded = []
        about_files = any(re.fullmatch("-[defsrLh]", word) for word in words)
        for word in words:
            if word in {"&&", "||", "!", "(", ")", "=~"}:
                expanded.append(word)
                continue
            if set(re.findall(r"\$\{?(\w+)", word)) & self.reader.variables.unknown:
                expanded.append("\0")
                continue
            try:
                value = self.reader.expander.text(word)
                chosen = self.reader.expander.is_chosen(word)
                if value and split_base(value) == (not_told(value), "") and not about_files:
                    # Nobody has set it.
                    value, chosen = "", True
                expanded.append(_Chosen(value) if chosen else value)
            except Unreadable:
                expanded.append("\0")  # not known
        return self._either(expanded)

    def _either(self, words: list[str]) -> bool | None:
        for operator in ("||", "-o", "&&", "-a"):
            if operator in words[1:]:
                index = words.index(operator, 1)
                left, right = self._either(words[:index]), self._either(words[index + 1 :])
                if operator in {"||", "-o"}:
                    return (
                        True if True in {left, right} else None if None in {left, right} else False
                    )
                return False if False in {left, right} else None if None in {left, right} else True
        if words[:1] == ["!"]:
            found = self._either(words[1:])
            return None if found is None else not found
        if any("\0" in word for word in words):
            return None
        if any(not_told(word) for word in words):
            return self._below_base(words)
        if len(words) != 2 or words[0] in {"-z", "-n"}:
            self.chosen = self.chosen or any(isinstance(word, _Chosen) for word in words)
        if len(words) == 1:
            return bool(words[0])
        if len(words) == 2:
            return self._one(words[0], words[1])
        if len(words) == 3:
            return self._two(*words)
        return None

    def _below_base(self, words: list[str]) -> bool | None:
        """A test of a path in a folder that a person names: nothing stands there but our own."""
        if len(words) == 2 and words[0] in {"-d", "-f", "-e", "-s", "-r", "-L", "-h"}:
            return self._one(*words)
        return True if words[:1] == ["-n"] else False if words[:1] == ["-z"] else None

    def _one(self, operator: str, word: str) -> bool | None:
        if operator == "-z":
            return not word
        if operator == "-n":
            return bool(word)
        if operator in {"-f", "-e", "-s", "-r", "-L", "-h"}:
            try:
                return located(self.reader.variables.cwd, word) in self.reader.tree.files
            except Unreadable:
                return False
        if operator == "-d":
            try:
                return self.reader.tree.is_folder(located(self.reader.variables.cwd, word))
            except Unreadable:
                return False
        return None

    def _two(self, left: str, operator: str, right: str) -> bool | None:
        if operator in {"=", "=="}:
            return fnmatch.fnmatchcase(left, right)
        if operator == "!=":
            return not fnmatch.fnmatchcase(left, right)
        if operator in _NUMBERS:
            try:
                one, two = int(left), int(right)
            except ValueError:
                return None
            return {
                "==": one == two,
                "!=": one != two,
                "<": one < two,
                "<=": one <= two,
                ">": one > two,
                ">=": one >= two,
            }[_NUMBERS[operator]]
        return None

    def _numbers(self, text: str) -> bool | None:
        found = re.fullmatch(r"\(\(\s*(\S+)\s*(==|!=|<=?|>=?)\s*(\S+)\s*\)\)", text)
        if not found:
            return None
        names = {value: key for key, value in _NUMBERS.items()}
        try:
            numbers = [self.reader.expander.arithmetic(found[index]) for index in (1, 3)]
        except Unreadable:
            return None
        return self._two(numbers[0], names[found[2]], numbers[1])
