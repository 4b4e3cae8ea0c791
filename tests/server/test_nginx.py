"""Real nginx with a generated configuration, compared with the server itself."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from huggingface_hub import HfApi

from fetcher.server.nginx import NginxMaps
from tests.kit import git_blob, sha256
from tests.server.conftest import DATA, MODEL, PARTS, RAW, RELEASED, SECRET, Held
from tests.server.kit import Mirror, attempt, clean_environment, fetch

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/bin")
pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")


@pytest.fixture(scope="module")
def nginx(held: Held, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mirror]:
    folder = tmp_path_factory.mktemp("nginx")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    (folder / "tokens").write_text("ana read one-token-1\n")
    flags = ("serve", "--port", str(port), "--nginx-config", folder, "--tokens", folder / "tokens")
    fetch(held.home, *flags, cwd=held.root)
    main = folder / "nginx.conf"
    # As root, nginx would read as another user, who may not see a test's folders.
    main.write_text(main.read_text() + "user root;\n")
    command = [str(NGINX), "-p", str(folder), "-c", "nginx.conf", "-g", "daemon off;"]
    process = subprocess.Popen(
        command, env=clean_environment(folder), stderr=subprocess.PIPE, text=True
    )
    mirror = Mirror(process, f"http://127.0.0.1:{port}", "")
    for _ in range(100):
        try:
            mirror.ask("/healthz")
            break
        except OSError:
            time.sleep(0.05)
    yield mirror
    process.terminate()
    _, said = process.communicate(timeout=10)
    assert process.returncode == 0, said


@pytest.mark.parametrize(
    "path",
    [
        "models/o/m/tree/main?recursive=true&expand=false",
        "models/o/m/tree/main",
        "models/o/m/tree/main/sub?recursive=false",
        "datasets/o/d/tree/main?recursive=True",
        "datasets/o/d/tree/main/data/003",
        "models/o/parts/tree/main",
        "models/o/tagged/tree/feature%2Fx",
        "models/o/tagged/refs",
        "models/o/m?blobs=true",
        "models/o/m/revision/main?blobs=true",
        "spaces/o/s?blobs=true",
        "datasets/o/d/revision/COMMIT?blobs=true",
    ],
)
def test_listings_are_the_servers(held: Held, mirror: Mirror, nginx: Mirror, path: str) -> None:
    path = "/api/" + path.replace("COMMIT", held.commits["d"])

    def told(answer: Any) -> Any:
        found = answer.json()
        if isinstance(found, dict):
            found.pop("usedStorage", None)
        return found

    assert told(nginx.ask(path)) == told(mirror.ask(path))


@pytest.mark.parametrize("path", sorted(MODEL))
def test_files(held: Held, nginx: Mirror, path: str) -> None:
    data = MODEL[path]
    etag = sha256(data) if path.endswith("safetensors") else git_blob(data)
    for revision in ("main", held.commits["m"], held.commits["m"][:7]):
        for method in ("GET", "HEAD"):
            answer = nginx.ask(f"/o/m/resolve/{revision}/{quote(path)}", method)
            assert answer.status == 200
            assert answer.body == (data if method == "GET" else b"")
            assert answer.headers["x-linked-etag"] == f'"{etag}"'
            assert answer.headers["x-repo-commit"] == held.commits["m"]
            assert answer.headers["content-length"] == str(len(data))
    if len(data) > 5:
        part = nginx.ask(f"/o/m/resolve/main/{quote(path)}", headers={"Range": "bytes=1-4"})
        assert (part.status, part.body) == (206, data[1:5])


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/api/models/o/none", "RepoNotFound"),
        ("/api/models/o/secret", "RepoNotFound"),
        ("/o/none/resolve/main/config.json", "RepoNotFound"),
        ("/o/secret/resolve/main/secret.txt", "RepoNotFound"),
        ("/api/models/o/m/revision/v9", "RevisionNotFound"),
        ("/o/m/resolve/v9/config.json", "RevisionNotFound"),
        ("/api/models/o/m/tree/main/additional_chat_templates?recursive=false", "EntryNotFound"),
        ("/o/m/resolve/main/none.json", "EntryNotFound"),
    ],
)
def test_what_is_not_here_has_its_code(nginx: Mirror, path: str, code: str) -> None:
    for method in ("GET", "HEAD"):
        answer = nginx.ask(path, method)
        assert (answer.status, answer.code) == (404, code)
    if code == "EntryNotFound":
        assert len(answer.headers["x-repo-commit"]) == 40


def test_other_addresses(held: Held, nginx: Mirror) -> None:
    weights = MODEL["model.safetensors"]
    assert nginx.ask(f"/blobs/sha256/{sha256(weights)}").body == weights
    assert nginx.ask(f"/blobs/sha256/{sha256(SECRET)}").status == 404
    assert nginx.ask("/files/p/m/config.json").body == MODEL["config.json"]
    assert nginx.ask(f"/gh/g/r/{held.commits['r']}/weights/net.pt").body == RAW["weights/net.pt"]
    assert nginx.ask("/gh/g/r/releases/download/v1.0/asset.bin").body == RELEASED
    assert nginx.ask("/o/tagged/resolve/refs%2Ftags%2Fv1/a.txt").body == b"one"
    assert nginx.ask("/o/parts/resolve/main/part1.bin").body == PARTS["part1.bin"]
    assert "secret" not in nginx.ask("/projects/fetch.lock").json()["manifests"]["p"]
    for hostile in ("/../../etc/passwd", "/files/p/m/%2e%2e/x", "/projects/../nginx.conf", "/x"):
        assert nginx.ask(hostile).status in {400, 404}


def test_the_hubs_client(nginx: Mirror, tmp_path: Path) -> None:
    api = HfApi(endpoint=nginx.url, token=False)
    folder = Path(api.snapshot_download("o/m", cache_dir=tmp_path))
    assert {name: (folder / name).read_bytes() for name in MODEL} == MODEL
    folder = Path(api.snapshot_download("o/d", repo_type="dataset", cache_dir=tmp_path))
    assert {name: (folder / name).read_bytes() for name in DATA} == DATA
    assert not api.file_exists("o/m", "none")
    assert api.list_repo_refs("o/tagged").branches


def test_names_that_differ_by_case_are_kept_apart() -> None:
    maps = NginxMaps()
    for key in ("m/A.txt", "m/a.txt", 'm/"b\\.txt'):
        maps.put("file", key, key[2:3])
    assert maps.text("file") == ('"~^m/A\\\\.txt$" A;\n"~^m/a\\\\.txt$" a;\n"m/\\"b\\\\.txt" ";\n')


def test_a_tar_is_refused(held: Held, tmp_path: Path) -> None:
    fetch(held.home, "mirror", "export", tmp_path / "b.tar", cwd=held.root)
    done = attempt(held.home, "serve", "b.tar", "--nginx-config", "out", cwd=tmp_path)
    assert done.returncode == 4 and "fetch mirror import" in done.stderr


def test_somebody_elses_configuration_stays(held: Held, tmp_path: Path) -> None:
    """The folder of the machine's own nginx was named; what fetch wrote itself is written anew."""
    (tmp_path / "etc").mkdir()
    for name in ("nginx.conf", "fetch.conf"):
        (tmp_path / "etc" / name).write_text("user www-data;\n")
        done = attempt(held.home, "serve", "--nginx-config", tmp_path / "etc", cwd=held.root)
        assert done.returncode == 4 and f"{name} is there, and fetch did not write" in done.stderr
        assert [path.name for path in (tmp_path / "etc").iterdir()] == [name]
        assert (tmp_path / "etc" / name).read_text() == "user www-data;\n"
        (tmp_path / "etc" / name).unlink()
    for _ in range(2):
        fetch(held.home, "serve", "--nginx-config", tmp_path / "etc", cwd=held.root)
