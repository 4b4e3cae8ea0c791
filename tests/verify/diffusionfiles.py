"""Small nets of Stable Diffusion as single files have them: real names, shapes to scale."""

from __future__ import annotations

import itertools
from functools import lru_cache
from typing import Any

import torch

Tensors = dict[str, torch.Tensor]
CH, CONTEXT, TIME = 32, 16, 128


class _Net:
    def __init__(self, seed: int) -> None:
        self.held: Tensors = {}
        self._source = torch.Generator().manual_seed(seed)

    def layer(self, name: str, *shape: int, bias: bool = True, zero: bool = False) -> None:
        made = torch.randn(*shape, generator=self._source) * (
            (shape[1:] and 0.5 / max(1, _in(shape)) ** 0.5) or 1
        )
        self.held[f"{name}.weight"] = torch.zeros(*shape) if zero else made
        if bias:
            self.held[f"{name}.bias"] = torch.zeros(shape[0])

    def norm(self, name: str, width: int) -> None:
        self.held[f"{name}.weight"] = torch.ones(width)
        self.held[f"{name}.bias"] = torch.zeros(width)

    def residual(self, name: str, inside: int, outside: int) -> None:
        self.norm(f"{name}.in_layers.0", inside)
        self.layer(f"{name}.in_layers.2", outside, inside, 3, 3)
        self.layer(f"{name}.emb_layers.1", outside, TIME)
        self.norm(f"{name}.out_layers.0", outside)
        self.layer(f"{name}.out_layers.3", outside, outside, 3, 3)
        if inside != outside:
            self.layer(f"{name}.skip_connection", outside, inside, 1, 1)

    def attention(self, name: str, width: int, context: int) -> None:
        self.norm(f"{name}.norm", width)
        self.layer(f"{name}.proj_in", width, width, 1, 1)
        block = f"{name}.transformer_blocks.0"
        for number, inside in ((1, width), (2, context)):
            self.norm(f"{block}.norm{number}", width)
            self.layer(f"{block}.attn{number}.to_q", width, width, bias=False)
            self.layer(f"{block}.attn{number}.to_k", width, inside, bias=False)
            self.layer(f"{block}.attn{number}.to_v", width, inside, bias=False)
            self.layer(f"{block}.attn{number}.to_out.0", width, width)
        self.norm(f"{block}.norm3", width)
        self.layer(f"{block}.ff.net.0.proj", 8 * width, width)
        self.layer(f"{block}.ff.net.2", width, 4 * width)
        self.layer(f"{name}.proj_out", width, width, 1, 1)

    def down(self, context: int) -> None:
        self.layer("time_embed.0", TIME, CH)
        self.layer("time_embed.2", TIME, TIME)
        self.layer("input_blocks.0.0", CH, 4, 3, 3)
        for number, (inside, outside) in (
            (1, (CH, CH)),
            (2, (CH, CH)),
            (4, (CH, 2 * CH)),
            (5, (2 * CH, 2 * CH)),
        ):
            self.residual(f"input_blocks.{number}.0", inside, outside)
            if outside == CH:
                self.attention(f"input_blocks.{number}.1", CH, context)
        self.layer("input_blocks.3.0.op", CH, CH, 3, 3)
        self.residual("middle_block.0", 2 * CH, 2 * CH)
        self.attention("middle_block.1", 2 * CH, context)
        self.residual("middle_block.2", 2 * CH, 2 * CH)

    def vae_block(self, name: str, inside: int, outside: int) -> None:
        for number, width in ((1, inside), (2, outside)):
            self.norm(f"{name}.norm{number}", width)
            self.layer(f"{name}.conv{number}", outside, width, 3, 3)
        if inside != outside:
            self.layer(f"{name}.nin_shortcut", outside, inside, 1, 1)

    def vae_middle(self, name: str, width: int) -> None:
        for number in (1, 2):
            self.vae_block(f"{name}.block_{number}", width, width)
        self.norm(f"{name}.attn_1.norm", width)
        for part in ("q", "k", "v", "proj_out"):
            self.layer(f"{name}.attn_1.{part}", width, width, 1, 1)


def _in(shape: tuple[int, ...]) -> int:
    total = 1
    for side in shape[1:]:
        total *= side
    return total


@lru_cache
def unet(seed: int = 0, context: int = CONTEXT) -> Tensors:
    """A U-Net as SD 1 has it: two sizes, attention in the first and the middle."""
    net = _Net(seed)
    net.down(context)
    skips = [CH, CH, CH, CH, 2 * CH, 2 * CH]
    width = 2 * CH
    for number in range(6):
        outside = 2 * CH if number < 3 else CH
        net.residual(f"output_blocks.{number}.0", width + skips.pop(), outside)
        if number > 2:
            net.attention(f"output_blocks.{number}.1", CH, context)
        width = outside
    net.layer("output_blocks.2.1.conv", 2 * CH, 2 * CH, 3, 3)
    net.norm("out.0", CH)
    net.layer("out.2", 4, CH, 3, 3)
    return {f"model.diffusion_model.{name}": one for name, one in net.held.items()}


@lru_cache
def controlnet(seed: int = 0, context: int = CONTEXT, trained: bool = True) -> Tensors:
    net = _Net(seed + 100)
    net.down(context)
    widths = (3, 16, 16, 32, 32, 96, 96, 256, CH)
    for number, (inside, outside) in enumerate(itertools.pairwise(widths)):
        net.layer(f"input_hint_block.{2 * number}", outside, inside, 3, 3)
    for number, width in enumerate((CH, CH, CH, CH, 2 * CH, 2 * CH)):
        net.layer(f"zero_convs.{number}.0", width, width, 1, 1, zero=not trained)
    net.layer("middle_block_out.0", 2 * CH, 2 * CH, 1, 1, zero=not trained)
    return {f"control_model.{name}": one for name, one in net.held.items()}


@lru_cache
def vae(seed: int = 0) -> Tensors:
    net = _Net(seed + 200)
    net.layer("encoder.conv_in", CH, 3, 3, 3)
    net.layer("decoder.conv_in", 2 * CH, 4, 3, 3)
    for level, (inside, outside) in enumerate(((CH, CH), (CH, 2 * CH))):
        for block in range(2):
            net.vae_block(
                f"encoder.down.{level}.block.{block}", inside if block == 0 else outside, outside
            )
    net.layer("encoder.down.0.downsample.conv", CH, CH, 3, 3)
    for level, (inside, outside) in enumerate(((2 * CH, CH), (2 * CH, 2 * CH))):
        for block in range(3):
            net.vae_block(
                f"decoder.up.{level}.block.{block}", inside if block == 0 else outside, outside
            )
    net.layer("decoder.up.1.upsample.conv", 2 * CH, 2 * CH, 3, 3)
    for part, width, outside in (("encoder", 2 * CH, 8), ("decoder", CH, 3)):
        net.vae_middle(f"{part}.mid", 2 * CH)
        net.norm(f"{part}.norm_out", width)
        net.layer(f"{part}.conv_out", outside, width, 3, 3)
    net.layer("quant_conv", 8, 8, 1, 1)
    net.layer("post_quant_conv", 4, 4, 1, 1)
    return {f"first_stage_model.{name}": one for name, one in net.held.items()}


@lru_cache
def checkpoint() -> Tensors:
    net = _Net(7)
    text = "cond_stage_model.transformer.text_model"
    net.layer(f"{text}.embeddings.token_embedding", 20, CONTEXT, bias=False)
    for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
        net.layer(f"{text}.encoder.layers.0.self_attn.{part}", CONTEXT, CONTEXT)
    return {**unet(), **vae(), **net.held}


def lora(
    rank: int = 2, context: int = CONTEXT, trained: bool = True, naming: str = "kohya"
) -> Tensors:
    """Of the attention to the text, as kohya's scripts save it, or as PEFT does."""
    net = _Net(300)
    for name, shape in unet(context=context).items():
        inside = name[len("model.diffusion_model.") : -len(".weight")]
        if ".attn2.to_k" not in name and ".attn2.to_q" not in name:
            continue
        place, number, rest = (
            inside.split(".", 2)
            if not inside.startswith("middle")
            else ("middle", "0", inside[13:])
        )
        part, count = (
            ("down_blocks", int(number) - 1)
            if place == "input_blocks"
            else ("up_blocks", int(number))
        )
        rest = rest.partition(".")[2]
        theirs = (
            f"mid_block.attentions.0.{rest}"
            if place == "middle"
            else f"{part}.{count // 3}.attentions.{count % 3}.{rest}"
        )
        module = f"lora_unet_{theirs.replace('.', '_')}" if naming == "kohya" else f"unet.{theirs}"
        down, up = ("lora_down", "lora_up") if naming == "kohya" else ("lora_A", "lora_B")
        if naming == "old":
            module = module.replace(".attn2.", ".attn2.processor.") + "_lora"
            down, up = "down", "up"
        net.layer(f"{module}.{down}", rank, shape.shape[1], bias=False)
        net.layer(f"{module}.{up}", shape.shape[0], rank, bias=False, zero=not trained)
        if naming == "kohya":
            net.held[f"{module}.alpha"] = torch.tensor(float(rank))
    return net.held


def faithful_vae() -> Any:
    """An autoencoder of more than a million parameters that gives back what it is shown, in half
    the resolution: nobody has to train it.

    Colours go through the first three channels. What normalises and bends them is given so large a
    bias that it is straight.
    """
    import diffusers

    bias, slope = 6.0, 0.2
    vae = diffusers.AutoencoderKL(
        block_out_channels=(32, 128),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=32,
        sample_size=32,
    )
    tensors = vae.state_dict()
    for name, one in tensors.items():
        if ".norm" not in name and "group_norm" not in name:
            one.zero_()
        if name.endswith(("conv_shortcut.weight", "conv_in.weight", "sampler.0.conv.weight")) or (
            "samplers.0.conv.weight" in name
        ):
            middle = one.shape[-1] // 2
            for colour in range(3):
                one[colour, colour, middle, middle] = 1
        if name.endswith("quant_conv.weight"):
            for colour in range(3):
                one[colour, colour] = 1
    for part in ("encoder", "decoder"):
        tensors[f"{part}.conv_norm_out.weight"].fill_(slope)
        tensors[f"{part}.conv_norm_out.bias"].fill_(bias)
        for colour in range(3):
            # Half of a photograph's usual spread, in -1..1.
            tensors[f"{part}.conv_out.weight"][colour, colour, 1, 1] = 0.4 / slope
            tensors[f"{part}.conv_out.bias"][colour] = -0.4 * bias / slope
    vae.load_state_dict(tensors)
    return vae.eval()
