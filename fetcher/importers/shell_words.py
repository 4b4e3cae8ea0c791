"""Words of a shell script: quotes, variables, braces and the commands in `$(…)`.

They are read from the script's text itself; a value that only a run could tell is Unreadable.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

from fetcher.fs.globs import BadPattern
from fetcher.fs.patterns import expand as expand_braces
from fetcher.i18n import t
from fetcher.importers.document_paths import HOME, ROOT, Unreadable, based, not_told
from fetcher.importers.target_tree import Origin, TargetTree

if TYPE_CHECKING:
    from tree_sitter import Node

Value = str | list[str] | dict[str, str]
_Sliced = TypeVar("_Sliced", str, list[str])
MOST_WORDS = 20_000
LONGEST = 1 << 20
# What a script sees of the machine, as it is where nobody set anything.
_HOME_VARIABLES = {
    "HOME": HOME,
    "XDG_CACHE_HOME": f"{HOME}/.cache",
    "HF_HOME": f"{HOME}/.cache/huggingface",
}
_OPERATORS = (
    ":-",
    ":=",
    ":?",
    ":+",
    "##",
    "%%",
    "//",
    "^^",
    ",,",
    "-",
    "=",
    "?",
    "+",
    "#",
    "%",
    "/",
    "^",
    ",",
    ":",
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", '"': '"', "a": "\a", "0": "\0"}


@dataclass
class Variables:
    """The variables of a script, and the arguments of the function that is being read.

    A value that only a person or a run knows is that of `based`.
    """

    values: dict[str, Value] = field(default_factory=dict)
    arguments: list[str] | None = None
    script: str = ""
    cwd: str = ""
    # Variables that a command sets, or a statement that could not be read.
    unknown: set[str] = field(default_factory=set)
    # Variables that a person may set, and whose value here is what they are else.
    chosen: set[str] = field(default_factory=set)

    def get(self, name: str) -> Value | None:
        """The value, None where nobody has set it."""
        if name in self.unknown:
            return based(f"${name}")
        if name in self.values:
            return self.values[name]
        if name in {"0", "BASH_SOURCE"}:
            return f"{ROOT}/{self.script}"
        if name == "PWD":
            return f"{ROOT}/{self.cwd}" if self.cwd else ROOT
        if name.isdigit():
            if self.arguments is None:
                return None
            index = int(name) - 1
            return self.arguments[index] if index < len(self.arguments) else None
        if name in {"@", "*"}:
            return list(self.arguments or [])
        if name == "#":
            return str(len(self.arguments or []))
        return _HOME_VARIABLES.get(name)


Substitute = Callable[[str], str]


class Expander:
    """Expands the words of one script."""

    # Whether what only a run can print stands for itself, in words of a call that may do without.
    lenient = False

    def __init__(self, variables: Variables, substitute: Substitute) -> None:
        self.variables = variables
        self.substitute = substitute

    def words(self, text: str) -> list[str]:
        """The words that one word of the script becomes: none, one or several."""
        found: list[str] = []
        for part in braces(text):
            found += self._fields(part)
            if len(found) > MOST_WORDS:
                raise Unreadable(t("more than {most:,} words", most=MOST_WORDS))
        return found

    def is_chosen(self, text: str) -> bool:
        """Whether a word's value is one that a person may set otherwise."""
        if self.variables.arguments is None and re.search(r"\$\{?[\d#@*]", text):
            return True
        for name, default in re.findall(r"\$\{?(\w+)(:?[-=])?", text):
            if name in self.variables.chosen or (
                default and name not in self.variables.values and not name.isdigit()
            ):
                return True
        return False

    def text(self, text: str) -> str:
        """A word as one text, as in an assignment."""
        return "".join(value for value, _ in self._pieces(text, joined=True))

    def heredoc(self, text: str) -> str:
        """The text of a here-document whose end is not quoted."""
        return "".join(value for value, _ in self._quoted(text, heredoc=True))

    def _fields(self, text: str) -> list[str]:
        fields: list[str] = []
        current, open_field = "", False
        for value, quoted in self._pieces(text):
            if quoted is None:  # the items of "${list[@]}", a word each
                items = value.split("\0") if value else []
                for index, item in enumerate(items):
                    if index:
                        fields.append(current)
                        current = ""
                    current, open_field = current + item, True
            elif quoted:
                current, open_field = current + value, True
            else:
                parts = re.split(r"[ \t\n]+", value)
                for index, part in enumerate(parts):
                    if index and open_field:
                        fields.append(current)
                        current, open_field = "", False
                    if part:
                        current, open_field = current + part, True
        return [*fields, current] if open_field else fields

    def _pieces(self, text: str, joined: bool = False) -> Iterator[tuple[str, bool | None]]:
        """(text, whether it was quoted; None for a list of words joined by NUL)."""
        position = 0
        if re.match(r"~(/|$)", text):
            yield HOME, True
            position = 1
        while position < len(text):
            char = text[position]
            if char == "\\":
                if text[position + 1 : position + 2] != "\n":
                    yield text[position + 1 : position + 2], True
                position += 2
            elif char == "'":
                end = _end(text, position + 1, "'")
                yield text[position + 1 : end], True
                position = end + 1
            elif text.startswith("$'", position):
                end = _end_escaped(text, position + 2, "'")
                yield _unescaped(text[position + 2 : end]), True
                position = end + 1
            elif char == '"' or text.startswith('$"', position):
                start = position + (1 if char == '"' else 2)
                end = _end_quoted(text, start)
                pieces = list(self._quoted(text[start:end]))
                if not pieces:
                    yield "", True
                for value, quoted in pieces:
                    yield (
                        (value.replace("\0", " "), True)
                        if joined and quoted is None
                        else (value, quoted)
                    )
                position = end + 1
            elif char in "$`":
                found, position, _ = self._dollar(text, position)
                yield (" ".join(found) if isinstance(found, list) else found), False
            else:
                end = position + 1
                while end < len(text) and text[end] not in "\\'\"$`":
                    end += 1
                yield text[position:end], True
                position = end

    def _quoted(self, text: str, heredoc: bool = False) -> Iterator[tuple[str, bool | None]]:
        position = 0
        while position < len(text):
            char = text[position]
            if char == "\\" and text[position + 1 : position + 2] in {
                "$",
                "`",
                "\\",
                "\n",
                *([] if heredoc else ['"']),
            }:
                follows = text[position + 1]
                yield ("" if follows == "\n" else follows), True
                position += 2
            elif char in "$`":
                found, position, spread = self._dollar(text, position)
                if isinstance(found, list):
                    yield ("\0".join(found), None) if spread else (" ".join(found), True)
                else:
                    yield found, True
            else:
                end = position + 1
                while end < len(text) and text[end] not in "\\$`":
                    end += 1
                yield text[position:end], True
                position = end

    def _dollar(self, text: str, position: int) -> tuple[str | list[str], int, bool]:
        """(value, where it ends, whether a list is to be a word for each item)."""
        if text[position] == "`":
            end = _end_escaped(text, position + 1, "`")
            return self._printed(text[position + 1 : end].replace("\\`", "`")), end + 1, False
        if text.startswith("$((", position):
            end = text.find("))", position)
            if end < 0:
                raise Unreadable(t("a '$((' without its end"))
            return self.arithmetic(text[position + 3 : end]), end + 2, False
        if text.startswith("$(", position):
            end = _end_parenthesis(text, position + 2)
            return self._printed(text[position + 2 : end]), end + 1, False
        if text.startswith("${", position):
            end = _end_brace(text, position + 2)
            value, spread = self.parameter(text[position + 2 : end])
            return value, end + 1, spread
        found = re.compile(r"\$([A-Za-z_]\w*|[0-9@*#?$!-])").match(text, position)
        if not found:
            return "$", position + 1, False
        return self._plain(found[1]), found.end(), found[1] == "@"

    def _printed(self, text: str) -> str:
        try:
            return self.substitute(text)
        except Unreadable:
            if not self.lenient:
                raise
            return based("$(…)")

    def _plain(self, name: str) -> str | list[str]:
        value = self.variables.get(name)
        if value is None:
            return self._chosen(name)
        if isinstance(value, dict):
            return value.get("0", "")
        if isinstance(value, list) and name not in {"@", "*"}:
            return value[0] if value else ""
        return value

    def _chosen(self, name: str) -> str:
        """A variable or argument that whoever runs the script sets. Raises Unreadable."""
        given = self.variables.arguments is not None and name.isdigit()
        if given or not re.fullmatch(r"\w+|\$", name):
            raise Unreadable(t("the script does not say what ${name} is", name=name))
        return based(f"${name}")

    def arithmetic(self, text: str) -> str:
        """A sum, product or the like of whole numbers."""
        text = re.sub(r"\$?\{?([A-Za-z_]\w*)\}?", lambda m: self._number(m[1]), text)
        if not re.fullmatch(r"[\d\s()+*%/-]{1,100}", text) or "**" in text:
            raise Unreadable(t("$(({text})) is not read", text=text))
        try:
            return str(_calculated(text))
        except (ValueError, SyntaxError, ZeroDivisionError, RecursionError) as error:
            raise Unreadable(t("$(({text})) is not read", text=text)) from error

    def _number(self, name: str) -> str:
        value = self._plain(name)
        return value if isinstance(value, str) and value.isdigit() else "x"

    def parameter(self, body: str) -> tuple[str | list[str], bool]:
        """What stands in `${…}`; (value, whether a list is a word for each item)."""
        found = re.match(
            r"([!#]?)([A-Za-z_]\w*|[0-9]+|[@*#?])(?:\[((?:[^\[\]]|\[[^\]]*\])*)\])?(.*)\Z",
            body,
            re.DOTALL,
        )
        if not found:
            raise Unreadable(t("${{{body}}} is not read", body=body))
        sign, name, index, rest = found.groups()
        value = self._indexed(name, index)
        spread = index == "@" or name == "@"
        if sign == "!":
            return self._indirect(name, index, value), spread
        if sign == "#":
            whole = value if value is not None else ""
            return str(len(whole)), False
        operator = next((item for item in _OPERATORS if rest.startswith(item)), "")
        if rest and not operator:
            raise Unreadable(t("${{{body}}} is not read", body=body))
        operand = rest[len(operator) :]
        if operator.lstrip(":") in {"-", "=", "?", "+"} and operator != ":":
            return self._default(name, value, operator, operand), spread
        if value is None and not operator:
            return self._chosen(name), False
        if value is None or (isinstance(value, str) and not_told(value) and operator):
            raise Unreadable(t("the script does not say what ${name} is", name=name))
        if isinstance(value, list):
            if operator == ":":
                return _sliced(value, self.text(operand)), spread
            return [self._changed(item, operator, operand) for item in value], spread
        return self._changed(value, operator, operand), spread

    def _indexed(self, name: str, index: str | None) -> str | list[str] | None:
        value = self.variables.get(name)
        if index is None:
            return None if value is None else self._plain(name)
        if isinstance(value, str):
            return value if index in {"0", "@", "*"} else None
        if value is None:
            return None
        if index in {"@", "*"}:
            return list(value.values()) if isinstance(value, dict) else value
        if isinstance(value, dict):
            return value.get(self.text(index))
        number = self.arithmetic(index)
        try:
            return value[int(number)]
        except IndexError:
            return None

    def _indirect(
        self, name: str, index: str | None, value: str | list[str] | None
    ) -> str | list[str]:
        if index in {"@", "*"}:
            whole = self.variables.get(name)
            if isinstance(whole, dict):
                return list(whole)
            return [str(number) for number in range(len(whole or ()))]
        if isinstance(value, str):
            return self._plain(value)
        raise Unreadable(t("the script does not say what ${name} is", name=name))

    def _default(
        self, name: str, value: str | list[str] | None, operator: str, operand: str
    ) -> str | list[str]:
        told = isinstance(value, str) and not_told(value)
        empty = value is None or bool(told) or (operator[0] == ":" and not value)
        kind = operator[-1]
        if kind == "+":
            return "" if empty else self.text(operand)
        if not empty:
            assert value is not None
            return value
        if kind == "?":
            return self._chosen(name)
        made = self.text(operand)
        if kind == "=":
            self.variables.values[name] = made
        return made

    def _changed(self, value: str, operator: str, operand: str) -> str:
        if not operator:
            return value
        if operator in {"#", "##", "%", "%%"}:
            return _trimmed(value, operator, self.text(operand))
        if operator in {"/", "//"}:
            pattern, _, new = _split_slash(operand)
            count = 0 if operator == "//" else 1
            # A pattern's own characters stay as they are: quotes are gone by then.
            regex = _regex(self.text(pattern), greedy=True)
            replacement = self.text(new)
            return re.sub(regex, lambda _: replacement, value, count=count)
        if operator == ":":
            return _sliced(value, self.text(operand))
        first = {"^": str.upper, ",": str.lower}[operator[0]]
        return first(value) if len(operator) == 2 else first(value[:1]) + value[1:]


def _sliced(value: _Sliced, operand: str) -> _Sliced:
    found = re.fullmatch(r"\s*(-?\d+)(?::(-?\d+))?\s*", operand)
    if not found:
        raise Unreadable(t("${{…:{operand}}} is not read", operand=operand))
    start = int(found[1])
    rest = value[start:]
    return rest if found[2] is None else (rest[: int(found[2])])


def _calculated(text: str) -> int:
    import ast

    def value(node: ast.AST) -> int:
        if isinstance(node, ast.Constant) and isinstance(node.value, int):
            return node.value
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -value(node.operand)
        if isinstance(node, ast.BinOp):
            left, right = value(node.left), value(node.right)
            if isinstance(node.op, ast.Add):
                return left + right
            if isinstance(node.op, ast.Sub):
                return left - right
            if isinstance(node.op, ast.Mult):
                return left * right
            if isinstance(node.op, ast.Div):
                return int(left / right)
            if isinstance(node.op, ast.Mod):
                return left % right
        raise ValueError(text)

    return value(ast.parse(text.strip(), mode="eval").body)


def _trimmed(value: str, operator: str, pattern: str) -> str:
    """`${x#p}`, `${x##p}`, `${x%p}`, `${x%%p}`."""
    longest = len(operator) == 2
    positions = range(len(value) + 1)
    if operator[0] == "#":
        for end in reversed(positions) if longest else positions:
            if fnmatch.fnmatchcase(value[:end], pattern):
                return value[end:]
    else:
        for start in positions if longest else reversed(positions):
            if fnmatch.fnmatchcase(value[start:], pattern):
                return value[:start]
    return value


def _regex(pattern: str, greedy: bool) -> str:
    out = ""
    for char in pattern:
        out += {"*": ".*", "?": "."}.get(char, re.escape(char))
    return out or r"(?!)"


def _split_slash(operand: str) -> tuple[str, str, str]:
    position = 0
    while position < len(operand):
        if operand[position] == "\\":
            position += 2
            continue
        if operand[position] == "/":
            return operand[:position], "/", operand[position + 1 :]
        position += 1
    return operand, "", ""


def braces(text: str) -> list[str]:
    """`a{b,c}d` and `{1..3}` outside of quotes, as words."""
    if "{" not in text:
        return [text]
    # What is quoted, or stands in ${…} and $(…), is put aside.
    aside: list[str] = []
    plain, position = "", 0
    while position < len(text):
        end = _skipped(text, position)
        if end > position:
            aside.append(text[position:end])
            plain += chr(0xF0000 + len(aside) - 1)
            position = end
        else:
            plain += text[position]
            position += 1
    if not re.search(r"\{[^{}]*(?:,|\.\.)[^{}]*\}", plain):
        return [text]
    try:
        made = expand_braces(re.sub(r"\.\.0*(\d+)\.\.1\}", r"..\1}", plain))
    except BadPattern as error:
        raise Unreadable(str(error)) from error
    return [
        re.sub("[\U000f0000-\U000fffff]", lambda m: aside[ord(m[0]) - 0xF0000], item)
        for item in made
    ]


def _skipped(text: str, position: int) -> int:
    """The end of what is quoted or begins with `$` here, else `position`."""
    char = text[position]
    if char == "\\":
        return min(position + 2, len(text))
    if char == "'":
        return _end(text, position + 1, "'") + 1
    if char == '"':
        return _end_quoted(text, position + 1) + 1
    if char == "`":
        return _end_escaped(text, position + 1, "`") + 1
    if text.startswith("${", position):
        return _end_brace(text, position + 2) + 1
    if text.startswith("$(", position):
        return _end_parenthesis(text, position + 2) + 1
    return position


def _end(text: str, start: int, char: str) -> int:
    found = text.find(char, start)
    if found < 0:
        raise Unreadable(t("a {char} without its end", char=char))
    return found


def _end_escaped(text: str, start: int, char: str) -> int:
    position = start
    while position < len(text):
        if text[position] == "\\":
            position += 2
            continue
        if text[position] == char:
            return position
        position += 1
    raise Unreadable(t("a {char} without its end", char=char))


def _end_quoted(text: str, start: int) -> int:
    position = start
    while position < len(text):
        if text[position] == '"':
            return position
        if text[position] == "\\":
            position += 2
        elif text[position] == "`" or text.startswith(("${", "$("), position):
            position = _skipped(text, position)
        else:
            position += 1
    raise Unreadable(t("a {char} without its end", char='"'))


def _end_nested(text: str, start: int, opening: str, closing: str) -> int:
    depth, position = 1, start
    while position < len(text):
        char = text[position]
        if char == closing:
            depth -= 1
            if not depth:
                return position
            position += 1
        elif char == opening:
            depth += 1
            position += 1
        else:
            end = _skipped(text, position)
            position = end if end > position else position + 1
    raise Unreadable(t("a {char} without its end", char=opening))


def _end_brace(text: str, start: int) -> int:
    return _end_nested(text, start, "{", "}")


def _end_parenthesis(text: str, start: int) -> int:
    return _end_nested(text, start, "(", ")")


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[0]), text, flags=re.DOTALL)


def split_words(text: str) -> list[str]:
    """The raw words of a list such as that of an array, comments left out."""
    words: list[str] = []
    current, position = "", 0
    while position < len(text):
        char = text[position]
        if char in " \t\r\n":
            if current:
                words.append(current)
            current = ""
            position += 1
        elif char == "#" and not current:
            end = text.find("\n", position)
            position = len(text) if end < 0 else end
        elif char == "\\" and text[position + 1 : position + 2] == "\n":
            position += 2
        else:
            end = max(_skipped(text, position), position + 1)
            current += text[position:end]
            position = end
    return [*words, current] if current else words


class ShellReader(Protocol):
    """What reads a script, as its conditions and `$(…)` see it."""

    tree: TargetTree
    variables: Variables
    expander: Expander
    functions: dict[str, tuple[Node, bytes]]
    to: str | None
    output: Origin | str | None

    def raw(self, node: Node) -> str:
        """The script's text of a node."""

    def function(self, name: str, words: list[str]) -> bool | None:
        """A call of a function of the script."""
