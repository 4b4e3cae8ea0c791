"""The Hugging Face cache, held to the oldest and the newest huggingface_hub."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetcher.config.settings import load
from fetcher.errors import Failure
from fetcher.fs.atomic import copy
from fetcher.project.manifest import Artifact
from fetcher.sources.base import FileEntry
from fetcher.sources.huggingface import HuggingFace
from fetcher.tree.hf_cache import CachedBlobs, HubCache, branch_of, is_shared
from fetcher.tree.plan import Item
from tests.kit import git_blob, payload, sha256
from tests.oracles import CLIENTS, client

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHER = "f" * 40
WEIGHTS = payload(5000)
FILES = {
    "config.json": b"{}",
    "sub dir/ü 한글.txt": "안녕".encode(),
    "deep/a/b/c.bin": WEIGHTS,
    "empty": b"",
}

SCAN = """
import json, sys
from huggingface_hub import scan_cache_dir
found = scan_cache_dir(sys.argv[1])
print(json.dumps({
    "warnings": [str(warning) for warning in found.warnings],
    "repos": sorted(
        [repo.repo_type, repo.repo_id, repo.nb_files, sorted(
            [revision.commit_hash, sorted(revision.refs), sorted(
                file.file_path.relative_to(revision.snapshot_path).as_posix()
                for file in revision.files
            )] for revision in repo.revisions
        )] for repo in found.repos
    ),
}))
"""
FIND = """
import json, sys
from huggingface_hub import hf_hub_download, snapshot_download, try_to_load_from_cache
folders = []
for kind, repo, revision, names in json.loads(sys.argv[1]):
    where = {"repo_type": kind, "revision": revision}
    folder = snapshot_download(repo, local_files_only=True, **where)
    for name in names:
        found = try_to_load_from_cache(repo, name, **where)
        assert isinstance(found, str), (name, found)
        again = hf_hub_download(repo, name, local_files_only=True, **where)
        assert found == again and found.startswith(folder), (found, again, folder)
    folders.append(folder)
print(json.dumps(folders))
"""
# Revisions, and the names of the references that each gets: none for a commit.
REVISIONS = {
    "main": ["main"],
    "v1.0": ["v1.0"],
    "refs/pr/1": ["refs/pr/1"],
    "a/b": ["a/b"],
    COMMIT[:7]: [COMMIT[:7]],
    COMMIT: [],
}


def found_by_the_client(*wanted: tuple[HuggingFace, dict[str, bytes]], path: str) -> list[Path]:
    """The snapshots in which the client finds these files, without network."""
    asked = [(s.repo_type, s.repo, s.revision, list(files)) for s, files in wanted]
    return [Path(folder) for folder in json.loads(client(FIND, json.dumps(asked), path=path))]


def entry(path: str, data: bytes, lfs: bool) -> FileEntry:
    if lfs:
        return FileEntry(path, len(data), sha256(data), None, True)
    return FileEntry(path, len(data), None, git_blob(data))


class Cache:
    """A cache that we fill, without a run around it."""

    def __init__(self, root: Path) -> None:
        self.root = root / "hub"
        self.contents = root / "contents"
        self.kept = root / "kept"
        self.contents.mkdir()
        self.new_run()

    def new_run(self) -> None:
        self._placer = HubCache(self._link, self._keep)

    def _keep(self, path: str, relative: str) -> None:
        copy(path, str(self.kept / relative.replace("/", "+")))

    def _link(self, digest: str, target: str) -> None:
        copy(str(self.contents / digest), target)

    def item(self, source: HuggingFace, file: FileEntry, commit: str = COMMIT) -> Item:
        hub = self.root / source.cache_folder
        artifact = Artifact("a", "m", source)
        path = hub / "snapshots" / commit / source.path / file.path
        item = Item(artifact, file, str(path), "", hub=str(hub))
        item.ref = branch_of(item) or ""
        return item

    def fill(
        self, source: HuggingFace, files: dict[str, bytes] = FILES, commit: str = COMMIT
    ) -> None:
        for path, data in files.items():
            (self.contents / sha256(data)).write_bytes(data)
            file = entry(path, data, path.endswith(".bin"))
            self._placer.place(self.item(source, file, commit), sha256(data))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    found = Cache(tmp_path)
    monkeypatch.setenv("HF_HUB_CACHE", str(found.root))
    return found


@pytest.mark.parametrize("path", CLIENTS)
def test_what_we_place_is_scanned_without_warnings_and_found(cache: Cache, path: str) -> None:
    kinds = ("model", "dataset", "space")
    sources = [
        HuggingFace(f"some.owner/na_me-{number}", kind, revision)
        for kind in kinds
        for number, revision in enumerate(REVISIONS)
    ]
    for source in sources * 2:  # again: nothing changes
        cache.fill(source)
    seen = json.loads(client(SCAN, str(cache.root), path=path))
    assert seen["warnings"] == []
    assert seen["repos"] == sorted(
        [s.repo_type, s.repo, len(FILES), [[COMMIT, REVISIONS[s.revision], sorted(FILES)]]]
        for s in sources
    )
    for folder in found_by_the_client(*[(source, FILES) for source in sources], path=path):
        assert (folder / "deep/a/b/c.bin").read_bytes() == WEIGHTS


@pytest.mark.parametrize("path", CLIENTS)
def test_the_name_of_a_repositorys_folder(path: str) -> None:
    code = (
        "import sys; from huggingface_hub.file_download import repo_folder_name\n"
        "for repo in sys.argv[1:]:\n"
        "    for kind in ('model', 'dataset', 'space'):\n"
        "        print(repo_folder_name(repo_id=repo, repo_type=kind))\n"
    )
    repos, kinds = ("o/m", "gpt2", "a-b/c", "O.r-g/x_y.z"), ("model", "dataset", "space")
    ours = [HuggingFace(repo, kind).cache_folder for repo in repos for kind in kinds]
    assert client(code, *repos, path=path).split() == ours


ENVIRONMENTS: list[dict[str, str]] = [
    {},
    {"HF_HOME": "~/mine"},
    {"HF_HOME": "$PLACE/hf"},
    {"HF_HOME": "relative"},
    {"HF_HOME": "~nosuchuser/hf"},
    {"XDG_CACHE_HOME": "/xdg"},
    {"XDG_CACHE_HOME": "$PLACE/xdg"},
    {"XDG_CACHE_HOME": "/xdg", "HF_HOME": "/home-of-hf"},
    {"HUGGINGFACE_HUB_CACHE": "~/old-name"},
    {"HUGGINGFACE_HUB_CACHE": "/old", "HF_HUB_CACHE": "${PLACE}/new"},
    {"HF_HUB_CACHE": "re/lative", "HF_HOME": "/unused"},
    {"HF_HUB_CACHE": "$NOT_SET/hub"},
]


@pytest.mark.parametrize("path", CLIENTS)
def test_where_the_cache_lies(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tmp_path / "project"
    (project / "below").mkdir(parents=True)
    monkeypatch.chdir(project / "below")
    monkeypatch.delenv("HF_HOME")
    monkeypatch.setenv("PLACE", "/some/place")
    code = "import os; from huggingface_hub.constants import HF_HUB_CACHE as x"
    for variables in ENVIRONMENTS:
        theirs = client(f"{code}; print(os.path.abspath(x))", path=path, **variables)
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            assert str(load(project).hub_cache) == theirs, variables


@pytest.mark.parametrize("path", CLIENTS)
def test_a_note_that_a_file_is_absent_does_not_outlive_the_file(cache: Cache, path: str) -> None:
    """An incomplete mirror, asked first, has left such notes."""
    source = HuggingFace("o/m")
    notes = cache.root / source.cache_folder / ".no_exist" / COMMIT
    for name in ("config.json", "deep/a/b/c.bin", "never.txt"):
        (notes / name).parent.mkdir(parents=True, exist_ok=True)
        (notes / name).touch()
    cache.fill(source)
    found_by_the_client((source, FILES), path=path)
    assert (notes / "never.txt").exists()  # it still is


@pytest.mark.parametrize("path", CLIENTS)
def test_a_ref_with_a_line_break_is_mended(cache: Cache, path: str) -> None:
    source = HuggingFace("o/m")
    cache.fill(source)
    (cache.root / source.cache_folder / "refs/main").write_text(COMMIT + "\n")
    cache.new_run()
    cache.fill(source)
    found_by_the_client((source, FILES), path=path)


def test_a_blob_that_leads_nowhere_or_is_damaged_is_replaced(cache: Cache) -> None:
    source = HuggingFace("o/m")
    blobs = cache.root / source.cache_folder / "blobs"
    blobs.mkdir(parents=True)
    (blobs / sha256(WEIGHTS)).symlink_to("../../blobs/aa/" + "a" * 64)  # the store was emptied
    (blobs / git_blob(b"{}")).write_bytes(b"[]")
    cache.fill(source)
    snapshot = cache.root / source.cache_folder / "snapshots" / COMMIT
    assert {name: (snapshot / name).read_bytes() for name in FILES} == FILES


# What others have placed there


def find(cache: Cache, source: HuggingFace, path: str, data: bytes) -> str | None:
    return CachedBlobs(cache.root).find(source, entry(path, data, path.endswith(".bin")))


def test_what_is_there_is_found_by_digest_whatever_its_revision(cache: Cache) -> None:
    cache.fill(HuggingFace("o/m"), commit=OTHER)
    for path, data in FILES.items():
        found = find(cache, HuggingFace("o/m", revision="v2"), path, data)
        assert found and Path(found).read_bytes() == data
        assert find(cache, HuggingFace("o/m"), "renamed-" + path, data) == found
        assert find(cache, HuggingFace("o/other"), path, data) is None
        assert find(cache, HuggingFace("o/m", "dataset"), path, data) is None
    assert find(cache, HuggingFace("o/m"), "new.bin", b"new") is None


@pytest.mark.parametrize("below", ["", "deep/a"])
def test_a_cache_without_symlinks(cache: Cache, below: str) -> None:
    """As the client writes it on Windows without the privilege: no blobs, files in snapshots."""
    folder = cache.root / HuggingFace("o/m").cache_folder
    for commit, data in ((OTHER, b"other"), (COMMIT, WEIGHTS)):
        path = folder / "snapshots" / commit / "deep/a/b/c.bin"
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
    source = HuggingFace("o/m", path=below)
    found = find(cache, source, "b/c.bin" if below else "deep/a/b/c.bin", WEIGHTS)
    assert found == str(folder / "snapshots" / COMMIT / "deep/a/b/c.bin")
    assert find(cache, source, "b/d.bin" if below else "deep/a/b/d.bin", WEIGHTS) is None


def shared(cache: Cache, data: bytes) -> Path:
    """A content in the store that all repositories of a cache share, and the blob that leads to
    it: as huggingface_hub 2.x lays out what comes from Xet."""
    payload_path = cache.root / "blobs" / "ab" / ("ab" * 32)
    payload_path.parent.mkdir(parents=True)
    payload_path.write_bytes(data)
    (cache.root / "blobs/.huggingface-shared-blobs").write_text("1\n")
    blob = cache.root / HuggingFace("o/m").cache_folder / "blobs" / sha256(data)
    blob.parent.mkdir(parents=True)
    blob.symlink_to(os.path.relpath(payload_path, blob.parent))
    return payload_path


def test_a_blob_in_the_store_that_repositories_share(cache: Cache) -> None:
    kept = shared(cache, WEIGHTS)
    assert find(cache, HuggingFace("o/m"), "w.bin", WEIGHTS) == str(kept)
    kept.write_bytes(b"cut off")
    assert find(cache, HuggingFace("o/m"), "w.bin", WEIGHTS) is None


def test_our_snapshot_over_a_shared_blob_reads_without_warnings(cache: Cache) -> None:
    kept = shared(cache, WEIGHTS)
    cache.fill(HuggingFace("o/m"), {"w.bin": WEIGHTS})
    assert kept.read_bytes() == WEIGHTS
    assert (cache.root / HuggingFace("o/m").cache_folder / "blobs" / sha256(WEIGHTS)).is_symlink()
    seen = json.loads(client(SCAN, str(cache.root), path=""))
    assert seen["warnings"] == [] and seen["repos"][0][:3] == ["model", "o/m", 1]


@pytest.mark.parametrize("target", ["outside", "../../secret", "../snapshots"])
def test_a_blob_that_leads_elsewhere_is_not_followed(cache: Cache, target: str) -> None:
    secret = cache.root / "secret"
    outside = cache.root.parent / "outside"
    blob = cache.root / HuggingFace("o/m").cache_folder / "blobs" / sha256(WEIGHTS)
    blob.parent.mkdir(parents=True)
    for path in (secret, outside):
        path.write_bytes(WEIGHTS)
    blob.symlink_to(outside if target == "outside" else target)
    assert find(cache, HuggingFace("o/m"), "w.bin", WEIGHTS) is None


# Names are computed


@given(
    bytes_wanted=st.binary(max_size=50),
    bytes_claimed=st.binary(max_size=50),
    there=st.sampled_from(["nothing", "true", "false", "dangling"]),
)
def test_a_git_id_names_its_own_content_alone(
    tmp_path_factory: pytest.TempPathFactory, bytes_wanted: bytes, bytes_claimed: bytes, there: str
) -> None:
    """Whatever is claimed and whatever stands there: a name never leads to other bytes."""
    cache = Cache(tmp_path_factory.mktemp("cache"))
    source, name = HuggingFace("o/m"), git_blob(bytes_claimed)
    blob = cache.root / source.cache_folder / "blobs" / name
    blob.parent.mkdir(parents=True)
    if there == "dangling":
        blob.symlink_to("nowhere")
    elif there != "nothing":
        blob.write_bytes(bytes_claimed if there == "true" else bytes_claimed + b"!")
    before = blob.lstat().st_ino if there == "true" else 0
    (cache.contents / sha256(bytes_wanted)).write_bytes(bytes_wanted)
    file = FileEntry("f", len(bytes_wanted), sha256(bytes_wanted), name)
    try:
        HubCache(cache._link, cache._keep).place(cache.item(source, file), sha256(bytes_wanted))
    except Failure as failure:
        assert bytes_wanted != bytes_claimed
        assert failure.problem.code == "digest-mismatch"
        assert name in failure.message and sha256(bytes_wanted) in failure.message
        assert not (cache.root / source.cache_folder / "snapshots" / COMMIT / "f").exists()
    else:
        assert bytes_wanted == bytes_claimed
        found = cache.root / source.cache_folder / "snapshots" / COMMIT / "f"
        assert found.read_bytes() == bytes_claimed
    assert there != "true" or blob.lstat().st_ino == before
    assert not blob.is_file() or blob.read_bytes() == bytes_claimed
    assert {path.name for path in blob.parent.iterdir()} <= {name}


def test_a_cache_is_the_project_s_own_only_below_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HOME")
    assert is_shared(load(tmp_path))
    (tmp_path / ".env").write_text("HF_HUB_CACHE=hub\n")
    assert not is_shared(load(tmp_path))
    monkeypatch.setenv("FETCH_ALLOW_LINKS", str(tmp_path.parent / "disk"))
    (tmp_path / ".env").write_text(f"HF_HUB_CACHE={tmp_path.parent}/disk\n")
    assert is_shared(load(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))  # the person's choice
    assert is_shared(load(tmp_path))
