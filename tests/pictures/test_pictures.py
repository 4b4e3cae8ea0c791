"""The documentation's pictures show what the commands print today, and nothing of who made them."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest

from tests.pictures import scene, svg
from tests.pictures.__main__ import FOLDER, recorded
from tests.pictures.pages import SHOTS, WIDTHS
from tests.pictures.terminal import COLUMNS, Recording, read_cast, said

ROOT = FOLDER.parents[1]
ENDINGS = {"en": "", "ko": ".ko"}
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
_IMAGE = re.compile(r'!\[([^]]*)\]\(([^)\s]+)|<img(?=[^>]*\balt="([^"]*)")[^>]*\bsrc="([^"]+)"')
_SOURCE = re.compile(r'<source[^>]*\bsrcset="([^"]+)"')


def committed(language: str) -> Recording:
    return read_cast((FOLDER / f"terminal{ENDINGS[language]}.cast").read_text("utf-8"))


def lines(recording: Recording) -> dict[str, list[str]]:
    """What stays on the screen after each step, without numbers and how wide columns are."""
    found = {}
    for typed, shown in said(recording).items():
        text = "\n".join(" ".join(re.sub(r"\d[\d.,]*", "#", line).split()) for line in shown)
        found[typed] = re.sub(r"# (?:s|kB|MB|GB)\b|#초", "#", text).splitlines()
    return found


@pytest.mark.heavy
@pytest.mark.parametrize("language", ENDINGS)
def test_the_recordings_show_what_is_printed(language: str) -> None:
    pytest.importorskip("torch")
    # One language is enough for what takes long.
    steps = [step for step in scene.STEPS if language == "en" or "verify" not in step.line]
    fresh, kept = lines(recorded(language, 0, steps)), lines(committed(language))
    if language != "en":
        kept.pop("fetch verify")
    assert fresh == kept, "`make pictures PICTURES='--only terminal'` records anew"
    assert any("gan.safetensors" in line for line in kept["fetch check --deep"])


@pytest.mark.parametrize("language", ENDINGS)
def test_the_bar_is_seen_moving(language: str) -> None:
    shown = [
        "".join(text for *_, text, _ in line)
        for frame in svg.frames(committed(language))
        for line in frame.lines
    ]
    shares = {int(n) for line in shown for n in re.findall(r"(\d+)%.*/74\.4", line)}
    assert len(shares) > 10 and max(shares) > 80


@pytest.mark.parametrize("language", ENDINGS)
@pytest.mark.parametrize("theme", svg.THEMES)
def test_an_animation_is_its_recording_s(language: str, theme: str) -> None:
    recording = committed(language)
    path = FOLDER / f"terminal-{theme}{ENDINGS[language]}.svg"
    assert path.read_text("utf-8") == svg.animation(recording, theme)
    ends = [max((start + wide for start, wide, *_ in line), default=0)
            for frame in svg.frames(recording) for line in frame.lines]  # fmt: skip
    assert max(ends) <= COLUMNS


def test_nothing_of_the_machine_is_in_them() -> None:
    for path in FOLDER.iterdir():
        if path.suffix in (".cast", ".svg"):
            text = path.read_text("utf-8")
            own = r"/tmp|/home|/root|/work|/Users|127\.0\.0\.1|localhost|20[23]\d-\d\d-\d\d"
            assert not re.search(own, text), path
            kept = re.findall(r"\b\d{8}T\d{6}-\d+", text)
            assert set(kept) <= {"20260101T090000-4242"}
        else:
            data = path.read_bytes()
            assert b"tEXt" not in data and b"tIME" not in data and b"eXIf" not in data, path


def test_they_are_small_and_of_the_sizes_that_they_shall_have() -> None:
    sizes = {path.name: path.stat().st_size for path in FOLDER.iterdir()}
    assert sum(sizes.values()) < 1_500_000
    assert max(sizes.values()) < 300_000, sizes
    for name, _, size, language in SHOTS:
        head = (FOLDER / f"{name}-{size}{ENDINGS[language]}.png").read_bytes()[:24]
        width, height = WIDTHS[size]
        assert struct.unpack(">II", head[16:24]) == (width, height)


def test_every_picture_is_shown_and_described() -> None:
    shown: set[Path] = set()
    for page in PAGES:
        text = page.read_text("utf-8")
        for found in _IMAGE.finditer(text):
            alt, target = found[1] or found[3], found[2] or found[4]
            if re.match(r"[a-z]+:", target):
                continue
            path = (page.parent / target).resolve()
            assert path.is_file(), f"{page}: {target}"
            assert alt and len(alt.split()) > 2, f"{page}: {target} is not described"
            shown.add(path)
        assert text.count("<img") == len(re.findall(r"<img[^>]*\balt=", text)), page
        shown |= {(page.parent / target).resolve() for target in _SOURCE.findall(text)}
    pictures = {path for path in FOLDER.iterdir() if path.suffix != ".cast"}
    assert pictures <= shown, pictures - shown
