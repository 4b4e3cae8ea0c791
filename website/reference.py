"""Writes docs/reference/ and docs/README.md: `python -m website.reference`.

Manifests, layouts and settings from their JSON Schemas, commands from click, examples of commands
from the pages that show them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import click

from fetcher.commands import COMMANDS, cli
from fetcher.commands.help_texts import paragraphs
from fetcher.config import settings
from fetcher.config.named_roots import ROOTS
from fetcher.errors import EXIT_CODES
from fetcher.project import layout, manifest
from website import examples, markdown, navigation, schema_tables
from website.navigation import DOCS, ROOT
from website.schema_tables import Key, Table

MADE = "<!-- Made by `make schemas`: change what it is made from. -->\n"


def pages() -> dict[str, str]:
    """The text of every page that is made, by its path in the repository."""
    return {
        "docs/reference/manifest.md": manifest_page(),
        "docs/reference/layout.md": layout_page(),
        "docs/reference/settings.md": settings_page(),
        "docs/reference/cli.md": cli_page(),
    }


def manifest_page() -> str:
    """Every key of a manifest."""
    schema = manifest.json_schema()
    return _schema_page(
        "Manifest: every key",
        "A file in `manifests/`. [Manifests and layouts](../manifests.md) explains how keys work "
        "together; [sources](../sources.md) has the short forms. Editors read the "
        "[JSON Schema](../manifest.schema.json). `ID` stands for a name of yours.",
        [*_once(schema_tables.tables(schema)), *_of_mirrors_alone(schema)],
        {**{f"to.{name}": "weights/" for name in ROOTS}, **examples.MANIFEST},
    )


def layout_page() -> str:
    """Every key of a layout."""
    known = {**dict.fromkeys(ROOTS, examples.LIBRARY_FOLDER), **examples.LAYOUT}
    return _schema_page(
        "Layout: every key",
        "A file in `layouts/`. [Layouts](../manifests.md#layouts) explains trees; "
        "[libraries' folders](../manifests.md#libraries-folders) the keys that name one. "
        "Editors read the [JSON Schema](../layout.schema.json).",
        list(schema_tables.tables(layout.json_schema())),
        known,
    )


def settings_page() -> str:
    """Every setting with its variables."""
    schema = settings.json_schema()
    text = _schema_page(
        "Settings: every key",
        "`fetch.yaml` in a project, and your own `~/.config/fetch/config.yaml`. "
        "[Settings](../settings.md) says which one wins. `fetch config` shows each value "
        "and where it comes from. Editors read the [JSON Schema](../settings.schema.json).",
        [_with_defaults(table) for table in schema_tables.tables(schema)],
        examples.SETTINGS,
    )
    lines = ["## Variables", "", "| variable | setting | default | meaning |", "|---|---|---|---|"]
    for name, spec in settings.SPECS.items():
        variables = ", ".join(f"`{variable}`" for variable in spec.env)
        default = f"`{spec.default}`" if spec.default else "–"
        where = "environment or `.env` only" if spec.secret else f"`{name}`"
        lines.append(f"| {variables} | {where} | {default} | {spec.doc} |")
    return text + "\n" + "\n".join([*lines, ""])


def _with_defaults(table: Table) -> Table:
    """The settings' defaults stand beside their variables in the code."""
    keys = []
    for key in table.keys:
        spec = settings.SPECS.get(key.path[-1])
        default = key.default or (spec.default if spec else "")
        keys.append(Key(key.path, key.kind, key.required, default, key.meaning, key.schema))
    return Table(table.path, keys)


def _once(found: Iterator[Table]) -> Iterator[Table]:
    """`code` is as `source`, and an archive's own options are as those of all archives."""
    for table in found:
        if "code" not in table.path and table.path[-2:] != ("unpack", "ID"):
            yield table


def _of_mirrors_alone(schema: dict[str, Any]) -> Iterator[Table]:
    """The kinds of source that only a mirror may be."""
    artifact = schema["properties"]["artifacts"]["additionalProperties"]["properties"]
    mirrors = schema_tables.tables({"properties": {"mirror": artifact["mirrors"]["items"]}})
    for table in mirrors:
        if table.path[-1:] in {("pypi",), ("mirror",)} and len(table.path) > 1:
            yield Table(("artifacts", "ID", "mirrors", table.path[-1]), table.keys)


def _schema_page(title: str, text: str, found: list[Table], known: dict[str, Any]) -> str:
    parts = [f"# {title}\n\n{MADE}\n{text}\n"]
    for table in found:
        name = ".".join(table.path)
        heading = f"## `{name}`" if name else "## The file"
        if table.path[-2:-1] == ("source",) or table.path[-2:-1] == ("mirrors",):
            heading = f"### `{name}`"
        parts.append(schema_tables.markdown(table, known, heading))
    return "\n".join(parts)


# --- commands


def commands() -> Iterator[tuple[str, click.Command]]:
    """(`mirror export`, its command): every command, groups before those in them."""
    context = click.Context(cli, info_name="fetch", **cli.context_settings)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        yield name, command
        if isinstance(command, click.Group):
            for inner, below in command.commands.items():
                yield f"{name} {inner}", below


def cli_page() -> str:
    """Every command: usage, what it does, options, an example."""
    shown = examples_shown()
    parts = [
        f"# Commands: every option\n\n{MADE}\n"
        "[Commands](../commands.md) explains them by subject. Each takes `-h`, `--help` and "
        "`-v`, `--verbose` ([what a run does]"
        "(../commands.md#seeing-what-a-run-does--v--vv-fetch_log)); "
        "`fetch --version` prints the version. Exit codes are [those of all "
        f"commands](../exit-codes.md): {', '.join(map(str, _codes()))}.\n"
    ]
    for name, command in commands():
        parts.append(_command(name, command, shown.get(name)))
    return "\n".join(parts)


def _codes() -> list[int]:
    return sorted({0, 1, 130, *EXIT_CODES.values()})


def _command(name: str, command: click.Command, shown: tuple[str, str] | None) -> str:
    context = click.Context(command, info_name=f"fetch {name}")
    usage = " ".join(command.collect_usage_pieces(context))
    level = "##" if " " not in name else "###"
    lines = [f"{level} fetch {name}", "", f"`fetch {name} {usage}`", ""]
    for part in paragraphs(str(command.help or "")):
        drawn = part.replace("\b\n", "")
        lines += ["```text", drawn, "```", ""] if drawn != part else [_escaped(part), ""]
    rows = [row for row in map(_option, command.params) if row]
    if rows:
        lines += ["| option | meaning |", "|---|---|", *rows, ""]
    if shown:
        example, page = shown
        lines += ["Example, from", f"[{navigation.title(page)}]({_from_reference(page)}):", ""]
        lines += ["```text", example, "```", ""]
    return "\n".join(lines)


def _from_reference(page: str) -> str:
    return f"../{page.removeprefix('docs/')}" if page.startswith("docs/") else f"../../{page}"


def _option(parameter: click.Parameter) -> str:
    if not isinstance(parameter, click.Option) or parameter.name in {"verbose", "help"}:
        return ""
    names = ", ".join(f"`{name}`" for name in [*parameter.opts, *parameter.secondary_opts])
    value = ""
    if isinstance(parameter.type, click.Choice):
        value = " `" + " | ".join(map(str, parameter.type.choices)) + "`"
    elif not parameter.is_flag and not parameter.count:
        value = f" `{parameter.make_metavar(click.Context(click.Command('x')))}`"
    notes = " ".join(str(parameter.help or "").split())
    if parameter.multiple:
        notes += " May be given several times."
    return "| " + (names + value).replace("|", "\\|") + f" | {_escaped(notes)} |"


def _escaped(text: str) -> str:
    """Prose in Markdown: code stays, and nothing else is markup."""
    parts = re.split(r"(`[^`]*`)", text)
    parts[::2] = [re.sub(r"([*_<>\[\]|])", r"\\\1", part) for part in parts[::2]]
    parts[1::2] = [part.replace("|", "\\|") for part in parts[1::2]]
    return "".join(parts)


def examples_shown() -> dict[str, tuple[str, str]]:
    """The first line of a shell block that begins with each command, and its page."""
    found: dict[str, tuple[str, str]] = {}
    names = sorted((name for name, _ in commands()), key=lambda name: -name.count(" "))
    order = [
        page
        for page in navigation.pages()
        if "/reference/" not in page and not navigation.is_translated(page)
    ]
    order.sort(key=lambda page: page != "docs/commands.md")
    for page in [*order, "README.md"]:
        for fence in markdown.fences((ROOT / page).read_text("utf-8")):
            if fence.language in {"sh", "console"}:
                for line in fence.body.replace("\\\n", " ").splitlines():
                    _note(line.removeprefix("$ "), page, names, found)
    return found


def _note(line: str, page: str, names: list[str], found: dict[str, tuple[str, str]]) -> None:
    shown = re.sub(r" {2,}#.*", "", line).strip()
    for name in names:
        if re.match(rf"fetch {name}(?:\s|$)", shown):
            found.setdefault(name, (" ".join(shown.split()), page))
            return


def main() -> None:
    """Write every page that is made; the list of pages comes last, as it names them."""
    (DOCS / "reference").mkdir(exist_ok=True)
    for name, text in pages().items():
        (ROOT / name).write_text(text, encoding="utf-8")
    (ROOT / navigation.INDEX).write_text(navigation.index(), encoding="utf-8")


if __name__ == "__main__":
    main()
