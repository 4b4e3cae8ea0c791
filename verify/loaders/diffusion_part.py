"""Single-file parts of Stable Diffusion through diffusers: U-Net, autoencoder, ControlNet.

diffusers asks the Hub for the configuration of such a file. Here it comes from the tensors' shapes,
from a config.json beside them, or from the base that the part is for; nothing is looked up. Runs
under the project's interpreter: syntax of Python 3.8, libraries imported inside functions.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fetcher.verify.contract.probe_errors import ProbeError
from fetcher.verify.loaders import LoadError, first_line, is_memory
from fetcher.verify.weights import diffusion_shapes
from fetcher.verify.weights.diffusion_names import CONTROL, UNET, VAE

if TYPE_CHECKING:
    from fetcher.verify.contract.foreign import Tensors
    from fetcher.verify.weights.diffusion_names import Shapes

_CLASSES = {"unet": "UNet2DConditionModel", "vae": "AutoencoderKL", "controlnet": "ControlNetModel"}
_PREFIXES = {"unet": UNET, "vae": VAE, "controlnet": CONTROL}
_SIDE = 8  # of the latent picture, times what the net halves it by
_WORDS = 7  # tokens of text


def load(kind: str, tensors: Tensors, config: Path | None, dtype: Any, device: str) -> Any:
    """Return a net of tensors that are in memory; its configuration is in the folder `config`.

    Without it, or for tensors in the first naming, the shapes tell. Raises LoadError, and
    UnknownShapesError for a net that is of another family.
    """
    import diffusers

    diffusers.utils.logging.set_verbosity_error()
    made = getattr(diffusers, _CLASSES[kind])
    prefix = _PREFIXES[kind]
    own = {n[len(prefix) :]: t for n, t in tensors.items() if n.startswith(prefix)} or tensors
    shapes = {name: tuple(tensor.shape) for name, tensor in own.items()}
    named = {prefix + name: tensor for name, tensor in own.items()}
    first = "time_embed.0.weight" in own or any(n.startswith("encoder.down.") for n in own)
    try:
        if first:
            model = _of_first_naming(kind, made, named, shapes)
        else:
            model = _of_diffusers(made, own, config)
    except (ProbeError, diffusion_shapes.UnknownShapesError):
        raise
    except Exception as error:
        if is_memory(error):
            raise
        if "meta tensor" in str(error):
            raise _lacking() from error
        raise LoadError(
            f"diffusers cannot load it as {_CLASSES[kind]}: {first_line(error)}",
            "tensors are missing, or are those of another kind: fetch the file again",
        ) from error
    empty = [name for name, one in model.state_dict().items() if one.is_meta]
    if empty:
        raise _lacking(f", {len(empty)} of them, first {empty[0]}")
    return model.to(device, dtype).eval()


def _lacking(which: str = "") -> LoadError:
    return LoadError(f"tensors are missing{which}", "the file is not whole: fetch it again")


def _of_first_naming(kind: str, made: Any, named: Tensors, shapes: Shapes) -> Any:
    if kind == "unet":
        original = diffusion_shapes.original(shapes)
        return made.from_single_file(dict(named), original_config=original)
    # What diffusers makes of the original configuration of the others lacks a part, or fails.
    described = diffusion_shapes.vae if kind == "vae" else diffusion_shapes.control
    with tempfile.TemporaryDirectory() as folder:
        settings = json.dumps(described(shapes))
        Path(folder, "config.json").write_text(settings, encoding="utf-8")
        return made.from_single_file(dict(named), config=folder, local_files_only=True)


def _of_diffusers(made: Any, tensors: Tensors, config: Path | None) -> Any:
    import torch

    if config is None:
        raise LoadError(
            "no config.json is laid out beside it",
            "add it to the artifact's `files`, or name the probe's `base`",
        )
    settings = made.load_config(str(config), local_files_only=True)
    with torch.device("meta"):
        model = made.from_config(settings)
    lost, unknown = model.load_state_dict(dict(tensors), strict=False, assign=True)
    if unknown:
        raise LoadError(
            f"{len(unknown)} tensors are not in the net of its config.json, first {unknown[0]}",
            "file and config.json are of different models: fetch both from one revision",
        )
    del lost  # those have no data, which is seen by whoever calls
    return model


def unet_answer(model: Any, seed: int, device: str, dtype: Any, **more: Any) -> Any:
    """Return the noise that a net sees in a latent picture of noise, float32 on the CPU."""
    import torch

    given = _inputs(model, seed, device, dtype)
    with torch.no_grad():
        return model(**given, **more, return_dict=False)[0].float().cpu()


def control_answer(model: Any, seed: int, device: str, dtype: Any) -> Any:
    """Return what a ControlNet adds to a net's blocks, float32 on the CPU, in one row."""
    import torch

    given = _inputs(model, seed, device, dtype)
    side = given["sample"].shape[-1] * 2 ** (
        len(model.config.conditioning_embedding_out_channels) - 1
    )
    channels = model.config.conditioning_channels
    hint = torch.rand(1, channels, side, side, generator=torch.Generator().manual_seed(seed + 9))
    with torch.no_grad():
        down, middle = model(**given, controlnet_cond=hint.to(device, dtype), return_dict=False)
    return torch.cat([part.float().cpu().flatten() for part in (*down, middle)])


def _inputs(model: Any, seed: int, device: str, dtype: Any) -> dict[str, Any]:
    import torch

    source, config = torch.Generator().manual_seed(seed), model.config
    side = _SIDE * 2 ** (len(config.block_out_channels) - 1) // 2

    def noise(*shape: int) -> Any:
        return torch.randn(*shape, generator=source).to(device, dtype)

    given = {
        "sample": noise(1, config.in_channels, side, side),
        "timestep": torch.tensor([500 + seed], device=device),
        "encoder_hidden_states": noise(1, _WORDS, config.cross_attention_dim or 8),
    }
    width = config.projection_class_embeddings_input_dim
    if config.addition_embed_type == "text_time":
        given["added_cond_kwargs"] = {
            "text_embeds": noise(1, diffusion_shapes.text_width(width)),
            "time_ids": torch.full((1, 6), 512.0, device=device, dtype=dtype),
        }
    elif config.class_embed_type == "projection":
        given["class_labels"] = noise(1, width)
    return given


def reconstruction(model: Any, pictures: Any) -> Any:
    """Return pictures (N, 3, H, W) in -1..1 as an autoencoder gives them back, float32, CPU."""
    import torch

    with torch.no_grad():
        latent = model.encode(pictures).latent_dist.mean
        return model.decode(latent).sample.float().cpu()
