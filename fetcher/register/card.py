"""A repository's card: what its README's front matter says, read by huggingface_hub.

The text is somebody else's: it is bounded, what is no short line of text is left out, and a card
that cannot be read is no card. Nothing is asked of the network here.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass

from fetcher.project.licenses import license_of_hub

_log = logging.getLogger(__name__)

MAX_CARD = 1 << 20
_MAX_FRONT = 256 << 10
_FRONT = re.compile(r"\s*---[ \t]*(?:\r\n|\r|\n)(.*?)(?:\r\n|\r|\n)---", re.DOTALL)
_TEXT = re.compile(r"[^\x00-\x1f\x7f]{1,200}")
_MOST = 20
# Merged mappings multiply: ten lines of them fill the memory. `<<` is one way to write that, a
# tag another.
_ALIAS = re.compile(r"(?:^|[\s\[{,])\*\S", re.MULTILINE)
_MERGE = re.compile(r"<<|(?:^|[\s\[{,])!", re.MULTILINE)


@dataclass(frozen=True)
class Card:
    """What a card says; "" or () where it says nothing. Several licences hold together.

    `relation` is how it was made from `base_models`: adapter, finetune, merge or quantized.
    """

    license: str = ""
    task: str = ""
    library: str = ""
    base_models: tuple[str, ...] = ()
    relation: str = ""
    datasets: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self != Card()


def of_data(data: Mapping[str, object], dataset: bool) -> Card:
    """The card of metadata that somebody has parsed already."""
    from huggingface_hub import DatasetCardData, ModelCardData

    own = {key: value for key, value in data.items() if key != "ignore_metadata_errors"}
    try:
        kind = DatasetCardData if dataset else ModelCardData
        return _card(kind(**own, ignore_metadata_errors=True), dataset)
    except Exception as error:  # whatever a stranger's card makes the package raise
        _log.info("a card that cannot be read: %s", type(error).__name__)
        return Card()


def of_text(text: str, dataset: bool) -> Card:
    """The card of a README; an empty one where it has none, or none that can be read."""
    front = _FRONT.match(text[:_MAX_FRONT].removeprefix("\ufeff"))
    if front is None or (_ALIAS.search(front[1]) and _MERGE.search(front[1])):
        return Card()
    from huggingface_hub import DatasetCard, ModelCard

    try:
        kind = DatasetCard if dataset else ModelCard
        found = kind(front[0] + "\n", ignore_metadata_errors=True)
        return _card(found.data, dataset)
    except Exception as error:  # likewise
        _log.info("a card that cannot be read: %s", type(error).__name__)
        return Card()


def _card(data: object, dataset: bool) -> Card:
    def one(key: str) -> str:
        return _line(getattr(data, key, None))

    def several(key: str) -> tuple[str, ...]:
        value = getattr(data, key, None)
        items = value[:_MOST] if isinstance(value, list | tuple) else [value]
        return tuple(dict.fromkeys(filter(None, map(_line, items))))

    licences = several("license")
    if [licence.lower() for licence in licences] == ["other"]:
        licences = (one("license_name") or licences[0],)
    tasks = several("task_categories") if dataset else several("pipeline_tag")
    return Card(
        " AND ".join(dict.fromkeys(map(license_of_hub, licences))),
        tasks[0] if tasks else "",
        one("library_name"),
        several("base_model"),
        one("base_model_relation"),
        several("datasets"),
        several("language"),
    )


def _line(value: object) -> str:
    """A value if it is one short line of text, else ""."""
    return value if isinstance(value, str) and _TEXT.fullmatch(value) else ""
