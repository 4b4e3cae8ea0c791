"""From a form's values to a record: what is wrong with each, and the YAML that they come to."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from fetcher.fs.patterns import nearest
from fetcher.i18n import t
from fetcher.project.manifest import ARTIFACT, ID
from fetcher.register.form import BY_KEY, EXTRA, FIELDS, FormField
from fetcher.register.ids import propose
from fetcher.register.values import judge, node_of_text, node_of_value, printable, short
from fetcher.yamldoc.edit import jsonable
from fetcher.yamldoc.schema import INVALID

# The order of a record's keys in the file.
ORDER = (
    *("name", "description", "kind", "task", "framework", "class_path", "io", "interface"),
    *("benchmarks", "metrics", "owner", "visibility", "license", "citation", "max_batch_size"),
    *("attributes", "device", "min_vram", "parameters", "tags", "aliases", "requires_auth"),
    *("type", "params", "source", "mirrors", "files", "exclude", "count", "groups", "optional"),
    *("writable", "probe"),
)


@dataclass
class Draft:
    """A record in the making. `values` are JSON types by field key (io.resolution); `errors` are
    words by field key, `id` and `source` included."""

    id: str = ""
    source: Any = None
    values: dict[str, Any] = field(default_factory=dict)
    errors: dict[str, list[str]] = field(default_factory=dict)

    def set_text(self, form_field: FormField, text: str) -> list[str]:
        """Take what a person typed; returns what is wrong. Empty text removes the value."""
        key = form_field.key
        self.errors.pop(key, None)
        if not text.strip():
            self.values.pop(key, None)
            wrong = [t("is needed")] if form_field.required else []
        else:
            node, complaint = node_of_text(text, form_field.type)
            value, wrong = (INVALID, [complaint]) if node is None else judge(node, form_field.type)
            if not wrong:
                self.values[key] = _plain(key, node, value)
        if wrong:
            self.errors[key] = wrong
        return wrong

    def set_value(self, key: str, value: Any) -> list[str]:
        """Take a JSON value; returns what is wrong."""
        form_field = BY_KEY.get(key)
        kind = form_field.type if form_field else ARTIFACT.fields[key].type
        self.errors.pop(key, None)
        node = node_of_value(value)
        found, wrong = judge(node, kind)
        if not printable(value):
            wrong = [t("holds control characters")]
        if wrong:
            self.errors[key] = wrong
        else:
            self.values[key] = _plain(key, node, found)
        return wrong

    def set_id(self, text: str, taken: Collection[str]) -> list[str]:
        """Take an id; returns what is wrong."""
        self.errors.pop("id", None)
        wrong = []
        if not re.fullmatch(ID, text):
            better = propose(text, taken)
            wrong = [
                t(
                    "{text!r} is no id of letters, digits, '_', '-' and '.': {better} would be",
                    text=short(text),
                    better=better,
                )
            ]
        elif text.lower() in {item.lower() for item in taken}:
            wrong = [
                t(
                    "{text!r} is taken: {text2} is free",
                    text=short(text),
                    text2=propose(text, taken),
                )
            ]
        self.id = text
        if wrong:
            self.errors["id"] = wrong
        return wrong

    def missing(self) -> dict[str, list[str]]:
        """What is still needed."""
        found = {
            item.key: [t("is needed")]
            for item in FIELDS
            if item.required and item.key not in self.values and item.key not in self.errors
        }
        if self.source is None and "source" not in self.errors:
            found["source"] = [t("is needed: a repository, a URL or a file")]
        return found

    def record(self) -> dict[str, Any]:
        """The record as it stands in a manifest."""
        flat = {**self.values, "source": self.source}
        inner = {key[3:]: value for key, value in flat.items() if key.startswith("io.")}
        if inner:
            flat["io"] = {
                item.key[3:]: inner[item.key[3:]]
                for item in FIELDS
                if item.key.startswith("io.") and item.key[3:] in inner
            }
        return {key: flat[key] for key in ORDER if flat.get(key) is not None}


def _plain(key: str, node: Any, value: Any) -> Any:
    """The value as JSON types; `files`, `source` and the like as they were written."""
    if key in {"files", "mirrors", "probe"}:
        from fetcher.yamldoc.nodes import Document
        from fetcher.yamldoc.schema import Json

        return Json().decode(node, Document("value"))
    return jsonable(value)


def from_json(data: Any) -> tuple[Draft, str]:
    """A draft from `--from-json`: (draft, checkpoint or ""). Mistakes are in `errors`.

    `io` may be nested or flat (`io.size`); `id`, `source` or `checkpoint` stand beside the rest.
    """
    draft = Draft()
    if not isinstance(data, Mapping):
        draft.errors["(the file)"] = [t("expected one JSON object with the fields by name")]
        return draft, ""
    checkpoint = data.get("checkpoint", data.get("source", ""))
    for key, value in data.items():
        if key in {"id", "source", "checkpoint", "manifest"}:
            continue
        if key == "io" and isinstance(value, Mapping):
            for inner, item in value.items():
                _set_known(draft, f"io.{inner}", item)
        elif value is not None:
            _set_known(draft, str(key), value)
    if isinstance(data.get("id"), str):
        draft.id = data["id"]
    elif "id" in data:
        draft.errors["id"] = [t("expected text, found {id!r}", id=data["id"])]
    if isinstance(checkpoint, Mapping):
        draft.source, checkpoint = jsonable(checkpoint), ""
        _, wrong = judge(node_of_value(draft.source), ARTIFACT.fields["source"].type)
        if wrong:
            draft.errors["source"] = wrong
    elif not isinstance(checkpoint, str):
        draft.errors["source"] = [
            t("expected text or an object, found {checkpoint!r}", checkpoint=checkpoint)
        ]
        checkpoint = ""
    return draft, checkpoint


def _set_known(draft: Draft, key: str, value: Any) -> None:
    if key in BY_KEY or key in EXTRA:
        draft.set_value(key, value)
        return
    close = nearest(key, [*BY_KEY, *EXTRA, "id", "source", "checkpoint"])
    hint = t(" (did you mean {close!r}?)", close=close) if close else ""
    draft.errors[key] = [t("there is no such field{hint}", hint=hint)]
