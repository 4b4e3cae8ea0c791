"""CompVis' VQGAN: what may have been done to a checkpoint, and what right ones look like."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from fetcher.verify import ProbeRequest

from tests.verify.probing import request
from tests.verify.vqgan_files import Tensors, filled, sizes, wired
from tests.verify.wrong import Case, Make

_SMALL = {"size": [64, 64], "images": 2}
_BACK = "comes back"


def _saved(make: Callable[[], Any], **options: Any) -> Make:
    def made(folder: Path) -> ProbeRequest:
        folder.mkdir()
        torch.save(make(), folder / "last.ckpt")
        return request("vqgan", folder, **{**_SMALL, **options})

    return made


def _with(change: Callable[[Tensors], Tensors], **options: Any) -> Make:
    return _saved(lambda: {**wired(), **change(wired())}, **options)


def _exchanged(one: str, other: str) -> Make:
    """Two layers of the same sizes in each other's place."""

    def change(tensors: Tensors) -> Tensors:
        found = {other + n[len(one) :]: t for n, t in tensors.items() if n.startswith(one)}
        back = {one + n[len(other) :]: t for n, t in tensors.items() if n.startswith(other)}
        return {**found, **back}

    return _with(change)


def _part(name: str, source: Callable[[], Tensors]) -> Make:
    """Every tensor whose name begins so, from elsewhere."""
    return _with(lambda _: {n: t for n, t in source().items() if n.startswith(name)})


def _each(name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Make:
    return _with(lambda tensors: {n: change(t) for n, t in tensors.items() if n.startswith(name)})


def _without(*names: str) -> Make:
    return _saved(lambda: {n: t for n, t in wired().items() if not n.startswith(names)})


def _lightning() -> Any:
    judge = {"loss.discriminator.main.0.weight": torch.ones(4, 3, 4, 4)}
    return {
        "epoch": 3,
        "state_dict": {**wired(), **judge},
        "optimizer_states": [{"a": torch.ones(3)}],
    }


def _transformer() -> Any:
    """A transformer's checkpoint: below other names, beside tensors of its own."""
    stage = {f"first_stage_model.{name}": tensor for name, tensor in wired().items()}
    return {"state_dict": {"transformer.head.weight": torch.ones(4, 4), **stage}}


def _averaged() -> Tensors:
    """With what a codebook of moving averages keeps, and which of its entries are used."""
    book = wired()["quantize.embedding.weight"]
    of_training = {"cluster_size": torch.ones(len(book)), "embed_avg": book.clone()}
    named = {f"quantize.embedding.{name}": tensor for name, tensor in of_training.items()}
    return {**wired(), **named, "quantize.used": torch.arange(64)}


def _noisy(share: float, **options: Any) -> Make:
    def change(tensors: Tensors) -> Tensors:
        source = torch.Generator().manual_seed(4)
        return {
            n: t + share * t.std(correction=0) * torch.randn(t.shape, generator=source)
            for n, t in tensors.items()
        }

    return _with(change, **options)


def _permuted(tensor: torch.Tensor) -> torch.Tensor:
    return tensor[torch.randperm(len(tensor), generator=torch.Generator().manual_seed(2))]


def _shuffled(tensor: torch.Tensor) -> torch.Tensor:
    return _permuted(tensor.flatten()).view(tensor.shape)


_GREY = sizes(inputs=1, outputs=1, z=1, embedding=1, codes=16)
_KL = sizes(codes=0)
_GUMBEL = sizes(gumbel=True)
right = _saved(wired)
gumbel = _saved(lambda: wired(_GUMBEL))
plain = _saved(lambda: wired(_KL))

CASES = [
    Case("vqgan", "a VQGAN", right),
    Case("vqgan", "a Lightning checkpoint with its loss", _saved(_lightning)),
    Case("vqgan", "the first stage of a transformer", _saved(_transformer)),
    Case("vqgan", "Gumbel codes", gumbel),
    Case("vqgan", "an autoencoder without a codebook", plain),
    Case("vqgan", "grey pictures", _saved(lambda: wired(_GREY))),
    Case(
        "vqgan",
        "maps of 24 classes, no training",
        _saved(lambda: filled(sizes(inputs=24, outputs=24))),
        right,
        "the codebook fits the encoder",
    ),
    Case("vqgan", "a codebook of moving averages", _saved(_averaged)),
    Case("vqgan", "a VQGAN in float16", _each("", torch.Tensor.half)),
    Case("vqgan", "something else than photographs, `face: false`", _noisy(0.3, face=False)),
    Case(
        "vqgan",
        "the sizes that the manifest says",
        _saved(wired, codebook_size=512, embedding_dim=3, downsample_factor=4, min_psnr=15),
    ),
    Case("vqgan", "no training", _saved(lambda: filled(sizes())), right, _BACK),
    Case("vqgan", "Gumbel codes without training", _saved(lambda: filled(_GUMBEL)), gumbel, _BACK),
    Case("vqgan", "no codebook, no training", _saved(lambda: filled(_KL)), plain, _BACK),
    Case(
        "vqgan",
        "an encoder without training",
        _part("encoder", lambda: filled(sizes())),
        right,
        _BACK,
    ),
    Case(
        "vqgan",
        "a decoder without training",
        _part("decoder", lambda: filled(sizes())),
        right,
        _BACK,
    ),
    Case(
        "vqgan",
        "a codebook without training",
        _part("quantize", lambda: filled(sizes())),
        right,
        "the codebook fits the encoder",
    ),
    Case("vqgan", "every kernel shuffled", _each("", _shuffled), right, _BACK),
    Case(
        "vqgan",
        "red and blue swapped on the way in",
        _each("encoder.conv_in.weight", lambda t: t.flip(1)),
        right,
        "with red and blue swapped",
    ),
    Case(
        "vqgan",
        "red and blue swapped on the way out",
        _each("decoder.conv_out", lambda t: t.flip(0)),
        right,
        "with red and blue swapped",
    ),
    Case("vqgan", "negative pictures", _each("decoder.conv_out", torch.neg), right, _BACK),
    Case(
        "vqgan",
        "all codes alike",
        _each("quantize", lambda t: t[:1].expand_as(t)),
        right,
        "several codes",
    ),
    Case(
        "vqgan", "an encoder of zeros", _each("encoder", torch.zeros_like), right, "several codes"
    ),
    Case(
        "vqgan",
        "NaN in the codebook",
        _each("quantize", lambda t: t / (t - t[0])),
        right,
        "NaN or infinity in quantize",
    ),
    Case(
        "vqgan",
        "a block is missing",
        _without("decoder.up.0.block.1"),
        right,
        "are missing: decoder.up.0.block.1",
    ),
    Case(
        "vqgan",
        "attention is missing in the decoder",
        _without("decoder.up.2.attn"),
        right,
        "are missing: decoder.up.2.attn",
    ),
    Case(
        "vqgan",
        "a level is missing in the encoder",
        _without("encoder.down.2"),
        right,
        "are missing: encoder.down.2",
    ),
    Case("vqgan", "no codebook", _without("quantize"), right, "shapes differ"),
    Case(
        "vqgan",
        "a codebook of other vectors",
        _each("quantize", lambda t: t[:, :2]),
        right,
        "shapes differ",
    ),
    Case(
        "vqgan",
        "a decoder of another width",
        _part("decoder", lambda: filled(sizes(widths=(64, 96, 128)))),
        right,
        "shapes differ",
    ),
    Case(
        "vqgan",
        "a tensor that no layer takes",
        _with(lambda _: {"decoder.more.weight": torch.ones(3)}),
        right,
        "are not the model's",
    ),
    Case(
        "vqgan",
        "a StyleGAN's tensors",
        _saved(lambda: {"mapping.dense0.weight": torch.ones(4, 4)}),
        right,
        "no VQGAN",
    ),
    Case(
        "vqgan",
        "another codebook than the manifest says",
        _saved(wired, codebook_size=1024),
        right,
        "codebook_size is 512, expected 1024",
    ),
    Case("vqgan", "less quality than `min_psnr`", _saved(wired, min_psnr=50), right, "min_psnr"),
    Case("vqgan", "a codebook in another order", _each("quantize", _permuted), right),
    Case("vqgan", "another training", _saved(lambda: wired(seed=1)), right),
    Case("vqgan", "an encoder of another training", _part("encoder", lambda: wired(seed=1)), right),
    Case("vqgan", "a decoder of another training", _part("decoder", lambda: wired(seed=1)), right),
    Case(
        "vqgan",
        "two blocks of the encoder exchanged",
        _exchanged("encoder.mid.block_1", "encoder.mid.block_2"),
        right,
    ),
    Case(
        "vqgan",
        "two blocks of the decoder exchanged",
        _exchanged("decoder.up.0.block.0", "decoder.up.0.block.1"),
        right,
    ),
    Case(
        "vqgan",
        "an entry of the codebook changed",
        _each("quantize", lambda t: torch.cat([-t[:1], t[1:]])),
        right,
    ),
    Case("vqgan", "3 % noise on every weight", _noisy(0.03), right),
    Case("vqgan", "an autoencoder of another training", _saved(lambda: wired(_KL, 1)), plain),
    Case(
        "vqgan", "Gumbel codes of another training", _saved(lambda: wired(_GUMBEL, seed=1)), gumbel
    ),
    Case("vqgan", "a VQGAN in bfloat16", _each("", torch.Tensor.bfloat16)),
    Case("vqgan", "a VQGAN in float64", _each("", torch.Tensor.double)),
    Case(
        "vqgan",
        "attention of another model in the encoder",
        _each("encoder.mid.attn_1", lambda t: 30 * _shuffled(t) + 1),
        right,
        _BACK,
    ),
    Case(
        "vqgan", "vectors of zeros", _each("post_quant_conv.weight", torch.zeros_like), right, _BACK
    ),
    Case(
        "vqgan", "a last norm of zeros", _each("decoder.norm_out", torch.zeros_like), right, _BACK
    ),
    Case("vqgan", "a codebook 1 % larger", _each("quantize", lambda t: t * 1.01), right),
    Case(
        "vqgan",
        "two entries of the codebook exchanged",
        _each("quantize", lambda t: torch.cat([t[1:2], t[:1], t[2:]])),
        right,
    ),
    Case(
        "vqgan",
        "half of the codebook lost",
        _each("quantize", lambda t: t * (torch.arange(len(t)) < len(t) // 2)[:, None]),
        right,
    ),
    Case("vqgan", "darker pictures", _each("decoder.conv_out.bias", lambda t: t - 0.6), right),
    Case(
        "vqgan",
        "a norm in the middle",
        _each("decoder.mid.block_1.norm1", lambda t: t * 1.01),
        right,
    ),
    Case("vqgan", "attention of the other sign", _each("decoder.mid.attn_1.q", torch.neg), right),
    Case("vqgan", "0.1 % noise on every weight", _noisy(0.001), right),
]
