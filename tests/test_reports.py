"""What `fetch verify` leaves behind: results by artifact, and the pictures that they name."""

from __future__ import annotations

import hashlib
from pathlib import Path

from fetcher import reports
from fetcher.report import Report


def _result(artifact: str, *pictures: bytes) -> dict[str, object]:
    named = [{"name": "p", "sha256": hashlib.sha256(data).hexdigest()} for data in pictures]
    return {"artifact": artifact, "state": "passed", "pictures": named}


def test_pictures_stay_as_long_as_a_result_names_them(tmp_path: Path) -> None:
    one, two = hashlib.sha256(b"one").hexdigest(), hashlib.sha256(b"two").hexdigest()
    reports.save_results(tmp_path, "verify", Report(results=[_result("a", b"one")]), "t")
    reports.keep_pictures(tmp_path, {one: b"one"})
    assert reports.picture(tmp_path, one) == b"one" and reports.picture(tmp_path, two) is None
    reports.save_results(tmp_path, "verify", Report(results=[_result("b", b"two")]), "t")
    reports.keep_pictures(tmp_path, {two: b"two"})
    assert reports.picture(tmp_path, one) == b"one" and reports.picture(tmp_path, two) == b"two"
    reports.save_results(tmp_path, "verify", Report(results=[_result("a")]), "t")
    reports.keep_pictures(tmp_path, {})
    assert reports.picture(tmp_path, one) is None and reports.picture(tmp_path, two) == b"two"
    path = reports.folder_of(tmp_path) / "pictures" / f"{two}.png"
    path.write_bytes(b"other")
    assert reports.picture(tmp_path, two) is None


def test_a_tree_that_cannot_be_written_keeps_none(tmp_path: Path) -> None:
    (tmp_path / ".fetch").write_text("a file")
    reports.keep_pictures(tmp_path, {"0" * 64: b"x"})
    assert reports.picture(tmp_path, "0" * 64) is None
