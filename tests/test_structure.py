"""The shape of the house: imports point along the arrow, commands are documented, help is quick."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fetcher
from fetcher import errors
from fetcher.commands import COMMANDS, cli
from fetcher.config import settings

PACKAGE = Path(fetcher.__file__).parent
DOCS = PACKAGE.parent / "docs"

# From left to right; a module may import from its own place and from those before it.
ORDER = [
    {
        "errors",
        "paths",
        "patterns",
        "yamltree",
        "schema",
        "sniff",
        "files",
        "prometheus",
        "runtimefile",
        "record",
    },
    {"settings", "edits", "vram"},
    {"network", "state"},
    {"sources", "mirror"},
    {"events"},
    {"manifest", "progress"},
    {"layout", "lock", "store"},
    {"crosscheck"},
    {"project", "resolve", "stored"},
    {"naming"},
    {"plan"},
    {"planner", "seal"},
    {"hubcache"},
    {"transfer", "place", "preflight", "report", "access"},
    {"workspace"},
    {"reports"},
    {"leaderboard"},
    {"workflow"},
    {"check", "adopt", "storekeeping"},
    {"shipping"},
    {"server"},
    {"formats"},
    {"verify"},
    {"gpu"},
    {"recommend", "runtime"},
    {"yamledit"},
    {"register"},
    {"modelconfig"},
    {"golden", "probe_page", "livetable"},
    {"probe_defaults"},
    {"probe_options"},
    {"probing"},
    {"web"},
    {"obtain"},
    {"models"},
    {"commands"},
    {"__main__"},
]
PLACE = {name: index for index, names in enumerate(ORDER) for name in names}


def imports(path: Path) -> set[str]:
    """First names below `fetcher` that a file imports when it is loaded or runs."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [node.module]
            if node.module == "fetcher":
                names = [f"fetcher.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("fetcher.")}
    return found & PLACE.keys()


def modules() -> list[Path]:
    return [
        path
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.name != "__init__.py" or path.parent != PACKAGE
    ]


@pytest.mark.parametrize("path", modules(), ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_imports_point_along_the_arrow(path: Path) -> None:
    home = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if home == "catalog":
        return
    assert home in PLACE, f"give {home} its place in ORDER"
    for name in imports(path) - {home}:
        typing_only = home == "sources" and name == "yamltree"
        assert PLACE[name] <= PLACE[home] or typing_only, f"{home} imports {name}"


def test_every_command_is_documented_and_has_help() -> None:
    text = (DOCS / "commands.md").read_text("utf-8")
    for name, (_, line) in COMMANDS.items():
        command = cli.get_command(None, name)  # type: ignore[arg-type]
        assert command is not None and command.help, name
        assert line.endswith(".")
        assert f"fetch {name}" in text, f"docs/commands.md does not mention {name}"
        for parameter in command.params:
            if parameter.param_type_name == "option":
                assert getattr(parameter, "help", None), f"{name} {parameter.name}"


def test_every_exit_code_and_setting_is_documented() -> None:
    text = (DOCS / "commands.md").read_text("utf-8")
    for code in {0, 1, 130, *errors.EXIT_CODES.values()}:
        assert f"| {code} |" in text
    for name, spec in settings.SPECS.items():
        if not spec.secret and name not in {"hub_cache", "github_host"}:
            assert f"`{name}`" in text and spec.env[0] in text, name
    assert set(errors.EXIT_CODES.values()) == set(errors.PRECEDENCE)


def test_starting_up_imports_nothing_heavy() -> None:
    code = (
        "import sys; from fetcher.commands import run; run(['--help'])\n"
        "heavy = {'torch', 'numpy', 'huggingface_hub', 'requests', 'pycurl', 'yaml', 'ruamel',"
        " 'prompt_toolkit', 'sqlite3'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        # A sealed tree is told of without what only a plan needs.
        "import fetcher.commands.all_, fetcher.commands.status, fetcher.commands.check\n"
        "heavy = {'yaml', 'pycurl', 'fetcher.project.manifest', 'fetcher.tree.planner', 'fetcher.operations.fetch_all'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "import fetcher.operations.fetch_all, fetcher.commands.add\n"
        "heavy = {'torch', 'numpy', 'huggingface_hub', 'requests', 'transformers', 'ruamel'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_links_in_the_docs_lead_somewhere() -> None:
    for page in [PACKAGE.parent / "README.md", *DOCS.glob("*.md")]:
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
