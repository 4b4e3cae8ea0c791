"""`model_config.yaml` of image-generation services as a manifest, a layout and `runtime:`.

The format is known by its words only, so shapes are taken liberally: models as a mapping or a
list, settings at the top or under a heading. No key is ever lost: what has no place of its own is
kept under `attributes` of its model or under `runtime: other:`, and named.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fetcher.config import runtime_schema
from fetcher.errors import DocumentProblem, InvalidDocument, UsageError
from fetcher.fs.nearest import nearest
from fetcher.i18n import t
from fetcher.project.fields import DESCRIPTION
from fetcher.project.manifest import ARTIFACT
from fetcher.register.ids import propose
from fetcher.register.values import judge, node_of_value
from fetcher.sources.addresses import repository_of
from fetcher.yamldoc import nodes
from fetcher.yamldoc.edit import dump, jsonable, plain, spaced
from fetcher.yamldoc.nodes import Document, Node
from fetcher.yamldoc.schema import INVALID, Boolean, Record, Type, node_of

REPO_KEYS = (
    "repo",
    "repo_id",
    "model_id",
    "hf_repo",
    "hf_model_id",
    "hub_id",
    "repository",
    "huggingface_id",
    "pretrained_model_name_or_path",
    "model_path",
    "path",
    "url",
)
_SAME = {
    "pipeline_type": "type",
    "model_type": "type",
    "gated": "requires_auth",
    "auth_required": "requires_auth",
    "requires_token": "requires_auth",
}
_PARAM_HEADS = ("params", "parameters", "generation", "defaults", "default_params")
_RUNTIME_SAME = {
    "primary": "primary_model",
    "default_model": "primary_model",
    "fallbacks": "fallback_models",
    "fallback": "fallback_models",
    "memory_optimization": "memory",
    "memory_settings": "memory",
    "prompt_optimisation": "prompt_optimization",
}
_RUNTIME_KEYS = (
    "primary_model",
    "fallback_models",
    "enable_fallback",
    "memory",
    "prompt_optimization",
)
_HEADINGS = ("settings", "runtime", "config", "model_config", "image_generation", "generation")
_PARAMS: Mapping[str, Any] = DESCRIPTION["params"].type.fields  # type: ignore[attr-defined]
_WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_LINES = re.compile(r"(\d+)\s*[x×,]\s*(\d+)")


@dataclass
class Converted:
    """What a model_config.yaml comes to. `notes` say what was kept elsewhere, a line each.

    A file may have models, settings, or both; without models there are no artifacts.
    """

    artifacts: dict[str, dict[str, Any]] = field(default_factory=dict)
    runtime: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def manifest(self, name: str, title: str) -> str:
        """The manifest's text."""
        body = dump({"artifacts": self.artifacts}, 3)
        return dump({"manifest": name, "title": title}, 1) + spaced(body)

    def layout(self, name: str) -> str:
        """The layout's text: a folder for each model."""
        folders = {f"{key}/": key for key in self.artifacts}
        return dump({"layout": name, "tree": {"models": folders}}, 3)


def read(path: Path) -> Converted:
    """Convert a file. Raises InvalidDocument for what cannot be read or names no repository."""
    document = nodes.read(path, str(path))
    converted = _Reader(document).convert() if document.root is not None else Converted()
    if document.problems:
        raise InvalidDocument(document.problems)
    if not converted.artifacts and not set(converted.runtime) - {"other"}:
        problem = DocumentProblem(
            str(path),
            1,
            1,
            t("there are no models and no settings in it"),
            t("expected the key 'models' or 'runtime'"),
        )
        raise InvalidDocument([problem])
    return converted


class _Reader:
    """Walks the document once; everything it meets is put somewhere."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.result = Converted()
        self.ids: dict[str, str] = {}  # names in the document -> ids

    def convert(self) -> Converted:
        root = self.document.root
        assert root is not None
        if root.kind != "mapping":
            self.document.problem(
                root, t("found {found}, expected a mapping", found=root.describe())
            )
            return self.result
        self._section(root, "")
        self._rename()
        return self.result

    def _section(self, node: Node, where: str) -> None:
        """The keys of the top level, or below a heading."""
        for key, value in node.pairs:
            name = _RUNTIME_SAME.get(key.text, key.text)
            path = f"{where}{key.text}"
            if key.text == "models" and value.kind in {"mapping", "sequence"}:
                self._models(value)
            elif name in _RUNTIME_KEYS and self._runtime(name, key, value, path):
                continue
            elif not where and key.text in _HEADINGS and value.kind == "mapping":
                self._section(value, f"{path}.")
            else:
                self._keep(self.result.runtime.setdefault("other", {}), path, value)
                self._note(path, t("runtime: other: {path}", path=path))

    def _note(self, what: str, where: str) -> None:
        self.result.notes.append(
            t("{what} is not known; kept under {where}", what=what, where=where)
        )

    def _keep(self, place: dict[str, Any], key: str, node: Node) -> None:
        value = plain(node, self.document)
        if value is not INVALID:
            place[_free(place, key)] = value

    def _fits(self, kind: Type, node: Node) -> Any:
        """The value as the schema reads it (JSON types), INVALID if it does not take it."""
        scratch = Document(self.document.name)
        if isinstance(kind, Boolean) and node.kind == "scalar" and not node.quoted:
            # What wrote and read these files before knows the older words, too.
            return _WORDS.get(node.text.lower(), INVALID)
        found = kind.decode(node, scratch)
        return INVALID if found is INVALID else jsonable(found)

    # runtime

    def _runtime(self, name: str, key: Node, value: Node, path: str) -> bool:
        runtime = self.result.runtime
        kind = runtime_schema.RUNTIME.fields[name].type
        if isinstance(kind, Record) and value.kind == "mapping":
            place = runtime.setdefault(name, {})
            for inner, item in value.pairs:
                known = kind.fields.get(inner.text)
                found = INVALID if known is None else self._fits(known.type, item)
                current = runtime_schema.OLDER_MEMORY_KEYS.get(inner.text, inner.text)
                if current in place or found is INVALID:
                    other = runtime.setdefault("other", {})
                    self._keep(other, f"{path}.{inner.text}", item)
                    close = nearest(inner.text, kind.fields) if known is None else ""
                    meant = t(" (did it mean {close!r}?)", close=close) if close else ""
                    kept = t(
                        "runtime: other: {path}.{text}{meant}",
                        path=path,
                        text=inner.text,
                        meant=meant,
                    )
                    self._note(f"{path}.{inner.text}", kept)
                else:
                    place[current] = found
            if value.pairs and not place:
                del runtime[name]
            return True
        found = self._fits(kind, value)
        if found is INVALID or name in runtime:
            return False
        runtime[name] = found
        return True

    def _rename(self) -> None:
        """Names of models in the settings become the ids that they were given."""
        runtime = self.result.runtime
        if "primary_model" in runtime:
            runtime["primary_model"] = self.ids.get(
                runtime["primary_model"], runtime["primary_model"]
            )
        if "fallback_models" in runtime:
            names = [self.ids.get(name, name) for name in runtime["fallback_models"]]
            runtime["fallback_models"] = list(dict.fromkeys(names))
        limits = runtime.get("prompt_optimization", {}).get("max_length_by_model")
        if isinstance(limits, dict):
            renamed = {self.ids.get(name, name): limit for name, limit in limits.items()}
            if len(renamed) == len(limits):
                runtime["prompt_optimization"]["max_length_by_model"] = renamed

    # models

    def _models(self, node: Node) -> None:
        for label, value, place in _listed(node):
            key = "" if label else _first_key(value, ("id", "key", "name", *REPO_KEYS))
            text = label or (_text(value, key) if key else value.text)
            self._model(text or "model", value, place, key)

    def _model(self, label: str, node: Node, place: Node, label_key: str) -> None:
        """One model; `label_key` is the key that its label was found under, if any."""
        repo_key = _first_key(node, REPO_KEYS) or _repository_id(node)
        repo = node.text if node.kind == "scalar" else _text(node, repo_key)
        source = self._source(repo)
        if source is None:
            self.document.problem(
                place,
                t("model {label!r} names no repository", label=label),
                t("one of {text}, such as id: owner/name", text=", ".join(("id", *REPO_KEYS[:3]))),
            )
            return
        identifier = propose(label.rpartition("/")[2] or label, self.result.artifacts)
        self.ids.setdefault(label, identifier)
        record: dict[str, Any] = {"kind": "model", "task": "image-generation"}
        self.result.artifacts[identifier] = record
        if node.kind == "mapping":
            taken = {repo_key} | ({label_key} if label_key in {"id", "key"} else set())
            self._record(record, node, taken, label)
        if label not in {identifier, repo, record.get("name")} and "aliases" not in record:
            record["aliases"] = [label]
        elif label not in {identifier, repo, record.get("name")}:
            record.setdefault("attributes", {})["label"] = label
        record["source"] = self._with_revision(source, record)
        for wrong in judge(node_of_value(jsonable(record)), ARTIFACT)[1]:
            self.document.problem(place, t("model {label!r}: {wrong}", label=label, wrong=wrong))

    def _source(self, repo: str) -> Any:
        if not repo:
            return None
        if repo.startswith((".", "/", "~")):
            return f"local:{repo}"
        try:
            found = repository_of(repo)
        except ValueError:
            return None
        if found is not None:
            return found
        return repo if re.match(r"(https?|ftp)://", repo) else None

    @staticmethod
    def _with_revision(source: Any, record: dict[str, Any]) -> Any:
        if isinstance(source, str):
            return source
        attributes = record.get("attributes", {})
        found = {"type": source.type, "repo": source.repo}
        revision = attributes.get("revision")
        if isinstance(revision, str) and source.type == "huggingface":
            found["revision"] = attributes.pop("revision")
        elif getattr(source, "revision", "main") != "main":
            found["revision"] = source.revision
        if getattr(source, "path", ""):
            found["path"] = source.path
        if not attributes:
            record.pop("attributes", None)
        return found

    def _record(self, record: dict[str, Any], node: Node, taken: set[str], label: str) -> None:
        for key, value in node.pairs:
            path = f"models.{label}.{key.text}"
            name = _SAME.get(key.text, key.text)
            if key.text in taken:
                continue
            if key.text in _PARAM_HEADS and value.kind == "mapping":
                record.setdefault("params", {})
                for inner, item in value.pairs:
                    self._param(record, inner.text, item, f"{path}.{inner.text}")
            elif name in _PARAMS and name not in DESCRIPTION:
                self._param(record, name, value, path)
            elif not self._described(record, name, value):
                self._keep(record.setdefault("attributes", {}), key.text, value)
                if key.text != "revision":
                    self._note(path, f"attributes: {key.text}")

    def _described(self, record: dict[str, Any], name: str, value: Node) -> bool:
        """Take a key of the catalog's record; False if it is none, or does not fit there."""
        if name not in DESCRIPTION or name in {"params", "attributes"}:
            return False
        found = self._fits(DESCRIPTION[name].type, value)
        if found is INVALID or (name in record and name not in {"task", "kind"}):
            return False
        record[name] = found
        return True

    def _param(self, record: dict[str, Any], name: str, node: Node, path: str) -> None:
        params = record.setdefault("params", {})
        known = _PARAMS.get(name)
        found = plain(node, self.document) if known is None else self._fits(known.type, node)
        if found is INVALID and name in {"default_size", "max_size"}:
            found = _size(plain(node, Document(self.document.name)))
        if found is INVALID or name in params:
            self._keep(record.setdefault("attributes", {}), name, node)
            self._note(path, f"attributes: {name}")
            return
        params[name] = found
        if known is None:
            self._note(path, f"params: {name}")


def _free(place: Mapping[str, Any], key: str) -> str:
    """The key, or one like it that is not taken."""
    result, number = key, 2
    while result in place:
        result, number = f"{key}-{number}", number + 1
    return result


def _listed(node: Node) -> Iterator[tuple[str, Node, Node]]:
    """(label or "", value, node to blame) of each model."""
    if node.kind == "mapping":
        for key, value in node.pairs:
            yield key.text, value, key
    for item in node.items:
        if item.kind == "mapping" and len(item.pairs) == 1 and item.pairs[0][1].kind == "mapping":
            yield item.pairs[0][0].text, item.pairs[0][1], item  # - sdxl: {…}
        else:
            yield "", item, item


def _text(node: Node, key: str) -> str:
    found = node_of(node, key)
    return found.text if found is not node and found.kind == "scalar" else ""


def _first_key(node: Node, keys: tuple[str, ...]) -> str:
    """The first of the keys that holds text, "" if none does."""
    return next((key for key in keys if _text(node, key)), "")


def _repository_id(node: Node) -> str:
    """`id` where it names a repository or a place, as these files usually mean it; else ""."""
    return "id" if re.search(r"[/\\]", _text(node, "id")) else ""


def _size(value: Any) -> Any:
    """Width and height from 1024, `1024x768` or {width, height}; INVALID if it is none."""
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return [value, value]
    if isinstance(value, str) and (found := _LINES.fullmatch(value.strip())):
        return [int(found[1]), int(found[2])]
    if isinstance(value, dict) and set(value) == {"width", "height"}:
        pair = [value["width"], value["height"]]
        return pair if all(isinstance(n, int) and n > 0 for n in pair) else INVALID
    return INVALID


def name_for(path: Path, given: str | None) -> str:
    """The manifest's name: as given, else from the file's name."""
    name = given or propose(path.stem.replace("_", "-"))
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", name):
        raise UsageError(t("--name {name}: expected letters, digits, '_', '-' and '.'", name=name))
    return name
