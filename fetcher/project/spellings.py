"""How people write a record's values: labels of forms, names of papers, in one spelling each.

`Image Compression` is the task image-compression, `256 x 256` a size, `[-1, 1]` in quotes a
range, `reconstruct(x)` a method. The types here are the schema's own, so that manifests, flags,
prompts, JSON and forms read them alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fetcher.i18n import t
from fetcher.yamldoc.nodes import Document, Node
from fetcher.yamldoc.schema import JsonSchema, ListOf, MapOf, Text

KINDS = ("model", "dataset", "code")
TASKS = (
    "image-compression",
    "generative-reconstruction",
    "retrieval-embedding",
    "text-generation",
    "image-generation",
    "segmentation",
    "face-detection",
    "image-classification",
    "vision-encoder",
    "vision-language",
)
FRAMEWORKS = ("pytorch", "tensorflow", "jax", "other")
SIZES = ("fixed", "variable")
METHODS = ("reconstruct", "encode", "decode", "compress", "decompress")
BENCHMARKS = ("kodak24", "cifar10")
METRICS = (
    *("psnr", "ssim", "lpips", "bpp", "ms-ssim", "fid", "rfid", "mse", "mae", "loss"),
    *("accuracy", "recall", "perplexity", "wer"),
)
VISIBILITIES = ("private", "organization", "public")
DEVICES = ("gpu-only", "cpu-allowed")
LICENSES = (
    *("MIT", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "Zlib", "MPL-2.0", "Unlicense"),
    *("GPL-2.0", "GPL-3.0", "LGPL-2.1", "LGPL-3.0", "AGPL-3.0", "EPL-2.0", "Artistic-2.0"),
    *("GPL-2.0-only", "GPL-2.0-or-later", "GPL-3.0-only", "GPL-3.0-or-later"),
    *("CC0-1.0", "CC-BY-4.0", "CC-BY-SA-4.0", "CC-BY-NC-4.0", "CC-BY-ND-4.0"),
    *("CC-BY-NC-SA-4.0", "CC-BY-NC-ND-4.0", "CC-BY-3.0", "CC-BY-SA-3.0"),
    *("OpenRAIL", "OpenRAIL++", "CreativeML-OpenRAIL-M", "BigScience-OpenRAIL-M"),
    *("Gemma", "Llama-2", "Llama-3", "proprietary", "other", "unrestricted", "unspecified"),
)
# Where code is, as a form shows it, and the type of source that each means.
REPOSITORY_TYPES = {"GitHub": "github", "Hugging Face": "huggingface", "Local / Custom": "local"}
# Facts about a model's structure that have a name of their own; all of them are numbers.
ATTRIBUTES = ("codebook_size", "latent_dim", "embedding_dim", "downsample_factor")

# What labels show of the names that a machine reads.
_SHOWN = {
    **{"pytorch": "PyTorch", "tensorflow": "TensorFlow", "jax": "JAX"},
    **{"gpu-only": "GPU only", "cpu-allowed": "CPU allowed"},
    "retrieval-embedding": "Retrieval / Embedding",
    **{name: name.upper() for name in ("psnr", "ssim", "lpips")},
    **{"reconstruct": "reconstruct(x)", "encode": "encode(x)", "decode": "decode(z)"},
    **{"compress": "compress(x)", "decompress": "decompress(...)"},
    **{"bpp": "bpp", "kodak24": "Kodak24", "cifar10": "CIFAR10"},
}
_LONGEST = 200  # of what is compared with names


def label_of(name: str) -> str:
    """A name as labels show it: `image-compression` is Image Compression."""
    return _SHOWN.get(name) or name.replace("-", " ").title()


def repository_type(source_type: str) -> str:
    """A type of source as a form calls it."""
    return next((k for k, v in REPOSITORY_TYPES.items() if v == source_type), "Local / Custom")


def fold(text: str) -> str:
    """Text in lower case with hyphens, without what stands in brackets or behind a ` #`."""
    text = re.sub(r"\s#.*", "", text[:_LONGEST])
    text = re.sub(r"\([^()]*\)", " ", text)
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def known_as(text: str, names: Iterable[str]) -> str | None:
    """The one of `names` that a text writes in its own way, None if it is none of them."""
    if len(text) > _LONGEST:
        return None
    squashed = fold(text).replace("-", "")
    if not squashed:
        return None
    return next((name for name in names if fold(name).replace("-", "") == squashed), None)


def task_name(text: str) -> str:
    """A task by its name: one that is not known by its words with hyphens."""
    return known_as(text, TASKS) or fold(text) or text


def metric_name(text: str) -> str:
    """A metric by its name; one that is not known as it is written."""
    return known_as(text, METRICS) or text


def benchmark_name(text: str) -> str:
    """A benchmark by its data set: `Image Compression - Kodak24` is kodak24."""
    found = re.fullmatch(r"(\S[^-–—:]*?) *[-–—:] +(\S.*)", text[:_LONGEST])
    if found and known_as(found[1], TASKS):
        text = found[2]
    return known_as(text, BENCHMARKS) or text


def license_name(text: str) -> str:
    """A licence by its SPDX id; one that is not known as it is written."""
    plain = re.sub(r"(?i) licen[cs]e$", "", text)
    # A plus makes another licence: GPL-2.0+, OpenRAIL++.
    alike = (name for name in LICENSES if name.count("+") == plain.count("+"))
    return known_as(plain, alike) or text


def _scalar(node: Node, text: str, quoted: bool = True) -> Node:
    return Node("scalar", node.line, node.column, text, quoted)


def _sequence(node: Node, items: list[Node]) -> Node:
    found = Node("sequence", node.line, node.column)
    found.items = items
    return found


@dataclass(eq=False, repr=False)
class Name(Text):
    """One of `names`, however it is written; with `choices`, nothing else is taken."""

    names: tuple[str, ...] = ()

    def decode(self, node: Node, document: Document) -> Any:
        """The name."""
        if node.kind == "scalar" and not node.is_null:
            node = _scalar(node, self.spelled(node.text))
        return super().decode(node, document)

    def spelled(self, text: str) -> str:
        """The text by the name that it means."""
        return known_as(text, self.names or self.choices) or text

    def json_schema(self) -> JsonSchema:
        """The names, and what labels show of them."""
        if not self.choices:
            return super().json_schema()
        shown = [label_of(name) for name in self.choices]
        return {"enum": list(dict.fromkeys([*self.choices, *shown]))}


class Task(Name):
    """A task; others than TASKS are taken."""

    def spelled(self, text: str) -> str:
        """By its name."""
        return task_name(text)

    def json_schema(self) -> JsonSchema:
        """Any words: a task is free."""
        types = ["string", "number", "boolean"]
        return {"type": types, "pattern": "[A-Za-z0-9]", "examples": list(TASKS)}


class Metric(Name):
    """A metric; others than METRICS are taken."""

    def spelled(self, text: str) -> str:
        """By its name."""
        return metric_name(text)


class Benchmark(Name):
    """A data set that models are measured on."""

    def spelled(self, text: str) -> str:
        """By its name."""
        return benchmark_name(text)


class License(Name):
    """A licence; others than LICENSES are taken."""

    def spelled(self, text: str) -> str:
        """By its name."""
        return license_name(text)


class Methods(ListOf):
    """Methods of a class: `[encode, decode]`, or as boxes of a form that are ticked or not."""

    def decode(self, node: Node, document: Document) -> Any:
        """The methods that are ticked, or stand without a box."""
        if node.kind == "scalar" and not node.is_null:
            node = _sequence(node, [node])
        items: list[Node] = []
        for item in node.items if node.kind == "sequence" else ():
            items += self._ticked(item) if item.kind == "scalar" else [item]
        return super().decode(_sequence(node, items) if items else node, document)

    @staticmethod
    def _ticked(item: Node) -> list[Node]:
        box = re.match(r"\s*\[\s*(x?)\s*\]\s*", item.text, re.I)
        if box and not box[1]:
            return []
        text = item.text[box.end() if box else 0 :]
        parts = re.split(r"\s*[/,]\s*", re.sub(r"\([^()]*\)", "", text[:_LONGEST]))
        known = [known_as(part, METHODS) for part in parts]
        return [_scalar(item, name) for name in known if name] if all(known) else [item]

    def json_schema(self) -> JsonSchema:
        """As a list, or as one line of a form."""
        line = rf"\s*(\[\s*x?\s*\]\s*)?({'|'.join(METHODS)})\b.*"
        own: list[JsonSchema] = super().json_schema()["anyOf"]
        item = {"anyOf": [own[1], {"type": "string", "pattern": f"^{line}$"}]}
        return {"anyOf": [{**own[0], "items": item}, item]}


_SIZE_TEXT = r"\s*(\d{1,9})\s*(?:px)?\s*[x×X*,]\s*(\d{1,9})\s*(?:px)?\s*"
_NUMBER = r"[+-]?\d{1,15}(?:\.\d{0,15})?"
_RANGE_TEXT = rf"\s*[\[(]?\s*({_NUMBER})\s*(?:,|;|\.\.+|…|to|~)\s*({_NUMBER})\s*[\])]?\s*"


class _Pair(ListOf):
    """Two numbers, as a list or in one text."""

    text = ""

    def decode(self, node: Node, document: Document) -> Any:
        """The two numbers."""
        only = node.items[0] if node.kind == "sequence" and len(node.items) == 1 else node
        if only.kind == "scalar" and (found := re.fullmatch(self.text, only.text)):
            node = _sequence(node, [_scalar(node, part, False) for part in found.groups()])
        return super().decode(node, document)

    def json_schema(self) -> JsonSchema:
        """As a list, or as text."""
        return {"anyOf": [super().json_schema(), {"type": "string", "pattern": f"^{self.text}$"}]}


class Pixels(_Pair):
    """A picture's two sides: `[256, 256]` or `256 x 256`."""

    text = _SIZE_TEXT


class Bounds(_Pair):
    """A lowest and a highest value: `[-1, 1]`, also as text."""

    text = _RANGE_TEXT


class Attributes(MapOf):
    """Further facts by name: a mapping, or lines such as `Codebook Size: 1024`."""

    def decode(self, node: Node, document: Document) -> Any:
        """The facts; those that have a name of their own under it."""
        node = self._as_mapping(node)
        if node.kind != "mapping":
            return super().decode(node, document)
        found = Node("mapping", node.line, node.column)
        found.dropped = node.dropped
        seen: dict[str, str] = {}
        for key, value in node.pairs:
            name = self._key(key.text)
            other = seen.setdefault(name, key.text)
            if other != key.text:
                told = t(
                    "{text!r} and {other!r} are one attribute, {name!r}",
                    text=key.text,
                    other=other,
                    name=name,
                )
                document.problem(key, told)
                found.dropped = [*found.dropped, value]
                continue
            found.pairs.append((_scalar(key, name), self._value(name, value)))
        return super().decode(found, document)

    @staticmethod
    def _value(name: str, value: Node) -> Node:
        """A number, also where it was written in quotes."""
        number = value.quoted and name in ATTRIBUTES and value.text.strip().isdecimal()
        return _scalar(value, value.text.strip(), False) if number else value

    @staticmethod
    def _key(text: str) -> str:
        known = known_as(text, ATTRIBUTES)
        folded = fold(text).replace("-", "_")
        return known or (folded if " " in text and folded else text)

    @staticmethod
    def _as_mapping(node: Node) -> Node:
        """Lines of `name: value`, or a list of mappings, as one mapping."""
        if node.kind == "scalar" and ":" in node.text:
            lines = [_scalar(node, line) for line in re.split(r"[\n,]", node.text) if line.strip()]
            node = _sequence(node, lines)
        if node.kind != "sequence" or not node.items:
            return node
        found = Node("mapping", node.line, node.column)
        for item in node.items:
            name, colon, value = item.text.partition(":")
            if item.kind == "mapping":
                found.pairs += item.pairs
            elif item.kind == "scalar" and colon and name.strip() and value.strip():
                pair = _scalar(item, name.strip()), _scalar(item, value.strip(), False)
                found.pairs.append(pair)
            else:
                return node
        return found

    def json_schema(self) -> JsonSchema:
        """As a mapping, as lines, or as one text."""
        own = super().json_schema()
        line = {"type": "string", "pattern": r"^\s*[^:\s][^:]*:\s*\S.*$"}
        several = {"type": "array", "items": {"anyOf": [own, line]}, "minItems": 1}
        return {"anyOf": [own, several, line]}
