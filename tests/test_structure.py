"""The shape of the house: imports point along the arrow, commands are documented, help is quick."""

from __future__ import annotations

import ast
import configparser
import functools
import graphlib
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import fetcher.verify
import pytest

import fetcher
from fetcher import errors
from fetcher.commands import COMMANDS, cli

PACKAGE = Path(fetcher.__file__).parent
VERIFY = Path(fetcher.verify.__file__).parent
DOCS = PACKAGE.parent / "docs"

# The house from the ground up: a room may import from those that stand before it, never from
# those behind. What a room is for stands in its __init__.py; CONTRIBUTING.md has a map.
ROOMS = [
    # verify/: what runs in the project's own interpreter knows nothing of the rest of fetch.
    "verify.contract",
    "verify.weights",
    "verify.pictures",
    "verify.nets",
    "verify.loaders",
    "verify.child",
    "verify.probes",
    "verify.host",
    "verify",
    # fetcher/
    "installation",
    "i18n",
    "errors",
    "fs",
    "archives",
    "yamldoc",
    "config",
    "hardware",
    "network",
    "sources",
    "project",
    "mirror",
    "ui",
    "store",
    "tree",
    "transfer",
    "catalog",
    "register",
    "importers",
    "reporting",
    "probes",
    "operations",
    "bundle",
    "server",
    "models",
    "web",
    "commands",
    "__main__",
]


def modules() -> dict[str, Path]:
    """Every module of the package by its name, without `fetcher.` in front."""
    found = {}
    for folder, prefix in ((PACKAGE, ()), (VERIFY, ("verify",))):
        for path in sorted(folder.rglob("*.py")):
            parts = [*prefix, *path.relative_to(folder).with_suffix("").parts]
            found[".".join(parts).removesuffix(".__init__")] = path
    found.pop("__init__", None)  # the public API: it is above everything, and imports lazily
    return found


MODULES = modules()


@dataclass(frozen=True)
class Facts:
    """What is taken from a file's tree, once for all tests: what it imports of ours; the dotted
    names that it imports or takes attributes of, but for types alone; what it calls.
    """

    imports: frozenset[str]
    used: frozenset[str]
    called: frozenset[str]


@functools.cache
def facts(path: Path) -> Facts:
    tree = ast.parse(path.read_text("utf-8"))
    calls = {dotted(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    return Facts(imports(tree, path), frozenset(names_used(tree)), frozenset(calls))


def room_of(module: str) -> str:
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "verify" and len(parts) > 1 else parts[0]


def imports(tree: ast.Module, path: Path) -> frozenset[str]:
    """Modules of ours that a file imports: at its top, in functions, or for types alone."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports by dots: full names are found by searching"
            module = node.module or ""
            for alias in node.names:
                whole = f"{module}.{alias.name}".removeprefix("fetcher.")
                found.add(whole if whole in MODULES else module.removeprefix("fetcher."))
        elif isinstance(node, ast.Import):
            found |= {alias.name.removeprefix("fetcher.") for alias in node.names}
    return frozenset(found & MODULES.keys())


@pytest.mark.parametrize("module", MODULES)
def test_a_room_imports_only_from_rooms_before_it(module: str) -> None:
    home = room_of(module)
    assert home in ROOMS, f"give {home} its place in ROOMS"
    for name in facts(MODULES[module]).imports:
        other = room_of(name)
        assert ROOMS.index(other) <= ROOMS.index(home), f"{module} imports {name}"


def test_no_modules_import_each_other_in_a_circle() -> None:
    arrows = {module: set(facts(path).imports) - {module} for module, path in MODULES.items()}
    for module, names in arrows.items():  # a room's __init__ is its docstring, or re-exports
        arrows[module] = {name for name in names if MODULES[name].name != "__init__.py"}
    order = graphlib.TopologicalSorter(arrows)
    try:
        order.prepare()
    except graphlib.CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_every_room_says_what_it_is_for_and_the_top_is_bare() -> None:
    for folder in (PACKAGE, VERIFY):
        for room in folder.iterdir():
            if room.is_dir() and any(room.glob("*.py")):
                text = (room / "__init__.py").read_text("utf-8")
                assert ast.get_docstring(ast.parse(text)), room
    files = {path.name for path in PACKAGE.iterdir() if path.is_file()}
    assert files == {"__init__.py", "__main__.py", "errors.py", "py.typed"}
    assert {path.name for path in VERIFY.iterdir() if path.is_file()} == {"__init__.py"}


def test_the_wheel_has_every_room() -> None:
    config = configparser.ConfigParser()
    config.read(PACKAGE.parent / "setup.cfg", encoding="utf-8")
    listed = set(config["options"]["packages"].split())
    packages = {
        f"fetcher.{name}" for name, path in MODULES.items() if path.name == "__init__.py"
    } | {"fetcher", "fetcher.catalog.manifests", "fetcher.catalog.layouts"}
    assert listed == packages


STARTER = "verify.host.child_process"
# What starts programs, by itself or in passing; worker_pool forks, which runs nothing new.
STARTS = re.compile(
    r"subprocess\.|subprocess$|multiprocessing|pty$|asyncio\.create_subprocess|ctypes\.util"
    r"|concurrent\.futures\.ProcessPool|shutil\.which|platform\.(platform|processor|uname|libc_ver)"
    r"|os\.(system|popen|exec|spawn|posix_spawn|startfile)|webbrowser"
)

# Begins itself anew with its own arguments, before anything else: that is no other program.
BEGINS_ANEW = {"__main__": {"os.execv"}}


def names_used(tree: ast.Module) -> Iterator[str]:
    """Dotted names that a file imports or takes attributes of; not what types alone need."""
    nodes: list[ast.AST] = [tree]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            nodes += node.orelse
            continue
        nodes += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Attribute):
            yield dotted(node)


def dotted(node: ast.expr) -> str:
    """The dotted name of what is taken or called; "?" begins what no name begins."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join(reversed([*parts, node.id if isinstance(node, ast.Name) else "?"]))


def test_one_module_starts_programs() -> None:
    """Elsewhere one forgets the neutral folder, the clean environment, or the whole path."""
    for module, path in MODULES.items():
        found = {name for name in facts(path).used if STARTS.match(name)}
        found -= BEGINS_ANEW.get(module, set())
        assert not found or module == STARTER, f"{module} uses {found}: use {STARTER}"


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


def test_every_exit_code_has_its_rank() -> None:
    assert set(errors.EXIT_CODES.values()) == set(errors.PRECEDENCE)


def test_starting_up_imports_nothing_heavy() -> None:
    code = (
        "import sys; from fetcher.commands import run; run(['--help'])\n"
        "heavy = {'torch', 'numpy', 'huggingface_hub', 'requests', 'pycurl', 'yaml', 'ruamel',"
        " 'prompt_toolkit', 'sqlite3'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        # A sealed tree is told of without what only a plan needs.
        "import fetcher.commands.all_, fetcher.commands.status, fetcher.commands.check\n"
        "heavy = {'yaml', 'pycurl', 'fetcher.project.manifest', 'fetcher.tree.planner',"
        " 'fetcher.operations.fetch_all'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        # A probe of seconds waits for what `fetch verify` itself loads.
        "import fetcher.commands.verify\n"
        "heavy = {'urllib.request', 'http.client', 'xml.sax', 'torch', 'numpy', 'requests'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "import fetcher.operations.fetch_all, fetcher.commands.add\n"
        "heavy = {'torch', 'numpy', 'huggingface_hub', 'requests', 'transformers', 'ruamel'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_the_map_for_contributors_is_of_this_house() -> None:
    text = (PACKAGE.parent / "CONTRIBUTING.md").read_text("utf-8")
    named = re.findall(r"`((?:fetcher|verify|tests)/[\w./]+)`", text)
    assert len(named) > 30
    for name in {path for path in named if "NAME" not in path}:
        assert (PACKAGE.parent / name).exists(), name
    house = text.partition("```\n")[2].partition("```")[0]
    drawn = [line.split()[0].removesuffix(".py") for line in house.splitlines()]
    rooms = [room for room in ROOMS if not room.startswith(("verify", "__"))]
    assert drawn == [*reversed(rooms), "verify"]


# Who writes, renames or removes by paths, and why no link of a clone has it do that elsewhere.
# Everything else goes through fetcher.fs.boundary.
WRITERS = {
    "it is the mechanism": "fs.atomic fs.boundary fs.owners",
    "names of our own making, of which links are removed and not followed": "fs.private_files",
    "a file at the project's root; what it names goes through the boundary": "project.journal",
    "through folders that are held open": "tree.placer tree.kept tree.kept_files tree.remover "
    "tree.hf_cache reporting.saved bundle.writer web.uploads server.nginx",
    "refuses links before it looks": "tree.state fs.locks",
    "a store, which is looked through when a project chose it": "store.store store.gc store.runs "
    "store.stamps store.part_notes store.project_records "
    "store.upstream_records store.listings store.source_records "
    "store.imports store.released store.unpacking store.wrong_bytes "
    "bundle.blob_import server.upload "
    "transfer.committer transfer.local_copy transfer.partial_file "
    "transfer.recovery transfer.resume transfer.worker_pool transfer.worker_tasks transfer.xet",
    "a place that the person named, judged before": "bundle.volume_writer bundle.check_bundle "
    "commands.common commands.init commands.mirror config.permissions "
    "operations.get_files operations.merge_locks",
    "a temporary folder of our own": "bundle.publisher_signatures bundle.wheelhouse "
    "commands.doctor mirror.remote_signature server.streaming sources.git_objects transfer.wheels "
    "verify.contract.context verify.host.runner verify.loaders.diffusion_part",
    "/proc of the probe's own process": "verify.child.network_guard verify.child.run_probe",
}
_CHANGING = {
    *("unlink", "rmtree", "rename", "renames", "mkdir", "makedirs", "rmdir", "removedirs"),
    *("write_text", "write_bytes", "touch", "symlink", "symlink_to", "hardlink_to", "chmod"),
    *("utime", "move", "write_atomically", "remove_quietly"),
}


def changes_files(path: Path) -> bool:
    """Whether a module changes files by their paths."""
    return any(
        called.rpartition(".")[2] in _CHANGING or called in {"os.replace", "os.link"}
        for called in facts(path).called
    )


def test_who_changes_files_by_their_paths_is_known() -> None:
    known = {name for names in WRITERS.values() for name in names.split()}
    found = {name for name, path in MODULES.items() if changes_files(path)}
    assert found - known == set(), "use fetcher.fs.boundary, or say why this needs no care"
    assert known - found == set(), "these change nothing any more"
