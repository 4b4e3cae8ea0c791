"""Registries of data files: pooch's, and DVC's."""

from __future__ import annotations

import itertools
import math
import posixpath
import re
import shlex
from collections.abc import Mapping
from configparser import ConfigParser
from configparser import Error as ConfigError
from urllib.parse import quote

from fetcher.i18n import t
from fetcher.importers.addresses import clean_address
from fetcher.importers.document_paths import Unreadable, inside, located
from fetcher.importers.target_tree import MOST_ENTRIES, FileOrigin, TargetTree
from fetcher.yamldoc.json_fields import JsonFields

_DIGEST = re.compile(r"(?:(?:md5|sha1|sha256|sha512):)?[0-9a-fA-F]{32,128}")
_KINDS = {32: "md5", 40: "sha1", 64: "sha256", 128: "sha512"}


def is_pooch(text: str) -> bool:
    """Whether a text is a registry: a name and a digest in most lines."""
    lines = [
        line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")
    ]
    return bool(lines) and sum(map(bool, map(_entry, lines))) * 2 > len(lines)


def _entry(line: str) -> tuple[str, str, str] | None:
    """(name, digest, address or "") of a line, None for what is no entry. Names may be quoted."""
    try:
        words = shlex.split(line)
    except ValueError:
        return None
    if len(words) not in {2, 3} or not _DIGEST.fullmatch(words[1]):
        return None
    return words[0], words[1], "".join(words[2:])


def pooch(text: str, tree: TargetTree, base: str, folder: str) -> None:
    """Every file of a registry, below `folder`; `base` is the address in front of its names."""
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            found = _entry(line)
            if found is None:
                raise Unreadable(t("it has no name and digest"))
            registered(tree, *found, base, folder, number)
        except Unreadable as why:
            tree.remark(number, why.args[0], line)


def registered(
    tree: TargetTree, name: str, digest: str, address: str, base: str, folder: str, line: int
) -> None:
    """One file of a registry. Raises Unreadable."""
    if not address and not base:
        raise Unreadable(t("its address is not here: say it with --base-url"))
    origin = FileOrigin(
        clean_address(address or f"{base.rstrip('/')}/{quote(name)}"),
        line,
        posixpath.basename(name),
    )
    path = inside(folder, name)
    if ".." in name.split("/"):
        raise Unreadable(t("{path} lies outside the project", path=name))
    tree.put(path, origin)
    kind, _, value = digest.rpartition(":")
    kind = kind or _KINDS.get(len(value), "")
    if _KINDS.get(len(value)) == kind:
        tree.state(path, kind, value.lower())
    else:
        tree.remark(line, t("its digest is none of sha256, sha512, sha1 and md5"), name)


def dvc_remote(config: str) -> str:
    """The address of `.dvc/config`'s default remote, "" for none that HTTP can read."""
    parser = ConfigParser(strict=False, interpolation=None)
    try:
        parser.read_string("\n".join(line.strip() for line in config.splitlines()))
    except ConfigError:
        return ""
    name = parser.get("core", "remote", fallback="").strip("'\"")
    for section in (f"'remote \"{name}\"'", f'remote "{name}"'):
        url = parser.get(section, "url", fallback="").strip().rstrip("/")
        if url:
            break
    else:
        return ""
    if found := re.fullmatch(r"s3://([\w.-]+)(/.*)?", url):
        return f"https://{found[1]}.s3.amazonaws.com{found[2] or ''}"
    if found := re.fullmatch(r"gs://([\w.-]+)(/.*)?", url):
        return f"https://storage.googleapis.com/{found[1]}{found[2] or ''}"
    return url if url.startswith(("http://", "https://")) else ""


def dvc_file(document: Mapping[str, object], tree: TargetTree, folder: str, remote: str) -> None:
    """What a `.dvc` file tracks: `folder` is its own, `remote` the address of DVC's storage."""
    fields = JsonFields(document)
    base = located(folder, fields.text("wdir") or ".")
    deps = [JsonFields.of(item) for item in fields.items("deps")]
    for item in fields.items("outs"):
        out = JsonFields.of(item)
        path = inside(base, out.text("path"))
        try:
            _dvc_out(out, deps, tree, path, remote)
        except Unreadable as why:
            tree.remark(1, why.args[0], path)


def _dvc_out(
    out: JsonFields, deps: list[JsonFields], tree: TargetTree, path: str, remote: str
) -> None:
    md5, size = out.text("md5") or out.text("checksum"), out.get("size")
    if md5.endswith(".dir"):
        raise Unreadable(t("a whole folder in DVC's storage: run `dvc pull` by hand"))
    length = size if isinstance(size, int) and not isinstance(size, bool) and size >= 0 else None
    if not re.fullmatch(r"[0-9a-f]{32}", md5):
        md5 = ""
    if len(deps) == 1 and "://" in deps[0].text("path"):
        address = deps[0].text("path")
    elif deps:
        repo = JsonFields.of(deps[0].get("repo"))
        revision = repo.text("rev_lock") or repo.text("rev") or "HEAD"
        raise Unreadable(
            t(
                "it comes from {repo} at {revision}, through DVC: `dvc pull` by hand",
                repo=repo.text("url") or "?",
                revision=revision[:12],
            )
        )
    elif remote and md5:
        prefix = "/files/md5" if out.text("hash") == "md5" else ""
        address = f"{remote}{prefix}/{md5[:2]}/{md5[2:]}"
    else:
        raise Unreadable(
            t("DVC's storage has no address that can be read over HTTP: `dvc pull` by hand")
        )
    origin = FileOrigin(clean_address(address), 1, posixpath.basename(path), size=length, md5=md5)
    tree.put(path, origin)


def dvc_pipeline(
    document: Mapping[str, object], tree: TargetTree, folder: str, lines: Mapping[str, int]
) -> None:
    """Commands of the stages of a `dvc.yaml` that download; what other stages make is a remark.

    `lines` are the lines that the stages begin on, by their names.
    """
    from fetcher.importers import shell

    given = _variables(document)
    stages = JsonFields.of(document.get("stages"))
    for name in stages.values:
        stage = JsonFields.of(stages.get(str(name)))
        line = lines.get(str(name), 1)
        for item in _each(stage):
            values = {**given, **item}
            inner = JsonFields.of(stage.get("do")) if stage.get("foreach") is not None else stage
            commands = inner.texts("cmd") or ([inner.text("cmd")] if inner.text("cmd") else [])
            text = "\n".join(commands)
            for key, value in values.items():
                text = text.replace(f"${{{key}}}", value)
            base = located(folder, inner.text("wdir") or ".")
            before, told = tree.count(), len(tree.remarks)
            shell.read(text + "\n", tree, "", line, base)
            if (tree.count(), len(tree.remarks)) == (before, told) and inner.items("outs"):
                why = t("stage {name} makes its own files: run it by hand", name=name)
                tree.remark(line, why, text)


def _variables(document: Mapping[str, object]) -> dict[str, str]:
    """The `vars` that stand in the file itself, with dots between the keys of mappings."""
    found: dict[str, str] = {}
    for item in JsonFields(document).items("vars"):
        if isinstance(item, Mapping):
            for key, value in item.items():
                found |= _flat(str(key), value)
    return found


def _each(stage: JsonFields) -> list[dict[str, str]]:
    matrix = stage.get("matrix")
    if isinstance(matrix, Mapping):
        axes = [value if isinstance(value, list) else [value] for value in matrix.values()]
        names = [str(name) for name in matrix]
        if math.prod(map(len, axes)) > MOST_ENTRIES:
            raise Unreadable(t("more than {most:,} files", most=MOST_ENTRIES))
        return [
            {
                key: text
                for name, value in zip(names, chosen, strict=True)
                for key, text in _flat(f"item.{name}", value).items()
            }
            for chosen in itertools.product(*axes)
        ]
    items = stage.get("foreach")
    if isinstance(items, list):
        return [{"item": item} if isinstance(item, str) else _flat("item", item) for item in items]
    if isinstance(items, Mapping):
        return [{"key": str(key), **_flat("item", value)} for key, value in items.items()]
    return [{}]


def _flat(name: str, value: object) -> dict[str, str]:
    if isinstance(value, Mapping):
        return {f"{name}.{key}": str(item) for key, item in value.items()}
    return {name: str(value)}
