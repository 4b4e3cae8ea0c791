"""Models that ship their publisher's signature: what it does not cover is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fetcher.mirror import signing
from tests.bundle.conftest import Site
from tests.conftest import write_project
from tests.kit import sha256

FILES = {"config.json": b"{}", "weights/model.bin": b"w" * 999, ".gitattributes": b"*"}
MANIFEST = "artifacts:\n  m:\n    source: local:data\n"


@pytest.fixture
def signed(
    site: Callable[[str], Site], keys: Callable[[str], Path], tmp_path: Path
) -> tuple[Site, Path]:
    """A project whose model is signed; and the private key."""
    home, key = site("home"), keys("publisher")
    write_project(home.root, "p", MANIFEST, "tree:\n  m/: m\n")
    for name, data in FILES.items():
        path = home.root / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    digests = {name: sha256(data) for name, data in FILES.items() if name != ".gitattributes"}
    # More than the project takes: a model may be fetched in part.
    digests["tf_model.h5"] = sha256(b"not here")
    signing.sign(digests, "model", key, home.root / "data/model.sig")
    assert home.fetch("all").code == 0
    return home, key


def declare(home: Site, text: str) -> None:
    write_project(home.root, "p", MANIFEST + f"    signature: {text}\n", "tree:\n  m/: m\n")


def test_a_signature_that_holds(signed: tuple[Site, Path], tmp_path: Path) -> None:
    home, key = signed
    (home.root / "keys").mkdir()
    (home.root / "keys/p.pub").write_bytes(key.with_suffix(".pub").read_bytes())
    for text in ("{key: keys/p.pub}", "{file: model.sig, key: keys/p.pub}"):
        declare(home, text)
        assert home.fetch("check", "--deep").code == 0
        out = tmp_path / f"{len(text)}.tar"
        assert home.fetch("mirror", "export", out).code == 0
        assert home.fetch("mirror", "check", out).code == 0


def test_a_signature_by_somebody_else(
    signed: tuple[Site, Path], keys: Callable[[str], Path], tmp_path: Path
) -> None:
    home, _ = signed
    declare(home, f"{{key: {keys('other').with_suffix('.pub')}}}")
    result = home.fetch("check", "--deep", "--json")
    assert result.code == 4 and result.codes == {"signature"}
    assert "another key" in result.json["errors"][0]["message"]
    assert home.fetch("mirror", "export", tmp_path / "b.tar").code == 4
    assert not (tmp_path / "b.tar").exists()
    declare(home, "{key: nowhere.pub}")
    assert "nowhere.pub" in home.fetch("check", "--deep").err
    declare(home, f"{{file: other.sig, key: {keys('third')}}}")
    assert "no other.sig" in home.fetch("check", "--deep").err


@pytest.mark.parametrize("name", ["weights/model.bin", "extra.bin"])
def test_files_that_the_publisher_did_not_sign(
    signed: tuple[Site, Path], tmp_path: Path, name: str
) -> None:
    home, _ = signed
    (home.root / "data" / name).write_bytes(b"changed")
    assert home.fetch("all", "--update").code == 0
    result = home.fetch("mirror", "export", tmp_path / "b.tar")
    assert result.code == 4 and name in result.err
    assert home.fetch("check").code == 0  # as locked; what was signed is for --deep
    assert home.fetch("check", "--deep").code == 4


def test_what_is_no_signature(signed: tuple[Site, Path]) -> None:
    home, _ = signed
    for data in (b"{}", b"[" * 99_999, b'{"dsseEnvelope":{"payload":"e30="}}', b"\xff"):
        (home.root / "data/model.sig").write_bytes(data)
        assert home.fetch("all", "--update").code == 0
        result = home.fetch("check", "--deep")
        assert result.code == 4 and "cannot be read" in result.err


@pytest.mark.parametrize(
    "text", ["{}", "{file: x}", "{identity: a}", "{key: a, identity: b, issuer: c}", "{keys: a}"]
)
def test_manifests_name_one_signer(signed: tuple[Site, Path], text: str) -> None:
    home, _ = signed
    declare(home, text)
    assert home.fetch("status").code == 2
