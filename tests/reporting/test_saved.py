"""What `fetch verify` leaves behind: results by artifact, and the pictures that they name."""

from __future__ import annotations

import hashlib
from pathlib import Path

from fetcher.reporting import saved
from fetcher.reporting.envelope import Answer


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
