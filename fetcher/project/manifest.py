"""Manifests: what a project wants, and where it comes from."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypedDict

from fetcher.archives.rules import Rules, Unpack
from fetcher.config.named_roots import ROOTS
from fetcher.fs import logins, placeholders, published
from fetcher.fs.globs import BadPattern, compile_glob
from fetcher.fs.patterns import expand, is_glob, literal_names
from fetcher.fs.safe_paths import BadPath, check_relative, is_plain
from fetcher.i18n import t
from fetcher.project import variants
from fetcher.project.command_words import as_words, command_words
from fetcher.project.fields import DESCRIPTION, MEMORY, VISIBILITY
from fetcher.project.target_keys import TARGET
from fetcher.project.variants import VARIANTS, Variant
from fetcher.sources import SourceType
from fetcher.sources.base import FileEntry, Request, Source
from fetcher.yamldoc import nodes
from fetcher.yamldoc.nodes import Document, Node
from fetcher.yamldoc.schema import (
    INVALID,
    Boolean,
    Field,
    Integer,
    JsonSchema,
    ListOf,
    MapOf,
    Raw,
    Record,
    Text,
    Type,
    Values,
    document_schema,
    node_of,
    root_of,
)

ID = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_ID_TYPE = Text(ID, t("an id of letters, digits, '_', '-' and '.'"))


@dataclass(frozen=True)
class FilesType(Type):
    """`files`: a list of names, globs and ranges, or a mapping from name to size and digest."""

    expected: str = t("a list of names, or a mapping from name to {size, sha256}")

    def decode(self, node: Node, document: Document) -> Any:
        """(names, known entries by name), or INVALID."""
        if node.kind == "sequence" and node.items:
            names = _PATTERNS.decode(node, document)
            return INVALID if names is INVALID else (names, {})
        if node.kind == "mapping" and node.pairs:
            return self._mapping(node, document)
        return self.wrong(node, document)

    def _mapping(self, node: Node, document: Document) -> Any:
        known: dict[str, FileEntry] = {}
        sound = True
        for key, value in node.pairs:
            name = _NAME.decode(key, document)
            facts = {} if value.is_null else _FACTS.decode(value, document)
            if name is INVALID or facts is INVALID:
                sound = False
            else:
                size, sha256, md5 = (facts.get(fact) for fact in ("size", "sha256", "md5"))
                known[name] = FileEntry(
                    name, size, sha256, md5=md5, published=published.strongest(facts)
                )
        return (tuple(known), known) if sound else INVALID

    def json_schema(self) -> JsonSchema:
        """An array of names or an object of facts."""
        facts = {"anyOf": [_FACTS.json_schema(), {"type": "null"}]}
        return {
            "anyOf": [
                {**_PATTERNS.json_schema(), "minItems": 1},
                {"type": "object", "additionalProperties": facts, "minProperties": 1},
            ]
        }


_A_FILE = placeholders.Where.FILE
_ADVICE = partial(placeholders.advice, where=_A_FILE)


def _name_complaint(text: str) -> str | None:
    if complaint := placeholders.complaint(text, _A_FILE):
        return complaint
    try:
        check_relative(text)
    except BadPath as error:
        return str(error)
    return None


def _checksums_complaint(text: str) -> str | None:
    if text.startswith(("http://", "https://")):
        return logins.complaint(text) or placeholders.complaint(text, placeholders.Where.ADDRESS)
    return _name_complaint(text)


def _exclusion_complaint(text: str) -> str | None:
    """What is left out is never placed: names that no file may have can be named here."""
    return _pattern_complaint(text, names=False)


def _pattern_complaint(text: str, names: bool = True) -> str | None:
    if is_plain(text):
        return None
    if complaint := placeholders.complaint(text, _A_FILE):
        return complaint
    try:
        for name in expand(text):
            if is_glob(name):
                compile_glob(name)
            if is_glob(name) or not names:
                if name.startswith("/") or ".." in name.split("/") or "\\" in name:
                    return t("leads out of the source")
            elif complaint := _name_complaint(name):
                return complaint
    except BadPattern as error:
        return str(error)
    return None


def _exact_complaint(text: str) -> str | None:
    if is_plain(text):  # nearly every name: no variable, no glob, no range
        return None
    if complaint := _pattern_complaint(text):
        return complaint
    if "*" in text or "?" in text or expand(text) != [text]:
        return t("stands for several files, a mapping takes exact names: use a list")
    return None


_NAME = Text(expected=t("a file name"), check=_exact_complaint, advice=_ADVICE)
_PATTERNS = ListOf(
    Text(expected=t("a file name or glob"), check=_pattern_complaint, advice=_ADVICE), unique=True
)
_EXCLUSIONS = ListOf(
    Text(expected=t("a file name or glob"), check=_exclusion_complaint, advice=_ADVICE),
    unique=True,
    or_one=True,
)
_FACTS = Record(
    t("a file"),
    {
        "size": Field(Integer(0), t("size in bytes")),
        "sha256": Field(
            Text(r"[0-9a-f]{64}", t("64 lower-case hex digits")), t("sha256 of the bytes")
        ),
        "md5": Field(
            Text(r"[0-9a-f]{32}", t("32 lower-case hex digits")),
            t(
                "md5 that the publisher states; checked at the first download, which locks the "
                "sha256"
            ),
        ),
        **{
            kind: Field(
                Text(
                    rf"[0-9a-f]{{{published.length_of(kind)}}}",
                    t("{digits} lower-case hex digits", digits=published.length_of(kind)),
                ),
                t("{kind} that the publisher states; checked as an md5 is", kind=kind),
            )
            for kind in ("sha512", "sha1", "crc32", "crc32c")
        },
    },
    expected=t("a mapping with size and sha256"),
)
PROBE = Record(
    t("a probe"),
    {
        "type": Field(
            Text(r"[a-z0-9-]+", t("a probe's type (lower-case letters, digits and '-')")),
            t("kind of probe"),
            required=True,
        )
    },
    open=True,
)


@dataclass(frozen=True)
class SignatureType(Type):
    """`signature`: by whom a model is signed; exactly one way of knowing the signer."""

    expected: str = t("a mapping with key, certificates, or identity and issuer")

    def decode(self, node: Node, document: Document) -> Any:
        """The fields, or INVALID."""
        values = _SIGNATURE.decode(node, document)
        if values is INVALID:
            return INVALID
        ways = {"key", "certificates"} & values.keys()
        sigstore = {"identity", "issuer"} & values.keys()
        if len(ways) + bool(sigstore) != 1 or len(sigstore) == 1:
            document.problem(
                node, t("a signature needs either key, or certificates, or identity and issuer")
            )
            return INVALID
        return values

    def json_schema(self) -> JsonSchema:
        """The record."""
        return _SIGNATURE.json_schema()


_KEY_FILE = Text(check=partial(placeholders.complaint, where=_A_FILE), advice=_ADVICE)
_SIGNATURE = Record(
    t("a signature"),
    {
        "file": Field(
            Text(check=_name_complaint, advice=_ADVICE),
            t("its path in the artifact; default: model.sig"),
        ),
        "key": Field(_KEY_FILE, t("public key (PEM), relative to the project's root")),
        "certificates": Field(ListOf(_KEY_FILE, or_one=True), t("chain of certificates (PEM)")),
        "identity": Field(Text(), t("Sigstore: who signed, such as a mail address")),
        "issuer": Field(Text(), t("Sigstore: who vouches for the identity (a URL)")),
    },
    expected=t("a mapping with key, certificates, or identity and issuer"),
)


def _encoding_complaint(text: str) -> str | None:
    try:
        "a".encode(text)
    except (LookupError, UnicodeError, ValueError):
        return t("is no encoding of text, such as cp949 (Korean) or cp932 (Japanese)")
    return None


_RULES = Record(
    t("how an archive is unpacked"),
    {
        "strip": Field(Integer(0, 100), t("how many leading folders of each path are dropped")),
        "members": Field(replace(_PATTERNS, or_one=True), t("which members; absent: all of them")),
        "exclude": Field(_EXCLUSIONS, t("members to leave out")),
        "encoding": Field(
            Text(r"[A-Za-z0-9_.-]{1,40}", check=_encoding_complaint),
            t("of names that are not marked as UTF-8, such as cp949"),
        ),
        "join": Field(Boolean(), t("the files are parts of one archive")),
    },
    expected=t("true, or a mapping with strip, members, exclude, encoding and join"),
)


@dataclass(frozen=True)
class UnpackType(Type):
    """`unpack`: true, rules for every archive, or a mapping from archives' names to either."""

    expected: str = t("true, or a mapping with strip, members, exclude, encoding and join")

    def decode(self, node: Node, document: Document) -> Any:
        """An Unpack, None for false, or INVALID."""
        if node.kind == "mapping" and node.pairs:
            return self._mapping(node, document)
        if node.kind != "scalar":
            return self.wrong(node, document)
        truth = Boolean().decode(node, document)
        return INVALID if truth is INVALID else (Unpack() if truth else None)

    def _mapping(self, node: Node, document: Document) -> Any:
        names = {key.text for key, _ in node.pairs}
        if not _is_by_name(node):
            rules = self._rules(node, document)
            return INVALID if rules is INVALID else Unpack(rules)
        if strange := names & _RULES.fields.keys():
            document.problem(
                node,
                t(
                    "{key!r} is a rule, and {name!r} the name of an archive",
                    key=min(strange),
                    name=min(names - strange),
                ),
                t("write the rules below each archive's name"),
            )
            return INVALID
        by_name: dict[str, Rules] = {}
        for key, value in node.pairs:
            name = _NAME.decode(key, document)
            rules = self._rules(value, document)
            if name is INVALID or rules is INVALID:
                return INVALID
            by_name[name] = rules
        return Unpack(Rules(), by_name)

    def _rules(self, node: Node, document: Document) -> Any:
        if node.kind == "scalar" and node.text == "true" and not node.quoted:
            return Rules()
        values = _RULES.decode(node, document)
        return INVALID if values is INVALID else Rules(**values)

    def json_schema(self) -> JsonSchema:
        """A boolean, the rules, or an object of these."""
        rules = _RULES.json_schema()
        one = {"anyOf": [{"const": True}, rules]}
        named = {"type": "object", "additionalProperties": one, "minProperties": 1}
        return {"anyOf": [{"type": "boolean"}, rules, named]}


def _is_by_name(node: Node) -> bool:
    """Whether a mapping's keys are archives' names: one has a suffix, or a mapping below it."""
    known = _RULES.fields.keys()
    return any(
        key.text not in known
        and ("." in key.text or value.kind == "mapping" or value.text == "true")
        for key, value in node.pairs
    )


@dataclass(frozen=True)
class ToType(Type):
    """`to`: a file or folder/ below the layout's root, or these by the names of roots."""

    expected: str = t("a path (a folder ends in /), or a mapping from named roots to paths")

    def decode(self, node: Node, document: Document) -> Any:
        """(root, the key as a layout would have it) of each place, or INVALID."""
        if node.kind == "mapping" and node.pairs:
            if _PLACES.decode(node, document) is INVALID:
                return INVALID
            return tuple((key.text, value) for key, value in node.pairs)
        if node.kind != "scalar":
            return self.wrong(node, document)
        return INVALID if TARGET.decode(node, document) is INVALID else (("", node),)

    def json_schema(self) -> JsonSchema:
        """Text, or an object of texts."""
        return {"anyOf": [TARGET.json_schema(), {**_PLACES.json_schema(), "minProperties": 1}]}


_PLACES = Record(
    t("places"),
    {
        "tree": Field(TARGET, t("below the layout's root")),
        **{
            root.name: Field(TARGET, t("in {default}", default=root.default))
            for root in ROOTS.values()
        },
    },
)
ARTIFACT = Record(
    t("an artifact"),
    {
        "source": Field(SourceType(), t("where it comes from"), required=True),
        "code": Field(SourceType(), t("where the code of its class is: a repository or a folder")),
        "to": Field(ToType(), t("where it stands, instead of a line in a layout")),
        "mirrors": Field(ListOf(SourceType(mirror=True)), t("other places with the same bytes")),
        "files": Field(FilesType(), t("which files; absent: all of them")),
        "exclude": Field(_EXCLUSIONS, t("files to leave out")),
        "checksums": Field(
            ListOf(
                Text(expected=t("a file name or URL"), check=_checksums_complaint, advice=_ADVICE),
                or_one=True,
            ),
            t("checksum files beside the files, such as SHA256SUMS"),
        ),
        "count": Field(Integer(1), t("how many files there must be")),
        "unpack": Field(
            UnpackType(),
            t("its files are archives: what is in them takes their place"),
        ),
        "optional": Field(Boolean(), t("keep out of a bare `fetch all`")),
        "groups": Field(
            ListOf(_ID_TYPE, or_one=True, unique=True), t("groups that --group selects")
        ),
        "writable": Field(Boolean(), t("place as copies, for files that are trained in place")),
        "signature": Field(SignatureType(), t("by whom the model's own model.sig must be signed")),
        "probe": Field(PROBE, t("how `fetch verify` proves that it works")),
        **DESCRIPTION,
    },
)

_COMBINATION = Record(
    t("a combination"),
    {
        "gpu": Field(Text(), t("the graphics card, such as T4"), required=True),
        "vram": Field(MEMORY, t("its memory, such as 16G"), required=True),
        "artifacts": Field(
            ListOf(_ID_TYPE, unique=True), t("artifacts that fit on it together"), required=True
        ),
    },
)

MANIFEST_FIELDS = {
    "manifest": Field(_ID_TYPE, t("the manifest's name"), required=True),
    "title": Field(Text(), t("a title for people")),
    "description": Field(Text(multiline=True), t("what the project is")),
    "layout": Field(_ID_TYPE, t("the layout's name; default: the manifest's")),
    "visibility": Field(VISIBILITY, t("of the artifacts that do not say it; default: private")),
    "variants": Field(VARIANTS, t("artifacts that take turns: one choice of each is fetched")),
    "combinations": Field(
        ListOf(_COMBINATION), t("artifacts that are used together, by graphics card")
    ),
    "artifacts": Field(MapOf(_ID_TYPE, ARTIFACT, filled=True), t("artifacts by id"), required=True),
}
_HEAD = Record(
    t("a manifest"),
    {**MANIFEST_FIELDS, "artifacts": Field(Raw(), t("artifacts by id"), required=True)},
)


# A named root ("tree" or "" for none), and the key that a layout would have there.
Target = tuple[str, Node]

# What a record says of a model: each value is of the type that its field in DESCRIPTION says.
Description = Mapping[str, Any]


class Combination(TypedDict):
    """Artifacts, by id, that fit together on a graphics card with `vram` memory, such as 16G."""

    gpu: str
    vram: str
    artifacts: tuple[str, ...]


@dataclass(frozen=True)
class Artifact:
    """One model or dataset as the manifest wants it.

    `reach` is what names its manifest to commands, "" if it is the project's own. `called` is what
    commands call it where its id alone could mean something else, else "".
    """

    id: str
    manifest: str
    source: Source
    mirrors: tuple[Source, ...] = ()
    request: Request = field(default_factory=Request)
    count: int | None = None
    checksums: tuple[str, ...] = ()
    unpack: Unpack | None = None
    optional: bool = False
    groups: tuple[str, ...] = ()
    writable: bool = False
    probe: Mapping[str, object] | None = None
    signature: Mapping[str, object] | None = None
    code: Source | None = None
    info: Description = field(default_factory=dict)
    reach: str = field(default="", compare=False)
    called: str = field(default="", compare=False)

    @property
    def command_words(self) -> str:
        """What `fetch lock --update` is to be followed by."""
        return command_words(self.called or self.id, self.reach)

    def as_words(self, path: str) -> str:
        """What `fetch adopt FILE --as` is to be followed by, for its file `path`."""
        return as_words(self.called or self.id, path, self.reach)

    @property
    def name(self) -> str:
        """The name for people."""
        return str(self.info.get("name", self.id))

    @cached_property
    def selection(self) -> str:
        """A short digest of `files`, `exclude`, `unpack` and of the digests that are stated."""
        request = self.request
        stated = request.files is not None or request.exclude or self.checksums
        if not stated and self.unpack is None:
            return ""
        known = [
            [e.path, e.size, e.sha256, *(text for text in (e.md5, e.published) if text)]
            for e in (request.known or {}).values()
        ]
        wanted = [list(request.files or ()), list(request.exclude), known]
        if self.checksums:
            wanted.append(list(self.checksums))
        if self.unpack is not None:
            wanted.append(self.unpack.facts)
        return hashlib.sha256(json.dumps(wanted).encode()).hexdigest()[:16]

    @cached_property
    def literal_names(self) -> list[str] | None:
        """The exact files that the manifest names, or None if only a listing can tell."""
        return None if self.unpack is not None else self.source_names

    @cached_property
    def source_names(self) -> list[str] | None:
        """The same of what the source has: archives and not their members."""
        return literal_names(self.request.files, self.request.exclude)

    @property
    def full_name(self) -> str:
        """The id with its manifest, as the state names artifacts."""
        return f"{self.manifest}/{self.id}"

    @property
    def fully_known(self) -> bool:
        """Whether every file's size and sha256 stand in the manifest."""
        known = self.request.known or {}
        return bool(known) and all(
            entry.size is not None and entry.sha256 for entry in known.values()
        )


@dataclass
class Manifest:
    """One manifest file. `places` gives (line, column) of each artifact's key, `probe_places` of
    the type of its probe.

    `declared` are the ids of all artifacts, those that could not be read included. `layout` is
    "" where the file names none that could be one; `names_layout`: it names one at all. `targets`
    are the places that artifacts state themselves (`to`), by id; `targets_unread` are the ids of
    those that state one and could not be read.
    """

    name: str
    file: str
    title: str = ""
    description: str = ""
    layout: str = ""
    names_layout: bool = False
    name_place: tuple[int, int] = (1, 1)
    layout_place: tuple[int, int] = (1, 1)
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    declared: set[str] = field(default_factory=set)
    places: dict[str, tuple[int, int]] = field(default_factory=dict)
    targets: dict[str, tuple[Target, ...]] = field(default_factory=dict)
    targets_unread: set[str] = field(default_factory=set)
    probe_places: dict[str, tuple[int, int]] = field(default_factory=dict)
    combinations: tuple[Combination, ...] = ()
    variants: tuple[Variant, ...] = ()
    visibility: str = ""
    path: Path | None = None


def _artifact(key: str, manifest: Manifest, values: Values) -> Artifact:
    names, known = values.get("files", (None, {}))
    # Who may see it is said of each. Where nothing is said, it is not made up: that counts as
    # private, but is not the same as a person's word (see `names.visibility_of`).
    said = {"visibility": manifest.visibility} if manifest.visibility else {}
    described = {**said, **values}
    return Artifact(
        id=key,
        manifest=manifest.name,
        source=values["source"],
        mirrors=values.get("mirrors", ()),
        request=Request(names, values.get("exclude", ()), known),
        count=values.get("count"),
        checksums=tuple(values.get("checksums", ())),
        unpack=values.get("unpack"),
        optional=values.get("optional", False),
        groups=values.get("groups", ()),
        writable=values.get("writable", False),
        probe=values.get("probe"),
        signature=values.get("signature"),
        code=values.get("code"),
        info={name: described[name] for name in DESCRIPTION if name in described},
    )


def _artifacts(node: Node, manifest: Manifest, document: Document) -> None:
    if node.kind != "mapping" or not (node.pairs or node.dropped):
        document.problem(
            node,
            t(
                "found {found}, expected a mapping from artifact ids to artifacts",
                found=node.describe(),
            ),
        )
        return
    folded: dict[str, str] = {}
    for key, value in node.pairs:
        manifest.declared.add(key.text)
        manifest.places[key.text] = key.line, key.column
        other = folded.setdefault(key.text.lower(), key.text)
        if _ID_TYPE.decode(key, document) is not INVALID and other != key.text:
            document.problem(
                key,
                t(
                    "artifact {text!r} differs from {other!r} only by case",
                    text=key.text,
                    other=other,
                ),
            )
        values = ARTIFACT.decode(value, document)
        if values is not INVALID:
            manifest.artifacts[key.text] = _artifact(key.text, manifest, values)
            if "to" in values:
                manifest.targets[key.text] = values["to"]
            kind = node_of(node_of(value, "probe"), "type")
            manifest.probe_places[key.text] = kind.line, kind.column
        elif node_of(value, "to") is not value:
            manifest.targets_unread.add(key.text)


def _check_aliases(artifacts: Node, manifest: Manifest, document: Document) -> None:
    """An alias leads to one artifact: note those that two share, or that are another's id."""
    owners: dict[str, str] = {}
    for key, value in artifacts.pairs:
        node = node_of(value, "aliases")
        for item in node.items if node.kind == "sequence" else [node] * (node is not value):
            other = owners.setdefault(item.text, key.text)
            if item.text in manifest.declared:
                document.problem(
                    item,
                    t("alias {text!r} is an artifact's own id", text=item.text),
                    t("remove it: that name is taken"),
                )
            elif other != key.text:
                document.problem(
                    item,
                    t("alias {text!r} already leads to {other!r}", text=item.text, other=other),
                    t("remove one of the two"),
                )


def _check_combinations(root: Node, manifest: Manifest, document: Document) -> None:
    node = node_of(root, "combinations")
    for entry in node.items if node is not root else []:
        chosen = node_of(entry, "artifacts")
        for item in chosen.items if chosen is not entry else []:
            if item.text not in manifest.declared:
                close = document.nearest(item.text, manifest.declared)
                hint = t("did you mean {close!r}?", close=close) if close else ""
                document.problem(
                    item, t("there is no artifact {text!r} here", text=item.text), hint
                )


def _id_under(root: Node, key: str, default: str) -> str:
    """The id that stands under `key`: `default` if the key is not there, "" if it is no id."""
    node = node_of(root, key)
    if node is root:
        return default
    return node.text if re.fullmatch(ID, node.text) else ""


def decode(document: Document) -> Manifest | None:
    """The manifest in a parsed document, None if it is no mapping; problems are collected."""
    root = root_of(document, t("a manifest (a mapping)"))
    if root is None:
        return None
    values, _ = _HEAD.read(root, document)
    stem = Path(document.name).stem
    name = _id_under(root, "manifest", stem) or stem
    name_node, layout_node = node_of(root, "manifest"), node_of(root, "layout")
    manifest = Manifest(
        name=name,
        file=document.name,
        title=values.get("title", ""),
        description=values.get("description", ""),
        combinations=values.get("combinations", ()),
        variants=variants.made(values.get("variants", {})),
        visibility=values.get("visibility", ""),
        layout=_id_under(root, "layout", name),
        names_layout=layout_node is not root,
        name_place=(name_node.line, name_node.column),
        layout_place=(layout_node.line, layout_node.column),
    )
    artifacts = node_of(root, "artifacts")
    if artifacts is not root:
        _artifacts(artifacts, manifest, document)
        _check_aliases(artifacts, manifest, document)
        _check_combinations(root, manifest, document)
        variants.check(root, manifest.variants, manifest.declared, document)
    return manifest


def load(path: Path, shown: str) -> tuple[Manifest | None, Document]:
    """Read a manifest file; `shown` is its name in messages."""
    document = nodes.read(path, shown)
    manifest = decode(document)
    if manifest:
        manifest.path = path
    return manifest, document


def json_schema() -> JsonSchema:
    """The manifest format as JSON Schema."""
    return document_schema("fetch manifest", Record(t("a manifest"), MANIFEST_FIELDS))
