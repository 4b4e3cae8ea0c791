"""What a probe shows is judged before it is believed."""

from __future__ import annotations

import json
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from fetcher.verify.contract import exhibits, fingerprints, png
from fetcher.verify.contract.exhibits import Fingerprint
from hypothesis import given
from hypothesis import strategies as st

from .conftest import misbehave

GOOD = png.encode(bytes(range(256)) * 3, 16, 16, 3)


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_written_png_is_read_by_others(channels: int) -> None:
    data = png.encode(bytes(7 * 5 * channels), 7, 5, channels)
    plain, width, height = png.checked(data)
    assert (width, height, plain) == (7, 5, data)
    pil = pytest.importorskip("PIL.Image")
    import io

    with pil.open(io.BytesIO(data)) as image:
        image.load()
        assert image.size == (7, 5)


def test_what_does_not_belong_to_the_pixels_is_left_out() -> None:
    comment = chunk(b"tEXt", b"Comment\0<script>")
    spiked = GOOD[:-12] + comment + GOOD[-12:]
    assert png.checked(spiked)[0] == GOOD


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "not a PNG"),
        (b"GIF89a", "not a PNG"),
        (GOOD[:8], "empty"),
        (GOOD[:-1], "truncated"),
        (GOOD[:40], "truncated"),
        (GOOD + b"<html>", "truncated"),
        (GOOD[:20] + b"\xff" + GOOD[21:], "damaged"),
        (GOOD[:8] + GOOD[33:], "order"),
        (GOOD[:-12], "order"),
        (
            GOOD[:8]
            + chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
            + GOOD[33:],
            "too many",
        ),
        (
            GOOD[:8] + chunk(b"IHDR", struct.pack(">IIBBBBB", 17, 16, 8, 2, 0, 0, 0)) + GOOD[33:],
            "not as many",
        ),
        (GOOD[:8] + chunk(b"IHDR", b"") + GOOD[33:], "header"),
    ],
)
def test_a_png_that_is_none(data: bytes, told: str) -> None:
    with pytest.raises(png.BadPictureError, match=told):
        png.checked(data)


def test_a_bomb_is_not_unpacked() -> None:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 10, 10, 8, 0, 0, 0, 0))
    bomb = zlib.compress(bytes(50_000_000), 9)
    data = GOOD[:8] + header + chunk(b"IDAT", bomb) + chunk(b"IEND", b"")
    with pytest.raises(png.BadPictureError, match="not as many"):
        png.checked(data)


@given(st.binary(max_size=80), st.integers(0, len(GOOD)))
def test_no_bytes_make_it_fail_otherwise(extra: bytes, place: int) -> None:
    try:
        png.checked(GOOD[:place] + extra + GOOD[place + len(extra) :])
    except png.BadPictureError:
        pass


def event(**changes: Any) -> dict[str, Any]:
    return {"event": "picture", "name": "n", "caption": "c", "file": "0001.png", **changes}


def test_pictures_are_plain_files_with_plain_names(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    (tmp_path / "0009.png").write_bytes(GOOD)
    (folder / "0001.png").write_bytes(GOOD)
    (folder / "0002.png").symlink_to(tmp_path / "0009.png")
    os.mkfifo(folder / "0003.png")
    (folder / "0004.png").mkdir()
    with (folder / "0005.png").open("wb") as stream:
        stream.truncate(exhibits.MAX_PICTURE_BYTES + 1)
    events = [event(file=f"000{n}.png") for n in range(1, 7)]
    events += [event(file=name) for name in ("../0009.png", "/etc/passwd", 7, None, "1.png")]
    found = exhibits.pictures_of(events, folder)
    assert [(p.name, p.width, p.height, p.png) for p in found] == [("n", 16, 16, GOOD)]
    many = exhibits.pictures_of([event()] * 100, folder)
    assert len(many) == exhibits.MAX_PICTURES


def test_tables_are_cut_and_made_printable() -> None:
    rows = [["a\x1b[31m", 1.5, None, True, {"x": 1}, float("nan")]] * 1000
    plain = {"event": "table", "name": "t\n", "columns": ["c"] * 6, "rows": rows}
    (table,) = exhibits.tables_of([plain, {"event": "table"}, {"event": "table", "rows": 3}])
    assert len(table.rows) == exhibits.MAX_ROWS
    assert table.rows[0] == ("a [31m", 1.5, None, True, "{'x': 1}", "nan")
    assert table.name == "t "


@pytest.mark.parametrize(
    "change",
    [
        {"samples": []},
        {"samples": [1.0] * 1000},
        {"mean": float("nan")},
        {"std": "1"},
        {"low": True},
        {"shape": "abc"},
        {"shape": [1] * 99},
        {"tolerance": float("inf")},
    ],
)
def test_a_fingerprint_that_makes_no_sense_is_left_out(change: dict[str, Any]) -> None:
    good = fingerprints.take("x", [1.0, 2.0]).to_json()
    assert len(exhibits.fingerprints_of([{"event": "fingerprint", **good}])) == 1
    assert exhibits.fingerprints_of([{"event": "fingerprint", **good, **change}]) == ()


def test_a_fingerprint_survives_json() -> None:
    taken = fingerprints.take("x", [[1.0, 2.0], [3.0, -4.0]], tolerance=0.5)
    assert taken.shape == (2, 2)
    assert (taken.mean, taken.low, taken.high) == (0.5, -4.0, 3.0)
    assert Fingerprint.from_json(json.loads(json.dumps(taken.to_json()))) == taken


@pytest.mark.parametrize("values", [[], [[1.0], [1.0, 2.0]], [float("nan")], [1.0, float("inf")]])
def test_values_that_have_no_fingerprint(values: Any) -> None:
    with pytest.raises(ValueError, match=r"x: |lengths"):
        fingerprints.take("x", values)


def test_lists_arrays_and_tensors_have_the_same() -> None:
    numpy = pytest.importorskip("numpy")
    torch = pytest.importorskip("torch")
    values = torch.linspace(-3, 5, 24 * 25).reshape(24, 25)
    taken = fingerprints.take("x", values)
    for other in (values.numpy(), values.tolist(), values.double()):
        again = fingerprints.take("x", other)
        assert fingerprints.difference(taken, again, "float64") == ""
    assert fingerprints.take("x", numpy.float32(3)).shape == ()
    half = fingerprints.take("x", values.to(torch.bfloat16))
    assert fingerprints.difference(taken, half, "bfloat16") == ""


@pytest.mark.parametrize(
    ("noise", "dtype", "same"),
    [
        (1e-4, "float32", True),
        (0.03, "float32", False),
        (0.0014, "float16", True),
        (0.01, "bfloat16", True),
        (0.5, "bfloat16", False),
        (0.1, "int8", True),
        (2.0, "int8", False),
    ],
)
def test_rounding_is_no_difference_and_other_weights_are(
    noise: float, dtype: str, same: bool
) -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    values = torch.randn(4, 1000) * 7 + 2
    then = fingerprints.take("x", values)
    now = fingerprints.take("x", values + torch.randn_like(values) * 7 * noise)
    assert (fingerprints.difference(then, now, dtype) == "") is same


def test_one_outlier_another_shape_and_another_scale_are_differences() -> None:
    then = fingerprints.take("x", [float(n) for n in range(20)])
    outlier = fingerprints.take("x", [float(n) if n != 7 else 8.0 for n in range(20)])
    assert "of their spread" in fingerprints.difference(then, outlier, "float32")
    shape = fingerprints.take("x", [[float(n) for n in range(20)]])
    assert fingerprints.difference(then, shape, "float32") == "the shape is [1, 20], it was [20]"
    constant = fingerprints.take("x", [5.0, 5.0])
    assert fingerprints.difference(constant, constant, "float32") == ""
    assert fingerprints.difference(constant, fingerprints.take("x", [6.0, 6.0]), "float32")


@pytest.mark.usefixtures("plugins")
def test_a_probe_shows_things() -> None:
    result = misbehave("shows")
    assert result.state == "passed", result.reason
    assert [(p.name, p.caption, p.width, p.height) for p in result.pictures] == [
        ("ours", "grey", 2, 3),
        ("theirs", "", 16, 16),
    ]
    assert result.tables[0].rows == (("x", 1.5),)
    assert result.fingerprints[0].samples == (1.0, 2.0, 3.0)
    assert result.checks[-1].warning and result.checks[-1].detail == "look out; do this"
    again = type(result).from_json(json.loads(json.dumps(result.to_json())))
    assert again.fingerprints == result.fingerprints and again.checks == result.checks
    assert again.pictures[0].png == b"", "their bytes are not for JSON"


@pytest.mark.usefixtures("plugins")
def test_a_hostile_probe_shows_nothing() -> None:
    result = misbehave("shows_what_it_should_not")
    assert result.state == "passed"
    assert result.pictures == () and result.fingerprints == ()
