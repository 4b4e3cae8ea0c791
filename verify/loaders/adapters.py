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
_WRAPPED = re.compile(rf"\.(modules_to_save|trainable_tokens|token_adapter|{_NAME})(?=\.|$)")


def attach_adapter(model: Any, adapter: Path, consent: CodeConsent = NO_CONSENT) -> Any:
    """Put the PEFT adapter of a folder on a loaded base; what its configuration says of a base does
    not matter. Raises LoadError.
    """
    import peft

    vet(adapter, consent, adapter=True, built_in_first=True)
    how: Arguments = {"is_trainable": False}
    if read_json(adapter / CONFIG, CONFIG).get("peft_type") != "LORA":
        how["autocast_adapter_dtype"] = False  # only LoRA's layers take a number type of their own
    try:
        return peft.PeftModel.from_pretrained(model, str(adapter), **how).eval()
    except KeyError as error:
        raise LoadError(
            f"the adapter in {adapter} lacks {error}, which its adapter_config.json asks for",
            "configuration and weights are of different adapters: fetch both from one revision",
        ) from error
    except Exception as error:
        if is_memory(error):
            raise
        raise LoadError(
            f"the adapter in {adapter} does not go on this base: {first_line(error)}",
            "is this the base that it was trained on?",
        ) from error


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
    return sorted(missing), sorted(unused)


def _plain(names: Iterable[str]) -> set[str]:
    """Return tensors' names as PEFT saves them."""
    own = (name for name in names if ".original_module." not in name)
    found = (_WRAPPED.sub("", name).replace("base_model.model.", "", 1) for name in own)
    return {name[: -len(".weight")] if name.endswith(".weight") else name for name in found}
