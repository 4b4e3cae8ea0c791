"""The `causal-lm` probe: a language model loads from what was laid out, and writes.

With a PEFT adapter the laid-out base is used, whatever path the adapter's configuration names, and
the adapter has to change what the model says.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fetcher.verify.contract.built_in_probes import problems_of
from fetcher.verify.contract.probe_errors import ProbeError
from fetcher.verify.loaders import causal_lm as loader
from fetcher.verify.loaders import embedding_rows, language_checks, language_loss
from fetcher.verify.loaders.adapters import attach_adapter, differences
from fetcher.verify.loaders.loaded import check_tensors
from fetcher.verify.loaders.other_kinds import other_kind, refuse_other_kinds
from fetcher.verify.loaders.own_code import tell_of_code
from fetcher.verify.loaders.quantised import load_quantised
from fetcher.verify.loaders.strict import listed
from fetcher.verify.probes import adapter_effect, transformers_task
from fetcher.verify.weights import adapters, finite, folders, kept_settings, quantised
from fetcher.verify.weights.expectations import check_count

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fetcher.verify.contract.consent import CodeConsent
    from fetcher.verify.contract.context import Context
    from fetcher.verify.contract.foreign import ModelConfig, ProbeOptions
    from fetcher.verify.contract.protocol import ProbeRequest, Problem
    from fetcher.verify.weights.safetensors_header import TensorEntry

_PROMPT = "The quick brown fox jumps over the lazy dog."
_NEW_TOKENS = 8


class CausalLanguageModel:
    """Generates a few tokens greedily and checks every step on the way.

    Options, all optional: `base` (id of the artifact that an adapter acts on), `prompt` (text to
    continue), `new_tokens` (how many), `text` (what the model foretells, in its language),
    `max_loss` (in nats a token, or false), `parameters` (count, exact or `{min, max}`), `dtype`.
    """

    type = "causal-lm"
    requires = (("torch", "torch"), ("transformers", "transformers"))
    related = ("base",)

    def validate_options(self, given: ProbeOptions) -> list[Problem]:
        """Return all problems of the manifest's options."""
        return problems_of(self.type, given)

    def run(self, request: ProbeRequest, context: Context) -> None:
        """Check the files, load them, and let the model write."""
        if adapters.CONFIG in request.files:
            _run_adapter(request, context)
        else:
            if "base" in request.options:
                raise ProbeError(
                    "the probe names a base, but the artifact has no adapter_config.json",
                    "drop `base`, or add adapter_config.json to the artifact's `files`",
                )
            if _proved_as_encoder_decoder(request, context):
                return
            folder = _check_folder(request.files, context)
            _check_tokenizer_files(folder, None, context)
            loaded = _load(folder, None, context, context.consent())
            _check_all(loaded, request.files, request, context)


PROBE = CausalLanguageModel()


def _proved_as_encoder_decoder(request: ProbeRequest, context: Context) -> bool:
    """Prove an encoder-decoder as the probe `transformers` does, with a warning; False for a model
    that is none.
    """
    if "config.json" not in request.files:
        return False
    kind = other_kind(folders.check_config(request.files, "config.json"))
    if kind is None or not kind.writes:
        return False
    given = request.options
    context.warn(
        "type of the probe",
        f"config.json is of a {kind.name} ({kind.what}): it is proved as a model for {kind.task}",
        f"write `probe: {{type: transformers, task: {kind.task}}}`",
    )
    options = {"task": kind.task, "known": given.get("max_loss") is not False}
    text = given.get("text", given.get("prompt"))
    options.update({} if text is None else {"text": text})
    options.update({key: given[key] for key in ("parameters",) if key in given})
    transformers_task.PROBE.run(replace(request, options=options), context)
    return True


def _check_folder(files: Mapping[str, Path], context: Context) -> Path:
    context.stage("looking at the files")
    folder = folders.folder_of(files, "config.json", "a model")
    config = folders.check_config(files, "config.json")
    refuse_other_kinds(config)
    folders.check_settings(files, folder, context)
    entries = folders.check_weights(files, folder, context)
    quantised.check_tensors(config, entries, context)
    kept_settings.keep(config, files, folder, context)
    return folder


def _run_adapter(request: ProbeRequest, context: Context) -> None:
    context.require("peft")
    context.stage("looking at the adapter")
    config = adapters.read_config(request.files)
    adapters.keep_settings(config, context)
    folder = folders.folder_of(request.files, adapters.CONFIG, "an adapter")
    folders.check_settings(request.files, folder, context)
    kept_settings.keep_tokenizer(request.files, folder, context, "adapter's ")
    tensors = folders.check_weights(request.files, folder, context, "adapter_model")
    base_files = _base_files(request)
    base = _check_folder(base_files, context)
    adapters.judge_base_path(config, base, request.root, request.artifact, context)
    _check_tokenizer_files(base, folder, context)
    consent = context.consent(str(request.options["base"]))
    loaded = _load(base, folder, context, consent, tensors, config)
    _check_all(loaded, {**base_files, **request.files}, request, context)


def _base_files(request: ProbeRequest) -> Mapping[str, Path]:
    base = request.options.get("base")
    if base is None:
        raise ProbeError(
            "the artifact is an adapter, and the probe does not say of which base",
            "name the base model's artifact: `probe: {type: causal-lm, base: ID}`",
        )
    if not request.related.get(base):
        raise ProbeError(
            f"the adapter's base {base!r} is not laid out",
            f"run `fetch all` for {base} too: an adapter alone is no model",
        )
    return request.related[base]


def _check_tokenizer_files(base: Path, adapter: Path | None, context: Context) -> None:
    folder = loader.tokenizer_folder(base, adapter)
    there = (folder / "tokenizer_config.json").exists()
    context.check(
        "tokenizer files",
        there,
        str(folder.name) if there else f"tokenizer_config.json is not laid out in {folder}",
        "add it to the artifact's `files`: without it some releases of transformers fail, others "
        "silently take other settings",
    )


def _load(
    folder: Path,
    adapter: Path | None,
    context: Context,
    consent: CodeConsent,
    tensors: Mapping[str, TensorEntry] | None = None,
    config: ModelConfig | None = None,
) -> loader.CausalLM:
    """Load a folder's model, to whose code `consent` applies, and the artifact's adapter on it."""
    context.stage(f"loading {folder.name}")
    method = quantised.method_of(folders.read_json(folder / "config.json", "config.json"))
    with context.timed("load_seconds"):
        if method is None:
            model, missing, unused = loader.load_model(folder, _dtype(context), consent)
            context.metrics["dtype"] = str(model.dtype).replace("torch.", "")
        else:
            model, missing, unused = load_quantised(folder, method, consent, context)
            context.metrics["dtype"] = str(method)
    check_tensors(model, missing, unused, context)
    if adapter is not None:
        context.stage(f"putting {adapter.name} on {folder.name}")
        fits = adapters.check_fit(tensors or {}, model, config or {})
        with context.timed("load_seconds"):
            model = attach_adapter(model, adapter, context.consent())
            missing_of_it, unused_of_it = differences(model, adapter)
        fits = fits or f"{len(tensors or ())} tensors"
        adapters.check_differences(missing_of_it, unused_of_it, fits, context)
    context.stage("loading the tokenizer")
    with context.timed("load_seconds"):
        chosen = loader.tokenizer_folder(folder, adapter)
        own = context.consent() if chosen == adapter else consent
        tokenizer = loader.load_tokenizer(chosen, own)
        model = (model if method else model.to(context.device())).eval()
    return loader.CausalLM(model, tokenizer, missing, unused)


def _dtype(context: Context) -> Any:
    return "auto" if context.wanted_dtype() is None else context.torch_dtype()


def _check_all(
    loaded: loader.CausalLM, files: Mapping[str, Path], request: ProbeRequest, context: Context
) -> None:
    torch = context.require("torch")
    numbers = sum(parameter.numel() for parameter in loaded.model.parameters())
    context.metrics["parameters"] = numbers
    if "parameters" in request.options:
        check_count("parameters", numbers, request.options["parameters"], context)
    _check_finite(torch, loaded.model, context)
    embedding_rows.keep(loaded.model, context)
    tell_of_code(files, loaded, context)
    _check_tokens(loaded, request, context)
    prompt = request.options.get("prompt", _PROMPT)
    context.stage("computing logits")
    with context.timed("infer_seconds"):
        ids, logits = language_loss.logits_of(loaded, prompt, sys.maxsize)
    last = logits[-1]
    if context.fingerprint("logits", last):
        spread = float(last.std())
        context.check(
            "logits",
            spread > 0,
            f"{len(last):,} values, " + (f"spread {spread:.3g}" if spread > 0 else "all are equal"),
            "weights of zeros, or damaged ones: fetch the artifact again",
        )
    context.fingerprint("prompt logits", language_loss.kept(logits))
    language_checks.tell_what_is_read(loaded, prompt, files, context)
    language_checks.check_chat_template(loaded, prompt, context)
    new_tokens = request.options.get("new_tokens", _NEW_TOKENS)
    language_checks.check_writing(loaded, prompt, new_tokens, last, context)
    if adapters.CONFIG in request.files:
        adapter_effect.check(loaded, prompt, (ids, logits), request, context)
    else:
        language_checks.check_sense(loaded, (ids, logits), request.options, context)


def _check_finite(torch: Any, model: Any, context: Context) -> None:
    context.stage("looking for NaN in the weights")
    bad = []
    for name, parameter in model.named_parameters():
        count = finite.count_in_tensor(torch, parameter, str(parameter.device))
        if count:
            bad.append(f"{name} ({count:,})")
    context.check(
        "weights are finite",
        not bad,
        f"NaN or infinity in {listed(bad)}" if bad else "",
        "the weights are damaged, training diverged, or the dtype is too narrow for them",
    )


def _check_tokens(loaded: loader.CausalLM, request: ProbeRequest, context: Context) -> None:
    context.stage("checking the tokenizer")
    tokenizer, model = loaded.tokenizer, loaded.model
    text = request.options.get("prompt", _PROMPT)
    encoded = tokenizer(text)
    ids = encoded["input_ids"]
    rows = model.get_input_embeddings().weight.shape[0]
    highest = max(ids, default=-1)
    sizes = f"{len(tokenizer):,} tokens, {rows:,} embeddings"
    if not 0 <= highest < rows:
        raise ProbeError(
            f"the tokenizer does not fit the model: {sizes}, and the prompt needs token {highest}",
            "tokenizer and model are of different models: fetch both from one revision",
        )
    context.check("tokenizer fits the model", True, sizes)
    back = tokenizer.decode(ids, skip_special_tokens=True)
    same = "".join(back.split()).lower() == "".join(text.split()).lower()
    told = f"{len(ids)} tokens" if same else f"{text!r} came back as {back[:80]!r}"
    context.check(
        "tokenizer round trip",
        same,
        told,
        "the tokenizer's files are damaged or of several models, or it has no letters for the "
        "prompt: set the probe's `prompt` to text of its language",
    )
    if "token_type_ids" in encoded:
        context.warn(
            "tokenizer output",
            "it also returns token_type_ids, which the model does not take",
            "pass on input_ids and attention_mask alone",
        )
    pad = loader.pad_id(tokenizer, model)
    hint = "generation in batches needs a pad_token_id that the model has an embedding for"
    if pad is None:
        context.warn("padding token", "neither tokenizer nor model has one", hint)
    else:
        context.check("padding token", 0 <= pad < rows, f"id {pad}", hint)
