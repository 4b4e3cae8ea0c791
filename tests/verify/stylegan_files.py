"""State dicts in GenForce's StyleGAN format with random weights, of any size and variant."""

from __future__ import annotations

from typing import Any

from fetcher.verify.nets.stylegan_net import Generator
from fetcher.verify.nets.stylegan_sizes import DiscriminatorSizes, GeneratorSizes, Pyramid


def generator(
    torch: Any,
    resolution: int = 64,
    widest: int = 16,
    label: int = 0,
    embedding: int = 0,
    added: int = 0,
    seed: int = 0,
) -> dict[str, Any]:
    """A generator as its constructor leaves it, but with noise and a mean w, as if trained."""
    z = widest
    into = z + (embedding or label)
    sizes = GeneratorSizes(
        pyramid(resolution, widest),
        z=z,
        w=widest,
        label=label,
        embedding=embedding,
        mapping=((widest, into), *((widest, widest) for _ in range(7))),
        added=((added, widest), (widest, added)) if added else (),
    )
    found = filled(torch, sizes.table(), seed)
    source = torch.Generator().manual_seed(seed + 1)
    zs = torch.randn(2048, z, generator=source)
    w = Generator(torch, found, sizes).mapped(zs, torch.zeros(2048, label) if label else None)
    found["truncation.w_avg"] = w.mean(dim=0)
    return found


def discriminator(
    torch: Any, resolution: int = 64, widest: int = 16, label: int = 0, seed: int = 0
) -> dict[str, Any]:
    return filled(torch, DiscriminatorSizes(pyramid(resolution, widest), label).table(), seed)


def pyramid(resolution: int, widest: int) -> Pyramid:
    """As wide as GenForce's where 512 channels are the widest, else as much narrower."""
    return Pyramid(resolution, 32 * widest, widest)


def filled(torch: Any, table: dict[str, tuple[int, ...]], seed: int) -> dict[str, Any]:
    source = torch.Generator().manual_seed(seed)
    blur = torch.tensor([1.0, 2.0, 1.0])
    found = {}
    for name, shape in table.items():
        if name.endswith("lod"):
            found[name] = torch.zeros(())
        elif name.endswith(".kernel"):
            found[name] = (blur[:, None] * blur / 16).repeat(shape[0], 1, 1, 1)
        elif name.endswith(".bias"):
            found[name] = torch.zeros(shape)
        elif name.endswith("apply_noise.weight"):
            found[name] = torch.randn(shape, generator=source) * 0.05
        elif name.startswith("mapping.dense"):
            found[name] = torch.randn(shape, generator=source) / 0.01
        else:
            found[name] = torch.randn(shape, generator=source)
    return found
