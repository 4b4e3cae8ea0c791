"""The `gguf` probe: a GGUF file is whole, says what llama.cpp needs to know, and answers if it can.

What each option means is in `Gguf`. A model is a single file or its parts (…-00001-of-00003.gguf).
"""

from __future__ import annotations

import hashlib
import math
import re
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from fetcher.verify.contract.built_in_probes import problems_of
from fetcher.verify.contract.install_line import pip_install
from fetcher.verify.contract.probe_errors import ProbeError
from fetcher.verify.loaders import gguf as loader
from fetcher.verify.loaders import templates
from fetcher.verify.loaders.strict import listed
from fetcher.verify.weights import fileformat, gguf_data, gguf_rules
from fetcher.verify.weights.choice import with_suffix
from fetcher.verify.weights.expectations import check_count
from fetcher.verify.weights.gguf_header import (
    FLOAT32,
    Array,
    GgufHeader,
    bytes_of,
    is_texts,
    read_header,
    texts_of,
)
from fetcher.verify.weights.shards import weight_sets

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fetcher.verify.contract.context import Context
    from fetcher.verify.contract.foreign import ProbeOptions
    from fetcher.verify.contract.protocol import ProbeRequest, Problem
    from fetcher.verify.weights.gguf_data import Numbers
    from fetcher.verify.weights.gguf_header import GgufTensor, Value
    from fetcher.verify.weights.shards import WeightSet

_SUFFIX = ".gguf"
_PROMPT = "The capital of France is Paris, and the capital of Germany is"
_NEW_TOKENS = 8
_CHANCE = 0.85  # of ln(vocabulary): a loss that no trained model has on a text of its language
_MANY = 0.25  # a share of matrices
# Blocks that were put in between others begin with these at zero, so that they change nothing.
# Models that tell no kinds of tokens apart, such as RoBERTa, were given a row of zeros for them.
_MAY_BE_ZERO = re.compile(r".*\.(attn_output|ffn_down)\.weight|token_types\.weight|.*\.lora_b")
# Biases, and the rows of words that a vocabulary was padded with.
_MAY_END_IN_ZEROS = re.compile(r".*\.bias|(token_embd|output|per_layer_token_embd)\.weight")
_PAGE = 4096  # bytes
_MATCHED = "is this the right model and revision?"


class Gguf:
    """Reads header, metadata and every number of a model, and lets llama-cpp-python answer.

    Options, all optional: `files` (globs; default: all .gguf files, each a model), `architecture`
    (such as llama), `quantization` (the commonest type of its matrices, such as Q4_K),
    `parameters` (exact or `{min, max}`), `prompt` and `new_tokens` (where llama-cpp-python is
    installed: the text to continue, in a language of the model, and for how long).
    """

    type = "gguf"
    requires: tuple[tuple[str, str], ...] = ()

    def validate_options(self, given: ProbeOptions) -> list[Problem]:
        """Return all problems of the manifest's options."""
        return problems_of(self.type, given)

    def run(self, request: ProbeRequest, context: Context) -> None:
        """Check every model among the artifact's .gguf files."""
        chosen = with_suffix(request, _SUFFIX, "add it to its `files`, or name it in `files`")
        # torch, which knows of GPUs, is not imported for a file that nothing computes with.
        context.metrics.update(parameters=0, tensors=0, device="cpu")
        for weights in weight_sets(chosen, request.files):
            _check_model(weights, request, context)


PROBE = Gguf()


class _Model(NamedTuple):
    """The parts of one model: `metadata` is the first part's, `tensors` are those of all."""

    name: str
    metadata: Mapping[str, Value]
    tensors: Mapping[str, GgufTensor]
    first: Path


def _check_model(weights: WeightSet, request: ProbeRequest, context: Context) -> None:
    headers = {}
    for name in weights.files:
        header = _read(name, request.files[name], context)
        if header is not None:
            headers[name] = header
    if weights.absent:
        context.check(
            f"{weights.name}: complete",
            False,
            f"not laid out: {listed(weights.absent)}",
            "add the missing parts to the artifact's `files`",
        )
    if len(headers) < len(weights.files) or weights.absent:
        return
    if weights.sharded or any("split.count" in one.metadata for one in headers.values()):
        _check_parts(weights, headers, context)
    tensors = {name: one for header in headers.values() for name, one in header.tensors.items()}
    first = weights.files[0]
    model = _Model(weights.name, headers[first].metadata, tensors, request.files[first])
    _check_rules(model, context)
    _check_wanted(model, request, context)
    numbers = [
        found
        for name, header in headers.items()
        for found in _numbers(name, request.files[name], header, context)
    ]
    _check_numbers(model, numbers, context)
    _keep(model, numbers, context)
    _answer(model, request, context)


def _read(name: str, path: Path, context: Context) -> GgufHeader | None:
    context.stage(f"reading the header of {name}")
    try:
        fileformat.binary_head(path)
        with context.timed("load_seconds"):
            header = read_header(path)
    except ProbeError as error:
        context.check(f"{name}: header", False, error.reason, error.hint)
        return None
    numbers = sum(one.numbers for one in header.tensors.values())
    told = f"{len(header.metadata)} keys, {len(header.tensors):,} tensors, {numbers:,} numbers"
    context.check(f"{name}: header", True, told)
    if header.trailing:
        context.warn(
            f"{name}: length",
            f"{header.trailing:,} bytes follow the last tensor",
            "two files may have been joined; fetch it again",
        )
    unknown = [n for n, one in header.tensors.items() if one.type is None]
    if unknown:
        context.warn(
            f"{name}: types",
            f"{listed(unknown)} are of a type that is newer than this release of fetch",
            "their size and numbers were not checked",
        )
    return header


def _check_parts(weights: WeightSet, headers: Mapping[str, GgufHeader], context: Context) -> None:
    """Check that the parts say of themselves that they are those of one model."""
    told = []
    seen: dict[str, str] = {}
    total = sum(len(header.tensors) for header in headers.values())
    for number, (name, header) in enumerate(headers.items()):
        for key, wanted in (
            ("split.count", len(headers)),
            ("split.no", number),
            ("split.tensors.count", total),
        ):
            found = header.metadata.get(key)
            if found != wanted:
                told.append(f"{name}: {key} is {found!r}, {wanted} expected")
        told += [
            f"{tensor} is in {seen[tensor]} and {name}"
            for tensor in header.tensors
            if tensor in seen
        ]
        seen.update(dict.fromkeys(header.tensors, name))
    context.check(
        f"{weights.name}: parts",
        not told,
        "; ".join(told[:3]) or f"{len(headers)} parts, {total:,} tensors",
        "take all parts from one revision, under their own names",
    )


def _check_rules(model: _Model, context: Context) -> None:
    """Check metadata and tensors of a language model against each other."""
    if not gguf_rules.is_language_model(model.metadata, model.tensors):
        kind = model.metadata.get("general.type", gguf_rules.architecture_of(model.metadata))
        context.check(f"{model.name}: tensors", bool(model.tensors), f"{kind}", "it has none")
        if wrong := gguf_rules.adapter(model.metadata, model.tensors):
            context.check(f"{model.name}: adapter", False, "; ".join(wrong[:3]), _MATCHED)
        return
    # A file of the vocabulary alone is what llama.cpp's own tests use.
    if not model.tensors:
        context.check(f"{model.name}: tensors", False, "it has none: a vocabulary alone", _MATCHED)
    arguments = (model.metadata, model.tensors)
    for name, found, fine in (
        ("metadata", gguf_rules.keys(model.metadata), gguf_rules.architecture_of(model.metadata)),
        ("blocks", gguf_rules.blocks(*arguments), "as many as announced"),
        ("shapes", gguf_rules.shapes(*arguments), "as announced"),
        ("tokenizer", gguf_rules.tokenizer(*arguments), "it fits the embedding"),
    ):
        told = "; ".join(found[:3]) + ("; …" if len(found) > 3 else "")
        context.check(
            f"{model.name}: {name}",
            not found,
            told or fine,
            "the file was made by a converter that did not know the model, or was changed since",
        )
    _check_texts(model, context)


def _check_texts(model: _Model, context: Context) -> None:
    tokens = model.metadata.get("tokenizer.ggml.tokens")
    if isinstance(tokens, Array) and is_texts(tokens):
        texts = texts_of(model.first, tokens)
        twice = len(texts) - len(set(texts))
        if 2 * twice > len(texts):
            context.check(
                f"{model.name}: tokens",
                False,
                f"{twice:,} of {len(texts):,} tokens are there twice",
                "the vocabulary is not whole: fetch the file again",
            )
        elif twice:
            context.warn(
                f"{model.name}: tokens",
                f"{twice:,} of {len(texts):,} tokens are there twice",
                "llama.cpp reads only the last of them",
            )
    scores = model.metadata.get("tokenizer.ggml.scores")
    if (
        isinstance(scores, Array)
        and scores.kind == FLOAT32
        and _holds_nan(bytes_of(model.first, scores))
    ):
        context.check(f"{model.name}: scores", False, "NaN among the tokens' scores", _MATCHED)
    template = model.metadata.get("tokenizer.chat_template")
    if isinstance(template, str) and (wrong := templates.syntax_error(template)):
        context.check(
            f"{model.name}: chat template",
            False,
            wrong,
            "the file was changed since it was converted: fetch it again",
        )


def _holds_nan(data: bytes) -> bool:
    return any(math.isnan(value) for (value,) in struct.iter_unpack("<f", data[: len(data) & ~3]))


def _check_wanted(model: _Model, request: ProbeRequest, context: Context) -> None:
    wanted = request.options
    count = sum(one.numbers for one in model.tensors.values())
    context.metrics["parameters"] += count
    context.metrics["tensors"] += len(model.tensors)
    context.metrics["dtype"] = _commonest(model.tensors)
    if "parameters" in wanted:
        check_count(f"{model.name}: parameters", count, wanted["parameters"], context)
    for option, found in (
        ("architecture", gguf_rules.architecture_of(model.metadata)),
        ("quantization", _commonest(model.tensors) or ""),
    ):
        if option in wanted:
            context.check(
                f"{model.name}: {option}",
                found.lower() == wanted[option].lower(),
                f"{found or 'none'}, expected {wanted[option]}",
                _MATCHED,
            )


def _commonest(tensors: Mapping[str, GgufTensor]) -> str | None:
    """Return the type that most numbers of the matrices have."""
    counted: dict[str, int] = {}
    for one in tensors.values():
        if len(one.shape) > 1 or len(tensors) == 1:
            counted[one.kind] = counted.get(one.kind, 0) + one.numbers
    return max(sorted(counted), key=lambda kind: counted[kind]) if counted else None


def _numbers(name: str, path: Path, header: GgufHeader, context: Context) -> list[Numbers]:
    context.stage(f"looking at the numbers of {name}")
    numpy = context.require("numpy") if context.has("numpy") else None
    if numpy is None:
        context.warn(
            f"{name}: numbers",
            "numpy is not installed, so NaN and infinities were not looked for",
            pip_install(["numpy"]),
        )
    with context.timed("check_seconds"):
        return list(gguf_data.read(numpy, path, header.tensors))


def _check_numbers(model: _Model, numbers: list[Numbers], context: Context) -> None:
    bad = [f"{one.name} ({one.nonfinite:,})" for one in numbers if one.nonfinite]
    context.check(
        f"{model.name}: finite",
        not bad,
        f"NaN or infinity in {listed(bad)}" if bad else f"{len(numbers):,} tensors",
        "the file is damaged, or the model was quantised from weights that overflowed",
    )
    _check_zeros(model, numbers, context)


def _check_zeros(model: _Model, numbers: list[Numbers], context: Context) -> None:
    weights = [one for one in numbers if one.name.endswith((".weight", ".lora_b"))]
    zero = [one.name for one in weights if one.zero]
    plain = [name for name in zero if not _MAY_BE_ZERO.fullmatch(name)]
    end = _zeros_at_the_end(numbers)
    told = f"{len(zero)} of {len(weights)} hold nothing but zeros: {listed(plain or zero)}"
    if end:
        told = f"nothing but zeros in the last {end:,} bytes, from {numbers[-1].name} backwards"
    elif zero == ["token_types.weight"]:
        zero = []
    elif zero and not plain and len(zero) < _MANY * len(weights):
        context.warn(f"{model.name}: not zero", told, "blocks that were added and never trained?")
        return
    context.check(
        f"{model.name}: not zero",
        not zero and not end,
        told if zero or end else f"{len(weights):,} tensors",
        "a download that was begun and never ended leaves zeros: fetch it again",
    )


def _zeros_at_the_end(numbers: list[Numbers]) -> int:
    """Return how many zeros end a file that was cut off, 0 if a sane model may end so."""
    run = 0
    for one in reversed(numbers):
        if _MAY_END_IN_ZEROS.fullmatch(one.name):
            return 0
        run += one.zeros
        if not one.zero:
            # A matrix may be zero as a whole, but hardly from its middle on.
            return run if one.zeros >= _PAGE // 4 and run >= _PAGE else 0
    return run


def _keep(model: _Model, numbers: list[Numbers], context: Context) -> None:
    """Keep what tells this model from another, for later runs."""
    scales = [one.scale for one in numbers if one.scale is not None]
    if scales and all(math.isfinite(scale) for scale in scales):
        context.fingerprint(f"{model.name}: scales", scales)
    sums = sorted((one.name, one.checksum) for one in numbers)
    context.fact(f"{model.name}: numbers", sums)
    table = {name: [one.kind, list(one.shape)] for name, one in model.tensors.items()}
    context.fact(f"{model.name}: tensors", table)
    # Who made the file, and when, is of no matter.
    said = {
        key: _plain(value, model.first)
        for key, value in model.metadata.items()
        if not key.startswith(("general.", "split."))
    }
    context.fact(f"{model.name}: metadata", said)


def _plain(value: Value, path: Path) -> object:
    if isinstance(value, Array):
        return [value.kind, value.length, hashlib.sha256(bytes_of(path, value)).hexdigest()]
    return value


def _answer(model: _Model, request: ProbeRequest, context: Context) -> None:
    """Let llama.cpp compute the loss of a text and continue it, where that is installed."""
    if any(not check.ok for check in context.checks):
        return  # llama.cpp ends the process at what it does not expect
    writes = gguf_rules.writes_text(model.metadata, model.tensors)
    if not writes or not context.has("llama_cpp"):
        return
    context.require("llama_cpp", "llama-cpp-python")
    context.stage(f"loading {model.name}")
    with context.timed("load_seconds"):
        llama = loader.load(model.first, gpu=context.device() != "cpu", seed=request.seed)
    prompt = request.options.get("prompt", _PROMPT)
    context.stage("computing logits")
    with context.timed("infer_seconds"):
        ids, logits = loader.logits(llama, prompt)
    context.fact(f"{model.name}: tokens of the prompt", ids)
    if context.fingerprint(f"{model.name}: logits", logits[-1]) and len(ids) > 1:
        _check_loss(model.name, ids, logits, context)
    context.stage("generating")
    with context.timed("infer_seconds"):
        written = loader.continued(llama, prompt, request.options.get("new_tokens", _NEW_TOKENS))
    context.metrics["generated_tokens"] = len(written)
    context.check(f"{model.name}: generates", bool(written), f"{len(written)} tokens")
    text = llama.detokenize(written).decode("utf-8", "replace")
    context.table("Generated text", ("prompt", "continuation"), [(prompt, text)])


def _check_loss(name: str, ids: list[int], logits: Any, context: Context) -> None:
    loss, chance = loader.loss(ids, logits), math.log(logits.shape[1])
    context.metrics["loss"] = round(loss, 4)
    context.check(
        f"{name}: loss",
        loss < _CHANCE * chance,
        f"{loss:.2f} a token, by chance {chance:.2f}",
        "the weights are not trained, or not of this tokenizer; is `prompt` of its language?",
    )
