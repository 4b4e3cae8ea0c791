"""GenForce's StyleGAN, computed from a state dict alone: generator and discriminator.

Nothing is trained here, so there are no modules: a net is its tensors and a few formulas, always in
the state that PyTorch calls eval mode. Images are NCHW, RGB, nominally -1..1, not clamped.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from fetcher.verify.contract.probe_errors import ProbeError

if TYPE_CHECKING:
    from fetcher.verify.contract.foreign import Tensors
    from fetcher.verify.nets.stylegan_sizes import DiscriminatorSizes, GeneratorSizes

_FUSED_FROM = 128  # pixels: from here on, resampling is part of the convolution
_GAIN = math.sqrt(2.0)
_MAPPING_RATE = 0.01  # learning-rate multiplier, part of the weights' scale
_GROUP = 4  # images over which the discriminator takes a standard deviation
_EPSILON = 1e-8
_SLOPE = 0.2


class _Net:
    """The tensors of a net, and the two operations that both nets are made of."""

    def __init__(self, torch: Any, tensors: Tensors) -> None:
        self._torch = torch
        self._f = torch.nn.functional
        self._t = tensors

    def _scaled(self, name: str, gain: float, rate: float = 1.0) -> Any:
        """Return weights as they act: stored at unit variance, scaled by what flows in."""
        weight = self._t[f"{name}.weight"]
        return weight * (gain / math.sqrt(weight[0].numel()) * rate)

    def _dense(self, name: str, x: Any, gain: float = _GAIN, rate: float = 1.0) -> Any:
        return self._f.linear(x, self._scaled(name, gain, rate), self._t[f"{name}.bias"] * rate)

    def _bend(self, x: Any) -> Any:
        return self._f.leaky_relu(x, _SLOPE)

    def _blur(self, name: str, x: Any) -> Any:
        return self._f.conv2d(x, self._t[f"{name}.blur.kernel"], padding=1, groups=x.shape[1])

    def _spread(self, weight: Any) -> Any:
        """Return a 3x3 kernel summed over the four pixels that resampling by two joins: 4x4."""
        wide = self._f.pad(weight, (1, 1, 1, 1))
        return wide[:, :, 1:, 1:] + wide[:, :, :-1, 1:] + wide[:, :, 1:, :-1] + wide[:, :, :-1, :-1]

    def _detail(self, name: str, blocks: int) -> tuple[int, float]:
        """Return how many of the finest blocks are unused, and the share of the next coarser.

        Progressive training raises the level of detail; a finished model has 0.
        """
        level = float(self._t[name])
        if not 0 <= level <= blocks - 1:
            raise ProbeError(f"{name} is {level:g}, outside 0..{blocks - 1}")
        return int(level), level - int(level)


class Generator(_Net):
    """z, and a label where the model takes one, to an image.

    `tensors` are float tensors on one device, of the shapes that `sizes.table()` says.
    """

    def __init__(self, torch: Any, tensors: Tensors, sizes: GeneratorSizes) -> None:
        super().__init__(torch, tensors)
        self.sizes = sizes

    def __call__(self, z: Any, label: Any = None, psi: float = 1.0, layers: int = 0) -> Any:
        """Return images (N, 3, R, R) for z (N, z) and label (N, label)."""
        return self.draw(self.truncated(self.mapped(z, label), psi, layers))

    def mapped(self, z: Any, label: Any = None) -> Any:
        """Return w (N, w)."""
        torch = self._torch
        if self.sizes.embedding:
            label = label @ self._t["mapping.label_weight"]
        x = torch.cat((z, label), dim=1) if self.sizes.label else z
        x = x / torch.sqrt((x * x).mean(dim=1, keepdim=True) + _EPSILON)
        for prefix, count in (
            ("dense", len(self.sizes.mapping)),
            ("dense_new", len(self.sizes.added)),
        ):
            for n in range(count):
                x = self._bend(self._dense(f"mapping.{prefix}{n}", x, rate=_MAPPING_RATE))
        return x

    def truncated(self, w: Any, psi: float, layers: int) -> Any:
        """Return a style for each layer (N, layers, w), the first ones drawn to the mean w."""
        styles = w.unsqueeze(1).repeat(1, self.sizes.layers, 1)
        if psi < 1 and layers > 0:
            mean = self._t["truncation.w_avg"]
            styles[:, :layers] = mean + psi * (styles[:, :layers] - mean)
        return styles

    def draw(self, styles: Any) -> Any:
        """Return images (N, 3, R, R) for styles (N, layers, w)."""
        blocks = self.sizes.pyramid.blocks
        unused, share = self._detail("synthesis.lod", blocks)
        finest = blocks - 1 - unused
        x = self._t["synthesis.layer0.const"].repeat(styles.shape[0], 1, 1, 1)
        coarse = None
        for block in range(finest + 1):
            if block == finest and share:
                coarse = self._doubled(self._colours(block - 1, x))
            if block:
                x = self._convolve_up(block, x)
            x = self._styled(2 * block, x, styles)
            inner = self._scaled(f"synthesis.layer{2 * block + 1}", _GAIN)
            x = self._styled(2 * block + 1, self._f.conv2d(x, inner, padding=1), styles)
        image = self._colours(finest, x)
        if coarse is not None:
            image = image * (1 - share) + coarse * share
        for _ in range(unused):
            image = self._doubled(image)
        return image

    def _convolve_up(self, block: int, x: Any) -> Any:
        name = f"synthesis.layer{2 * block}"
        weight = self._scaled(name, _GAIN)
        if 4 << block >= _FUSED_FROM:
            kernel = self._spread(weight).transpose(0, 1)
            x = self._f.conv_transpose2d(x, kernel, stride=2, padding=1)
        else:
            x = self._f.conv2d(self._doubled(x), weight, padding=1)
        return self._blur(name, x)

    def _styled(self, layer: int, x: Any, styles: Any) -> Any:
        """Add noise and bias, normalise every channel, and scale and shift it by the style."""
        name = f"synthesis.layer{layer}"
        noise = self._t[f"{name}.apply_noise.noise"]
        x = x + noise * self._t[f"{name}.apply_noise.weight"].view(1, -1, 1, 1)
        x = self._bend(x + self._t[f"{name}.bias"].view(1, -1, 1, 1))
        x = x - x.mean(dim=(2, 3), keepdim=True)
        x = x / self._torch.sqrt((x * x).mean(dim=(2, 3), keepdim=True) + _EPSILON)
        style = self._dense(f"{name}.style", styles[:, layer], gain=1.0)
        scale, shift = style.view(style.shape[0], 2, -1, 1, 1).unbind(1)
        return x * (scale + 1) + shift

    def _colours(self, block: int, x: Any) -> Any:
        name = f"synthesis.output{block}"
        return self._f.conv2d(x, self._scaled(name, 1.0), self._t[f"{name}.bias"])

    def _doubled(self, x: Any) -> Any:
        return self._f.interpolate(x, scale_factor=2, mode="nearest")


class Discriminator(_Net):
    """Images, and labels where the model takes them, to a score each."""

    def __init__(self, torch: Any, tensors: Tensors, sizes: DiscriminatorSizes) -> None:
        super().__init__(torch, tensors)
        self.sizes = sizes

    def __call__(self, images: Any, label: Any = None) -> Any:
        """Return scores (N, 1) for images (N, 3, R, R), at most four of them."""
        return self.score(self.seen(images), label)

    def seen(self, images: Any) -> Any:
        """Return what is seen in images, (N, widest): all but the last layer, before labels."""
        blocks = self.sizes.pyramid.blocks
        unused, share = self._detail("lod", blocks)
        for _ in range(unused):
            images = self._f.avg_pool2d(images, 2)
        x = self._features(unused, images)
        for block in range(unused, blocks - 1):
            x = self._halve(block, self._bend(self._convolved(f"layer{2 * block}", x)))
            if block == unused and share:
                coarse = self._features(block + 1, self._f.avg_pool2d(images, 2))
                x = coarse * share + x * (1 - share)
        last = 2 * (blocks - 1)
        x = self._bend(self._convolved(f"layer{last}", self._with_deviation(x)))
        return self._bend(self._dense(f"layer{last + 1}", x.flatten(1)))

    def score(self, seen: Any, label: Any = None) -> Any:
        """Return scores (N, 1) for what `seen` returned and labels (N, label)."""
        if self.sizes.label:
            seen = self._torch.cat((seen, label), dim=1)
        return self._dense(f"layer{2 * self.sizes.pyramid.blocks}", seen, gain=1.0)

    def _features(self, block: int, images: Any) -> Any:
        name = f"input{block}"
        weight = self._scaled(name, _GAIN)
        return self._bend(self._f.conv2d(images, weight, self._t[f"{name}.bias"]))

    def _convolved(self, name: str, x: Any) -> Any:
        return self._f.conv2d(x, self._scaled(name, _GAIN), self._t[f"{name}.bias"], padding=1)

    def _halve(self, block: int, x: Any) -> Any:
        name = f"layer{2 * block + 1}"
        x = self._blur(name, x)
        if self.sizes.pyramid.resolution >> block >= _FUSED_FROM:
            kernel = self._spread(self._scaled(name, _GAIN)) * 0.25
            x = self._f.conv2d(x, kernel, self._t[f"{name}.bias"], stride=2, padding=1)
        else:
            x = self._f.avg_pool2d(self._convolved(name, x), 2)
        return self._bend(x)

    def _with_deviation(self, x: Any) -> Any:
        """Add a channel: how much the images of a group differ from one another."""
        count, _, height, width = x.shape
        groups = x.view(min(_GROUP, count), -1, *x.shape[1:])
        deviation = self._torch.sqrt(groups.var(dim=0, unbiased=False) + _EPSILON)
        mean = deviation.mean(dim=(1, 2, 3)).view(-1, 1, 1, 1)
        repeated = mean.repeat(groups.shape[0], 1, height, width)
        return self._torch.cat((x, repeated), dim=1)
