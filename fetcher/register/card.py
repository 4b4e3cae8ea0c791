"""A repository's card: what its README's front matter says, read by huggingface_hub.

The text is somebody else's: it is bounded, what is no short line of text is left out, and a card
that cannot be read is no card. Nothing is asked of the network here.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass

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

# Licence ids of the Hub that SPDX writes otherwise, by their lower-case form.
_SPDX = {
    name.lower(): name
    for name in (
        *("Apache-2.0", "MIT", "BSD-2-Clause", "BSD-3-Clause", "BSD-3-Clause-Clear", "BSL-1.0"),
        *("GPL-2.0", "GPL-3.0", "AGPL-3.0", "LGPL-2.1", "LGPL-3.0", "MPL-2.0", "EPL-1.0"),
        *("EPL-2.0", "EUPL-1.1", "EUPL-1.2", "ECL-2.0", "AFL-3.0", "OSL-3.0", "MS-PL", "ISC"),
        *("Artistic-2.0", "WTFPL", "Unlicense", "Zlib", "NCSA", "PostgreSQL", "OFL-1.1"),
        *("LPPL-1.3c", "CC0-1.0", "CDLA-Sharing-1.0", "CDLA-Permissive-1.0"),
        *("CDLA-Permissive-2.0", "C-UDA-1.0", "ODbL-1.0", "ODC-By-1.0", "PDDL-1.0"),
        *("etalab-2.0",),
    )
} | {"c-uda": "C-UDA-1.0", "odbl": "ODbL-1.0", "odc-by": "ODC-By-1.0", "pddl": "PDDL-1.0"}
_NAMES = {
    "openrail++": "CreativeML Open RAIL++-M",
    "creativeml-openrail-m": "CreativeML OpenRAIL-M",
    "bigscience-openrail-m": "BigScience OpenRAIL-M",
    "bigcode-openrail-m": "BigCode OpenRAIL-M",
    "gemma": "Gemma",
    "llama2": "Llama-2",
    "llama3": "Llama-3",
    "llama3.1": "Llama-3.1",
    "llama3.2": "Llama-3.2",
    "llama3.3": "Llama-3.3",
    "llama4": "Llama-4",
}


@dataclass(frozen=True)
class Card:
    """What a card says; "" or () where it says nothing. `relation` is how it was made from
    `base_models`: adapter, finetune, merge or quantized."""

    license: str = ""
    task: str = ""
    library: str = ""
    base_models: tuple[str, ...] = ()
    relation: str = ""
    datasets: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self != Card()


def licence_name(short: str) -> str:
    """A licence id of the Hub as manifests write it: by SPDX where that has one."""
    low = short.lower()
    if low.startswith("cc-"):
        return short.upper()
    return _SPDX.get(low) or _NAMES.get(low, short)


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

    licence = next(iter(several("license")), "")
    if licence.lower() == "other":
        licence = one("license_name") or licence
    tasks = several("task_categories") if dataset else several("pipeline_tag")
    return Card(
        licence_name(licence),
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
