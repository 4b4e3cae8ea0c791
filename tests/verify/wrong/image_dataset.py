"""Folders of pictures, which the `image-dataset` probe decodes."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

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


def _written(make: Callable[[], Files]) -> Make:
    def made(folder: Path) -> ProbeRequest:
        folder.mkdir()
        for name, data in make().items():
            (folder / name).write_bytes(data)
        return request("image-dataset", folder, duplicates=True)

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


def _many(one: int = 0, two: int = 0) -> Files:
    files = {f"{n:05}.png": _tiny(n) for n in range(2000)}
    names = f"{one:05}.png", f"{two:05}.png"
    files[names[0]], files[names[1]] = files[names[1]], files[names[0]]
    return files


pictures = _written(_forty)
many = _written(_many)
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
]
