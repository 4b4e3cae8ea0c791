"""What the commands in `$(…)` print, where the script alone decides it."""

from __future__ import annotations

import posixpath
import re

from fetcher.i18n import t
from fetcher.importers.document_paths import ROOT, Unreadable, join, located, not_told, split_base
from fetcher.importers.shell_words import ShellReader, split_words

_ECHOED = "\0function"  # a path that no script has
_LONGEST = 1000  # characters of a command whose output is worked out


def output_of(reader: ShellReader, text: str) -> str:
    """The text that a command prints, without its last line breaks. Raises Unreadable."""
    if len(text) > _LONGEST:
        raise Unreadable(t("$({text}…) is not read", text=text[:40]))
    parts = [part.strip() for part in re.split(r"&&|;(?![^\"']*[\"'][^\"']*$)", text)]
    if any("|" in part for part in parts):
        return _piped(reader, text)
    cwd = reader.variables.cwd
    try:
        found = ""
        for part in parts:
            words = [
                item
                for raw in split_words(re.sub(r"\s*[12&]?>\s*(/dev/null|&1)", "", part))
                for item in reader.expander.words(raw)
            ]
            if words[:1] in (["basename"], ["dirname"]) and any(map(_is_unknown, words)):
                raise Unreadable(t("only a run can tell what $({text}) prints", text=text))
            found = _one(reader, words, text) if words else ""
        return found.rstrip("\n")
    finally:
        reader.variables.cwd = cwd


def _is_unknown(word: str) -> bool:
    """Whether a word is a value that only a person or a run knows, and no path below it."""
    return bool(not_told(word)) and not split_base(word)[1]


def _one(reader: ShellReader, words: list[str], text: str) -> str:
    name, rest = words[0], [word for word in words[1:] if word != "--"]
    if name == "cd" and rest:
        reader.variables.cwd = located(reader.variables.cwd, rest[-1])
        return ""
    if name == "pwd":
        return _absolute(reader.variables.cwd)
    if name == "dirname" and len(rest) == 1:
        return posixpath.dirname(rest[0]) or "."
    if name == "basename" and rest:
        rest = [word for word in rest if word != "-a"]
        found = posixpath.basename(rest[-1] if rest[0] == "-s" else rest[0])
        suffix = rest[1] if len(rest) > 1 else ""
        return found.removesuffix(suffix) if suffix != found else found
    if name in {"realpath", "readlink"} and rest:
        return _absolute(located(reader.variables.cwd, rest[-1]))
    if name == "seq" and rest[:1] == ["-w"] and len(rest) > 1:
        wide = max(map(len, rest[1:]))
        return "\n".join(
            line.zfill(wide) for line in _one(reader, ["seq", *rest[1:]], text).split("\n")
        )
    if name == "seq" and rest and all(re.fullmatch(r"-?\d{1,6}", word) for word in rest):
        return _numbers([int(word) for word in rest])
    if name == "echo":
        return " ".join(rest)
    if name == "printf" and len(rest) == 1 and "%" not in rest[0]:
        return rest[0]
    if (
        name == "printf"
        and len(rest) > 1
        and (width := re.fullmatch(r"(.*)%(0?\d*)d(.*)", rest[0]))
    ):
        return "".join(
            f"{width[1]}{int(word):{width[2]}d}{width[3]}" for word in rest[1:] if word.isdigit()
        )
    if (
        name == "cat"
        and rest
        and all(located(reader.variables.cwd, word) in reader.tree.texts for word in rest)
    ):
        return "".join(reader.tree.texts[located(reader.variables.cwd, word)] for word in rest)
    if name in reader.functions:
        return _function(reader, words)
    raise Unreadable(t("only a run can tell what $({text}) prints", text=text))


def _function(reader: ShellReader, words: list[str]) -> str:
    """What a function of the script echoes."""
    before_to, before = reader.to, reader.output
    reader.to, reader.output = f"{ROOT}/{_ECHOED}", None
    try:
        reader.function(words[0], words[1:])
        found = reader.tree.texts.pop(_ECHOED, None)
    finally:
        reader.to, reader.output = before_to, before
    if found is None:
        raise Unreadable(t("only a run can tell what $({text}) prints", text=" ".join(words)))
    return found


def _piped(reader: ShellReader, text: str) -> str:
    """`echo … | cut`, `… | sed s/a/b/`, `… | tr`: plain changes of a text that is known."""
    first, *rest = [part.strip() for part in re.split(r"\|(?!\|)", text)]
    value = output_of(reader, first)
    for part in rest:
        words = [item for raw in split_words(part) for item in reader.expander.words(raw)]
        value = _filtered(words, value, text)
    return value


def _filtered(words: list[str], value: str, text: str) -> str:
    if words[:1] == ["cut"]:
        cut = re.fullmatch(r"-d ?(.) -f ?(\d+)(-?)", " ".join(words[1:]))
        if cut:
            parts = value.split(cut[1])
            start = int(cut[2]) - 1
            return cut[1].join(parts[start:] if cut[3] else parts[start : start + 1])
    if words[:1] == ["tr"] and len(words) == 3:
        if words[1:] in (["A-Z", "a-z"], ["[:upper:]", "[:lower:]"]):
            return value.lower()
        if words[1] == "-d" or len(words[2]) == 1 == len(words[1]):
            return (
                value.replace(words[2], "")
                if words[1] == "-d" and len(words[2]) == 1
                else value.replace(words[1], words[2])
            )
    if words[:1] == ["sed"] and len(words) == 2:
        sed = re.fullmatch(r"s([/|#,])([\w. /:-]*)\1([\w. /:-]*)\1(g?)", words[1])
        if sed and "." not in sed[2]:
            return value.replace(sed[2], sed[3], -1 if sed[4] else 1)
    raise Unreadable(t("only a run can tell what $({text}) prints", text=text))


def _absolute(path: str) -> str:
    return join(ROOT, path) if path else ROOT


def _numbers(numbers: list[int]) -> str:
    first, step, last = 1, 1, numbers[-1]
    if len(numbers) > 1:
        first = numbers[0]
    if len(numbers) == 3:
        step = numbers[1]
    if not step or abs((last - first) // step) > 20_000:
        raise Unreadable(t("only a run can tell what $({text}) prints", text="seq"))
    end = last + (1 if step > 0 else -1)
    return "\n".join(str(number) for number in range(first, end, step))
