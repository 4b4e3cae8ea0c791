"""Where a checkpoint comes from: a repository, a URL, a path, or an upload into the store."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from fetcher.errors import UsageError, from_os_error
from fetcher.fs import logins
from fetcher.fs.atomic import sha256_of
from fetcher.fs.home import expanded
from fetcher.fs.safe_paths import BadPath, check_relative
from fetcher.i18n import join, t
from fetcher.network.disposition import has_ending
from fetcher.project.manifest import ARTIFACT
from fetcher.register.values import judge, node_of_value, short
from fetcher.sources import is_short_form
from fetcher.sources.addresses import file_of, repository_of
from fetcher.sources.base import Source
from fetcher.store.store import Store


@dataclass(frozen=True)
class Checkpoint:
    """`yaml` is what stands under `source`; `source` the same, decoded. `name` is proposed.

    `files` is what stands under `files`, for a checkpoint whose digest is known. `only` is the
    one file that an address means, "" for the whole source.
    """

    yaml: Any
    source: Source
    name: str
    files: Any = None
    only: str = ""


def of_text(text: str, root: Path, hub: str = "") -> Checkpoint:
    """A repository, its page's address, a URL, or a path. Raises UsageError."""
    text = text.strip()
    single = file_of(text, hub)
    try:
        found = repository_of(text, hub)
    except ValueError as error:
        raise UsageError(t("{text}: {error}", text=short(text), error=error)) from error
    if found is not None and (wrong := logins.complaint(text)):
        raise UsageError(t("{text}: {wrong}", text=short(text), wrong=wrong), logins.advice(text))
    if found is None and is_short_form(text):
        return _of_url(text)
    looks_local = text.startswith((".", "/", "~")) or text.startswith("local:")
    path = expanded(text.removeprefix("local:"))
    if looks_local or (found is None and "://" not in text) or _is_there(root, path, found):
        return of_path(path, root)
    if found is None:
        return _of_url(text)
    if not single and text.startswith(_SHORT) and has_ending(path_in := _path_of(found)):
        folder, _, single = path_in.rpartition("/")
        found = replace(found, path=folder)  # type: ignore[type-var]
    written = _yaml_of(found)
    _, faults = judge(node_of_value(written), _SOURCE)
    if faults:
        raise UsageError(t("{text}: {wrong}", text=short(text), wrong=join(faults, "; ")))
    name = str(getattr(found, "repo", getattr(found, "bucket", ""))).rpartition("/")[2]
    if single:
        return Checkpoint(written, found, PurePosixPath(single).stem or name, only=single)
    return Checkpoint(written, found, name)


_CALLED = ("path", "repo", "bucket", "container", "name", "url", "record", "doi", "folder", "id")


def called(source: Source) -> str:
    """What a source may be called, by what it says itself: the last part of its path or address.

    "" where it says nothing.
    """
    texts = (str(getattr(source, key, "") or "").partition("?")[0] for key in _CALLED)
    names = (text.rstrip("/").rpartition("/")[2].removesuffix(".git") for text in texts)
    return next(filter(None, names), "")


_SHORT = ("hf:", "huggingface:", "gh:", "github:")


def _path_of(source: Source) -> str:
    return str(getattr(source, "path", ""))


def _is_there(root: Path, path: Path, found: Source | None) -> bool:
    """Whether what could also be owner/name is a file or folder here."""
    return found is not None and ":" not in str(path) and (root / path).exists()


def _yaml_of(source: Source) -> dict[str, Any]:
    """The long form without what is default."""
    values: dict[str, Any] = {"type": source.type}
    for name, field in source.__dataclass_fields__.items():  # type: ignore[attr-defined]
        value = getattr(source, name)
        if name in type(source).fields and value != field.default:
            values[name] = value
    return values


def _of_url(text: str) -> Checkpoint:
    source, wrong = judge(node_of_value(text), ARTIFACT.fields["source"].type)
    if wrong:
        raise UsageError(t("{text}: {wrong}", text=short(text), wrong=join(wrong, "; ")))
    if source.type not in {"url", "genforce"}:
        return Checkpoint(text, source, "")  # it is asked what it is called
    name = Path(text.partition("?")[0]).stem or "model"
    return Checkpoint(text, source, name)


def of_path(path: Path, root: Path) -> Checkpoint:
    """A file or folder on this machine; below the project's root, relative to it."""
    full = root / path
    if not full.exists():
        raise UsageError(
            t("{path} is not there", path=short(str(path))),
            t("expected a repository, a URL, a file or a folder"),
        )
    text = _relative(full, root)
    source, wrong = judge(node_of_value({"type": "local", "path": text}), _SOURCE)
    if wrong:
        raise UsageError(t("{path}: {wrong}", path=path, wrong=join(wrong, "; ")))
    return Checkpoint({"type": "local", "path": text}, source, full.stem)


_SOURCE = ARTIFACT.fields["source"].type


def _relative(full: Path, root: Path) -> str:
    try:
        return Path(os.path.abspath(full)).relative_to(root.absolute()).as_posix()
    except ValueError:
        return str(full.absolute())


def upload(path: Path, root: Path, store: Store, name: str = "") -> Checkpoint:
    """Take one file, or every file of a folder, into the store; their digests pin the record.

    `name` is what a single file is called, if not as it is here. Raises UsageError, Failure.
    """
    base = of_path(path, root)
    full = root / path
    listed = [full] if full.is_file() else sorted(p for p in full.rglob("*") if p.is_file())
    files: dict[str, Any] = {}
    try:
        for item in listed:
            label = name or item.name if full.is_file() else item.relative_to(full).as_posix()
            try:
                check_relative(label)
            except BadPath as error:
                raise UsageError(
                    t("{item}: {label!r} {error}", item=item, label=label, error=error),
                    t("rename it"),
                ) from error
            sha256 = sha256_of(str(item))
            if not store.has(sha256):
                store.add_file(str(item), sha256, False)
            files[label] = {"size": item.stat().st_size, "sha256": sha256}
    except OSError as error:
        raise from_os_error(
            error, t("taking {path} into the store {root}", path=path, root=store.root)
        ) from error
    if not files:
        raise UsageError(t("{path} has no files", path=path))
    return Checkpoint(base.yaml, base.source, base.name, files)
