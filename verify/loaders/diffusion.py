"""Diffusion pipelines from a laid-out folder, through diffusers: SDXL, SD3, FLUX, Playground.

Nothing is looked up by a repository's name, and no code of a repository is run without consent.
Runs under the project's interpreter: syntax of Python 3.8, libraries imported inside functions.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fetcher.verify.contract.consent import NO_CONSENT, CodeConsent
from fetcher.verify.contract.install_line import pip_install
from fetcher.verify.loaders import LoadError, first_line, is_memory, quiet, vet
from fetcher.verify.loaders.strict import listed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fetcher.verify.contract.foreign import Arguments, Tensors

# Parts that hold most of a pipeline's weights; the VAE loses too much in 8 bits.
_QUANTIZED = ("unet", "transformer", "text_encoder", "text_encoder_2", "text_encoder_3")


@dataclass(frozen=True)
class MemorySwitches:
    """What makes a pipeline fit into less GPU memory, at the cost of time.

    `cpu_offload` keeps parts in host memory until they are used: `model` whole parts, `sequential`
    layer by layer. `quantize`: `8bit`, through bitsandbytes.
    """

    cpu_offload: str | None = None
    attention_slicing: bool = False
    vae_slicing: bool = False
    vae_tiling: bool = False
    quantize: str | None = None


def load(
    folder: Path,
    *,
    device: str = "cpu",
    dtype: Any = None,
    variant: str | None = None,
    switches: MemorySwitches = MemorySwitches(),
    pipeline_class: Any = None,
    consent: CodeConsent = NO_CONSENT,
) -> Any:
    """Load the pipeline in `folder` and return it, on `device` unless it is offloaded.

    `pipeline_class` loads it; by default the one that its model_index.json names.

    `dtype` is torch's type, None: float32. `variant` is the part of weight files' names before the
    suffix, such as `fp16`. Raises LoadError, also for what would run code without consent to it.
    """
    import diffusers
    import transformers

    quiet(transformers)
    diffusers.utils.logging.set_verbosity_error()
    diffusers.utils.logging.disable_progress_bar()
    vet(folder, consent)
    arguments: Arguments = {"local_files_only": True}
    if consent.given:  # older releases take it for a part of the pipeline
        arguments["trust_remote_code"] = True
    if dtype is not None:
        arguments[_dtype_name(diffusers)] = dtype
    if variant:
        arguments["variant"] = variant
    if switches.quantize:
        arguments["quantization_config"] = _quantization(diffusers, folder, device)
    try:
        kind = pipeline_class or diffusers.DiffusionPipeline
        pipeline = kind.from_pretrained(str(folder), **arguments)
    except Exception as error:
        raise _explained(error, folder) from error
    pipeline.set_progress_bar_config(disable=True)
    for name, part in parts(pipeline).items():
        # diffusers leaves without data what it finds in no file.
        empty = [key for key, tensor in part.named_parameters() if tensor.is_meta]
        if empty:
            raise LoadError(
                f"{name}: {len(empty)} tensors are in no file: {listed(empty)}",
                "weights and config.json are of different models, or files are missing",
            )
    return _with_switches(pipeline, device, switches)


def draw(
    pipeline: Any,
    prompt: str,
    *,
    steps: int,
    height: int | None = None,
    width: int | None = None,
    guidance_scale: float | None = None,
    negative_prompt: str | None = None,
    max_tokens: int | None = None,
    seed: int = 0,
    image: Any = None,
    strength: float | None = None,
) -> Any:
    """Return one picture (3, H, W), float32 in 0..1, on the CPU.

    With `image`, a PIL image of the size that is wanted, the picture begins there, and `strength`
    (0..1) is how much of it is drawn anew; raises LoadError if the pipeline cannot.

    The noise comes from the seed and is made on the CPU, so that it is the same on every device.
    What the pipeline does not take is left out.
    """
    import torch

    wanted = {
        "prompt": prompt,
        "num_inference_steps": steps,
        "height": height,
        "width": width,
        "guidance_scale": guidance_scale,
        "negative_prompt": negative_prompt,
        "max_sequence_length": max_tokens,
        "generator": torch.Generator("cpu").manual_seed(seed),
        "output_type": "pt",
        "image": image,
        "strength": strength,
    }
    if image is not None:
        pipeline = _from_image(pipeline)
    known = inspect.signature(type(pipeline).__call__).parameters
    given = {name: value for name, value in wanted.items() if value is not None and name in known}
    try:
        with torch.no_grad():
            answer = pipeline(**given)
    except Exception as error:
        if is_memory(error):
            raise
        raise LoadError(
            f"{type(pipeline).__name__} failed while it drew: {first_line(error)}",
            "are all its parts of one model? Does it take this size?",
        ) from error
    return answer.images[0].detach().float().cpu()


def given_back(pipeline: Any, pictures: Any) -> Any | None:
    """Return pictures (N, 3, H, W) in -1..1 as the pipeline's autoencoder gives them back, float32
    on the CPU; None if it has none for pictures. Raises LoadError.
    """
    import torch

    vae = getattr(pipeline, "vae", None)
    if vae is None or not hasattr(vae, "encode") or not hasattr(vae, "decode"):
        return None
    weight = next(vae.parameters())
    dtype = weight.dtype
    # Some overflow in float16, which pipelines know and work around.
    wide = dtype == torch.float16 and getattr(vae.config, "force_upcast", False)
    of_videos = any(one.dim() == 5 for one in vae.parameters())
    try:
        if wide:
            vae.to(torch.float32)
        device = getattr(pipeline, "_execution_device", weight.device)
        shown = pictures[:, :, None] if of_videos else pictures
        with torch.no_grad():
            coded = vae.encode(shown.to(device, torch.float32 if wide else dtype))
            found = getattr(coded, "latent_dist", None)
            latents = found.mode() if found is not None else _first(coded, "latents", "latent")
            back = vae.decode(latents).sample.float().cpu()
    except Exception as error:
        if is_memory(error):
            raise
        raise LoadError(
            f"{type(vae).__name__} failed on a picture: {first_line(error)}",
            "are its config.json and weights of one model?",
        ) from error
    finally:
        if wide:
            vae.to(dtype)
    return back[:, :, 0] if of_videos else back


def _first(coded: Any, *names: str) -> Any:
    return next(getattr(coded, name) for name in names if getattr(coded, name, None) is not None)


def _from_image(pipeline: Any) -> Any:
    """Return a pipeline of the same parts that begins with a picture."""
    import diffusers

    try:
        found = diffusers.AutoPipelineForImage2Image.from_pipe(pipeline)
    except Exception as error:
        raise LoadError(
            f"{type(pipeline).__name__} cannot begin with a picture: {first_line(error)}",
            "leave the image out, or take a model of another type",
        ) from error
    found.set_progress_bar_config(disable=True)
    return found


def parts(pipeline: Any) -> Tensors:
    """Return a pipeline's networks by name."""
    return {
        name: part
        for name, part in pipeline.components.items()
        if hasattr(part, "state_dict") and hasattr(part, "parameters")
    }


def random_tensors(part: Any, stored: Sequence[str]) -> list[str]:
    """Return the names of a network's tensors that no file held, so that they are random.

    `stored` are the names in its files. Old files name attention in another way, which is known.
    """
    names = {_renamed(name) for name in stored} | set(stored)
    tensors = part.state_dict()
    held = {tensors[name].data_ptr() for name in tensors if name in names}
    return [
        name
        for name, tensor in tensors.items()
        if name not in names and tensor.numel() and tensor.data_ptr() not in held
    ]


def _renamed(name: str) -> str:
    for old, new in (
        (".query.", ".to_q."),
        (".key.", ".to_k."),
        (".value.", ".to_v."),
        (".proj_attn.", ".to_out.0."),
    ):
        name = name.replace(old, new)
    return name


def _dtype_name(diffusers: Any) -> str:
    found = hasattr(getattr(diffusers.utils, "deprecation_utils", None), "_resolve_dtype")
    return "dtype" if found else "torch_dtype"


def _quantization(diffusers: Any, folder: Path, device: str) -> Any:
    import importlib.util

    if not device.startswith("cuda"):
        raise LoadError("8-bit weights need an NVIDIA GPU", "drop `quantize`, or use --device cuda")
    if importlib.util.find_spec("bitsandbytes") is None:
        raise LoadError("8-bit weights need bitsandbytes", pip_install(["bitsandbytes"]))
    if not hasattr(diffusers, "PipelineQuantizationConfig"):
        raise LoadError(
            f"diffusers {diffusers.__version__} cannot quantize a pipeline",
            "upgrade to diffusers 0.33 or newer",
        )
    return diffusers.PipelineQuantizationConfig(
        quant_backend="bitsandbytes_8bit",
        quant_kwargs={"load_in_8bit": True},
        components_to_quantize=[name for name in _QUANTIZED if (folder / name).is_dir()],
    )


def _with_switches(pipeline: Any, device: str, switches: MemorySwitches) -> Any:
    if switches.attention_slicing:
        pipeline.enable_attention_slicing()
    vae = getattr(pipeline, "vae", None)
    for wanted, name in ((switches.vae_slicing, "slicing"), (switches.vae_tiling, "tiling")):
        if wanted:
            switch = getattr(vae, f"enable_{name}", None)
            if switch is None:
                raise LoadError(f"this pipeline's VAE has no {name}", f"drop `vae_{name}`")
            switch()
    if switches.cpu_offload and device.startswith("cuda"):
        if switches.cpu_offload == "sequential":
            pipeline.enable_sequential_cpu_offload(device=device)
        else:
            pipeline.enable_model_cpu_offload(device=device)
    elif not switches.quantize:
        pipeline.to(device)
    return pipeline


def _explained(error: Exception, folder: Path) -> Exception:
    told = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
    first = first_line(error)
    if is_memory(error):
        return error
    if "size mismatch" in str(error) or "shape" in told[0].lower():
        return LoadError(
            f"weights in {folder} do not fit their config.json: {first}",
            "configuration and weights are of different models: fetch both from one revision",
        )
    if isinstance(error, AttributeError) and "has no attribute" in str(error):
        return LoadError(
            f"the installed diffusers or transformers lacks a part of this pipeline: {first}",
            "upgrade them in the project's environment",
        )
    return LoadError(f"diffusers cannot load {folder}: {first}")
