"""Lists of models: ComfyUI's, and the Hub's collections."""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Mapping

from fetcher.i18n import t
from fetcher.importers.addresses import clean_address, hub_repository
from fetcher.importers.document_paths import Unreadable, inside, join
from fetcher.importers.target_tree import FileOrigin, RepoOrigin, TargetTree
from fetcher.sources.huggingface import REPO
from fetcher.yamldoc.json_fields import JsonFields

# Where ComfyUI looks for a type whose entry says `default`.
_COMFY_FOLDERS: Mapping[str, str] = {
    "checkpoint": "checkpoints",
    "checkpoints": "checkpoints",
    "unclip": "checkpoints",
    "lora": "loras",
    "loras": "loras",
    "t2i-adapter": "controlnet",
    "t2i-style": "controlnet",
    "controlnet": "controlnet",
    "clip": "text_encoders",
    "clip_vision": "clip_vision",
    "text_encoders": "text_encoders",
    "gligen": "gligen",
    "upscale": "upscale_models",
    "embedding": "embeddings",
    "embeddings": "embeddings",
    "vae": "vae",
    "taesd": "vae_approx",
    "unet": "diffusion_models",
    "diffusion_model": "diffusion_models",
    "diffusion_models": "diffusion_models",
    "hypernetwork": "hypernetworks",
}


def is_comfyui(document: JsonFields) -> bool:
    """Whether a JSON document is a model list of ComfyUI."""
    items = document.items("models")
    first = JsonFields.of(items[0]) if items else JsonFields()
    return bool(first.text("url")) and bool(first.text("filename") or first.text("save_path"))


def comfyui(document: JsonFields, lines: Mapping[int, int], tree: TargetTree) -> None:
    """Every entry of a model list; each is optional, as a person chooses among them.

    `lines` are the lines of the entries, by their number.
    """
    for index, item in enumerate(document.items("models")):
        entry, line = JsonFields.of(item), lines.get(index, 1)
        try:
            _comfy_entry(entry, line, tree)
        except Unreadable as why:
            tree.remark(line, why.args[0], entry.text("name") or entry.text("filename"))


def _comfy_entry(entry: JsonFields, line: int, tree: TargetTree) -> None:
    address, name = entry.text("url"), entry.text("filename")
    folder = _comfy_folder(entry)
    title = " ".join(entry.text("name").split())[:120]
    if name == "<huggingface>":
        repo = address.rstrip("/")
        found = hub_repository(repo) if "://" in repo else ("model", repo)
        if found is None or not re.fullmatch(REPO, found[1]):
            raise Unreadable(t("{text} is no repository of the Hub", text=repo))
        target = join(folder, posixpath.basename(found[1]))
        tree.put_repo(target, RepoOrigin(found[1], line, found[0], optional=True, title=title))
        return
    if not name or "/" in name:
        raise Unreadable(t("it names no file"))
    tree.put(
        join(folder, name),
        FileOrigin(clean_address(address), line, name, optional=True, title=title),
    )


def _comfy_folder(entry: JsonFields) -> str:
    path = entry.text("save_path") or "default"
    if path == "default":
        kind = entry.text("type").lower()
        if kind not in _COMFY_FOLDERS:
            raise Unreadable(t("it does not say where models of type {kind!r} belong", kind=kind))
        return f"models/{_COMFY_FOLDERS[kind]}"
    folder = inside("", path)
    return folder if folder.startswith("custom_nodes") else join("models", folder)


def is_collection(document: JsonFields) -> bool:
    """Whether a JSON document is a collection of the Hub, as its API answers."""
    items = [JsonFields.of(item) for item in document.items("items")]
    return bool(document.text("slug")) and all(item.text("type") for item in items)


def collection(document: JsonFields, tree: TargetTree) -> None:
    """Every model and data set of a collection, each in a folder of its name."""
    folders = {"model": "models", "dataset": "datasets"}
    ids = [JsonFields.of(item).text("id") for item in document.items("items")]
    names = Counter(posixpath.basename(repo).lower() for repo in set(ids))
    for item in document.items("items"):
        entry = JsonFields.of(item)
        kind, repo = entry.text("type"), entry.text("id")
        if kind not in folders or not re.fullmatch(REPO, repo):
            tree.remark(1, t("a {kind} is neither a model nor a data set", kind=kind or "?"), repo)
            continue
        name = posixpath.basename(repo)
        own = repo if names[name.lower()] > 1 else name  # two owners may have one of that name
        tree.put_repo(f"{folders[kind]}/{own}", RepoOrigin(repo, 1, kind))


def collection_api(address: str, hub: str) -> str:
    """The API's address of a collection's page, "" for another address."""
    found = re.match(r"https?://[^/]+/(?:api/)?collections/([\w.-]+/[\w.-]+)", address)
    return f"{hub.rstrip('/')}/api/collections/{found[1]}" if found else ""
