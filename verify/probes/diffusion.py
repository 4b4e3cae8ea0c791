"""The `diffusion` probe: a pipeline of diffusers loads from what was laid out, and draws.

What each option means is in `Diffusion`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fetcher.verify.contract.built_in_probes import problems_of
from fetcher.verify.contract.probe_errors import ProbeError
from fetcher.verify.loaders import diffusion as loader
from fetcher.verify.loaders import embedding_rows
from fetcher.verify.loaders.loaded import check_finite
from fetcher.verify.loaders.strict import listed
from fetcher.verify.pictures import grids, likeness
from fetcher.verify.weights import folders, kept_settings
from fetcher.verify.weights.config_scan import refuse_code
from fetcher.verify.weights.expectations import check_count

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fetcher.verify.contract.context import Context
    from fetcher.verify.contract.foreign import ModelConfig, ProbeOptions
    from fetcher.verify.contract.protocol import ProbeRequest, Problem

_INDEX = "model_index.json"
_PROMPT = "a lighthouse on a cliff at dusk"
_OTHER = "a bowl of oranges on a wooden table"
_SIDE = 256  # pixels: enough to prove it, and bearable on a CPU
# What stands in the folder of a part that has no weights.
_NO_NETWORK = ("scheduler_config.json", "tokenizer_config.json", "preprocessor_config.json")


class Diffusion:
    """Draws the same picture twice, one from another seed and one of another prompt.

    Options, all optional: `prompt`, `negative_prompt`, `steps` (1 or 2 prove it, default 2),
    `size` ([height, width], default 256 x 256), `guidance_scale`, `max_tokens`, `variant` (of
    weight files, such as fp16), `parameters` (of all parts together, exact or `{min, max}`), and
    what saves GPU memory: `cpu_offload` (model or sequential), `attention_slicing`, `vae_slicing`,
    `vae_tiling`, `quantize` (8bit).
    """

    type = "diffusion"
    requires = (("torch", "torch"), ("diffusers", "diffusers"), ("transformers", "transformers"))

    def validate_options(self, given: ProbeOptions) -> list[Problem]:
        """Return all problems of the manifest's options."""
        return problems_of(self.type, given)

    def run(self, request: ProbeRequest, context: Context) -> None:
        """Check the files of every part, load the pipeline, and draw."""
        context.stage("looking at the files")
        folder = folders.folder_of(request.files, _INDEX, "a pipeline")
        index = folders.read_json(request.files[_INDEX], _INDEX)
        refuse_code(folder, context.consent())
        stored = _check_parts(index, folder, request, context)
        context.stage(f"loading {index['_class_name']}")
        wanted = request.options
        switches = loader.MemorySwitches(
            **{
                key: wanted[key]
                for key in loader.MemorySwitches.__dataclass_fields__
                if key in wanted
            }
        )
        with context.timed("load_seconds"):
            pipeline = loader.load(
                folder,
                device=context.device(),
                dtype=context.torch_dtype(_default_dtype(context)),
                variant=wanted.get("variant"),
                switches=switches,
                consent=context.consent(),
            )
        _check_loaded(pipeline, stored, switches, wanted, context)
        _check_autoencoder(pipeline, context)
        _check_pictures(pipeline, request, context)


PROBE = Diffusion()


def _default_dtype(context: Context) -> str:
    """Return how such models are used: in half precision on a GPU, which CPUs are slow with."""
    device, torch = context.device(), context.require("torch")
    if device == "cpu":
        return "float32"
    # float16 overflows in T5 and in some VAEs.
    wide = device.startswith("cuda") and torch.cuda.is_bf16_supported()
    return "bfloat16" if wide else "float16"


def _check_parts(
    index: ModelConfig, folder: Path, request: ProbeRequest, context: Context
) -> dict[str, list[str]]:
    """Check that every part is laid out and known; returns the tensors' names by part."""
    if not index.get("_class_name"):
        raise ProbeError(f"{_INDEX} names no pipeline (_class_name)", "fetch the artifact again")
    stored: dict[str, list[str]] = {}
    context.fact("pipeline", str(index["_class_name"]))
    for part, made_of in index.items():
        if part.startswith("_") or not isinstance(made_of, list) or made_of[:1] == [None]:
            continue
        there = [path for path in request.files.values() if path.parent == folder / part]
        if not there:
            raise ProbeError(
                f"the part {part} ({made_of[1]}) is not laid out",
                f"add {part}/* to the artifact's `files`, and keep its paths in the layout",
            )
        kept_settings.keep_part(request.files, folder / part, context, part)
        if any(path.name in _NO_NETWORK for path in there):
            kept_settings.keep_tokenizer(request.files, folder / part, context, f"{part}: ")
            continue
        stem = "diffusion_pytorch_model" if made_of[0] == "diffusers" else "model"
        try:
            stored[part] = list(folders.check_weights(request.files, folder / part, context, stem))
        except ProbeError as error:
            raise ProbeError(f"{part}: {error.reason}", error.hint) from error
    return stored


def _check_loaded(
    pipeline: Any,
    stored: Mapping[str, list[str]],
    switches: loader.MemorySwitches,
    wanted: ProbeOptions,
    context: Context,
) -> None:
    networks = loader.parts(pipeline)
    total = sum(p.numel() for network in networks.values() for p in network.parameters())
    context.metrics["parameters"] = total
    if "parameters" in wanted:
        check_count("parameters", total, wanted["parameters"], context)
    moved = switches.cpu_offload and context.device() != "cpu"
    for name, network in networks.items():
        random = (
            []
            if switches.quantize or moved or not stored.get(name)
            else (loader.random_tensors(network, stored[name]))
        )
        ours = type(network).__module__.startswith("diffusers")
        what = f"{len(random)} tensors are in no file, so they are random: {listed(random)}"
        hint = "weights and config.json are of different models, or files are missing"
        if random and not ours and not all(_in_another_form(n, stored[name]) for n in random):
            context.warn(f"{name}: every tensor comes from a file", what, hint)
        elif ours:
            counted = sum(p.numel() for p in network.parameters())
            context.check(
                f"{name}: every tensor comes from a file",
                not random,
                what if random else f"{type(network).__name__}, {counted:,} parameters",
                hint,
            )
        if check_finite(name, network, context):
            embedding_rows.keep(network, context, f"{name}: ")


def _in_another_form(name: str, stored: list[str]) -> bool:
    """Tell whether a name is stored with one more or one less word before it."""
    return any(other.endswith("." + name) or name.endswith("." + other) for other in stored)


def _check_autoencoder(pipeline: Any, context: Context) -> None:
    """Check that the autoencoder gives a photograph back, if it is no toy."""
    torch = context.require("torch")
    context.stage("coding a photograph")
    photograph = likeness.known_picture(torch)
    with context.timed("infer_seconds"):
        back = loader.given_back(pipeline, photograph * 2 - 1)
    if back is None or back.shape != photograph.shape:
        return
    if not context.fingerprint("a photograph as it comes back", back):
        return
    if sum(one.numel() for one in pipeline.vae.parameters()) < likeness.TRAINED:
        return
    likeness.check(
        context,
        "vae: a photograph comes back",
        [photograph],
        [(back / 2 + 0.5).clamp(0, 1)],
        "are encoder and decoder of one model, and trained? Fetch vae/ and its config.json from "
        "one revision",
    )


def _check_pictures(pipeline: Any, request: ProbeRequest, context: Context) -> None:
    torch, wanted = context.require("torch"), request.options
    prompt = wanted.get("prompt", _PROMPT)
    height, width = wanted.get("size", (_SIDE, _SIDE))
    trials = (
        ("picture", prompt, request.seed),
        ("again", prompt, request.seed),
        ("another seed", prompt, request.seed + 1),
        ("another prompt", _OTHER, request.seed),
    )
    drawn = {}
    for name, text, seed in trials:
        context.stage(f"drawing: {name}")
        with context.timed("infer_seconds"):
            drawn[name] = loader.draw(
                pipeline,
                text,
                steps=wanted.get("steps", 2),
                height=height,
                width=width,
                guidance_scale=wanted.get("guidance_scale"),
                negative_prompt=wanted.get("negative_prompt"),
                max_tokens=wanted.get("max_tokens"),
                seed=seed,
            )
    picture = drawn["picture"]
    shape = tuple(picture.shape)
    context.check("shape", shape == (3, height, width), f"{list(shape)}")
    hint = "float16 overflows in some VAEs: try --dtype bfloat16 or float32"
    if not context.check("pixels are finite", bool(torch.isfinite(picture).all()), "", hint):
        return
    spread = float(picture.std(dim=(1, 2)).max())
    hint = "a black or plain picture: float16 overflows in some VAEs, or the weights do nothing"
    context.check("the picture is not plain", spread > 1e-3, f"spread {spread:.3g}", hint)
    moved = float((picture - drawn["again"]).abs().mean())
    still = moved <= (0 if context.device() == "cpu" else 0.02)
    context.check("repeatable", still, f"the same seed moves pixels by {moved:.2g}")
    for name, why in (("another seed", "the noise"), ("another prompt", "the text")):
        apart = float((picture - drawn[name]).abs().mean())
        context.check(
            f"{name} acts",
            apart > 1e-6,
            f"it moves pixels by {apart:.2g}",
            f"{why} changes nothing: a part of the pipeline does not act",
        )
    shown = [[drawn["picture"], drawn["another seed"], drawn["another prompt"]]]
    context.picture(
        type(pipeline).__name__,
        grids.grid(torch, shown, 0.0, 1.0),
        f"left to right: {prompt!r}, another seed, {_OTHER!r}; {wanted.get('steps', 2)} steps",
    )
    context.fingerprint("picture", picture)
    for name in ("another seed", "another prompt"):
        context.fingerprint(name, drawn[name])
