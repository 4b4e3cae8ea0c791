"""The `sentence-transformer` probe: an S-BERT encoder loads, and tells alike from unlike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fetcher.verify.contract import json_text
from fetcher.verify.contract.built_in_probes import problems_of
from fetcher.verify.contract.probe_errors import ProbeError
from fetcher.verify.contract.regular import read_regular
from fetcher.verify.loaders import sentence_transformer as loader
from fetcher.verify.weights import finite, folders
from fetcher.verify.weights.expectations import check_count

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from fetcher.verify.contract.context import Context
    from fetcher.verify.contract.foreign import ModelConfig, ProbeOptions
    from fetcher.verify.contract.protocol import ProbeRequest, Problem
    from fetcher.verify.weights.safetensors_header import TensorEntry

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
_SHOWN = 5


class SentenceTransformer:
    """Encodes pairs of sentences and compares their similarities.

    Options, all optional: `dimension` (of the embeddings), `pairs` (`{similar: [[a, b], …],
    dissimilar: […]}`, or `en`, `ko`, or false for none; default `en`), `pooling` (mean, cls or max:
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
        folder = _folder(request.files, pooling)
        encoder = _encoder_folder(request.files, folder, pooling)
        marker = f"{encoder}config.json"
        folders.check_config(request.files, marker)
        tensors = folders.check_weights(request.files, request.files[marker].parent, context)
        _check_tokenizer_files(request.files[marker].parent, folder, context)
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
        _check_weights(model, tensors, request, context)
        _check_sentences(model, request, context)


PROBE = SentenceTransformer()


def _folder(files: Mapping[str, Path], pooling: str | None) -> Path:
    if pooling is not None:
        return folders.folder_of(files, "config.json", "an encoder")
    if "modules.json" not in files:
        raise ProbeError(
            "modules.json is not among the artifact's files: without it some versions of "
            "sentence-transformers guess how to pool, and say nothing",
            "add it to the artifact's `files`, or say how to pool: `probe: {pooling: mean}`",
        )
    return folders.folder_of(files, "modules.json", "a sentence encoder")


def _encoder_folder(files: Mapping[str, Path], folder: Path, pooling: str | None) -> str:
    """Return the encoder's folder in the artifact, as a prefix, after checking every module's."""
    if pooling is not None:
        return ""
    encoder = ""
    for number, module in enumerate(_modules(files["modules.json"])):
        place = str(module.get("path", ""))
        prefix = f"{place}/" if place else ""
        kind = str(module.get("type", "")).rpartition(".")[2]
        if kind == "Transformer" or (number == 0 and not kind):
            encoder = prefix
        if kind == "Normalize":
            continue  # has no settings; its folder may be absent
        if f"{prefix}config.json" not in files:
            raise ProbeError(
                f"modules.json wants a module {kind} in {place or 'its own folder'}, but "
                f"{prefix}config.json is not laid out",
                "add it to the artifact's `files`, and keep sub-folders in the layout",
            )
    return encoder


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


def _check_weights(
    model: Any, tensors: Mapping[str, TensorEntry], request: ProbeRequest, context: Context
) -> None:
    torch = context.require("torch")
    context.stage("looking at the weights")
    encoder = loader.encoder_of(model)
    context.metrics["dtype"] = str(next(encoder.parameters()).dtype).replace("torch.", "")
    numbers = sum(parameter.numel() for parameter in model.parameters())
    context.metrics["parameters"] = numbers
    if "parameters" in request.options:
        check_count("parameters", numbers, request.options["parameters"], context)
    if tensors:
        missing = _not_in(tensors, (name for name, _ in encoder.named_parameters()))
        context.check(
            "every tensor comes from a file",
            not missing,
            f"{len(missing)} tensors are in no file, so they are random: {_listed(missing)}"
            if missing
            else type(encoder).__name__,
            "weights and config.json are of different models",
        )
    bad = [
        f"{name} ({count:,})"
        for name, parameter in model.named_parameters()
        for count in [finite.count_in_tensor(torch, parameter, str(parameter.device))]
        if count
    ]
    context.check(
        "weights are finite",
        not bad,
        f"NaN or infinity in {_listed(bad)}" if bad else "",
        "the weights are damaged, or training diverged",
    )


def _not_in(tensors: Mapping[str, TensorEntry], names: Iterable[str]) -> list[str]:
    """Return the parameters that no tensor of the file is for.

    Files may have the model's name in front, old ones gamma and beta; a pooler is not used here.
    """
    stored = set()
    for name in tensors:
        plain = name.replace(".gamma", ".weight").replace(".beta", ".bias")
        stored |= {plain, plain.partition(".")[2]}
    return [name for name in names if name not in stored and not name.startswith("pooler.")]


def _check_sentences(model: Any, request: ProbeRequest, context: Context) -> None:
    wanted = request.options.get("pairs", "en")
    pairs = _PAIRS[wanted] if isinstance(wanted, str) else wanted or _PAIRS["en"]
    told = [(kind, pair[0], pair[1]) for kind in ("similar", "dissimilar") for pair in pairs[kind]]
    sentences = list(dict.fromkeys(text for _, *pair in told for text in pair))
    _check_tokens(model, sentences)
    context.stage(f"encoding {len(sentences)} sentences")
    with context.timed("infer_seconds"):
        vectors = loader.encode(model, sentences)
    if not context.fingerprint("embeddings", vectors):
        return
    _check_vectors(model, vectors, request, context)
    by_text = dict(zip(sentences, vectors))  # noqa: B905
    rows = []
    for kind, first, second in told:
        rows.append((kind, first, second, round(_cosine(by_text[first], by_text[second]), 4)))
    context.table("Similarities", ("expected", "sentence", "sentence", "cosine"), rows)
    if wanted is not False:
        _check_ranking(rows, context)


def _check_tokens(model: Any, sentences: Sequence[str]) -> None:
    """Raise ProbeError for tokens that the encoder has no embeddings for: it would crash."""
    tokens = model.tokenizer(list(sentences))["input_ids"]
    rows = loader.encoder_of(model).get_input_embeddings().weight.shape[0]
    highest = max((token for ids in tokens for token in ids), default=0)
    if highest >= rows:
        raise ProbeError(
            f"the tokenizer does not fit the encoder: it gives token {highest}, and there are "
            f"{rows:,} embeddings",
            "tokenizer and encoder are of different models, or tokenizer_config.json is missing",
        )


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
        context.check("norms", low > 0, f"{low:.3g} to {high:.3g}; the model does not normalise")


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


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
