"""Causal language models from a laid-out folder, with a PEFT adapter or without.

Nothing is looked up by a repository's name, and no code of a repository is run without consent.
Runs under the project's interpreter: syntax of Python 3.8, libraries imported inside functions.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from fetcher.verify.contract.consent import NO_CONSENT, CodeConsent
from fetcher.verify.loaders import (
    LoadError,
    first_line,
    is_memory,
    pretrained,
    quiet,
    vet,
)
from fetcher.verify.loaders.adapters import attach_adapter

if TYPE_CHECKING:
    from pathlib import Path

    from fetcher.verify.contract.foreign import Arguments

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")


@dataclass(frozen=True)
class CausalLM:
    """A loaded model in eval mode with its tokenizer.

    `missing` are tensors of the architecture that no file held, and that are therefore random;
    `unused` are tensors of the files that the architecture does not have.
    """

    model: Any
    tokenizer: Any
    missing: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()


def load(
    folder: Path,
    *,
    adapter: Path | None = None,
    device: str = "cpu",
    dtype: Any = "auto",
    consent: CodeConsent = NO_CONSENT,
    adapter_consent: CodeConsent = NO_CONSENT,
) -> CausalLM:
    """Load the model in `folder`, with the adapter in the folder `adapter` if given.

    `dtype` is torch's type, or `auto`: as stored. The tokenizer is the adapter's if it has one.
    Raises LoadError, also for what would run code without consent to it.
    """
    model, missing, unused = load_model(folder, dtype, consent)
    if adapter is not None:
        model = attach_adapter(model, adapter, adapter_consent)
    chosen = tokenizer_folder(folder, adapter)
    tokenizer = load_tokenizer(chosen, adapter_consent if chosen == adapter else consent)
    return CausalLM(model.to(device).eval(), tokenizer, missing, unused)


def load_model(
    folder: Path, dtype: Any, consent: CodeConsent = NO_CONSENT, device: str = ""
) -> tuple[Any, tuple[str, ...], tuple[str, ...]]:
    """Load the model alone, on the CPU; returns it with its `missing` and `unused` tensors.

    With a `device`, on it: quantised models cannot be moved there later.
    """
    import transformers

    quiet(transformers)
    vet(folder, consent, built_in_first=True)
    where: Arguments = {"device_map": {"": device}} if device else {}
    return pretrained(transformers.AutoModelForCausalLM, folder, dtype, consent, **where)


def tokenizer_folder(folder: Path, adapter: Path | None) -> Path:
    """Return the folder whose tokenizer counts: the adapter's, if it brings one along."""
    if adapter is not None and any((adapter / name).exists() for name in TOKENIZER_FILES):
        return adapter
    return folder


def load_tokenizer(folder: Path, consent: CodeConsent = NO_CONSENT) -> Any:
    """Load a tokenizer from a folder. Raises LoadError."""
    import transformers

    quiet(transformers)
    if not any((folder / name).exists() for name in TOKENIZER_FILES):
        raise LoadError(
            f"no tokenizer is laid out in {folder}: none of {', '.join(TOKENIZER_FILES)}",
            "add the tokenizer's files to the artifact's `files`",
        )
    # An adapter's own tokenizer lies beside what it says of its base.
    vet(folder, consent, adapter=not (folder / "config.json").exists(), built_in_first=True)
    how: Arguments = {"local_files_only": True, "trust_remote_code": consent.given}
    try:
        return transformers.AutoTokenizer.from_pretrained(str(folder), **how)
    except Exception as error:
        if "trust_remote_code" in str(error) and (folder / "tokenizer.json").exists():
            # A class of the repository's own, whose tokens are all in this file.
            return transformers.PreTrainedTokenizerFast.from_pretrained(str(folder), **how)
        newer = "Tokenizer class" in str(error) and "does not exist" in str(error)
        raise LoadError(
            f"the tokenizer in {folder} cannot be loaded: {first_line(error)}",
            "it was saved by a newer release: upgrade transformers in the project's environment"
            if newer
            else "are all its files there? fetch check tells which are missing or modified",
        ) from error


def inputs_of(tokenizer: Any, model: Any, text: str, special_tokens: bool = True) -> Arguments:
    """Return a prompt's `input_ids` and `attention_mask`, int64 of shape (1, tokens), on the
    model's device. Some tokenizers also return token_type_ids, which decoders do not take.

    Without `special_tokens` none is added: what a chat template writes has them already.
    """
    encoded = tokenizer(text, return_tensors="pt", add_special_tokens=special_tokens)
    device = next(model.parameters()).device
    return {name: encoded[name].to(device) for name in ("input_ids", "attention_mask")}


def context_length(model: Any) -> int:
    """Return how many tokens a model takes at once, by its configuration; else a great many."""
    config = model.config
    inner = config.get_text_config() if hasattr(config, "get_text_config") else config
    for name in ("max_position_embeddings", "n_positions", "max_seq_len"):
        found = getattr(inner, name, None)
        if isinstance(found, int) and found > 1:
            return found
    return sys.maxsize


def pad_id(tokenizer: Any, model: Any) -> int | None:
    """Return the token to pad with: the tokenizer's, else the model's, else an end of text."""
    found = [getattr(one, "pad_token_id", None) for one in (tokenizer, model.config)]
    ends = getattr(model.generation_config, "eos_token_id", None)
    found += [tokenizer.eos_token_id, ends[0] if isinstance(ends, (list, tuple)) else ends]
    return next((number for number in found if number is not None), None)


# The files may ask for sampling; greedy is what can be told apart from yesterday's.
GREEDY: Arguments = {
    "do_sample": False,
    "num_beams": 1,
    "temperature": None,
    "top_p": None,
    "top_k": None,
}


class Written(NamedTuple):
    """Ids of the tokens that a model wrote, and the scores of the first step that they were chosen
    by, float32 of shape (vocabulary,), on the CPU: -inf for what the settings rule out.
    """

    tokens: list[int]
    scores: Any


def write(loaded: CausalLM, text: str, new_tokens: int) -> Written:
    """Continue a prompt greedily, by at most `new_tokens`.

    Raises LoadError for settings that transformers does not take.
    """
    inputs = inputs_of(loaded.tokenizer, loaded.model, text)
    output = generate(
        loaded.model,
        loaded.tokenizer,
        **inputs,
        max_new_tokens=new_tokens,
        pad_token_id=pad_id(loaded.tokenizer, loaded.model),
        return_dict_in_generate=True,
        output_scores=True,
        **GREEDY,
    )
    tokens = [int(token) for token in output.sequences[0][inputs["input_ids"].shape[1] :]]
    return Written(tokens, output.scores[0][0].float().cpu())


def continue_ids(loaded: CausalLM, inputs: Arguments, new_tokens: int, **how: Any) -> list[int]:
    """Continue what `inputs_of` returned; `how` goes to the model's `generate`.

    Raises LoadError for settings that transformers does not take.
    """
    output = generate(
        loaded.model,
        loaded.tokenizer,
        **inputs,
        max_new_tokens=new_tokens,
        pad_token_id=pad_id(loaded.tokenizer, loaded.model),
        **how,
    )
    return [int(token) for token in output[0][inputs["input_ids"].shape[1] :]]


def generate(model: Any, tokenizer: Any, **how: Any) -> Any:
    """Let a model write as its settings and `how` say, and return transformers' answer.

    Raises LoadError for settings that transformers does not take.
    """
    import torch

    if getattr(model.generation_config, "stop_strings", None):
        how["tokenizer"] = tokenizer  # what ends texts is found in their letters
    try:
        with torch.inference_mode():
            return model.generate(**how)
    except Exception as error:
        if is_memory(error):
            raise
        raise LoadError(
            f"{type(model).__name__} does not write: {first_line(error)}",
            "generation_config.json or config.json has a setting that this release of transformers "
            "does not take: fetch the artifact again, or upgrade transformers",
        ) from error
