"""The files of a sentence encoder: what modules.json asks for, and what it does not."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from fetcher.verify.contract import json_text
from fetcher.verify.contract.probe_errors import ProbeError
from fetcher.verify.contract.regular import read_regular
from fetcher.verify.loaders.strict import listed
from fetcher.verify.weights import folders, kept_settings, weights

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    from fetcher.verify.contract.context import Context
    from fetcher.verify.contract.foreign import ModelConfig

_OF_A_MODULE = re.compile(r"\d+_\w+/")
_SUFFIXES = (".safetensors", ".bin")
# Modules that have no config.json: without settings, or with them under another name.
_SEVERAL = frozenset({"Router", "Asym"})  # encoders, each in a folder of its own
_WITHOUT_CONFIG = _SEVERAL | {"Normalize", "StaticEmbedding"}
# Others call it after themselves, as lstm_config.json.
_CONFIG = "config.json"
# Encoders that are none of transformers' models; a bag of words has no tensors either.
_OF_WORDS = frozenset({"StaticEmbedding", "WordEmbeddings", "BoW"})
_SHORTEST = 4  # tokens: two are those that begin and end a text
_SETTINGS = ("max_seq_length", "do_lower_case")
_PROMPTS = ("prompts", "default_prompt_name", "similarity_fn_name")


class SentenceFiles(NamedTuple):
    """The folder to load, and the names of the tensors that are the encoder's."""

    folder: Path
    tensors: Collection[str]


def check(files: Mapping[str, Path], pooling: str | None, context: Context) -> SentenceFiles:
    """Check a sentence encoder's files and keep its settings, without loading it.

    With `pooling` the folder holds an encoder alone. Raises ProbeError for what is missing,
    damaged, or another kind of model.
    """
    folder = _folder(files, pooling)
    modules = [] if pooling is not None else _modules(files["modules.json"])
    encoder, kind = _encoder(files, modules)
    place = folder / encoder if encoder else folder
    marker = f"{encoder}config.json"
    if marker in files and kind not in _OF_WORDS:
        place = files[marker].parent
        kept_settings.keep(folders.check_config(files, marker), files, place, context)
    else:
        kept_settings.keep_tokenizer(files, place, context)
    folders.check_settings(files, place, context)
    if kind == "Transformer":
        _check_tokenizer_files(place, folder, context)
    tensors: Collection[str] = ()
    if kind not in _SEVERAL and kind != "BoW":
        found = folders.check_weights(files, place, context)
        tensors = found or _pickled(files, place, context)
    _check_used(files, modules, context)
    _keep_settings(files, modules, encoder, context)
    return SentenceFiles(folder, tensors if kind == "Transformer" else ())


def _folder(files: Mapping[str, Path], pooling: str | None) -> Path:
    if pooling is not None:
        return folders.folder_of(files, "config.json", "an encoder")
    _refuse_rerankers(files)
    if "modules.json" not in files:
        raise ProbeError(
            "modules.json is not among the artifact's files: without it some versions of "
            "sentence-transformers guess how to pool, and say nothing",
            "add it to the artifact's `files`, or say how to pool: `probe: {pooling: mean}`",
        )
    return folders.folder_of(files, "modules.json", "a sentence encoder")


def _refuse_rerankers(files: Mapping[str, Path]) -> None:
    """Raise ProbeError for a cross-encoder: it scores pairs and has no vectors."""
    own = _table(files, "config_sentence_transformers.json").get("model_type")
    named = _table(files, "config.json").get("architectures")
    architecture = str(named[0]) if isinstance(named, list) and named else ""
    scores = architecture.endswith("ForSequenceClassification")
    if own == "CrossEncoder" or (scores and "modules.json" not in files):
        raise ProbeError(
            f"this is a cross-encoder ({architecture or 'CrossEncoder'}), which scores pairs of "
            "texts: it has no embeddings",
            "`probe: {type: transformers, task: text-ranking}` for a reranker, or "
            "`task: text-classification`",
        )
    if own == "SparseEncoder":
        raise ProbeError(
            "this is a sparse encoder: its vectors have a number for each word",
            "`probe: {type: transformers, task: fill-mask}` loads its language model",
        )


def _table(files: Mapping[str, Path], name: str) -> ModelConfig:
    """Return a configuration; an empty one where it is not laid out."""
    return folders.read_json(files[name], name) if name in files else {}


def _encoder(files: Mapping[str, Path], modules: Iterable[ModelConfig]) -> tuple[str, str]:
    """Return the encoder's folder in the artifact, as a prefix, and its kind, after checking that
    every module has its configuration.
    """
    found = ("", "Transformer")
    for number, module in enumerate(modules):
        prefix, kind = _prefix(module), str(module.get("type", "")).rpartition(".")[2]
        if kind == "Transformer" or number == 0:
            found = (prefix, kind or "Transformer")
        if kind in _WITHOUT_CONFIG:
            continue
        own = [n for n in files if n.rpartition("/")[0] == prefix[:-1] and n.endswith(_CONFIG)]
        if not own:
            raise ProbeError(
                f"modules.json wants a module {kind} in {prefix[:-1] or 'its own folder'}, but "
                f"{prefix}config.json is not laid out",
                "add it to the artifact's `files`, and keep sub-folders in the layout",
            )
        folders.read_json(files[own[0]], own[0])
    return found


def _prefix(module: ModelConfig) -> str:
    place = str(module.get("path", "") or "").strip("/")
    return f"{place}/" if place else ""


def _modules(path: Path) -> list[ModelConfig]:
    try:
        found = json_text.loads(read_regular(path))
    except (OSError, ValueError, RecursionError) as error:
        raise ProbeError(
            f"modules.json cannot be read: {error}", "fetch the artifact again"
        ) from None
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found) or not found:
        raise ProbeError("modules.json is not a list of modules", "fetch the artifact again")
    return found


def _check_tokenizer_files(encoder: Path, folder: Path, context: Context) -> None:
    if not any((place / "tokenizer_config.json").exists() for place in (encoder, folder)):
        context.warn(
            "tokenizer files",
            "tokenizer_config.json is not laid out: newer releases then encode differently, and "
            "say nothing",
            "add it to the artifact's `files`",
        )


def _pickled(files: Mapping[str, Path], place: Path, context: Context) -> list[str]:
    """Return the names of the tensors in torch files, which transformers reads if it has no
    others.
    """
    found: list[str] = []
    for name, path in files.items():
        if path.parent == place and path.name.startswith("pytorch_model") and name.endswith(".bin"):
            found += weights.open_weights(context, path, name).tensors
    return found


def _check_used(
    files: Mapping[str, Path], modules: Iterable[ModelConfig], context: Context
) -> None:
    """Warn of weights in a folder of one module, such as 2_Dense, that modules.json leaves out."""
    places = {_prefix(module) for module in modules}
    left = [
        name
        for name in files
        if places and name.endswith(_SUFFIXES) and (found := _OF_A_MODULE.match(name))
        if found[0] not in places
    ]
    if left:
        context.warn(
            "every module is used",
            f"modules.json does not name the module of {listed(left)}",
            "is this the right modules.json?",
        )


def _keep_settings(
    files: Mapping[str, Path],
    modules: Iterable[ModelConfig],
    encoder: str,
    context: Context,
) -> None:
    """Keep what decides how texts become vectors, as the files say it."""
    kinds = [str(module.get("type", "")).rpartition(".")[2] for module in modules]
    own = _table(files, f"{encoder}sentence_bert_config.json")
    general = _table(files, "config_sentence_transformers.json")
    context.fact("modules", kinds)
    places = [_prefix(module) for module, kind in zip(modules, kinds) if kind == "Pooling"]
    context.fact("pooling", [_table(files, f"{place}config.json") for place in places])
    longest = own.get("max_seq_length")
    if isinstance(longest, int) and longest < _SHORTEST:
        context.check(
            "longest text",
            False,
            f"{encoder}sentence_bert_config.json: max_seq_length is {longest}, which no text fits",
            "fetch the artifact again",
        )
    context.fact("settings", {key: own[key] for key in _SETTINGS if key in own})
    context.fact("prompts", {key: general[key] for key in _PROMPTS if general.get(key)})
