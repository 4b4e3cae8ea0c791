"""Which kind of document a file is, and reading it as a tree."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from fetcher.errors import UsageError
from fetcher.i18n import t
from fetcher.importers import data_registries, model_lists
from fetcher.importers.target_tree import FileOrigin, HubFile, Languages, TargetTree, Unreadable
from fetcher.verify.contract import json_text
from fetcher.yamldoc.json_fields import JsonFields

LARGEST = 8 << 20
_ADDRESS = re.compile(r"https?://[^\s\"'`<>)\]}|\\,;]+")
_SHELL_WORDS = re.compile(
    r"^[ \t]*(wget|curl|gdown|git clone|hf download|huggingface-cli|aria2c)\b", re.M
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


@dataclass(frozen=True)
class Where:
    """What the document itself does not say.

    `path` is the file's own from the project's root, its bare name if it lies elsewhere; `inside`
    whether it lies in the project; `project` the name of the project's folder. `base` stands in
    front of a registry's names, `folder` is where a registry's files belong. `sibling` reads a text
    of the project, "" for none.
    """

    path: str
    inside: bool = True
    project: str = ""
    base: str = ""
    folder: str = ""
    sibling: Callable[[str], str] = lambda _: ""


def kind_of(name: str, text: str) -> str:
    """shell, python, page, comfyui, collection, pooch, dvc, dvc-pipeline or model-config.

    Raises UsageError for what is none of them.
    """
    base = posixpath.basename(name).lower()
    suffix = PurePosixPath(base).suffix
    first = text.lstrip("\ufeff")[:200].split("\n")[0]
    if suffix == ".dvc":
        return "dvc"
    if base in {"dvc.yaml", "dvc.yml"}:
        return "dvc-pipeline"
    if suffix in {".yaml", ".yml"}:
        return "model-config"
    if suffix == ".py" or re.match(r"#!.*\bpython", first):
        return "python"
    if suffix in {".sh", ".bash", ".zsh", ".command"} or re.match(r"#!.*\b(ba|z|da|k)?sh\b", first):
        return "shell"
    if suffix in {".md", ".markdown", ".mdx"}:
        return "page"
    if suffix == ".json":
        return _json_kind(text)
    if data_registries.is_pooch(text):
        return "pooch"
    if re.search(r"^\s*\|.*\|.*\|", text, re.M) or re.search(r"\]\(https?://", text):
        return "page"
    if _SHELL_WORDS.search(text):
        return "shell"
    raise UsageError(
        t("{name}: this kind of file is not known", name=name),
        t(
            "scripts (shell, Python), Markdown, ComfyUI's list, pooch, .dvc, dvc.yaml, "
            "model_config.yaml"
        ),
    )


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
        raise UsageError(t("this is no JSON: {error}", error=error)) from error


def read(text: str, where: Where, kind: str) -> Read:
    """A document's tree. Raises UsageError for one that cannot be read at all."""
    found = Read(kind)
    found.tree.languages = _languages()
    text = text.lstrip("\ufeff")
    if kind == "shell":
        from fetcher.importers import shell

        shell.read(text, found.tree, where.path if where.inside else "")
        _leftover(text, found.tree)
    elif kind == "python":
        from fetcher.importers import python_script

        python_script.read(text, found.tree, where.path if where.inside else "")
        _leftover(text, found.tree)
    elif kind == "page":
        from fetcher.importers import markdown_page

        found.root = markdown_page.read(text, found.tree, where.project)
    elif kind in {"comfyui", "collection"}:
        _json_list(text, found)
    elif kind == "pooch":
        data_registries.pooch(text, found.tree, where.base, where.folder or _stem(where.path))
    else:
        _dvc(text, where, found)
    return found


def _languages() -> Languages:
    from fetcher.importers import python_script, shell

    return Languages(shell.read, python_script.read)


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
    if not isinstance(value, dict):
        raise UsageError(t("{name} is no DVC file", name=where.path))
    folder = posixpath.dirname(where.path) if where.inside else ""
    try:
        if found.kind == "dvc-pipeline":
            data_registries.dvc_pipeline(value, found.tree, folder)
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
            if any(item.startswith(address) or address.startswith(item) for item in used):
                continue
            if _is_file(address):
                tree.remark(number, t("this address was not read as a download"), address)


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
    drive = [re.search(r"/(?:d|folders)/([\w-]+)", item) for item in found]
    return found + [f"https://drive.google.com/uc?id={m[1]}" for m in drive if m]
