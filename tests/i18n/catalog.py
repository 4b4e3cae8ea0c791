"""The catalogs: `make messages` writes what the code says into them, and compiles them.

    python -m tests.i18n.catalog            update fetcher/i18n/locale/*/LC_MESSAGES/fetcher.po
    python -m tests.i18n.catalog de         begin one for another language

New entries are empty, and those whose English has changed are marked fuzzy: translate them, take
the mark away, run it again. Entries that nothing says any more are dropped.
"""

from __future__ import annotations

import ast
import inspect
import io
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from jinja2 import Environment
from jinja2 import nodes as jinja

import fetcher
from fetcher import __version__
from fetcher.commands.help_texts import paragraphs
from fetcher.i18n.catalogs import DOMAIN, FOLDER

PACKAGE = Path(fetcher.__file__).parent
# What a page's Translator is called in Python.
KEYWORDS = {"t", "n", "tr"}
# A date that stays: a catalog changes only with its texts.
_DATE = datetime(2025, 1, 1, tzinfo=timezone.utc)
_HELP = {"help", "short_help"}
_COMMANDS = {"command", "group"}
# Words of click itself that our commands come to show.
CLICK = [
    ("Usage:", ""),
    ("Options", ""),
    ("Commands", ""),
    ("Show this message and exit.", ""),
    ("Show the version and exit.", ""),
    ("default: {default}", ""),
    ("required", ""),
    ("Missing argument", ""),
    ("Missing option", ""),
    ("Missing command.", ""),
    ("Choose from:\n\t{choices}", ""),
    ("Did you mean {possibility}?", "(Did you mean one of: {possibilities}?)"),
    ("Got unexpected extra argument ({args})", "Got unexpected extra arguments ({args})"),
    ("Invalid value for {param_hint}: {message}", ""),
    ("Invalid value: {message}", ""),
    ("No such command {name!r}.", ""),
    ("No such option {name!r}.", ""),
    ("No such option: {name}", ""),
    ("Option {name!r} does not take a value.", ""),
    (
        "Option {name!r} requires an argument.",
        "Option {name!r} requires {nargs} arguments.",
    ),
    ("{name} {filename!r} does not exist.", ""),
    ("{name} {filename!r} is a directory.", ""),
    ("{name} {filename!r} is a file.", ""),
    ("{value!r} is not {choice}.", "{value!r} is not one of {choices}."),
    ("{value!r} is not a valid {number_type}.", ""),
    ("{value} is not in the range {range}.", ""),
    ("file", ""),
    ("directory", ""),
    ("path", ""),
]


@dataclass(frozen=True)
class Said:
    """A text of the code: `plural` is "" for one that counts nothing."""

    text: str
    plural: str
    place: str
    line: int
    formatted: bool


def has_words(text: str) -> bool:
    """Whether anything is left to translate beside the values."""
    return bool(re.search(r"[^\W\d_]", re.sub(r"\{[^{}]*\}", "", text)))


def _function(call: ast.Call) -> str:
    if isinstance(call.func, ast.Attribute):
        is_plural = isinstance(call.func.value, ast.Name) and call.func.value.id == "tr"
        return call.func.attr if is_plural else f".{call.func.attr}"
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _calls(call: ast.Call, place: str) -> Iterator[Said]:
    name = _function(call)
    if name not in KEYWORDS:
        return
    texts = [item.value for item in call.args[:2] if isinstance(item, ast.Constant)]
    needed = 2 if name == "n" else 1
    if len(texts) < needed or not all(isinstance(text, str) for text in texts[:needed]):
        raise ValueError(f"{place}:{call.lineno}: {name}() takes a literal")
    plural = str(texts[1]) if name == "n" else ""
    yield Said(str(texts[0]), plural, place, call.lineno, bool(plural or call.keywords))


def _helps(node: ast.AST, place: str) -> Iterator[Said]:
    """Help that click shows: of options, and the docstrings of commands."""
    texts: list[tuple[str, int]] = []
    if isinstance(node, ast.Call):
        texts += [
            (item.value.value, item.value.lineno)
            for item in node.keywords
            if item.arg in _HELP
            and isinstance(item.value, ast.Constant)
            and isinstance(item.value.value, str)
        ]
    elif isinstance(node, ast.FunctionDef):
        calls = [item for item in node.decorator_list if isinstance(item, ast.Call)]
        if any(_function(item).removeprefix(".") in _COMMANDS for item in calls):
            texts.append((ast.get_docstring(node) or "", node.lineno))
    for text, line in texts:
        for part in paragraphs(inspect.cleandoc(text)):
            yield Said(part, "", place, line, False)


def said_in_python(path: Path) -> Iterator[Said]:
    """Every text of a module. Raises ValueError for a template that is no literal."""
    place = path.relative_to(PACKAGE.parent).as_posix()
    commands = path.parent.name == "commands"
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            yield from _calls(node, place)
        if commands:
            yield from _helps(node, place)


def said_in_template(path: Path) -> Iterator[Said]:
    """Every text of a page's template."""
    place = path.relative_to(PACKAGE.parent).as_posix()
    tree = Environment(autoescape=True).parse(path.read_text("utf-8"))
    for call in tree.find_all(jinja.Call):
        target = call.node
        plural = isinstance(target, jinja.Getattr) and target.attr == "n"
        name = target.node if isinstance(target, jinja.Getattr) and plural else target
        if not (isinstance(name, jinja.Name) and name.name == "t"):
            continue
        texts = [item.value for item in call.args if isinstance(item, jinja.Const)]
        if len(texts) < 1 + plural:
            raise ValueError(f"{place}:{call.lineno}: t() takes a literal")
        more = texts[1] if plural else ""
        yield Said(texts[0], more, place, call.lineno, bool(plural or call.kwargs))


def said() -> list[Said]:
    """Every text of the package that has words."""
    found = [Said(one, many, "click", 1, "{" in one) for one, many in CLICK]
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.is_relative_to(PACKAGE / "i18n"):
            continue
        found += said_in_python(path)
    for path in sorted((PACKAGE / "web" / "templates").glob("*.html")):
        found += said_in_template(path)
    return [item for item in found if has_words(item.text)]


def template() -> Catalog:
    """A catalog of everything that is said, without translations; places without lines."""
    catalog = Catalog(domain=DOMAIN, project="fetch", fuzzy=False, charset="utf-8")
    for item in said():
        catalog.add(
            (item.text, item.plural) if item.plural else item.text,
            locations=[(item.place, 0)],
        )
    return catalog


def path_of(language: str) -> Path:
    """A language's catalog."""
    return Path(FOLDER) / language / "LC_MESSAGES" / f"{DOMAIN}.po"


def read(language: str) -> Catalog:
    """A language's catalog as it is; empty if there is none."""
    path = path_of(language)
    if not path.exists():
        return Catalog(locale=language, domain=DOMAIN)
    with path.open("rb") as file:
        return read_po(file, locale=language, domain=DOMAIN)


def compiled(catalog: Catalog) -> bytes:
    """What stands in the .mo beside it."""
    out = io.BytesIO()
    write_mo(out, catalog)
    return out.getvalue()


def update(language: str) -> Catalog:
    """Bring a language's catalog in step with the code, and compile it."""
    catalog = read(language)
    catalog.update(template(), update_creation_date=False)
    catalog.obsolete.clear()
    catalog.fuzzy, catalog.project, catalog.version = False, "fetch", __version__
    catalog.creation_date = catalog.revision_date = _DATE
    catalog.language_team = catalog.last_translator = catalog.msgid_bugs_address = ""
    catalog.header_comment = "# What fetch says. `make messages` keeps this in step with the code."
    path = path_of(language)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        write_po(file, catalog, width=100, sort_output=True, include_lineno=False)
    path.with_suffix(".mo").write_bytes(compiled(catalog))
    return catalog


def main(arguments: list[str]) -> int:
    """Update all catalogs; 1 if something is left to translate."""
    languages = arguments or sorted(path.name for path in Path(FOLDER).iterdir() if path.is_dir())
    left = 0
    for language in languages:
        entries = [item for item in update(language) if item.id]
        open_ones = [item for item in entries if item.fuzzy or not all(texts(item.string))]
        print(f"{language}: {len(entries)} texts, {len(open_ones)} to translate")
        left += len(open_ones)
    return 1 if left else 0


def texts(string: str | tuple[str, ...] | list[str] | None) -> list[str]:
    """The translations of an entry: one, or one for each plural."""
    if string is None:
        return [""]
    return [string] if isinstance(string, str) else list(string)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
