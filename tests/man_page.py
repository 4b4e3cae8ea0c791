"""The manual page: `make man` writes fetcher/commands/fetch.1 from the commands themselves."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from fetcher import __version__
from fetcher.commands import COMMANDS, cli
from fetcher.config.settings import SPECS
from fetcher.errors import EXIT_CODES

PAGE = Path(__file__).parents[1] / "fetcher" / "commands" / "fetch.1"
_DATE = "2026-11-01"  # fixed: the page is the same whenever it is made
_EXITS = {
    0: "all is well",
    1: "internal error",
    2: "usage, or an invalid file",
    3: "some downloads failed; run again",
    4: "a digest, a file in the way, or what a check found",
    5: "the network is needed, and may not be used",
    6: "authentication, or a gate",
    7: "the lock is missing or out of date",
    8: "a probe failed",
    9: "disk space, or permission",
    130: "interrupted",
}


def page() -> str:
    """The whole page, in man's macros."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    context = click.Context(cli, info_name="fetch", **cli.context_settings)
    yield '.\\" Written by `make man`.'
    yield f'.TH FETCH 1 "{_DATE}" "fetch {_text(__version__)}" "User Commands"'
    yield from (".SH NAME", "fetch \\- set up the models and datasets of a project")
    yield from (".SH SYNOPSIS", ".B fetch", "[\\fIOPTIONS\\fR] \\fICOMMAND\\fR [\\fIARGS\\fR]...")
    yield ".SH DESCRIPTION"
    yield from _paragraphs(cli.help or "")
    yield ".SH OPTIONS"
    yield from _options(cli, context)
    yield ".SH COMMANDS"
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        yield from _command(command, click.Context(command, parent=context, info_name=name))
    yield ".SH ENVIRONMENT"
    for name, spec in SPECS.items():
        yield from (".TP", ", ".join(f"\\fB{_text(one)}\\fR" for one in spec.env))
        yield _text(f"{spec.doc} (fetch.yaml: {name})")
    yield ".SH EXIT STATUS"
    for code, meaning in _EXITS.items():
        yield from (".TP", f"\\fB{code}\\fR", _text(meaning))
    yield ".SH FILES"
    for path, what in (
        ("fetch.lock", "the exact files of every artifact; committed"),
        ("fetch.yaml", "settings of the project"),
        ("manifests/, layouts/", "what a project wants, and where it goes"),
        (".fetch/", "what fetch remembers of the tree; not committed"),
    ):
        yield from (".TP", f"\\fI{_text(path)}\\fR", _text(what))


def _command(command: click.Command, context: click.Context) -> Iterator[str]:
    usage = " ".join(command.collect_usage_pieces(context))
    yield f'.SS "{_text(context.command_path)} {_text(usage)}"'
    yield from _paragraphs(command.help or "")
    yield from _options(command, context)
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from _command(inner, click.Context(inner, parent=context, info_name=name))


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    for param in command.get_params(context):
        record = param.get_help_record(context)
        if record is not None and record[1]:
            # click keeps its own option as the first context had it that asked.
            names = context.help_option_names if "--help" in param.opts else [record[0]]
            yield from (".TP", f"\\fB{_text(', '.join(names))}\\fR", _text(record[1]))


def _paragraphs(text: str) -> Iterator[str]:
    for number, part in enumerate(re.split(r"\n\s*\n", inspect.cleandoc(text))):
        yield from ([".PP"] if number else [])
        if "\b" in part:  # lines that stay as they are
            lines = [line for line in part.splitlines() if line.strip("\b ")]
            yield from (".nf", *map(_escaped, lines), ".fi")
        else:
            yield _text(part)


def _text(text: str) -> str:
    """Text in one line, with nothing that roff reads as a request."""
    return _escaped(" ".join(str(text).split()))


def _escaped(line: str) -> str:
    plain = line.replace("\\", "\\e").replace("-", "\\-")
    plain = plain.replace('"', "\\(dq").replace("…", "...").replace("`", "\\(ga")
    return f"\\&{plain}" if plain[:1] in ".'" else plain


assert set(_EXITS) >= set(EXIT_CODES.values())

if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
    sys.exit(0)
