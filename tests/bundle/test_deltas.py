"""Deltas: only what the other side lacks; refused where they count on what is not there."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fetcher.bundle import delta as havelist
from fetcher.mirror.bundle import open_bundle
from tests.bundle.conftest import FILES, WEIGHTS, Site, exported
from tests.kit import payload, sha256

MakeSite = Callable[[str], Site]
NEW = payload(900, 9)


@pytest.fixture
def changed(home: Site) -> tuple[Path, Path]:
    """(the base, a folder to write into); afterwards one file is another."""
    base = exported(home, "tar")
    (home.root / "data/set/a.jpg").write_bytes(NEW)
    assert home.fetch("all", "--update").code == 0
    return base, base.parent


def test_a_delta_has_the_changed_file_and_metadata_only(
    home: Site, site: MakeSite, changed: tuple[Path, Path]
) -> None:
    base, folder = changed
    result = home.fetch("mirror", "export", folder / "d.tar", "--since", base, "--json")
    assert result.code == 0, result.err
    summary = result.json["summary"]
    assert (summary["files"], summary["bytes"]) == (1, len(NEW))
    assert summary["left_out"] == len(set(FILES.values())) - 2  # config.json is metadata as well
    delta = open_bundle(str(folder / "d.tar"))
    blobs = {name[13:] for name in delta.sums if name.startswith("blobs/")}
    assert blobs - delta.contents.metadata() == {sha256(NEW)}
    delta.close()
    checked = home.fetch("mirror", "check", folder / "d.tar")
    assert checked.code == 0 and "delta: 3 contents" in checked.out
    away = site("away")
    refused = away.fetch("mirror", "import", folder / "d.tar", "--json")
    assert refused.code == 4 and refused.codes == {"missing"} and away.blobs() == []
    files = {(error["artifact"], error["file"]) for error in refused.json["errors"]}
    assert ("model", "model.safetensors") in files and ("set", "b.jpg") in files
    assert ("set", "a.jpg") not in files
    assert away.fetch("mirror", "import", base).code == 0
    assert away.fetch("mirror", "import", folder / "d.tar", "--project", away.root).code == 0
    assert away.fetch("all", "--offline").code == 0
    assert (away.root / "sets/s/a.jpg").read_bytes() == NEW
    both = site("both")
    assert both.fetch("mirror", "import", base, folder / "d.tar").code == 0
    assert both.blobs() == away.blobs()


def test_a_delta_by_have_list(home: Site, site: MakeSite, changed: tuple[Path, Path]) -> None:
    base, folder = changed
    away = site("away")
    assert away.fetch("mirror", "import", base).code == 0
    assert away.fetch("mirror", "have", "-o", folder / "have.txt").code == 0
    text = (folder / "have.txt").read_text()
    assert len(text) < 30 * (len(away.blobs()) + 1)
    assert away.fetch("mirror", "have").out == text
    assert set(text.splitlines()[1:]) == {digest[:24] for digest in away.blobs()}
    by_list = folder / "l.tar"
    assert home.fetch("mirror", "export", by_list, "--since", folder / "have.txt").code == 0
    assert home.fetch("mirror", "export", folder / "d.tar", "--since", base).code == 0
    assert by_list.read_bytes() == (folder / "d.tar").read_bytes()
    # A list that promises too much makes a delta that is refused, not one that is wrong.
    away2 = site("away2")
    assert away2.fetch("mirror", "import", by_list).code == 4
    for bad in ("# other/1\n", "# fetch.have/1\nnot hex\n"):
        (folder / "bad.txt").write_text(bad)
        refused = home.fetch("mirror", "export", folder / "n.tar", "--since", folder / "bad.txt")
        assert refused.code == 2 and "bad.txt" in refused.err, refused.err
    assert home.fetch("mirror", "export", folder / "n.tar", "--since", folder / "no").code == 2
    assert not (folder / "n.tar").exists()


def test_a_delta_on_a_damaged_base_is_refused(
    home: Site, site: MakeSite, changed: tuple[Path, Path]
) -> None:
    base, folder = changed
    assert home.fetch("mirror", "export", folder / "d", "--since", base).code == 0
    away = site("away")
    assert away.fetch("mirror", "import", base).code == 0
    blob = away.store / "blobs/sha256" / sha256(WEIGHTS)
    blob.chmod(0o644)
    blob.write_bytes(b"x" + WEIGHTS[1:])
    refused = away.fetch("mirror", "import", folder / "d")
    assert refused.code == 4 and "model.safetensors" in refused.err
    shutil.rmtree(away.store)


def test_sums_of_an_earlier_bundle_serve_as_have_list(tmp_path: Path) -> None:
    digest = sha256(b"1")
    (tmp_path / "SHA256SUMS").write_text(f"{digest}  blobs/sha256/{digest}\n")
    has = havelist.since(str(tmp_path / "SHA256SUMS"))
    assert has(digest) and not has(sha256(b"2"))
    assert re.fullmatch(r"# fetch\.have/1\n[0-9a-f]{24}\n", havelist.dumps([digest, digest]))
