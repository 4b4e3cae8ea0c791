"""Bare git repositories made from bytes, and read back by the git binary."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .wire import Content, digest, lfs_pointer, read, size_of

# neither the user's configuration nor the clock may show in a commit
ENVIRONMENT = {
    "PATH": os.environ.get("PATH", os.defpath),
    "HOME": os.devnull,
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "LC_ALL": "C",
}
PERSON = "Tester <tester@example.org>"
EPOCH = 1704067200  # 2024-01-01


class GitRepo:
    """One bare repository, with the LFS objects that its pointers name."""

    def __init__(self, folder: Path, name: str, branch: str) -> None:
        self.folder = folder
        self.name = name
        self.branch = branch
        self.lfs: dict[str, Content] = {}
        self._commits = 0
        self._resolved: dict[tuple[str, str], str] = {}
        self._lock = threading.Lock()
        self._reader: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True)
        self.git("init", "--quiet", "--bare", f"--initial-branch={branch}")

    def git(self, *arguments: str, stdin: bytes = b"") -> str:
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.folder,
            env=ENVIRONMENT,
            input=stdin,
            capture_output=True,
            check=False,
        )
        if done.returncode:
            raise KeyError(done.stderr.decode("utf-8", "replace"))
        return done.stdout.decode("utf-8", "surrogateescape")

    def close(self) -> None:
        with self._lock:
            if self._reader is not None:
                self._reader.communicate()
                self._reader = None

    def commit(
        self,
        files: Mapping[str, Content],
        *,
        branch: str,
        lfs: Iterable[str] = (),
        symlinks: Mapping[str, str] | None = None,
        submodules: Mapping[str, str] | None = None,
        delete: Iterable[str] = (),
        executable: Iterable[str] = (),
    ) -> str:
        """Put `files` on top of a branch; gives the commit. The same calls give the same commit."""
        in_lfs = set(lfs)
        self._commits += 1
        ref = f"refs/heads/{branch}"
        message = f"commit {self._commits}"
        out = [
            f"commit {ref}\n".encode(),
            f"committer {PERSON} {EPOCH + self._commits * 3600} +0000\n".encode(),
            f"data {len(message)}\n{message}\n".encode(),
        ]
        if self.has(ref):
            out.append(f"from {ref}^0\n".encode())
        out += [f"D {_quoted(path)}\n".encode() for path in delete]
        programs = set(executable)
        for path, content in files.items():
            mode = "100755" if path in programs else "100644"
            out += _blob(mode, path, self._stored(content) if path in in_lfs else read(content))
        for path, target in (symlinks or {}).items():
            out += _blob("120000", path, target.encode())
        for path, sha in (submodules or {}).items():
            out.append(f"M 160000 {sha} {_quoted(path)}\n".encode())
        self.git("fast-import", "--quiet", "--force", stdin=b"".join(out))
        self._resolved.clear()
        return self.resolve(ref)

    def _stored(self, content: Content) -> bytes:
        sha256 = digest(content)
        self.lfs[sha256] = content
        return lfs_pointer(sha256, size_of(content))

    def tag(self, name: str, target: str, annotated: bool = False) -> None:
        if not annotated:
            self.set_ref(f"refs/tags/{name}", self.resolve(target))
            return
        lines = [
            f"object {self.resolve(target)}",
            "type commit",
            f"tag {name}",
            f"tagger {PERSON} {EPOCH} +0000",
            "",
            name,
            "",
        ]
        sha = self.git("mktag", stdin="\n".join(lines).encode()).strip()
        self.set_ref(f"refs/tags/{name}", sha)

    def set_ref(self, ref: str, sha: str) -> None:
        self.git("update-ref", ref, sha)
        self._resolved.clear()

    def has(self, ref: str) -> bool:
        try:
            self.resolve(ref)
        except KeyError:
            return False
        return True

    def resolve(self, ref: str, kind: str = "commit") -> str:
        """The sha of a branch, tag, `heads/x`, full ref or sha; KeyError if there is none."""
        if ref.startswith("-") or ".." in ref:
            raise KeyError(ref)
        if (ref, kind) not in self._resolved:
            sha = self.git("rev-parse", "--verify", "--quiet", f"{ref}^{{{kind}}}").strip()
            self._resolved[ref, kind] = sha
        return self._resolved[ref, kind]

    def tree(self, ref: str, recursive: bool) -> list[dict[str, Any]]:
        """Entries as the forge's API names them, folders included."""
        options = ["-r", "-t"] if recursive else []
        listed = self.git("ls-tree", "-z", "--long", *options, ref)
        found = []
        for line in listed.split("\0"):
            if not line:
                continue
            head, _, path = line.partition("\t")
            mode, kind, sha, size = head.split()
            entry: dict[str, Any] = {"path": path, "mode": mode, "type": kind, "sha": sha}
            if size != "-":
                entry["size"] = int(size)
            found.append(entry)
        return found

    def blob(self, name: str) -> tuple[str, bytes]:
        """Id and bytes of a blob by `sha` or `commit:path`; KeyError if there is none."""
        with self._lock:
            if self._reader is None:
                self._reader = subprocess.Popen(
                    ["git", "cat-file", "--batch"],
                    cwd=self.folder,
                    env=ENVIRONMENT,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                )
            ask, tell = self._reader.stdin, self._reader.stdout
            assert ask is not None and tell is not None
            ask.write(name.replace("\n", "?").encode("utf-8", "surrogateescape") + b"\n")
            ask.flush()
            head = tell.readline().split()
            if head[-1] in (b"missing", b"ambiguous"):
                raise KeyError(name)
            body = tell.read(int(head[2]) + 1)[:-1]
        if head[1] != b"blob":
            raise KeyError(name)
        return head[0].decode(), body

    def content(self, name: str) -> tuple[str, Content]:
        """As `blob`, with LFS pointers followed."""
        sha, body = self.blob(name)
        return sha, self.lfs.get(pointed_at(body) or "", body)


def pointed_at(body: bytes) -> str | None:
    """The sha256 that an LFS pointer names."""
    if len(body) > 1024 or not body.startswith(b"version https://git-lfs"):
        return None
    return body.partition(b"oid sha256:")[2].split(b"\n")[0].decode()


def _quoted(path: str) -> str:
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _blob(mode: str, path: str, body: bytes) -> list[bytes]:
    head = f"M {mode} inline {_quoted(path)}\ndata {len(body)}\n"
    return [head.encode(), body, b"\n"]
