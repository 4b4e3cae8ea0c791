"""Every kind of checkpoint, registered in a real browser: the manifest is that of `fetch add`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.server.kit import fetch
from tests.servers.github import GitHubServer
from tests.servers.hub import HubServer
from tests.web.browser import Browser, browsing, needs_browser
from tests.web.test_adding import VQGAN, _files, _flags

pytest.importorskip("selenium")
pytestmark = needs_browser


@dataclass
class Case:
    """What is chosen and typed, and what `fetch add` is told for the same."""

    kind: str
    typed: dict[str, Any]
    checkpoint: str
    flags: list[str] = field(default_factory=list)


HUB_PAGE = "https://huggingface.co"
CASES = {
    "a repository": Case("huggingface", {"hf_repo": "o/small"}, "hf:o/small"),
    "a folder of a revision": Case(
        "huggingface",
        {"hf_repo": "o/parts", "hf_revision": "v2", "hf_path": "sub"},
        "hf:o/parts@v2:sub",
    ),
    "one file": Case(
        "huggingface",
        {"hf_repo": "o/parts", "hf_file": "sub/net.bin"},
        "hf:o/parts",
        ["--files=sub/net.bin"],
    ),
    "a page of the Hub": Case(
        "huggingface",
        {"hf_repo": f"{HUB_PAGE}/o/parts/tree/v2/sub"},
        f"{HUB_PAGE}/o/parts/tree/v2/sub",
    ),
    "a dataset": Case(
        "huggingface",
        {"hf_repo": "o/data", "kind": "dataset", "task": "", "interface": []},
        "hf:datasets/o/data",
    ),
    "GitHub": Case("github", {"gh_repo": "g/r"}, "github:g/r"),
    "a folder on GitHub": Case(
        "github",
        {"gh_repo": "g/r", "gh_ref": "main", "gh_path": "weights"},
        "github:g/r@main:weights",
    ),
    "a page of GitHub": Case(
        "github",
        {"gh_repo": "https://github.com/g/r/tree/main/weights"},
        "https://github.com/g/r/tree/main/weights",
    ),
    "a web address": Case(
        "url", {"url": "https://example.org/last.ckpt"}, "https://example.org/last.ckpt"
    ),
    "several files below an address": Case(
        "url",
        {"url": "https://example.org/models/", "files": "a.bin, b.bin"},
        "https://example.org/models/",
        ["--files=a.bin, b.bin"],
    ),
    "a file on the server": Case("local", {"server_path": "src/c.bin"}, "src/c.bin"),
    "a folder on the server": Case("local", {"server_path": "src"}, "src"),
}


@dataclass
class Pair:
    """A browser before one project, and a copy that `fetch add` writes into."""

    browser: Browser
    twin: Path
    environment: dict[str, str]

    def compare(self, name: str, case: Case) -> None:
        """Register both ways; all files of both projects are the same afterwards."""
        form = {**VQGAN, "name": name, **{k: v for k, v in case.typed.items() if k in VQGAN}}
        form = {key: value for key, value in form.items() if value}
        self.open(case.kind)
        self.browser.fill({**form, **{k: v for k, v in case.typed.items() if k not in VQGAN}})
        self.register(name)
        kind = [f"--kind={case.typed['kind']}"] if "kind" in case.typed else []
        self.add(case.checkpoint, [*_flags(form), *kind, *case.flags])

    def open(self, kind: str) -> None:
        self.browser.open("/-/add?lang=en")
        self.browser.find(f"#kind-{kind}").click()

    def register(self, name: str) -> None:
        """The preview first, then for good."""
        browser, root = self.browser, self.browser.place.root
        before = _files(root)
        browser.find('button[value="preview"]').click()
        browser.wait(lambda: browser.there("#preview"), "the preview")
        assert f"name: {name}" in browser.find("#preview pre").text
        assert _files(root) == before
        browser.find('button[value="save"]').click()
        browser.wait(lambda: "Registered." in browser.text(), "registered")
        assert browser.find("h1").text == name

    def add(self, checkpoint: str, flags: list[str]) -> None:
        home, root = self.browser.place.home, self.browser.place.root
        fetch(home, "add", checkpoint, *flags, cwd=self.twin, **self.environment)
        assert _files(root) == _files(self.twin)


@pytest.fixture(scope="module")
def pair(
    tmp_path_factory: pytest.TempPathFactory, hub: HubServer, github: GitHubServer
) -> Iterator[Pair]:
    home = tmp_path_factory.mktemp("forms")
    with browsing(home, hub, FETCH_REWRITE=github.rewrite) as browser:
        root = browser.place.root
        # A folder of the same name: an empty manifest would be named after it.
        twin = shutil.copytree(root, home / "twin" / root.name, symlinks=True)
        environment = {"HF_ENDPOINT": hub.url, "FETCH_REWRITE": github.rewrite}
        yield Pair(browser, twin, environment)


@pytest.mark.parametrize("name", CASES)
def test_the_manifest_is_the_one_that_fetch_add_writes(pair: Pair, name: str) -> None:
    pair.compare(f"Model of {name}", CASES[name])


def test_an_upload_is_registered_as_fetch_add_takes_a_file(pair: Pair, tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").write_bytes(bytes(range(256)) * 5000)
    browser, form = pair.browser, {**VQGAN, "name": "Model of an upload"}
    pair.open("upload")
    browser.fill(form)
    browser.find("#i-upload").send_keys(str(tmp_path / "last.ckpt"))
    browser.wait(lambda: "Uploaded" in browser.find(".upload-box output").text, "the upload")
    pair.register(form["name"])
    (sent,) = browser.place.root.glob("uploads/*/last.ckpt")
    path = sent.relative_to(browser.place.root)
    (pair.twin / path).parent.mkdir(parents=True)
    shutil.copy(sent, pair.twin / path)
    pair.add(f"./{path}", [*_flags(form), "--upload"])


def test_a_repository_alone_fills_the_rest(pair: Pair) -> None:
    pair.open("huggingface")
    pair.browser.fill({"hf_repo": "o/parts"})
    pair.register("parts")
    pair.add("hf:o/parts", _flags({}))
