"""Texts that name a command line, and a desk at which what is printed is done.

A text is named by a part of it that no other text has. `@about(part, …)` binds texts to a test,
which fails where one of them was not printed, or a line of it not followed.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from functools import cache, wraps
from pathlib import Path
from typing import NamedTuple, TypeVar, cast

from tests.commands import test_hints as messages
from tests.conftest import Cli, Result

F = TypeVar("F", bound=Callable[..., object])

_HOLE = re.compile(r"\{([a-z_0-9]+)(?:[:!][^{}]*)?\}")
_WHOLE = re.compile(r"\{(?:command|look)\}(?: --[a-z-]+)*")
Part = str | tuple[str, int]
_BOUND: list[tuple[tuple[Part, ...], str]] = []  # parts of texts, and the test that follows them


@cache
def texts() -> tuple[str, ...]:
    """Every text of the program that names a line to type: a command of fetch's, or an option."""
    return tuple(
        dict.fromkeys(
            text
            for place, text in messages.texts()
            if "--help" not in place and (lines_in(text) or options_in(text))
        )
    )


def lines_in(text: str) -> list[str]:
    """The command lines of a text, with its placeholders; one may be a placeholder itself."""
    return [
        *_WHOLE.findall(text),
        *(line for _, line in messages.lines_of([messages.Said("", text)])),
    ]


def options_in(text: str) -> list[str]:
    """The options that a text names, unless they are those of another program."""
    return [] if messages.names_others(text) else messages.options_of(text)


def text_of(part: str) -> str:
    """The one text that has this part."""
    found = (
        [text for text in texts() if part == text]
        or [text for text in texts() if text.startswith(part)]
        or [text for text in texts() if part in text]
    )
    assert len(found) == 1, f"{part!r} is in {len(found)} texts: {found[:3]}"
    return found[0]


def lines_about(parts: Iterable[Part]) -> list[tuple[str, int]]:
    """The texts of some parts, and the numbers of those lines that are to be followed."""
    wanted = []
    for part in parts:
        text = text_of(part if isinstance(part, str) else part[0])
        lines = range(len(lines_in(text)) or 1) if isinstance(part, str) else [part[1]]
        wanted += [(text, number) for number in lines]
    return wanted


def followed_texts() -> dict[str, str]:
    """Texts that a test follows, with the test's name."""
    return {text: test for parts, test in _BOUND for text, _ in lines_about(parts)}


def about(*parts: Part) -> Callable[[F], F]:
    """Bind texts to the test that makes the tool print and that follows them.

    Of one that comes with a number only that line is followed: others cannot be typed here.
    """

    def bind(test: F) -> F:
        _BOUND.append((parts, test.__name__))  # to find the texts takes seconds: not to collect

        @wraps(test)
        def held(**fixtures: object) -> None:
            test(**fixtures)
            desk = fixtures["desk"]
            assert isinstance(desk, Desk)
            left = [item for item in lines_about(parts) if item not in desk.followed]
            assert not left, f"not followed: {left}"

        return cast(F, held)

    return bind


class Said(NamedTuple):
    """A text as it was printed."""

    values: Mapping[str, str]
    arguments: tuple[str, ...]
    cwd: Path | None


class Desk:
    """One project, what `fetch` says in it, and its hints followed."""

    def __init__(self, root: Path, cli: Cli) -> None:
        self.root = root
        self._cli = cli
        self._runs: list[tuple[tuple[str, ...], Path | None, str]] = []
        self.followed: set[tuple[str, int]] = set()  # texts, and which of their lines

    def fetch(self, *arguments: str | Path, code: int = 0, cwd: Path | None = None) -> Result:
        """Run `fetch ARGUMENTS`, which must exit with `code`."""
        result = self._cli(*arguments, cwd=cwd)
        said = f"fetch {shlex.join(map(str, arguments))}: {result.code}\n{result.out}{result.err}"
        assert result.code == code, said
        self._runs.append((tuple(map(str, arguments)), cwd, f"{result.out}\n{result.err}"))
        return result

    def fails(self, *arguments: str | Path, cwd: Path | None = None) -> Result:
        """Run `fetch ARGUMENTS`, which must fail, and not by a fault of its own."""
        result = self._cli(*arguments, cwd=cwd)
        assert result.code > 1, (
            f"fetch {shlex.join(map(str, arguments))}: {result.code}\n{result.err}"
        )
        self._runs.append((tuple(map(str, arguments)), cwd, f"{result.out}\n{result.err}"))
        return result

    def hears(self, text: str) -> None:
        """Something that was said other than by the command line: an exception, a page."""
        self._runs.append(((), None, text))

    def said(self, part: str) -> Said:
        """Where a text was printed last. Fails if it never was."""
        pattern = _pattern(text_of(part))
        for arguments, cwd, output in reversed(self._runs):
            if found := pattern.search(output):
                return Said(found.groupdict(), arguments, cwd)
        raise AssertionError(f"{text_of(part)!r} was not said, but:\n{self._runs[-1][2]}")

    def line(self, part: str, number: int = 0, **words: str | Path) -> list[str]:
        """The words after `fetch` of a text's command line, as printed; `words` are for those in
        capitals, which stand for what only the person knows."""
        said, text = self.said(part), text_of(part)
        line = _HOLE.sub(lambda hole: said.values[hole[1]], lines_in(text)[number])
        given = shlex.split(line[line.index("fetch ") :])  # it may stand after other words
        for word in words:
            assert word in given, f"{word} is not in {line!r}"
        return [str(words.get(word, os.path.expanduser(word))) for word in given[1:]]

    def follow(
        self,
        part: str,
        number: int = 0,
        *,
        code: int = 0,
        more: Iterable[str | Path] = (),
        cwd: Path | None = None,
        **words: str | Path,
    ) -> Result:
        """Type the command line number `number` that a text names, as it was printed."""
        said = self.said(part)
        self.followed.add((text_of(part), number))
        arguments = self.line(part, number, **words)
        return self.fetch(*arguments, *more, code=code, cwd=cwd or said.cwd)

    def again(
        self, part: str, *options: str | Path, code: int = 0, without: Iterable[str] = ()
    ) -> Result:
        """Run again what printed a text, with (and without) options that the text names."""
        said, text = self.said(part), text_of(part)
        named = [word for word in (*map(str, options), *without) if word.startswith("-")]
        assert set(options_in(text)) & set(named), f"{text!r} names none of {named}"
        self.followed |= {(text, n) for n in range(len(lines_in(text)) or 1)}
        kept = [word for word in said.arguments if word not in set(without)]
        return self.fetch(*kept, *options, code=code, cwd=said.cwd)

    def instead(self, part: str, *arguments: str | Path, code: int = 0) -> Result:
        """Type what a text says in place of the line that printed it: a usage error's example."""
        said, text = self.said(part), text_of(part)
        wrong = [word.partition("=")[0] for word in said.arguments]
        right = [str(word).partition("=")[0] for word in arguments]
        named = {*options_in(text), *(word for line in lines_in(text) for word in line.split())}
        assert named & {*wrong, *right}, f"{text!r} names nothing of {right}"
        self.followed |= {(text, n) for n in range(len(lines_in(text)) or 1)}
        result = self.fetch(*arguments, code=code, cwd=said.cwd)
        assert not _pattern(text).search(result.out + result.err), text
        return result


def _pattern(text: str) -> re.Pattern[str]:
    """What a text looks like where it is printed; a placeholder is one line's words."""
    seen: set[str] = set()
    parts, at = [], 0
    for hole in _HOLE.finditer(text):
        parts.append(_plain(text[at : hole.start()]))
        last = r"(?=[;)`]|$)" if hole.end() == len(text) else ""
        parts.append(f"(?P={hole[1]})" if hole[1] in seen else f"(?P<{hole[1]}>.+?){last}")
        seen.add(hole[1])
        at = hole.end()
    return re.compile("".join(parts) + _plain(text[at:]), re.MULTILINE)


def _plain(text: str) -> str:
    return re.escape(text.replace("{{", "{").replace("}}", "}"))
