"""An archive whose publisher states an md5: checked at the first download, then locked."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tests.conftest import Cli, write_project
from tests.kit import sha256
from tests.servers.plain import FileServer

SMALL, LARGE = b"archive" * 1000, b"archive" * 400_000


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def declare(root: Path, url: str, digest: str, size: str = "") -> None:
    facts = f"md5: {digest}{size}"
    write_project(
        root,
        "p",
        f"artifacts:\n  data:\n    source: {url}/\n    files: {{a.tar.gz: {{{facts}}}}}\n",
        "tree:\n  data/: data\n",
    )


@pytest.mark.parametrize("data", [SMALL, LARGE])
def test_it_is_checked_once_and_the_sha256_locked(cli: Cli, tmp_path: Path, data: bytes) -> None:
    with FileServer() as files:
        files.add("a.tar.gz", data)
        declare(tmp_path, files.url, md5(data))
        result = cli("all")
        assert result.code == 0, result.err
        (locked,) = json.loads((tmp_path / "fetch.lock").read_text())["manifests"]["p"]["data"][
            "files"
        ]
        assert locked["md5"] == md5(data) and locked["sha256"] == sha256(data)
        assert cli("check", "--deep").code == 0
        assert cli("all", "--locked").code == 0
        # An update sees the same md5: what it stood for is still what is locked.
        assert cli("lock", "--update", "data").code == 0
        assert json.loads((tmp_path / "fetch.lock").read_text())["manifests"]["p"]["data"][
            "files"
        ] == [locked]


@pytest.mark.parametrize("data", [SMALL, LARGE])
def test_other_bytes_are_refused(cli: Cli, tmp_path: Path, data: bytes, hermetic: Path) -> None:
    with FileServer() as files:
        files.add("a.tar.gz", data)
        declare(tmp_path, files.url, md5(b"what the publisher meant"))
        result = cli("all", "--json")
    assert result.code == 4 and result.codes == {"digest-mismatch"}
    assert f"md5 {md5(data)} instead of" in result.json["errors"][0]["message"]
    assert not (tmp_path / "data").exists()


def test_a_file_by_hand_is_taken_by_its_md5(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "by-hand.tgz").write_bytes(SMALL)
    (tmp_path / "wrong.tgz").write_bytes(SMALL + b"!")
    declare(tmp_path, "http://127.0.0.1:9", md5(SMALL), f", size: {len(SMALL)}")
    wrong = cli("adopt", "wrong.tgz", "--as", "data/a.tar.gz")
    assert wrong.code == 4 and "is not data/a.tar.gz" in wrong.err
    assert cli("adopt", "by-hand.tgz", "--as", "data/a.tar.gz").code == 0
    assert cli("all", "--offline").code == 0
    assert (tmp_path / "data/a.tar.gz").read_bytes() == SMALL
