"""What `fetch verify` leaves behind: results by artifact, and the pictures that they name."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import pytest

from fetcher.reporting import saved
from fetcher.reporting.envelope import Answer
from fetcher.yamldoc.json_fields import JsonFields


def _result(artifact: str, *pictures: bytes) -> dict[str, object]:
    named = [{"name": "p", "sha256": hashlib.sha256(data).hexdigest()} for data in pictures]
    return {"artifact": artifact, "state": "passed", "pictures": named}


def test_pictures_stay_as_long_as_a_result_names_them(tmp_path: Path) -> None:
    one, two = hashlib.sha256(b"one").hexdigest(), hashlib.sha256(b"two").hexdigest()
    saved.save_results(tmp_path, "verify", Answer(results=[_result("a", b"one")]), "t")
    saved.keep_pictures(tmp_path, {one: b"one"})
    assert saved.picture(tmp_path, one) == b"one" and saved.picture(tmp_path, two) is None
    saved.save_results(tmp_path, "verify", Answer(results=[_result("b", b"two")]), "t")
    saved.keep_pictures(tmp_path, {two: b"two"})
    assert saved.picture(tmp_path, one) == b"one" and saved.picture(tmp_path, two) == b"two"
    saved.save_results(tmp_path, "verify", Answer(results=[_result("a")]), "t")
    saved.keep_pictures(tmp_path, {})
    assert saved.picture(tmp_path, one) is None and saved.picture(tmp_path, two) == b"two"
    path = saved.folder_of(tmp_path) / "pictures" / f"{two}.png"
    path.write_bytes(b"other")
    assert saved.picture(tmp_path, two) is None


def test_a_tree_that_cannot_be_written_keeps_none(tmp_path: Path) -> None:
    (tmp_path / ".fetch").write_text("a file")
    saved.keep_pictures(tmp_path, {"0" * 64: b"x"})
    assert saved.picture(tmp_path, "0" * 64) is None


def _of(manifest: str, state: str, **more: object) -> dict[str, object]:
    return {"artifact": "a", "manifest": manifest, "state": state, **more}


def _kept(tmp_path: Path) -> list[Mapping[str, object]]:
    found = saved.read(saved.folder_of(tmp_path) / "verify.json").results
    return [item.values for item in found]


def test_two_manifests_with_an_artifact_of_one_name(tmp_path: Path) -> None:
    for manifest in ("p", "q"):
        saved.save_results(tmp_path, "verify", Answer(results=[_of(manifest, "passed")]), "t")
    assert [item["manifest"] for item in _kept(tmp_path)] == ["p", "q"]


def test_a_result_of_an_older_version_is_replaced(tmp_path: Path) -> None:
    saved.save(tmp_path, "verify", Answer(results=[{"artifact": "a", "state": "failed"}]))
    saved.save_results(tmp_path, "verify", Answer(results=[_of("p", "passed")]), "t")
    (item,) = _kept(tmp_path)
    assert item["state"] == "passed" and item["manifest"] == "p"


@pytest.mark.parametrize("state", ["passed", "failed"])
def test_a_skip_replaces_nothing_but_a_skip(tmp_path: Path, state: str) -> None:
    for number, found in enumerate(["skipped", state, "skipped", "skipped"]):
        results = [_of("p", found, reason=f"r{number}")]
        saved.save_results(tmp_path, "verify", Answer(results=results), f"t{number}")
    (item,) = _kept(tmp_path)
    assert (item["state"], item["time"]) == (state, "t1")
    assert item["skipped"] == {"time": "t3", "reason": "r3"}
    saved.save_results(tmp_path, "verify", Answer(results=[_of("p", "passed")]), "t4")
    assert _kept(tmp_path)[0]["time"] == "t4" and "skipped" not in _kept(tmp_path)[0]


def test_the_history_is_kept_and_bounded(tmp_path: Path) -> None:
    for number in range(30):
        result = _of("p", "failed" if number % 2 else "passed", metrics={"infer_seconds": number})
        saved.save_results(tmp_path, "verify", Answer(results=[result]), f"t{number}")
    history = JsonFields(_kept(tmp_path)[0]).items("history")
    assert len(history) == 20
    first = JsonFields.of(history[0])
    assert (first.text("time"), first.text("state")) == ("t28", "passed")
    assert first.object("metrics").values == {"infer_seconds": 28}
