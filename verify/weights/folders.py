"""The folder that a model's files were laid out in, as libraries read it: by names, from a folder.

Each look says in its own words what the libraries would tell in a misleading way, or not at all.
"""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fetcher.verify.contract import json_text
from fetcher.verify.contract.pickles import refused_globals
from fetcher.verify.contract.probe_errors import ProbeError
from fetcher.verify.contract.regular import read_regular
from fetcher.verify.weights import exact, experts, zero_tail
from fetcher.verify.weights.fileformat import TORCH_PICKLE, TORCH_ZIP, identify
from fetcher.verify.weights.safetensors_header import TensorEntry, read_header
from fetcher.verify.weights.shards import check_index, weight_sets
from fetcher.verify.weights.twins import warn_of_twins

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fetcher.verify.contract.context import Context
    from fetcher.verify.contract.foreign import ModelConfig

_FETCH_AGAIN = "fetch the artifact again"
_NO_TABLE = "is not a table of settings"
_TEXT_LIMIT = 64 * 1024 * 1024  # bytes: larger JSON is no configuration
# What libraries pass over without a word where it is no JSON, or not what they look for.
_SETTINGS = (
    *("generation_config.json", "tokenizer_config.json", "special_tokens_map.json"),
    *("added_tokens.json", "chat_template.json", "preprocessor_config.json"),
    *("processor_config.json", "video_preprocessor_config.json", "quantize_config.json"),
    *("quant_config.json",),
)


def folder_of(files: Mapping[str, Path], marker: str, what: str) -> Path:
    """Return the folder that holds the artifact, found by the placed file `marker`.

    Raises ProbeError if the marker is not laid out, or if files are not where the artifact has
    them, seen from there: libraries look for them by their names.
    """
    if marker not in files:
        raise ProbeError(
            f"{marker} is not among the artifact's files, and {what} is loaded by it",
            "add it to the artifact's `files`",
        )
    folder = files[marker].parent
    if files[marker].name != posixpath.basename(marker):
        raise ProbeError(
            f"{marker} was laid out as {files[marker].name}, a name that no library looks for",
            "keep the artifact's own names in the layout: `folder/: artifact`",
        )
    start = posixpath.dirname(marker)
    moved = [
        name
        for name, path in files.items()
        if name.startswith(f"{start}/" if start else "")
        and path != folder / posixpath.relpath(name, start or ".")
    ]
    if moved:
        raise ProbeError(
            f"{moved[0]} was laid out as {files[moved[0]]}, but {what} is looked for as a whole "
            f"below {folder}",
            "keep the artifact's own paths in the layout: `folder/: artifact`",
        )
    return folder


def read_json(path: Path, name: str) -> ModelConfig:
    """Return a JSON configuration; `name` is its path in the artifact.

    Raises ProbeError in plain words for a file that is missing, damaged, or begins with a byte
    order mark, which the libraries' parsers reject.
    """
    try:
        if path.stat().st_size > _TEXT_LIMIT:
            raise ProbeError(f"{name} is too large for a configuration", _FETCH_AGAIN)
        raw = read_regular(path, _TEXT_LIMIT)
    except OSError as error:
        told = "the link leads to no file" if path.is_symlink() else error.strerror or str(error)
        raise ProbeError(f"{name}: {told}", "fetch all restores it") from None
    if raw.startswith(b"\xef\xbb\xbf"):
        raise ProbeError(
            f"{name} begins with a byte order mark, which JSON parsers reject",
            "save it as UTF-8 without BOM, or let the layout's `edits` change it",
        )
    try:
        found = json_text.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        head = raw[:40].decode("utf-8", "replace")
        page = " (a web page stands in its place)" if raw.lstrip()[:1] == b"<" else ""
        pointer = " (a Git LFS pointer)" if head.startswith("version https://git-lfs") else ""
        raise ProbeError(
            f"{name} is not valid JSON{page or pointer}: {error}", _FETCH_AGAIN
        ) from None
    if not isinstance(found, dict):
        raise ProbeError(f"{name} {_NO_TABLE}", _FETCH_AGAIN)
    return found


def check_config(files: Mapping[str, Path], name: str) -> ModelConfig:
    """Return a model's `config.json`, after checking that it is one.

    Raises ProbeError if it belongs to something else (a pooling layer's that was flattened over
    it).
    """
    config = read_json(files[name], name)
    if "pooling_mode_mean_tokens" in config or "word_embedding_dimension" in config:
        raise ProbeError(
            f"{name} is the pooling layer's: another file of that name was laid over the model's",
            "keep sub-folders such as 1_Pooling/ in the layout: `folder/: artifact`",
        )
    if not isinstance(config.get("model_type"), str):
        raise ProbeError(
            f"{name} names no model_type, so no library knows which model this is", _FETCH_AGAIN
        )
    return config


def check_settings(files: Mapping[str, Path], folder: Path, context: Context) -> None:
    """Check that the settings that lie in a model's folder are JSON: libraries that cannot read
    them take settings of their own. Raises ProbeError for JSON that is no table.
    """
    here = {path.name: name for name, path in files.items() if path.parent == folder}
    for base in _SETTINGS:
        if base in here:
            try:
                read_json(files[here[base]], here[base])
            except ProbeError as error:
                if error.reason.endswith(_NO_TABLE):  # which they cannot pass over
                    raise
                told = f"{error.reason}; libraries silently take other settings then"
                context.check("settings are readable", False, told, error.hint)


def check_weights(
    files: Mapping[str, Path], folder: Path, context: Context, stem: str = "model"
) -> dict[str, TensorEntry]:
    """Check the weights that a loader would read from `folder`, without loading them.

    Returns the tensors by name; empty if the weights are pickles. `stem` is the loaders' name for
    them. Raises ProbeError for weights that are missing, incomplete, or not what they should be.
    """
    here = {
        name: path
        for name, path in files.items()
        if path.parent == folder and path.name.endswith((".safetensors", ".bin", ".index.json"))
    }
    by_name = {path.name: (name, path) for name, path in here.items()}
    safe = [name for name in here if name.endswith(".safetensors")]
    wanted = [n for n in safe if posixpath.basename(n).startswith(stem)]
    if not wanted:
        return _check_pickles(by_name, folder, stem)
    entries: dict[str, TensorEntry] = {}
    by_file: dict[str, dict[str, TensorEntry]] = {}
    sets = weight_sets(wanted, here)
    for name in wanted:
        _about(name, lambda name=name: identify(here[name], name))
        header = _about(name, lambda name=name: read_header(here[name]))
        _about(name, lambda name=name, header=header: zero_tail.refuse(here[name], header))
        entries.update(header)
        by_file[name] = header
    told = [f"{len(entries):,} tensors in {len(wanted)} files"]
    for one in sets:
        if one.absent:
            raise ProbeError(
                f"shards are missing: {', '.join(one.absent[:5])}",
                "add them to the artifact's `files`, then fetch all",
            )
        if one.sharded and one.index is None:
            unread = "pytorch_model.bin" if "pytorch_model.bin" in by_name else ""
            raise ProbeError(
                f"{one.name} has no index beside it"
                + (f", so loaders silently read {unread} instead" if unread else ""),
                f"add {stem}.safetensors.index.json to the artifact's `files`",
            )
        if one.sharded:
            told.append(_about(str(one.index), lambda one=one: check_index(one, here, by_file)))
    headers = {here[name]: header for name, header in by_file.items()}
    experts.keep(headers, context)
    exact.keep_packed(headers, context)
    pickles = [n for n in by_name if n.endswith(".bin") and n.startswith(("pytorch_model", stem))]
    if pickles:
        size = sum(by_name[n][1].stat().st_size for n in pickles)
        told.append(
            f"{', '.join(sorted(pickles)[:3])} ({size:,} bytes) is never read beside safetensors"
        )
        compared = warn_of_twins(headers, [by_name[n] for n in sorted(pickles)], context)
        told.extend(filter(None, [compared]))
    context.check("weights are whole", True, "; ".join(told))
    return entries


def _check_pickles(
    by_name: Mapping[str, tuple[str, Path]], folder: Path, stem: str
) -> dict[str, TensorEntry]:
    stems = ("pytorch_model", "adapter_model", stem)
    found = [n for n in by_name if n.endswith(".bin") and n.startswith(stems)]
    if not found:
        raise ProbeError(
            f"no weights are laid out in {folder}: no {stem}*.safetensors",
            "add them to the artifact's `files`, then fetch all",
        )
    for base in found:
        name, path = by_name[base]
        kind = _about(name, lambda name=name, path=path: identify(path, name))
        assert kind in (TORCH_ZIP, TORCH_PICKLE)
        refused = refused_globals(path)
        if refused:
            raise ProbeError(
                f"{name}: refused: beside tensors the pickle asks for {', '.join(refused[:5])}",
                "nothing of it was run; use weights in .safetensors",
            )
    return {}


def _about(name: str, look: Any) -> Any:
    try:
        return look()
    except ProbeError as error:
        raise ProbeError(f"{name}: {error.reason}", error.hint) from error
