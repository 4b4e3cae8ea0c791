"""Which kind of document a file is, and reading it as a tree."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from fetcher.errors import InvalidDocument, UsageError
from fetcher.i18n import t
from fetcher.importers import address_list, data_registries, model_lists
from fetcher.importers.document_paths import Unreadable, not_told
from fetcher.importers.target_tree import FileOrigin, HubFile, Languages, TargetTree
from fetcher.verify.contract import json_text
from fetcher.yamldoc.json_fields import JsonFields

if TYPE_CHECKING:
    from fetcher.importers.page_references import Surroundings
    from fetcher.yamldoc.nodes import Node

LARGEST = 8 << 20
_ADDRESS = re.compile(r"(?:https?|ftp)://[^\s\"'`<>)\]}|\\,;]+")
_DRIVE_ID = re.compile(r"google\.com/.*?/(?:d|folders)/([\w-]+)")
_SUFFIXES = {
    **dict.fromkeys((".md", ".markdown", ".mdx"), "page"),
    **dict.fromkeys((".html", ".htm"), "html"),
    **dict.fromkeys((".sh", ".bash", ".zsh", ".command"), "shell"),
    **dict.fromkeys((".yaml", ".yml"), "model-config"),
    ".dvc": "dvc",
    ".ipynb": "notebook",
    ".mk": "makefile",
    ".py": "python",
    ".rst": "rst",
}
_SHELL_WORDS = re.compile(
    r"^[ \t]*(wget|curl|gdown|git clone|hf download|huggingface-cli|aria2c)\b", re.M
)
_DATA_FOLDERS = (
    r"(pre-?trained[_-]?)?(models?|weights|checkpoints?|ckpts?)|pre-?trained|data|datasets?"
)
_TOOL_FOLDERS = (
    r"\.\w+|bin|bash|shell|scripts?|tools?|utils?|prepare|preparation|setup|docker|ci|demos?|dev|docs?"
    r"|examples?|install(ation|ers?)?|downloads?|downloaders?|src|cmd|misc|helpers?|commands?|build|run"
)
# Lines whose addresses bring no files of the project.
_OTHER = re.compile(
    r"^\s*(#|//|echo\b|print|printf\b|pip3?\b|conda\b|apt|\"\"\"|'''|raise\b|parser\.)"
)


@dataclass
class Read:
    """What a document says: the tree, the layout's root, and what kind of document it is."""

    kind: str
    tree: TargetTree = field(default_factory=TargetTree)
    root: str = ""
    cells: tuple[int, ...] = ()  # of a notebook: the lines on which they begin


@dataclass(frozen=True)
class Where:
    """What the document itself does not say.

    `path` is the file's own from the project's root, its bare name if it lies elsewhere; `inside`
    whether it lies in the project; `project` the name of the project's folder. `base` stands in
    front of a registry's names, `folder` is where a registry's files belong. `sibling` reads a text
    of the project, "" for none; `has_folder` says whether the project has one; `beside` are the
    paths of the documents that are read with this one.
    """

    path: str
    inside: bool = True
    project: str = ""
    base: str = ""
    folder: str = ""
    sibling: Callable[[str], str] = lambda _: ""
    has_folder: Callable[[str], bool] = lambda _: True
    beside: frozenset[str] = frozenset()


def kind_of(name: str, text: str) -> str:
    """shell, python, dockerfile, makefile, page, rst, html, notebook, list, comfyui, collection,
    pooch, dvc, dvc-pipeline or model-config.

    Raises UsageError for what is none of them.
    """
    suffix = PurePosixPath(name.lower()).suffix
    if suffix == ".json":
        return _json_kind(text)
    if kind := _kind_of_name(name, text) or _kind_of_text(text):
        return kind
    raise UsageError(
        t("{name}: this kind of file is not known", name=name),
        t(
            "scripts (shell, Python), Dockerfiles, Makefiles, Markdown, reStructuredText, HTML, "
            "notebooks, lists of addresses, ComfyUI's list, pooch, .dvc, dvc.yaml, "
            "model_config.yaml"
        ),
    )


def _kind_of_name(name: str, text: str) -> str:
    """The kind that a name or the text's first line says, "" for none."""
    base = posixpath.basename(name).lower()
    suffix = PurePosixPath(base).suffix
    first = text.lstrip("\ufeff")[:200].split("\n")[0]
    if base in {"dvc.yaml", "dvc.yml"}:
        return "dvc-pipeline"
    if re.fullmatch(r"(.*\.)?(dockerfile|containerfile)(\.[\w-]+|-[\w-]+)?", base):
        return "dockerfile"
    if base in {"makefile", "gnumakefile"}:
        return "makefile"
    if kind := _SUFFIXES.get(suffix):
        return kind
    if re.match(r"#!.*\bpython", first):
        return "python"
    return "shell" if re.match(r"#!.*\b(ba|z|da|k)?sh\b", first) else ""


def _kind_of_text(text: str) -> str:
    """The kind of a text whose name says nothing, "" for none."""
    if data_registries.is_pooch(text):
        return "pooch"
    if re.match(r"\s*<(!doctype html|html|head|body)\b", text, re.IGNORECASE):
        return "html"
    if address_list.is_list(text):
        return "list"
    if re.search(r"^\s*\|.*\|.*\|", text, re.M) or re.search(r"\]\(https?://", text):
        return "page"
    return "shell" if _SHELL_WORDS.search(text) else ""


def _json_kind(text: str) -> str:
    fields = JsonFields.of(_json(text))
    if model_lists.is_comfyui(fields):
        return "comfyui"
    if model_lists.is_collection(fields):
        return "collection"
    raise UsageError(
        t("this JSON is neither ComfyUI's model list nor a collection of the Hub"),
        t("expected the key 'models' with url and filename, or 'slug' and 'items'"),
    )


def _json(text: str) -> object:
    try:
        return json_text.loads(text.lstrip("\ufeff"))
    except (ValueError, RecursionError) as error:
        raise UsageError(
            t("this is no JSON: {error}", error=error), t("is it whole? save it again")
        ) from error


def read(text: str, where: Where, kind: str) -> Read:
    """A document's tree. Raises UsageError for one that cannot be read at all."""
    found = Read(kind)
    found.tree.languages = _languages(where)
    text = text.lstrip("\ufeff")
    if kind == "shell":
        from fetcher.importers import shell

        shell.read(text, found.tree, where.path if where.inside else "")
        _leftover(text, found.tree)
        if where.inside:
            found.root = _own_folder(text, where.path, found.tree)
    elif kind in {"dockerfile", "makefile"}:
        from fetcher.importers import build_files, shell

        make = build_files.of_dockerfile if kind == "dockerfile" else build_files.of_makefile
        shell.read(make(text), found.tree)
        _leftover(text, found.tree)
    elif kind == "python":
        from fetcher.importers import python_script

        python_script.read(text, found.tree, where.path if where.inside else "")
        _leftover(text, found.tree)
    elif kind in {"page", "rst", "html", "notebook"}:
        from fetcher.importers import markdown_page

        text, found.cells = _as_markdown(text, kind, where.base)
        found.root = markdown_page.read(text, found.tree, _surroundings(where))
        if where.inside and not where.has_folder(found.root):
            found.root = ""  # the project itself, in a folder that is called otherwise
    elif kind == "list":
        address_list.read(text, found.tree, where.folder or _folder_of_list(where))
    elif kind in {"comfyui", "collection"}:
        _json_list(text, found)
    elif kind == "pooch":
        data_registries.pooch(text, found.tree, where.base, where.folder or _stem(where.path))
    else:
        _dvc(text, where, found)
    return found


def _surroundings(where: Where) -> Surroundings:
    from fetcher.importers.page_references import Surroundings

    path = where.path if where.inside else ""
    return Surroundings(where.project, path, where.sibling, where.beside)


def _as_markdown(text: str, kind: str, address: str) -> tuple[str, tuple[int, ...]]:
    """(a page in Markdown, the lines of a notebook's cells)."""
    if kind == "rst":
        from fetcher.importers import rst_page

        return rst_page.as_markdown(text), ()
    if kind == "html":
        from fetcher.importers import html_page

        return html_page.as_markdown(text, address), ()
    if kind == "notebook":
        from fetcher.importers import notebook

        return notebook.as_markdown(text)
    return text, ()


def _folder_of_list(where: Where) -> str | None:
    """A list in a folder for weights or data tells what belongs beside it."""
    folder = posixpath.dirname(where.path) if where.inside else ""
    for_data = re.fullmatch(_DATA_FOLDERS, posixpath.basename(folder), re.IGNORECASE)
    return folder if for_data else None


def _stage_lines(root: Node | None) -> dict[str, int]:
    """The lines on which the stages of a `dvc.yaml` begin."""
    for key, value in root.pairs if root is not None else ():
        if key.text == "stages":
            return {name.text: name.line for name, _ in value.pairs}
    return {}


def _own_folder(text: str, script: str, tree: TargetTree) -> str:
    """The folder that a script is run in, where that can only be its own.

    Scripts are run from the project's root, but for one beside the files that it brings, which
    names that folder nowhere.
    """
    folder = posixpath.dirname(script)
    targets = list(tree.targets())
    own = posixpath.basename(folder)
    for_data = re.fullmatch(_DATA_FOLDERS, own, re.IGNORECASE)
    tools = any(re.fullmatch(_TOOL_FOLDERS, part, re.I) for part in folder.split("/"))
    here = own and not tools and not any("/" in p or p not in tree.files for p in targets if p)
    if not for_data and not here:
        return ""
    tops = {path.partition("/")[0] for path in targets}
    if tops & set(folder.split("/")) or any(not_told(top) for top in tops):
        return ""
    entered = re.search(r"^[ \t]*cd[ \t]+(\S+)", text, re.MULTILINE)
    if re.search(r"\$\{?0\b|BASH_SOURCE|show-toplevel", text) or (
        entered and entered[1].startswith("..")
    ):
        return ""
    if tops:
        why = t("it names no folder of its own: it is read as run in {folder}", folder=folder)
        tree.remark(1, why)
    return folder if tops else ""


def _languages(where: Where) -> Languages:
    from fetcher.importers import python_script, shell

    return Languages(shell.read, python_script.read, where.sibling)


def _stem(path: str) -> str:
    name = posixpath.basename(path).partition(".")[0]
    return "data" if name in {"", "registry"} else name


def _json_list(text: str, found: Read) -> None:
    fields = JsonFields.of(_json(text))
    if found.kind == "collection":
        model_lists.collection(fields, found.tree)
        return
    model_lists.comfyui(fields, _lines_of_models(text), found.tree)


def _lines_of_models(text: str) -> dict[int, int]:
    """On which line each object of a list begins; JSON's own reader tells no lines."""
    found: dict[int, int] = {}
    decoder = json.JSONDecoder()
    start = re.search(r'"models"\s*:\s*\[', text)
    position = start.end() if start else len(text)
    line, counted = text.count("\n", 0, position) + 1, position
    while opening := re.compile(r"[\s,]*\{").match(text, position):
        begin = opening.end() - 1
        line += text.count("\n", counted, begin)
        counted = begin
        found[len(found)] = line
        try:
            position = decoder.raw_decode(text, begin)[1]
        except (ValueError, RecursionError):
            break
    return found


def _dvc(text: str, where: Where, found: Read) -> None:
    from fetcher.yamldoc.edit import plain
    from fetcher.yamldoc.nodes import parse

    document = parse(text.encode(), where.path)
    value = plain(document.root, document) if document.root is not None else None
    if document.problems:
        raise InvalidDocument(document.problems)
    if not isinstance(value, dict):
        raise UsageError(t("{name} is no DVC file", name=where.path))
    folder = posixpath.dirname(where.path) if where.inside else ""
    try:
        if found.kind == "dvc-pipeline":
            data_registries.dvc_pipeline(value, found.tree, folder, _stage_lines(document.root))
        else:
            remote = data_registries.dvc_remote(where.sibling(".dvc/config"))
            data_registries.dvc_file(value, found.tree, folder, remote)
    except Unreadable as why:
        found.tree.remark(1, why.args[0])


def _leftover(text: str, tree: TargetTree) -> None:
    """Addresses in a script that no file and no remark accounts for: nothing is lost silently."""
    told = "\n".join(f"{remark.text} {remark.reason}" for remark in tree.remarks)
    lines = {remark.line for remark in tree.remarks}
    used = set(_addresses(tree))
    for number, line in enumerate(text.splitlines(), 1):
        if number in lines or _OTHER.match(line):
            continue
        for address in (found.rstrip(".,:") for found in _ADDRESS.findall(line)):
            if "$" in address or "{" in address or address in told:
                continue
            if any(_is_same(item, address) for item in used):
                continue
            if _is_file(address):
                tree.remark(number, t("this address was not read as a download"), address)


def _is_same(used: str, address: str) -> bool:
    """Whether an address of the document is one that was read, perhaps a part of it."""
    drive = _DRIVE_ID.search(used)
    return (
        used.startswith(address) or address.startswith(used) or bool(drive and drive[1] in address)
    )


def _is_file(address: str) -> bool:
    from fetcher.importers.page_links import is_download

    return is_download(address)


def _addresses(tree: TargetTree) -> list[str]:
    found: list[str] = []
    origins = [*tree.files.values(), *tree.archives.values(), *(o for _, o in tree.unnamed)]
    origins += [item.archive for item in tree.unpacked]
    repos = [repo for _, repo in tree.repos] + tree.cached
    for origin in origins:
        if isinstance(origin, FileOrigin):
            found += [origin.address, *origin.mirrors]
        elif isinstance(origin, HubFile):
            repos.append(origin.repo)
    for repo in repos:
        kind = "" if repo.kind == "model" else f"{repo.kind}s/"
        found.append(f"https://huggingface.co/{kind}{repo.repo}")
    return found
