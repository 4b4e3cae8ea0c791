"""PEFT adapters of any method on a loaded base, and what of their files has an effect."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from fetcher.verify.contract.consent import NO_CONSENT, CodeConsent
from fetcher.verify.loaders import LoadError, first_line, is_memory, vet
from fetcher.verify.weights.adapters import CONFIG
from fetcher.verify.weights.folders import read_json

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from fetcher.verify.contract.foreign import Arguments

_NAME = "default"  # that PEFT gives the adapter
_PREFIX = "base_model.model."  # before the names of what the adapter's tensors change
# Methods that ask for the number of a task with every text; the first one stands for all.
_OF_TASKS = ("MULTITASK_PROMPT_TUNING", "POLY")
_WRAPPED = re.compile(rf"\.(modules_to_save|trainable_tokens|token_adapter|{_NAME})(?=\.|$)")


def attach_adapter(model: Any, adapter: Path, consent: CodeConsent = NO_CONSENT) -> Any:
    """Put the PEFT adapter of a folder on a loaded base; what its configuration says of a base does
    not matter. Raises LoadError.
    """
    import peft

    vet(adapter, consent, adapter=True, built_in_first=True)
    how: Arguments = {"is_trainable": False}
    method = read_json(adapter / CONFIG, CONFIG).get("peft_type")
    if method not in {str(getattr(one, "value", one)) for one in peft.PeftType}:
        raise LoadError(
            f"{CONFIG}: the installed peft {peft.__version__} has no method {method!r}",
            "upgrade peft in the project's environment, or fetch the artifact again",
        )
    if method != "LORA":
        how["autocast_adapter_dtype"] = False  # only LoRA's layers take a number type of their own
    try:
        found = peft.PeftModel.from_pretrained(model, str(adapter), **how).eval()
        return _with_task(found) if method in _OF_TASKS else found
    except KeyError as error:
        raise LoadError(
            f"the adapter in {adapter} lacks {error}, which its adapter_config.json asks for",
            "configuration and weights are of different adapters: fetch both from one revision",
        ) from error
    except Exception as error:
        if is_memory(error):
            raise
        if isinstance(error, TypeError) and "unexpected keyword argument" in str(error):
            raise LoadError(
                f"the installed peft {peft.__version__} does not know all of the adapter's "
                f"settings in {adapter / CONFIG}: {first_line(error)}",
                "it was saved by a newer release: upgrade peft in the project's environment",
            ) from error
        told = [line.strip() for line in str(error).splitlines()]
        second = f" {told[1]}" if len(told) > 1 and told[0].endswith(":") else ""
        raise LoadError(
            f"the adapter in {adapter} does not go on this base: {first_line(error)}{second}",
            "is this the base that it was trained on? Are adapter_config.json and the weights of "
            "one adapter?",
        ) from error


def _with_task(model: Any) -> Any:
    """Have a model told of the first task where it is told of none."""
    import torch

    def add(given: Arguments) -> Arguments:
        ids = given.get("input_ids")
        zeros = torch.zeros(1 if ids is None else len(ids), dtype=torch.long, device=model.device)
        return {"task_ids": zeros, **given}

    generate = model.generate
    model.register_forward_pre_hook(lambda _, args, given: (args, add(given)), with_kwargs=True)
    model.generate = lambda **given: generate(**add(given))
    return model


def differences(model: Any, adapter: Path) -> tuple[list[str], list[str]]:
    """Return the tensors that an attached adapter lacks in its file, and those of the file that
    have no place in the model: PEFT leaves the first as they were made, and drops the others.
    """
    import peft

    stored = peft.load_peft_weights(str(adapter), device="cpu")
    # Once more: only here PEFT tells, in names of its own.
    told = peft.set_peft_model_state_dict(model, dict(stored))
    wanted = _plain(peft.get_peft_model_state_dict(model, save_embedding_layers=False))
    held = _plain(stored)
    missing = {name for name in _plain(told.missing_keys) & wanted if name not in held}
    unused = _plain(told.unexpected_keys) - wanted
    return sorted(name.replace(_PREFIX, "", 1) for name in missing), sorted(
        # One that lacks the prefix has no effect because of that.
        name.replace(_PREFIX, "", 1) if _PREFIX + name not in wanted else f"{name} (no {_PREFIX})"
        for name in unused
    )


def _plain(names: Iterable[str]) -> set[str]:
    """Return tensors' names as PEFT saves them."""
    own = (name for name in names if ".original_module." not in name)
    found = (_WRAPPED.sub("", name) for name in own)
    return {name[: -len(".weight")] if name.endswith(".weight") else name for name in found}
