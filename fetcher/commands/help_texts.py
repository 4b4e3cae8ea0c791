"""Help in another language than English: texts of the commands, and words of click itself."""

from __future__ import annotations

import gettext
import inspect
import os
from collections.abc import Iterator
from contextlib import contextmanager

import click

from fetcher.i18n import translated
from fetcher.i18n.catalogs import DOMAIN, FOLDER


def paragraphs(text: str) -> list[str]:
    """A help text in paragraphs, each in one line: what the catalog has entries for."""
    found = inspect.cleandoc(text).split("\n\n")
    return [part if "\b" in part else " ".join(part.split()) for part in found]


def _said(text: str, language: str) -> str:
    return "\n\n".join(translated(part, language) for part in paragraphs(text))


def speak(command: click.Command, language: str) -> None:
    """Put a command's help, its options' and its subcommands' into a language."""
    if command.help:
        command.help = _said(command.help, language)
    if command.short_help:
        command.short_help = translated(command.short_help, language)
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.help:
            parameter.help = _said(parameter.help, language)
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            speak(inner, language)


@contextmanager
def click_in(language: str) -> Iterator[None]:
    """Let click find its own words in our catalog: it asks gettext, which asks LANGUAGE."""
    before, domain = os.environ.get("LANGUAGE"), gettext.textdomain()
    gettext.bindtextdomain(DOMAIN, FOLDER)
    gettext.textdomain(DOMAIN)
    os.environ["LANGUAGE"] = language
    try:
        yield
    finally:
        gettext.textdomain(domain)
        if before is None:
            del os.environ["LANGUAGE"]
        else:
            os.environ["LANGUAGE"] = before
