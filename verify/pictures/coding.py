"""What codecs are measured on, and how well pictures come back.

Pictures are (1, 3, H, W) in 0..1. Options are those of the probe `compression`: `dataset`,
`images`, `size`, and the bounds `min_psnr`, `min_ssim`, `max_lpips`, `max_bpp`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fetcher.verify.contract import options
from fetcher.verify.pictures import grids, images, quality

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from fetcher.verify.contract.context import Context
    from fetcher.verify.contract.foreign import ProbeOptions
    from fetcher.verify.contract.protocol import ProbeRequest

    Figures = dict[str, float | None]

COLUMNS = ("PSNR dB", "SSIM", "LPIPS", "bits per pixel")
_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm")
_SHOWN = 6  # pictures a row in the report


def size_of(wanted: ProbeOptions) -> tuple[int, int]:
    """Return the height and width that pictures are brought to."""
    height, width = wanted.get("size", (256, 256))
    return height, width


def pictures_of(request: ProbeRequest, dataset: str) -> list[Path]:
    """Return the pictures of a data set that are laid out, by their names."""
    files = request.related.get(dataset, {})
    return [files[name] for name in sorted(files) if name.lower().endswith(_PICTURES)]


def originals(request: ProbeRequest, context: Context) -> Iterator[tuple[str, list[Any], str]]:
    """Yield (data set, its pictures, where they are from) of each that has pictures here.

    Where none has, generated ones stand for all of them, with "" for the data set. Raises
    ProbeError for a picture that cannot be read, and for Pillow MissingLibraryError.
    """
    torch, wanted = context.require("torch"), request.options
    count, (height, width) = wanted.get("images", 4), size_of(wanted)
    datasets = options.as_list(wanted.get("dataset", []))
    found = False
    for dataset in datasets:
        paths = pictures_of(request, dataset)
        if paths:
            chosen = paths[:: max(1, len(paths) // count)][:count]
            read = (images.read(context, path) for path in chosen)
            scaled = [images.resized(torch, one, height, width) for one in read]
            yield dataset, scaled, f"from {dataset}"
            found = True
        elif len(datasets) > 1:
            context.check(f"data set {dataset}", True, "it has no pictures here: not measured")
    if not found:
        missing = f", as {', '.join(datasets)} is not laid out" if datasets else ""
        made = images.generated(torch, height, width, request.seed, count)
        yield "", list(made.split(1)), f"generated{missing}"


def well_formed(
    context: Context, title: str, given: Sequence[Any], back: Sequence[Any], hint: str = ""
) -> bool:
    """Check that what comes back has the shape of what was given, and finite numbers."""
    torch = context.require("torch")
    wrong = [
        f"{list(b.shape)} for {list(a.shape)}" for a, b in zip(given, back) if a.shape != b.shape
    ]
    told = ", ".join(wrong[:_SHOWN]) or str(list(back[0].shape))
    hint = hint or "does the model take this size? set `size`"
    if not context.check(f"{title}: shape", not wrong, told, hint):
        return False
    bad = sum(not bool(torch.isfinite(one).all()) for one in back)
    told = f"{bad} of {len(back)} pictures hold NaN or infinity" if bad else ""
    return context.check(f"{title}: finite", not bad, told)


def measured(
    context: Context, title: str, given: Sequence[Any], back: Sequence[Any], bits: int
) -> Figures:
    """Return PSNR, SSIM, LPIPS and bits per pixel; None for what cannot be known here.

    Checks that a picture is nearer to its own restoration than to another picture's.
    """
    torch, files = context.require("torch"), quality.lpips_files()
    pairs = list(zip(given, back))
    near = _mean([quality.psnr(a, b) for a, b in pairs])
    if len(pairs) > 1:
        crossed = _mean([quality.psnr(pairs[n][0], pairs[n - 1][1]) for n in range(len(pairs))])
        context.check(
            f"{title}: the picture comes back",
            near > crossed,
            f"PSNR {near:.2f} dB, against another picture's {crossed:.2f} dB",
            "what comes back has nothing to do with what went in: are these the right weights?",
        )
    pixels = sum(a.shape[-1] * a.shape[-2] for a in given)
    perceived = [quality.lpips(torch, a, b, files) for a, b in pairs] if files else []
    return {
        "psnr": near,
        "ssim": _mean([quality.ssim(torch, a, b) for a, b in pairs]),
        "lpips": _mean(perceived) if perceived else None,
        "bpp": bits / pixels if bits else None,
    }


def check_bounds(
    context: Context,
    title: str,
    wanted: ProbeOptions,
    found: Mapping[str, float | None],
) -> None:
    """Check the figures against the bounds that the manifest gives."""
    for key, value in found.items():
        least = key in ("psnr", "ssim")
        option = f"{'min' if least else 'max'}_{key}"
        bound = wanted.get(option)
        if bound is None or (value is None and key == "bpp"):
            continue  # what has no code has no bits to count
        if value is None:
            hint = "lay out AlexNet's weights in TORCH_HOME and install lpips or torchmetrics"
            told = "LPIPS's weights are not on this machine"
            context.check(f"{title}: {option}", False, told, hint)
        else:
            ok = value >= bound if least else value <= bound
            context.check(f"{title}: {option}", ok, f"{value:.4g}, the bound is {bound:g}")


def keep(context: Context, dataset: str, found: Figures) -> bool:
    """Put figures into the metrics, those of a data set below its name too.

    Those of the first data set stand for the model; returns whether these do.
    """
    benchmarks = context.metrics.get("benchmarks", {})
    if dataset:
        context.metrics["benchmarks"] = {**benchmarks, dataset: dict(found)}
    if benchmarks:
        return False
    context.metrics.update(found)
    return True


def row(title: str, found: Figures) -> tuple[Any, ...]:
    """Return figures as a row of the report, for the columns after the first."""
    return (title, *(v if v is None else round(v, 4) for v in found.values()))


def show(context: Context, title: str, given: Sequence[Any], back: Sequence[Any]) -> None:
    """Show the first pictures, and what comes back, in the report."""
    torch = context.require("torch")
    shown = grids.grid(torch, [given[:_SHOWN], back[:_SHOWN]], 0.0, 1.0)
    context.picture(title, shown, "row 1: originals; row 2: what comes back")


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
