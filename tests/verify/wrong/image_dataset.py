"""Folders of pictures, which the `image-dataset` probe decodes."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import pytest
from fetcher.verify import ProbeRequest

from tests.verify.probing import request
from tests.verify.wrong import Case, Make

Files = dict[str, bytes]


@lru_cache
def _picture(number: int, quality: int = 90) -> bytes:
    image = pytest.importorskip("PIL.Image")
    numpy = pytest.importorskip("numpy")
    drawn = numpy.random.default_rng(number).integers(0, 256, (4, 4, 3), dtype="uint8")
    stream = io.BytesIO()
    soft = image.fromarray(drawn).resize((64, 64), image.Resampling.BICUBIC)
    soft.save(stream, "JPEG", quality=quality)
    return stream.getvalue()


@lru_cache
def _tiny(number: int) -> bytes:
    """A small picture, of which there may be many."""
    image = pytest.importorskip("PIL.Image")
    stream = io.BytesIO()
    levels = bytes((number * 37 + n * n * (number % 11 + 3)) % 256 for n in range(48))
    image.frombytes("RGB", (4, 4), levels).save(stream, "PNG")
    return stream.getvalue()


_DRAWN: dict[str, tuple[str, str]] = {
    # what: Pillow's mode, and the file's suffix
    "masks of 0 and 1": ("L", "png"),
    "depths of 16 bits": ("I;16", "png"),
    "heights in floats": ("F", "tiff"),
    "cut-outs": ("RGBA", "png"),
}


@lru_cache
def _levels(number: int, mode: str, suffix: str) -> bytes:
    """A picture of a few plain areas; of a cut-out only the alpha channel differs."""
    image = pytest.importorskip("PIL.Image")
    numpy = pytest.importorskip("numpy")
    drawn = numpy.random.default_rng(number).integers(0, 2, (4, 4))
    areas = numpy.kron(drawn, numpy.ones((8, 8), "int64"))
    if mode == "RGBA":
        made = numpy.dstack([numpy.full((32, 32, 3), 90), 255 * areas]).astype("uint8")
    elif mode == "I;16":
        made = (20_000 + 9_000 * areas + number).astype("uint16")
    else:
        made = areas.astype("float32" if mode == "F" else "uint8")
    stream = io.BytesIO()
    image.fromarray(made).save(stream, suffix.upper())
    return stream.getvalue()


def _twelve(what: str, one: int = 0, two: int = 0) -> Files:
    mode, suffix = _DRAWN[what]
    files = {f"{n:02}.{suffix}": _levels(n, mode, suffix) for n in range(12)}
    names = f"{one:02}.{suffix}", f"{two:02}.{suffix}"
    files[names[0]], files[names[1]] = files[names[1]], files[names[0]]
    return files


@lru_cache
def _moving(number: int, exchanged: bool = False) -> bytes:
    image = pytest.importorskip("PIL.Image")
    numpy = pytest.importorskip("numpy")
    source = numpy.random.default_rng(number)
    frames = [
        image.fromarray(
            numpy.kron(source.integers(0, 256, (4, 4)), numpy.ones((8, 8))).astype("u1")
        )
        for _ in range(5)
    ]
    if exchanged:
        frames[3], frames[4] = frames[4], frames[3]
    stream = io.BytesIO()
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:])
    return stream.getvalue()


def _films(third: bytes | None = None) -> Files:
    made = {f"{n}.gif": _moving(n) for n in range(4)}
    return made if third is None else {**made, "2.gif": third}


def _written(make: Callable[[], Files], **options: Any) -> Make:
    def made(folder: Path) -> ProbeRequest:
        folder.mkdir()
        for name, data in make().items():
            (folder / name).write_bytes(data)
        return request("image-dataset", folder, duplicates=True, **options)

    return made


def _forty(quality: int = 90) -> Files:
    return {f"{n:05}.jpg": _picture(n, quality) for n in range(40)}


def _exchanged(count: int) -> Files:
    files = _forty()
    names = sorted(files)[: 2 * count]
    for one, two in zip(names[::2], names[1::2], strict=True):
        files[one], files[two] = files[two], files[one]
    return files


def _renamed() -> Files:
    return {name.replace("00007", "00107"): data for name, data in _forty().items()}


def _changed(change: Callable[[Any], Any], suffix: str = "JPEG", **how: Any) -> Files:
    """With one picture drawn or written otherwise."""
    image = pytest.importorskip("PIL.Image")
    opened = image.open(io.BytesIO(_picture(7))).convert("RGB")
    stream = io.BytesIO()
    change(opened).save(stream, suffix, **({"quality": 90} if suffix == "JPEG" else {}) | how)
    return {**_forty(), "00007.jpg": stream.getvalue()}


def _half(opened: Any) -> Any:
    return opened.resize((32, 32))


def _mirrored(opened: Any) -> Any:
    return opened.transpose(0)  # left to right


def _blue_and_red(opened: Any) -> Any:
    image = pytest.importorskip("PIL.Image")
    return image.merge("RGB", opened.split()[::-1])


def _on_its_side() -> Files:
    exif = pytest.importorskip("PIL.Image").Exif()
    exif[0x0112] = 6
    return _changed(_same, exif=exif)


def _same(opened: Any) -> Any:
    return opened


def _cropped(opened: Any) -> Any:
    """Less 5 % at two sides, in the same size."""
    return opened.resize(opened.size, box=(3, 3, 64, 64))


def _by_a_pixel(opened: Any) -> Any:
    return opened.resize(opened.size, box=(1, 0, 64, 64))


def _brighter(opened: Any) -> Any:
    return opened.point(lambda level: min(255, level + 1))


@lru_cache
def _photograph(number: int, crop: int = 0) -> bytes:
    image = pytest.importorskip("PIL.Image")
    drawn = image.open(io.BytesIO(_picture(number))).convert("RGB")
    stream = io.BytesIO()
    drawn.resize(drawn.size, box=(crop, crop, 64, 64)).save(stream, "WEBP", quality=80)
    return stream.getvalue()


def _photographs(crop: int = 0) -> Files:
    made = {f"{n}.webp": _photograph(n) for n in range(5)}
    return {**made, "3.webp": _photograph(3, crop)}


def _grey(opened: Any) -> Any:
    return opened.convert("L")


_CHANGES: dict[str, Callable[[], Files]] = {
    "a picture mirrored": partial(_changed, _mirrored),
    "red and blue of a picture swapped": partial(_changed, _blue_and_red),
    "a picture in grey": partial(_changed, _grey),
    "a picture in half its size": partial(_changed, _half),
    "a picture compressed further": partial(_changed, _same, quality=70),
    "a picture cropped by 5 %": partial(_changed, _cropped),
    "a picture cropped by a pixel": partial(_changed, _by_a_pixel),
    "a picture brighter by one level": partial(_changed, _brighter),
    "a picture compressed again, as before": partial(_changed, _same),
    "a picture in another format": partial(_changed, _same, "PNG"),
    "a picture that EXIF says to turn": _on_its_side,
}


def _many(one: int = 0, two: int = 0) -> Files:
    files = {f"{n:05}.png": _tiny(n) for n in range(2000)}
    names = f"{one:05}.png", f"{two:05}.png"
    files[names[0]], files[names[1]] = files[names[1]], files[names[0]]
    return files


pictures = _written(_forty)
many = _written(_many)
films = _written(_films)
photographs = _written(_photographs)
sampled = _written(_forty, sample=20)
drawn = {what: _written(partial(_twelve, what)) for what in _DRAWN}
CASES = [
    Case("image-dataset", "pictures", pictures),
    Case(
        "image-dataset", "two of 40 pictures exchanged", _written(lambda: _exchanged(1)), pictures
    ),
    Case(
        "image-dataset", "all of 40 pictures exchanged", _written(lambda: _exchanged(20)), pictures
    ),
    Case(
        "image-dataset", "two of 2,000 pictures exchanged", _written(lambda: _many(700, 1301)), many
    ),
    Case(
        "image-dataset", "two pictures of a group exchanged", _written(lambda: _many(3, 483)), many
    ),
    Case("image-dataset", "a picture with another name", _written(_renamed), pictures),
    Case(
        "image-dataset",
        "a picture cut off",
        _written(lambda: {**_forty(), "00003.jpg": _picture(3)[:700]}),
        pictures,
        "00003.jpg (truncated",
    ),
    *(Case("image-dataset", what, make) for what, make in drawn.items()),
    *(
        Case(
            "image-dataset",
            f"{what}, two exchanged",
            _written(partial(_twelve, what, 3, 7)),
            make,
        )
        for what, make in drawn.items()
    ),
    *(Case("image-dataset", what, _written(make), pictures) for what, make in _CHANGES.items()),
    Case("image-dataset", "a sample of pictures", sampled),
    Case(
        "image-dataset",
        "all of 40 pictures exchanged, of which some are decoded",
        _written(lambda: _exchanged(20), sample=20),
        sampled,
    ),
    Case(
        "image-dataset",
        "a name of 40 pictures, of which some are decoded",
        _written(_renamed, sample=20),
        sampled,
    ),
    Case("image-dataset", "pictures in WebP", photographs),
    Case(
        "image-dataset",
        "a picture in WebP cropped by 5 %",
        _written(lambda: _photographs(3)),
        photographs,
    ),
    Case("image-dataset", "animations", films),
    Case(
        "image-dataset",
        "two frames of an animation exchanged",
        _written(lambda: _films(_moving(2, exchanged=True))),
        films,
    ),
    Case(
        "image-dataset",
        "an animation cut off in its last frame",
        _written(lambda: _films(_moving(2)[:-60])),
        films,
        "2.gif (truncated",
    ),
]
