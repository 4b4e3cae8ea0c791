"""The `compression` probe: a codec of the project's own code gives back what it was given.

Its code is imported only if the manifest says so and the person does (project_code.py). What each
option means is in `Compression`.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

from fetcher.verify.contract import options
from fetcher.verify.contract.built_in_probes import METHODS, problems_of
from fetcher.verify.contract.context import describe
from fetcher.verify.contract.probe_errors import ProbeError
from fetcher.verify.loaders import codec as loader
from fetcher.verify.loaders import obeys, project_code
from fetcher.verify.loaders.strict import listed
from fetcher.verify.pictures import grids, images, quality
from fetcher.verify.weights.expectations import check_count

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fetcher.verify.contract.context import Context
    from fetcher.verify.contract.foreign import ProbeOptions, Tensors
    from fetcher.verify.contract.protocol import ProbeRequest, Problem

_ROUTES = (("reconstruct", ""), ("encode", "decode"), ("compress", "decompress"))
_SAME_QUALITY = 0.5  # dB of PSNR
_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm")


class Compression:
    """Measures what comes back: PSNR, SSIM, LPIPS where its weights are there, bits per pixel.

    Options: `class_path`, `args`, `paths`, `checkpoint` (one file), `key` (as in the probe
    `class`), `interface` (methods to try; default: those of reconstruct, encode, decode, compress
    and decompress that the model has), `dataset` (ids of artifacts with pictures; default:
    generated ones), `images` (how many of each), `size` ([height, width]), `input_range`
    ([low, high] of the model's pixels, default [0, 1]), `codebook_size` (bits of codes: log2 of
    it), `parameters` (exact or `{min, max}`), and the least and most that is accepted: `min_psnr`,
    `min_ssim`, `max_lpips`, `max_bpp`.
    """

    type = "compression"
    requires = (("torch", "torch"),)
    related = ("dataset",)

    def validate_options(self, given: ProbeOptions) -> list[Problem]:
        """Return all problems of the manifest's options."""
        return problems_of(self.type, given)

    def run(self, request: ProbeRequest, context: Context) -> None:
        """Load the codec strictly, and send pictures through it."""
        project_code.require_trust(request, context)
        torch = context.require("torch")
        loaded = _loaded(request, context)
        codec = _CodecMethods(loaded.model, request, context)
        first: list[Any] = []
        for name, originals, source in _originals(request, context):
            context.stage(f"coding pictures {source}")
            with torch.no_grad():
                codec.run(name, originals, source)
            first = first or originals[:1]
        loaded.obedience.after_answers()
        context.stage(f"changing weights of {loaded.file}")
        answer = partial(codec.answer, first[0])
        obeys.check_weights_act(torch, loaded.model, answer, loaded.file, context)


PROBE = Compression()


def _loaded(request: ProbeRequest, context: Context) -> loader.Codec:
    with context.timed("load_seconds"):
        codec = loader.load(request, context)
        opened, name, model = codec.weights, codec.file, codec.model
        bad = [tensor for tensor in opened.tensors if opened.count_nonfinite(tensor, "cpu")]
    counted = sum(parameter.numel() for parameter in model.parameters())
    context.metrics["parameters"] = counted
    told = f"{request.options['class_path']}: {counted:,} parameters"
    context.check(f"{name}: loads", True, told)
    if "parameters" in request.options:
        check_count("parameters", counted, request.options["parameters"], context)
    told = f"NaN or infinity in {listed(bad)}" if bad else ""
    context.check(f"{name}: finite", not bad, told, "the weights are damaged")
    return codec


def _originals(request: ProbeRequest, context: Context) -> Iterator[tuple[str, list[Any], str]]:
    """Yield (data set or "", pictures as (1, 3, H, W) in 0..1, where they are from) of each.

    Where no data set has pictures here, generated ones stand for all of them.
    """
    torch, wanted = context.require("torch"), request.options
    count = wanted.get("images", 4)
    height, width = wanted.get("size", (256, 256))
    datasets = options.as_list(wanted.get("dataset", []))
    found = False
    for dataset in datasets:
        files = request.related.get(dataset, {})
        names = sorted(name for name in files if name.lower().endswith(_PICTURES))
        if names:
            step = max(1, len(names) // count)
            read = (images.read(context, files[name]) for name in names[::step][:count])
            yield (
                dataset,
                [images.resized(torch, one, height, width) for one in read],
                (f"from {dataset}"),
            )
            found = True
        elif len(datasets) > 1:
            context.check(f"data set {dataset}", True, "it has no pictures here: not measured")
    if not found:
        source = "generated"
        if datasets:
            source += f", as {listed(datasets)} is not laid out"
        made = images.generated(torch, height, width, request.seed, count)
        yield "", list(made.split(1)), source


class _CodecMethods:
    """The model's methods, tried one route after the other."""

    def __init__(self, model: Any, request: ProbeRequest, context: Context) -> None:
        self._model = model
        self._context = context
        self._torch = context.require("torch")
        self._low, self._high = request.options.get("input_range", (0, 1))
        self._wanted = request.options
        given = options.as_list(request.options.get("interface", []))
        self._methods = given or [name for name in METHODS if callable(getattr(model, name, None))]

    def run(self, dataset: str, originals: list[Any], source: str) -> None:
        """Try every route that the methods allow; metrics are the first route's, bits per pixel
        those of the first that has a code.

        Those of the first data set stand for the model; each has its own under `benchmarks`.
        """
        routes = self._routes()
        if not routes:
            raise ProbeError(
                f"the model has none of reconstruct, encode and decode, compress and decompress "
                f"({', '.join(self._methods) or 'no method of these'})",
                "name its methods so, or use the probe `class`",
            )
        rows: list[tuple[Any, ...]] = []
        first: dict[str, float | None] = {}
        for route in routes:
            title = " and ".join(name for name in route if name)
            title += f" on {dataset}" if self._context.metrics.get("benchmarks") else ""
            there = [self._through(route, original) for original in originals]
            back = [picture for picture, _ in there]
            if not self._well_formed(title, originals, back):
                continue
            back = [picture.clamp(0, 1) for picture in back]
            found = self._measured(title, originals, back, sum(bits for _, bits in there))
            self._bounded(title, found)
            if not rows:
                first = found
                self._show(dataset, title, found, originals, back)
            elif first["bpp"] is None and found["bpp"] is not None:
                self._add_bits(dataset, title, first, found)
            rows.append((title, *(v if v is None else round(v, 4) for v in found.values())))
        columns = ("route", "PSNR dB", "SSIM", "LPIPS", "bits per pixel")
        self._context.table("Quality", columns, rows, f"{len(originals)} pictures, {source}")

    def answer(self, original: Any) -> Tensors:
        """Return what each route gives back of a picture, by the route's methods."""
        return {" ".join(route): self._through(route, original)[0] for route in self._routes()}

    def _routes(self) -> list[tuple[str, str]]:
        return [route for route in _ROUTES if all(name in self._methods for name in route if name)]

    def _show(
        self,
        dataset: str,
        title: str,
        found: Tensors,
        originals: list[Any],
        back: list[Any],
    ) -> None:
        metrics = self._context.metrics
        if dataset:
            metrics.setdefault("benchmarks", {})[dataset] = dict(found)
            if len(metrics["benchmarks"]) > 1:
                return
        metrics.update(found)
        shown = grids.grid(self._torch, [originals[:6], back[:6]], 0.0, 1.0)
        self._context.picture(title, shown, "row 1: originals; row 2: what comes back")
        self._context.fingerprint(f"{title}: picture", back[0])

    def _add_bits(
        self,
        dataset: str,
        title: str,
        first: dict[str, float | None],
        found: Mapping[str, float | None],
    ) -> None:
        """Add the bits of a route with a code to the figures of the first, which has none.

        Only where both give back the same quality: else they are two codecs.
        """
        apart = abs((first["psnr"] or 0.0) - (found["psnr"] or 0.0))
        if apart > _SAME_QUALITY:
            told = f"its PSNR is {apart:.2f} dB from that of reconstruct, which has no bits then"
            self._context.warn(f"{title}: bits per pixel", told)
            return
        first["bpp"] = found["bpp"]
        metrics = self._context.metrics
        measured = metrics.get("benchmarks", {})
        if dataset:
            measured[dataset]["bpp"] = found["bpp"]
        if len(measured) < 2:
            metrics["bpp"] = found["bpp"]

    def _through(self, route: tuple[str, str], original: Any) -> tuple[Any, int]:
        """Return a picture after the route, in 0..1, and the bits that it was in between."""
        place = {"device": self._context.device(), "dtype": self._context.torch_dtype()}
        x = (original * (self._high - self._low) + self._low).to(**place)
        with self._context.timed("infer_seconds"):
            between = self._call(route[0], x)
            back = self._call(route[1], between) if route[1] else between
        if isinstance(back, dict):  # as CompressAI answers
            back = back.get("x_hat", back)
        if isinstance(back, (tuple, list)) and back:
            back = back[0]
        if not isinstance(back, self._torch.Tensor):
            raise ProbeError(f"{route[1] or route[0]} answered a {type(back).__name__}, no picture")
        back = (back.float().cpu() - self._low) / (self._high - self._low)
        return back, self._bits(between) if route[1] else 0

    def _call(self, name: str, value: Any) -> Any:
        method = getattr(self._model, name, None)
        if method is None:
            raise ProbeError(f"the model has no method {name!r}", "correct `interface`")
        try:
            # CompressAI's compress answers a dict of what its decompress takes by name.
            if name == "decompress" and isinstance(value, dict):
                return method(**value)
            return method(value)
        except Exception as error:
            if "memory" in str(error).lower():
                raise
            raise ProbeError(f"{name} failed: {describe(error)}") from error

    def _bits(self, value: Any) -> int:
        if isinstance(value, (bytes, bytearray)):
            return 8 * len(value)
        if isinstance(value, self._torch.Tensor):
            each = value.element_size() * 8
            if "codebook_size" in self._wanted and not value.is_floating_point():
                each = math.ceil(math.log2(self._wanted["codebook_size"]))
            return int(value.numel() * each)
        if isinstance(value, dict):
            return sum(self._bits(part) for part in value.values())
        if isinstance(value, (list, tuple)) and not hasattr(value, "numel"):
            return sum(self._bits(part) for part in value)
        return 0

    def _well_formed(self, title: str, originals: list[Any], back: list[Any]) -> bool:
        wrong = [
            f"{list(b.shape)} for {list(a.shape)}"
            for a, b in zip(originals, back)  # noqa: B905
            if a.shape != b.shape
        ]
        if not self._context.check(
            f"{title}: shape",
            not wrong,
            listed(wrong) or str(list(back[0].shape)),
            "does the model take this size? set `size`",
        ):
            return False
        bad = sum(not bool(self._torch.isfinite(one).all()) for one in back)
        told = f"{bad} of {len(back)} pictures hold NaN or infinity" if bad else ""
        return self._context.check(f"{title}: finite", not bad, told)

    def _measured(
        self, title: str, originals: list[Any], back: list[Any], bits: int
    ) -> dict[str, float | None]:
        """Return PSNR, SSIM, LPIPS and bits per pixel; None for what cannot be known here."""
        torch, files = self._torch, quality.lpips_files()
        pairs = list(zip(originals, back))  # noqa: B905
        near = _mean([quality.psnr(a, b) for a, b in pairs])
        if len(pairs) > 1:
            # Another picture's restoration must be further away: else the input is ignored.
            crossed = _mean([quality.psnr(pairs[n][0], pairs[n - 1][1]) for n in range(len(pairs))])
            self._context.check(
                f"{title}: the picture comes back",
                near > crossed,
                f"PSNR {near:.2f} dB, against another picture's {crossed:.2f} dB",
                "what comes back has nothing to do with what went in: are these the right weights?",
            )
        pixels = sum(a.shape[-1] * a.shape[-2] for a in originals)
        return {
            "psnr": near,
            "ssim": _mean([quality.ssim(torch, a, b) for a, b in pairs]),
            "lpips": _mean([quality.lpips(torch, a, b, files) for a, b in pairs])
            if files
            else None,
            "bpp": bits / pixels if bits else None,
        }

    def _bounded(self, title: str, found: Mapping[str, float | None]) -> None:
        """Check the figures against the bounds that the manifest gives."""
        for key, value in found.items():
            least = key in ("psnr", "ssim")
            option = f"{'min' if least else 'max'}_{key}"
            bound = self._wanted.get(option)
            if bound is None or (value is None and key == "bpp"):
                continue  # a route without a code has no bits to count
            if value is None:
                hint = "lay out AlexNet's weights in TORCH_HOME and install lpips or torchmetrics"
                told = "LPIPS's weights are not on this machine"
                self._context.check(f"{title}: {option}", False, told, hint)
            else:
                ok = value >= bound if least else value <= bound
                told = f"{value:.4g}, the bound is {bound:g}"
                self._context.check(f"{title}: {option}", ok, told)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
