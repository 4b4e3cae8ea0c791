"""Artifacts that no disk has room for."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Cli, write_project
from tests.servers.plain import FileServer

SIZES = {"far": 100 << 40, "just": None, "absurd": (1 << 62)}


@pytest.fixture
def clone(tmp_path: Path) -> Callable[[str, int], None]:
    """Makes a project of a small artifact and one that says it is of this size."""

    def make(url: str, size: int) -> None:
        write_project(
            tmp_path,
            "p",
            f"""artifacts:
  big: {{source: '{url}/', files: {{big.bin: {{size: {size}}}}}}}
  small: {{source: '{url}/', files: [small.bin]}}
""",
            "tree: {big/: big, small/: small}\n",
        )

    return make


@pytest.mark.parametrize("size", SIZES.values(), ids=list(SIZES))
def test_an_artifact_of_100_tb_does_not_stop_the_others(
    tmp_path: Path, cli: Cli, clone: Callable[[str, int], None], size: int | None
) -> None:
    """A manifest that says that one of its files is larger than any disk."""
    with FileServer({"/big.bin": b"big", "/small.bin": b"small"}) as server:
        clone(server.url, size or shutil.disk_usage(tmp_path).free + 1)
        planned = cli("plan", "--json")
        assert [error["artifact"] for error in planned.json["errors"]] == ["big"]
        done = cli("all", "--json")
        assert done.code == 9
        (error,) = done.json["errors"]
        assert error["code"] == "disk-space" and error["artifact"] == "big"
        assert "needed" in error["message"] and "--only" in error["hint"]
        states = {item["id"]: item["state"] for item in done.json["artifacts"]}
        assert states == {"big": "missing", "small": "complete"}
        assert (tmp_path / "small/small.bin").read_bytes() == b"small"
        assert not any(path.endswith("big.bin") for _, path in requests_of(server))
        # What the hint says works.
        assert cli("all", "--only", "small").code == 0


def requests_of(server: FileServer) -> list[tuple[str, str]]:
    """Methods and paths of the bodies that were asked for."""
    return [(item.method, item.path) for item in server.requests if item.method == "GET"]


def test_artifacts_that_only_together_are_too_large_are_the_persons_choice(
    tmp_path: Path, cli: Cli
) -> None:
    """Beside it: each of two has room, both have not; which one is wanted is not for us to say."""
    half = shutil.disk_usage(tmp_path).free * 3 // 4
    with FileServer({"/a.bin": b"a", "/b.bin": b"b"}) as server:
        write_project(
            tmp_path,
            "p",
            f"""artifacts:
  a: {{source: '{server.url}/', files: {{a.bin: {{size: {half}}}}}}}
  b: {{source: '{server.url}/', files: {{b.bin: {{size: {half}}}}}}}
""",
            "tree: {a/: a, b/: b}\n",
        )
        done = cli("all", "--json")
        assert done.code == 9
        assert {error["code"] for error in done.json["errors"]} == {"disk-space"}
        assert not any(error["artifact"] for error in done.json["errors"])
        assert not requests_of(server)


def test_a_sparse_file_of_100_tb_beside_is_not_read(tmp_path: Path, cli: Cli) -> None:
    """A clone that was unpacked has a file of holes: hashing it would take a week."""
    write_project(
        tmp_path,
        "p",
        "artifacts: {big: {source: local:data/big.bin}, small: {source: local:data/s.bin}}\n",
        "tree: {big/: big, small/: small}\n",
    )
    (tmp_path / "data").mkdir()
    (tmp_path / "data/s.bin").write_bytes(b"small")
    with (tmp_path / "data/big.bin").open("wb") as stream:
        try:
            stream.truncate(100 << 40)
        except OSError:
            stream.truncate(shutil.disk_usage(tmp_path).free + 1)
    done = cli("all", "--json")
    assert done.code == 9, done
    assert [error["code"] for error in done.json["errors"]] == ["disk-space"]
    assert (tmp_path / "small/s.bin").read_bytes() == b"small"
