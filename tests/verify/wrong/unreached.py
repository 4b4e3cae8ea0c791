"""What no input of a probe reaches: rows of embeddings, rules of tokenizers, lengths, experts."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from fetcher.verify import ProbeRequest
from safetensors.torch import load_file, save_file

from tests.verify import textmodels
from tests.verify.probing import request
from tests.verify.wrong import Case
from tests.verify.wrong import causal_lm as written
from tests.verify.wrong import sentence_transformer as sentences
from tests.verify.wrong import transformers as tasks

Json = dict[str, Any]
Tensors = dict[str, torch.Tensor]
ROW = 400  # of a token that is in no prompt
RIGHT = written.model()


def _rules(change: Callable[[Json], object]) -> Callable[[Path], object]:
    """With another tokenizer.json."""

    def spoil(folder: Path) -> None:
        path = folder / "tokenizer.json"
        found = json.loads(path.read_text(encoding="utf-8"))
        change(found)
        path.unlink()
        path.write_text(json.dumps(found), encoding="utf-8")

    return spoil


def _two_words(found: Json) -> None:
    words = found["model"]["vocab"]
    one, other = list(words)[-2:]
    words[one], words[other] = words[other], words[one]


def _taken_apart(found: Json) -> None:
    found["normalizer"] = {"type": "NFD"}


def _added_lost(found: Json) -> None:
    found["added_tokens"] = found["added_tokens"][:-1]


def _ends_exchanged(found: Json) -> None:
    text = json.dumps(found["post_processor"])
    for old, new in (("[CLS]", "@"), ("[SEP]", "[CLS]"), ("@", "[SEP]")):
        text = text.replace(old, new)
    found["post_processor"] = json.loads(text)


def _accents(found: Json) -> None:
    found["normalizer"]["strip_accents"] = False


def _letters(found: Json) -> None:
    found["model"]["max_input_chars_per_word"] = 20


def _row_of_zeros(folder: Path) -> None:
    def alter(tensors: Tensors) -> None:
        for name, one in tensors.items():
            if "embed_in" in name:
                tensors[name] = one.index_fill(0, torch.tensor([ROW]), 0)

    written.change(folder, alter)


def _rows_exchanged(tensors: Tensors) -> Tensors:
    order = torch.arange(len(tensors[sentences.WORDS]))
    order[[5000, 5001]] = order[[5001, 5000]]
    return {**tensors, sentences.WORDS: tensors[sentences.WORDS][order]}


POSITIONS = "embeddings.position_embeddings.weight"


def _late_positions(tensors: Tensors) -> Tensors:
    kept = torch.arange(len(tensors[POSITIONS])) < 100
    return {**tensors, POSITIONS: tensors[POSITIONS] * kept[:, None]}


def of_sentences(spoil: Callable[[Path], object], folder: Path) -> ProbeRequest:
    sentences.right(folder)
    spoil(folder)
    return request(sentences.KIND, folder)


def experts(folder: Path, exchanged: bool = False) -> ProbeRequest:
    """A language model of many experts, few of which read a text."""
    from transformers import MixtralConfig, MixtralForCausalLM

    torch.manual_seed(0)
    sizes = {"vocab_size": 512, "hidden_size": 16, "intermediate_size": 8, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1}
    many = {"num_local_experts": 64, "num_experts_per_tok": 1}
    MixtralForCausalLM(MixtralConfig(**sizes, **heads, **many)).save_pretrained(folder)
    textmodels.byte_tokenizer(folder)
    if exchanged:
        path = folder / "model.safetensors"
        tensors = load_file(path)
        read = _experts_that_read(folder)
        one, other = [n for n in range(64) if n not in read][:2]
        for name in sorted(tensors):
            if f".experts.{one}." in name:
                second = name.replace(f".experts.{one}.", f".experts.{other}.")
                tensors[name], tensors[second] = tensors[second], tensors[name]
        save_file(tensors, path, {"format": "pt"})
    return request("causal-lm", folder, max_loss=False, new_tokens=1)


def _experts_that_read(folder: Path) -> set[int]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder)
    ids = AutoTokenizer.from_pretrained(folder)("The quick brown fox jumps over the lazy dog.")
    with torch.no_grad():
        router = model(
            input_ids=torch.tensor([ids["input_ids"]]), output_router_logits=True
        ).router_logits
    return {int(n) for layer in router for n in layer.reshape(-1, 64).argmax(1)}


def two_vectors(folder: Path) -> ProbeRequest:
    """A masked language model with the vectors of two words exchanged that its text has not."""
    made = tasks.right("masked", folder)
    path = folder / tasks.WEIGHTS
    tensors = load_file(path)
    name = next(name for name in tensors if name.endswith("word_embeddings.weight"))
    order = torch.arange(len(tensors[name]))
    order[[-1, -2]] = order[[-2, -1]]
    tensors[name] = tensors[name][order].contiguous()
    save_file(tensors, path, {"format": "pt"})
    return made


def _of_text(what: str, spoil: Callable[[Path], object]) -> Case:
    return Case("causal-lm", what, written.model(spoil), RIGHT)


def _of_sentences(what: str, spoil: Callable[[Path], object]) -> Case:
    return Case(sentences.KIND, what, partial(of_sentences, spoil), sentences.right)


_CONFIG = partial(written.settings, "config.json")
_ROPE = {"partial_rotary_factor": 0.25, "rope_theta": 10000.0}
_STRETCHED = {"rope_type": "dynamic", "type": "dynamic", "factor": 4.0}

CASES = [
    _of_text("a row of zeros for a word that is not in the prompt", _row_of_zeros),
    _of_text("two words of the tokenizer exchanged", _rules(_two_words)),
    _of_text("a tokenizer that takes accents apart", _rules(_taken_apart)),
    _of_text("a special token that the tokenizer lost", _rules(_added_lost)),
    _of_text("longer texts than it was made for", _CONFIG(max_position_embeddings=100_000)),
    _of_text(
        "positions stretched in long texts alone",
        _CONFIG(rope_scaling=_STRETCHED, rope_parameters={**_ROPE, **_STRETCHED}),
    ),
    _of_text(
        "spaces cleaned up in what it writes",
        written.settings("tokenizer_config.json", clean_up_tokenization_spaces=True),
    ),
    Case("causal-lm", "a model of 64 experts", experts),
    Case(
        "causal-lm",
        "two experts exchanged that do not read the prompt",
        partial(experts, exchanged=True),
        experts,
    ),
    Case(
        sentences.KIND,
        "two rows exchanged of words in no sentence",
        partial(sentences.weights, _rows_exchanged),
        sentences.right,
    ),
    Case(
        sentences.KIND,
        "positions of zero behind the sentences' ends",
        partial(sentences.weights, _late_positions),
        sentences.right,
    ),
    _of_sentences("begin and end of a text exchanged", _rules(_ends_exchanged)),
    _of_sentences("accents that the vocabulary has not", _rules(_accents)),
    _of_sentences("long words that are no words", _rules(_letters)),
    Case(
        tasks.KIND,
        "vectors exchanged of two words that the text has not",
        two_vectors,
        partial(tasks.right, "masked"),
    ),
]
