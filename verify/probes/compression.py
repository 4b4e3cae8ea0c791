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
from fetcher.verify.loaders import embedding_rows, obeys, project_code
from fetcher.verify.loaders.strict import listed
from fetcher.verify.pictures import coding
from fetcher.verify.weights.expectations import check_count

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fetcher.verify.contract.context import Context
    from fetcher.verify.contract.foreign import ProbeOptions, Tensors
    from fetcher.verify.contract.protocol import ProbeRequest, Problem

_ROUTES = (("reconstruct", ""), ("encode", "decode"), ("compress", "decompress"))
_SAME_QUALITY = 0.5  # dB of PSNR


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
        for name, originals, source in coding.originals(request, context):
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
    if context.check(f"{name}: finite", not bad, told, "the weights are damaged"):
        opened.keep(context, name)
        embedding_rows.keep(model, context, f"{name}: ")
    return codec


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
            if not coding.well_formed(self._context, title, originals, back):
                continue
            back = [picture.clamp(0, 1) for picture in back]
            self._context.fingerprint(f"{title}: all pictures", self._torch.cat(back))
            bits = sum(bits for _, bits in there)
            found = coding.measured(self._context, title, originals, back, bits)
            coding.check_bounds(self._context, title, self._wanted, found)
            if not rows:
                first = found
                if coding.keep(self._context, dataset, found):
                    coding.show(self._context, title, originals, back)
                    self._context.fingerprint(f"{title}: picture", back[0])
            elif first["bpp"] is None and found["bpp"] is not None:
                self._add_bits(dataset, title, first, found)
            rows.append(coding.row(title, found))
        self._context.table(
            "Quality", ("route", *coding.COLUMNS), rows, f"{len(originals)} pictures, {source}"
        )

    def answer(self, original: Any) -> Tensors:
        """Return what each route gives back of a picture, by the route's methods."""
        return {" ".join(route): self._through(route, original)[0] for route in self._routes()}

    def _routes(self) -> list[tuple[str, str]]:
        return [route for route in _ROUTES if all(name in self._methods for name in route if name)]

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
