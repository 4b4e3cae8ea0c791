"""git repositories at a commit: a real server, a git without anybody's settings, links followed."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from fetcher.sources.addresses import written_out
from fetcher.sources.base import FileEntry
from fetcher.sources.git import Git
from fetcher.sources.git_links import linked
from fetcher.sources.git_objects import TreeEntry
from tests.conftest import Cli, write_project
from tests.kit import Run, git_blob, payload, sha256, tensors
from tests.servers.git_http import HOST, GitServer

URL = f"{HOST}/o/r.git"
WEIGHTS, LARGE = tensors(300_000), payload(40_000)
FILES = {
    "run.sh": b"#!/bin/sh\necho hello\n",
    "data/large.bin": LARGE,
    "data/small.txt": b"small\n",
    "data/ä b.txt": b"odd\n",
    "w.safetensors": WEIGHTS,
    ".gitattributes": b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n",
}
LINKS = {
    "link.bin": "data/large.bin",
    "data/up.sh": "../run.sh",
    "folder": "data",
    "away": "../../etc/passwd",
    "absolute": "/etc/passwd",
    "circle": "circle",
    "nothing": "data/none",
    "data/self": "../data",
}
HERE = set(FILES) | {"link.bin", "data/up.sh"} | {
    f"folder/{name}" for name in ("large.bin", "small.txt", "ä b.txt")
}  # fmt: skip


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    with GitServer(tmp_path_factory.mktemp("repos")) as found:
        found.add_repo("o/r", FILES, lfs=["w.safetensors"], symlinks=LINKS,
                       submodules={"module": "1" * 40}, executable=["run.sh"])  # fmt: skip
        yield found
        assert found.errors == []


def test_a_repository_in_a_project(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: GitServer
) -> None:
    monkeypatch.setenv("FETCH_REWRITE", server.rewrite)
    write_project(tmp_path, "p", f"artifacts:\n  w: {{source: 'git:{URL}'}}\n", "tree: {m/: w}\n")
    result = cli("all")
    assert result.code == 0, result.err
    found = {p.relative_to(tmp_path / "m").as_posix(): p for p in (tmp_path / "m").rglob("*")}
    assert {name for name, path in found.items() if path.is_file()} == HERE
    assert found["w.safetensors"].read_bytes() == WEIGHTS
    assert found["link.bin"].read_bytes() == LARGE == found["folder/large.bin"].read_bytes()
    assert not any(path.is_symlink() for path in found.values())
    for name in ("run.sh", "data/up.sh"):
        assert found[name].stat().st_mode & stat.S_IXUSR
    assert not found["data/small.txt"].stat().st_mode & stat.S_IXUSR
    # What is left out is named, with the reason.
    assert "module: is a submodule" in result.err
    assert "absolute" in result.err and "away" in result.err and "circle" in result.err
    assert cli("all", "--json").json["summary"]["downloaded_bytes"] == 0
    assert cli("check", "--deep").code == 0
    # The bit is a part of what is locked: it comes back.
    assert '"executable": true' in (tmp_path / "fetch.lock").read_text()
    (tmp_path / "m/run.sh").unlink()
    assert cli("all", "--offline").code == 0
    assert (tmp_path / "m/run.sh").stat().st_mode & stat.S_IXUSR


@pytest.mark.parametrize("filters", [True, False])
def test_only_what_is_asked_for_comes(tmp_path: Path, server: GitServer, filters: bool) -> None:
    server.filters = filters
    server.add_repo("o/big", {"a.bin": payload(3_000_000), "b.bin": payload(50_000, 2)})
    run = Run(tmp_path, rewrite=server.rewrite)
    source = Git(f"{HOST}/o/big.git")
    found = run.resolve(source, "b.bin")
    assert found["b.bin"].git_blob == git_blob(payload(50_000, 2))
    assert (found["b.bin"].size is None) == filters
    assert run.fetch(source, list(found.values())).failed == []
    sent = sum(request.bytes_sent for request in server.requests)
    assert (sent < 200_000) == filters


def test_many_blobs_come_in_one_go(tmp_path: Path, server: GitServer) -> None:
    server.add_repo("o/many", {f"f{n:03}.bin": payload(2000 + n, n) for n in range(60)})
    run = Run(tmp_path, rewrite=server.rewrite)
    source = Git(f"{HOST}/o/many.git")
    found = run.resolve(source)
    before = len(server.requests)
    outcome = run.fetch(source, list(found.values()))
    assert outcome.failed == [] and len(outcome.delivered) == 60
    assert len(server.requests) - before <= 4


@pytest.mark.parametrize("ref", ["main", "v1", "annotated", "commit", "refs/heads/main", "HEAD"])
def test_refs(tmp_path: Path, server: GitServer, ref: str) -> None:
    repo = server.repos["o/r"]
    first = repo.resolve("main")
    repo.tag("v1", "main")
    repo.tag("annotated", "main", annotated=True)
    repo.commit({"later.txt": b"later\n"}, branch="main")
    later = repo.resolve("main")
    run = Run(tmp_path, rewrite=server.rewrite)
    source = Git(URL, first if ref == "commit" else ref)
    found = run.resolve(source)
    moved = ref in {"main", "refs/heads/main", "HEAD"}
    assert run.revision == (later if moved else first) and source.admits(run.revision)
    assert ("later.txt" in found) == moved


def test_a_lock_needs_no_listing(tmp_path: Path, server: GitServer) -> None:
    run = Run(tmp_path, rewrite=server.rewrite)
    found = run.resolve(Git(URL, path="data"), "large.bin")
    again = Run(tmp_path / "again", rewrite=server.rewrite)
    again.revision = run.revision
    assert again.fetch(Git(URL, path="data"), list(found.values())).failed == []
    weights = FileEntry("w.safetensors", None, sha256(WEIGHTS))  # it lies in LFS
    assert again.fetch(Git(URL), [weights]).failed == []
    stated = [file._replace(git_blob=None, sha256=sha256(LARGE)) for file in found.values()]
    third = Run(tmp_path / "third", rewrite=server.rewrite)
    third.revision = run.revision
    assert third.fetch(Git(URL, path="data"), stated).failed == []


@pytest.mark.parametrize(
    ("source", "code"),
    [
        (Git(f"{HOST}/o/none.git"), "not-found"),
        (Git(URL, "none"), "revision-not-found"),
        (Git(URL, "2" * 40), "revision-not-found"),
        (Git(URL, path="none"), "missing-upstream"),
    ],
)
def test_what_is_not_there(tmp_path: Path, server: GitServer, source: Git, code: str) -> None:
    assert Run(tmp_path, rewrite=server.rewrite).refused(source).code == code


def test_a_login(
    tmp_path: Path, hermetic: Path, server: GitServer, capfd: pytest.CaptureFixture[str]
) -> None:
    server.password = "s3cret"
    problem = Run(tmp_path, rewrite=server.rewrite).refused(Git(URL))
    assert problem.code == "auth" and "netrc" in problem.hint
    (hermetic / ".netrc").write_text("machine 127.0.0.1 login me password s3cret\n")
    run = Run(tmp_path, rewrite=server.rewrite)
    found = run.resolve(Git(URL))
    assert run.fetch(Git(URL), list(found.values())).failed == []
    assert "s3cret" not in "".join(capfd.readouterr())


def test_a_login_goes_to_no_other_host(
    tmp_path: Path, hermetic: Path, server: GitServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with GitServer(tmp_path_factory.mktemp("other")) as other:
        other.add_repo("o/r", FILES)
        server.elsewhere = f"http://localhost:{other.port}"
        (hermetic / ".netrc").write_text("machine 127.0.0.1 login me password s3cret\n")
        run = Run(tmp_path, rewrite=server.rewrite)
        refused = run.refused(Git(URL))
        assert refused.code == "refused"
        assert len(server.requests) == 1, "asking again leads to the same place"
        for request in other.requests:
            assert "authorization" not in request.headers


def test_nothing_of_the_persons_or_the_repositorys_settings_runs(
    tmp_path: Path, hermetic: Path, monkeypatch: pytest.MonkeyPatch, server: GitServer
) -> None:
    marker = tmp_path / "ran"
    program = tmp_path / "evil.sh"
    program.write_text(f"#!/bin/sh\ntouch '{marker}'\n")
    program.chmod(0o755)
    (hermetic / ".gitconfig").write_text(
        f"[core]\n\tfsmonitor = {program}\n\thooksPath = {tmp_path}\n\taskPass = {program}\n"
        f"[credential]\n\thelper = !{program}\n[uploadpack]\n\tpackObjectsHook = {program}\n"
        f'[url "ext::{program} %S"]\n\tinsteadOf = {server.url}/\n'
    )
    monkeypatch.setenv("GIT_ASKPASS", str(program))
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", str(program))
    monkeypatch.setenv("GIT_PROXY_COMMAND", str(program))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.sshCommand")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", str(program))
    run = Run(tmp_path, rewrite=server.rewrite)
    found = run.resolve(Git(URL))
    assert run.fetch(Git(URL), list(found.values())).failed == []
    server.password = "x"
    assert Run(tmp_path, rewrite=server.rewrite).refused(Git(URL)).code == "auth"
    assert not marker.exists()


@pytest.mark.parametrize("address", ["ext::sh -c touch% x", "ssh://h/r.git", "git://h/r.git",
                                     "file:///etc", "http://h/r.git", "https://me:x@h/r.git",
                                     "https://h/r.git --upload-pack=x", "-c"])  # fmt: skip
def test_addresses_that_are_refused(cli: Cli, tmp_path: Path, address: str) -> None:
    source = f"{{type: git, url: '{address}'}}"
    write_project(tmp_path, "p", f"artifacts:\n  w: {{source: {source}}}\n", "tree: {m/: w}\n")
    assert cli("all").code == 2


def test_addresses() -> None:
    for text in (URL, "https://gitlab.example:8443/a/b/c.git"):
        found = written_out(text)
        assert found is not None and found[0](**found[1]) == Git(text)
    for source in (Git(URL), Git(URL, "v1", "data/a"), Git("https://h:8/o/r", "refs/heads/x")):
        again = Git(**Git.from_short(source.describe().removeprefix("git:")))
        assert again == source


def test_nothing_is_left(tmp_path: Path, server: GitServer) -> None:
    run = Run(tmp_path, rewrite=server.rewrite)
    found = run.resolve(Git(URL))
    run.fetch(Git(URL), list(found.values()))
    run.fresh_network()
    import gc

    gc.collect()
    assert run.leftovers() == []


def test_offline(tmp_path: Path, server: GitServer) -> None:
    assert Run(tmp_path, offline="1").refused(Git(URL)).code == "offline"
    assert server.requests == []


def test_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: GitServer) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    problem = Run(tmp_path, rewrite=server.rewrite).refused(Git(URL))
    assert problem.code == "refused" and "install git" in problem.hint


def test_links_through_links() -> None:
    tree = {name: TreeEntry("100644", f"{n:040}") for n, name in enumerate(["a/x", "a/b/y"])}
    found, left = linked(tree, {"l": "a/m", "a/m": "b", "d": "l/y", "a/b/up": "..", "e": "./a//x",
                                "f": "a/b/../../..", "g": "l/.."})  # fmt: skip
    assert found["d"] == tree["a/b/y"] and found["e"] == tree["a/x"]
    assert found["l/y"] == tree["a/b/y"] and found["g/x"] == tree["a/x"]
    assert set(left) == {"a/b/up", "f"}


@pytest.mark.parametrize("what", ["info/refs", "git-upload-pack"])
def test_passing_faults(
    tmp_path: Path, server: GitServer, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr("fetcher.sources.git_objects._PAUSES", (0.1, 0.1))
    server.faults.add(what, "status", times=2, code=503)
    run = Run(tmp_path, rewrite=server.rewrite)
    found = run.resolve(Git(URL))
    assert run.fetch(Git(URL), list(found.values())).failed == []
    server.faults.add(what, "status", code=503)
    assert Run(tmp_path / "2", rewrite=server.rewrite).refused(Git(URL)).code == "network"


def test_one_blob_that_is_gone_keeps_no_other_back(tmp_path: Path, server: GitServer) -> None:
    server.add_repo("o/two", {"a.bin": payload(5000), "b.bin": payload(6000, 2)})
    run, source = Run(tmp_path, rewrite=server.rewrite), Git(f"{HOST}/o/two.git")
    found = run.resolve(source)
    found["b.bin"] = found["b.bin"]._replace(git_blob="1" * 40)
    outcome = run.fetch(source, list(found.values()))
    assert [done.download.file.path for done in outcome.delivered] == ["a.bin"]
    assert [download.file.path for download, _ in outcome.failed] == ["b.bin"]
