"""Every command, option and variable that a message names is there, as it is said."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import click
import pytest

from fetcher.commands import COMMANDS, cli
from fetcher.commands.other_words import ELSEWHERE, IN_GROUPS
from fetcher.config.settings import SPECS

ROOT = Path(__file__).parents[2]
# What messages name of other programs.
_OTHERS = re.compile(r"\b(pip|uv|git|hf|python|docker|oras|nvidia-smi|cosign)\b")
_COMMAND = rf"\bfetch (?:{'|'.join(COMMANDS)})\b"
_ARGUMENT = r"[A-Z{][^\s`,;:)]*|hf:[^\s`,;)]+|[a-z]+\.pt|torch(?:\.\w+)+"
_WORD = rf"(?: (?:--?[a-z][a-z-]*(?:[= ][A-Z{{][^\s`,;:)]*)?|{_ARGUMENT}))*"
_INNER = (
    r"(?: (?:export|import|check|sign|push|have|allow(?: (?:code|links|local|pickles|roots))?)\b)?"
)
_BARE = re.compile(rf"{_COMMAND}{_INNER}{_WORD}")
_TICKED = re.compile(r"`(fetch [^`]+)`")
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+(?![\w{…-])(?<!-)")
_VARIABLE = re.compile(r"\bFETCH_[A-Z_]+\b")


class Said(NamedTuple):
    """A text of the program, and where it stands."""

    place: str
    text: str


@cache
def texts() -> tuple[Said, ...]:
    """What is given to t() and n(), with placeholders as they stand."""
    found = []
    for path in sorted((ROOT / "fetcher").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in {"t", "n"}:
                place = f"{path.relative_to(ROOT)}:{node.lineno}"
                found += [
                    Said(place, argument.value)
                    for argument in node.args
                    if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
                ]
    assert len(found) > 1000
    return (*found, *_helps(cli, click.Context(cli, info_name="fetch", **cli.context_settings)))


def _helps(command: click.Command, context: click.Context) -> Iterator[Said]:
    """What --help says of a command, of its options and of the commands in it."""
    place = f"{context.command_path} --help"
    yield Said(place, re.sub(r"\s+", " ", command.help or ""))
    yield from (Said(place, getattr(item, "help", "") or "") for item in command.params)
    for inner, below in _inner(command, context):
        yield from _helps(inner, below)


def _inner(
    command: click.Command, context: click.Context
) -> Iterator[tuple[click.Command, click.Context]]:
    for name in command.list_commands(context) if isinstance(command, click.Group) else ():
        assert isinstance(command, click.Group)
        inner = command.get_command(context, name)
        assert inner is not None
        yield inner, click.Context(inner, parent=context, info_name=name)


def names_others(text: str) -> bool:
    """Whether a text names another program, whose options it may be about."""
    return bool(_OTHERS.search(text))


def options_of(text: str) -> list[str]:
    """The options that a text names."""
    return _OPTION.findall(text)


def lines_of(said: Iterable[Said]) -> Iterator[Said]:
    """The command lines that texts name."""
    for place, text in said:
        ticked = _TICKED.findall(text)
        yield from (Said(place, line) for line in ticked)
        rest = _TICKED.sub("", text)
        yield from (Said(place, found[0]) for found in _BARE.finditer(rest))


def complaint(line: str) -> str:
    """Why a command line cannot be typed, "" if it can; nothing of it is run."""
    # (What a placeholder stands for is a word; two braces are one.)
    line = (
        re.sub(r"(?<!\{)\{[a-z_]+(?:[:!][^{}]*)?\}", "WORD", line)
        .replace("{{", "{")
        .replace("}}", "}")
    )
    words = [word for word in shlex.split(line)[1:] if word not in {"…", "..."}]
    words = [word.rstrip("…") for word in words]
    command: click.Command = cli
    context = click.Context(cli, info_name="fetch", **cli.context_settings)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        known = {name: command.get_command(context, name) for name in [words[0]]}[words[0]]
        if known is None:
            return f"no command {words[0]!r}"
        command, words = known, words[1:]
        context = click.Context(command, parent=context, info_name=command.name)
    try:
        _, left, _ = command.make_parser(context).parse_args(list(words))
    except click.UsageError as error:
        return error.format_message()
    return f"takes no {left[0]!r}" if left else ""


def test_every_command_line_of_a_message_can_be_typed() -> None:
    found = list(lines_of(texts()))
    assert len(found) > 150
    wrong = [f"{place}: {line}: {why}" for place, line in found if (why := complaint(line))]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "line",
    [
        *("fetch al", "fetch all --forse", "fetch store clean", "fetch lock --update"),
        *("fetch tree --deep", "fetch adopt PATH --into", "fetch schema layout more"),
    ],
)
def test_a_wrong_line_is_found(line: str) -> None:
    assert complaint(line)


def test_lines_for_words_of_other_tools_can_be_typed() -> None:
    for lines in (ELSEWHERE, *IN_GROUPS.values()):
        assert not [f"{line}: {why}" for line in lines if (why := complaint(line))]


def _options() -> set[str]:
    def of(command: click.Command, context: click.Context) -> Iterator[str]:
        for parameter in command.get_params(context):
            yield from (*parameter.opts, *parameter.secondary_opts)
        for inner, below in _inner(command, context):
            yield from of(inner, below)

    return set(of(cli, click.Context(cli, info_name="fetch", **cli.context_settings)))


def test_every_option_of_a_message_is_there() -> None:
    known = _options()
    wrong = [
        f"{place}: {option}"
        for place, text in texts()
        if not names_others(text)
        for option in options_of(text)
        if option not in known
    ]
    assert not wrong, "\n".join(wrong)


def test_every_variable_of_a_message_is_read() -> None:
    known = {name for spec in SPECS.values() for name in spec.env}
    sources = "\n".join(p.read_text("utf-8") for p in sorted((ROOT / "fetcher").rglob("*.py")))
    known |= {"FETCH_LANG"}  # read by fetcher.i18n, whose environment is a parameter
    known |= set(re.findall(r"environ(?:\.get\(|\[)\"(FETCH_[A-Z_]+)\"", sources))
    wrong = [
        f"{place}: {name}"
        for place, text in texts()
        for name in _VARIABLE.findall(text)
        if name not in known
    ]
    assert not wrong, "\n".join(wrong)
