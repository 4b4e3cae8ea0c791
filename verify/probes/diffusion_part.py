"""The `diffusion-part` probe: a single file of a diffusion model is whole, fits its base, and acts.

What each option means is in `DiffusionPart`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fetcher.verify.contract import options
from fetcher.verify.contract.built_in_probes import problems_of
from fetcher.verify.contract.probe_errors import ProbeError
from fetcher.verify.loaders import diffusion_part as loader
from fetcher.verify.loaders.strict import listed
from fetcher.verify.pictures import images, likeness
from fetcher.verify.weights import diffusion_fit, diffusion_names, exact, sampled
from fetcher.verify.weights.choice import weight_files
from fetcher.verify.weights.config_scan import refuse_code
from fetcher.verify.weights.diffusion_shapes import UnknownShapesError
from fetcher.verify.weights.expectations import check_count
from fetcher.verify.weights.weights import open_weights

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fetcher.verify.contract.context import Context
    from fetcher.verify.contract.foreign import ProbeOptions, Tensors
    from fetcher.verify.contract.protocol import ProbeRequest, Problem
    from fetcher.verify.weights.diffusion_names import Shapes

_MANY = 0.25  # a share of tensors
_FOLDERS = ("unet", "transformer", "text_encoder", "text_encoder_2", "text_encoder_3")


class DiffusionPart:
    """Proves each weight file as the part of a diffusion model that its tensors say it is.

    Options, all optional: `kind` (which part it must be), `base` (the artifact that it is used
    with: a pipeline, or a checkpoint), `files` (globs; default: all weight files), `parameters`
    (exact or `{min, max}`).
    """

    type = "diffusion-part"
    requires = (("torch", "torch"),)
    related = ("base",)

    def validate_options(self, given: ProbeOptions) -> list[Problem]:
        """Return all problems of the manifest's options."""
        return problems_of(self.type, given)

    def run(self, request: ProbeRequest, context: Context) -> None:
        """Check every weight file of the artifact."""
        context.require("torch")
        context.device()
        base = _base(request, context)
        context.metrics["parameters"] = 0
        for name in weight_files(request, options.as_list(request.options.get("files", []))):
            with context.loading(name):
                _check_file(name, base, request, context)


PROBE = DiffusionPart()


def _check_file(name: str, base: Shapes, request: ProbeRequest, context: Context) -> None:
    context.stage(f"loading {name}")
    torch = context.require("torch")
    with context.timed("load_seconds"):
        opened = open_weights(context, request.files[name], name)
        if not opened.tensors:
            raise ProbeError("it holds no tensors", "fetch the artifact again")
        tensors = _below(opened.load(opened.tensors))
    context.stored_as(opened.dtype)
    shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    kind, wanted = diffusion_names.kind_of(shapes), request.options.get("kind")
    told = kind or f"none that is known; its tensors begin with {listed(list(shapes))}"
    # Of what no name tells, the person's word is taken.
    kind = kind or wanted or ""
    right = wanted == kind if wanted else bool(kind)
    if not context.check(
        f"{name}: kind",
        right,
        told if right else f"{told}, expected {wanted or 'a part of a diffusion model'}",
        "name what it is in the probe's `kind`, or prove it with the type state-dict",
    ):
        return
    context.stage(f"looking at the numbers of {name}")
    with context.timed("check_seconds"):
        sums = [sampled.of_tensor(torch, tensor) for tensor in tensors.values()]
        bits = {key: exact.of_tensor(torch, tensor) for key, tensor in tensors.items()}
    if not _check_numbers(name, kind, dict(zip(tensors, sums)), context):
        return
    _check_count(name, tensors, request, context)
    _check_kind(name, kind, shapes, dict(zip(tensors, sums)), context)
    if base:
        _check_fit(name, kind, shapes, base, context)
    context.fact(f"{name}: tensors", sorted((key, list(shape)) for key, shape in shapes.items()))
    kept = [list(one.kept) for one in sums]
    context.fingerprint(f"{name}: numbers", kept, sampled.TOLERANCE)
    exact.keep(context, name, bits)
    for part in ("unet", "vae") if kind == "checkpoint" else (kind,):
        if part in ("unet", "vae", "controlnet"):
            _try(name, part, tensors, request, context)


def _below(tensors: Tensors) -> Tensors:
    """Return the tensors without the name that all of them stand below in a checkpoint."""
    if all(name.startswith("state_dict.") for name in tensors):
        return {name[len("state_dict.") :]: one for name, one in tensors.items()}
    inner = {n[len("state_dict.") :]: t for n, t in tensors.items() if n.startswith("state_dict.")}
    return inner or tensors


def _check_numbers(
    name: str, kind: str, sums: Mapping[str, sampled.Sums], context: Context
) -> bool:
    bad = [f"{key} ({one.nonfinite:,})" for key, one in sums.items() if one.nonfinite]
    sound = context.check(
        f"{name}: finite",
        not bad,
        f"NaN or infinity in {listed(bad)}" if bad else f"{len(sums):,} tensors",
        "the weights are damaged or training diverged",
    )
    large = {key: one for key, one in sums.items() if one.large}
    zero = [key for key, one in large.items() if one.zero]
    # What LoRA and ControlNet begin with at zero is judged by their kinds.
    many = len(zero) > _MANY * len(large) and len(zero) > 1 and kind != "lora"
    return (
        context.check(
            f"{name}: not zero",
            not many,
            f"{len(zero)} of {len(large)} matrices hold nothing but zeros: {listed(zero)}"
            if many
            else "",
            "a download that was begun and never ended, or weights that were never trained",
        )
        and sound
    )


def _check_count(name: str, tensors: Tensors, request: ProbeRequest, context: Context) -> None:
    count = sum(tensor.numel() for tensor in tensors.values())
    context.metrics["parameters"] += count
    if "parameters" in request.options:
        check_count(f"{name}: parameters", count, request.options["parameters"], context)


def _check_kind(
    name: str, kind: str, shapes: Shapes, sums: Mapping[str, sampled.Sums], context: Context
) -> None:
    if kind == "lora":
        wrong = diffusion_fit.lora(shapes)
        told = "; ".join(wrong[:3]) or f"{len(diffusion_names.lora_modules(shapes))} modules"
        context.check(f"{name}: halves", not wrong, told, "the file is not whole: fetch it again")
    if kind == "checkpoint":
        lacking = [
            part for part, words in _PARTS.items() if not any(k.startswith(words) for k in shapes)
        ]
        if lacking:
            context.warn(
                f"{name}: parts",
                f"it holds no {' and no '.join(lacking)}",
                "whoever loads it takes that from elsewhere",
            )
    if kind == "lora":
        modules = diffusion_names.factors(sums)
        acts = [any(sums[key].zero for key in keys) for keys in modules.values()]
        _check_trained(name, acts, "modules change nothing: a factor of each is zero", context)
    if kind == "controlnet":
        started = [one.zero for key, one in sums.items() if any(w in key for w in _ZERO_OUTPUTS)]
        _check_trained(name, started, "tensors that begin at zero are zero still", context)


def _check_trained(name: str, untouched: list[bool], what: str, context: Context) -> None:
    """Check that not all of what training has to move is as it was before."""
    if untouched:
        context.check(
            f"{name}: it was trained",
            not all(untouched),
            f"all {len(untouched)} {what}" if all(untouched) else "",
            "it was saved before training: take it from a trained checkpoint",
        )


_PARTS: Mapping[str, tuple[str, ...]] = {
    "autoencoder": ("first_stage_model.", "vae."),
    "text encoder": ("cond_stage_model.", "conditioner.", "text_encoders."),
}
# What a ControlNet gives a net to begin with is zero, so that it changes nothing.
_ZERO_OUTPUTS = (
    "zero_convs.",
    "middle_block_out.",
    "controlnet_down_blocks.",
    "controlnet_mid_block.",
)


def _check_fit(name: str, kind: str, shapes: Shapes, base: Shapes, context: Context) -> None:
    wrong, told = diffusion_fit.against(kind, shapes, base)
    context.check(
        f"{name}: it fits its base",
        not wrong,
        "; ".join(wrong) or told,
        "it was made for another family of models; see which base its page names",
    )


def _base(request: ProbeRequest, context: Context) -> Shapes:
    """Return the shapes of a base's weights by name, empty without one."""
    base = request.options.get("base")
    if base is None:
        return {}
    files = request.related.get(base)
    if not files:
        raise ProbeError(f"the base {base!r} is not laid out", f"run `fetch all` for {base} too")
    found: dict[str, tuple[int, ...]] = {}
    for name, path in sorted(files.items()):
        folder = name.rpartition("/")[0].rpartition("/")[2]
        if name.endswith((".safetensors", ".ckpt", ".bin", ".pt")) and (
            folder in _FOLDERS or not folder
        ):
            context.stage(f"looking at {name} of {base}")
            for key, info in open_weights(context, path, name).tensors.items():
                found[f"{folder}.{key}".lstrip(".")] = info.shape
    if not found:
        raise ProbeError(
            f"the base {base!r} has no weights of a U-Net, transformer or text encoder"
        )
    return found


def _try(name: str, part: str, tensors: Tensors, request: ProbeRequest, context: Context) -> None:
    """Load a part with diffusers, where that can be done without the Hub, and let it answer."""
    first = any(
        key.startswith(("model.", "first_stage_model.", "control_model.")) for key in tensors
    )
    config = _config(name, part, request)
    plain = (
        first
        or "time_embed.0.weight" in tensors
        or "encoder.down.0.block.0.conv1.weight" in tensors
    )
    if not context.has("diffusers") or not (plain or config):
        why = (
            "there is no config.json beside it, nor in a `base`"
            if context.has("diffusers")
            else "diffusers is not installed"
        )
        context.warn(f"{name}: {part} answers", f"it was not run: {why}")
        return
    context.require("diffusers")
    if config is not None:
        beside = config in {path.parent for path in request.files.values()}
        refuse_code(config, context.consent("" if beside else str(request.options["base"])))
    context.stage(f"loading the {part} of {name}")
    dtype = context.torch_dtype()
    try:
        with context.timed("load_seconds"):
            model = loader.load(part, tensors, config, dtype, context.device())
    except UnknownShapesError as error:
        context.warn(f"{name}: {part} answers", f"it was not run: {error}")
        return
    context.stage(f"trying the {part} of {name}")
    if part == "vae":
        _try_vae(name, model, dtype, request, context)
        return
    answer = loader.unet_answer if part == "unet" else loader.control_answer
    with context.timed("infer_seconds"):
        one, other = (answer(model, request.seed + n, context.device(), dtype) for n in (0, 1))
    if context.fingerprint(f"{name}: {part}", one):
        moved = float((one - other).abs().max())
        hint = "every input gets the same answer: the weights do nothing"
        context.check(
            f"{name}: {part} answers", moved > 0, f"another input moves it by {moved:.3g}", hint
        )


def _try_vae(name: str, model: Any, dtype: Any, request: ProbeRequest, context: Context) -> None:
    torch = context.require("torch")
    picture = images.generated(torch, 64, 64, request.seed) * 2 - 1
    large = sum(one.numel() for one in model.parameters()) >= likeness.TRAINED
    photograph = likeness.known_picture(torch)
    with context.timed("infer_seconds"):
        back = loader.reconstruction(model, picture.to(context.device(), dtype))
        shown = (photograph * 2 - 1).to(context.device(), dtype)
        seen = loader.reconstruction(model, shown) if large else None
    if not context.fingerprint(f"{name}: vae", back) or seen is None:
        return
    if not context.fingerprint(f"{name}: vae, a photograph", seen):
        return
    restored = (seen / 2 + 0.5).clamp(0, 1)
    if restored.shape != photograph.shape:
        return
    context.metrics["likeness"] = round(likeness.correlation(photograph, restored), 4)
    likeness.check(
        context,
        f"{name}: vae answers",
        [photograph],
        [restored],
        "an autoencoder that was trained gives back what it is shown: are its halves of one model?",
    )


def _config(name: str, part: str, request: ProbeRequest) -> Path | None:
    """Return the folder of a part's config.json: beside the file, else in the base's pipeline."""
    folder = name.rpartition("/")[0]
    beside = request.files.get(f"{folder}/config.json".lstrip("/"))
    if beside is not None:
        return beside.parent
    base = request.related.get(request.options.get("base", ""), {})
    found = base.get(f"{part}/config.json") if part != "controlnet" else None
    return None if found is None else found.parent
