"""Checks of a loaded language model: does it make sense, and what does it read and write by?"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from fetcher.verify.contract.install_line import pip_install
from fetcher.verify.contract.probe_errors import ProbeError
from fetcher.verify.loaders import causal_lm, chat_template, language_loss
from fetcher.verify.weights.folders import read_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from fetcher.verify.contract.context import Context
    from fetcher.verify.contract.foreign import ProbeOptions
    from fetcher.verify.loaders.causal_lm import CausalLM
    from fetcher.verify.loaders.language_loss import Loss

GENERATION = "generation_config.json"
_TOKENIZER = "tokenizer_config.json"
_ENDS = ("bos_token_id", "eos_token_id", "pad_token_id")
_TOKENIZER_SETTINGS = (
    *("bos_token", "eos_token", "pad_token", "unk_token", "add_bos_token", "add_eos_token"),
    *("padding_side", "truncation_side", "model_max_length"),
)
_OF_A_RELEASE = ("transformers_version", "_from_model_config")
_PROMPT, _TEXT = "the prompt", "the probe's text"  # as losses are called
_MOST_ENDS = 64  # tokens that end a text; models have up to ten
_MOST_RULED_OUT = 0.5  # of the vocabulary
_RULED_OUT = 1e4  # nats that settings take from a token's logit: it is never written


def check_sense(
    loaded: CausalLM, prompt: tuple[Any, Any], options: ProbeOptions, context: Context
) -> Loss | None:
    """Check that a model foretells text far better than guessing does; `prompt` are the token ids
    and logits of the prompt. Returns the loss that decided; None if there was none.

    Of the prompt and fetch's own texts, the first that it foretells well is enough; a `text` of the
    manifest stands alone. `max_loss`, in nats a token, goes before the built-in limit; false: what
    the model foretells does not matter.
    """
    limit = options.get("max_loss")
    if limit is False:
        return None
    context.stage("looking how well it foretells text")
    best: Loss | None = None
    tried = 0
    with context.timed("infer_seconds"):
        for loss in _candidates(loaded, prompt, options):
            tried += loss.text != _PROMPT
            if loss.counts and (best is None or loss.nats < best.nats):
                best = loss
            if loss.counts and _is_fine(loss, limit):
                break
    if best is None:
        context.warn(
            "it foretells text",
            f"not looked at: {_why_nothing(loaded, tried)}",
            "give the probe a `text` in a language of the model, of a sentence or two",
        )
        return None
    context.metrics["loss"] = round(best.nats, 4)
    most = limit if limit is not None else language_loss.SHARE * best.guessing
    fine = _is_fine(best, limit)
    context.check(
        "it foretells text",
        fine,
        f"{best}" + ("" if fine else f", {most:.2f} is the most that is accepted"),
        "weights, shards and tokenizer are of different models, or it was never trained; if it "
        "writes no prose, give the probe a `text` of what it writes, or `max_loss: false`",
    )
    return best


def _why_nothing(loaded: CausalLM, tried: int) -> str:
    """Say why no text was long enough, of as many as were `tried` besides the prompt."""
    if not tried:
        return "the tokenizer has words for none of the texts that fetch has"
    longest = causal_lm.context_length(loaded.model)
    fewest = language_loss.FEWEST
    if longest <= fewest:
        return f"config.json says that the model takes {longest} tokens at once, too few to judge"
    return f"the text is of fewer than {fewest} tokens"


def _is_fine(loss: Loss, limit: float | None) -> bool:
    return loss.convincing if limit is None else loss.nats <= limit


def _candidates(loaded: CausalLM, prompt: tuple[Any, Any], options: ProbeOptions) -> Iterator[Loss]:
    if "text" in options:
        found = language_loss.logits_of(loaded, options["text"])
        yield language_loss.loss_of(loaded, _TEXT, *found)
        return
    yield language_loss.loss_of(loaded, _PROMPT, *prompt)
    yield from language_loss.losses(loaded)


def check_adapted(
    loaded: CausalLM, before: Loss, prompt: str, options: ProbeOptions, context: Context
) -> None:
    """Check that a model with its adapter on still foretells the text that its base foretold
    `before`, better than guessing does.

    An adapter may well make plain prose less likely: only `max_loss` asks for more.
    """
    context.stage("looking how well it foretells text with the adapter")
    with context.timed("infer_seconds"):
        text = {_PROMPT: prompt, _TEXT: options.get("text", "")}.get(before.text)
        found = language_loss.logits_of(loaded, text or language_loss.TEXTS[before.text])
        loss = language_loss.loss_of(loaded, before.text, *found)
    most = options.get("max_loss") or loss.guessing
    context.check(
        "it foretells text with the adapter",
        loss.nats < most,
        f"{loss}, without it it is {before.nats:.2f}",
        "the adapter spoils the base: is it this base's, and did its training go well?",
    )


def tell_what_is_read(
    loaded: CausalLM, prompt: str, files: Mapping[str, Path], context: Context
) -> None:
    """Keep how the prompt is read and what the files say of writing, to be compared later."""
    tokenizer = loaded.tokenizer
    context.fact("prompt tokens", list(tokenizer(prompt)["input_ids"]))
    special = {name: getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "unk")}
    context.fact("special tokens", special)
    if GENERATION in files:
        settings = _table(files, GENERATION)
        for name in _OF_A_RELEASE:
            settings.pop(name, None)
        context.fact(GENERATION, settings)
    ends = _table(files, "config.json")
    context.fact("ends in config.json", {name: ends[name] for name in _ENDS if name in ends})
    own = _table(files, _TOKENIZER)
    kept = {name: _plain(own[name]) for name in _TOKENIZER_SETTINGS if name in own}
    context.fact(_TOKENIZER, kept)


def _table(files: Mapping[str, Path], name: str) -> dict[str, Any]:
    """Return the settings of a file; {} where there is none, or none that can be read."""
    try:
        return dict(read_json(files[name], name)) if name in files else {}
    except ProbeError:  # told by folders.check_settings
        return {}


def _plain(token: Any) -> Any:
    """Return a special token's text: releases write it with its properties, or alone."""
    return token.get("content") if isinstance(token, dict) else token


def check_chat_template(loaded: CausalLM, prompt: str, context: Context) -> None:
    """Check that a chat template renders, and keep what it makes of the prompt."""
    context.stage("rendering the chat template")
    try:
        rendered = chat_template.render(loaded.tokenizer, prompt)
    except ImportError as error:
        context.warn("chat template", f"not rendered: {error}", pip_install(["jinja2"]))
        return
    if rendered is None:
        return
    if rendered.refused:
        context.warn("chat template", f"it takes no single message: {rendered.error}")
        return
    heard = prompt.strip() in rendered.text
    told = rendered.error or ("" if heard else f"what the user says is not in {rendered.text!r}")
    if context.check(
        "chat template",
        not told,
        told or f"{len(rendered.text)} characters",
        "the template in tokenizer_config.json or chat_template.jinja is damaged, or another one's",
    ):
        template = str(loaded.tokenizer.chat_template)
        context.fact("chat prompt", template if rendered.dated else rendered.text)


def check_writing(
    loaded: CausalLM, prompt: str, new_tokens: int, raw: Any, context: Context
) -> None:
    """Let a model write, and check that its settings leave it words. `raw` are the logits of the
    prompt's last position, of shape (vocabulary,).
    """
    context.stage("generating")
    with context.timed("infer_seconds"):
        written, scores = causal_lm.write(loaded, prompt, new_tokens)
    rows = loaded.model.get_input_embeddings().weight.shape[0]
    sound = 1 <= len(written) <= new_tokens and all(0 <= token < rows for token in written)
    context.check("generates", sound, f"{len(written)} tokens")
    _check_ends(loaded, rows, context)
    torch = sys.modules["torch"]
    possible = torch.isfinite(raw)
    all_tokens = int(possible.sum())
    allowed = int((possible & (scores > raw - _RULED_OUT)).sum())
    context.check(
        "generation settings leave words",
        allowed > (1 - _MOST_RULED_OUT) * all_tokens,
        f"{allowed:,} of {all_tokens:,} tokens may be written",
        f"{GENERATION} or config.json suppresses the others: fetch it again",
    )
    finite = scores[torch.isfinite(scores)]
    if len(finite):
        span = finite.max() - finite.min()
        ruled_out = finite.min() - span
        context.fingerprint("next token", scores.clamp(min=float(ruled_out)))
    context.metrics["generated_tokens"] = len(written)
    text = loaded.tokenizer.decode(written)
    context.table("Generated text", ("prompt", "continuation"), [(prompt, text)])


def _check_ends(loaded: CausalLM, rows: int, context: Context) -> None:
    ends = getattr(loaded.model.generation_config, "eos_token_id", None)
    count = len(set(ends)) if isinstance(ends, (list, tuple)) else 1
    context.check(
        "generation goes on",
        count <= _MOST_ENDS,
        f"{count:,} of {rows:,} tokens end a text" if count > 1 else "",
        f"eos_token_id in {GENERATION} or config.json is not the model's: fetch it again",
    )
