"""Registries and buckets: pushed, pulled, used in place, and pulled by others."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fetcher.errors import UsageError
from fetcher.mirror.oci_registry import parse_reference
from tests.bundle.conftest import FILES, TREE, WEIGHTS, Site, exported
from tests.conftest import write_project
from tests.kit import sha256
from tests.servers.registry import PASSWORD, PROGRAM, TokenServer, docker_config, registry

MakeSite = Callable[[str], Site]
Keys = Callable[[str], Path]
CONTENTS = len(set(FILES.values()))
_ACCEPT = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
needs_registry = pytest.mark.skipif(PROGRAM is None, reason="docker-registry is not installed")


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    folder = tmp_path / "registry"
    folder.mkdir()
    with registry(folder) as found:
        yield found


def clone(home: Site, away: Site) -> None:
    """What git would bring."""
    for name in ("manifests", "layouts"):
        shutil.copytree(home.root / name, away.root / name)
    shutil.copy(home.root / "fetch.lock", away.root)


@needs_registry
def test_through_a_registry(home: Site, site: MakeSite, host: str) -> None:
    bundle, target = exported(home, "tar"), f"oci://{host}/team/models"
    assert home.fetch("mirror", "pull", target).code == 3
    first = home.fetch("mirror", "push", bundle, target, "--json", "-v")
    assert first.code == 0, first.err
    assert f"pushing {bundle} to {target}:" in first.err and "manifest latest" in first.err
    again = home.fetch("mirror", "push", bundle, target, "--json")
    assert again.json["summary"]["uploaded_files"] == 0 and again.code == 0
    away = site("away")
    pulled = away.fetch("mirror", "pull", target, "--project", away.root, "--json", "-v")
    assert pulled.code == 0, pulled.err
    assert f"{CONTENTS} contents to fetch" in pulled.err
    assert pulled.json["summary"]["downloaded_files"] == CONTENTS
    assert away.fetch("all", "--offline").code == 0 and away.tree() == TREE
    other = site("other")
    clone(home, other)
    used = other.fetch("all", "--from", target, "--only", "set", "--json")
    assert used.code == 0, used.err
    sources = {file["source"] for item in used.json["artifacts"] for file in item["files"]}
    assert sources == {f"mirror:{target}"}
    assert other.fetch("all", "--offline", "--from", target).code == 5


@needs_registry
def test_oras_restores_the_same_tree(home: Site, host: str, tmp_path: Path) -> None:
    oras = pytest.importorskip("oras.client")
    assert home.fetch("mirror", "push", exported(home, "folder"), f"oci://{host}/a/b").code == 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        client = oras.OrasClient(hostname=host, insecure=True)
        client.pull(target=f"{host}/a/b:p.model", outdir=str(tmp_path / "out/model"))
        client.pull(target=f"{host}/a/b:p.set", outdir=str(tmp_path / "out/set"))
    found = {
        path.relative_to(tmp_path / "out").as_posix(): path.read_bytes()
        for path in (tmp_path / "out").rglob("*")
        if path.is_file()
    }
    assert found == FILES


@needs_registry
@pytest.mark.heavy
def test_an_artifact_of_very_many_files_fits(
    home: Site, site: MakeSite, host: str, tmp_path: Path
) -> None:
    """More files, of few contents, than one manifest takes: restored tag by tag."""
    oras = pytest.importorskip("oras.client")
    root = site("many").root
    write_project(root, "m", "artifacts:\n  d:\n    source: local:d\n", "tree:\n  d/: d\n")
    names = [f"a-folder-with-a-long-name-{i % 7}/{i:06d}-{'x' * 200}.txt" for i in range(10_000)]
    for name in names:
        path = root / "d" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name[25:27].encode())  # few contents
    many = Site(root, home.cli, home.monkeypatch)
    assert many.fetch("lock").code == 0
    assert many.fetch("all").code == 0
    assert many.fetch("mirror", "export", root / "m.tar").code == 0
    assert many.fetch("mirror", "push", root / "m.tar", f"oci://{host}/many").code == 0
    client = oras.OrasClient(hostname=host, insecure=True)
    tags = [tag for tag in client.get_tags(f"{host}/many") if tag.startswith("m.d")]
    assert sorted(tags) == ["m.d", "m.d.part2"]
    away = site("away")
    pulled = away.fetch("mirror", "pull", f"oci://{host}/many", "--project", away.root / "q")
    assert pulled.code == 0, pulled.err
    assert away.fetch("all", "--offline", cwd=away.root / "q").code == 0
    found = {path.relative_to(away.root / "q/d").as_posix() for path in away.root.rglob("*.txt")}
    assert found == set(names)
    layers = []
    for tag in tags:
        answer = client.do_request(f"http://{host}/v2/many/manifests/{tag}", headers=_ACCEPT)
        assert len(answer.content) <= 4 << 20
        layers += answer.json()["layers"]
    titles = [item["annotations"]["org.opencontainers.image.title"] for item in layers]
    assert sorted(titles) == sorted(names)


@needs_registry
def test_tokens_are_asked_for_and_shown_to_nobody(
    home: Site, site: MakeSite, hermetic: Path, tmp_path: Path
) -> None:
    pytest.importorskip("cryptography")
    bundle = exported(home, "volumes")
    (tmp_path / "r").mkdir()
    with TokenServer(tmp_path / "r") as tokens, registry(tmp_path / "r", tokens) as host:
        target = f"oci://{host}/private/models:v1"
        denied = home.fetch("mirror", "push", bundle, target, "--json")
        assert denied.code == 6 and denied.codes == {"auth"} and "docker login" in denied.err
        docker_config(hermetic, host)
        done = home.fetch("mirror", "push", bundle, target)
        assert done.code == 0, done.err
        away = site("away")
        clone(home, away)
        result = away.fetch("all", "--from", target)
        assert result.code == 0, result.err
        assert away.tree() == TREE
        assert tokens.given >= 2 and tokens.errors == []
        (hermetic / ".docker/config.json").unlink()
        refused = site("other").fetch("mirror", "pull", target)
        assert refused.code == 6
        for told in (denied, done, result, refused):
            assert PASSWORD not in told.out + told.err and "eyJ" not in told.out + told.err


@needs_registry
def test_signatures_in_a_registry(
    home: Site, site: MakeSite, host: str, keys: Keys, tmp_path: Path
) -> None:
    bundle, target, key = exported(home, "tar"), f"oci://{host}/signed", keys("k")
    public = key.with_suffix(".pub")
    assert home.fetch("mirror", "push", bundle, target).code == 0
    away = site("away")
    clone(home, away)
    unsigned = away.fetch("all", "--from", target, "--verify-key", public, "--json")
    assert unsigned.code == 4 and unsigned.codes == {"signature"} and away.blobs() == []
    assert home.fetch("mirror", "sign", bundle, "--key", key).code == 0
    assert home.fetch("mirror", "push", bundle, target, "--verify-key", public).code == 0
    wrong = keys("other").with_suffix(".pub")
    assert away.fetch("mirror", "pull", target, "--verify-key", wrong).code == 4
    assert away.fetch("mirror", "push", bundle, target, "--verify-key", wrong).code == 4
    assert away.blobs() == []
    used = away.fetch("all", "--from", target, "--verify-key", public)
    assert used.code == 0, used.err
    # The tag is moved to something else, which nobody has signed.
    (home.root / "data/set/new.jpg").write_bytes(b"new")
    assert home.fetch("all", "--update").code == 0
    later = tmp_path / "later.tar"
    assert home.fetch("mirror", "export", later).code == 0
    assert home.fetch("mirror", "push", later, target).code == 0
    other = site("other")
    moved = other.fetch("mirror", "pull", target, "--verify-key", public)
    assert moved.code == 4 and "moved" in moved.err and other.blobs() == []


@needs_registry
def test_deltas_and_damage_on_the_way_to_a_registry(home: Site, host: str, tmp_path: Path) -> None:
    base, target = exported(home, "tar"), f"oci://{host}/delta"
    (home.root / "data/set/new.jpg").write_bytes(b"new")
    assert home.fetch("all", "--update").code == 0
    delta = tmp_path / "d.tar"
    assert home.fetch("mirror", "export", delta, "--since", base).code == 0
    early = home.fetch("mirror", "push", delta, target)
    assert early.code == 4 and "push the base first" in early.err
    data = bytearray(base.read_bytes())
    data[data.index(WEIGHTS[:64]) + 5] ^= 1
    damaged = tmp_path / "damaged.tar"
    damaged.write_bytes(data)
    refused = home.fetch("mirror", "push", damaged, target)
    assert refused.code == 4 and sha256(WEIGHTS) in refused.err
    assert home.fetch("mirror", "push", base, target).code == 0
    assert home.fetch("mirror", "push", delta, target).code == 0


def test_addresses() -> None:
    found = parse_reference("oci://registry.example.org:5000/team/models:v1.2")
    assert found.base == "https://registry.example.org:5000" and found.tag == "v1.2"
    assert parse_reference("oci://localhost:5000/m").base == "http://localhost:5000"
    assert parse_reference("oci://127.0.0.1/m").base == "http://127.0.0.1"
    assert parse_reference("oci://docker.io/o/m").base == "https://registry-1.docker.io"
    assert parse_reference("oci://127.0.0.1.evil.org/m").base.startswith("https://")
    for bad in ("oci://", "oci://h", "oci://h/UPPER", "oci://h/a b", "oci://h/..", "oci://u:p@h/a"):
        with pytest.raises(UsageError):
            parse_reference(bad)


def test_wrong_addresses_are_told(home: Site) -> None:
    bundle = exported(home, "tar")
    for target in ("oci://h/UPPER", "s3://B", "ftp://h/x", "registry/x"):
        assert home.fetch("mirror", "push", bundle, target).code == 2, target
    for source in ("oci://h", "s3://", "b.tar"):
        assert home.fetch("mirror", "pull", source).code == 2, source
    assert home.fetch("mirror", "pull", "oci://127.0.0.1:9/x").code == 3
    shutil.rmtree(home.store)
    shutil.rmtree(home.root / "models")
    assert home.fetch("all", "--from", "oci://h/UPPER").code == 2


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket on a server that speaks S3."""
    pytest.importorskip("obstore")
    moto = pytest.importorskip("moto.server")
    boto3 = pytest.importorskip("boto3")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        url = "http://{}:{}".format(*server.get_host_and_port())
        for name, value in {
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "very-secret-key",
            "AWS_REGION": "eu-central-1",
            "AWS_ENDPOINT_URL": url,
        }.items():
            monkeypatch.setenv(name, value)
        client = boto3.client("s3", endpoint_url=url, region_name="us-east-1")
        client.create_bucket(Bucket="models")
        yield "s3://models/team/p"
        server.stop()


@pytest.mark.filterwarnings("ignore")
def test_through_a_bucket(home: Site, site: MakeSite, keys: Keys, bucket: str) -> None:
    bundle, key = exported(home, "tar"), keys("k")
    public = key.with_suffix(".pub")
    assert home.fetch("mirror", "push", bundle, "s3://nowhere/x").code == 3
    assert home.fetch("mirror", "pull", bucket).code == 3
    assert home.fetch("mirror", "push", bundle, bucket).code == 0
    away = site("away")
    clone(home, away)
    assert away.fetch("all", "--from", bucket, "--verify-key", public).code == 4
    assert home.fetch("mirror", "sign", bundle, "--key", key).code == 0
    again = home.fetch("mirror", "push", bundle, bucket, "--json")
    assert again.code == 0 and again.json["summary"]["uploaded_bytes"] < 50_000
    used = away.fetch("all", "--from", bucket, "--verify-key", public)
    assert used.code == 0, used.err
    assert away.tree() == TREE
    other = site("other")
    pulled = other.fetch("mirror", "pull", bucket, "--verify-key", public, "--json")
    assert pulled.code == 0, pulled.err
    assert other.blobs() == away.blobs()
    wrong = keys("w").with_suffix(".pub")
    assert site("third").fetch("mirror", "pull", bucket, "--verify-key", wrong).code == 4
    assert "very-secret" not in used.out + used.err + pulled.out + pulled.err


def test_through_a_web_server(home: Site, site: MakeSite) -> None:
    from tests.servers.plain import FileServer

    folder = exported(home, "folder")
    files = {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }
    with FileServer({f"site/{name}": data for name, data in files.items()}) as server:
        away = site("away")
        pulled = away.fetch("mirror", "pull", f"{server.url}/site", "--project", away.root)
        assert pulled.code == 0, pulled.err
        assert away.fetch("all", "--offline").code == 0 and away.tree() == TREE
        assert site("b").fetch("mirror", "pull", f"{server.url}/none").code == 3
