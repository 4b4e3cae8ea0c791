"""The `image-dataset` probe: the pictures of a data set can be decoded, and are as they should be.

What each option means is in `ImageDataset`.
"""

from __future__ import annotations

import hashlib
import math
import os
import random
import re
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from fetcher.verify.contract import options
from fetcher.verify.contract.built_in_probes import problems_of
from fetcher.verify.contract.context import describe
from fetcher.verify.contract.probe_errors import ProbeError
from fetcher.verify.loaders.strict import listed
from fetcher.verify.pictures import encoded
from fetcher.verify.weights.choice import matching
from fetcher.verify.weights.expectations import check_count

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fetcher.verify.contract.context import Context
    from fetcher.verify.contract.foreign import ProbeOptions
    from fetcher.verify.contract.protocol import ProbeRequest, Problem

_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".avif")
_NUMBER = re.compile(r"(.*?)(\d+)(\D*)")
_PRINTS = 16  # pictures that the brightness is kept of
_THUMB = 8  # pixels a side of the thumbnail that tells pictures apart
_FRAMES, _THUMBS = 200, 16  # of an animation, or pages: decoded, and kept as thumbnails
# Fingerprints, and values in each: as many as one keeps as they are, but for two that keep the
# spread from vanishing where all pictures are plain.
_PARTS, _VALUES, _ANCHOR = 16, 30, 40.0
_TOLERANCE = 0.03  # decoders of JPEG differ by 2 levels in a pixel, by 0.3 in a thumbnail's
_COLOURED = ("RGB", "RGBA", "P", "CMYK", "YCbCr", "1", "L", "LA", "HSV")
_ORIENTATION = 0x0112  # of EXIF
_FETCH_AGAIN = "remove these files and fetch the artifact again"


class ImageDataset:
    """Options, all optional: `files` (globs; default: all files with a picture's suffix), `sample`
    (decode so many, chosen by the seed; default: all), `size` ([height, width] of every picture),
    `mode` (Pillow's name of the pixel type, one or a list: RGB, L, …), `format` (JPEG, PNG, …),
    `numbering` (false: names need not be numbers; true: they are, without gaps; `{first, last,
    gaps: true}` says more), `count` (how many, exact or `{min, max}`), `duplicates` (whether the
    same picture may be there twice; default: that is a warning).
    """

    type = "image-dataset"
    requires = (("PIL.Image", "pillow"),)

    def validate_options(self, given: ProbeOptions) -> list[Problem]:
        """Return all problems of the manifest's options."""
        return problems_of(self.type, given)

    def run(self, request: ProbeRequest, context: Context) -> None:
        """Decode the pictures, and check names, sizes and number."""
        context.require("PIL.Image", "pillow")
        wanted = request.options
        names = _pictures(request)
        context.metrics.update(pictures=len(names), device="cpu", dtype="uint8")
        if "count" in wanted:
            check_count("count", len(names), wanted["count"], context)
        if wanted.get("numbering"):
            _check_numbering(names, wanted["numbering"], context)
        chosen = names
        if wanted.get("sample", len(names)) < len(names):
            chosen = sorted(random.Random(request.seed).sample(names, wanted["sample"]))
        context.stage(f"decoding {len(chosen):,} pictures")
        with context.timed("infer_seconds"):
            seen = _decode_all(chosen, request, context)
        _judge(seen, wanted, context, names)


PROBE = ImageDataset()


@dataclass(frozen=True)
class _Seen:
    """What one picture is: width, height, mode, format and mean, or why it cannot be decoded.

    Pictures with the same `pixels` look the same, whatever their files are like. Those of a
    `lossless` one are the same wherever it is decoded; of any other one `encoded` tells what they
    are made of.
    """

    name: str
    size: tuple[int, int] = (0, 0)
    mode: str = ""
    format: str = ""
    form: str = ""  # in words that no release changes
    mean: float = 0.0
    thumb: bytes = b""  # _THUMB a side, of all channels, one frame after the other
    pixels: bytes = b""
    lossless: bool = False
    encoded: str = ""
    error: str = ""


def _pictures(request: ProbeRequest) -> list[str]:
    globs = options.as_list(request.options.get("files", []))
    if globs:
        return matching(request, globs)
    found = sorted(name for name in request.files if name.lower().endswith(_SUFFIXES))
    if not found:
        raise ProbeError(
            "the artifact has no pictures", "name them in the probe's `files`, as globs"
        )
    return found


def _decode_all(names: Sequence[str], request: ProbeRequest, context: Context) -> list[_Seen]:
    pillow = context.require("PIL.Image", "pillow")
    # Decoding happens in C code that lets other threads run.
    with ThreadPoolExecutor(max_workers=min(16, os.cpu_count() or 1)) as pool:
        return list(pool.map(lambda name: _decode(pillow, name, request.files[name]), names))


def _decode(pillow: Any, name: str, path: Path) -> _Seen:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pillow.open(path) as picture:
                picture.load()
                mean = picture.convert("L").resize((1, 1), pillow.Resampling.BOX).getpixel((0, 0))
                form = picture.format or ""
                about = (name, picture.size, picture.mode, form, _form(picture), float(mean))
                lossless = _is_lossless(picture)
                thumbs, digest = b"", hashlib.blake2b(digest_size=16)
                for frame in range(min(getattr(picture, "n_frames", 1), _FRAMES)):
                    if frame:
                        picture.seek(frame)
                        picture.load()
                    thumbs += _thumb(pillow, picture) if frame < _THUMBS else b""
                    digest.update(_pixels(picture))
                made_of = "" if lossless else encoded.checksum(path.read_bytes(), form)
                return _Seen(*about, thumbs, digest.digest(), lossless, made_of)
    except Exception as error:  # a damaged picture fails in many ways
        return _Seen(name, error=_in_words(path, error))


def _form(picture: Any) -> str:
    """Return what a file says of a picture besides its pixels, and how coarse a JPEG is."""
    # As older releases have it; what a GIF becomes is a matter of taste.
    mode = "I" if picture.mode.startswith("I;16") else picture.mode
    mode = "" if picture.format == "GIF" else mode
    turned = 1
    with suppress(Exception):  # what is no picture need not be sound
        turned = picture.getexif().get(_ORIENTATION, 1)
    # Their order is another one in older releases.
    tables = getattr(picture, "quantization", None) or {}
    coarse = sorted(value for table in tables.values() for value in table)
    size = "x".join(map(str, picture.size))
    frames = getattr(picture, "n_frames", 1)
    return f"{picture.format} {mode} {size} {frames} {turned} {coarse}"


def _is_lossless(picture: Any) -> bool:
    """Tell whether every release of Pillow makes the same pixels of a file."""
    if picture.format in ("PNG", "TIFF"):
        return picture.info.get("compression") not in ("jpeg", "tiff_jpeg", "webp")
    return picture.format in ("BMP", "PPM") and picture.mode in ("1", "L", "RGB", "RGBA", "P")


def _thumb(pillow: Any, picture: Any) -> bytes:
    box = ((_THUMB, _THUMB), pillow.Resampling.BOX)
    if picture.mode in ("RGBA", "LA", "PA"):
        return picture.convert("RGBA").resize(*box).tobytes()  # type: ignore[no-any-return]
    if picture.mode in _COLOURED:
        return picture.convert("RGB").resize(*box).tobytes()  # type: ignore[no-any-return]
    # Heights, distances and other numbers, of which eight bits would keep too little.
    small = _wide(picture).convert("F").resize(*box)
    values = [small.getpixel((n % _THUMB, n // _THUMB)) for n in range(_THUMB * _THUMB)]
    if picture.mode == "F":
        return bytes(int(127.5 * (1 + value / (1 + abs(value)))) for value in values)
    return bytes(min(255, max(0, int(value / 257))) for value in values)


def _pixels(picture: Any) -> bytes:
    shown = _wide(picture.convert("RGBA") if picture.mode == "P" else picture)
    return f"{shown.size} {shown.mode} ".encode() + shown.tobytes()  # type: ignore[no-any-return]


def _wide(picture: Any) -> Any:
    """Return a picture of 16 bits as one of 32, which older releases make of it."""
    return picture.convert("I") if picture.mode.startswith("I;16") else picture


def _in_words(path: Path, error: Exception) -> str:
    try:
        with path.open("rb") as stream:
            head = stream.read(64)
    except OSError as failure:
        return "the link leads to no file" if path.is_symlink() else str(failure.strerror)
    if not head:
        return "empty (0 bytes)"
    if head.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer"
    if head.lstrip()[:1] == b"<":
        return "a web page"
    if "cannot identify" in str(error):
        return f"not a picture: it begins with {head[:4].hex()}"
    if "truncated" in str(error).lower():
        return f"truncated: {path.stat().st_size:,} bytes are there"
    return describe(error)


def _judge(
    seen: Sequence[_Seen], wanted: ProbeOptions, context: Context, names: Sequence[str]
) -> None:
    """Check and keep what was `seen` of the pictures of these names."""
    broken = [one for one in seen if one.error]
    whole = [one for one in seen if not one.error]
    of = "sampled pictures" if len(seen) < len(names) else "pictures"
    told = [f"{one.name} ({one.error})" for one in broken]
    context.check(
        "every picture decodes",
        not broken,
        f"{len(broken):,} of {len(seen):,} {of} do not: {listed(told)}"
        if broken
        else f"{len(seen):,} {of}",
        _FETCH_AGAIN,
    )
    if broken:
        context.table("Broken pictures", ("file", "why"), [(o.name, o.error) for o in broken])
    sizes = sorted({one.size for one in whole})
    if "size" in wanted:
        height, width = wanted["size"]
        _all_are(whole, "size", {(width, height)}, lambda one: one.size, context)
    elif whole:
        shown = ", ".join(f"{w}x{h}" for w, h in sizes[:4]) + (", …" if len(sizes) > 4 else "")
        context.metrics["sizes"] = shown
    for key, of_one in (("mode", lambda one: one.mode), ("format", lambda one: one.format)):
        if key in wanted:
            _all_are(whole, key, set(options.as_list(wanted[key])), of_one, context)
    if wanted.get("duplicates") is not True:
        _check_copies(whole, wanted.get("duplicates") is None, context)
    if not broken:
        _keep(whole, context, names)


def _keep(whole: Sequence[_Seen], context: Context, names: Sequence[str]) -> None:
    """Keep for later runs what pictures are like, and the names of all."""
    step = max(1, len(whole) // _PRINTS)
    context.fingerprint("mean brightness", [one.mean for one in whole[::step]][:_PRINTS], 0.05)
    context.fact("names", list(names))
    context.fact("forms", [one.form for one in whole])
    exact = [(one.name, one.pixels.hex()) for one in whole if one.lossless]
    if exact:
        context.fact("pixels of lossless pictures", exact)
    lossy = [(one.name, one.encoded) for one in whole if not one.lossless]
    if lossy:
        context.fact("what other pictures are made of", lossy)
    for name, values in _folded(whole).items():
        context.fingerprint(name, values, _TOLERANCE)


def _folded(whole: Sequence[_Seen]) -> dict[str, list[float]]:
    """Return the values of a fixed number of fingerprints, which hold each value as it is.

    Each picture becomes one number, and the numbers of every so many pictures are added up. Two
    pictures in each other's place move two of the values, even of 10,000 pictures.
    """
    groups = min(_PARTS * _VALUES, len(whole))
    totals = [0.0] * groups
    for number, one in enumerate(whole):
        totals[number % groups] += _projected(one)
    parts = [totals[at : at + _VALUES] for at in range(0, groups, _VALUES)]
    return {
        f"pictures, part {n} of {len(parts)}": [-_ANCHOR, *part, _ANCHOR]
        for n, part in enumerate(parts, 1)
    }


def _projected(one: _Seen) -> float:
    """Return the sum of a thumbnail's values with the signs that belong to the picture's name."""
    bits = hashlib.shake_128(one.name.encode("utf-8", "surrogatepass")).digest(len(one.thumb) // 8)
    signs = (1 if bits[n // 8] >> (n % 8) & 1 else -1 for n in range(len(one.thumb)))
    total = sum(sign * (value - 128) for sign, value in zip(signs, one.thumb))
    return total / math.sqrt(len(one.thumb))


def _check_copies(whole: Sequence[_Seen], lenient: bool, context: Context) -> None:
    """Check that no two files show the same picture, as when a server answers every name alike."""
    first: dict[bytes, str] = {}
    copies = [
        f"{one.name} is {first[one.pixels]}"
        for one in whole
        if first.setdefault(one.pixels, one.name) != one.name
    ]
    name, told = "every picture is another one", f"{len(copies):,} are copies: {listed(copies)}"
    hint = "fetch them again; or, if copies are meant, say `duplicates: true`"
    if copies and lenient:
        context.warn(name, told, hint)
    else:
        context.check(name, not copies, told if copies else f"{len(whole):,} pictures", hint)


def _all_are(
    whole: Sequence[_Seen], what: str, allowed: set[Any], of_one: Any, context: Context
) -> None:
    def shown(value: Any) -> str:
        return f"{value[0]}x{value[1]}" if isinstance(value, tuple) else str(value)

    wrong = [f"{one.name} is {shown(of_one(one))}" for one in whole if of_one(one) not in allowed]
    expected = " or ".join(sorted(shown(value) for value in allowed))
    context.check(
        f"{what} of every picture",
        not wrong,
        f"{len(wrong):,} differ: {listed(wrong)}; expected {expected}" if wrong else expected,
        "are these the right pictures?",
    )


def _check_numbering(names: Sequence[str], wanted: Any, context: Context) -> None:
    wanted = wanted if isinstance(wanted, dict) else {}
    numbers: dict[int, str] = {}
    strange, twice = [], []
    for name in names:
        match = _NUMBER.fullmatch(PurePosixPath(name).stem)
        if match is None:
            strange.append(name)
        elif int(match[2]) in numbers:
            twice.append(name)
        else:
            numbers[int(match[2])] = name
    first = wanted.get("first", min(numbers, default=0))
    last = wanted.get("last", max(numbers, default=0))
    outside = [name for n, name in sorted(numbers.items()) if not first <= n <= last]
    parts = []
    if strange:
        parts.append(f"without a number: {listed(strange)}")
    if twice:
        parts.append(f"a number twice: {listed(twice)}")
    if outside:
        parts.append(f"outside {first}..{last}: {listed(outside)}")
    if not wanted.get("gaps", False):
        # Never more than a few are named: a manifest may ask for a billion.
        absent = []
        for n in range(first, last + 1):
            if n not in numbers:
                absent.append(str(n))
                if len(absent) > 5:
                    break
        if absent:
            parts.append(f"missing: {listed(absent)}")
    context.check(
        "numbering",
        not parts,
        "; ".join(parts) or f"{len(numbers):,} numbers from {first} to {last}",
        "add the missing files to the artifact's `files`, or say `gaps: true`",
    )
