"""What can be said of a PEFT adapter from its two files and the base it is to act on."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from fetcher.verify.contract.probe_errors import ProbeError
from fetcher.verify.weights.folders import read_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fetcher.verify.contract.context import Context
    from fetcher.verify.contract.foreign import ModelConfig, Tensors
    from fetcher.verify.weights.safetensors_header import TensorEntry

CONFIG = "adapter_config.json"
_IN_MEMORY = re.compile(r"\.lora_(embedding_)?[AB]\.default(\.|$)")
_PART = re.compile(r"\.lora_(embedding_)?(?P<side>[AB])(\.weight)?$")
_LAYER = re.compile(r"\.(\d+)\.")
_SHOWN = 3
_MOST_TOKENS = 16
_SETTINGS = (
    *("peft_type", "task_type", "bias", "use_dora", "use_rslora", "fan_in_fan_out"),
    *("modules_to_save", "rank_pattern", "alpha_pattern", "trainable_token_indices"),
)
_OTHER_BASE = "name the base that it was trained on in the probe's `base`"


def read_config(files: Mapping[str, Path]) -> ModelConfig:
    """Return an adapter's configuration. Raises ProbeError if it is none of PEFT's."""
    config = read_json(files[CONFIG], CONFIG)
    if not isinstance(config.get("peft_type"), str):
        raise ProbeError(f"{CONFIG} names no peft_type", "fetch the artifact again")
    return config


def keep_settings(config: ModelConfig, context: Context) -> None:
    """Keep what an adapter's configuration says of how its tensors act, and warn of one that was
    trained for another task than writing.
    """
    kept = {key: config[key] for key in _SETTINGS if config.get(key)}
    # Sets are written in any order.
    context.fact(CONFIG, {k: sorted(v) if isinstance(v, list) else v for k, v in kept.items()})
    task = config.get("task_type")
    if task not in (None, "CAUSAL_LM", "FEATURE_EXTRACTION"):
        context.warn(
            "task of the adapter",
            f"{CONFIG} says that it was trained for {task}: its head is not used here",
            "is it an adapter of a language model?",
        )


def trained_tokens(config: ModelConfig) -> list[int]:
    """Return tokens whose vectors an adapter was trained for: it may act on them alone."""
    found = config.get("token_indices") or config.get("trainable_token_indices")
    by_layer = list(found.values()) if isinstance(found, dict) else [found]
    listed = [number for numbers in by_layer if isinstance(numbers, list) for number in numbers]
    return [number for number in listed if isinstance(number, int)][:_MOST_TOKENS]


def judge_base_path(
    config: ModelConfig, base: Path, root: Path, artifact: str, context: Context
) -> None:
    """Tell whether the project's loaders, which follow the configuration, find the base.

    The probe itself uses the base that was laid out, so a wrong path is a warning.
    """
    name = "adapter_config.json names its base"
    named = config.get("base_model_name_or_path")
    mend = (
        "let the layout edit it: `edits: {…/adapter_config.json: "
        f'{{base_model_name_or_path: "{{root}}/{_below(base, root)}"}}}}`'
    )
    used = f"the laid-out base {base} was used"
    if not named or not isinstance(named, str):
        context.warn(name, f"it names none; loaders that go by it fail; {used}", mend)
    elif re.match(r"[A-Za-z]:[\\/]|\\\\", named) or named.startswith(("/", "~")):
        _judge_folder(name, named, base, used, mend, context)
    elif (root / named).is_dir():
        context.warn(
            name,
            f"{named!r} is a relative path: it is found only with {root} as the current folder; "
            + used,
            mend,
        )
    elif re.fullmatch(r"[\w.-]+(/[\w.-]+)?", named):
        context.warn(
            name,
            f"{named!r} is a repository: offline the project's loader fails, online it downloads "
            f"the base once more; {used}",
            mend,
        )
    else:
        context.warn(name, f"{named!r} is not there; {used}", mend)


def _judge_folder(
    name: str, named: str, base: Path, used: str, mend: str, context: Context
) -> None:
    place = base.__class__(named)
    if place.is_dir() and place.resolve() == base.resolve():
        context.check(name, True, "it is the laid-out base")
    elif place.is_dir():
        context.warn(name, f"{named!r} is another folder than the laid-out base; {used}", mend)
    else:
        context.warn(
            name,
            f"the folder {named!r} does not exist here: it is a path on its author's machine; "
            "the project's loader will take it for a repository and fail; " + used,
            mend,
        )


def _below(base: Path, root: Path) -> str:
    try:
        return base.resolve().relative_to(root.resolve()).as_posix()
    except ValueError:
        return base.name


def check_fit(tensors: Mapping[str, TensorEntry], model: Any, config: ModelConfig) -> str:
    """Compare a LoRA's tensors with the modules of the loaded base, and say what fits; '' for an
    adapter of another method.

    PEFT itself passes over tensors for layers that the base does not have. Raises ProbeError.
    """
    in_memory = [name for name in tensors if _IN_MEMORY.search(name)]
    if in_memory:
        raise ProbeError(
            f"its tensors are named as in memory, such as {in_memory[0]}: PEFT looks for names "
            "without 'default', and silently leaves out the others",
            "save it by the model's save_pretrained",
        )
    parts: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, entry in tensors.items():
        match = _PART.search(name)
        if match:
            module = name[: match.start()]
            parts.setdefault(module.replace("base_model.model.", "", 1), {})[match["side"]] = (
                entry.shape
            )
    if not parts and (config.get("peft_type") != "LORA" or not tensors):
        return ""
    if not parts:
        raise ProbeError(
            "the adapter's file holds no LoRA tensors", "is this the file that PEFT saved?"
        )
    modules = dict(model.named_modules())
    absent = [name for name in parts if name not in modules]
    if absent:
        raise ProbeError(_foreign(absent, parts, modules), _OTHER_BASE)
    halves = [name for name, sides in parts.items() if set(sides) != {"A", "B"}]
    if halves:
        raise ProbeError(
            f"the adapter is incomplete: {_listed(halves)} has only one of lora_A and lora_B",
            "fetch the artifact again",
        )
    for name, sides in parts.items():
        _check_width(name, sides, modules[name])
    _check_rank(parts, config)
    _check_biases([modules[name] for name in parts], tensors, config)
    ranks = sorted({min(sides["A"]) for sides in parts.values()})
    told = "rank " + ", ".join(str(rank) for rank in ranks)
    return f"{len(parts)} modules, {told}"


def check_differences(missing: list[str], unused: list[str], fits: str, context: Context) -> None:
    """Check that an attached adapter has all its tensors from its file, and that all of them act.

    `missing` and `unused` are their names, `fits` what is told if there are none.
    """
    told = []
    if missing:
        told.append(
            f"its file has no tensors for {len(missing)} that it is to act with, such as "
            f"{_listed(missing)}: the base has more layers, or the file lacks some"
        )
    if unused:
        told.append(
            f"{len(unused)} tensors of its file have no effect, such as {_listed(unused)}: PEFT "
            f"silently leaves out what {CONFIG} does not ask for"
        )
    context.check(
        "the adapter fits its base",
        not told,
        "; ".join(told) or fits,
        "configuration and weights are of different adapters: fetch both from one revision; or "
        + _OTHER_BASE,
    )


def _foreign(absent: list[str], parts: Tensors, modules: Tensors) -> str:
    numbers = sorted({int(n) for name in absent for n in _LAYER.findall(name)[:1]})
    present = {int(n) for name in modules for n in _LAYER.findall(f"{name}.")[:1]}
    if numbers and present and numbers[0] > max(present):
        return (
            f"the adapter was made for a base of at least {numbers[-1] + 1} layers, this one has "
            f"{max(present) + 1}; PEFT would silently leave out the others"
        )
    return (
        f"the adapter was made for another kind of model: {len(absent)} of its {len(parts)} "
        f"modules are not in the base, such as {_listed(absent)}"
    )


def _check_width(name: str, sides: Mapping[str, tuple[int, ...]], module: Any) -> None:
    weight = getattr(module, "weight", None)
    if weight is None or len(sides["A"]) != 2 or weight.dim() != 2:
        return
    # An embedding's factors are turned round, a Conv1D's weight is.
    adapter = sorted([max(sides["A"]), max(sides["B"])])
    base = sorted(int(size) for size in weight.shape)
    if adapter != base and min(sides["A"]) < min(base):
        raise ProbeError(
            f"the adapter was made for a base of another width: for {name} it is "
            f"{sides['B'][0]} x {sides['A'][-1]}, the base's weight is "
            f"{' x '.join(str(size) for size in weight.shape)}",
            _OTHER_BASE,
        )


def _check_rank(parts: Mapping[str, Mapping[str, tuple[int, ...]]], config: ModelConfig) -> None:
    rank = config.get("r")
    if config.get("peft_type") != "LORA" or config.get("rank_pattern") or not isinstance(rank, int):
        return
    wrong = [name for name, sides in parts.items() if rank not in sides["A"]]
    if wrong:
        raise ProbeError(
            f"adapter_config.json says rank {rank}, the tensors of {wrong[0]} have "
            f"{min(parts[wrong[0]]['A'])}",
            "configuration and weights are of different adapters: fetch both from one revision",
        )


def _check_biases(modules: list[Any], tensors: Tensors, config: ModelConfig) -> None:
    trained = config.get("bias") in ("all", "lora_only")
    there = any(getattr(module, "bias", None) is not None for module in modules)
    if trained and there and not any(name.endswith(".bias") for name in tensors):
        raise ProbeError(
            f"{CONFIG} says that biases were trained (bias: {config['bias']}), and its file has "
            "none: without them it is not what was trained",
            "some releases of PEFT did not save them: take the adapter from another checkpoint",
        )


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
