"""The `sentence-transformer` probe: an S-BERT encoder loads, and tells alike from unlike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fetcher.verify.contract.built_in_probes import problems_of
from fetcher.verify.contract.probe_errors import ProbeError
from fetcher.verify.loaders import embedding_rows, loaded
from fetcher.verify.loaders import sentence_transformer as loader
from fetcher.verify.loaders.strict import listed
from fetcher.verify.probes import sentence_files, sentence_sense
from fetcher.verify.weights import finite
from fetcher.verify.weights.expectations import check_count

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fetcher.verify.contract.context import Context
    from fetcher.verify.contract.foreign import ProbeOptions
    from fetcher.verify.contract.protocol import ProbeRequest, Problem

_PAIRS = {
    "en": {
        "similar": [
            ["A man is playing the guitar.", "Someone plays a guitar."],
            ["The weather is lovely today.", "It is sunny and warm outside."],
            ["How do I reset my password?", "I forgot my password and need a new one."],
        ],
        "dissimilar": [
            ["A man is playing the guitar.", "The stock market fell sharply."],
            ["The weather is lovely today.", "He bought three new printers."],
            ["How do I reset my password?", "Penguins live in the southern hemisphere."],
        ],
    },
    "ko": {
        "similar": [
            ["오늘 날씨가 정말 좋다.", "오늘은 맑고 화창한 날이다."],
            ["점심으로 김치찌개를 먹었다.", "나는 점심에 김치찌개를 먹었어."],
            ["비밀번호를 잊어버렸어요.", "비밀번호가 기억나지 않아요."],
        ],
        "dissimilar": [
            ["오늘 날씨가 정말 좋다.", "주식 시장이 크게 하락했다."],
            ["점심으로 김치찌개를 먹었다.", "기차가 두 시간 늦게 도착했다."],
            ["비밀번호를 잊어버렸어요.", "펭귄은 남극에 산다."],
        ],
    },
}
# Buffers that older releases saved among the weights.
_NOT_WEIGHTS = ("position_ids", "inv_freq", "relative_position_index")


class SentenceTransformer:
    """Encodes pairs of sentences and compares their similarities, and meaning with wording.

    Options, all optional: `dimension` (of the embeddings), `pairs` (`{similar: [[a, b], …],
    dissimilar: […]}`, or `en`, `ko`, or false for none; default: those of `en`, and meaning in
    whichever language the model knows), `pooling` (mean, cls or max:
    put the encoder and one pooling layer together instead of following modules.json),
    `max_seq_length`, `parameters` (count, exact or `{min, max}`), `dtype`.
    """

    type = "sentence-transformer"
    requires = (
        ("torch", "torch"),
        ("transformers", "transformers"),
        ("sentence_transformers", "sentence-transformers"),
    )

    def validate_options(self, given: ProbeOptions) -> list[Problem]:
        """Return all problems of the manifest's options."""
        return problems_of(self.type, given)

    def run(self, request: ProbeRequest, context: Context) -> None:
        """Check the files, load them, and compare sentences."""
        context.stage("looking at the files")
        pooling = request.options.get("pooling")
        files = sentence_files.check(request.files, pooling, context)
        folder = files.folder
        context.stage(f"loading {folder.name}")
        dtype = None if context.wanted_dtype() is None else context.torch_dtype()
        with context.timed("load_seconds"):
            model = loader.load(
                folder,
                device=context.device(),
                dtype=dtype,
                pooling=pooling,
                max_seq_length=request.options.get("max_seq_length"),
                consent=context.consent(),
            )
        _check_weights(model, files.tensors, request, context)
        _check_sentences(model, request, context)


PROBE = SentenceTransformer()


def _check_weights(
    model: Any, tensors: Iterable[str], request: ProbeRequest, context: Context
) -> None:
    torch = context.require("torch")
    context.stage("looking at the weights")
    encoder = loader.encoder_of(model)
    first = next(encoder.parameters(), None)  # a bag of words has none
    dtype = torch.float32 if first is None else first.dtype
    context.metrics["dtype"] = str(dtype).replace("torch.", "")
    numbers = sum(parameter.numel() for parameter in model.parameters())
    context.metrics["parameters"] = numbers
    if "parameters" in request.options:
        check_count("parameters", numbers, request.options["parameters"], context)
    if tensors:
        _check_names(encoder, tensors, context)
    bad = [
        f"{name} ({count:,})"
        for name, parameter in model.named_parameters()
        for count in [finite.count_in_tensor(torch, parameter, str(parameter.device))]
        if count
    ]
    context.check(
        "weights are finite",
        not bad,
        f"NaN or infinity in {listed(bad)}" if bad else "",
        "the weights are damaged, or training diverged",
    )
    if not bad:
        embedding_rows.keep(model, context)


def _check_names(encoder: Any, tensors: Iterable[str], context: Context) -> None:
    """Check that every parameter is in a file; what the files hold besides is a warning.

    Files may have the model's name in front, old ones gamma and beta; a pooler is not used here.
    """
    named = {name: name.replace(".gamma", ".weight").replace(".beta", ".bias") for name in tensors}
    stored = {*named.values(), *(plain.partition(".")[2] for plain in named.values())}
    wanted = {name for name, _ in encoder.named_parameters()}
    there = {*wanted, *(name for name, _ in encoder.named_buffers())}
    missing = [name for name in sorted(wanted - stored) if not name.startswith("pooler.")]
    unused = [
        name
        for name, plain in named.items()
        if plain not in there
        and plain.partition(".")[2] not in there
        and not name.endswith(_NOT_WEIGHTS)
        and "pooler." not in name
    ]
    loaded.check_tensors(encoder, missing, unused, context)


def _check_sentences(model: Any, request: ProbeRequest, context: Context) -> None:
    wanted = request.options.get("pairs")
    pairs = _PAIRS[wanted or "en"] if not isinstance(wanted, dict) else wanted
    told = [(kind, pair[0], pair[1]) for kind in ("similar", "dissimilar") for pair in pairs[kind]]
    sentences = list(dict.fromkeys(text for _, *pair in told for text in pair))
    first = sentence_sense.languages(wanted)[0]
    # In one call with the pairs: a second one would cost as much again.
    more = sentence_sense.sentences_of(first)
    _check_tokens(model, [*sentences, *more], context)
    context.stage(f"encoding {len(sentences) + len(more)} sentences")
    with context.timed("infer_seconds"):
        vectors = loader.encode(model, [*sentences, *more])
    vectors, meant = vectors[: len(sentences)], vectors[len(sentences) :]
    sound = context.fingerprint("embeddings", vectors)
    if not (context.fingerprint(f"meaning ({first})", meant) and sound):
        return
    _check_vectors(model, vectors, request, context)
    by_text = dict(zip(sentences, vectors))
    rows = []
    for kind, one, other in told:
        rows.append((kind, one, other, round(_cosine(by_text[one], by_text[other]), 4)))
    context.table("Similarities", ("expected", "sentence", "sentence", "cosine"), rows)
    if wanted is False:
        return
    language = _check_meaning(model, meant, request, context)
    if wanted is not None or language in ("", "en"):
        _check_ranking(rows, context)


def _check_meaning(model: Any, vectors: Any, request: ProbeRequest, context: Context) -> str:
    """Check that meaning goes before wording; return the language in which it does, '' if none.

    Without `pairs` the model may be of any language: the others are tried if the first one fails.
    """
    torch = context.require("torch")
    wanted = request.options.get("pairs")
    languages = sentence_sense.languages(wanted)
    first = sentence_sense.judge(torch, languages[0], vectors)
    language, sense = languages[0], first
    for other in () if first.found else languages[1:]:
        vectors = loader.encode(model, sentence_sense.sentences_of(other))
        found = sentence_sense.judge(torch, other, vectors)
        if found.found:
            language, sense = other, found
            break
    context.metrics["meaning"] = round(sense.margin, 4)
    columns = ("sentence", "same meaning", "same words", "cosine", "cosine of words")
    context.table("Meaning and wording", columns, sense.rows, "around the mean of all vectors")
    told = sentence_sense.told(language, sense)
    trained = "pooling" not in request.options and not loader.is_static(model)
    hint = (
        "the weights are untrained, out of order, or another tokenizer's, or the model is of a "
        "language or a domain of its own: `pairs` takes your own, or false"
    )
    if sense.found:
        context.check("meaning goes before wording", True, told)
        return language
    if isinstance(wanted, dict) or sense.bearable(trained):
        context.warn("meaning goes before wording", told, hint)
    else:
        context.check("meaning goes before wording", False, told, hint)
    return ""


def _check_tokens(model: Any, sentences: Sequence[str], context: Context) -> None:
    """Keep the tokens. Raises ProbeError for some that the encoder has no vectors for: it would
    crash.
    """
    tokens = loader.token_ids(model, sentences)
    rows = loader.word_vectors(model)
    highest = max((token for ids in tokens for token in ids), default=0)
    if rows is not None and highest >= rows:
        raise ProbeError(
            f"the tokenizer does not fit the encoder: it gives token {highest}, and there are "
            f"{rows:,} embeddings",
            "tokenizer and encoder are of different models, or tokenizer_config.json is missing",
        )
    context.fact("token ids", tokens)


def _check_vectors(model: Any, vectors: Any, request: ProbeRequest, context: Context) -> None:
    dimension = int(vectors.shape[1])
    expected = request.options.get("dimension", dimension)
    context.check(
        "dimension",
        dimension == expected,
        f"{dimension}" if dimension == expected else f"{dimension}, expected {expected}",
        "is this the right model?",
    )
    norms = vectors.norm(dim=1)
    low, high = float(norms.min()), float(norms.max())
    if any(type(module).__name__ == "Normalize" for module in model):
        context.check(
            "unit norms",
            abs(low - 1) < 0.02 and abs(high - 1) < 0.02,
            f"{low:.4f} to {high:.4f}",
            "the model is to normalise its vectors, and does not",
        )
    else:
        told = f"{low:.3g} to {high:.3g}; the model does not normalise"
        hint = "it knows no word of a text: give sentences of its language in `pairs`"
        if low <= 0 < high and loader.is_static(model):
            context.warn("norms", told, hint)
        else:
            context.check("norms", low > 0, told, f"the weights are damaged, or {hint}")


def _check_ranking(rows: Sequence[tuple[str, str, str, float]], context: Context) -> None:
    lowest = min((row for row in rows if row[0] == "similar"), key=lambda row: row[3])
    highest = max((row for row in rows if row[0] == "dissimilar"), key=lambda row: row[3])
    context.metrics["lowest_similar"] = lowest[3]
    context.metrics["highest_dissimilar"] = highest[3]
    ok = lowest[3] > highest[3]
    told = f"similar pairs from {lowest[3]:.3f}, dissimilar ones up to {highest[3]:.3f}"
    if not ok:
        told += (
            f": {lowest[1]!r} and {lowest[2]!r} ({lowest[3]:.3f}) should be more alike than "
            f"{highest[1]!r} and {highest[2]!r} ({highest[3]:.3f})"
        )
    context.check(
        "similar pairs rank above dissimilar ones",
        ok,
        told,
        "the weights are not a trained sentence encoder, or are another language's (`pairs: ko`); "
        "`pairs` takes your own",
    )


def _cosine(first: Any, second: Any) -> float:
    return float((first * second).sum() / (first.norm() * second.norm()).clamp_min(1e-12))
