"""Share links of Dropbox, OneDrive and SharePoint."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from fetcher.sources.addresses import written_out
from fetcher.sources.shares import Dropbox, OneDrive, SharePoint
from fetcher.sources.url import Url
from tests.conftest import Cli, write_project
from tests.kit import Run, tensors
from tests.servers.sharepoint import SharePointServer
from tests.servers.shares import DROPBOX, ONEDRIVE, ShareServer

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


@pytest.mark.parametrize(
    ("link", "words"),
    [
        ("https://www.dropbox.com/scl/fo/abc/xyz?rlkey=k&dl=0", "a folder"),
        ("https://www.dropbox.com/sh/abc/xyz?dl=0", "a folder"),
        ("https://x-my.sharepoint.com/:f:/g/personal/a/b", "a folder"),
    ],
)
def test_folders_are_named_as_such(link: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        written_out(link)


@pytest.mark.parametrize("kind", [Dropbox, OneDrive, SharePoint])
@pytest.mark.parametrize("text", ["https://evil.example/s/x", "https://a:b@www.dropbox.com/s/x/y"])
def test_other_hosts_are_none(kind: type[Url], text: str) -> None:
    with pytest.raises(ValueError, match="is no https link"):
        kind.from_short(text)
