"""Weight files that belong together: shards in Hugging Face's naming, and their index."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fetcher.verify.contract import json_text
from fetcher.verify.contract.probe_errors import ProbeError
from fetcher.verify.contract.regular import read_regular

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

_MAX_INDEX = 256 << 20  # bytes
_SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<total>\d{5})(?P<rest>\.[^/]+)")
_SHOWN = 5


@dataclass(frozen=True)
class WeightSet:
    """The files of one model: a single file, or the shards, with the index if there is one.

    Names are the artifact's paths. `absent` are shards that the numbering asks for.
    """

    name: str
    files: tuple[str, ...]
    sharded: bool = False
    index: str | None = None
    absent: tuple[str, ...] = ()


def weight_sets(chosen: Sequence[str], present: Collection[str]) -> list[WeightSet]:
    """Group the chosen weight files into models; `present` are all the artifact's paths."""
    sets: list[WeightSet] = []
    shards: dict[tuple[str, str, str], list[str]] = {}
    for name in sorted(chosen):
        match = _SHARD.fullmatch(name)
        if match is None:
            sets.append(WeightSet(name, (name,)))
        else:
            place = (match["stem"], match["total"], match["rest"])
            shards.setdefault(place, []).append(name)
    for (stem, total, rest), files in shards.items():
        wanted = (f"{stem}-{n:05d}-of-{total}{rest}" for n in range(1, int(total) + 1))
        index = next((name for name in _index_names(stem, rest) if name in present), None)
        absent = tuple(name for name in wanted if name not in present)
        sets.append(WeightSet(f"{stem}-*-of-{total}{rest}", tuple(files), True, index, absent))
    return sets


def _index_names(stem: str, rest: str) -> Iterator[str]:
    """Yield the names that an index may have; libraries put a variant (fp16) in various places."""
    folder, base = posixpath.split(stem)
    base, _, variant = base.partition(".")
    before, _dot, suffix = rest[1:].rpartition(".")
    variant = variant or before
    yield f"{stem}{rest}.index.json"
    if variant:
        yield posixpath.join(folder, f"{base}.{variant}.{suffix}.index.json")
        yield posixpath.join(folder, f"{base}.{suffix}.index.{variant}.json")


def check_index(
    weights: WeightSet,
    files: Mapping[str, Path],
    tensors: Mapping[str, Collection[str]],
) -> str:
    """Check an index against the shards and return what was found, in words.

    `files` maps the artifact's paths to where they stand, `tensors` the shards that were read to
    the tensors in them. Raises ProbeError for a shard that is not where loaders look for it, and
    for a tensor that is not in the shard that the index names.
    """
    assert weights.index is not None
    listed = _read(files[weights.index])
    # Loaders look beside the index, so the placed names count.
    folder = files[weights.index].parent
    by_place = {path: name for name, path in files.items()}
    wanted = {shard: by_place.get(Path(folder, shard)) for shard in set(listed.values())}
    lost = sorted(shard for shard, name in wanted.items() if name is None)
    if lost:
        raise ProbeError(
            f"names {_listed(lost)}, which is not laid out beside it",
            "add the shards to the artifact's `files`, and keep their names in the layout",
        )
    misplaced = [
        tensor
        for tensor, shard in listed.items()
        if str(wanted[shard]) in tensors and tensor not in tensors[str(wanted[shard])]
    ]
    if misplaced:
        raise ProbeError(
            f"{len(misplaced)} tensors are not in the shard that the index names: "
            f"{_listed(misplaced)}",
            "index and shards are of different versions: fetch both from one revision",
        )
    unlisted = sum(1 for names in tensors.values() for tensor in names if tensor not in listed)
    extra = f"; {unlisted} tensors of the shards are not in it" if unlisted else ""
    return f"{len(listed)} tensors in {len(wanted)} shards{extra}"


def _read(path: Path) -> dict[str, str]:
    try:
        listed = json_text.loads(read_regular(path, _MAX_INDEX))["weight_map"]
        if not all(isinstance(shard, str) for shard in listed.values()):
            raise TypeError
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ProbeError("is not a valid index: no table weight_map", "fetch it again") from None
    return dict(listed)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
