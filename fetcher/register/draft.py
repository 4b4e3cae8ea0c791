"""From a form's values to a record: what is wrong with each, and the YAML that they come to."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from fetcher.i18n import t
from fetcher.project.manifest import ARTIFACT, ID
from fetcher.register.form import BY_KEY, FIELDS, OWN, FormField, flat, key_of
from fetcher.register.ids import propose
from fetcher.register.repository import Places
from fetcher.register.values import judge, node_of_text, node_of_value, printable, short
from fetcher.yamldoc.edit import jsonable
from fetcher.yamldoc.schema import INVALID, ListOf

# The order of a record's keys in the file.
ORDER = (
    *("name", "description", "kind", "task", "framework", "class_path", "io", "interface"),
    *("benchmarks", "metrics", "owner", "visibility", "license", "citation", "max_batch_size"),
    *("attributes", "device", "min_vram", "parameters", "tags", "aliases", "requires_auth"),
    *(
        "type",
        "params",
        "source",
        "code",
        "mirrors",
        "files",
        "exclude",
        "count",
        "checksums",
        "groups",
        "optional",
    ),
    *("writable", "probe"),
)


@dataclass
class Draft:
    """A record in the making. `values` are JSON types by field key (io.resolution); `errors` are
    words by field key, `id` and `source` included. `declined` were left empty on purpose: nothing
    is proposed for them. `code` is what stands under it, None for nothing."""

    id: str = ""
    source: Any = None
    code: Any = None
    values: dict[str, Any] = field(default_factory=dict)
    errors: dict[str, list[str]] = field(default_factory=dict)
    declined: set[str] = field(default_factory=set)

    def set_text(self, form_field: FormField, text: str) -> list[str]:
        """Take what a person typed; returns what is wrong. Empty text removes the value."""
        key = form_field.key
        self.errors.pop(key, None)
        self.declined.discard(key)
        if not text.strip():
            self.values.pop(key, None)
            self.declined.add(key)
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
        """Take a JSON value, text as a person types it; returns what is wrong."""
        form_field = BY_KEY.get(key)
        kind = form_field.type if form_field else ARTIFACT.fields[key].type
        self.errors.pop(key, None)
        node = node_of_value(value)
        found, wrong = judge(node, kind)
        several = isinstance(kind, ListOf) and isinstance(value, str) and "," in value
        if (wrong or several) and isinstance(value, str) and value.strip() and printable(value):
            typed, _ = node_of_text(value, kind)
            read, mistakes = (INVALID, wrong) if typed is None else judge(typed, kind)
            if typed is not None and (wrong or not mistakes):
                node, found, wrong = typed, read, mistakes
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
        values = {**self.values, "source": self.source, "code": self.code}
        inner = {key[3:]: value for key, value in values.items() if key.startswith("io.")}
        if inner:
            values["io"] = {
                item.key[3:]: inner[item.key[3:]]
                for item in FIELDS
                if item.key.startswith("io.") and item.key[3:] in inner
            }
        return {key: values[key] for key in ORDER if values.get(key) is not None}


def _plain(key: str, node: Any, value: Any) -> Any:
    """The value as JSON types; `files`, `source` and the like as they were written."""
    if key in {"files", "mirrors", "probe"}:
        from fetcher.yamldoc.nodes import Document
        from fetcher.yamldoc.schema import Json

        return Json().decode(node, Document("value"))
    return jsonable(value)


def from_json(data: Any) -> tuple[Draft, Places]:
    """A draft from `--from-json`, and where code and checkpoint are. Mistakes are in `errors`.

    Keys are the fields' names or their labels, also grouped as on the form (io: {size: …}).
    """
    draft, places = Draft(), Places()
    if not isinstance(data, Mapping):
        draft.errors["(the file)"] = [t("expected one JSON object with the fields by name")]
        return draft, places
    named: dict[str, str] = {}
    for name, value in flat(data):
        try:
            key = key_of(name)
        except KeyError as error:
            close = error.args[0]
            hint = t(" (did you mean {close!r}?)", close=close) if close else ""
            draft.errors[name] = [t("there is no such field{hint}", hint=hint)]
            continue
        other = named.setdefault(key, name)
        if key == "attributes" and isinstance(value, Mapping):
            draft.set_value(key, {**draft.values.get(key, {}), **value})
        elif other != name:
            draft.errors[name] = [t("{other!r} has said it already", other=other)]
        elif key in OWN:
            _set_own(draft, places, key, value)
        elif value is None or value in ("", []):
            draft.declined.add(key)
        else:
            draft.set_value(key, value)
    return draft, places


def _set_own(draft: Draft, places: Places, key: str, value: Any) -> None:
    """Take what is not a field of the record alone."""
    target = "source" if key == "checkpoint" else key
    if value is None or key == "manifest":
        return
    if key in {"checkpoint", "repository"} and isinstance(value, Mapping):
        written = jsonable(value)
        _, wrong = judge(node_of_value(written), ARTIFACT.fields["source"].type)
        draft.source, draft.code = (
            (written, draft.code) if key == "checkpoint" else (draft.source, written)
        )
        if wrong:
            draft.errors[target] = wrong
    elif key == "fetch_code" and isinstance(value, bool):
        places.fetch_code = value
    elif not isinstance(value, str) or key == "fetch_code":
        wanted = t("true or false") if key == "fetch_code" else t("text")
        told = t("expected {wanted}, found {value!r}", wanted=wanted, value=value)
        draft.errors[target] = [told]
    elif not printable(value):
        draft.errors[target] = [t("holds control characters")]
    elif key == "id":
        draft.id = value
    else:
        setattr(places, key, value.strip())
