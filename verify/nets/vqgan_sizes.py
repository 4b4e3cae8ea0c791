"""The sizes of CompVis' VQGAN and of latent diffusion's autoencoder, read from a state dict.

Every number of levels, channels, blocks and codes that the format allows is known, and where it
attends. Whatever one half says of both is taken for both: the other half then lacks tensors.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fetcher.verify.contract.probe_errors import ProbeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    Shapes = Mapping[str, Sequence[int]]
    Table = dict[str, tuple[int, ...]]

MARKS = ("encoder.conv_in.weight", "decoder.conv_in.weight", "quant_conv.weight")
GROUPS = 32  # of every normalisation; no tensor says so
_PARTS = ("encoder", "decoder", "quantize", "quant_conv", "post_quant_conv")
_PLACE = re.compile(r"(?:encoder\.down|decoder\.up)\.(\d+)\.(block|attn)\.(\d+)\.")
_HINT = "is this the right file? The names are those of taming-transformers and latent-diffusion"
# What training keeps beside a codebook: averages of it, and which entries a remapping uses.
_OF_TRAINING = ("cluster_size", "embed_avg", "used")


@dataclass(frozen=True)
class VqganSizes:
    """Sizes of both halves and of what lies between them.

    `widths` are the channels of each level, the finest first; `attends` tells which of them have
    attention. `codes` is the number of entries in the codebook, 0 for an autoencoder without one,
    whose encoder gives means and variances. `gumbel`: codes are chosen by a layer of their own.
    """

    inputs: int
    outputs: int
    first: int
    widths: tuple[int, ...]
    blocks: int
    attends: tuple[bool, ...]
    middle_attends: bool
    resamples: bool
    wide_shortcuts: bool
    z: int
    embedding: int
    codes: int
    gumbel: bool

    @property
    def factor(self) -> int:
        """Return how many pixels a side become one place of the code."""
        return 1 << (len(self.widths) - 1)

    @property
    def moments(self) -> int:
        """Return how many numbers the encoder gives for one of z: means alone, or variances too."""
        return 1 if self.codes else 2

    def __str__(self) -> str:
        kind = "Gumbel codes" if self.gumbel else "codes" if self.codes else "no codebook"
        said = f"{self.codes} {kind}" if self.codes else kind
        levels = ", ".join(map(str, self.widths))
        return f"f={self.factor}, {said} of {self.embedding}; {levels} channels"

    def table(self) -> Table:
        """Return every tensor's shape."""
        found: Table = dict(self._encoder())
        found.update(self._decoder())
        inner = self.moments
        found.update(_conv("quant_conv", inner * self.z, inner * self.embedding, 1))
        found.update(_conv("post_quant_conv", self.embedding, self.z, 1))
        if self.gumbel:
            found.update(_conv("quantize.proj", self.embedding, self.codes, 1))
            found["quantize.embed.weight"] = (self.codes, self.embedding)
        elif self.codes:
            found["quantize.embedding.weight"] = (self.codes, self.embedding)
        return found

    def _encoder(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        yield from _conv("encoder.conv_in", self.inputs, self.first, 3).items()
        into = self.first
        for level, width in enumerate(self.widths):
            name = f"encoder.down.{level}"
            yield from self._level(name, into, width, self.blocks, self.attends[level])
            into = width
            if self.resamples and level < len(self.widths) - 1:
                yield from _conv(f"{name}.downsample.conv", width, width, 3).items()
        yield from self._middle("encoder", into)
        yield from _conv("encoder.conv_out", into, self.moments * self.z, 3).items()

    def _decoder(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        into = self.widths[-1]
        yield from _conv("decoder.conv_in", self.z, into, 3).items()
        for level in reversed(range(len(self.widths))):
            name, width = f"decoder.up.{level}", self.widths[level]
            yield from self._level(name, into, width, self.blocks + 1, self.attends[level])
            into = width
            if self.resamples and level:
                yield from _conv(f"{name}.upsample.conv", width, width, 3).items()
        yield from self._middle("decoder", self.widths[-1], self.widths[0])
        yield from _conv("decoder.conv_out", self.widths[0], self.outputs, 3).items()

    def _middle(
        self, half: str, width: int, last: int | None = None
    ) -> Iterator[tuple[str, tuple[int, ...]]]:
        for block in (1, 2):
            yield from self._block(f"{half}.mid.block_{block}", width, width)
        if self.middle_attends:
            yield from _attention(f"{half}.mid.attn_1", width)
        yield from _norm(f"{half}.norm_out", last or width)

    def _level(
        self, name: str, into: int, width: int, blocks: int, attends: bool
    ) -> Iterator[tuple[str, tuple[int, ...]]]:
        for block in range(blocks):
            yield from self._block(f"{name}.block.{block}", width if block else into, width)
            if attends:
                yield from _attention(f"{name}.attn.{block}", width)

    def _block(self, name: str, into: int, width: int) -> Iterator[tuple[str, tuple[int, ...]]]:
        yield from _norm(f"{name}.norm1", into)
        yield from _conv(f"{name}.conv1", into, width, 3).items()
        yield from _norm(f"{name}.norm2", width)
        yield from _conv(f"{name}.conv2", width, width, 3).items()
        if into != width:
            kind, side = ("conv", 3) if self.wide_shortcuts else ("nin", 1)
            yield from _conv(f"{name}.{kind}_shortcut", into, width, side).items()


def _conv(name: str, into: int, out: int, side: int) -> Table:
    return {f"{name}.weight": (out, into, side, side), f"{name}.bias": (out,)}


def _norm(name: str, width: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", (width,)
    yield f"{name}.bias", (width,)


def _attention(name: str, width: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield from _norm(f"{name}.norm", width)
    for part in ("q", "k", "v", "proj_out"):
        yield from _conv(f"{name}.{part}", width, width, 1).items()


def prefixes(names: Mapping[str, object]) -> list[str]:
    """Return what stands before the names of each model, such as `state_dict.`, in the file's
    order: a file may hold several.
    """
    found = [name[: -len(MARKS[0])] for name in names if name.endswith(MARKS[0])]
    return [
        prefix
        for prefix in found
        if (not prefix or prefix.endswith(".")) and all(prefix + mark in names for mark in MARKS)
    ]


def is_of_the_model(name: str) -> bool:
    """Tell a tensor of the model from what training left beside it: losses, judges, averages."""
    part, _, rest = name.partition(".")
    beside = part == "quantize" and rest.rpartition(".")[2] in _OF_TRAINING
    return part in _PARTS and not beside


def sizes_of(shapes: Shapes) -> VqganSizes:
    """Read the sizes from the tensors' shapes. Raises ProbeError if they are of something else."""
    if not all(mark in shapes for mark in MARKS):
        shown = ", ".join(list(shapes)[:4]) + (", …" if len(shapes) > 4 else "")
        raise ProbeError(f"no VQGAN: its tensors are {shown or 'none'}", _HINT)
    try:
        found = _read(shapes)
    except (KeyError, IndexError) as error:
        raise ProbeError(f"no VQGAN that is known: {error} is not as expected", _HINT) from error
    odd = [width for width in (found.first, *found.widths) if width % GROUPS or not width]
    if odd:
        raise ProbeError(f"no VQGAN that is known: {odd[0]} channels are no multiple of {GROUPS}")
    return found


def _read(shapes: Shapes) -> VqganSizes:
    places = [match for match in map(_PLACE.match, shapes) if match]
    levels = 1 + max((int(match[1]) for match in places), default=0)
    attends = {int(match[1]) for match in places if match[2] == "attn"}
    blocks = [
        int(match[3]) + match[0].startswith("encoder") for match in places if match[2] == "block"
    ]
    gumbel = "quantize.embed.weight" in shapes
    book = shapes.get("quantize.embed.weight" if gumbel else "quantize.embedding.weight")
    moments = 1 if book is not None else 2
    return VqganSizes(
        inputs=shapes["encoder.conv_in.weight"][1],
        outputs=shapes["decoder.conv_out.weight"][0],
        first=shapes["encoder.conv_in.weight"][0],
        widths=tuple(_width(shapes, level) for level in range(levels)),
        blocks=max(blocks),
        attends=tuple(level in attends for level in range(levels)),
        middle_attends=any(".mid.attn_1." in name for name in shapes),
        resamples=any(name.endswith("sample.conv.weight") for name in shapes),
        wide_shortcuts=any(name.endswith(".conv_shortcut.weight") for name in shapes),
        z=shapes["decoder.conv_in.weight"][1],
        embedding=book[1] if book is not None else shapes["quant_conv.weight"][0] // moments,
        codes=book[0] if book is not None else 0,
        gumbel=gumbel,
    )


def _width(shapes: Shapes, level: int) -> int:
    """Return the channels of a level, by whichever half has it."""
    names = (
        f"encoder.down.{level}.block.0.conv1.weight",
        f"decoder.up.{level}.block.0.conv1.weight",
    )
    for name in names:
        if name in shapes:
            return shapes[name][0]
    raise KeyError(names[0])
