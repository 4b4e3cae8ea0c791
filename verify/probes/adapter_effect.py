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

# Of the logits' spread: a few steps of training move one of them by a hundredth and more.
_LEAST_EFFECT = 1e-3
_ROUNDING = 1e-6
_ROUNDINGS = {"float16": 2.0**-10, "bfloat16": 2.0**-7}  # one step between numbers around 1


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
    moves = [_moved(on, off)]
    if trained is not None:
        context.fingerprint("logits of trained tokens", trained)
        moves.append(_moved(trained, untrained))
    _judge(loaded.model, moves, context)


def _judge(model: Any, moves: list[tuple[float, float]], context: Context) -> None:
    """Judge how far logits move, by what rounding alone moves them in the model's number type.

    A change that is next to nothing still turns some roundings over: in float16 single logits move
    by 0.003 then, in bfloat16 by 0.03, but all together hardly by one rounding.
    """
    largest, usual = max(one[0] for one in moves), max(one[1] for one in moves)
    context.metrics["adapter_change"] = round(largest, 6)
    name = str(model.dtype).removeprefix("torch.")
    rounding = _ROUNDINGS.get(name, 0.0)
    acts = largest >= _LEAST_EFFECT and usual >= min(rounding, _LEAST_EFFECT)
    told = f"logits move by {largest:.2g} of their spread"
    context.check(
        "the adapter acts",
        acts,
        told if acts else _idle(model, largest, usual),
        "it was saved before training, or it is not this base's; take it from a trained checkpoint",
    )
    if acts and usual < rounding:
        context.warn(
            "the adapter's effect",
            f"{told}, which rounding to {name} may do alone",
            "--dtype float32 tells",
        )


def _moved(on: Any, off: Any) -> tuple[float, float]:
    """Return (largest, root of the mean square) of what logits move, of their spread."""
    change, spread = (on - off).float(), float(off.float().std()) + 1e-12
    return float(change.abs().max()) / spread, float(change.square().mean().sqrt()) / spread


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


def _idle(model: Any, largest: float, usual: float) -> str:
    """Say why an adapter does next to nothing."""
    if largest >= _LEAST_EFFECT:
        return f"the logits move by {usual:.2g} of their spread with it, as by rounding alone"
    if largest > _ROUNDING:
        return (
            f"the logits move by {largest:.2g} of their spread with it, less than {_LEAST_EFFECT:g}"
        )
    second = [parameter for name, parameter in model.named_parameters() if "lora_B" in name]
    zeros = bool(second) and not any(bool(parameter.any()) for parameter in second)
    why = ": all its lora_B tensors are zero" if zeros else ""
    return f"the logits are the same with and without it{why}"
