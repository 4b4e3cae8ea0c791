"""Patterns of the Hub's tools match the same names when a manifest has them."""

from __future__ import annotations

import fnmatch

from hypothesis import given, settings
from hypothesis import strategies as st

from fetcher.fs.globs import compile_glob
from fetcher.importers.hub_patterns import manifest_patterns

NAMES = [
    "a",
    "ab",
    "a/b",
    "a/b/c",
    "x.json",
    "a/x.json",
    "a/b/x.json",
    "ab/x.json",
    "b/a.json",
    "a.json/b",
]


@settings(max_examples=400, deadline=None)
@given(st.text("ab/.*jsonx", min_size=1, max_size=8))
def test_they_match_what_fnmatch_matches(pattern: str) -> None:
    if "**" in pattern or "//" in pattern or pattern.startswith("/"):
        return
    asked = pattern + "*" if pattern.endswith("/") else pattern
    globs = [compile_glob(item) for item in manifest_patterns([pattern])]
    for name in NAMES:
        assert any(glob.matches(name) for glob in globs) == fnmatch.fnmatchcase(name, asked), name


def test_the_usual_ones_stay_short() -> None:
    assert manifest_patterns(["*.json", "unet/*", "vae/", "config.json"]) == (
        "**/*.json",
        "unet/**",
        "vae/**",
        "config.json",
    )
