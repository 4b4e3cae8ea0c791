"""Share links of Dropbox, OneDrive and SharePoint."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from fetcher.sources.addresses import written_out
from fetcher.sources.shares import Dropbox, OneDrive, SharePoint
from fetcher.sources.url import Url
from tests.conftest import Cli, write_project
from tests.kit import Run, sha256, tensors
from tests.servers.sharepoint import SharePointServer
from tests.servers.shares import (
    DROPBOX,
    DROPBOX_FOLDER,
    ONEDRIVE,
    ONEDRIVE_FOLDER,
    SHAREPOINT_FOLDER,
    FolderServer,
    ShareServer,
)

DATA = tensors(1_300_000)
PLACE = "https://mycuhk-my.sharepoint.com/:u:/g/personal/some_body/EZsy6qW"
LINKS: dict[str, Url] = {
    DROPBOX: Dropbox(DROPBOX),
    ONEDRIVE: OneDrive(ONEDRIVE),
    f"{PLACE}?e=qTasa8": SharePoint(f"{PLACE}?e=qTasa8"),
}


def serve(stack: ExitStack, link: str, mode: str = "ok") -> str:
    """The rewriting with which a link leads to DATA, or to what `mode` says."""
    if "sharepoint" in link:
        point = stack.enter_context(SharePointServer())
        point.add_share(link, "weights.pt", DATA, {"ended": "expired"}.get(mode, mode))
        return point.rewrite
    server = stack.enter_context(ShareServer("weights.pt", DATA))
    server.file.mode = mode
    return server.rewrite


@pytest.mark.parametrize("link", LINKS)
def test_a_link_as_it_is_copied(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, link: str
) -> None:
    assert written_out(link) == (type(LINKS[link]), {"url": link})
    with ExitStack() as stack:
        monkeypatch.setenv("FETCH_REWRITE", serve(stack, link))
        artifacts = f"artifacts:\n  w: {{source: '{link}'}}\n"
        write_project(tmp_path, "p", artifacts, "tree: {m/: w}\n")
        result = cli("all")
        assert result.code == 0, result.err
    assert [path.name for path in (tmp_path / "m").iterdir()] == ["weights.pt"]
    assert (tmp_path / "m/weights.pt").read_bytes() == DATA


@pytest.mark.parametrize("mode", ["ended", "login"])
@pytest.mark.parametrize("link", LINKS)
def test_a_link_that_no_longer_works(tmp_path: Path, link: str, mode: str) -> None:
    source = LINKS[link]
    with ExitStack() as stack:
        run = Run(tmp_path, rewrite=serve(stack, link, mode))
        found = list(run.resolve(source, "weights.pt").values())
        problem = run.fetch(source, found).failed[0][1]
        assert problem.code in {"link-expired", "not-a-file", "not-found", "auth"}
        assert problem.hint.startswith(f"open {link} in a browser, then: fetch adopt ")


FOLDER = {"a/w.pt": DATA, "a/b/ä 'b'.txt": b"x\n", "note.txt": b"note\n", "z.bin": b"z" * 99}


@pytest.mark.parametrize("link", [ONEDRIVE_FOLDER, SHAREPOINT_FOLDER])
def test_a_folder_is_listed(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, link: str
) -> None:
    with FolderServer(FOLDER) as server:
        monkeypatch.setenv("FETCH_REWRITE", server.rewrite)
        write_project(tmp_path, "p", f"artifacts:\n  w: {{source: '{link}'}}\n", "tree: {m/: w}\n")
        result = cli("all")
        assert result.code == 0, result.err
        found = {path.relative_to(tmp_path / "m").as_posix(): path.read_bytes()
                 for path in (tmp_path / "m").rglob("*") if path.is_file()}  # fmt: skip
        assert found == FOLDER
        assert cli("all", "--json").json["summary"]["downloaded_bytes"] == 0
        assert cli("check", "--deep").code == 0
        assert server.errors == []
        server.mode = "ended"
        problem = Run(tmp_path / "r", rewrite=server.rewrite).refused(written_source(link))
        assert problem.code == "link-expired" and link in problem.hint


def test_onedrives_digests(tmp_path: Path) -> None:
    with FolderServer(FOLDER) as server:
        run, source = Run(tmp_path, rewrite=server.rewrite), OneDrive(ONEDRIVE_FOLDER)
        assert run.resolve(source)["a/w.pt"].sha256 == sha256(DATA)
        server.hashes = "sha1Hash"
        run.fresh_network()
        found = run.resolve(source)["a/w.pt"]
        assert found.published is not None and found.published.startswith("sha1:")
        server.files["a/w.pt"] = tensors(len(DATA), 4)
        assert run.fetch(source, [found]).failed[0][1].code == "digest-mismatch"
        server.elsewhere = "https://evil.example"  # nobody is asked there
        run.fresh_network()
        assert "a/w.pt" in run.resolve(source)


def test_a_folder_of_dropbox_comes_packed(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FolderServer(FOLDER) as server:
        monkeypatch.setenv("FETCH_REWRITE", server.rewrite)
        artifacts = f"artifacts:\n  w: {{source: '{DROPBOX_FOLDER}', unpack: true}}\n"
        write_project(tmp_path, "p", artifacts, "tree: {m/: w}\n")
        result = cli("all")
        assert result.code == 0, result.err
        assert (tmp_path / "m/a/w.pt").read_bytes() == DATA
        assert cli("all", "--json").json["summary"]["downloaded_bytes"] == 0
        # Elsewhere it is packed anew, and so has another digest: its members count.
        locked = (tmp_path / "fetch.lock").read_text()
        other = tmp_path / "other"
        other.mkdir()
        write_project(other, "p", artifacts, "tree: {m/: w}\n")
        (other / "fetch.lock").write_text(locked)
        monkeypatch.setenv("FETCH_STORE", str(tmp_path / "other-store"))
        result = cli("all", "--locked", cwd=other)
        assert result.code == 0, result.err
        assert server.packed > 1 and (other / "fetch.lock").read_text() == locked
        assert (other / "m/a/w.pt").read_bytes() == DATA
        # Other members are another matter.
        server.files["a/w.pt"] = tensors(len(DATA), 4)
        monkeypatch.setenv("FETCH_STORE", str(tmp_path / "third-store"))
        (other / "m/a/w.pt").unlink()
        result = cli("all", "--locked", cwd=other)
        assert result.code != 0 and "a/w.pt" in result.err
        assert not (other / "m/a/w.pt").exists()


@pytest.mark.parametrize("names", [["../x"], ["a/../../x"], ["a\\b"]])
def test_names_of_a_folder_that_lead_out(tmp_path: Path, names: list[str]) -> None:
    for link in (ONEDRIVE_FOLDER, SHAREPOINT_FOLDER):
        with FolderServer(dict.fromkeys(names, b"x")) as server:
            run = Run(tmp_path, rewrite=server.rewrite)
            assert run.refused(written_source(link)).code in {"bad-path", "refused", "link-expired"}


def written_source(link: str) -> Url:
    found = written_out(link)
    assert found is not None
    made = found[0](**found[1])
    assert isinstance(made, Url)
    return made


@pytest.mark.parametrize("kind", [Dropbox, OneDrive, SharePoint])
@pytest.mark.parametrize("text", ["https://evil.example/s/x", "https://a:b@www.dropbox.com/s/x/y"])
def test_other_hosts_are_none(kind: type[Url], text: str) -> None:
    with pytest.raises(ValueError, match="is no https link"):
        kind.from_short(text)
