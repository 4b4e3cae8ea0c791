"""The three small nets of the MTCNN face detector, computed from their state dicts alone.

Inputs are NCHW, RGB, scaled to -1..1. Each net tells for a window whether it holds a face
(probabilities of no and yes) and how to shift its box; the last one also five landmarks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fetcher.verify.contract.foreign import Tensors

    Table = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Sizes:
    """One net: its window in pixels; channels, kernel and following pool of each convolution; the
    width of the dense layer (0: fully convolutional); and the names and widths of what it answers.
    """

    window: int
    convolutions: tuple[tuple[int, int, int], ...]
    flat: tuple[int, int]
    heads: tuple[tuple[str, int], ...]

    def table(self) -> Table:
        """Return every tensor's shape."""
        found: Table = {}
        into = 3
        for n, (out, kernel, _) in enumerate(self.convolutions, 1):
            found[f"conv{n}.weight"] = (out, into, kernel, kernel)
            found[f"conv{n}.bias"] = found[f"prelu{n}.weight"] = (out,)
            into = out
        number = len(self.convolutions) + 1
        if self.flat[1]:
            found[f"dense{number}.weight"] = (self.flat[1], self.flat[0])
            found[f"dense{number}.bias"] = found[f"prelu{number}.weight"] = (self.flat[1],)
            into = self.flat[1]
        for name, out in self.heads:
            found[f"{name}.weight"] = (out, into) if self.flat[1] else (out, into, 1, 1)
            found[f"{name}.bias"] = (out,)
        return found

    def places(self, side: int) -> int:
        """Return at how many places along a side of so many pixels the net looks."""
        for _, kernel, pool in self.convolutions:
            side -= kernel - 1
            if pool:
                side = -((pool - side) // 2) + 1
        return side


NETS = {
    "pnet": Sizes(
        12, ((10, 3, 2), (16, 3, 0), (32, 3, 0)), (0, 0), (("conv4_1", 2), ("conv4_2", 4))
    ),
    "rnet": Sizes(
        24, ((28, 3, 3), (48, 3, 3), (64, 2, 0)), (576, 128), (("dense5_1", 2), ("dense5_2", 4))
    ),
    "onet": Sizes(
        48,
        ((32, 3, 3), (64, 3, 3), (64, 3, 2), (128, 2, 0)),
        (1152, 256),
        (("dense6_1", 2), ("dense6_2", 4), ("dense6_3", 10)),
    ),
}


def answer(torch: Any, sizes: Sizes, tensors: Tensors, images: Any) -> list[Any]:
    """Return what the net tells of images (N, 3, H, W): probabilities (N, 2), then the others.

    The fully convolutional net tells it for every place: (N, 2, H', W').
    """
    f = torch.nn.functional
    x = images
    for n, (_, _, pool) in enumerate(sizes.convolutions, 1):
        x = f.conv2d(x, tensors[f"conv{n}.weight"], tensors[f"conv{n}.bias"])
        x = f.prelu(x, tensors[f"prelu{n}.weight"])
        if pool:
            x = f.max_pool2d(x, pool, stride=2, ceil_mode=True)
    if sizes.flat[1]:
        number = len(sizes.convolutions) + 1
        # The weights come from Caffe by way of MATLAB: width goes before height.
        x = x.permute(0, 3, 2, 1).flatten(1)
        x = f.linear(x, tensors[f"dense{number}.weight"], tensors[f"dense{number}.bias"])
        x = f.prelu(x, tensors[f"prelu{number}.weight"])
    apply = f.linear if sizes.flat[1] else f.conv2d
    told = [apply(x, tensors[f"{name}.weight"], tensors[f"{name}.bias"]) for name, _ in sizes.heads]
    return [f.softmax(told[0], dim=1), *told[1:]]
