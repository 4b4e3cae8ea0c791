"""The sizes of GenForce's StyleGAN, read from a state dict: generator, discriminator, variants.

Every resolution, width and label that the format allows is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fetcher.verify.contract.probe_errors import ProbeError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Shapes = Mapping[str, Sequence[int]]
    Table = dict[str, tuple[int, ...]]

_CHANNELS = 3  # RGB


@dataclass(frozen=True)
class Pyramid:
    """Sizes of the convolutions: from 4 pixels to `resolution`, with at most `widest` channels."""

    resolution: int
    base: int
    widest: int

    @property
    def blocks(self) -> int:
        """Return how many resolutions there are."""
        return self.resolution.bit_length() - 2

    def channels(self, side: int) -> int:
        """Return the channels at `side` pixels."""
        return min(self.base // side, self.widest)


@dataclass(frozen=True)
class GeneratorSizes:
    """Sizes of a generator. `label` is 0 without labels; `embedding` is 0 where they are not
    embedded but joined to z as they are; `added` are mapping layers beyond GenForce's.
    """

    pyramid: Pyramid
    z: int
    w: int
    label: int
    embedding: int
    mapping: tuple[tuple[int, int], ...]
    added: tuple[tuple[int, int], ...] = ()

    @property
    def layers(self) -> int:
        """Return how many layers take a style."""
        return 2 * self.pyramid.blocks

    def __str__(self) -> str:
        side = self.pyramid.resolution
        label = f", labels of {self.label}" if self.label else ", no labels"
        joined = f" embedded in {self.embedding}" if self.embedding else ""
        more = f", {len(self.added)} added mapping layers" if self.added else ""
        return f"generator {side}x{side}{label}{joined}{more}"

    def table(self) -> Table:
        """Return every tensor's shape."""
        found: Table = {"truncation.w_avg": (self.w,), "synthesis.lod": ()}
        if self.embedding:
            found["mapping.label_weight"] = (self.label, self.embedding)
        names = [f"mapping.dense{n}" for n in range(len(self.mapping))]
        names += [f"mapping.dense_new{n}" for n in range(len(self.added))]
        outs = [out for out, _ in (*self.mapping, *self.added)]
        outs[-1] = self.w
        intos = [self.mapping[0][1], *outs]
        for name, out, into in zip(names, outs, intos):
            found[f"{name}.weight"] = (out, into)
            found[f"{name}.bias"] = (out,)
        for block in range(self.pyramid.blocks):
            found.update(self._block(block))
        return found

    def _block(self, block: int) -> Table:
        side = 4 << block
        width = self.pyramid.channels(side)
        found: Table = {}
        for layer in (2 * block, 2 * block + 1):
            name = f"synthesis.layer{layer}"
            found[f"{name}.bias"] = (width,)
            found[f"{name}.apply_noise.weight"] = (width,)
            found[f"{name}.apply_noise.noise"] = (1, 1, side, side)
            found[f"{name}.style.weight"] = (2 * width, self.w)
            found[f"{name}.style.bias"] = (2 * width,)
            if layer == 0:
                found[f"{name}.const"] = (1, width, 4, 4)
            else:
                into = self.pyramid.channels(side // 2) if layer % 2 == 0 else width
                found[f"{name}.weight"] = (width, into, 3, 3)
            if layer and layer % 2 == 0:
                found[f"{name}.blur.kernel"] = (width, 1, 3, 3)
        found[f"synthesis.output{block}.weight"] = (_CHANNELS, width, 1, 1)
        found[f"synthesis.output{block}.bias"] = (_CHANNELS,)
        return found


@dataclass(frozen=True)
class DiscriminatorSizes:
    """Sizes of a discriminator; `label` is 0 without labels."""

    pyramid: Pyramid
    label: int

    def __str__(self) -> str:
        side = self.pyramid.resolution
        return f"discriminator {side}x{side}, " + (
            f"labels of {self.label}" if self.label else "no labels"
        )

    def table(self) -> Table:
        """Return every tensor's shape."""
        found: Table = {"lod": ()}
        last = self.pyramid.blocks - 1
        for block in range(last + 1):
            side = self.pyramid.resolution >> block
            width, narrow = self.pyramid.channels(side), self.pyramid.channels(side // 2)
            weights: Table = {
                f"input{block}": (width, _CHANNELS, 1, 1),
                f"layer{2 * block}": (width, width, 3, 3),
                f"layer{2 * block + 1}": (narrow, width, 3, 3),
            }
            if block == last:
                weights[f"layer{2 * block}"] = (width, width + 1, 3, 3)
                weights[f"layer{2 * block + 1}"] = (narrow, 16 * width)
                weights[f"layer{2 * block + 2}"] = (1, narrow + self.label)
            else:
                found[f"layer{2 * block + 1}.blur.kernel"] = (width, 1, 3, 3)
            for name, shape in weights.items():
                found[f"{name}.weight"] = shape
                found[f"{name}.bias"] = shape[:1]
        return found


def is_generator(shapes: Shapes) -> bool:
    """Tell whether the names are those of a generator."""
    return "mapping.dense0.weight" in shapes and "synthesis.layer0.style.weight" in shapes


def is_discriminator(shapes: Shapes) -> bool:
    """Tell whether the names are those of a discriminator."""
    return "input0.weight" in shapes and "layer0.weight" in shapes


def generator_sizes(shapes: Shapes) -> GeneratorSizes:
    """Read a generator's sizes from its tensors' shapes. Raises ProbeError if it is none."""
    if not is_generator(shapes):
        raise ProbeError(f"no StyleGAN generator: {_what(shapes)}", _hint(shapes))
    blocks = _count(shapes, "synthesis.output{}.weight")
    try:
        mapping = _dense(shapes, "dense")
        label = list(shapes.get("mapping.label_weight", (0, 0)))
        # Mapping layers are as wide as z, unless z is joined to an embedded label.
        z = mapping[0][1] - label[1] if label[1] else mapping[0][0]
        if z > mapping[0][1] or z < 1:
            raise ProbeError(f"mapping.dense0 takes {mapping[0][1]} numbers, too few for z")
        return GeneratorSizes(
            _pyramid(shapes["synthesis.layer0.const"][1], shapes, blocks, "synthesis.output{}"),
            z=z,
            w=shapes["synthesis.layer0.style.weight"][1],
            label=label[0] or mapping[0][1] - z,
            embedding=label[1],
            mapping=mapping,
            added=_dense(shapes, "dense_new"),
        )
    except (KeyError, IndexError) as error:
        raise ProbeError(f"no StyleGAN generator that is known: {error} is not as expected") from (
            error
        )


def discriminator_sizes(shapes: Shapes) -> DiscriminatorSizes:
    """Read a discriminator's sizes from its tensors' shapes. Raises ProbeError if it is none."""
    if not is_discriminator(shapes):
        raise ProbeError(f"no StyleGAN discriminator: {_what(shapes)}", _hint(shapes))
    blocks = _count(shapes, "input{}.weight")
    try:
        pyramid = _pyramid(shapes[f"input{blocks - 1}.weight"][0], shapes, blocks, "input{}", 0)
        final = shapes[f"layer{2 * blocks}.weight"][1]
    except (KeyError, IndexError) as error:
        raise ProbeError(f"no StyleGAN discriminator that is known: {error} is missing") from error
    if final < pyramid.channels(2):
        raise ProbeError(f"layer{2 * blocks} takes {final} numbers, too few for the features")
    return DiscriminatorSizes(pyramid, label=final - pyramid.channels(2))


def _pyramid(widest: int, shapes: Shapes, blocks: int, name: str, finest: int = -1) -> Pyramid:
    """Read the channels: half as many at each step, once they are fewer than the widest."""
    resolution = 2 << blocks
    at_top = blocks - 1 if finest < 0 else finest
    shape = shapes[name.format(at_top) + ".weight"]
    return Pyramid(resolution, shape[1 if finest < 0 else 0] * resolution, widest)


def _dense(shapes: Shapes, prefix: str) -> tuple[tuple[int, int], ...]:
    count = _count(shapes, f"mapping.{prefix}{{}}.weight")
    found = (shapes[f"mapping.{prefix}{n}.weight"] for n in range(count))
    return tuple((shape[0], shape[1]) for shape in found)


def _count(shapes: Shapes, pattern: str) -> int:
    found = 0
    while pattern.format(found) in shapes:
        found += 1
    return found


def _what(shapes: Shapes) -> str:
    if is_discriminator(shapes):
        return "it holds a discriminator"
    if is_generator(shapes):
        return "it holds a generator"
    return "its tensors are " + ", ".join(list(shapes)[:4]) + (", …" if len(shapes) > 4 else "")


def _hint(shapes: Shapes) -> str:
    if is_discriminator(shapes) or is_generator(shapes):
        return "were the two files swapped? see the probe's `generator` and `discriminator`"
    return "is this the right file? The format is that of GenForce's model zoo"
