"""All kinds of sources, built in or from the entry-point group `fetcher.sources`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from fetcher.fs import logins, placeholders
from fetcher.fs.nearest import nearest
from fetcher.i18n import t
from fetcher.sources.base import Source
from fetcher.yamldoc.nodes import Document, Node
from fetcher.yamldoc.schema import INVALID, Field, JsonSchema, Record, Text, Type, Values, node_of

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

# By their `type`, module and class; a manifest needs one or two of them.
BUILT_IN = {
    "huggingface": "HuggingFace",
    "hf-bucket": "HubBucket",
    "github": "GitHub",
    "git": "Git",
    "genforce": "GenForce",
    "url": "Url",
    "gdrive": "GDrive",
    "zenodo": "Zenodo",
    "doi": "Doi",
    "modelscope": "ModelScope",
    "civitai": "Civitai",
    "dropbox": "Dropbox",
    "onedrive": "OneDrive",
    "sharepoint": "SharePoint",
    "s3": "S3",
    "gs": "GoogleStorage",
    "az": "AzureBlob",
    "kaggle": "Kaggle",
    "local": "Local",
    "pypi": "PyPI",
    "mirror": "FetchMirror",
}
_MODULES = {
    "mirror": "fetch_mirror",
    "hf-bucket": "hf_bucket",
    "zenodo": "records",
    "doi": "records",
} | dict.fromkeys(("dropbox", "onedrive", "sharepoint"), "shares")
_TYPE_FIELD = Field(Text(), t("kind of source"), required=True)
_URL_SCHEMES = {"http", "https", "ftp", "ftps"}
_SHORT = {"hf": "huggingface", "gh": "github", "file": "local", "git+https": "git"}


_BUCKET = re.compile(r"buckets/[^/@:]+/")


def kind_of_short(prefix: str, rest: str) -> str:
    """The `type` that a short form's prefix means."""
    kind = _SHORT.get(prefix, prefix)
    return "hf-bucket" if kind == "huggingface" and _BUCKET.match(rest) else kind


def is_short_form(text: str) -> bool:
    """Whether a text begins as a source's short form does; not those of this machine."""
    prefix, colon, rest = text.partition(":")
    kind = _SHORT.get(prefix, prefix)
    return bool(colon and rest) and kind in BUILT_IN and kind not in {"local", "mirror", "pypi"}


@lru_cache(maxsize=1)
def _entry_points() -> dict[str, EntryPoint]:
    """What other packages register, by name; read only when no built-in type fits."""
    from importlib.metadata import entry_points

    return {point.name: point for point in entry_points(group="fetcher.sources")}


@lru_cache(maxsize=len(BUILT_IN))
def _built_in(name: str) -> type[Source]:
    module = import_module(f"fetcher.sources.{_MODULES.get(name, name)}")
    found: type[Source] = getattr(module, BUILT_IN[name])
    return found


def built_in() -> list[type[Source]]:
    """The classes of all built-in types."""
    return [_built_in(name) for name in BUILT_IN]


def source_type(name: str) -> type[Source] | None:
    """The source class of a `type`, or None. A plug-in that cannot be loaded raises its error."""
    if name in BUILT_IN:
        return _built_in(name)
    point = _entry_points().get(name)
    found: type[Source] | None = point.load() if point else None
    return found


def _type_names(mirror: bool) -> list[str]:
    return [kind.type for kind in built_in() if mirror or not kind.mirror_only] + [*_entry_points()]


@lru_cache(maxsize=64)  # plug-ins have types as well
def _record_of(kind: type[Source]) -> Record:
    """The fields of a type's long form."""
    fields = {"type": _TYPE_FIELD, **kind.fields}
    return Record(t("a source of type {type}", type=kind.type), fields)


def _made(kind: type[Source], values: Values) -> Source:
    if len(values.get("path", "")) > 1:
        values["path"] = values["path"].rstrip("/")
    return kind(**values)


def made_of_texts(
    kind: type[Source], texts: Mapping[str, str], node: Node, document: Document
) -> Any:
    """The source of these fields: the rules of the long form hold however it was written.

    INVALID after noting at `node` what is wrong.
    """
    values = {
        name: kind.fields[name].type.decode(
            Node("scalar", node.line, node.column, text, quoted=True), document
        )
        for name, text in texts.items()
    }
    return INVALID if INVALID in values.values() else _made(kind, values)


def _has_variable(node: Node, document: Document) -> bool:
    """Whether a source's text, or one of its fields, has a variable, which is noted."""
    values = [value for _, value in node.pairs] or [node]
    if not any(placeholders.has_sign(value.text) for value in values):
        return False
    kind = node_of(node, "type").text if node.kind == "mapping" else node.text.partition(":")[0]
    found = False
    for value in values:
        text = value.text if value.kind == "scalar" else ""
        if value is node and "://" not in text:
            text = text.partition(":")[2]
        if _SHORT.get(kind, kind) == "local" and text.startswith("~"):
            text = text[1:]  # that is replaced, and needs the person's word
        where = placeholders.Where.ADDRESS if "://" in text else placeholders.Where.FILE
        if complaint := placeholders.complaint(text, where):
            found = True
            hint = placeholders.advice(text, placeholders.Where.ADDRESS)
            what = t("{found} {complaint}", found=value.describe(), complaint=complaint)
            document.problem(value, what, hint)
    return found


def _has_login(node: Node, document: Document) -> bool:
    """Whether a source's text, or one of its fields, lets in whoever reads it, which is noted."""
    count = len(document.problems)
    for value in [value for _, value in node.pairs] or [node]:
        if value.kind == "scalar" and (wrong := logins.complaint(value.text)):
            what = t("{found}: {complaint}", found=value.describe(), complaint=wrong)
            document.problem(value, what, logins.advice(value.text))
    return len(document.problems) > count


class SourceType(Type):
    """A source: a mapping with `type`, or its short form as text."""

    expected = t("a source such as hf:owner/name@revision, or a mapping with a type")

    def __init__(self, mirror: bool = False) -> None:
        self.mirror = mirror

    def decode(self, node: Node, document: Document) -> Any:
        """The Source, or INVALID."""
        if _has_variable(node, document):
            return INVALID
        found = self._decoded(node, document)
        return INVALID if found is INVALID or _has_login(node, document) else found

    def _decoded(self, node: Node, document: Document) -> Any:
        if node.kind == "scalar" and not node.is_null:
            return self._short(node, document)
        if node.kind != "mapping":
            return self.wrong(node, document)
        kind_node = node_of(node, "type")
        if kind_node is node or kind_node.kind != "scalar" or kind_node.is_null:
            found = "" if kind_node is node else t(", found {found}", found=kind_node.describe())
            document.problem(
                kind_node,
                t("a source needs the key 'type'{found}", found=found),
                t("one of {mirror}", mirror=", ".join(_type_names(self.mirror))),
            )
            return INVALID
        kind = self._kind(kind_node.text, kind_node, document)
        if kind is None:
            return INVALID
        return self._build(kind, node, document)

    def _kind(self, name: str, node: Node, document: Document) -> type[Source] | None:
        try:
            kind = source_type(name)
        except Exception as error:  # whatever a plug-in does when it is imported
            document.problem(
                node,
                t("the plug-in of source type {name!r} is broken: {error}", name=name, error=error),
            )
            return None
        if kind is None:
            names = _type_names(self.mirror)
            close = nearest(name, names)
            document.problem(
                node,
                t(
                    "no source type {name!r}, expected one of {names}",
                    name=name,
                    names=", ".join(names),
                ),
                t("did you mean {close!r}?", close=close) if close else "",
            )
        elif kind.mirror_only and not self.mirror:
            document.problem(
                node,
                t("{name!r} can only stand under 'mirrors'", name=name),
                t("bytes from a mirror count only if their digest is known from a source"),
            )
            return None
        return kind

    def _build(self, kind: type[Source], node: Node, document: Document) -> Any:
        values = _record_of(kind).decode(node, document)
        if values is INVALID or not kind.check_fields(node, values, document):
            return INVALID
        values.pop("type")
        return _made(kind, values)

    def _short(self, node: Node, document: Document) -> Any:
        prefix, colon, rest = node.text.partition(":")
        if prefix.lower() in _URL_SCHEMES:
            prefix, rest = "url", f"{prefix.lower()}:{rest}"
            if not rest.endswith("/") and (found := self._pasted(node, document)) is not None:
                return found
        if not colon or not rest:
            return self.wrong(node, document)
        kind = self._kind(kind_of_short(prefix, rest), node, document)
        if kind is None:
            return INVALID
        try:
            texts = kind.from_short(rest)
        except ValueError as error:
            document.problem(node, t("{found}: {error}", found=node.describe(), error=error))
            return INVALID
        return made_of_texts(kind, texts, node, document)

    @staticmethod
    def _pasted(node: Node, document: Document) -> Any:
        """The source whose page or file an address is of; None for no more than a URL."""
        from fetcher.sources.addresses import written_out

        try:
            found = written_out(node.text)
        except ValueError as error:
            document.problem(node, t("{found}: {error}", found=node.describe(), error=error))
            return INVALID
        return None if found is None else made_of_texts(*found, node, document)

    def json_schema(self) -> JsonSchema:
        """Text, or one object per type."""
        variants: list[JsonSchema] = [{"type": "string", "pattern": "^[^:]+:."}]
        for kind in built_in():
            if kind.mirror_only and not self.mirror:
                continue
            schema = Record(kind.type, kind.fields).json_schema()
            schema["properties"] = {"type": {"const": kind.type}, **schema["properties"]}
            schema["required"] = ["type", *schema.get("required", [])]
            variants.append(schema)
        return {"anyOf": variants}
