"""A project that holds something of everything, the servers it came from, and its mirror."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.conftest import write_project
from tests.kit import payload, sha256
from tests.server.kit import Mirror, fetch, serving
from tests.servers.github import GitHubServer
from tests.servers.hub import HubServer

CARD = b"---\npipeline_tag: text-generation\nlicense: mit\ntags: [a, b]\n---\n# A model\n"
MODEL = {
    "README.md": CARD,
    "config.json": b'{"model_type": "none"}\n',
    "model.safetensors": payload(3_000_000),
    "empty.txt": b"",
    "sub/deep/vocab.txt": b"one\ntwo\n",
    "sub/with space \xe9.txt": b"named\n",
}
PARTS = {f"part{i}.bin": payload(5000 + i, i) for i in range(4)} | {"left-out.bin": b"not held"}
DATA = {f"data/{i:03d}/{name}.txt": f"{i} {name}".encode() for i in range(9) for name in "abc"}
SECRET = b"nobody may know\n"
ATTRIBUTES = {".gitattributes": b"*.bin filter=lfs diff=lfs merge=lfs -text\n"}
RAW = {"weights/net.pt": payload(70_000, 7), "weights/big.bin": payload(90_000, 8)}
RELEASED = payload(50_000, 9)

MANIFEST = """visibility: public
artifacts:
  m: {source: "hf:o/m"}
  first: {source: "hf:o/parts", files: ["part{0..1}.bin"]}
  second: {source: "hf:o/parts", files: [part2.bin]}
  sub: {source: "hf:o/m:sub", files: ["deep/vocab.txt"]}
  data: {source: "hf:datasets/o/d"}
  space: {source: "hf:spaces/o/s"}
  tagged: {source: "hf:o/tagged@v1"}
  branch: {source: "hf:o/tagged@feature/x"}
  pinned: {source: "hf:o/pinned@PINNED"}
  raw: {source: "github:g/r@main:weights", license: MIT}
  release: {source: {type: github, repo: g/r, release: v1.0}}
  secret: {source: "hf:o/secret", visibility: private}
  hidden: {source: "hf:o/parts", files: [part3.bin], visibility: private}
"""
LAYOUT = "tree:\n" + "".join(
    f"  {name}/: {name}\n"
    for name in [
        "m",
        "first",
        "second",
        "sub",
        "data",
        "space",
        "tagged",
        "branch",
        "pinned",
        "raw",
        "release",
        "secret",
        "hidden",
    ]
)


@dataclass
class Held:
    """What is held, and where it came from."""

    home: Path
    root: Path
    hub: HubServer
    github: GitHubServer
    commits: dict[str, str] = field(default_factory=dict)

    @property
    def store(self) -> Path:
        return self.home / "store"

    def blob(self, data: bytes) -> Path:
        """The store's file of a content."""
        return self.store / "blobs/sha256" / hashlib.sha256(data).hexdigest()


@pytest.fixture(scope="session")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Held]:
    """A project, fetched from stand-ins that go on running."""
    home = tmp_path_factory.mktemp("held")
    root = home / "project"
    with HubServer() as hub, GitHubServer(home / "git") as github:
        found = Held(home, root, hub, github)
        commits = found.commits
        commits["m"] = hub.add_repo("o/m", MODEL)
        commits["parts"] = hub.add_repo("o/parts", PARTS, lfs=[".bin"])
        commits["d"] = hub.add_repo("o/d", DATA, "dataset")
        commits["s"] = hub.add_repo("o/s", {"app.py": b"pass\n"}, "space")
        commits["v1"] = hub.add_repo("o/tagged", {"a.txt": b"one"})
        hub.set_ref("o/tagged", "v1", commits["v1"], tag=True)
        commits["feature/x"] = hub.add_commit("o/tagged", {"a.txt": b"two"}, "feature/x")
        commits["pinned"] = hub.add_repo("o/pinned", {"p.txt": b"old"})
        hub.add_commit("o/pinned", {"p.txt": b"new"})
        hub.add_repo("o/secret", {"secret.txt": SECRET})
        commits["r"] = github.add_repo("g/r", RAW | ATTRIBUTES, lfs=["weights/big.bin"])
        github.add_release("g/r", "v1.0", {"asset.bin": RELEASED})
        write_project(root, "p", MANIFEST.replace("PINNED", commits["pinned"]), LAYOUT)
        fetch(
            home,
            "all",
            "--quiet",
            cwd=root,
            HF_ENDPOINT=hub.url,
            FETCH_REWRITE=github.rewrite,
        )
        yield found


@pytest.fixture(scope="session")
def mirror(held: Held) -> Iterator[Mirror]:
    """A server over the project, with tokens."""
    tokens = held.home / "tokens"
    tokens.write_text(
        "# who        rights\n"
        "reader       read                 reader-token-1\n"
        "partial      read=p/hidden        partial-token-1\n"
        f"writer       upload               sha256:{sha256(b'writer-token-1')}\n"
    )
    with serving(held.home, "--tokens", tokens, cwd=held.root) as found:
        yield found
