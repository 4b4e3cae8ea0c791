"""Keeps of a model's files what an answer to a short text does not show, to be compared later.

What these files say holds under every release of the libraries: how texts become tokens, how long
they may be, and how layers compute.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from fetcher.verify.contract.probe_errors import ProbeError
from fetcher.verify.contract.regular import read_regular
from fetcher.verify.weights.folders import read_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fetcher.verify.contract.context import Context
    from fetcher.verify.contract.foreign import ModelConfig

_ARITHMETIC = (
    *("hidden_act", "activation_function", "activation", "feed_forward_proj", "dense_act_fn"),
    *("layer_norm_eps", "layer_norm_epsilon", "rms_norm_eps", "num_attention_heads"),
    *("num_key_value_heads", "position_embedding_type"),
)
# What counts only in texts that are longer than a probe's.
_LENGTHS = (
    *("max_position_embeddings", "n_positions", "max_source_positions", "max_target_positions"),
    *("original_max_position_embeddings", "sliding_window", "use_sliding_window"),
    *("max_window_layers", "attention_window", "attention_chunk_size"),
)
_ROPE = ("rope_scaling", "rope_parameters")  # since release 5 the latter holds all of it
_THETA = ("rope_theta", "rotary_emb_base")
_PART = ("partial_rotary_factor", "rotary_pct")
_USUAL_THETA = 10_000
_DEEPEST = 3  # configurations inside one another

_DIFFUSION = (
    # how noise is put on and taken off
    *("prediction_type", "beta_schedule", "beta_start", "beta_end", "trained_betas"),
    *("num_train_timesteps", "timestep_spacing", "steps_offset", "rescale_betas_zero_snr"),
    *("shift", "use_dynamic_shifting", "base_shift", "max_shift", "use_karras_sigmas"),
    *("clip_sample", "thresholding", "set_alpha_to_one", "algorithm_type", "solver_order"),
    # what latents are multiplied with and moved by
    *("scaling_factor", "shift_factor", "latents_mean", "latents_std", "force_upcast"),
)

_TOKENIZER = "tokenizer.json"
_RULES = ("normalizer", "pre_tokenizer", "post_processor", "decoder")
_VOCABULARY = ("vocab", "merges")
# In place of tokenizer.json.
_FILES = (
    *("vocab.txt", "vocab.json", "merges.txt", "spiece.model", "spm.model", "tokenizer.model"),
    *("sentencepiece.bpe.model", "added_tokens.json", "source.spm", "target.spm", "bpe.codes"),
    *("tekken.json", "dict.txt", "sentencepiece.model", "tiktoken.model"),
)
_OWN = (
    *("do_lower_case", "strip_accents", "tokenize_chinese_chars", "do_basic_tokenize"),
    *("add_prefix_space", "legacy", "clean_up_tokenization_spaces", "split_special_tokens"),
    *("padding_side", "truncation_side", "model_max_length", "add_bos_token", "add_eos_token"),
    *("bos_token", "eos_token", "unk_token", "pad_token", "cls_token", "sep_token", "mask_token"),
    *("src_lang", "tgt_lang", "language", "predict_timestamps"),
)
_UNLIMITED = 1_000_000  # tokens: releases write "no limit" in several ways


def keep(config: ModelConfig, files: Mapping[str, Path], folder: Path, context: Context) -> None:
    """Keep what the files in a model's `folder` say, as facts; `config` is its config.json."""
    context.fact("settings of layers", {key: config[key] for key in _ARITHMETIC if key in config})
    lengths = _lengths(config)
    if lengths:
        context.fact("lengths in config.json", lengths)
    keep_tokenizer(files, folder, context)


def keep_tokenizer(
    files: Mapping[str, Path], folder: Path, context: Context, about: str = ""
) -> None:
    """Keep how the tokenizer in a folder reads texts; `about` stands before the facts' names.

    What cannot be read is left out: whoever loads it says why.
    """
    here = {path.name: path for path in files.values() if path.parent == folder}
    own = _table(here, "tokenizer_config.json")
    found = {key: _plain(own[key]) for key in _OWN if own.get(key) is not None}
    longest = found.get("model_max_length")
    if isinstance(longest, (int, float)) and longest > _UNLIMITED:
        del found["model_max_length"]
    if found:
        context.fact(f"{about}settings of the tokenizer", found)
    declared = own.get("added_tokens_decoder")
    if isinstance(declared, dict) and declared:
        context.fact(f"{about}added tokens", {key: _plain(one) for key, one in declared.items()})
    whole = _table(here, _TOKENIZER)
    model = whole.get("model")
    if isinstance(model, dict):
        context.fact(f"{about}vocabulary", _vocabulary(model, whole.get("added_tokens")))
        context.fact(f"{about}rules of the tokenizer", _rules(model, whole))
        return
    for name in _FILES:
        if name in here:
            context.fact(f"{about}{name}", _digest(here[name]))


def keep_part(files: Mapping[str, Path], folder: Path, context: Context, name: str) -> None:
    """Keep what a part of a diffusion pipeline says of noise, steps and latents: a few steps of a
    small picture may hide it.
    """
    here = {path.name: path for path in files.values() if path.parent == folder}
    for file in ("scheduler_config.json", "config.json"):
        given = _table(here, file)
        kept = {key: given[key] for key in _DIFFUSION if given.get(key) is not None}
        if kept:
            context.fact(f"{name}: settings", kept)


def _lengths(config: ModelConfig, depth: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = {key: config[key] for key in _LENGTHS if config.get(key) is not None}
    if config.get("tie_word_embeddings") is False:  # some releases leave out that they are tied
        found["tie_word_embeddings"] = False
    if depth:  # of the model itself they are a fact of their own
        found.update({key: config[key] for key in _ARITHMETIC if config.get(key) is not None})
    rope = _rope(config)
    if rope:
        found["rope"] = rope
    for key, inner in config.items():
        if depth < _DEEPEST and str(key).endswith("_config") and isinstance(inner, dict):
            below = _lengths(inner, depth + 1)
            found.update({f"{key}.{name}": value for name, value in below.items()})
    return found


def _rope(config: ModelConfig) -> dict[str, Any]:
    """Return how positions are told by turning, whichever release wrote it; {} for the usual."""
    found: dict[str, Any] = {}
    inner = [one for key in _ROPE if isinstance(one := config.get(key), dict)]
    for place in (config, *inner):
        for names in (_THETA, _PART):
            for name in names:
                if place.get(name) is not None:
                    found[names[0]] = place[name]
    if found.get(_THETA[0]) == _USUAL_THETA:
        del found[_THETA[0]]
    for one in inner:
        kind = one.get("rope_type", one.get("type", "default"))
        if kind != "default":
            known = {*_THETA, *_PART, "rope_type", "type"}
            found.update({"kind": kind, **{k: v for k, v in one.items() if k not in known}})
    return found


def _vocabulary(model: Mapping[str, Any], added: Any) -> str:
    """Return in words how many tokens there are, with a digest of them: they may be a million."""
    words, merges = model.get("vocab") or [], model.get("merges") or []
    if isinstance(words, dict):
        words = sorted(words.items())
    if isinstance(merges, list):  # older files have both halves in one text
        merges = [" ".join(map(str, one)) if isinstance(one, list) else one for one in merges]
    told = json.dumps([words, merges, added]).encode()
    counts = [len(one) if isinstance(one, list) else 0 for one in (words, merges, added)]
    digest = hashlib.sha256(told).hexdigest()[:16]
    return "{:,} words, {:,} merges, {:,} added, sha256 {}".format(*counts, digest)


def _rules(model: Mapping[str, Any], whole: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in model.items() if value and key not in _VOCABULARY}
    return {"model": kept, **{key: whole[key] for key in _RULES if whole.get(key)}}


def _plain(token: Any) -> Any:
    """Return a special token's text: releases write it with its properties, or alone."""
    return token.get("content") if isinstance(token, dict) else token


def _table(here: Mapping[str, Path], name: str) -> Mapping[str, Any]:
    if name not in here:
        return {}
    try:
        return read_json(here[name], name)
    except ProbeError:
        return {}


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(read_regular(path)).hexdigest()[:16]
    except OSError:
        return ""
