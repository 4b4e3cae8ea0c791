"""The image-dataset probe on pictures, whole and broken."""

from __future__ import annotations

import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fetcher.verify.contract.fingerprints import difference, take
from fetcher.verify.pictures import encoded
from fetcher.verify.probes.image_dataset import _TOLERANCE, PROBE, _folded, _Seen

from ..servers.weights import jpeg
from .probing import failures, golden_differences, named, probe, probe_all, probe_here, request

pytest.importorskip("PIL")


def pictures(root: Path, *numbers: int) -> Path:
    root.mkdir(exist_ok=True)
    for number in numbers:
        (root / f"{number:06}.jpg").write_bytes(jpeg(number))
    return root


def test_pictures_that_are_as_they_should_be(tmp_path: Path) -> None:
    root = pictures(tmp_path / "data", *range(40))
    (root / "README.md").write_text("not a picture")
    result = probe(
        "image-dataset",
        root,
        size=[256, 256],
        mode="RGB",
        format="JPEG",
        count=40,
        numbering={"first": 0, "last": 39},
    )
    assert result.state == "passed", (result.reason, result.log)
    told = {name: check.detail for name, check in named(result).items()}
    assert told["every picture decodes"] == "40 pictures"
    assert told["numbering"] == "40 numbers from 0 to 39"
    assert told["size of every picture"] == "256x256"
    assert result.fingerprints[0].shape == (16,)


def test_what_is_noted_beside_the_pixels_does_not_count(tmp_path: Path) -> None:
    from PIL import Image

    for folder, notes in (("stored", {}), ("noted", {"comment": b"x" * 300, "dpi": (72, 72)})):
        (tmp_path / folder).mkdir()
        exif = Image.Exif()
        if notes:
            exif[0x010E] = "what it shows"
        for suffix in ("jpg", "webp"):
            drawn = Image.linear_gradient("L").resize((40, 30)).convert("RGB")
            drawn.save(tmp_path / folder / f"1.{suffix}", exif=exif, **notes)
    stored, noted = (probe_here("image-dataset", tmp_path / n) for n in ("stored", "noted"))
    assert stored.state == noted.state == "passed", noted.reason
    assert "what other pictures are made of" in {one.name for one in noted.facts}
    assert golden_differences(stored, noted) == {}
    # An entry from before this was kept is compared in all else.
    assert golden_differences(replace(stored, facts=()), noted) == {}


@pytest.mark.parametrize("head", [b"", b"\xff", b"\xff\xd8\xff\xe0", b"\xff\xd8\xff\xda\x00\x02"])
def test_any_bytes_have_a_checksum(head: bytes) -> None:
    for form in ("JPEG", "WEBP", "GIF"):
        one, other = (encoded.checksum(head + tail, form) for tail in (b"", b"\x00\x01"))
        assert one != other, form


def test_broken_pictures_are_named(tmp_path: Path) -> None:
    root = pictures(tmp_path / "data", *range(8))
    whole = (root / "000000.jpg").read_bytes()
    (root / "000001.jpg").write_bytes(whole[: len(whole) // 2])
    (root / "000002.jpg").write_bytes(b"")
    (root / "000003.jpg").write_text("<!DOCTYPE html>")
    (root / "000004.jpg").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0")
    (root / "000005.jpg").write_bytes(b"\x00\x01\x02\x03" * 50)
    (root / "000006.jpg").unlink()
    (root / "000006.jpg").symlink_to(root / "nowhere")
    result = probe("image-dataset", root)
    assert result.state == "failed"
    assert result.reason.startswith("every picture decodes: 6 of 8 pictures do not: 000001.jpg (")
    assert result.hint == "remove these files and fetch the artifact again"
    (table,) = result.tables
    why = {str(row[0]): str(row[1]) for row in table.rows}
    assert "truncated" in why["000001.jpg"]
    assert why["000002.jpg"] == "empty (0 bytes)"
    assert why["000003.jpg"] == "a web page"
    assert why["000004.jpg"] == "a Git LFS pointer"
    assert why["000005.jpg"] == "not a picture: it begins with 00010203"
    assert why["000006.jpg"] == "the link leads to no file"


def test_numbers_sizes_and_kinds_that_differ(tmp_path: Path) -> None:
    from PIL import Image

    root = pictures(tmp_path / "data", 1, 2, 5)
    shutil.copy(root / "000005.jpg", root / "5.jpg")
    shutil.copy(root / "000005.jpg", root / "cover.jpg")
    Image.new("L", (30, 20)).save(root / "000003.png")
    strict, gaps = probe_all(
        request("image-dataset", root, numbering=True, size=[256, 256], mode="RGB", format="JPEG"),
        request(
            "image-dataset",
            root,
            files="00000?.jpg",
            numbering={"gaps": True, "last": 4},
            count={"min": 4},
        ),
    )
    assert failures(strict) == {
        "numbering": "without a number: cover.jpg; a number twice: 5.jpg; missing: 4",
        "size of every picture": "1 differ: 000003.png is 30x20; expected 256x256",
        "mode of every picture": "1 differ: 000003.png is L; expected RGB",
        "format of every picture": "1 differ: 000003.png is PNG; expected JPEG",
    }
    assert failures(gaps) == {
        "numbering": "outside 1..4: 000005.jpg",
        "count": "3, expected at least 4",
    }


def test_a_sample_is_enough_and_the_same_every_time(tmp_path: Path) -> None:
    root = pictures(tmp_path / "data", *range(30))
    (root / "000007.jpg").write_bytes(b"")
    options: dict[str, Any] = {"sample": 5, "numbering": {"last": 10**9}}
    found = [
        result.checks
        for result in probe_all(*(request("image-dataset", root, **options) for _ in range(2)))
    ]
    assert found[0] == found[1]
    numbering = found[0][0]
    assert numbering.detail == "missing: 30, 31, 32, 33, 34, …", "a billion is not counted"
    assert found[0][1].detail.endswith("sampled pictures") or "of 5 sampled" in found[0][1].detail


def test_no_pictures(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    result = probe("image-dataset", tmp_path)
    assert result.reason == "the artifact has no pictures"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"sample": 0}, "sample: expected a whole number from 1"),
        ({"size": 256}, "size: expected [height, width], found 256"),
        ({"numbering": {"start": 0}}, "numbering: expected true, false or"),
        ({"numbering": "yes"}, "numbering: expected true, false or"),
        ({"glob": "*"}, "glob: no such option"),
    ],
)
def test_wrong_options(options: dict[str, Any], told: str) -> None:
    (problem,) = PROBE.validate_options(options)
    assert str(problem).startswith(told)


def test_another_decoder_gives_the_same(tmp_path: Path) -> None:
    # JPEG saved again at a high quality differs by a level or two, as decoders do.
    image = pytest.importorskip("PIL.Image")
    root = pictures(tmp_path / "data", *range(50))
    found = [probe_here("image-dataset", root)]
    for path in root.glob("*.jpg"):
        with image.open(path) as opened:
            pixels = opened.convert("RGB")
        pixels.save(path, quality=95)
    found.append(probe_here("image-dataset", root))
    # How coarse the files are, and what they are made of; but no value of their pixels.
    assert set(golden_differences(*found)) == {"forms", "what other pictures are made of"}


def test_two_of_ten_thousand_that_changed_places_are_seen() -> None:
    draw = random.Random(0)
    seen = [_Seen(f"{n:06}.jpg", thumb=draw.randbytes(192)) for n in range(10_000)]
    near = [
        replace(one, thumb=bytes(min(255, max(0, v + draw.choice((-1, 0, 1)))) for v in one.thumb))
        for one in seen
    ]
    for one, two in ((17, 9000), (5, 485), (480, 9600)):
        other = list(near)
        other[one] = replace(near[two], name=near[one].name)
        other[two] = replace(near[one], name=near[two].name)
        assert _differ(seen, other), (one, two)
    assert not _differ(seen, near)


def _differ(one: list[_Seen], two: list[_Seen]) -> list[str]:
    pairs = zip(_folded(one).items(), _folded(two).values(), strict=True)
    taken = ((name, take(name, a, _TOLERANCE), take(name, b, _TOLERANCE)) for (name, a), b in pairs)
    return [name for name, a, b in taken if difference(a, b, "uint8", "uint8")]
