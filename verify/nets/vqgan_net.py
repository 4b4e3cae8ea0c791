"""CompVis' VQGAN, computed from a state dict alone; latent diffusion's autoencoder too.

Nothing is trained here, so there are no modules: a net is its tensors and a few formulas. Images
are NCHW; their sides are multiples of `sizes.factor`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fetcher.verify.nets.vqgan_sizes import GROUPS

if TYPE_CHECKING:
    from fetcher.verify.contract.foreign import Tensors
    from fetcher.verify.nets.vqgan_sizes import VqganSizes

_EPSILON = 1e-6


class Vqgan:
    """Encoder, codebook and decoder.

    `tensors` are float tensors on one device, of the shapes that `sizes.table()` says.
    """

    def __init__(self, torch: Any, tensors: Tensors, sizes: VqganSizes) -> None:
        self._torch = torch
        self._f = torch.nn.functional
        self._t = tensors
        self.sizes = sizes

    @property
    def codebook(self) -> Any:
        """Return its entries (codes, embedding). Raises KeyError for a model without."""
        return self._t[f"quantize.{'embed' if self.sizes.gumbel else 'embedding'}.weight"]

    def latents(self, x: Any) -> Any:
        """Return what is known of each place (N, C, h, w) of images (N, C, H, W): a vector of the
        codebook's space; of Gumbel codes a score for each; without codes means and variances.
        """
        sizes = self.sizes
        x = self._conv("encoder.conv_in", x, 1)
        for level in range(len(sizes.widths)):
            x = self._level(f"encoder.down.{level}", x, sizes.blocks, sizes.attends[level])
            if level < len(sizes.widths) - 1:
                x = self._halved(f"encoder.down.{level}.downsample.conv", x)
        x = self._conv("encoder.conv_out", self._out("encoder", self._middle("encoder", x)), 1)
        x = self._conv("quant_conv", x)
        return self._conv("quantize.proj", x) if sizes.gumbel else x

    def codes(self, latents: Any) -> Any:
        """Return the entry of the codebook that stands for each place, (N, h, w) of int64."""
        if self.sizes.gumbel:
            return latents.argmax(dim=1)
        count, _, height, width = latents.shape
        flat = latents.float().permute(0, 2, 3, 1).reshape(-1, self.sizes.embedding)
        book = self.codebook.float()
        # The square of the vector itself is the same for every entry.
        apart = (book * book).sum(dim=1) - 2 * flat @ book.t()
        return apart.argmin(dim=1).view(count, height, width)

    def looked_up(self, codes: Any) -> Any:
        """Return the codebook's entries (N, embedding, h, w) of codes (N, h, w)."""
        return self._f.embedding(codes, self.codebook).permute(0, 3, 1, 2)

    def decoded(self, vectors: Any) -> Any:
        """Return images (N, C, H, W) of vectors (N, embedding, h, w)."""
        sizes = self.sizes
        x = self._conv("decoder.conv_in", self._conv("post_quant_conv", vectors), 1)
        x = self._middle("decoder", x)
        for level in reversed(range(len(sizes.widths))):
            x = self._level(f"decoder.up.{level}", x, sizes.blocks + 1, sizes.attends[level])
            if level:
                x = self._f.interpolate(x, scale_factor=2, mode="nearest")
                if sizes.resamples:
                    x = self._conv(f"decoder.up.{level}.upsample.conv", x, 1)
        return self._conv("decoder.conv_out", self._out("decoder", x), 1)

    def vectors(self, latents: Any) -> Any:
        """Return what the decoder takes for latents: entries of the codebook, or means."""
        if self.sizes.codes:
            return self.looked_up(self.codes(latents))
        return latents[:, : self.sizes.embedding]

    def _level(self, name: str, x: Any, blocks: int, attends: bool) -> Any:
        for block in range(blocks):
            x = self._block(f"{name}.block.{block}", x)
            if attends:
                x = self._attended(f"{name}.attn.{block}", x)
        return x

    def _middle(self, half: str, x: Any) -> Any:
        x = self._block(f"{half}.mid.block_1", x)
        if self.sizes.middle_attends:
            x = self._attended(f"{half}.mid.attn_1", x)
        return self._block(f"{half}.mid.block_2", x)

    def _out(self, half: str, x: Any) -> Any:
        return self._f.silu(self._norm(f"{half}.norm_out", x))

    def _block(self, name: str, x: Any) -> Any:
        inner = self._conv(f"{name}.conv1", self._f.silu(self._norm(f"{name}.norm1", x)), 1)
        inner = self._conv(f"{name}.conv2", self._f.silu(self._norm(f"{name}.norm2", inner)), 1)
        if f"{name}.nin_shortcut.weight" in self._t:
            x = self._conv(f"{name}.nin_shortcut", x)
        elif f"{name}.conv_shortcut.weight" in self._t:
            x = self._conv(f"{name}.conv_shortcut", x, 1)
        return x + inner

    def _attended(self, name: str, x: Any) -> Any:
        inner = self._norm(f"{name}.norm", x)
        query, key, value = (self._conv(f"{name}.{part}", inner).flatten(2) for part in "qkv")
        scores = query.transpose(1, 2) @ key * query.shape[1] ** -0.5  # (N, to, from)
        seen = value @ scores.softmax(dim=2).transpose(1, 2)
        return x + self._conv(f"{name}.proj_out", seen.view(x.shape))

    def _halved(self, name: str, x: Any) -> Any:
        if not self.sizes.resamples:
            return self._f.avg_pool2d(x, 2)
        # One line below and one to the right, none above: as TensorFlow pads.
        padded = self._f.pad(x, (0, 1, 0, 1))
        return self._f.conv2d(padded, self._t[f"{name}.weight"], self._t[f"{name}.bias"], stride=2)

    def _norm(self, name: str, x: Any) -> Any:
        weight, bias = self._t[f"{name}.weight"], self._t[f"{name}.bias"]
        return self._f.group_norm(x, GROUPS, weight, bias, _EPSILON)

    def _conv(self, name: str, x: Any, padding: int = 0) -> Any:
        weight, bias = self._t[f"{name}.weight"], self._t[f"{name}.bias"]
        return self._f.conv2d(x, weight, bias, padding=padding)
