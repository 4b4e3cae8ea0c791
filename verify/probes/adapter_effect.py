"""Whether an adapter changes what its base says, and leaves sense in it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from fetcher.verify.loaders import language_checks, language_loss
from fetcher.verify.weights import adapters

if TYPE_CHECKING:
    from fetcher.verify.contract.context import Context
    from fetcher.verify.contract.protocol import ProbeRequest
    from fetcher.verify.loaders.causal_lm import CausalLM

# Of the logits' spread: a few steps of training move them by a hundredth and more, a rounding of
# float16 by a thousandth.
_LEAST_EFFECT = 1e-3
_ROUNDING = 1e-6


def check(
    loaded: CausalLM,
    prompt: str,
    found: tuple[Any, Any],
    request: ProbeRequest,
    context: Context,
) -> None:
    """Compare what the base says with the adapter on and off; both have to make sense.

    `found` are the prompt's token ids and logits with the adapter on.
    """
    context.stage("comparing with the adapter switched off")
    ids, on = found
    trained = _of_trained_tokens(loaded, ids, request)
    with loaded.model.disable_adapter():
        with context.timed("infer_seconds"):
            _, off = language_loss.logits_of(loaded, prompt, sys.maxsize)
        context.fingerprint("base logits", language_loss.kept(off))
        of_base = {k: v for k, v in request.options.items() if v is False or k != "max_loss"}
        before = language_checks.check_sense(loaded, (ids, off), of_base, context)
        untrained = _of_trained_tokens(loaded, ids, request)
    if before is not None:
        language_checks.check_adapted(loaded, before, prompt, request.options, context)
    change = _moved(on, off)
    if trained is not None:
        context.fingerprint("logits of trained tokens", trained)
        change = max(change, _moved(trained, untrained))
    context.metrics["adapter_change"] = round(change, 6)
    acts = change >= _LEAST_EFFECT
    context.check(
        "the adapter acts",
        acts,
        f"logits move by {change:.2g} of their spread" if acts else _idle(loaded.model, change),
        "it was saved before training, or it is not this base's; take it from a trained checkpoint",
    )


def _moved(on: Any, off: Any) -> float:
    return float((on - off).abs().max() / (off.std() + 1e-12))


def _of_trained_tokens(loaded: CausalLM, ids: Any, request: ProbeRequest) -> Any | None:
    """Return the logits where tokens follow the prompt that an adapter was trained for, float32 of
    shape (tokens, vocabulary); None for one that was trained for texts.
    """
    tokens = adapters.trained_tokens(adapters.read_config(request.files))
    rows = loaded.model.get_input_embeddings().weight.shape[0]
    tokens = [token for token in tokens if 0 <= token < rows]
    if not tokens:
        return None
    longer = ids.new_tensor([*ids.tolist(), *tokens])
    return language_loss.logits_of_ids(loaded, longer)[-len(tokens) :]


def _idle(model: Any, change: float) -> str:
    """Say why an adapter does next to nothing."""
    if change > _ROUNDING:
        return (
            f"the logits move by {change:.2g} of their spread with it, less than {_LEAST_EFFECT:g}"
        )
    second = [parameter for name, parameter in model.named_parameters() if "lora_B" in name]
    zeros = bool(second) and not any(bool(parameter.any()) for parameter in second)
    why = ": all its lora_B tensors are zero" if zeros else ""
    return f"the logits are the same with and without it{why}"
