"""Variants: artifacts that take turns. Of each variant exactly one choice is fetched."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from fetcher.errors import UsageError
from fetcher.fs.nearest import nearest
from fetcher.i18n import t
from fetcher.yamldoc.nodes import Document, Node
from fetcher.yamldoc.schema import Boolean, Field, ListOf, MapOf, Record, Text, Values, node_of

NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}"
AUTO = "auto"  # whichever fits the GPU's memory
_NAME = Text(NAME, t("a name of letters, digits, '_', '-' and '.'"))

VARIANTS = MapOf(
    _NAME,
    Record(
        t("a variant"),
        {
            "default": Field(_NAME, t("the choice where nobody says"), required=True),
            "choices": Field(
                MapOf(_NAME, ListOf(Text(), or_one=True, unique=True), filled=True),
                t("artifacts by the name of each choice"),
                required=True,
            ),
            "auto": Field(
                Boolean(),
                t("choose by the GPU's memory and the artifacts' min_vram where nobody says"),
            ),
        },
    ),
)


class Variant(NamedTuple):
    """What takes turns: ids of artifacts by the name of each choice, in the manifest's order."""

    name: str
    default: str
    choices: Mapping[str, tuple[str, ...]]
    auto: bool = False

    def of(self, artifact: str) -> list[str]:
        """The choices that an artifact belongs to."""
        return [choice for choice, ids in self.choices.items() if artifact in ids]

    @property
    def artifacts(self) -> set[str]:
        """All that takes turns."""
        return {artifact for ids in self.choices.values() for artifact in ids}

    def left_out(self, choice: str) -> set[str]:
        """What is not fetched with a choice."""
        return self.artifacts - set(self.choices[choice])


def made(values: Mapping[str, Values]) -> tuple[Variant, ...]:
    """The variants of a manifest, as decoded."""
    return tuple(
        Variant(name, found["default"], found["choices"], found.get("auto", False))
        for name, found in values.items()
    )


def check(
    root: Node, variants: Sequence[Variant], declared: Collection[str], doc: Document
) -> None:
    """Note defaults and artifacts that there are not, and artifacts of two variants."""
    section = node_of(root, "variants")
    owners: dict[str, str] = {}
    for variant in variants:
        node = node_of(section, variant.name)
        if variant.default not in variant.choices:
            known = ", ".join(variant.choices)
            doc.problem(
                node_of(node, "default"),
                t(
                    "{name!r} is no choice of {variant!r}",
                    name=variant.default,
                    variant=variant.name,
                ),
                t("one of {known}", known=known),
            )
        choices = node_of(node, "choices")
        if len(variant.choices) < 2:
            doc.problem(choices, t("{name!r} has only one choice", name=variant.name))
        for _, listed in choices.pairs:
            for item in listed.items or [listed]:
                _check_artifact(item, variant, declared, owners, doc)


def _check_artifact(
    item: Node, variant: Variant, declared: Collection[str], owners: dict[str, str], doc: Document
) -> None:
    if item.kind != "scalar" or item.text not in declared:
        close = doc.nearest(item.text, declared)
        hint = t("did you mean {close!r}?", close=close) if close else ""
        doc.problem(item, t("there is no artifact {text!r} here", text=item.text), hint)
        return
    other = owners.setdefault(item.text, variant.name)
    if other != variant.name:
        doc.problem(
            item,
            t("{text!r} already takes turns in {other!r}", text=item.text, other=other),
            t("an artifact belongs to one variant"),
        )


def take_turns(variants: Iterable[Variant], one: str, other: str) -> bool:
    """Whether two artifacts are never fetched together."""
    return any(
        variant.of(one) and variant.of(other) and not set(variant.of(one)) & set(variant.of(other))
        for variant in variants
    )


def parsed(texts: Iterable[str]) -> dict[str, str]:
    """`precision=fp16` and the like, by variant. Raises UsageError."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, choice = text.partition("=")
        if not (name and equals and choice):
            raise UsageError(
                t("a variant is NAME=CHOICE, not {text!r}", text=text), t("such as precision=fp16")
            )
        if found.setdefault(name, choice) != choice:
            raise UsageError(
                t("{name} is {one} and {other}", name=name, one=found[name], other=choice),
                t("choose one"),
            )
    return found


def refuse_unknown(chosen: Mapping[str, str], variants: Sequence[Variant], said_by: str) -> None:
    """Raise UsageError for a variant or choice that no manifest has."""
    by_name: dict[str, set[str]] = {}
    for variant in variants:
        by_name.setdefault(variant.name, {AUTO}).update(variant.choices)
    for name, choice in chosen.items():
        known: Collection[str] = by_name.get(name, ())
        if choice in known:
            continue
        close = nearest(choice, known) if known else nearest(name, by_name)
        listed = ", ".join(sorted(known or by_name)) or t("none")
        raise UsageError(
            t(
                "{said_by}: {name!r} has no choice {choice!r}",
                said_by=said_by,
                name=name,
                choice=choice,
            )
            if known
            else t("{said_by}: there is no variant {name!r}", said_by=said_by, name=name),
            t("did you mean {close!r}?", close=close)
            if close
            else t("there are: {known}", known=listed),
        )


def that_fits(variant: Variant, needs: Callable[[str], int | None], memory: int | None) -> str:
    """The choice that needs the most memory of those that fit, the default where nobody knows.

    `needs` gives an artifact's `min_vram`, `memory` is the GPU's; both in bytes.
    """
    if memory is None:
        return variant.default
    sizes: dict[str, int] = {}
    for choice, ids in variant.choices.items():
        known = [size for size in map(needs, ids) if size is not None]
        if known and max(known) <= memory:
            sizes[choice] = max(known)
    return max(sizes, key=lambda choice: sizes[choice]) if sizes else variant.default
