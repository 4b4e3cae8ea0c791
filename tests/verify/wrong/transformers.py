"""Models for tasks of transformers: right ones of each kind, and some of them spoilt."""

from __future__ import annotations

import json
import shutil
import warnings
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from fetcher.verify import ProbeRequest
from safetensors.torch import load_file, save_file

from tests.verify import taskmodels, visionmodels
from tests.verify.probing import request
from tests.verify.wrong import Case, made_once

KIND, WEIGHTS = "transformers", "model.safetensors"
KNOWS = "it knows what a trained model knows"


@cache
def _made(model: str) -> Path:
    folder = made_once(f"{KIND}-{model}")
    folder.mkdir()
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of old releases about the torch that is newer
        {**visionmodels.MAKERS, **taskmodels.MAKERS}[model](folder)
    return folder


def right(model: str, folder: Path, **options: Any) -> ProbeRequest:
    shutil.copytree(_made(model), folder)
    return request(KIND, folder, **options)


def settings(model: str, file: str, values: dict[str, Any], folder: Path) -> ProbeRequest:
    made = right(model, folder)
    path = folder / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
    return made


def rolled(model: str, ending: str, folder: Path) -> ProbeRequest:
    """With the rows of tensors in another order."""
    made = right(model, folder)
    tensors = load_file(folder / WEIGHTS)
    names = [name for name in tensors if name.endswith(ending)]
    assert names, sorted(tensors)
    for name in names:
        tensors[name] = tensors[name].roll(1, 0).contiguous()
    save_file(tensors, folder / WEIGHTS, {"format": "pt"})
    return made


def without(model: str, beginning: str, folder: Path) -> ProbeRequest:
    made = right(model, folder)
    tensors = load_file(folder / WEIGHTS)
    kept = {name: value for name, value in tensors.items() if not name.startswith(beginning)}
    assert len(kept) < len(tensors)
    save_file(kept, folder / WEIGHTS, {"format": "pt"})
    return made


def other_words(model: str, folder: Path) -> ProbeRequest:
    """The tokenizer's words in another order."""
    made = right(model, folder)
    path = folder / "tokenizer.json"
    found = json.loads(path.read_text())
    words = found["model"]["vocab"]
    plain = [word for word, number in words.items() if number >= len(taskmodels.SPECIAL)]
    words.update(zip(plain, (words[word] for word in [*plain[7:], *plain[:7]]), strict=True))
    path.write_text(json.dumps(found))
    return made


def one_vector(model: str, folder: Path) -> ProbeRequest:
    made = right(model, folder)
    tensors = load_file(folder / WEIGHTS)
    name = next(name for name in tensors if name.endswith("word_embeddings.weight"))
    tensors[name] = tensors[name][:1].expand_as(tensors[name]).contiguous()
    save_file(tensors, folder / WEIGHTS, {"format": "pt"})
    return made


def no_json(folder: Path) -> ProbeRequest:
    made = right("seq2seq", folder)
    (folder / "generation_config.json").write_text("{'eos_token_id': 1}")
    return made


_RIGHT: dict[str, Any] = {}


def _right(model: str) -> Any:
    return _RIGHT.setdefault(model, partial(right, model))


def _case(what: str, model: str, make: Any, says: str = "") -> Case:
    return Case(KIND, what, make, _right(model), says)


_LABELS = {"id2label": {"0": "good", "1": "fair", "2": "bad"}}
_NUMBERS = {"label2id": {"good": 0, "fair": 1, "bad": 2}}
_GAP: dict[str, Any] = {
    "id2label": {"0": "bad", "1": "fair", "3": "good"},
    "label2id": {"bad": 0, "fair": 1, "good": 3},
}
CASES = [
    Case(KIND, "a classifier of texts", _right("classifier")),
    Case(KIND, "a classifier of tokens", _right("token-classifier")),
    Case(KIND, "a model that finds answers in texts", _right("reader")),
    Case(KIND, "an encoder without pooler", _right("encoder")),
    Case(KIND, "a masked language model", _right("masked")),
    Case(KIND, "a reranker", _right("reranker")),
    Case(KIND, "a sequence-to-sequence model", _right("seq2seq")),
    Case(KIND, "a sequence-to-sequence model (BART)", _right("bart")),
    Case(KIND, "the first half of a T5", _right("t5-encoder")),
    Case(KIND, "an encoder of one vector a text", _right("dpr")),
    Case(KIND, "ELECTRA's discriminator", _right("electra")),
    Case(KIND, "speech to letters", _right("wav2vec2")),
    Case(KIND, "speech to words", _right("whisper")),
    Case(KIND, "a classifier of sounds", _right("sounds")),
    Case(KIND, "text to speech", _right("vits")),
    Case(KIND, "a classifier of pictures", _right("pictures")),
    Case(KIND, "a detector of objects", _right("detector")),
    Case(KIND, "a segmentation model", _right("segmenter")),
    Case(KIND, "a model of depths", _right("depths")),
    Case(KIND, "a zero-shot classifier of pictures", _right("clip")),
    Case(
        KIND,
        "an untrained masked language model, not asked",
        partial(right, "untrained-masked", known=False),
    ),
    _case("an untrained masked language model", "masked", _right("untrained-masked"), KNOWS),
    _case("an untrained reranker", "reranker", _right("untrained-reranker"), KNOWS),
    _case("an untrained sequence-to-sequence model", "seq2seq", _right("untrained-seq2seq"), KNOWS),
    _case(
        "a masked language model with another tokenizer's words",
        "masked",
        partial(other_words, "masked"),
        KNOWS,
    ),
    _case(
        "a sequence-to-sequence model with words exchanged",
        "seq2seq",
        partial(rolled, "seq2seq", "shared.weight"),
        KNOWS,
    ),
    _case(
        "a reranker with another tokenizer's words",
        "reranker",
        partial(other_words, "reranker"),
        KNOWS,
    ),
    _case(
        "a classifier with another tokenizer's words",
        "classifier",
        partial(other_words, "classifier"),
    ),
    _case(
        "a classifier whose head is another's",
        "classifier",
        partial(rolled, "classifier", "classifier.weight"),
    ),
    _case(
        "a classifier without a head",
        "classifier",
        partial(without, "classifier", "classifier."),
        "classifier.bias",
    ),
    _case(
        "labels that contradict each other",
        "classifier",
        partial(settings, "classifier", "config.json", _LABELS),
        "label2id and id2label differ",
    ),
    _case(
        "labels in another order",
        "classifier",
        partial(settings, "classifier", "config.json", {**_LABELS, **_NUMBERS}),
    ),
    _case(
        "more labels than the head has",
        "classifier",
        partial(
            settings,
            "classifier",
            "config.json",
            {"id2label": {"0": "bad", "1": "fair", "2": "good", "3": "best"}},
        ),
        "config.json describes",
    ),
    _case(
        "labels with a gap",
        "classifier",
        partial(settings, "classifier", "config.json", _GAP),
        "which has no 2",
    ),
    _case(
        "fewer layers in config.json",
        "classifier",
        partial(settings, "classifier", "config.json", {"num_hidden_layers": 1}),
        "describes fewer layers than the files have: bert.encoder.layer.1",
    ),
    _case(
        "another activation",
        "classifier",
        partial(settings, "classifier", "config.json", {"hidden_act": "relu"}),
    ),
    _case(
        "one vector for every word",
        "classifier",
        partial(one_vector, "classifier"),
        "every word has the same vector",
    ),
    _case(
        "pictures not scaled to 0..1",
        "pictures",
        partial(settings, "pictures", "preprocessor_config.json", {"do_rescale": False}),
        "do_rescale is false",
    ),
    _case(
        "a detector whose pictures are normalised otherwise",
        "detector",
        partial(settings, "detector", "preprocessor_config.json", {"image_mean": [0.2, 0.2, 0.2]}),
    ),
    _case(
        "sounds that are not normalised",
        "wav2vec2",
        partial(settings, "wav2vec2", "preprocessor_config.json", {"do_normalize": False}),
    ),
    _case(
        "speech that every token ends",
        "whisper",
        partial(settings, "whisper", "generation_config.json", {"eos_token_id": [*range(64)]}),
    ),
    _case(
        "a generation_config.json that is no JSON",
        "seq2seq",
        no_json,
        "generation_config.json is not valid JSON",
    ),
]
