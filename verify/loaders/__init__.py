"""Loads laid-out models with their own libraries; shared by probes and by applications.

Each module holds one kind of model and imports its libraries inside functions. Read by the
project's interpreter as well: syntax of Python 3.8. What cannot be loaded raises LoadError.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fetcher.verify.contract.consent import NO_CONSENT, CodeConsent
from fetcher.verify.contract.probe_errors import ProbeError
from fetcher.verify.contract.releases import SAFE_TORCH, version
from fetcher.verify.weights.config_scan import refuse_code
from fetcher.verify.weights.safetensors_header import read_header

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

    from fetcher.verify.contract.foreign import Arguments


_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")


class LoadError(ProbeError):
    """The model cannot be loaded: `reason` in one sentence, `hint` what to do about it."""


def vet(
    folder: Path,
    consent: CodeConsent = NO_CONSENT,
    *,
    adapter: bool = False,
    built_in_first: bool = False,
) -> None:
    """Refuse a folder that would have a library run code, before the library reads it.

    See `refuse_code`; `built_in_first`: who loads it tells transformers to run no code of the
    repository. Raises LoadError.
    """
    import torch

    built_in = is_built_in if built_in_first else None
    try:
        refuse_code(folder, consent, adapter=adapter, built_in=built_in)
    except ProbeError as error:
        raise LoadError(f"{folder.name}: {error.reason}", error.hint) from None
    if version(torch) >= SAFE_TORCH or consent.given:
        return
    for place in (folder, *filter(Path.is_dir, folder.iterdir())):
        pickled = [path for pattern in _PICKLES for path in place.glob(pattern)]
        if pickled and not any(place.glob("*.safetensors")):
            raise LoadError(
                f"refused: {pickled[0]} is a pickle, and torch {torch.__version__} has no safe way "
                "to load one",
                "upgrade to torch 2.6 or newer, or use weights in .safetensors",
            )


def is_built_in(model_type: str) -> bool:
    """Tell whether the installed transformers has a kind of model itself."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    return model_type in CONFIG_MAPPING_NAMES


def dtype_argument(transformers: ModuleType, dtype: Any) -> Arguments:
    """Return the keyword that `from_pretrained` of this release calls the number type."""
    return {"dtype" if version(transformers) >= (4, 56) else "torch_dtype": dtype}


def pretrained(
    auto: Any, folder: Path, dtype: Any, consent: CodeConsent, **more: Any
) -> tuple[Any, tuple[str, ...], tuple[str, ...]]:
    """Load a model by a class of transformers, in eval mode, from a folder that `vet` let pass.

    Returns it with its `missing` tensors, which no file held and are random, and the `unused` ones
    of the files. `more` are further arguments of `from_pretrained`. Raises LoadError.
    """
    import transformers

    try:
        model, told = auto.from_pretrained(
            str(folder),
            local_files_only=True,
            trust_remote_code=consent.given,
            output_loading_info=True,
            **dtype_argument(transformers, dtype),
            **more,
        )
    except Exception as error:
        raise explained(error, folder, auto) from error
    missing, unused = (tuple(sorted(told.get(k, ()))) for k in ("missing_keys", "unexpected_keys"))
    return model.eval(), missing, unused


def quiet(transformers: ModuleType) -> None:
    """Keep a library from telling in passing what is told here in words of its own."""
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()


def first_line(error: BaseException) -> str:
    """Return an exception's type and the first line of what it says."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def is_memory(error: BaseException) -> bool:
    """Tell whether an exception says that memory ran out, on the GPU or the host."""
    return isinstance(error, MemoryError) or "out of memory" in str(error).lower()


def explained(error: Exception, folder: Path, kind: Any) -> Exception:
    """Return what transformers said of a folder in words that help; memory's end as it is."""
    if is_memory(error):
        return error
    told = str(error)
    if "Unrecognized configuration class" in told:
        return LoadError(
            f"transformers has no {getattr(kind, '__name__', 'class')} for the model in {folder}",
            "it is a model of another kind: choose the probe by what the model is for",
        )
    if "Unrecognized" in told or "does not recognize this architecture" in told:
        return LoadError(
            f"the installed transformers does not know the model in {folder}: {first_line(error)}",
            "upgrade transformers in the project's environment",
        )
    difference = misfit(kind, folder)
    if difference:
        return LoadError(
            f"the weights in {folder} do not fit its configuration: {difference}",
            "configuration and weights are of different models: fetch both from one revision",
        )
    hint = (
        "a setting in its files is none that this release takes: fetch the artifact again, or "
        "upgrade transformers"
    )
    if isinstance(error, FileNotFoundError):
        hint = "a file is missing: add it to the artifact's `files`, then fetch all"
    return LoadError(f"transformers cannot load {folder}: {first_line(error)}", hint)


def misfit(kind: Any, folder: Path) -> str:
    """Say how the weights in a folder differ in shape from what its config.json describes.

    `kind` is the transformers class to build. Returns '' if nothing differs, or nothing can be
    told. The model is built without memory, so this is quick.
    """
    import torch
    import transformers

    try:
        config = transformers.AutoConfig.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False
        )
        with torch.device("meta"):
            model = _build(kind, config)
        wanted = {name: tuple(t.shape) for name, t in model.named_parameters()}
        for file in sorted(folder.glob("*.safetensors")):
            for name, entry in read_header(file).items():
                shapes = _described(name, wanted)
                if shapes and entry.shape not in shapes:
                    shape = list(shapes[0])
                    return f"{name} is {list(entry.shape)}, config.json describes {shape}"
    except Exception:  # this only serves a message
        pass
    return ""


def _build(kind: Any, config: Any) -> Any:
    """Return a new model of one of the Auto classes, or of a class of its own."""
    if hasattr(kind, "from_config"):
        return kind.from_config(config)
    if not isinstance(config, kind.config_class):  # Qwen-Omni's parts have theirs inside
        config = next(part for part in vars(config).values() if isinstance(part, kind.config_class))
    return kind._from_config(config)


def _described(name: str, wanted: Mapping[str, tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Return the shapes of the parameters that a file's tensor may be.

    Files and releases of transformers put different words before a parameter's name.
    """
    ending = name
    while ending:
        found = [s for n, s in wanted.items() if n == ending or n.endswith("." + ending)]
        if found:
            return found
        ending = ending.partition(".")[2]
    return []
