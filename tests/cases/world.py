"""The servers that a project's manifest names, each file of which says in its bytes what it is."""

from __future__ import annotations

import gzip
import io
import json
import re
import tarfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fetcher.fs.patterns import expand
from tests.kit import sha256
from tests.servers.gdrive import DriveServer
from tests.servers.github import GitHubServer
from tests.servers.hub import HubServer
from tests.servers.plain import FileServer
from tests.servers.sharepoint import SharePointServer

# A digest in a name, which torch.hub's convention makes a promise.
_DIGEST_IN_NAME = re.compile(r"-([0-9a-f]{8,})(?=\.[a-z]+$)")


def content(identifier: str, name: str = "") -> bytes:
    """The bytes of a file: what it is, so that a tree's files tell where they came from.

    They begin as files of the name's format do (default: the identifier's), and are no page.
    """
    text = f"{identifier}\n" * 20
    suffix = (name or identifier).rpartition(".")[2]
    if suffix == "safetensors":
        head = json.dumps({"__metadata__": {"from": identifier}}).encode()
        return len(head).to_bytes(8, "little") + head
    if suffix in {"pth", "pt", "bin", "ckpt", "pkl", "dat"}:
        return b"\x80\x02}q\x00." + text.encode()
    if suffix == "npy":
        head = b"{'descr': '|u1', 'fortran_order': False, 'shape': (%d,)}" % len(text)
        return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + text.encode()
    if suffix == "tar":
        return archive("tar", identifier, ["data.pkl"])
    return b"\x93STAND-IN\x00" + text.encode()


def archive(kind: str, identifier: str, members: Iterable[str]) -> bytes:
    """A zip or tar whose members are `identifier!member`."""
    out = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
            for name in members:
                made.writestr(zipfile.ZipInfo(name), content(f"{identifier}!{name}"))
    else:
        mode = "w:" if kind == "tar" else f"w:{kind.removeprefix('t')}"
        with tarfile.open(fileobj=out, mode=mode) as made:  # type: ignore[call-overload]
            for name in members:
                data = content(f"{identifier}!{name}")
                info = tarfile.TarInfo(name)
                info.size = len(data)
                made.addfile(info, io.BytesIO(data))
    return out.getvalue()


def spread(names: Iterable[str]) -> list[str]:
    """Names with their `{a,b}` and `{0..9}` written out."""
    return [item for name in names for item in expand(name)]


@dataclass
class World:
    """Stand-ins for every site, and what the documents of a case must be told of them."""

    hub: HubServer
    github: GitHubServer
    drive: DriveServer
    sharepoint: SharePointServer
    files: FileServer

    def __post_init__(self) -> None:
        self.hosts: set[str] = set()
        self.shares: set[str] = set()
        self.spelled: dict[str, str] = {}  # digests in names -> those of the stand-ins

    @property
    def environment(self) -> dict[str, str]:
        """Variables that lead every request to the stand-ins."""
        own = [f"{host}={self.files.url}/{urlsplit(host).hostname}/" for host in sorted(self.hosts)]
        own += [f"{host}={self.sharepoint.url}/" for host in sorted(self.shares)]
        rewrite = [self.github.rewrite, self.drive.rewrite, *own]
        return {"HF_ENDPOINT": self.hub.url, "FETCH_REWRITE": " ".join(rewrite)}

    def told(self, text: str) -> str:
        """A document with the digests that its names promise as the stand-ins have them."""
        for old, new in self.spelled.items():
            text = text.replace(old, new)
        return text

    def serve(self, item: Mapping[str, Any]) -> None:
        """One line of a case's `serves`."""
        if "hub" in item:
            files = {name: content(f"hf:{item['hub']}/{name}") for name in spread(item["files"])}
            commit = self.hub.add_repo(item["hub"], files, item.get("type", "model"))
            for revision in item.get("revisions", ()):
                self.hub.set_ref(item["hub"], revision, commit, item.get("type", "model"))
        elif "release" in item:
            self._release(item)
        elif "repo" in item:
            self.github.add_repo(
                item["repo"],
                {name: content(f"gh:{item['repo']}/{name}") for name in spread(item["files"])},
            )
        elif "drive" in item:
            identifier = f"drive:{item['drive']}"
            self.drive.add_file(item["drive"], item["name"], self._bytes(item, identifier))
        elif "share" in item:
            self.sharepoint.add_share(item["share"], item["name"], content(f"share:{item['name']}"))
            self.shares.add(f"https://{urlsplit(item['share']).hostname}/")
        else:
            for address in spread([item["at"]]):
                self._address(address, item)

    def _bytes(self, item: Mapping[str, Any], identifier: str) -> bytes:
        kind = next((kind for kind in ("zip", "tar", "tgz", "tbz2", "gz") if kind in item), "")
        if kind == "gz":
            return gzip.compress(content(f"{identifier}!{item['gz']}"), mtime=0)
        if not kind:
            return content(identifier, item.get("named", ""))
        name = {"tbz2": "bz2"}.get(kind, kind)
        return archive(name, identifier, spread(item[kind]))

    def _release(self, item: Mapping[str, Any]) -> None:
        repo, tag = item["release"].split()
        if repo.lower() not in self.github.repos:
            self.github.add_repo(repo, {"README.md": b"# code\n"})
        assets: dict[str, bytes] = {}
        for name in spread(item.get("files", ())):
            data = content(f"gh:{repo}/{tag}/{name}")
            assets[self._called(name, data)] = data
        for name, members in item.get("zips", {}).items():
            assets[name] = archive("zip", f"gh:{repo}/{tag}/{name}", spread(members))
        self.github.add_release(repo, tag, assets, with_digest=False)

    def _called(self, name: str, data: bytes) -> str:
        if promised := _DIGEST_IN_NAME.search(name):
            self.spelled[promised[1]] = sha256(data)[: len(promised[1])]
        return self.told(name)

    def _address(self, address: str, item: Mapping[str, Any]) -> None:
        parts = urlsplit(address)
        data = self._bytes(item, address)
        if "parts" in item:  # one archive in pieces
            size = -(-len(data) // len(item["parts"]))
            for index, suffix in enumerate(item["parts"]):
                piece = data[index * size : (index + 1) * size]
                self.files.add(f"/{parts.hostname}{parts.path}{suffix}", piece)
        if "digest" in item:
            self.spelled[item["digest"]] = sha256(data)
        path = self._called(f"/{parts.hostname}{parts.path}", data)
        name = item.get("named")
        headers = {"Content-Disposition": f'attachment; filename="{name}"'} if name else {}
        self.files.add(self.told(path), data, headers=headers)
        self.hosts.add(f"{parts.scheme}://{parts.hostname}/")


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """All servers, as long as they are needed."""
    with (
        HubServer() as hub,
        GitHubServer(folder) as github,
        DriveServer() as drive,
        SharePointServer() as sharepoint,
        FileServer() as files,
    ):
        yield World(hub, github, drive, sharepoint, files)
        assert hub.errors == []
