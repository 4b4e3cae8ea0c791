"""The `vqgan` probe: CompVis' VQGAN codes pictures, and they come back.

The architecture is our own (vqgan_net.py), so nothing of the project is imported. What each option
means is in `VqganProbe`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fetcher.verify.contract import options
from fetcher.verify.contract.built_in_probes import problems_of
from fetcher.verify.contract.probe_errors import ProbeError
from fetcher.verify.loaders import strict
from fetcher.verify.nets import vqgan_net, vqgan_sizes
from fetcher.verify.pictures import coding, face, images, likeness
from fetcher.verify.weights.choice import weight_files
from fetcher.verify.weights.expectations import check_count
from fetcher.verify.weights.weights import open_weights

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fetcher.verify.contract.context import Context
    from fetcher.verify.contract.foreign import ProbeOptions
    from fetcher.verify.contract.protocol import ProbeRequest, Problem
    from fetcher.verify.weights.weights import WeightFile

_FIT = 0.9  # of the variance of what is encoded: that is left by a codebook of tiny random entries
_FEW = 4  # codes that a picture needs at least
_CHOSEN = 0.1  # of the spread: a choice between two near codes may fall otherwise elsewhere
_GRID = 4  # places a side of the codes that the decoder is tried on
_NOT_ALIKE = (
    "are encoder, codebook and decoder of one model, and trained? If it is for something else than "
    "photographs, name pictures of its kind in `dataset`"
)
_LEFT = "what comes back has nothing to do with what went in: are these the right weights?"


class VqganProbe:
    """Codes a known picture, and those of data sets, and tells how well they come back.

    Options, all optional: `files` (globs; default: all weight files), `key` (dotted name of one
    model in files that hold several; default: every model is proven), `codebook_size`,
    `embedding_dim` and `downsample_factor` (what the model must have), `parameters`, `dataset`,
    `images`, `size`, `input_range` (default [-1, 1]), `min_psnr`, `min_ssim`, `max_lpips`,
    `max_bpp` (as in the probe `compression`), `face` (false: the model is for something else than
    photographs, so the known one need not come back).
    """

    type = "vqgan"
    requires = (("torch", "torch"),)
    related = ("dataset",)

    def validate_options(self, given: ProbeOptions) -> list[Problem]:
        """Return all problems of the manifest's options."""
        return problems_of(self.type, given)

    def run(self, request: ProbeRequest, context: Context) -> None:
        """Prove every model of the chosen files."""
        context.torch_dtype()
        context.metrics["parameters"] = 0
        first = True
        for name in weight_files(request, options.as_list(request.options.get("files", []))):
            context.stage(f"loading {name}")
            found: list[_InFile] = []
            with context.loading(name):
                with context.timed("load_seconds"):
                    opened = open_weights(context, request.files[name], name)
                context.stored_as(opened.dtype)
                found = _models(opened, name, request.options.get("key", ""))
            for one in found:
                _Trial(request, context, one, first).run()
                first = False
        if "parameters" in request.options:
            counted = context.metrics["parameters"]
            check_count("parameters", counted, request.options["parameters"], context)


PROBE = VqganProbe()


@dataclass(frozen=True)
class _InFile:
    """One model in a file: `names` leads from each tensor's own name to that in the file."""

    opened: WeightFile
    title: str
    names: dict[str, str]
    beside: tuple[str, ...]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each tensor."""
        return {short: self.opened.tensors[name].shape for short, name in self.names.items()}


@dataclass(frozen=True)
class _Coded:
    """Pictures and what came back, (1, 3, H, W) in 0..1, of a data set ("": none), and of how many
    places their codes are.
    """

    dataset: str
    originals: list[Any]
    back: list[Any]
    places: int
    source: str


def _models(opened: WeightFile, name: str, key: str) -> list[_InFile]:
    """Return a file's models. Raises ProbeError if there is none, or none where `key` leads."""
    there = vqgan_sizes.prefixes(opened.tensors)
    chosen = [prefix for prefix in there if not key or prefix.rstrip(".") == key]
    if there and not chosen:
        listed = ", ".join(prefix.rstrip(".") or "(at the top)" for prefix in there)
        raise ProbeError(f"no VQGAN lies at {key!r}; there are: {listed}", "correct `key`")
    if not chosen:
        vqgan_sizes.sizes_of({n: info.shape for n, info in opened.tensors.items()})  # says why
        raise ProbeError("no VQGAN: its names lie below no common one")
    return [_below(opened, name, prefix, len(there) > 1) for prefix in chosen]


def _below(opened: WeightFile, name: str, prefix: str, several: bool) -> _InFile:
    names, beside = {}, {}
    for whole in opened.tensors:
        if whole.startswith(prefix):
            short = whole[len(prefix) :]
            if vqgan_sizes.is_of_the_model(short):
                names[short] = whole
            else:
                beside[short.partition(".")[0]] = True
    title = f"{name}: {prefix.rstrip('.')}" if several and prefix else name
    return _InFile(opened, title, names, tuple(beside))


class _Trial:
    """One model's proof."""

    def __init__(
        self, request: ProbeRequest, context: Context, found: _InFile, first: bool
    ) -> None:
        self._request = request
        self._context = context
        self._found = found
        self._first = first
        self._torch = context.require("torch")
        self._place = {"device": context.device(), "dtype": context.torch_dtype()}
        self._low, self._high = request.options.get("input_range", (-1, 1))
        self._coded: _Coded | None = None  # the known photograph, where it stands for a data set

    def run(self) -> None:
        """Load and use it; the pictures and figures of the first model are those told."""
        context, title, found = self._context, self._found.title, self._found
        with context.loading(title):
            sizes = vqgan_sizes.sizes_of(found.shapes)
            if not self._fits(sizes) or not self._finite():
                return
            context.stage(f"using {title}")
            with context.timed("load_seconds"):
                held = found.opened.load(found.names.values())
                tensors = {s: held[n].to(**self._place) for s, n in found.names.items()}
            self._net = vqgan_net.Vqgan(self._torch, tensors, sizes)
            with self._torch.no_grad():
                if self._known(sizes):
                    self._keep(sizes)
                    self._measure(sizes)
            found.opened.keep(context, title, found.names)

    def _fits(self, sizes: vqgan_sizes.VqganSizes) -> bool:
        """Compare with the table of this architecture, and with what the manifest wants."""
        context, found, table = self._context, self._found, sizes.table()
        shapes = found.shapes
        differing = strict.differences(shapes, table)
        counted = sum(found.opened.tensors[name].numbers for name in found.names.values())
        context.metrics["parameters"] += counted
        told = f"{sizes}; {len(shapes)} tensors, {counted:,} parameters"
        if found.beside:
            told += f"; beside them, not used: {strict.listed(found.beside)}"
        if not context.check(
            f"{found.title}: loads", not differing, differing or told, strict.advice(shapes, table)
        ):
            return False
        there = {
            "codebook_size": sizes.codes,
            "embedding_dim": sizes.embedding,
            "downsample_factor": sizes.factor,
        }
        wanted = {key: self._request.options[key] for key in there if key in self._request.options}
        wrong = [
            f"{key} is {there[key]}, expected {n}" for key, n in wanted.items() if there[key] != n
        ]
        if wanted:
            told = ", ".join(wrong) or ", ".join(f"{key} {n}" for key, n in wanted.items())
            hint = "this is another variant of the model: were two files swapped?"
            context.check(f"{found.title}: variant", not wrong, told, hint)
        return not wrong

    def _finite(self) -> bool:
        found, device = self._found, self._context.device()
        self._context.stage(f"looking for NaN in {found.title}")
        bad = [s for s, n in found.names.items() if found.opened.count_nonfinite(n, device)]
        return self._context.check(
            f"{found.title}: finite",
            not bad,
            f"NaN or infinity in {strict.listed(bad)}" if bad else "all weights",
            "the weights are damaged or training diverged",
        )

    def _known(self, sizes: vqgan_sizes.VqganSizes) -> bool:
        """Code the known picture, and it mirrored; keep what was found of it."""
        context, title, torch = self._context, self._found.title, self._torch
        picture = _known_picture(torch, sizes.factor)
        with context.timed("infer_seconds"):
            latents = self._net.latents(self._given(picture, sizes))
            other = self._net.latents(self._given(picture.flip(3), sizes))
            back = self._net.decoded(self._net.vectors(latents))
        wanted = picture[:, :1].expand(-1, sizes.outputs, -1, -1)
        if not coding.well_formed(context, title, [wanted], [back]):
            return False
        if not all(bool(torch.isfinite(one).all()) for one in (latents, other)):
            return context.check(f"{title}: finite", False, "what it encodes is not", _LEFT)
        self._check_codes(sizes, latents, other)
        context.fingerprint(f"{title}: latents", latents)
        context.fingerprint(f"{title}: picture", back, _CHOSEN if sizes.codes else None)
        if not _is_of_pictures(sizes):
            told = f"it takes {sizes.inputs} channels and gives {sizes.outputs}: no pictures"
            context.warn(f"{title}: quality", f"{told}, so what comes back is not judged")
        elif self._request.options.get("face", True) and not self._datasets():
            original, restored = self._seen(picture, sizes), self._restored(back)
            name = f"{title}: a known photograph comes back"
            likeness.check(context, name, [original], [restored], _NOT_ALIKE)
            if not {"images", "size"} & set(self._request.options):
                named = ", ".join(options.as_list(self._request.options.get("dataset", [])))
                source = "a known photograph" + (f", as {named} is not laid out" if named else "")
                self._coded = _Coded("", [original], [restored], latents[0, 0].numel(), source)
        return True

    def _check_codes(self, sizes: vqgan_sizes.VqganSizes, latents: Any, other: Any) -> None:
        """Check that codes are several, and others for another picture."""
        context, title, net = self._context, self._found.title, self._net
        seen = net.codes if sizes.codes else (lambda found: found)
        what = "codes" if sizes.codes else "latents"
        codes = seen(latents)
        if sizes.codes:
            used, places = len(codes.unique()), codes.numel()
            context.check(
                f"{title}: several codes are used",
                used >= min(_FEW, sizes.codes),
                f"{used} of {sizes.codes} in {places} places",
                "the encoder finds everything alike: is the codebook that of another model?",
            )
            if not sizes.gumbel:
                self._check_near(latents, net.looked_up(codes))
        moved = float((seen(other) != codes).float().mean())
        told = f"a mirrored picture has other {what} at {moved:.0%} of the places"
        context.check(f"{title}: the picture acts", moved > 0, told, _LEFT)

    def _check_near(self, latents: Any, chosen: Any) -> None:
        """Check that the chosen entries are nearer to the latents than one vector for all is."""
        latents, chosen = latents.float(), chosen.float()
        middle = latents.mean(dim=(0, 2, 3), keepdim=True)
        spread = float((latents - middle).square().mean())
        left = float((latents - chosen).square().mean())
        self._context.check(
            f"{self._found.title}: the codebook fits the encoder",
            left < _FIT * spread,
            f"what it encodes is {math.sqrt(left / max(spread, 1e-12)):.2g} of its spread from the "
            "nearest entries",
            "is the codebook that of another model, or without training?",
        )

    def _keep(self, sizes: vqgan_sizes.VqganSizes) -> None:
        """Keep the codebook, and what the decoder makes of codes that the seed draws."""
        title, torch = self._found.title, self._torch
        source = torch.Generator().manual_seed(self._request.seed)
        if sizes.codes:
            self._context.fingerprint(f"{title}: codebook", self._net.codebook)
            drawn = torch.randint(sizes.codes, (1, _GRID, _GRID), generator=source)
            vectors = self._net.looked_up(drawn.to(self._place["device"]))
        else:
            drawn = torch.randn(1, sizes.embedding, _GRID, _GRID, generator=source)
            vectors = drawn.to(**self._place)
        self._context.fingerprint(f"{title}: decoded codes", self._net.decoded(vectors))

    def _measure(self, sizes: vqgan_sizes.VqganSizes) -> None:
        """Tell how well pictures come back from the first model."""
        if not self._first or not _is_of_pictures(sizes):
            return
        context, wanted = self._context, self._request.options
        each = math.ceil(math.log2(sizes.codes)) if sizes.codes > 1 else 0
        for one in [self._coded] if self._coded else self._all_coded(sizes):
            title = f"reconstruct on {one.dataset}" if one.dataset else "reconstruct"
            if not coding.well_formed(context, title, one.originals, one.back):
                continue
            if one.dataset:
                name = f"{title}: pictures come back"
                likeness.check(context, name, one.originals, one.back, _NOT_ALIKE)
            found = coding.measured(context, title, one.originals, one.back, each * one.places)
            coding.check_bounds(context, title, wanted, found)
            if coding.keep(context, one.dataset, found):
                coding.show(context, title, one.originals, one.back)
            count = len(one.originals)
            told = f"{count} picture{'s' if count > 1 else ''}, {one.source}"
            context.table(
                "Quality", ("pictures", *coding.COLUMNS), [coding.row(title, found)], told
            )

    def _all_coded(self, sizes: vqgan_sizes.VqganSizes) -> Iterator[_Coded]:
        """Yield each data set's pictures, or generated ones, sent through the model."""
        context, wanted = self._context, self._request.options
        wrong = [side for side in coding.size_of(wanted) if side % sizes.factor]
        if wrong:
            hint = f"set `size` to multiples of {sizes.factor}"
            raise ProbeError(f"it takes no pictures of {wrong[0]} pixels a side", hint)
        for dataset, pictures, source in coding.originals(self._request, context):
            context.stage(f"coding pictures {source}")
            back, places = [], 0
            for one in pictures:
                with context.timed("infer_seconds"):
                    latents = self._net.latents(self._given(one, sizes))
                    back.append(self._restored(self._net.decoded(self._net.vectors(latents))))
                places += latents[0, 0].numel()
            yield _Coded(
                dataset, [self._seen(one, sizes) for one in pictures], back, places, source
            )

    def _datasets(self) -> bool:
        """Tell whether pictures of a data set are laid out: they say more than a known one."""
        named = options.as_list(self._request.options.get("dataset", []))
        return any(coding.pictures_of(self._request, dataset) for dataset in named)

    def _given(self, picture: Any, sizes: vqgan_sizes.VqganSizes) -> Any:
        """Return a picture (1, 3, H, W) in 0..1 as the model takes it; for maps of many classes
        its brightness chooses the class.
        """
        if sizes.inputs not in (1, 3):
            level = (picture.mean(dim=1) * (sizes.inputs - 1)).round().long()
            one_of = self._torch.nn.functional.one_hot(level, sizes.inputs)
            return one_of.permute(0, 3, 1, 2).to(**self._place)
        seen = self._seen(picture, sizes)[:, : sizes.inputs]
        return (seen * (self._high - self._low) + self._low).to(**self._place)

    def _seen(self, picture: Any, sizes: vqgan_sizes.VqganSizes) -> Any:
        """Return a picture as the model can see it: grey where it knows no colours."""
        return (
            picture.mean(dim=1, keepdim=True).expand(-1, 3, -1, -1)
            if sizes.inputs == 1
            else picture
        )

    def _restored(self, back: Any) -> Any:
        """Return what comes back as a picture (1, 3, H, W) in 0..1, on the CPU."""
        back = (back.float().cpu() - self._low) / (self._high - self._low)
        return back.clamp(0, 1).expand(-1, 3, -1, -1)


def _is_of_pictures(sizes: vqgan_sizes.VqganSizes) -> bool:
    return sizes.inputs == sizes.outputs and sizes.inputs in (1, 3)


def _known_picture(torch: Any, factor: int) -> Any:
    """Return the known photograph, large enough for some 12 x 18 places of the code."""
    picture = face.read(torch)
    height, width = picture.shape[-2:]
    scale = 2 if factor >= 16 else 1
    sides = (max(1, round(side * scale / factor)) * factor for side in (height, width))
    return images.resized(torch, picture, *sides)
