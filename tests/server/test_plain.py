"""Contents by digest, files by artifact, GitHub's addresses, an OCI registry; who may see what."""

from __future__ import annotations

import base64
import json
import os
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.kit import payload, sha256
from tests.server.conftest import MODEL, PARTS, RAW, RELEASED, SECRET, Held
from tests.server.kit import Mirror, bearer, fetch, serving

WEIGHTS = MODEL["model.safetensors"]


def clone(root: Path, target: Path) -> None:
    """What git would have of a project."""
    for name in ("manifests", "layouts"):
        shutil.copytree(root / name, target / name)
    shutil.copy(root / "fetch.lock", target)


def test_blobs_by_digest(mirror: Mirror) -> None:
    answer = mirror.ask(f"/blobs/sha256/{sha256(WEIGHTS)}")
    assert answer.body == WEIGHTS
    part = mirror.ask(f"/blobs/sha256/{sha256(WEIGHTS)}", headers={"Range": "bytes=5-9"})
    assert part.body == WEIGHTS[5:10]
    for wrong in ("0" * 64, "X" * 64, sha256(WEIGHTS).upper(), "..", "%2e%2e/oci-layout", ""):
        assert mirror.ask(f"/blobs/sha256/{wrong}").status == 404


def test_files_by_artifact(mirror: Mirror) -> None:
    names = {item["id"] for item in mirror.ask("/files/").json()["artifacts"]}
    assert {"m", "first", "raw", "release"} <= names
    assert not {"secret", "hidden"} & names
    listed = mirror.ask("/files/p/m").json()
    assert {file["path"]: file["sha256"] for file in listed["files"]} == {
        path: sha256(data) for path, data in MODEL.items()
    }
    assert mirror.ask("/files/p/m/sub/deep/vocab.txt").body == MODEL["sub/deep/vocab.txt"]
    for wrong in ("p/none", "q", "p/m/none", "p/m/../secret/secret.txt", "p/secret"):
        assert mirror.ask(f"/files/{wrong}").status == 404


@pytest.mark.parametrize("ref", ["main", "refs/heads/main", "COMMIT", "HEAD"])
def test_github(held: Held, mirror: Mirror, ref: str) -> None:
    ref = ref.replace("COMMIT", held.commits["r"])
    for path, data in RAW.items():
        assert mirror.ask(f"/gh/g/r/{ref}/{path}").body == data
        assert mirror.ask(f"/gh/G/r/raw/{ref}/{path}").body == data
    assert mirror.ask(f"/gh/g/r/{ref}/none").status == 404


def test_github_releases_and_absences(mirror: Mirror) -> None:
    assert mirror.ask("/gh/g/r/releases/download/v1.0/asset.bin").body == RELEASED
    for wrong in ("", "g", "g/r", "g/r/main", "g/r/v2/weights/net.pt", "x/r/main/weights/net.pt"):
        assert mirror.ask(f"/gh/{wrong}").status == 404


def test_fetch_itself_is_a_client(held: Held, mirror: Mirror, tmp_path: Path) -> None:
    """A clone gets everything public: by digest, or as from the places themselves."""
    clone(held.root, tmp_path / "clone")
    flags = ("all", "--quiet", "--locked", "--skip", "secret", "--skip", "hidden")
    fetch(tmp_path / "one", *flags, "--from", mirror.url, cwd=tmp_path / "clone")
    assert (tmp_path / "clone/m/model.safetensors").read_bytes() == WEIGHTS
    fetch(
        tmp_path / "two",
        *flags,
        "--into",
        tmp_path / "other",
        cwd=tmp_path / "clone",
        HF_ENDPOINT=mirror.url,
        FETCH_REWRITE=" ".join(
            f"{host}={mirror.url}/gh/"
            for host in (
                "https://raw.githubusercontent.com/",
                "https://media.githubusercontent.com/media/",
                "https://github.com/",
            )
        ),
    )
    assert (tmp_path / "other/raw/net.pt").read_bytes() == RAW["weights/net.pt"]
    assert (tmp_path / "other/release/asset.bin").read_bytes() == RELEASED


def test_the_lock_is_served_without_what_is_private(mirror: Mirror) -> None:
    lock = json.loads(mirror.ask("/projects/fetch.lock").body)
    assert "m" in lock["manifests"]["p"] and "secret" not in lock["manifests"]["p"]
    assert mirror.ask("/projects/manifests/p.yaml").status == 404
    whole = mirror.ask("/projects/fetch.lock", headers=bearer("reader-token-1")).json()
    assert "secret" in whole["manifests"]["p"]
    assert (
        b"artifacts:"
        in mirror.ask("/projects/manifests/p.yaml", headers=bearer("reader-token-1")).body
    )
    assert mirror.ask("/projects/../fetch.lock").status == 404


def test_an_oci_registry_to_pull_from(mirror: Mirror) -> None:
    assert mirror.ask("/v2/").status == 200
    names = mirror.ask("/v2/_catalog").json()["repositories"]
    assert "p/m" in names and "p/secret" not in names
    assert mirror.ask("/v2/p/m/tags/list").json()["tags"] == ["latest"]
    answer = mirror.ask("/v2/p/m/manifests/latest")
    assert sha256(answer.body) == answer.headers["docker-content-digest"][7:]
    manifest = answer.json()
    for layer in [*manifest["layers"], manifest["config"]]:
        blob = mirror.ask(f"/v2/p/m/blobs/{layer['digest']}")
        assert sha256(blob.body) == layer["digest"][7:]
    titles = {
        layer["annotations"]["org.opencontainers.image.title"] for layer in manifest["layers"]
    }
    assert titles == MODEL.keys()
    for wrong in ("p/none/manifests/latest", "p/m/manifests/v9", "p/m/uploads/x"):
        assert mirror.ask(f"/v2/{wrong}").status == 404


def test_oras_pulls(mirror: Mirror, tmp_path: Path) -> None:
    client = pytest.importorskip("oras.client")
    host = mirror.url.removeprefix("http://")
    oras = client.OrasClient(hostname=host, insecure=True)
    oras.pull(target=f"{host}/p/m:latest", outdir=str(tmp_path))
    assert (tmp_path / "model.safetensors").read_bytes() == WEIGHTS
    assert (tmp_path / "sub/deep/vocab.txt").read_bytes() == MODEL["sub/deep/vocab.txt"]


def test_a_mirror_is_pulled_as_a_whole(held: Held, tmp_path: Path) -> None:
    """By the next site, along with lock and manifests, and is served there."""
    clone(held.root, tmp_path / "open")
    for path in tmp_path.glob("open/*/p.yaml"):
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(x for x in lines if "secret" not in x and "hidden" not in x))
    with serving(held.home, cwd=tmp_path / "open") as first:
        source = f"oci://{first.url.removeprefix('http://')}/all"
        fetch(tmp_path, "mirror", "pull", source, cwd=tmp_path)
    with serving(tmp_path, "--store", tmp_path / "store", cwd=tmp_path) as second:
        assert second.ask("/o/m/resolve/main/model.safetensors").body == WEIGHTS
        assert second.ask("/gh/g/r/main/weights/net.pt").body == RAW["weights/net.pt"]
        assert second.ask("/projects/manifests/p.yaml").status == 200


def test_private_artifacts_take_a_token(mirror: Mirror) -> None:
    places = ["/o/secret/resolve/main/secret.txt", "/files/p/secret/secret.txt"]
    places.append(f"/blobs/sha256/{sha256(SECRET)}")
    for place in places:
        assert mirror.ask(place).status == 404
        assert mirror.ask(place, headers=bearer("partial-token-1")).status == 404
        assert mirror.ask(place, headers=bearer("writer-token-1")).status == 404
        assert mirror.ask(place, headers=bearer("reader-token-1")).body == SECRET
        basic = base64.b64encode(b"anyone:reader-token-1").decode()
        assert mirror.ask(place, headers={"Authorization": f"Basic {basic}"}).body == SECRET
        for wrong in ("Bearer", "Bearer ", "Basic !!!", "Basic eA==", "reader-token-1", "\xff"):
            assert mirror.ask(place, headers={"Authorization": wrong}).status == 404


def test_health_metrics_and_the_front_page(mirror: Mirror) -> None:
    assert mirror.ask("/healthz").body == b"ok\n"
    mirror.ask("/o/m/resolve/main/config.json")
    text = mirror.ask("/metrics", headers=bearer("reader-token-1")).body.decode()
    assert 'fetch_requests_total{part="hub",method="GET",status="200"}' in text
    assert "# TYPE fetch_response_bytes_total counter" in text
    assert mirror.url in mirror.ask("/").body.decode()
    for nothing in ("/none", "/-/none", "//", "/api/none"):
        assert mirror.ask(nothing).status == 404


def test_what_applications_measured_is_told_to_those_who_may_see_all(
    held: Held, mirror: Mirror
) -> None:
    report = held.root / ".fetch/reports/models.json"
    report.parent.mkdir(parents=True, exist_ok=True)
    text = {"schema": "fetch.report/1", "results": [{"name": "secret", "calls": 3}]}
    report.write_text(json.dumps(text))
    try:
        told = mirror.ask("/metrics", headers=bearer("reader-token-1")).body.decode()
        assert "secret" in told and "fetch_model_" in told
        assert "secret" not in mirror.ask("/metrics").body.decode()
        report.write_text("[")
        assert mirror.ask("/metrics", headers=bearer("reader-token-1")).status == 200
    finally:
        report.unlink()


@pytest.mark.parametrize(
    "path",
    [
        "/../../../../etc/passwd",
        "/files/p/m/..%2f..%2f..%2ffetch.lock",
        "/o/m/resolve/main/%2e%2e/%2e%2e/secret.txt",
        "/o/m/resolve/main/%00",
        "/o/m/resolve/main/%ff%fe",
        "/o/m/resolve/main//config.json",
        "/o/m/resolve/main/\\config.json",
        "/api/models/" + "a" * 20_000,
        "/gh/" + "/".join("x" * 3000),
        "/v2/" + "/".join("y" * 3000),
        "/?" + "&".join(f"a{i}=1" for i in range(500)),
        "/api/datasets/o/d/tree/main?" + "&".join(f"a{i}=1" for i in range(500)),
    ],
)
def test_hostile_paths(mirror: Mirror, path: str) -> None:
    answer = mirror.ask(path)
    assert answer.status in {200, 400, 404, 414, 431}
    assert b"root:" not in answer.body and b"schema" not in answer.body[:50]
    assert not mirror.said


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x01\x02",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET http://other/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"CONNECT other:443 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        b"PUT /blobs/sha256/" + b"a" * 64 + b" HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nxx",
    ],
)
def test_hostile_requests(mirror: Mirror, data: bytes) -> None:
    mirror.raw(data)
    assert mirror.ask("/healthz").status == 200


def test_uploads(held: Held, mirror: Mirror) -> None:
    data = payload(3 << 20, 11)
    path = f"/blobs/sha256/{sha256(data)}"
    assert mirror.ask(path, "PUT", body=b"some bytes").status == 401
    assert mirror.ask(path, "PUT", bearer("reader-token-1"), b"some bytes").status == 403
    writer = bearer("writer-token-1")
    assert mirror.ask(path, "PUT", writer, b"other bytes").status == 422
    assert not held.blob(data).exists()
    assert mirror.ask(path, "PUT", writer, data).status == 201
    assert held.blob(data).read_bytes() == data
    assert mirror.ask(path, "PUT", writer, data).status == 200
    assert mirror.ask("/blobs/sha256/zz", "PUT", writer, b"some bytes").status == 404
    assert [path.name for path in (held.store / "partial").iterdir()] == []
    held.blob(data).unlink()


def test_many_clients_at_once(mirror: Mirror) -> None:
    def one(index: int) -> bool:
        name = f"part{index % 3}.bin"
        small = mirror.ask(f"/o/parts/resolve/main/{name}").body == PARTS[name]
        return small and mirror.ask("/o/m/resolve/main/model.safetensors").body == WEIGHTS

    with ThreadPoolExecutor(64) as pool:
        assert all(pool.map(one, range(192)))
    assert mirror.memory() < 200 << 20


@contextmanager
def damaged(blob: Path, data: bytes) -> Iterator[None]:
    """Its last byte is another; whatever happens, the other tests find it sound."""
    blob.chmod(0o644)
    blob.write_bytes(data[:-1] + b"x")
    try:
        yield
    finally:
        blob.write_bytes(data)


def test_a_changed_blob_is_not_served(held: Held) -> None:
    data = RAW["weights/net.pt"]
    blob = held.blob(data)
    with serving(held.home, cwd=held.root) as mirror:
        assert mirror.ask("/files/p/raw/net.pt").body == data
        with damaged(blob, data):
            assert mirror.ask("/files/p/raw/net.pt").status == 500
            assert mirror.ask("/files/p/raw/net.pt", headers={"Range": "bytes=0-1"}).status == 500
            assert mirror.says("damaged")
            assert "fetch_damaged_contents_total 1" in mirror.ask("/metrics").body.decode()
        # not stamped like this, but sound
        assert mirror.ask("/files/p/raw/net.pt").body == data


def test_a_large_unproven_blob_is_proven_on_its_way(held: Held, tmp_path: Path) -> None:
    """Its last bytes only leave if all are right; a slow client costs no memory."""
    data = payload(1 << 20, 3) * 80
    store = tmp_path / "store"
    (store / "blobs/sha256").mkdir(parents=True)
    blob = store / "blobs/sha256" / sha256(data)
    blob.write_bytes(data)
    path = f"/blobs/sha256/{sha256(data)}"
    with serving(held.home, "--store", store, cwd=tmp_path) as mirror:
        assert mirror.ask(path).body == data
        blob.write_bytes(data[:1000] + b"?" + data[1001:])
        os.utime(blob, ns=(1, 1))
        answer = mirror.ask(path)
        assert answer.cut and len(answer.body) < len(data)
        assert mirror.ask(path).status == 500


def test_new_content_appears(held: Held, tmp_path: Path) -> None:
    root = tmp_path / "project"
    clone(held.root, root)
    lock = root / "fetch.lock"
    text = lock.read_text()
    lock.write_text(text.replace('"m": {', '"m-": {'))
    with serving(held.home, cwd=root) as mirror:
        assert mirror.ask("/files/p/m").status == 404
        lock.write_text(text)
        deadline = time.monotonic() + 20
        while mirror.ask("/files/p/m").status != 200 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert mirror.ask("/files/p/m/config.json").body == MODEL["config.json"]
        lock.write_text("{broken")
        time.sleep(1.2)
        mirror.ask("/healthz")
        time.sleep(0.5)
        assert mirror.ask("/files/p/m/config.json").body == MODEL["config.json"]
