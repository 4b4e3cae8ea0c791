"""What every source and every mirror keeps: exact files, right bytes, plain words."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from fetcher.config.settings import Value
from fetcher.sources.az import AzureBlob
from fetcher.sources.base import FileEntry, Source
from fetcher.sources.civitai import Civitai
from fetcher.sources.fetch_mirror import FetchMirror
from fetcher.sources.gdrive import GDrive
from fetcher.sources.genforce import GenForce
from fetcher.sources.git import Git
from fetcher.sources.github import GitHub
from fetcher.sources.gs import GoogleStorage
from fetcher.sources.hf_bucket import HubBucket
from fetcher.sources.huggingface import HuggingFace
from fetcher.sources.kaggle import Kaggle
from fetcher.sources.local import Local
from fetcher.sources.modelscope import ModelScope
from fetcher.sources.pypi import PyPI
from fetcher.sources.records import Doi, Zenodo
from fetcher.sources.s3 import S3
from fetcher.sources.shares import Dropbox, OneDrive, SharePoint
from fetcher.sources.url import Url
from tests.kit import Run, entry, git_blob, payload, sha256, tensors
from tests.servers.ftp import FtpServer
from tests.servers.gdrive import DriveServer
from tests.servers.git_http import HOST, GitServer
from tests.servers.github import GitHubServer
from tests.servers.hub import HubServer
from tests.servers.hub_buckets import BucketHub
from tests.servers.kaggle import KaggleServer
from tests.servers.model_sites import CivitaiServer, ModelScopeServer
from tests.servers.object_stores import ACCOUNT, AzureServer, GoogleServer, ObjectServer, S3Server
from tests.servers.plain import FileServer
from tests.servers.records import RecordServer
from tests.servers.sharepoint import SharePointServer
from tests.servers.shares import (
    DROPBOX,
    ONEDRIVE,
    ONEDRIVE_FOLDER,
    SHAREPOINT_FOLDER,
    FolderServer,
    ShareServer,
)

FILES = {
    "config.json": b"{}\n",
    "model.safetensors": tensors(1_500_000),
    "deep/ä b#%.txt": b"odd name",
    "deep/[x]?.txt": b"odder name",
    "empty": b"",
    "pointer-sized": payload(200),
}


@dataclass
class Case:
    """A source over FILES (or one of them), and what it knows of them."""

    run: Run
    source: Source
    names: tuple[str, ...] = tuple(FILES)
    ask: bool = False  # names have to be given
    sizes: bool | None = True  # None: of some files
    digests: bool = True
    missing: tuple[str, ...] | None = ("missing-upstream",)  # None: whatever it is called
    damage: frozenset[str] = frozenset({"digest-mismatch"})
    blind: bool = False  # nothing is asked before the download

    @property
    def asked(self) -> tuple[str, ...]:
        return self.names if self.ask else ()


Maker = Callable[[Path, ExitStack], Case]


def huggingface(kind: str, path: str = "") -> Maker:
    def make(root: Path, stack: ExitStack) -> Case:
        hub = stack.enter_context(HubServer(page_size=2))
        start = f"{path}/" if path else ""
        hub.add_repo("o/r", {start + name: data for name, data in FILES.items()}, kind)
        run = Run(root, hf_endpoint=hub.url)
        return Case(run, HuggingFace("o/r", kind, path=path))

    return make


def github(path: str = "", lfs: bool = False, truncate: bool = False, host: bool = False) -> Maker:
    def make(root: Path, stack: ExitStack) -> Case:
        server = stack.enter_context(GitHubServer(root / "repos"))
        start = f"{path}/" if path else ""
        contents = {start + name: data for name, data in FILES.items()}
        contents["elsewhere/x"] = b"x"
        in_lfs = [f"{start}model.safetensors", f"{start}pointer-sized"] if lfs else []
        if lfs:
            contents[".gitattributes"] = b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"
        server.add_repo("o/r", contents, lfs=in_lfs, symlinks={f"{start}link": "config.json"},
                        submodules={f"{start}module": "1" * 40})  # fmt: skip
        server.truncate_trees = 1 if truncate else None
        if truncate:
            listed = server.repos["o/r"].git.tree

            def flat(ref: str, recursive: bool) -> list[dict[str, object]]:
                server.truncate_trees = 1 if recursive else None
                return listed(ref, recursive)

            server.repos["o/r"].git.tree = flat  # type: ignore[method-assign]
        if host:
            return Case(Run(root), GitHub("o/r", path=path, host=server.url))
        return Case(Run(root, rewrite=server.rewrite), GitHub("o/r", path=path))

    return make


def github_release(with_digest: bool) -> Maker:
    def make(root: Path, stack: ExitStack) -> Case:
        server = stack.enter_context(GitHubServer(root / "repos"))
        server.add_repo("o/r", {"x": b"x"})
        assets = {name: data for name, data in FILES.items() if data and "/" not in name}
        server.add_release("o/r", "v1/beta", assets, with_digest=with_digest)
        run = Run(root, rewrite=server.rewrite)
        source = GitHub("o/r", release="v1/beta")
        return Case(run, source, tuple(assets), digests=with_digest)

    return make


def url(root: Path, stack: ExitStack) -> Case:
    server = stack.enter_context(FileServer())
    for name, data in FILES.items():
        server.add(f"models/{name}", data)
    names = tuple(name for name, data in FILES.items() if data and "?" not in name)
    source = Url(f"{server.url}/models/")
    return Case(Run(root), source, names, ask=True, digests=False, missing=())


def ftp(root: Path, stack: ExitStack) -> Case:
    server = stack.enter_context(FtpServer({f"m/{n}": d for n, d in FILES.items()}))
    names = ("config.json", "model.safetensors")
    source = Url(f"{server.url}/m/")
    return Case(Run(root), source, names, ask=True, sizes=False, digests=False, missing=())


def local(root: Path, stack: ExitStack) -> Case:
    for name, data in FILES.items():
        path = root / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (root / "data/.git").mkdir()
    (root / "data/.git/config").write_bytes(b"x")
    (root / "data/broken").symlink_to("nowhere")
    return Case(Run(root), Local("data"))


def genforce(root: Path, stack: ExitStack) -> Case:
    server = stack.enter_context(SharePointServer())
    source = GenForce("stylegan/celeba_partial-256x256")
    data = FILES["model.safetensors"]
    server.add_share(source.url(), "stylegan_celeba_partial256.pth", data)
    run = Run(root, rewrite=server.rewrite)
    name = "stylegan_celeba_partial256.pth"
    return Case(run, source, (name,), sizes=False, digests=False)


def gdrive(root: Path, stack: ExitStack) -> Case:
    server = stack.enter_context(DriveServer())
    server.add_file("a" * 30, "model.safetensors", FILES["model.safetensors"])
    run = Run(root, rewrite=server.rewrite)
    names = ("model.safetensors",)
    return Case(run, GDrive("a" * 30), names, ask=True, sizes=False, digests=False, missing=None,
                blind=True)  # fmt: skip


def gdrive_folder(root: Path, stack: ExitStack) -> Case:
    server = stack.enter_context(DriveServer())
    files = {name: data for name, data in FILES.items() if data}
    server.add_tree("f" * 30, files)
    run = Run(root, rewrite=server.rewrite)
    return Case(run, GDrive(folder="f" * 30), tuple(files), sizes=False, digests=False)


def record(source: Source) -> Maker:
    def make(root: Path, stack: ExitStack) -> Case:
        files = {name: data for name, data in FILES.items() if data and "/" not in name}
        server = stack.enter_context(RecordServer(files))
        return Case(Run(root, rewrite=server.rewrite), source, tuple(files), digests=False)

    return make


def modelscope(kind: str, path: str = "") -> Maker:
    def make(root: Path, stack: ExitStack) -> Case:
        start = f"{path}/" if path else ""
        files = {start + name: data for name, data in FILES.items()}
        server = stack.enter_context(ModelScopeServer(files))
        return Case(Run(root, rewrite=server.rewrite), ModelScope("o/r", kind, path=path))

    return make


def civitai(root: Path, stack: ExitStack) -> Case:
    server = stack.enter_context(CivitaiServer({n: FILES[n] for n in ("model.safetensors",)}))
    run = Run(root, rewrite=server.rewrite)
    return Case(run, Civitai("42"), ("model.safetensors",), sizes=False, missing=None)


def share(source: Url) -> Maker:
    def make(root: Path, stack: ExitStack) -> Case:
        name = "model.safetensors"
        data = FILES[name]
        if source.type == "sharepoint":
            point = stack.enter_context(SharePointServer())
            point.add_share(source.url, name, data)
            rewrite = point.rewrite
        else:
            rewrite = stack.enter_context(ShareServer(name, data)).rewrite
        return Case(Run(root, rewrite=rewrite), source, (name,), ask=True, digests=False,
                    missing=None, blind=True)  # fmt: skip

    return make


def objects(server: type[ObjectServer], source: Source, path: str = "") -> Maker:
    def make(root: Path, stack: ExitStack) -> Case:
        start = f"{path}/" if path else ""
        files = {start + name: data for name, data in FILES.items()}
        if path:
            files[f"{path}-elsewhere"] = b"x"
            files[start] = b""  # what consoles make for a folder
        store = stack.enter_context(server(files))
        return Case(Run(root, rewrite=store.rewrite), source, digests=False)

    return make


def hub_bucket(path: str) -> Maker:
    def make(root: Path, stack: ExitStack) -> Case:
        hub = stack.enter_context(BucketHub(page_size=2))
        start = f"{path}/" if path else ""
        hub.add_bucket("o/b", {start + name: data for name, data in FILES.items()})
        return Case(Run(root, hf_endpoint=hub.url), HubBucket("o/b", path), digests=False)

    return make


def kaggle(source: Kaggle) -> Maker:
    def make(root: Path, stack: ExitStack) -> Case:
        start = f"{source.path}/" if source.path else ""
        server = stack.enter_context(KaggleServer({start + n: data for n, data in FILES.items()}))
        return Case(Run(root, rewrite=server.rewrite), source, digests=False)

    return make


def git(path: str = "", lfs: bool = False, filters: bool = True) -> Maker:
    def make(root: Path, stack: ExitStack) -> Case:
        server = stack.enter_context(GitServer(root / "repos"))
        server.filters = filters
        start = f"{path}/" if path else ""
        contents = {start + name: data for name, data in FILES.items()}
        contents["elsewhere/x"] = b"x"
        in_lfs = [f"{start}model.safetensors", f"{start}pointer-sized"] if lfs else []
        if lfs:
            contents[".gitattributes"] = b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"
        server.add_repo("o/r", contents, lfs=in_lfs, submodules={f"{start}module": "1" * 40})
        source = Git(f"{HOST}/o/r.git", path=path)
        # Git LFS is asked by digest alone.
        damage = frozenset({"digest-mismatch", *(["missing-upstream"] if lfs else [])})
        return Case(Run(root, rewrite=server.rewrite), source, sizes=None, damage=damage)

    return make


def shared_folder(source: Source, digests: bool) -> Maker:
    def make(root: Path, stack: ExitStack) -> Case:
        server = stack.enter_context(FolderServer(FILES))
        return Case(Run(root, rewrite=server.rewrite), source, digests=digests)

    return make


CASES = {
    "onedrive-folder": shared_folder(OneDrive(ONEDRIVE_FOLDER), True),
    "sharepoint-folder": shared_folder(SharePoint(SHAREPOINT_FOLDER), False),
    "git": git(),
    "git-folder": git("da ta/x"),
    "git-lfs": git("x", lfs=True),
    "git-whole": git(filters=False),
    "kaggle": kaggle(Kaggle("o/d")),
    "kaggle-folder": kaggle(Kaggle("o/d", path="pre fix/x")),
    "kaggle-model": kaggle(Kaggle("o/m/pt/base", "model")),
    "hub-bucket": hub_bucket(""),
    "hub-bucket-folder": hub_bucket("pre fix/x"),
    "s3": objects(S3Server, S3("bucket")),
    "s3-folder": objects(S3Server, S3("bucket", "pre fix/x"), "pre fix/x"),
    "gs": objects(GoogleServer, GoogleStorage("bucket")),
    "gs-folder": objects(GoogleServer, GoogleStorage("bucket", "pre fix/x"), "pre fix/x"),
    "az": objects(AzureServer, AzureBlob(ACCOUNT, "bucket")),
    "az-folder": objects(AzureServer, AzureBlob(ACCOUNT, "bucket", "pre fix/x"), "pre fix/x"),
    "dropbox": share(Dropbox(DROPBOX)),
    "onedrive": share(OneDrive(ONEDRIVE)),
    "sharepoint": share(
        SharePoint("https://mycuhk-my.sharepoint.com/:u:/g/personal/some_body/EZsy6qW?e=q")
    ),
    "modelscope": modelscope("model"),
    "modelscope-folder": modelscope("model", "sub/fo lder"),
    "modelscope-dataset": modelscope("dataset"),
    "civitai": civitai,
    "zenodo": record(Zenodo("7")),
    "figshare": record(Doi("10.6084/m9.figshare.9")),
    "dataverse": record(Doi("10.7910/DVN/ABC")),
    "gdrive": gdrive,
    "gdrive-folder": gdrive_folder,
    "model": huggingface("model"),
    "dataset": huggingface("dataset"),
    "space": huggingface("space"),
    "hub-folder": huggingface("model", "sub/fo lder"),
    "github": github(),
    "github-folder": github("da ta/x"),
    "github-lfs": github("x", lfs=True),
    "github-truncated": github("da ta", truncate=True),
    "github-enterprise": github(host=True),
    "github-enterprise-lfs": github(host=True, lfs=True),
    "release": github_release(True),
    "release-old": github_release(False),
    "url": url,
    "ftp": ftp,
    "local": local,
    "genforce": genforce,
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    with ExitStack() as stack:
        yield CASES[request.param](tmp_path, stack)


def content(name: str) -> bytes:
    return FILES.get(name, FILES["model.safetensors"])


def wanted(found: dict[str, FileEntry]) -> dict[str, FileEntry]:
    return {
        name: file for name, file in found.items() if name not in {".gitattributes", "elsewhere/x"}
    }


def test_the_exact_files(case: Case) -> None:
    found = wanted(case.run.resolve(case.source, *case.asked))
    assert sorted(found) == sorted(case.names)
    for name, file in found.items():
        data = content(name)
        known = case.sizes if case.sizes is not None else file.size is not None
        assert file.size == (len(data) if known else None)
        assert file.sha256 in {sha256(data), None}
        assert file.git_blob in {git_blob(data), None}
        assert bool(file.key) == case.digests
    assert found == wanted(case.run.resolve(case.source, *case.asked))


def test_the_right_bytes(case: Case) -> None:
    found = wanted(case.run.resolve(case.source, *case.asked))
    outcome = case.run.fetch(case.source, list(found.values()))
    assert outcome.failed == []
    assert {done.download.file.path: done.sha256 for done in outcome.delivered} == {
        name: sha256(content(name)) for name in case.names
    }
    assert {done.origin for done in outcome.delivered} == {case.source.type}
    assert case.run.leftovers() == []


def test_globs_and_names(case: Case) -> None:
    if case.ask or len(case.names) < 2:
        pytest.skip("has no list to choose from")
    found = case.run.resolve(case.source, "*.json", "model.safetensors")
    assert sorted(found) == ["config.json", "model.safetensors"]


def test_a_name_that_is_not_there(case: Case) -> None:
    first = case.names[0]
    wrong = first[:-1] + "x"
    if case.missing is None:
        pytest.skip("its one file may be called anything")
    if not case.missing:  # nothing is asked before the download
        found = case.run.resolve(case.source, wrong)
        problem = case.run.fetch(case.source, list(found.values())).failed[0][1]
        assert problem.code == "not-found"
        return
    problem = case.run.refused(case.source, wrong)
    assert problem.code in case.missing
    if not case.ask:
        assert repr(wrong) in problem.message and repr(first) in problem.hint
        assert problem.file == wrong


def test_damage_is_found_whatever_the_source(case: Case) -> None:
    found = wanted(case.run.resolve(case.source, *case.asked))
    lies = [file._replace(sha256="0" * 64, git_blob=None) for file in found.values()]
    outcome = case.run.fetch(case.source, lies)
    assert outcome.delivered == []
    assert {problem.code for _, problem in outcome.failed} == case.damage


def test_offline_says_so_where_a_network_is_needed(case: Case) -> None:
    case.run.settings.values["offline"] = Value("1", "test")
    case.run.fresh_network()
    if case.blind or type(case.source) in {Local, GenForce, Url}:
        case.run.resolve(case.source, *case.asked)
    else:
        assert case.run.refused(case.source, *case.asked).code == "offline"


# Mirrors: they list nothing, and their bytes are proven


def blob_folder(root: Path, stack: ExitStack) -> Source:
    for data in FILES.values():
        path = root / "carried/blobs/sha256" / sha256(data)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return FetchMirror("carried")


def blob_server(root: Path, stack: ExitStack) -> Source:
    blobs = {f"store/blobs/sha256/{sha256(data)}": data for data in FILES.values()}
    return FetchMirror(stack.enter_context(FileServer(blobs)).url + "/store/")


def wheel(root: Path, stack: ExitStack) -> Source:
    links = root / "links"
    links.mkdir()
    make_wheel(links, {f"pkg/data/{name}": data for name, data in FILES.items()})
    patch = stack.enter_context(pytest.MonkeyPatch.context())
    patch.setenv("PIP_FIND_LINKS", str(links))
    patch.setenv("PIP_NO_INDEX", "1")
    return PyPI("some-pkg==1.0", "pkg/data")


def make_wheel(folder: Path, members: dict[str, bytes], name: str = "some_pkg-1.0") -> Path:
    path = folder / f"{name}-py3-none-any.whl"
    info = f"{name}.dist-info"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, data in members.items():
            archive.writestr(member, data)
        package, _, version = name.partition("-")
        metadata = f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n"
        archive.writestr(f"{info}/METADATA", metadata)
        tags = "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        archive.writestr(f"{info}/WHEEL", tags)
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.mark.parametrize("make", [blob_folder, blob_server, wheel])
def test_mirrors(make: Callable[[Path, ExitStack], Source], tmp_path: Path) -> None:
    with ExitStack() as stack:
        source = make(tmp_path, stack)
        run = Run(tmp_path)
        run.revision = ""
        assert type(source).mirror_only and run.refused(source).code == "refused"
        found = [entry(name, data) for name, data in FILES.items()]
        outcome = run.fetch(source, found)
        assert outcome.failed == []
        assert all(run.blob(data) == data for data in FILES.values())
        other = b"not there"
        problem = run.fetch(source, [entry("config.jsom", other)]).failed[0][1]
        assert problem.exit_code == 3 and problem.code in {"not-found", "missing-upstream"}
        if make is wheel:
            assert "pkg/data/config.json" in problem.hint
        else:
            assert run.candidates(source, FileEntry("x", 3)) == []


def test_wheels_that_are_not_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    links = tmp_path / "links"
    links.mkdir()
    monkeypatch.setenv("PIP_FIND_LINKS", str(links))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    run = Run(tmp_path)
    run.revision = ""
    data = payload(100_000)

    def problem(package: str, file: FileEntry) -> tuple[str, str]:
        failed = run.fetch(PyPI(package), [file]).failed
        return failed[0][1].code, failed[0][1].message

    damaged = make_wheel(links, {"f": data}, "damaged-1.0")
    raw = bytearray(damaged.read_bytes())
    raw[1000:3000] = bytes(2000)
    damaged.write_bytes(raw)
    code, message = problem("damaged==1.0", entry("f", data))
    assert code == "refused" and "the wheel is damaged" in message

    make_wheel(links, {"f": data}, "sized-1.0")
    assert problem("sized==1.0", entry("f", data[:-1]))[0] == "size-mismatch"
    assert problem("sized==1.0", entry("f", bytes(len(data))))[0] == "digest-mismatch"

    bomb = make_wheel(links, {"f": bytes(50_000_000)}, "bomb-1.0")
    raw = bytearray(bomb.read_bytes())
    for at in (22, raw.find(b"PK\1\2") + 24):  # the sizes that both headers state
        raw[at : at + 4] = (1000).to_bytes(4, "little")
    bomb.write_bytes(raw)
    assert problem("bomb==1.0", FileEntry("f", None, "0" * 64))[0] in {"refused", "digest-mismatch"}
    assert not list(run.store.digests())

    (links / "source-1.0.tar.gz").write_bytes(b"no matter what")
    code, message = problem("source==1.0", entry("f", data))
    assert code == "network" and "pip cannot download source==1.0" in message
    assert run.leftovers() == []
